"""At the edge of the header limits: 414 or 431, never a 500, on both wires."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.client import HTTPException

import pytest

from .apps.wire import WIRES, Probe, read_answer
from .box import Box, run_once, size

HEADER_SIZE, HEADER_BUFFERS, HEADERS_MAX = 8192, 4, 100
STEP = size(400, 40)  # bytes between two sizes of a sweep, away from the edge


@pytest.fixture(scope="module", params=WIRES)
def box(request: pytest.FixtureRequest) -> Iterator[Probe]:
    with Probe(request.param) as box:
        yield box


@pytest.fixture(scope="module", params=WIRES)
def largest(request: pytest.FixtureRequest) -> Iterator[Probe]:
    """The largest headers that the settings allow: the record to the worker is as full as it can get."""
    with Probe(request.param, FLAGON_HEADER_SIZE=10239, FLAGON_HEADERS_MAX=1000) as box:
        yield box


def around(*edges: int, lowest: int, highest: int) -> list[int]:
    """Sizes from lowest to highest, closely around each edge."""
    close = {edge + by for edge in edges for by in (-60, -30, -20, -10, -4, -3, -2, -1, 0, 1, 2, 3, 10, 30)}
    return sorted({*range(lowest, highest, STEP), *close})


def status_of(box: Probe, target: str, headers: list[str]) -> int:
    lines = [f"GET {target} HTTP/1.1", "Host: box.test", *headers, "Connection: close", "", ""]
    answer = box.raw("\r\n".join(lines).encode())
    assert answer.complete
    assert answer.status in (200, 414, 431), (len(target), len(headers), answer.status)
    return answer.status


def sweep(box: Probe, requests: list[tuple[str, list[str]]], refused: int) -> None:
    """Small ones are served, large ones refused, with one edge between, and the refusal has its page."""
    got = [status_of(box, target, headers) for target, headers in requests]
    assert got[0] == 200
    assert got[-1] == refused
    assert set(got) == {200, refused}
    edge = got.index(refused)
    assert set(got[edge:]) == {refused}


def test_request_line(box: Probe) -> None:
    sizes = around(HEADER_SIZE, lowest=7000, highest=10000)
    sweep(box, [("/" + "p" * length, []) for length in sizes], 414)


def test_request_line_of_escapes(box: Probe) -> None:
    sizes = around(HEADER_SIZE // 3, lowest=2400, highest=3200)
    sweep(box, [("/" + "%20" * length, []) for length in sizes], 414)


def test_query_string(box: Probe) -> None:
    sizes = around(HEADER_SIZE, lowest=7000, highest=10000)
    sweep(box, [("/?" + "q" * length, []) for length in sizes], 414)


def test_one_header(box: Probe) -> None:
    sizes = around(HEADER_SIZE, lowest=7000, highest=10000)
    sweep(box, [("/", ["X-Long: " + "v" * length]) for length in sizes], 431)


def test_one_header_name(box: Probe) -> None:
    sizes = around(HEADER_SIZE, lowest=7000, highest=10000)
    sweep(box, [("/", ["X" * length + ": v"]) for length in sizes], 431)


def test_all_headers_together(box: Probe) -> None:
    """20 headers grow until HEADER_BUFFERS x HEADER_SIZE is full."""
    most = HEADER_SIZE * HEADER_BUFFERS // 20
    sizes = around(most, lowest=most // 2, highest=most + 800)
    sweep(box, [("/", [f"X-Part-{number}: " + "v" * length for number in range(20)]) for length in sizes], 431)


def test_cookies(box: Probe) -> None:
    sizes = around(HEADER_SIZE, lowest=7000, highest=10000)
    sweep(box, [("/", ["Cookie: c=" + "v" * length]) for length in sizes], 431)


def test_number_of_headers(box: Probe) -> None:
    counts = range(HEADERS_MAX - 12, HEADERS_MAX + 12)
    sweep(box, [("/", [f"X-{number}: v" for number in range(count)]) for count in counts], 431)


def test_a_long_line_with_many_headers(box: Probe) -> None:
    """The request line is in the record to the worker three times: both large at once."""
    for target in ("/" + "p" * 8100, "/" + "%7e" * 2700, "/?" + "q" * 8100):
        for length in around(lowest=200, highest=2000):
            status_of(box, target, [f"X-Part-{number}: " + "v" * length for number in range(20)])


def test_many_tiny_headers_with_a_long_line(box: Probe) -> None:
    """A header of five bytes takes eight and more in the record."""
    for count in (50, 90, 100, 101, 500, 2000, 6000):
        status_of(box, "/" + "p" * 8100, ["a:"] * count)
        status_of(box, "/" + "p" * 8100, [f"{number:x}:" for number in range(count)])


def test_the_largest_limits_that_are_accepted(largest: Probe) -> None:
    longest = 10239 - 20
    for target in ("/" + "p" * (longest - 1), "/?" + "q" * (longest - 2), "/" + "%20" * (longest // 3)):
        for count, length in ((0, 0), (3, 10_100), (4, 9000), (30, 1000), (100, 280), (900, 20), (990, 1), (999, 30)):
            status_of(largest, target, [f"X-{number}: " + "v" * length for number in range(count)])


def test_the_refusal_is_not_lost_when_the_rest_comes_late(box: Probe) -> None:
    """What the client still sends after nginx has answered must not turn the answer into a reset."""
    lost = 0
    for _ in range(size(150, 1000)):
        with box.connect() as wire:
            wire.sendall(b"GET /?" + b"q" * 9000)
            time.sleep(0.003)
            try:
                wire.sendall(b"q" * 500 + b" HTTP/1.1\r\nHost: box.test\r\nConnection: close\r\n\r\n")
                time.sleep(0.002)
                lost += read_answer(wire).status != 414
            except (ConnectionError, HTTPException):
                lost += 1
    assert lost == 0


@pytest.mark.parametrize(("status", "request_line"), [(414, "/" + "p" * 9000), (431, "/")])
def test_the_refusal_is_a_page(box: Probe, status: int, request_line: str) -> None:
    long = [] if status == 414 else ["X-Long: " + "v" * 9000]
    for accept, kind in (("application/json", "application/json"), ("text/html", "text/html")):
        lines = [f"GET {request_line} HTTP/1.1", "Host: box.test", f"Accept: {accept}", *long, "", ""]
        answer = box.raw("\r\n".join(lines).encode())
        assert answer.status == status
        # nginx stops reading at the line that is too long: of a 414 it has seen no Accept.
        assert (answer.header("Content-Type") or "").startswith(kind if status == 431 else "text/html")
        assert str(status).encode() in answer.body


@pytest.mark.parametrize("length", [100, 4000, 8000, 8192, 15000])
def test_headers_of_the_response(box: Probe, length: int) -> None:
    answer = box.ask(f"/large-header?size={length}")
    assert answer.status_code == 200
    assert len(answer.headers["X-Large"]) == length


def test_response_headers_beyond_any_buffer_are_a_502_and_not_a_hang(box: Probe) -> None:
    answer = box.ask("/large-header?size=40000", headers={"Accept": "application/json"})
    assert answer.status_code == 502
    assert answer.json()["error"]["status"] == 502
    assert box.ask("/tell").status_code == 200


def test_one_long_header_where_there_is_no_record() -> None:
    """Kerberos tickets and tokens of people who are in many groups: 12 to 48 kB."""
    with Probe("gthread", FLAGON_HEADER_SIZE="48k") as box:
        for length in (8190, 12_000, 24_000, 48_000):
            answer = box.ask("/tell", headers={"Authorization": "Bearer " + "t" * length})
            assert answer.status_code == 200
            assert len(answer.json()["environ"]["HTTP_AUTHORIZATION"]) == length + 7
        assert box.ask("/tell?" + "q" * 40_000).status_code == 200
        assert box.ask("/tell", headers={"Authorization": "t" * 50_000}).status_code == 431
        box.wait_log("431 (longer than HEADER_SIZE, or than HEADER_BUFFERS times that)")


def test_both_wires_have_one_edge(box: Probe) -> None:
    """nginx's: a line with its end in HEADER_SIZE."""
    lengths = {length: status_of(box, "/", ["X-Long: " + "v" * (length - 8)]) for length in range(8185, 8196)}
    assert lengths == {length: 200 if length <= 8190 else 431 for length in lengths}


