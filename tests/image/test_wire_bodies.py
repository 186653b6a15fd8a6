"""Request bodies on both wires: any size arrives whole, costs no memory, and a body nobody reads harms nobody."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator

import pytest
import requests

from .apps.wire import BLOCK, FASTCGI, WIRES, Background, Probe, Zeros, blocks, read_answer
from .box import size

MB = 1 << 20
LARGEST = size(40, 200) * MB
UNREAD = size(30, 100) * MB
MEMORY_GROWTH = 8 * 1024  # KiB: buffers of the interpreter, far below any body that is sent


@pytest.fixture(scope="module", params=WIRES)
def box(request: pytest.FixtureRequest) -> Iterator[Probe]:
    with Probe(request.param, MAX_BODY_SIZE=LARGEST + MB) as box:
        yield box


@pytest.fixture(scope="module", params=WIRES)
def small(request: pytest.FixtureRequest) -> Iterator[Probe]:
    """One thread, bodies of at most 1 MiB."""
    with Probe(request.param, THREADS=1, MAX_BODY_SIZE="1m", TIMEOUT=5) as box:
        yield box


@pytest.mark.parametrize("how", ["blocks", "lines", "all"])
@pytest.mark.parametrize("length", [0, 1, 65527, 65535, 65536, 65537, 262144, 3 * MB + 7])
def test_body_arrives(box: Probe, length: int, how: str) -> None:
    body = (BLOCK * (length // len(BLOCK) + 1))[:length]
    told = box.ask(f"/take?how={how}", "POST", data=body).json()
    assert (told["size"], told["sha256"]) == (length, hashlib.sha256(body).hexdigest())
    assert told["after"] == 0


def test_a_large_body_arrives_and_costs_no_memory(box: Probe) -> None:
    box.ask("/take", "POST", data=BLOCK)
    before = box.ask("/memory").json()
    told = box.ask("/take", "POST", data=Zeros(LARGEST), timeout=120).json()
    assert told["size"] == LARGEST
    digest = hashlib.sha256()
    for _ in range(LARGEST // MB):
        digest.update(bytes(MB))
    assert told["sha256"] == digest.hexdigest()
    assert told["pid"] == before["pid"]
    assert told["peak"] - before["peak"] < MEMORY_GROWTH
    rollup = box.exec("cat", f"/proc/{told['pid']}/smaps_rollup")
    now = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Rss:"))
    assert now - before["peak"] < MEMORY_GROWTH


@pytest.mark.parametrize("count", [0, 1, 33])
def test_chunked_body_arrives(box: Probe, count: int) -> None:
    told = box.ask("/take", "POST", data=blocks(count) if count else iter([b""])).json()
    assert (told["size"], told["sha256"]) == (count * len(BLOCK), hashlib.sha256(BLOCK * count).hexdigest())


def test_chunked_body_has_a_length(box: Probe) -> None:
    told = box.ask("/tell", "POST", data=blocks(2)).json()["environ"]
    assert told["CONTENT_LENGTH"] == str(2 * len(BLOCK))
    assert "HTTP_TRANSFER_ENCODING" not in told


@pytest.mark.parametrize("box", [FASTCGI], indirect=True)
def test_response_that_begins_before_the_body_is_read(box: Probe) -> None:
    answer = box.ask("/echo", "POST", data=BLOCK * 80)
    assert answer.text == "begun\n" + hashlib.sha256(BLOCK * 80).hexdigest()


@pytest.mark.parametrize("length", [12, 300_000])
def test_401_to_a_large_body_that_is_not_read_arrives_whole(box: Probe, length: int) -> None:
    for _ in range(3):
        answer = box.ask(f"/refuse?size={length}", "POST", data=Zeros(UNREAD), timeout=120)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Basic"
        assert answer.text == "x" * length


def test_an_answer_to_a_body_that_is_not_read_is_never_a_502(box: Probe) -> None:
    """Closing a connection with unread bytes resets it, and nginx may lose the answer: a matter of timing, so often."""
    statuses = Counter(
        box.ask(f"/refuse?size={answer}", "POST", data=bytes(MB)).status_code
        for _ in range(size(100, 500))
        for answer in (12, 300_000)
    )
    assert set(statuses) == {401}, statuses


def test_bodies_that_are_not_read_do_not_disturb_the_next_request(box: Probe) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for number in range(20):
            url = f"http://127.0.0.1:{box.outside}"
            assert session.post(f"{url}/refuse", data=BLOCK * 5).status_code == 401
            assert session.get(f"{url}/tell?{number}").json()["environ"]["QUERY_STRING"] == str(number)


def test_many_uploads_at_once(box: Probe) -> None:
    bodies = [bytes([number]) * (number * 100_000 + 1) for number in range(12)]
    calls = [Background(box.ask, "/take", "POST", data=body) for body in bodies]
    for call, body in zip(calls, bodies, strict=True):
        assert call.result().json()["sha256"] == hashlib.sha256(body).hexdigest()


# MAX_BODY_SIZE


def test_body_of_exactly_the_limit(small: Probe) -> None:
    assert small.ask("/take", "POST", data=bytes(MB)).json()["size"] == MB
    assert small.ask("/take", "POST", data=blocks(16)).json()["size"] == MB


@pytest.mark.parametrize("accept", ["application/json", "text/html,*/*;q=0.8"])
@pytest.mark.parametrize("chunked", [False, True])
def test_one_byte_more_is_413(small: Probe, accept: str, chunked: bool) -> None:
    body = iter([bytes(MB), b"x"]) if chunked else bytes(MB + 1)
    answer = small.ask("/take", "POST", data=body, headers={"Accept": accept})
    assert answer.status_code == 413
    assert answer.headers["X-Request-ID"]
    if accept == "application/json":
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.json()["error"]["status"] == 413
    else:
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "413" in answer.text


# Slow clients


def test_slow_uploads_hold_no_request_thread(small: Probe) -> None:
    """One thread, five clients in the middle of their bodies: the sixth is served at once."""
    slow = [small.connect() for _ in range(5)]
    try:
        for wire in slow:
            head = "POST /take HTTP/1.1\r\nHost: box.test\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n"
            wire.sendall(head.encode() + bytes(100_000))
        time.sleep(0.5)
        begun = time.monotonic()
        assert small.ask("/tell").status_code == 200
        assert time.monotonic() - begun < 1
        for wire in slow:
            wire.sendall(bytes(100_000))
            answer = read_answer(wire)
            assert json.loads(answer.body)["sha256"] == hashlib.sha256(bytes(200_000)).hexdigest()
    finally:
        for wire in slow:
            wire.close()


def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(small: Probe) -> None:
    for _ in range(5):
        with small.connect() as wire:
            wire.sendall(b"POST /take HTTP/1.1\r\nHost: box.test\r\nContent-Length: 200000\r\n\r\n" + bytes(1000))
    assert small.ask("/take", "POST", data=b"fine").json()["size"] == 4


def test_expect_100_continue(small: Probe) -> None:
    with small.connect() as wire:
        head = "POST /take HTTP/1.1\r\nHost: box.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close"
        wire.sendall(head.encode() + b"\r\n\r\n")
        assert wire.recv(4096).startswith(b"HTTP/1.1 100")
        wire.sendall(b"12345")
        assert json.loads(read_answer(wire).body)["size"] == 5


def test_expect_100_continue_of_a_body_that_is_too_large(small: Probe) -> None:
    """The body is not asked for."""
    head = f"POST /take HTTP/1.1\r\nHost: box.test\r\nContent-Length: {MB + 1}\r\nExpect: 100-continue\r\n\r\n"
    assert small.raw(head.encode()).status == 413


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: -1",
        "Content-Length: 5x",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
    ],
)
def test_ambiguous_lengths_are_refused(small: Probe, head: str) -> None:
    """Request smuggling: what two parsers could read in two ways is an error."""
    answer = small.raw(f"POST /take HTTP/1.1\r\nHost: box.test\r\n{head}\r\n\r\n5\r\n12345\r\n0\r\n\r\n".encode())
    assert answer.status in (400, 501)
