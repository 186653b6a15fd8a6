"""Workers are recycled and the application reloaded under constant load: not one request fails."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter

import pytest
import requests

from .apps.wire import BLOCK, FASTCGI, WIRES, Probe
from .box import size

CLIENTS = 4
RECYCLES = size(10, 50)
HUPS = size(3, 10)
BODY = BLOCK[:40_000]
DIGEST = hashlib.sha256(BODY).hexdigest()


class Load:
    """Clients that send GET and POST, each on a connection that it keeps, until told to stop."""

    def __init__(self, box: Probe) -> None:
        self.url = f"http://127.0.0.1:{box.outside}"
        self.stop = threading.Event()
        self.errors: list[str] = []
        self.served: Counter[int] = Counter()
        self.threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(30)

    def _client(self, number: int) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while not self.stop.is_set():
                try:
                    self.served[self._one(session, number)] += 1
                except Exception as error:
                    self.errors.append(f"{time.strftime('%X')} {type(error).__name__}: {error}")
                    if len(self.errors) > 50:
                        return
                number += 1

    def _one(self, session: requests.Session, number: int) -> int:
        if number % 3 == 0:
            answer = session.post(f"{self.url}/take", data=BODY, timeout=15)
            assert answer.status_code == 200, f"POST {answer.status_code} {answer.headers} {answer.text[:100]}"
            assert answer.json()["sha256"] == DIGEST
            return int(answer.json()["pid"])
        path = "/sleep?s=0.02" if number % 7 == 0 else "/memory"
        answer = session.get(self.url + path, timeout=15)
        assert answer.status_code == 200, f"GET {path} {answer.status_code} {answer.headers} {answer.text[:100]}"
        return int(answer.json()["pid"])


def until(load: Load, workers: int, seconds: float) -> None:
    """Until so many workers have served."""
    deadline = time.monotonic() + seconds
    while len(load.served) < workers and time.monotonic() < deadline and len(load.errors) < 50:
        time.sleep(0.05)


@pytest.mark.parametrize("wire", WIRES)
def test_recycling_loses_nothing(wire: str) -> None:
    workers = 2
    with Probe(wire, WEB_CONCURRENCY=workers, MAX_REQUESTS=60, MAX_REQUESTS_JITTER=30) as box:
        with Load(box) as load:
            until(load, workers + RECYCLES, 30 + RECYCLES * 2)
        assert load.errors == []
        assert len(load.served) >= workers + RECYCLES
        assert not [one for one in box.records() if one.get("logger") == "access" and one["status"] >= 400]


@pytest.mark.parametrize("wire", WIRES)
def test_recycling_the_only_worker_loses_nothing(wire: str) -> None:
    """Between the end of one worker and the start of the next nobody accepts: the queue waits."""
    with Probe(wire, MAX_REQUESTS=100) as box:
        with Load(box) as load:
            until(load, 1 + RECYCLES // 2, 30 + RECYCLES * 2)
        assert load.errors == []
        assert len(load.served) >= 1 + RECYCLES // 2


@pytest.mark.parametrize("wire", WIRES)
def test_reloading_loses_nothing(wire: str) -> None:
    workers = 2
    with Probe(wire, WEB_CONCURRENCY=workers) as box:
        with Load(box) as load:
            for number in range(HUPS):
                time.sleep(0.3)
                box.kill("HUP")
                until(load, workers * (number + 2), 15)
        assert load.errors == []
        assert len(load.served) >= workers * (HUPS + 1)
        assert not [one for one in box.records() if one.get("logger") == "access" and one["status"] >= 400]


@pytest.mark.parametrize("wire", WIRES)
def test_a_request_that_runs_during_a_reload_finishes(wire: str) -> None:
    with Probe(wire) as box, Load(box) as load:
        done: list[requests.Response] = []
        slow = threading.Thread(target=lambda: done.append(box.ask("/sleep?s=2")))
        slow.start()
        time.sleep(0.3)
        box.kill("HUP")
        slow.join(15)
        assert done
        assert done[0].status_code == 200
    assert load.errors == []


def test_without_max_requests_workers_stay() -> None:
    """The counterpart: it is MAX_REQUESTS that recycles."""
    with Probe(FASTCGI, WEB_CONCURRENCY=2) as box:
        with Load(box) as load:
            time.sleep(2)
        assert load.errors == []
        assert len(load.served) <= 2
        assert sum(load.served.values()) > 200
