"""Workers are recycled under constant load: not one request fails."""

from __future__ import annotations

import http.client
import threading
import time

import pytest

from .apps.wire import FASTCGI, WIRES, Probe
from .box import Box, size
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


APP = """
import os, time
def app(environ, start_response):
    path = environ["PATH_INFO"]
    body = environ["wsgi.input"].read()
    if path == "/slow": time.sleep(0.02)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d %d" % (len(body), os.getpid())]
"""
MOVES = size(300, 10_000)  # recycled workers and requests passed on by full ones, together
AT_LEAST = size(21, 1000)  # of each


def test_no_post_is_lost_in_recycles_and_passing_on() -> None:
    """One thread a worker, so that it is full with one slow request; several nginx processes; connections kept."""
    env = {
        "WEB_CONCURRENCY": "2", "THREADS": "1", "MAX_REQUESTS": "40", "MAX_REQUESTS_JITTER": "20", "BACKLOG": "256",
        "LOG_LEVEL": "debug",  # says what was passed on
    }  # fmt: skip
    with Box(env, files={"main.py": APP}) as box:
        port, errors, moves = box.host_port(), [], [0, 0]
        deadline = time.monotonic() + 60 + MOVES / 10
        ends = threading.Event()

        def client(number: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            method, path, body = (
                ("GET", "/slow", b"") if number < 2 else ("POST", "/take", b"x" * (100 + 7000 * number))
            )
            while not ends.is_set():
                try:
                    connection.request(method, path, body, {"Content-Type": "application/octet-stream"})
                    reply = connection.getresponse()
                    text = reply.read()
                    if reply.status != 200 or not text.startswith(b"%d " % len(body)):
                        errors.append((method, reply.status, text[:100]))
                except (OSError, http.client.HTTPException) as error:
                    errors.append((method, repr(error), b""))
                    connection.close()

        def quick(number: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            while not ends.is_set():
                connection.request("GET", "/quick")
                if connection.getresponse().read()[:2] != b"0 ":
                    errors.append(("GET", 0, b""))

        threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
        threads += [threading.Thread(target=quick, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            while (sum(moves) < MOVES or min(moves) < AT_LEAST) and time.monotonic() < deadline and not errors:
                time.sleep(2)
                lines = box.lines()
                moves[0] = sum("Recycling after" in line for line in lines)
                moves[1] = sum("a full process has passed on" in line for line in lines)
        finally:
            ends.set()
            for thread in threads:
                thread.join(40)
        print("recycled, passed on:", moves)
        assert errors == []
        assert sum(moves) >= MOVES
        assert min(moves) >= AT_LEAST
