"""Random requests to nginx, and random records to the workers' own sockets: no 5xx of ours, no death, no leak.

Requests are good ones, mutated. The seed is printed, and FLAGON_SEED repeats it.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import select
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .apps.wire import FASTCGI, WIRES
from .attack import connections
from .box import Box, docker, size, wait_until
from .malformed import CASES
from .processes import parts

REQUESTS = size(600, 5000)  # on each of two wires
RECORDS = size(400, 4000)
TOGETHER = 40
ALLOWED = {501, 505}  # nginx's own words for a protocol that it does not speak
APP = """def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(len(body)).encode()]
"""
# Tables, however long.
# ruff: noqa: E501
PIECES = (
    b"\r\n", b"\n", b"\r", b"\0", b" ",
    b"\t", b":", b"/", b"//", b"%00",
    b"%2e%2e/", b"?", b"#", b"0", b"-1",
    b"99999999999999999999", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 7\r\n", b"Host: b\r\n", b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n", b"Range: bytes=0-\r\n", b"X" * 9000, b"\xff\xfe", b"HTTP/1.0",
    b"HTTP/9.9", b"GET http://h/ HTTP/1.1\r\n\r\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def seed() -> int:
    return int(os.environ.get("FLAGON_SEED", "0")) or random.randrange(1, 10**6)


@pytest.fixture(scope="module", params=WIRES)
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    env = {
        "WORKER_CLASS": request.param,
        "WEB_CONCURRENCY": "2",
        "BACKLOG": "500",
        "ACCESS_LOG": "off",
        "CLIENT_TIMEOUT": "2",
    }
    with Box(env=env, files={"main.py": APP}) as box:
        yield box


def mutated(dice: random.Random) -> bytes:
    """A request of the corpus, or a good one, with a few of its bytes replaced, removed, doubled, or others put in."""
    data = bytearray(dice.choice(CASES).data.encode("latin-1"))
    for _ in range(dice.randrange(6)):
        at = dice.randrange(len(data) + 1)
        what = dice.randrange(5)
        if what == 0:
            data[at:at] = dice.choice(PIECES)
        elif what == 1:
            data[at : at + dice.randrange(1, 8)] = b""
        elif what == 2:
            data[at : at + 1] = dice.randbytes(1)
        elif what == 3:
            data[at:at] = data[at : at + dice.randrange(1, 60)]
        else:
            data += dice.choice(CASES).data.encode("latin-1")[: dice.randrange(1, 400)]
    return bytes(data)


def exchange(box: Box, requests: list[bytes], patience: float = 0.4) -> Counter[int]:
    """Send each on a connection of its own, all at once; the statuses that come."""
    wires = connections((box.ip, 8080), len(requests))
    poller, answers = select.poll(), {}
    for wire, data in zip(wires, requests, strict=True):
        answers[wire.fileno()] = [wire, b""]
        poller.register(wire, select.POLLIN)
        with contextlib.suppress(OSError):
            wire.send(data)
    until = time.monotonic() + patience
    while answers and (left := until - time.monotonic()) > 0:
        for descriptor, _ in poller.poll(left * 1000):
            wire = answers[descriptor][0]
            try:
                piece = wire.recv(65536)
            except OSError:
                piece = b""
            answers[descriptor][1] += piece
            if not piece:
                poller.unregister(descriptor)
    statuses: Counter[int] = Counter()
    for wire, received in answers.values():
        statuses.update(int(found) for found in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received))
        wire.close()
    return statuses


def state(box: Box) -> dict[str, tuple[int, int]]:
    """`part pid` -> descriptors, memory of its own in KiB. Keyed so that a process that has been replaced is another.

    Anonymous memory, not PSS: pages of nginx's file are shared with every other box of the machine, so that a process
    seems to grow by some MB when a test beside this one ends its box.
    """
    memory = "$(awk '/^Anonymous:/{print $2}' /proc/$p/smaps_rollup)"
    script = f"for p in $@; do echo $p $(ls /proc/$p/fd | wc -l) {memory}; done"
    by_pid = {pid: part for part, pids in parts(box).items() for pid in pids}
    rows = box.exec("sh", "-c", script, "sh", *map(str, by_pid)).splitlines()
    found = [[int(number) for number in row.split()] for row in rows]
    return {f"{by_pid[pid]} {pid}": (descriptors, memory) for pid, descriptors, memory in found}


def settled(box: Box, before: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """The state once the last connections are closed."""

    def closed() -> bool:
        after = state(box)
        return after.keys() != before.keys() or all(after[name][0] <= before[name][0] for name in before)

    wait_until(closed, 12, f"as many descriptors as before; before: {before}; now: {state(box)}")
    return state(box)


def check(box: Box, before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> None:
    assert after.keys() == before.keys(), "a process has been replaced"
    for name, (_, memory) in after.items():
        assert memory < before[name][1] * 1.15 + 1500, f"{name} has grown: {before[name][1]} -> {memory} KiB"
    assert box.get("/").status_code == 200
    assert "Traceback" not in box.logs()
    assert not [one for one in box.records() if one["level"] == "critical"]


def test_random_requests(box: Box, seed: int) -> None:
    dice, statuses = random.Random(seed), Counter[int]()
    before: dict[str, tuple[int, int]] = {}
    for number in range(REQUESTS // TOGETHER):
        if number == REQUESTS // TOGETHER // 4:  # warm by now
            time.sleep(3)
            before = state(box)
        statuses += exchange(box, [mutated(dice) for _ in range(TOGETHER)])
        assert box.get("/").status_code == 200  # beside them, a client like any other
    print(f"FLAGON_SEED={seed}: {dict(sorted(statuses.items()))}")
    assert statuses[200] > REQUESTS / 20
    assert statuses[400] > REQUESTS / 20
    assert not [status for status in statuses if status >= 500 and status not in ALLOWED]
    check(box, before, settled(box, before))


@pytest.mark.parametrize("name", ["app.sock", "health.sock", "ready.sock"])
def test_random_records_to_a_worker(seed: int, name: str) -> None:
    """nginx alone can reach these sockets; what is wrong there must still harm nobody."""
    script = Path(__file__).parent / "apps" / "fastcgi_fuzz.py"
    env = {"WORKER_CLASS": FASTCGI, "WEB_CONCURRENCY": "2", "ACCESS_LOG": "off", "TIMEOUT": "300"}
    with Box(env=env, files={"main.py": APP}, mounts={script: "/fuzz.py"}) as box:

        def fuzz(part: int, count: int) -> str:
            words = ["python3", "/fuzz.py", f"/run/flagon/{name}", str(seed + part), str(count)]
            return docker("exec", box.name, *words, timeout=240).stdout

        print(f"FLAGON_SEED={seed}: {fuzz(0, RECORDS // 2)}")
        before = state(box)
        told = fuzz(1, RECORDS)
        print(told)
        assert "no end" not in told
        assert int(told.split()[-1]) > RECORDS / 20
        check(box, before, settled(box, before))
