"""Workers are recycled under constant load: not one request fails."""

from __future__ import annotations

import time

import pytest

from .apps.wire import FASTCGI, WIRES, Probe
from .box import size
from .load import Load

RECYCLES = size(10, 50)


@pytest.mark.parametrize("wire", WIRES)
def test_recycling_loses_nothing(wire: str) -> None:
    workers = 2
    with Probe(wire, WEB_CONCURRENCY=workers, MAX_REQUESTS=60, MAX_REQUESTS_JITTER=30) as box:
        with Load(box) as load:
            load.until(workers + RECYCLES, 30 + RECYCLES * 2)
        assert load.errors == []
        assert len(load.served) >= workers + RECYCLES
        assert not [one for one in box.records() if one.get("logger") == "access" and one["status"] >= 400]


@pytest.mark.parametrize("wire", WIRES)
def test_recycling_the_only_worker_loses_nothing(wire: str) -> None:
    """Between the end of one worker and the start of the next nobody accepts: the queue waits."""
    with Probe(wire, MAX_REQUESTS=100) as box:
        with Load(box) as load:
            load.until(1 + RECYCLES // 2, 30 + RECYCLES * 2)
        assert load.errors == []
        assert len(load.served) >= 1 + RECYCLES // 2


def test_without_max_requests_workers_stay() -> None:
    """The counterpart: it is MAX_REQUESTS that recycles."""
    with Probe(FASTCGI, WEB_CONCURRENCY=2) as box:
        with Load(box) as load:
            time.sleep(2)
        assert load.errors == []
        assert len(load.served) <= 2
        assert sum(load.served.values()) > 200
