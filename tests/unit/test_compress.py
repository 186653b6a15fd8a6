"""Which coding a client gets, and what a length may tell."""

import gzip

import fastcgi_client as fc
import pytest

from flagon.inside.compress import Compression, chosen, may_leak
from flagon.inside.response import Response

TEXT = b"hello " * 500
HTML = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(TEXT)))]


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip", "gzip"), ("gzip, br", "br"), ("br;q=0.5, gzip;q=0.8", "gzip"), ("*;q=0.1", "br"),
        ("*, br;q=0", "gzip"),
        ("gzip;q=0", ""), ("", ""), ("identity", ""), ("gzip;q=2", ""), ("gzip;q=", ""), (" GZIP ; Q=1", "gzip"),
        ("gzip;q=0.001", "gzip"), ("x-gzip", ""), (",,gzip,,", "gzip"),
    ],
)  # fmt: skip
def test_chosen(accept, coding):
    assert chosen(accept) == coding


@pytest.mark.parametrize("site", [None, "cross-site", "same-site", "same-origin", "none", "nonsense"])
@pytest.mark.parametrize("credential", ["HTTP_COOKIE", "HTTP_AUTHORIZATION", None])
def test_may_leak(site, credential):
    environ = {"HTTP_SEC_FETCH_SITE": site} if site else {}
    if credential:
        environ[credential] = "x"
    assert may_leak(environ) == (bool(credential) and site not in ("same-origin", "none"))


