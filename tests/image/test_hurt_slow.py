"""Slow and idle clients by the hundred and the thousand: everybody else is served as if they were not there."""

from __future__ import annotations

import contextlib
import itertools
import socket
import statistics
import time
from collections.abc import Iterator

import pytest
import requests

from .apps.wire import FASTCGI, WIRES, Probe
from .attack import Attack, allow_open_files, connections
from .box import size, wait_until
from .processes import parts

SLOW = size(300, 600)
IDLE = 10_000
REQUESTS = 120
HEAD = "Host: box.test\r\nContent-Type: text/plain\r\n"


def byte_by_byte() -> Iterator[bytes]:
    return itertools.repeat(b"a")


def nothing() -> Iterator[bytes]:
    return iter(())


# how they are slow -> what they send first, and then
ATTACKS = {
    "headers": (f"GET /tell HTTP/1.1\r\n{HEAD}X-Slow: ".encode(), byte_by_byte),
    "body": (f"POST /take HTTP/1.1\r\n{HEAD}Content-Length: 100000\r\n\r\n".encode(), byte_by_byte),
    "chunks": (f"POST /take HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n186a0\r\n".encode(), byte_by_byte),
    "reader": (f"GET /big?mb=1 HTTP/1.1\r\n{HEAD}\r\n".encode(), nothing),
}


@pytest.fixture(scope="module", params=WIRES)
def box(request: pytest.FixtureRequest) -> Iterator[Probe]:
    with Probe(request.param, CLIENT_TIMEOUT=4, SEND_TIMEOUT=4, KEEPALIVE_TIMEOUT=60) as box:
        yield box


def median(session: requests.Session, url: str) -> float:
    """Seconds of a normal request: the median of many, one after another."""
    taken = []
    for _ in range(REQUESTS):
        begun = time.perf_counter()
        assert session.get(url, timeout=10).status_code == 200
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


@pytest.mark.parametrize("kind", ATTACKS)
def test_hundreds_at_a_trickle_slow_nobody_down(box: Probe, kind: str) -> None:
    """The median stays within twice the quiet one of the same run; the best of three, for other work on the machine."""
    begin, rest = ATTACKS[kind]
    address, ratios = (box.ip, 8080), []
    with requests.Session() as session:
        url = f"http://{box.ip}:8080/memory"
        for _ in range(3):
            quiet = median(session, url)
            with Attack(address, SLOW, begin, rest):
                time.sleep(0.5)
                ratios.append(median(session, url) / quiet)
            if ratios[-1] < 2:
                break
            time.sleep(2)
    print(f"{box.wire} {kind}: {[f'{ratio:.2f}' for ratio in ratios]} of the quiet median")
    assert min(ratios) < 2


def test_slow_headers_are_cut_in_the_end(box: Probe) -> None:
    """CLIENT_TIMEOUT is for a whole header."""
    begin, rest = ATTACKS["headers"]
    with Attack((box.ip, 8080), 20, begin, rest) as attack:
        wait_until(lambda: attack.closed == 20, 12, "the cut")


def taken(wire: socket.socket) -> int:
    """Bytes until the end of the connection."""
    wire.setblocking(True)
    wire.settimeout(5)
    count = 0
    with contextlib.suppress(ConnectionResetError):
        while piece := wire.recv(1 << 20):
            count += len(piece)
    return count


def test_readers_that_take_nothing_are_cut_in_the_end(box: Probe) -> None:
    """After SEND_TIMEOUT; no request thread waits for them."""
    slow = connections((box.ip, 8080), 20)
    try:
        for wire in slow:
            wire.send(f"GET /big?mb=4 HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n".encode())
        assert box.ask("/tell", timeout=5).status_code == 200
        time.sleep(6)
        assert all(0 < taken(wire) < 4 << 20 for wire in slow)
    finally:
        for wire in slow:
            wire.close()


def test_ten_thousand_idle_connections() -> None:
    allow_open_files(IDLE + 2000)
    with Probe(FASTCGI) as box:

        def memory() -> int:
            """PSS of nginx, KiB."""
            pids = parts(box)
            text = box.exec("cat", *(f"/proc/{pid}/smaps_rollup" for pid in pids["nginx"] + pids["nginx worker"]))
            return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))

        with requests.Session() as session:
            url = f"http://{box.ip}:8080/memory"
            quiet, before = median(session, url), memory()
            idle = connections((box.ip, 8080), IDLE)
            try:
                busy, after = median(session, url), memory()
            finally:
                for one in idle:
                    one.close()
            print(f"{IDLE} idle: nginx {before} -> {after} KiB; median {busy / quiet:.2f} of the quiet one")
            assert (after - before) / IDLE < 8  # KiB a connection
            assert session.get(url, timeout=5).status_code == 200


def test_more_connections_than_there_may_be() -> None:
    """Idle ones give way to those that ask; the log says so; nobody stays shut out."""
    with Probe(FASTCGI, WORKER_CONNECTIONS=64) as box:
        idle = connections((box.ip, 8080), 300)
        try:
            for _ in range(10):
                assert requests.get(f"http://{box.ip}:8080/tell", timeout=5).status_code == 200
        finally:
            for one in idle:
                one.close()
        box.wait_log("worker_connections are not enough")
        assert box.ask("/tell").status_code == 200
