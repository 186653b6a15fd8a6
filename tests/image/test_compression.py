"""Dynamic texts are compressed, unless that could tell another site a secret."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator

import pytest
import requests

from .apps.wire import Background
from .box import Box

APP = """
import time
from flask import Flask, Response, make_response, request
app = Flask(__name__)
TEXT = "<p>hello, world</p>\\n" * 500

@app.route("/page", methods=["GET", "HEAD"])
def page():
    reply = make_response(TEXT)
    for name in ("Cache-Control", "Content-Encoding", "Content-Type", "ETag", "Vary"):
        if name in request.args: reply.headers[name] = request.args[name]
    reply.status_code = int(request.args.get("status", 200))
    if "set-cookie" in request.args: reply.set_cookie("a", "b")
    return reply

@app.route("/record", methods=["GET", "PUT"])
def record():
    reply = make_response(TEXT if request.method == "GET" else "written")
    reply.set_etag("3", weak="weak" in request.args)
    if request.method == "PUT" and not request.if_match.contains_raw('"3"'): return "changed meanwhile", 412
    return reply

@app.get("/short")
def short(): return "short"

@app.get("/large")
def large():
    lines = b"".join(b"%d,hello,world\\n" % number for number in range(10_000))
    reply = Response(lines * 100, mimetype="text/csv")
    if "ETag" in request.args: reply.headers["ETag"] = request.args["ETag"]
    return reply

@app.get("/peak")
def peak():
    with open("/proc/self/status") as file:
        return next(line.split()[1] for line in file if line.startswith("VmHWM"))

@app.get("/stream")
def stream():
    def parts():
        yield "a" * 2000
        time.sleep(1)
        yield "b" * 2000
    return Response(parts(), mimetype="text/plain")

