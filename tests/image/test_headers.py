"""Security headers with the application's own first, https by force, HSTS, and the starter's policy and cookies."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from .apps.wire import FASTCGI, WIRES, Probe
from .box import Box

OURS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}
HTTPS = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.test"}


@pytest.fixture(scope="module", params=WIRES)
def probe(request: pytest.FixtureRequest) -> Iterator[Probe]:
    with Probe(request.param, MAX_BODY_SIZE="1k", TIMEOUT=1) as box:
        yield box


@pytest.mark.parametrize(
    ("path", "status", "more"),
    [
        ("/tell", 200, {}), ("/answer?status=404+Not+Found", 404, {}), ("/fail", 500, {}),
        ("/up", 200, {}), ("/ready", 200, {}),
        ("/answer?status=302+Found&h=Location:/x", 302, {}), ("/tell", 413, {"method": "POST", "data": b"x" * 2000}),
        ("/" + "x" * 9000, 414, {}), ("/tell", 431, {"headers": {"X-Long": "x" * 9000}}), ("/kill", 502, {}),
    ],
    ids=["200", "404", "500", "up", "ready", "302", "413", "414", "431", "502"],
)  # fmt: skip
def test_each_answer_has_each_header_once(probe: Probe, path: str, status: int, more: dict[str, object]) -> None:
    answer = probe.ask(path, allow_redirects=False, **more)
    assert answer.status_code == status
    for name, value in OURS.items():
        assert answer.headers[name] == value  # requests joins several with a comma
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])
    assert "Strict-Transport-Security" not in answer.headers
    if status == 502:
        probe.wait_up()


def test_the_application_s_own_value_alone_goes_out(probe: Probe) -> None:
    answer = probe.ask("/answer?h=X-Frame-Options:DENY&h=referrer-policy:no-referrer")
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_off_is_off() -> None:
    with Probe(FASTCGI, SECURITY_HEADERS="off") as box:
        for path in ("/tell", "/up", "/" + "x" * 9000):
            answer = box.ask(path)
            assert not OURS.keys() & answer.headers.keys()
            assert "X-Request-ID" in answer.headers


@pytest.fixture(scope="module")
def forced() -> Iterator[Probe]:
    with Probe(FASTCGI, FORCE_HTTPS="on", HSTS="31536000; includeSubDomains", TRUSTED_PROXIES="private") as box:
        yield box


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_plain_http_is_sent_to_https(forced: Probe, method: str) -> None:
    """308 keeps the method and the body (RFC 9110 section 15.4.9); path and query go along byte for byte."""
    target = "/a%2Fb//c/../d%20e?x=%0d%0aSet-Cookie:y&z=/"
    raw = forced.raw(f"{method} {target} HTTP/1.1\r\nHost: shop.test:8080\r\nConnection: close\r\n\r\n".encode())
    assert raw.status == 308
    assert raw.header("Location") == "https://shop.test" + target
    assert raw.header("Strict-Transport-Security") is None
    assert raw.header("Set-Cookie") is None


@pytest.mark.parametrize(
    "head",
    [
        "GET http://evil.test/x HTTP/1.1\r\nHost: shop.test",
        "GET //evil.test/x HTTP/1.1\r\nHost: shop.test",
        "GET /\\evil.test/x HTTP/1.1\r\nHost: shop.test",
        "GET /x HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-Host: shop.test/@evil.test",
        "GET @evil.test/x HTTP/1.1\r\nHost: shop.test",
    ],
)
def test_it_is_no_way_to_somewhere_else(forced: Probe, head: str) -> None:
    answer = forced.raw(f"{head}\r\nConnection: close\r\n\r\n".encode())
    location = answer.header("Location") or "https://shop.test/"
    assert answer.status in (308, 400)
    absolute = head.startswith("GET http:")  # then its host is the request's host (RFC 9112 section 3.2.2)
    assert location.startswith("https://evil.test/" if absolute else "https://shop.test/")


@pytest.mark.parametrize("path", ["/up", "/healthz", "/livez", "/-/up", "/ready"])
def test_health_is_spared(forced: Probe, path: str) -> None:
    assert forced.ask(path, allow_redirects=False).status_code == 200


def test_acme_is_spared(forced: Probe) -> None:
    assert forced.ask("/.well-known/acme-challenge/token", allow_redirects=False).status_code == 200
    assert forced.ask("/.well-known/other", allow_redirects=False).status_code == 308


def test_over_https_it_serves_and_says_hsts(forced: Probe) -> None:
    answer = forced.ask("/tell", headers=HTTPS)
    assert answer.status_code == 200
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    own = forced.ask("/answer?h=Strict-Transport-Security:max-age%3D5", headers=HTTPS)
    assert own.headers["Strict-Transport-Security"] == "max-age=5"


def test_the_starter_s_pages_have_a_policy_with_a_new_nonce_each(starter: Box) -> None:
    nonces = set()
    for path in ("/", "/notes", "/nowhere", "/"):
        policy = starter.get(path, headers={"Accept": "text/html"}).headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "object-src 'none'" in policy
        assert "unsafe" not in policy
        found = re.search("script-src 'self' 'nonce-([A-Za-z0-9_-]{22})'", policy)
        assert found
        nonces.add(found[1])
    assert len(nonces) == 4
    assert "Content-Security-Policy" not in starter.get("/api/notes").headers


def test_nothing_in_the_starter_s_pages_breaks_its_policy(starter: Box) -> None:
    for path in ("/", "/notes", "/notes/new", "/nowhere"):
        text = starter.get(path, headers={"Accept": "text/html"}).text
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
        assert all("src=" in tag for tag in re.findall("<script[^>]*>", text))


def test_the_starter_s_session_cookie() -> None:
    with Box(env={"TRUSTED_PROXIES": "private"}) as box:
        for https in (False, True):
            with requests.Session() as session:  # one of our own: the box's keeps cookies
                answer = session.get(box.url("/notes"), headers=HTTPS if https else {}, timeout=10)
            cookie = answer.headers["Set-Cookie"]
            assert "; HttpOnly" in cookie
            assert "; SameSite=Lax" in cookie
            assert ("; Secure" in cookie) is https
