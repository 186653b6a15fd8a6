"""More requests than threads and queue hold: the rest is refused at once, health answers, all is well after."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
import requests

from .apps.wire import WIRES, Background, Probe

THREADS, BACKLOG = 2, 4
BLOCKED = 4.0  # seconds that the first requests hold all threads
WAITING = range(BACKLOG, BACKLOG + 2)  # the kernel's queue holds one more than it is told


@pytest.fixture(scope="module", params=WIRES)
def box(request: pytest.FixtureRequest) -> Iterator[Probe]:
    with Probe(request.param, THREADS=THREADS, BACKLOG=BACKLOG) as box:
        yield box


def timed(box: Probe, path: str) -> tuple[requests.Response, float]:
    begun = time.monotonic()
    answer = box.ask(path, headers={"Accept": "application/json"})
    return answer, time.monotonic() - begun


def test_overload_and_recovery(box: Probe) -> None:
    blockers = [Background(timed, box, f"/sleep?s={BLOCKED}") for _ in range(THREADS)]
    time.sleep(0.7)
    begun = time.monotonic()
    others = [Background(timed, box, f"/tell?{number}") for number in range(BACKLOG + 12)]

    for path in ("/up", "/-/up", "/ready"):
        answer, seconds = timed(box, path)
        assert answer.status_code == 200
        assert seconds < 1
    time.sleep(max(0.0, begun + 1 - time.monotonic()))
    refused = [call for call in others if not call.is_alive()]
    waiting = [call for call in others if call.is_alive()]

    # Beyond the queue: refused at once, with a page that says when to come back.
    assert len(waiting) in WAITING, Counter(call.result()[0].status_code for call in refused)
    for call in refused:
        answer, seconds = call.result()
        assert answer.status_code == 503
        assert seconds < 0.5
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["X-Request-ID"]
        assert answer.json()["error"]["status"] == 503

    # In the queue: served when a thread is free.
    for call in [*blockers, *waiting]:
        answer, seconds = call.result()
        assert answer.status_code == 200
        assert BLOCKED - 1.8 < seconds < BLOCKED + 2

    # Recovered.
    for _ in range(20):
        answer, seconds = timed(box, "/tell")
        assert answer.status_code == 200
        assert seconds < 1
    assert not [one for one in box.records() if one.get("logger") == "access" and one["status"] in (500, 502, 504)]


def fill(box: Probe, seconds: float) -> list[Background]:
    """Every thread busy for so long, and then the queue full."""
    calls = [Background(timed, box, f"/sleep?s={seconds}") for _ in range(THREADS)]
    time.sleep(0.4)
    calls += [Background(timed, box, "/tell?queued") for _ in range(BACKLOG + 1)]
    time.sleep(0.3)
    return calls


def test_the_access_log_tells_503_as_an_error(box: Probe) -> None:
    blockers = fill(box, 2)
    others = [Background(timed, box, "/tell?refused") for _ in range(4)]
    numbers = {call.result()[0].headers["X-Request-ID"] for call in others if call.result()[0].status_code == 503}
    assert numbers
    for number in numbers:
        record = box.wait_record(lambda one, number=number: one.get("request_id") == number)
        assert (record["status"], record["level"]) == (503, "error")
    for call in blockers:
        assert call.result()[0].status_code == 200


def test_streams_do_not_starve_health(box: Probe) -> None:
    """Every thread in a long response: /up answers."""
    calls = [Background(timed, box, "/events?pause=0.5&count=4&type=text/plain") for _ in range(THREADS)]
    time.sleep(0.3)
    for _ in range(5):
        answer, seconds = timed(box, "/up")
        assert answer.status_code == 200
        assert seconds < 1
    for call in calls:
        assert call.result()[0].status_code == 200


def test_uploads_beyond_the_queue_are_refused_whole(box: Probe) -> None:
    """A 503 to a request with a large body arrives as a response and not as a reset."""
    blockers = fill(box, 2)
    for _ in range(3):
        answer = box.ask("/take", "POST", data=bytes(3 << 20))
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
    for call in blockers:
        assert call.result()[0].status_code == 200