def bare(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x" * 5000]

class Mounted:
    def __init__(self, inner): self.inner = inner
    def __call__(self, environ, start_response):
        return (bare if environ["PATH_INFO"] == "/bare" else self.inner)(environ, start_response)
app.wsgi_app = Mounted(app.wsgi_app)
"""
TEXT = "<p>hello, world</p>\n" * 500


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Box(files={"app.py": APP}) as found:
        yield found


def ask(box: Box, path: str = "/page", accept: str = "gzip", **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return box.get(path, headers={"Accept-Encoding": accept, **named}, stream=True)


def raw(reply: requests.Response) -> bytes:
    data: bytes = reply.raw.read(decode_content=False)
    return data


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip", "gzip"), ("br", "br"), ("gzip, deflate, br, zstd", "br"), ("br;q=0.1, gzip", "gzip"), ("*", "br"),
        ("gzip;q=0", None), ("identity", None), ("", None), ("deflate", None), ("GZIP", "gzip"),
        ("br;q=0, *;q=0.5", "gzip"),
        ("nonsense;;q=x", None),
    ],
)  # fmt: skip
def test_what_the_client_asks_for(box: Box, accept: str, coding: str | None) -> None:
    reply = ask(box, accept=accept)
    data = raw(reply)
    assert reply.headers.get("Content-Encoding") == coding
    assert reply.headers["Vary"] == "Accept-Encoding"
    assert len(data) == int(reply.headers["Content-Length"])
    if coding == "gzip":
        assert gzip.decompress(data).decode() == TEXT
    if coding == "br":
        assert box.exec("curl", "-s", "--compressed", "-H", "Accept-Encoding: br", "http://127.0.0.1:8080/page") == TEXT
    assert (len(data) < len(TEXT) / 10) == bool(coding)


@pytest.mark.parametrize(
    "query",
    [
        "Content-Type=image/png", "Content-Type=text/event-stream", "Content-Encoding=x-own", "status=404",
        "status=500",
        "Cache-Control=no-transform",
    ],
)  # fmt: skip
def test_what_is_left_as_it_is(box: Box, query: str) -> None:
    reply = ask(box, f"/page?{query}")
    assert reply.headers.get("Content-Encoding") in (None, "x-own")
    assert len(raw(reply)) == len(TEXT)


@pytest.mark.parametrize(
    "kind", ["application/json", "application/problem+json", "text/csv; charset=utf-8", "image/svg+xml"]
)
def test_which_types(box: Box, kind: str) -> None:
    assert ask(box, f"/page?Content-Type={kind.replace('+', '%2B')}").headers["Content-Encoding"] == "gzip"


def test_short_and_streamed_texts_are_not(box: Box) -> None:
    assert "Content-Encoding" not in ask(box, "/short").headers
    reply = ask(box, "/stream")
    assert "Content-Encoding" not in reply.headers
    first = next(reply.iter_content(2000))
    assert (first, reply.elapsed.total_seconds() < 0.9) == (b"a" * 2000, True)
    assert ask(box, "/bare").headers["Content-Encoding"] == "gzip"


def test_tags_and_vary(box: Box) -> None:
    for path in ("/page", "/large"):
        for accept in ("gzip", "identity"):
            reply = ask(box, f'{path}?ETag="a"', accept)
            assert (reply.headers["ETag"], reply.headers.get("Content-Encoding")) == ('"a"', None)
            assert len(raw(reply)) == int(reply.headers["Content-Length"])
        reply = ask(box, f'{path}?ETag=W/"a"')
        assert (reply.headers["ETag"], reply.headers["Content-Encoding"]) == ('W/"a"', "gzip")
    assert ask(box, "/page?Vary=Cookie").headers["Vary"] == "Cookie, Accept-Encoding"
    assert ask(box, "/page?Vary=accept-encoding").headers["Vary"] == "accept-encoding"


def test_what_was_read_with_its_tag_can_be_written(box: Box) -> None:
    """Optimistic concurrency: If-Match compares strongly (RFC 9110, section 13.1.1)."""
    tag = ask(box, "/record", "gzip, br").headers["ETag"]
    replies = [box.request("PUT", "/record", headers={"If-Match": given}) for given in (tag, '"2"')]
    assert [(reply.status_code, reply.text) for reply in replies] == [(200, "written"), (412, "changed meanwhile")]
    assert ask(box, "/record?weak=1").headers["Content-Encoding"] == "gzip"


def test_head_is_of_the_plain_text(box: Box) -> None:
    reply = box.request("HEAD", "/page", headers={"Accept-Encoding": "gzip"})
    assert (reply.status_code, reply.content) == (200, b"")


@pytest.mark.parametrize(
    ("headers", "compressed"),
    [
        ({}, True),
        ({"Cookie": "session=1"}, False),
        ({"Authorization": "Bearer 1"}, False),
        ({"Cookie": "session=1", "Sec_Fetch_Site": "cross-site"}, False),
        ({"Cookie": "session=1", "Sec_Fetch_Site": "same-site"}, False),
        ({"Cookie": "session=1", "Sec_Fetch_Site": "same-origin"}, True),
        ({"Cookie": "session=1", "Sec_Fetch_Site": "none"}, True),
        ({"Sec_Fetch_Site": "cross-site"}, True),
    ],
)
def test_no_length_that_tells_another_site_a_secret(box: Box, headers: dict[str, str], compressed: bool) -> None:
    reply = ask(box, **headers)
    assert ("Content-Encoding" in reply.headers) == compressed
    assert "Accept-Encoding" in reply.headers["Vary"]


def test_all_and_off() -> None:
    with Box({"COMPRESSION": "all"}, files={"app.py": APP}) as box:
        assert ask(box, Cookie="session=1").headers["Content-Encoding"] == "gzip"
        for path in ("/page", "/large"):
            reply = ask(box, f'{path}?ETag="a"')
            assert (reply.headers["ETag"], reply.headers["Content-Encoding"]) == ('W/"a"', "gzip")
    with Box({"COMPRESSION": "off"}, files={"app.py": APP}) as box:
        reply = ask(box)
        assert "Content-Encoding" not in reply.headers
        assert "Vary" not in reply.headers


def test_kept_pages_are_kept_compressed(box: Box) -> None:
    path = "/page?Cache-Control=public,max-age=60"
    for accept in ("gzip", "gzip", "br", "identity"):
        ask(box, path, accept)
        time.sleep(0.05)  # the mark is made once the answer has left
    for accept, coding in (("gzip", "gzip"), ("br", "br"), ("identity", None)):
        reply = ask(box, path, accept)
        assert (reply.headers.get("X-Cache"), reply.headers.get("Content-Encoding")) == ("hit", coding)


def test_large_answers_take_no_more_memory_compressed_than_plain() -> None:
    """Three at once of 17 MB in a box of 256 MB: packed in pieces, by gzip, or not at all."""
    size = len(b"".join(b"%d,hello,world\n" % number for number in range(10_000))) * 100
    env = {"WEB_CONCURRENCY": "1", "THREADS": "4"}
    with Box(env, files={"app.py": APP}, args=["-m", "256m", "--memory-swap", "256m"]) as box:

        def three(accept: str) -> list[tuple[int, str | None, int, int]]:
            def one() -> tuple[int, str | None, int, int]:
                with requests.Session() as session:
                    session.trust_env = False
                    headers = {"Accept-Encoding": accept}
                    reply = session.get(box.url("/large"), headers=headers, timeout=60, stream=True)
                    data = raw(reply)
                    coding = reply.headers.get("Content-Encoding")
                    plain = gzip.decompress(data) if coding == "gzip" else data
                    return reply.status_code, coding, len(plain), len(data)

            calls = [Background(one) for _ in range(3)]
            return [call.result() for call in calls]

        for _ in range(5):  # each thread's own arena grows once
            assert [found[:3] for found in three("identity")] == [(200, None, size)] * 3
        before = int(box.get("/peak").text)
        for accept in ("br", "gzip", "gzip, deflate, br, zstd"):
            coding = "gzip" if "gzip" in accept else None
            assert [found[:3] for found in three(accept)] == [(200, coding, size)] * 3
        packed = three("gzip")[0][3]
        assert packed < size / 3
        assert int(box.get("/peak").text) - before < 12_000  # KiB; one more copy of one answer is 16,000
        assert "killed" not in box.logs()


def test_a_large_answer_says_what_a_small_one_says(box: Box) -> None:
    reply = ask(box, "/large", "gzip")
    assert (reply.headers["Vary"], reply.headers.get("Content-Length")) == ("Accept-Encoding", None)
    assert reply.headers["Transfer-Encoding"] == "chunked"
    reply.close()
    reply = ask(box, "/large", "br")
    assert (reply.headers["Vary"], reply.headers.get("Content-Encoding")) == ("Accept-Encoding", None)
    assert len(raw(reply)) == int(reply.headers["Content-Length"])
    reply = box.request("HEAD", "/large", headers={"Accept-Encoding": "gzip"})
    assert (reply.status_code, reply.content) == (200, b"")
