"""What a client can make of kept pages by asking for many: files, folders, memory, the next start, others' pages."""

from __future__ import annotations

import itertools
import re
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from .box import RUNTIME, Box, wait_until

# No Flask: floods are to be quick.
APP = """
import os, time
from urllib.parse import parse_qs
def app(environ, start_response):
    path, given = environ["PATH_INFO"], parse_qs(environ["QUERY_STRING"])
    headers = [("Content-Type", "text/plain")]
    if path.startswith("/cms/"): headers.append(("Cache-Control", "public, max-age=600"))
    time.sleep(float(given.get("slow", ["0"])[0]))
    if "vary" in given: headers.append(("Vary", given["vary"][0]))
    start_response("200 OK", headers)
    return [os.urandom(int(given.get("size", ["20"])[0]) // 2).hex().encode()]
"""
MEGABYTE = 2**20
ROOM_IN_MEMORY = 16 * MEGABYTE


def flood(box: Box, targets: Iterable[str], field: str = "", together: int = 50) -> Counter[str]:
    """Asks for all of them, many in a packet on one connection; status and X-Cache of the answers, counted.

    field  a header whose value is another one in each request
    """
    counted: Counter[str] = Counter()
    numbers = itertools.count()
    remaining = iter(targets)
    while some := list(itertools.islice(remaining, 900)):  # nginx ends a connection after 1000
        with socket.create_connection(("127.0.0.1", box.host_port()), timeout=60) as wire, wire.makefile("rb") as file:
            for start in range(0, len(some), together):
                part = some[start : start + together]
                wire.sendall("".join(question(target, field, next(numbers)) for target in part).encode())
                for _ in part:
                    counted[answer(file)] += 1
    return counted


def question(target: str, field: str, number: int) -> str:
    more = f"{field}: v{number}\r\n" if field else ""
    return f"GET {target} HTTP/1.1\r\nHost: a.example\r\n{more}\r\n"


def answer(file: object) -> str:
    """Reads one response of a known length."""
    head = {}
    status = file.readline().split()[1].decode()  # type: ignore[attr-defined]
    while (line := file.readline().decode("latin-1").strip()) != "":  # type: ignore[attr-defined]
        name, _, value = line.partition(":")
        head[name.lower()] = value.strip()
    file.read(int(head["content-length"]))  # type: ignore[attr-defined]
    return f"{status} {head.get('x-cache', '-')}"


def deep(number: int) -> str:
    return f"/cms/{number}/" + ("a/" * 390 + "x")[:790]


def inodes(box: Box) -> int:
    """Of all that the box has written."""
    return len(box.exec("find", "/run/flagon/", "/tmp/", "-xdev").splitlines())


def kept_bytes(box: Box) -> int:
    return (
        int(
            box.exec("sh", "-c", "du -sk $(ls -d /run/flagon/kept-pages/ /tmp/flagon/kept-pages/ 2>/dev/null)").split()[
                0
            ]
        )
        * 1024
    )


@pytest.fixture(scope="module")
def small() -> Iterator[Box]:
    """All that it writes is memory, of which it has little."""
    args = ["-m", "256m", "--memory-swap", "256m", "--read-only", "--tmpfs", "/tmp"]
    with Box(
        {"WEB_CONCURRENCY": "2", "CACHE_LOCK": "/cms/locked/*, /private/locked/*"},
        args=args,
        files={"app.py": APP},
        image=RUNTIME,
    ) as box:
        yield box


FLOODS = {
    "deep paths": lambda: (deep(number) for number in range(2000)),
    "queries": lambda: (f"/cms/x?{number}" for number in range(6000)),
    "large pages": lambda: (f"/cms/large/{number}?size=900000" for number in range(150)),
    "middling pages": lambda: (f"/cms/middling/{number}?size=60000" for number in range(2000)),
}


@pytest.mark.parametrize("targets", FLOODS.values(), ids=FLOODS)
def test_many_pages_take_no_more_than_their_room(small: Box, targets: object) -> None:
    """nginx itself looks every ten seconds only."""
    counted = flood(small, targets())  # type: ignore[operator]
    assert {key[:3] for key in counted} == {"200"}
    check_small(small)