def test_the_other_headers_stay_in_their_order():
    headers = [("X-A", "1"), *HTML, ("ETag", '"t"'), ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")]
    found, body = Compression(safe=False).apply({"HTTP_ACCEPT_ENCODING": "gzip"}, "200 OK", headers, TEXT)
    assert gzip.decompress(body) == TEXT
    assert found == [
        ("X-A", "1"), HTML[0], ("ETag", 'W/"t"'), ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"),
        ("Vary", "Accept-Encoding"), ("Content-Encoding", "gzip"), ("Content-Length", str(len(body))),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tag", "safe", "said"),
    [
        ('"t"', True, None), ('"t"', False, 'W/"t"'), ('W/"t"', True, 'W/"t"'), ('W/"t"', False, 'W/"t"'),
        ('w/"t"', True, None), ("bare", True, None), ("bare", False, "bare"),
    ],
)  # fmt: skip
def test_a_strong_tag_promises_these_bytes(tag, safe, said):
    """So these are what leaves with COMPRESSION=safe. None: left alone, Vary too."""
    headers, compression = [*HTML, ("etag", tag)], Compression(safe)
    environ = {"HTTP_ACCEPT_ENCODING": "gzip"}
    found, body = compression.apply(environ, "200 OK", headers, TEXT)
    large, pieces = compression.stream(environ, "200 OK", headers, [TEXT])
    if said is None:
        assert (found, body, large, pieces) == (headers, TEXT, headers, None)
    else:
        assert dict(found)["etag"] == dict(large)["etag"] == said
        assert gzip.decompress(body) == gzip.decompress(b"".join(pieces)) == TEXT


def test_without_a_brotli_library_it_is_gzip(monkeypatch):
    monkeypatch.setattr("flagon.inside.compress.brotli", lambda *_: b"")
    found, body = Compression(safe=True).apply({"HTTP_ACCEPT_ENCODING": "br"}, "200 OK", HTML, TEXT)
    assert (dict(found)["Content-Encoding"], gzip.decompress(body)) == ("gzip", TEXT)


def test_what_does_not_shrink_stays():
    import random

    noise = random.Random(1).randbytes(3000)
    found, body = Compression(safe=False).apply({"HTTP_ACCEPT_ENCODING": "gzip"}, "200 OK", HTML, noise)
    assert (body, dict(found).get("Content-Encoding"), dict(found)["Vary"]) == (noise, None, "Accept-Encoding")


# Large bodies: by gzip alone, in pieces


LINE = b"%d,hello,world\n"
ROWS = [LINE % number for number in range(200_000)]
LARGE = b"".join(ROWS)  # 3.9 MB
CSV = [("Content-Type", "text/csv"), ("ETag", 'W/"t"')]
STRONG = [("Content-Type", "text/csv"), ("ETag", '"t"')]
DECLARED = [*CSV, ("Content-Length", str(len(LARGE)))]


def ask(body, headers=CSV, accept="gzip, br", method="GET", status="200 OK", compression=True, **environ):
    def application(_, start_response):
        start_response(status, list(headers))
        return body()

    compress = Compression(safe=True) if compression else None
    return fc.Box(application, compression=compress).ask(method, HTTP_ACCEPT_ENCODING=accept, **environ)


BODIES = {
    "a list of one": (lambda: [LARGE], CSV),
    "a list of many": (lambda: ROWS, CSV),
    "a tuple": (lambda: (LARGE[:1000], LARGE[1000:]), DECLARED),
    "an iterator, as Flask gives": (lambda: iter([LARGE]), DECLARED),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("accept", ["gzip", "gzip, deflate, br", "br;q=1, gzip;q=0.1", "*"])
def test_a_large_body_is_packed_in_pieces(name, accept):
    body, headers = BODIES[name]
    reply = ask(body, headers, accept)
    assert gzip.decompress(reply.body) == LARGE
    assert (reply["Content-Encoding"], reply["Content-Length"], reply["ETag"]) == ("gzip", None, 'W/"t"')
    assert reply["Vary"] == "Accept-Encoding"
    assert reply.ended


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(
    "how", [{"accept": "br"}, {"accept": ""}, {"accept": "gzip", "HTTP_COOKIE": "a=b"}, {"compression": False}]
)
def test_a_large_body_that_is_not_packed_has_its_length(name, how):
    body, headers = BODIES[name]
    reply = ask(body, headers, **how)
    assert reply.body == LARGE
    assert (reply["Content-Encoding"], reply["Content-Length"], reply["ETag"]) == (None, str(len(LARGE)), 'W/"t"')
    assert reply["Vary"] == (None if "compression" in how else "Accept-Encoding")
    assert reply.ended


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("how", [{"method": "HEAD"}, {"status": "304 Not Modified"}])
def test_no_body_where_none_is_due(name, how):
    body, headers = BODIES[name]
    reply = ask(body, headers, **how)
    assert (reply.body, reply["Content-Encoding"], reply["ETag"], reply.ended) == (b"", None, 'W/"t"', True)


@pytest.mark.parametrize("body", [lambda: [LARGE], lambda: ROWS, lambda: [LARGE[:5000]]])
def test_a_body_with_a_strong_tag_leaves_as_it_is(body):
    reply = ask(body, STRONG)
    assert reply.body == b"".join(body())
    assert (reply["Content-Encoding"], reply["Content-Length"]) == (None, str(len(reply.body)))
    assert (reply["ETag"], reply["Vary"]) == ('"t"', None)


def test_a_large_body_that_is_shorter_or_longer_than_it_says():
    """As a small one: cut, or broken off."""
    longer = ask(lambda: [LARGE], [*CSV, ("Content-Length", "2000000")], accept="")
    assert (longer.body, longer.ended) == (LARGE[:2_000_000], True)
    shorter = ask(lambda: [LARGE], [*CSV, ("Content-Length", str(len(LARGE) + 1))], accept="")
    assert (shorter.body, shorter.ended) == (LARGE, False)


def test_what_comes_after_the_only_piece_is_run():
    done = []

    def body():
        yield LARGE
        done.append(1)

    assert gzip.decompress(ask(body, DECLARED).body) == LARGE
    assert done == [1]


@pytest.mark.parametrize("wrong", ["text" * 500_000, bytearray(2_000_000)])
def test_a_large_body_that_is_no_bytes(wrong):
    reply = ask(lambda: iter([wrong]), [("Content-Type", "text/csv"), ("Content-Length", "2000000")])
    assert reply.status == "500 Internal Server Error"


def peak(body, **how):
    """The most memory that a response takes beside its body, in bytes; the reply is thrown away as it comes."""
    import tracemalloc

    class Wire:
        def send(self, data):
            pass

        def end(self):
            return b""

        def settle_body(self, complete):
            pass

    response = Response(Wire(), head_only=False)
    response.compress = (Compression(safe=True), {"HTTP_ACCEPT_ENCODING": how["accept"]}) if how else None
    response.start("200 OK", [("Content-Type", "text/csv"), ("Content-Length", str(len(LARGE)))])
    tracemalloc.start()
    try:
        response.run(body)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [lambda: [LARGE], lambda: ROWS, lambda: iter([LARGE])])
@pytest.mark.parametrize("how", [{}, {"accept": ""}, {"accept": "br"}, {"accept": "gzip, br"}])
def test_no_second_copy_of_a_large_body(kind, how):
    assert peak(kind(), **how) < 1_000_000


def test_brotli_makes_one_copy_of_what_it_packs():
    """Of a body below a megabyte: room for the packed one, which is as large as the body at most."""
    import tracemalloc

    from flagon.compression import brotli

    body = LARGE[:1_000_000]
    if not brotli(body, 4, 18):
        pytest.skip("no brotli library on this machine; the image has one")
    tracemalloc.start()
    packed = brotli(body, 4, 18)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < len(body) + 2 * len(packed) + 20_000


def test_other_threads_run_while_a_large_body_is_packed():
    import threading

    ticks, over = [], threading.Event()

    def tick():
        while not over.wait(0.001):
            ticks.append(1)

    thread = threading.Thread(target=tick)
    thread.start()
    ask(lambda: [LARGE * 4], CSV)
    over.set()
    thread.join()
    assert len(ticks) > 10
