"""The corpus of malformed.py on both wires: each answer is as expected, and only what should reaches the worker."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .apps.wire import HTTP, WIRES
from .box import Box
from .malformed import CASES, Case

RECORDER = (Path(__file__).parent / "apps" / "recorder.py").read_text(encoding="utf-8")
SILENCE = 0.25  # seconds after which nothing more is expected on a connection that stays open


class Recorder(Box):
    """The recording application in a box with one worker."""

    def __init__(self, wire: str) -> None:
        self.wire = wire
        env = {"WORKER_CLASS": wire, "WEB_CONCURRENCY": "1", "CLIENT_TIMEOUT": "2"}
        super().__init__(env=env, files={"main.py": RECORDER})

    def converse(self, data: bytes) -> bytes:
        """Send these bytes on one connection; all that comes back until its end, or until nothing more comes."""
        received = b""
        with socket.create_connection((self.ip, 8080), timeout=5) as wire:
            wire.sendall(data)
            wire.settimeout(SILENCE)
            try:
                while piece := wire.recv(65536):
                    received += piece
            except (TimeoutError, ConnectionResetError):
                pass
        return received

    def recorded(self) -> list[list[str]]:
        told: list[list[str]] = json.loads(self.get("/recorded").text)
        return told


@pytest.fixture(scope="module", params=WIRES)
def box(request: pytest.FixtureRequest) -> Iterator[Recorder]:
    with Recorder(request.param) as box:
        box.recorded()
        yield box


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(box: Recorder, case: Case) -> None:
    received = box.converse(case.data.encode("latin-1"))
    statuses = tuple(int(found) for found in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received))
    reached = tuple(f"{method} {uri} {body}" for method, uri, _, _, body in box.recorded())
    if box.wire == HTTP and case.refused_on_http:
        assert (statuses, reached) == ((case.refused_on_http,), ())
    else:
        assert (statuses, reached) == (case.statuses, case.reached)
    assert box.get("/up").status_code == 200


def test_a_websocket_that_is_refused_hides_no_second_request(box: Recorder) -> None:
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 9\r\nSec-WebSocket-Key: a"
    hidden = "GET /hidden HTTP/1.1\r\nHost: box.test\r\nConnection: close\r\n\r\n"
    received = box.converse(f"GET /a HTTP/1.1\r\nHost: box.test\r\n{upgrade}\r\n\r\n{hidden}".encode())
    reached = [uri for _, uri, _, _, _ in box.recorded()]
    # nginx has read the second one as what it is, a request: it is answered as one, and not inside the first
    assert received.count(b"HTTP/1.1 ") == 2
    assert reached.count("/hidden") == 1
    assert b" 101 " not in received


def test_a_request_in_single_bytes(box: Recorder) -> None:
    with socket.create_connection((box.ip, 8080), timeout=5) as wire:
        for byte in b"POST /a HTTP/1.1\r\nHost: box.test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc":
            wire.sendall(bytes([byte]))
            time.sleep(0.001)
        assert b"recorded" in wire.recv(65536)
    assert [row[:2] + row[4:] for row in box.recorded()] == [["POST", "/a", "abc"]]