@pytest.mark.parametrize("name", ["Accept-Encoding", "Accept-Language", "Cookie"])
def test_many_variants_take_no_more_than_their_room(small: Box, name: str) -> None:
    targets = (f"/cms/variants/{number % 3}?vary={name}&size=600000" for number in range(120))
    assert {key[:3] for key in flood(small, targets, name, together=10)} == {"200"}
    check_small(small)


def check_small(box: Box) -> None:
    assert kept_bytes(box) < 2 * ROOM_IN_MEMORY
    assert inodes(box) < 6000
    assert box.get("/-/up").status_code == 200
    assert (box.state("OOMKilled"), box.state("Status")) == ("false", "running")
    assert "killed for want of memory" not in box.logs()
    assert box.get("/other").status_code == 200


def test_what_grew_too_large_is_made_smaller(small: Box) -> None:
    wait_until(lambda: kept_bytes(small) <= ROOM_IN_MEMORY + MEGABYTE, 30, "nginx's own look at its size")


def test_floods_of_pages_that_are_not_kept_leave_nothing(small: Box) -> None:
    """More than nginx has room for keys (16,000); and a page that is kept stays so."""
    page = "/cms/stays"
    wait_until(lambda: flood(small, [page]) == {"200 hit": 1}, 30, "it is kept: the floods before this one are over")
    before = inodes(small)
    counted = flood(small, (f"/private/{number}?{'q' * (number % 50)}" for number in range(20_000)))
    assert counted == {"200 -": 20_000}
    assert inodes(small) <= before
    assert flood(small, [page]) == {"200 hit": 1}
    log = small.logs()
    assert re.findall(r"could not allocate node|\[alert\]|\[crit\]", log) == []


def waits(box: Box, target: str, size: int = 20) -> list[float]:
    """Seconds until each of so many that ask at once for one page has it, the shortest first."""
    started = time.monotonic()

    def wait(_: int) -> float:
        assert box.get(target).status_code == 200
        return time.monotonic() - started

    with ThreadPoolExecutor(size) as pool:
        return sorted(pool.map(wait, range(size)))


def test_a_crowd_for_a_locked_page_that_is_not_kept_waits_two_seconds_at_most(small: Box) -> None:
    """And for its own answer; it was five."""
    assert waits(small, "/private/locked/page?slow=0.1")[-1] < 3.5


def test_a_flood_of_other_pages_does_not_use_up_what_locked_ones_need(small: Box) -> None:
    """Until then a crowd for one that is not kept yet has it together, while nothing else is kept any more."""
    for number in range(5):
        counted = flood(small, (f"/cms/others/{number}/{other}?size=60000" for other in range(300)))
        assert counted["200 bypass"] > 50
        page = f"/cms/locked/{number}?size=100000"
        assert flood(small, [page, page], together=1) == {"200 miss": 1, "200 hit": 1}
    assert waits(small, "/cms/locked/page?size=100000&slow=0.3")[-1] < 1.8


def test_a_start_does_not_wait_for_old_pages() -> None:
    """Not for deep paths (each was 390 folders), and not for as many files as a cache can have."""
    plant = (
        "import os\nfor number in range(16000):\n"
        "    with open(f'/run/flagon/kept-pages/{number:032x}', 'wb') as file: file.write(b'x' * 4000)\n"
    )
    with Box({"WEB_CONCURRENCY": "1"}, files={"app.py": APP}) as box:
        first = started(box)
        flood(box, (deep(number) for number in range(150)))
        assert inodes(box) < 1000
        box.exec("python3", "-c", plant, timeout=120)
        box.stop()
        box.start()
        assert started(box) < first + 1
        gone = "find /run/flagon -path '*.discarded*' | wc -l"
        wait_until(lambda: box.exec("sh", "-c", gone).strip() == "0", 90, "the old pages are removed")
        assert inodes(box) < 100
        assert flood(box, [deep(1)]) == {"200 miss": 1}


def started(box: Box) -> float:
    """Seconds that the last start took, by its own word."""
    time.sleep(0.6)
    return float(re.findall(r"after ([0-9.]+) s; trusted", box.logs())[-1])
