"""Streams arrive as they are made, and a response that breaks midway is never taken for a complete one."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests

from .apps.wire import BLOCK, FASTCGI, WIRES, Background, Probe, curl_code, stream
from .box import wait_until

MB = 1 << 20
CURL_PARTIAL, CURL_RECEIVE_ERROR = 18, 56
BROKEN = (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)


@pytest.fixture(scope="module", params=WIRES)
def box(request: pytest.FixtureRequest) -> Iterator[Probe]:
    """Two workers: one may be killed while the other answers."""
    with Probe(request.param, WEB_CONCURRENCY=2) as box:
        yield box


@pytest.fixture(scope="module", params=WIRES)
def quick(request: pytest.FixtureRequest) -> Iterator[Probe]:
    with Probe(request.param, TIMEOUT=2) as box:
        yield box


def arrivals(box: Probe, path: str, timeout: float = 20) -> list[tuple[float, bytes]]:
    """When each piece of the body arrived, in seconds after the request."""
    begun = time.monotonic()
    with stream(box, path, timeout) as response:
        assert response.status_code == 200
        return [(time.monotonic() - begun, piece) for piece in response.iter_content(None)]


def digest_of(mb: int) -> str:
    digest = hashlib.sha256()
    for _ in range(mb * 16):
        digest.update(BLOCK)
    return digest.hexdigest()


# Unbuffered


@pytest.mark.parametrize(
    "path",
    [
        "/events?pause=1.5&count=2",
        "/events?pause=1.5&count=2&type=text/event-stream;%20charset%3Dutf-8",
        "/events?pause=1.5&count=2&type=text/plain&accel=no",
    ],
    ids=["event-stream", "event-stream with charset", "X-Accel-Buffering"],
)
def test_the_first_event_does_not_wait_for_the_second(box: Probe, path: str) -> None:
    pieces = arrivals(box, path)
    assert pieces[0][1] == b"data: 0\n\n"
    assert pieces[0][0] < 1
    assert pieces[-1][0] > 1.4
    assert b"".join(piece for _, piece in pieces) == b"data: 0\n\ndata: 1\n\n"


def test_each_event_comes_by_itself(box: Probe) -> None:
    pieces = arrivals(box, "/events?pause=0.2&count=6")
    assert [piece for _, piece in pieces] == [f"data: {number}\n\n".encode() for number in range(6)]


def test_an_ordinary_generator_arrives_whole(box: Probe) -> None:
    pieces = arrivals(box, "/events?pause=0.3&count=3&type=text/plain")
    assert b"".join(piece for _, piece in pieces) == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"


def test_an_event_stream_that_asks_for_buffering_still_arrives(box: Probe) -> None:
    assert b"".join(piece for _, piece in arrivals(box, "/events?pause=0.1&count=3&accel=yes")).count(b"data:") == 3


# Whole


@pytest.mark.parametrize("how", ["generator", "list", "file", "write"])
@pytest.mark.parametrize("length", ["", "&length=1"], ids=["chunked", "with length"])
def test_a_large_response_arrives_whole(box: Probe, how: str, length: str) -> None:
    digest = hashlib.sha256()
    with stream(box, f"/big?mb=50&how={how}{length}", 60) as response:
        for piece in response.iter_content(MB):
            digest.update(piece)
    assert digest.hexdigest() == digest_of(50)


def test_a_large_unbuffered_response_to_a_slow_client_arrives_whole(box: Probe) -> None:
    digest = hashlib.sha256()
    with stream(box, "/big?mb=20&accel=no", 60) as response:
        for number, piece in enumerate(response.iter_content(MB)):
            if number < 4:
                time.sleep(0.2)
            digest.update(piece)
    assert digest.hexdigest() == digest_of(20)


def test_a_generator_that_gives_nothing_is_an_empty_response(box: Probe) -> None:
    answer = box.ask("/big?mb=0")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_slow_client_does_not_hold_a_request_thread(box: Probe) -> None:
    """Eight clients that take nothing of 4 MB each, and eight request threads: nginx holds the rest."""
    with ExitStack() as stack:
        for _ in range(8):
            wire = stack.enter_context(box.connect())
            wire.sendall(b"GET /big?mb=4 HTTP/1.1\r\nHost: box.test\r\n\r\n")
        time.sleep(0.5)
        begun = time.monotonic()
        assert box.ask("/tell").status_code == 200
        assert time.monotonic() - begun < 1


# Broken


@pytest.mark.parametrize("how", ["raise", "kill"])
@pytest.mark.parametrize(
    "shape",
    ["blocks=1&size=10", "blocks=40&size=65536", "blocks=1&size=10&accel=no", "blocks=3&size=5000&accel=no"],
    ids=["small", "large", "unbuffered", "unbuffered pieces"],
)
def test_a_response_that_breaks_is_a_broken_transfer(box: Probe, how: str, shape: str) -> None:
    path = f"/breaks?how={how}&{shape}"
    with pytest.raises(BROKEN):
        box.ask(path)
    box.wait_up()
    assert curl_code(box, path) in (CURL_PARTIAL, CURL_RECEIVE_ERROR)
    box.wait_up()


@pytest.mark.parametrize("how", ["raise", "kill", "short"])
def test_a_response_shorter_than_its_length_is_a_broken_transfer(box: Probe, how: str) -> None:
    path = f"/breaks?how={how}&blocks=3&size=5000&length=20000"
    with pytest.raises(BROKEN):
        box.ask(path)
    box.wait_up()
    assert curl_code(box, path) in (CURL_PARTIAL, CURL_RECEIVE_ERROR)
    box.wait_up()


def test_curl_can_tell(box: Probe) -> None:
    """The counterpart of the tests above."""
    assert curl_code(box, "/big?mb=1") == 0


def test_an_exception_after_the_first_piece_is_logged(box: Probe) -> None:
    with pytest.raises(BROKEN):
        box.ask("/breaks?how=raise&blocks=40&size=65536")
    box.wait_log("broken midway")


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_a_worker_killed_before_the_first_byte_is_a_502_page(box: Probe, accept: str) -> None:
    answer = box.ask("/kill", headers={"Accept": accept})
    assert answer.status_code == 502
    assert answer.headers["Content-Type"].startswith(accept)
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["X-Request-ID"]
    assert "502" in answer.text
    wait_until(lambda: box.ask("/tell").status_code == 200, 5)


# Leaving


@pytest.mark.parametrize("accel", ["&accel=no", "&type=text/plain"], ids=["unbuffered", "buffered"])
def test_the_generator_is_closed_when_the_client_leaves(box: Probe, accel: str) -> None:
    mark = f"left{accel[1:6]}"
    with box.connect() as wire:
        wire.sendall(f"GET /events?pause=0.1&count=600&mark={mark}{accel} HTTP/1.1\r\nHost: box.test\r\n\r\n".encode())
        time.sleep(0.5)
    box.wait_log(f"stream closed {mark}", 5)


# STREAMS_MAX


def test_more_streams_than_streams_max_are_503() -> None:
    with Probe(FASTCGI, THREADS=4, STREAMS_MAX=2) as box, ExitStack() as stack:
        for _ in range(2):
            response = stack.enter_context(stream(box, "/events?pause=0.2&count=20"))
            assert next(response.iter_content(None)) == b"data: 0\n\n"
        begun = time.monotonic()
        answer = box.ask("/events")
        assert time.monotonic() - begun < 1
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["X-Request-ID"]
        assert box.ask("/tell").status_code == 200
        assert box.ask("/big?mb=1").status_code == 200
        stack.close()
        wait_until(lambda: box.ask("/events?count=1").status_code == 200, 5)


# TIMEOUT is for the first byte


@pytest.mark.parametrize("quick", [FASTCGI], indirect=True)
@pytest.mark.parametrize("kind", ["accel=no", "type=text/plain"], ids=["unbuffered", "buffered"])
def test_a_stream_may_be_quiet_for_longer_than_timeout(quick: Probe, kind: str) -> None:
    """TIMEOUT is 2, nginx's read timeout 7; the stream is silent for 9 seconds."""
    answer = quick.ask(f"/events?pause=9&count=2&{kind}")
    assert answer.text == "data: 0\n\ndata: 1\n\n"
    assert "STUCK" not in quick.logs()


def test_a_stream_may_last_longer_than_timeout(quick: Probe) -> None:
    """On both wires, as long as it speaks."""
    calls = [Background(arrivals, quick, "/events?pause=1&count=10")]
    assert b"".join(piece for _, piece in calls[0].result(30)).count(b"data:") == 10
    assert json.loads(quick.ask("/process").text)["pid"]
