"""Which coding a client gets, and what a length may tell."""

import gzip

import pytest

from flagon.inside.compress import Compression, chosen, may_leak

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
    found, body = Compression(safe=True).apply({"HTTP_ACCEPT_ENCODING": "gzip"}, "200 OK", headers, TEXT)
    assert gzip.decompress(body) == TEXT
    assert found == [
        ("X-A", "1"), HTML[0], ("ETag", 'W/"t"'), ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"),
        ("Vary", "Accept-Encoding"), ("Content-Encoding", "gzip"), ("Content-Length", str(len(body))),
    ]  # fmt: skip


def test_without_a_brotli_library_it_is_gzip(monkeypatch):
    monkeypatch.setattr("flagon.inside.compress.brotli", lambda *_: b"")
    found, body = Compression(safe=True).apply({"HTTP_ACCEPT_ENCODING": "br"}, "200 OK", HTML, TEXT)
    assert (dict(found)["Content-Encoding"], gzip.decompress(body)) == ("gzip", TEXT)


def test_what_does_not_shrink_stays():
    import random

    noise = random.Random(1).randbytes(3000)
    found, body = Compression(safe=False).apply({"HTTP_ACCEPT_ENCODING": "gzip"}, "200 OK", HTML, noise)
    assert (body, dict(found).get("Content-Encoding"), dict(found)["Vary"]) == (noise, None, "Accept-Encoding")