@pytest.mark.parametrize(
    "env",
    [{"FLAGON_HEADER_SIZE": "32k"}, {"FLAGON_HEADER_BUFFERS": "8"}, {"FLAGON_HEADER_SIZE": "11k"}],
    ids=lambda env: "-".join(f"{name}={value}" for name, value in env.items()),
)
def test_limits_that_no_record_could_hold_are_refused(env: dict[str, str]) -> None:
    done = run_once(env=env)
    assert done.returncode == 78
    assert "HEADER_SIZE" in done.stdout + done.stderr
    assert "HEADER_BUFFERS" in done.stdout + done.stderr


LARGE = """def app(environ, start_response):
    start_response("200 OK", [("X-Large", "x" * int(environ["QUERY_STRING"] or 1))])
    return [b"ok"]
"""


@pytest.mark.parametrize(("wire", "setting"), [("fastcgi", "fastcgi_buffer_size"), ("gthread", "proxy_buffer_size")])
def test_response_headers_beyond_nginx_s_buffer_name_the_setting(wire: str, setting: str) -> None:
    files = {"main.py": LARGE}
    with Box({"WORKER_CLASS": wire}, files=files) as box:
        assert [box.get(f"/?{number}").status_code for number in (15_000, 20_000)] == [200, 502]
        assert f"set `{setting} 32k;` in /app/nginx/http.d/headers.conf" in box.wait_log("too big header")
    files["nginx/http.d/headers.conf"] = f"{setting} 32k;\n"
    with Box({"WORKER_CLASS": wire}, files=files) as box:
        assert box.get("/?20000").status_code == 200
