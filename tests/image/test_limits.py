"""nginx at the edge: sizes, error pages, what the client may say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .box import Box, raw, run_once

ECHO = """import json
def app(environ, start_response):
    if environ["PATH_INFO"] == "/read":
        environ["wsgi.input"].read()
    found = {key: value for key, value in environ.items() if isinstance(value, str)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]
"""


@pytest.fixture(scope="module")
def echo() -> Iterator[Box]:
    with Box(files={"main.py": ECHO}, env={"MAX_BODY_SIZE": "1m", "TRUSTED_PROXIES": "private"}) as box:
        yield box


def test_a_body_at_the_limit(echo: Box) -> None:
    assert echo.post("/read", data=b"x" * 2**20).status_code == 200


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"), ("text/html", "text/html"), ("*/*", "text/html"),
        ("application/json, text/html", "application/json"), ("text/plain, application/json", "application/json"),
        ("text/html, application/json", "text/html"), ("*/*, application/json, text/html", "text/html"),
    ],
)  # fmt: skip
def test_a_body_beyond_the_limit(echo: Box, accept: str, kind: str) -> None:
    answer = echo.post("/read", data=b"x" * (2**20 + 1), headers={"Accept": accept})
    assert answer.status_code == 413
    assert answer.headers["Content-Type"].startswith(kind)
    assert answer.headers["X-Request-ID"]
    assert "nginx" not in answer.text
    if kind == "application/json":
        assert isinstance(answer.json(), dict)


def test_a_request_line_beyond_the_limit_is_414(echo: Box) -> None:
    assert echo.get("/" + "x" * 7000).status_code == 200
    answer = echo.get("/" + "x" * 9000)
    assert answer.status_code == 414


def test_headers_beyond_the_limit_are_431(echo: Box) -> None:
    assert echo.get("/", headers={"X-Long": "x" * 7000}).status_code == 200
    assert echo.get("/", headers={"X-Long": "x" * 9000}).status_code == 431
    assert echo.get("/", headers={f"X-Long-{n}": "x" * 7000 for n in range(8)}).status_code == 431


def test_the_most_that_is_accepted_is_never_a_500(echo: Box) -> None:
    """Three times the target and all headers travel in one record."""
    for target in (7900, 8150):
        for count in (3, 4):
            headers = {f"X-{n}": "y" * 7900 for n in range(count)}
            assert echo.get("/" + "%41" * (target // 3), headers=headers).status_code in (200, 414, 431)


def test_too_many_headers(echo: Box) -> None:
    assert echo.get("/", headers={f"X-{n}": "y" for n in range(80)}).status_code == 200
    assert echo.get("/", headers={f"X-{n}": "y" for n in range(300)}).status_code in (400, 431)


def test_settings_that_cannot_be_together_are_refused() -> None:
    done = run_once(["check"], env={"HEADER_SIZE": "16k", "WORKER_CLASS": "fastcgi"})
    assert done.returncode == 78
    assert "HEADER_SIZE=16384" in done.stderr


def test_no_version_on_an_error_page(echo: Box) -> None:
    answer = raw(echo.host_port(), b"NONSENSE\r\n\r\n", timeout=2)
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert b"nginx/" not in answer


def test_headers_with_underscores_do_not_pass_for_others(echo: Box) -> None:
    seen = echo.get("/", headers={"X_Forwarded_For": "6.6.6.6", "X_Request_ID": "evil-evil-evil"}).json()
    assert "6.6.6.6" not in str(seen)
    assert "evil" not in str(seen)


@pytest.mark.parametrize(
    "header",
    ["Forwarded", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Client-IP", "True-Client-IP", "Client-IP", "Proxy"],
)
def test_an_untrusted_peer_says_nothing(header: str, untrusting: Box) -> None:
    assert "6.6.6.6" not in str(untrusting.get("/", headers={header: "6.6.6.6"}).json())


@pytest.fixture(scope="module")
def untrusting() -> Iterator[Box]:
    with Box(files={"main.py": ECHO}) as box:
        yield box


def test_address_scheme_host_and_id_of_an_untrusted_peer_are_dropped(untrusting: Box) -> None:
    headers = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Request-ID": "evil-evil-evil",
    }
    answer = untrusting.get("/", headers=headers)
    seen = answer.json()
    assert "6.6.6.6" not in str(seen)
    assert seen["wsgi.url_scheme"] == "http"
    assert seen["HTTP_X_FORWARDED_PROTO"] == "http"
    assert "evil" not in answer.headers["X-Request-ID"] + str(seen)


def test_a_trusted_proxy_is_believed(echo: Box) -> None:
    """The engine's gateway is a private address."""
    headers = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "shop.example",
        "X-Request-ID": "from-the-proxy-1",
    }
    answer = echo.get("/", headers=headers)
    seen = answer.json()
    assert seen["REMOTE_ADDR"] == "203.0.113.9"
    assert seen["wsgi.url_scheme"] == "https"
    assert seen["HTTP_HOST"] == "shop.example"
    assert seen["HTTP_X_REQUEST_ID"] == "from-the-proxy-1"
    assert answer.headers["X-Request-ID"] == "from-the-proxy-1"
    assert echo.wait_record(lambda one: one.get("request_id") == "from-the-proxy-1")["client"] == "203.0.113.9"


@pytest.mark.parametrize("number", ["short", "x" * 65, "with blank space", 'quote"quote"', "a" * 7 + "\u00e9"])
def test_a_bad_id_of_a_trusted_proxy_is_replaced(echo: Box, number: str) -> None:
    answer = echo.get("/", headers={"X-Request-ID": number.encode()})
    assert answer.headers["X-Request-ID"] != number
    assert answer.json()["HTTP_X_REQUEST_ID"] == answer.headers["X-Request-ID"]


def test_the_application_s_id_header_does_not_make_two(echo: Box) -> None:
    assert "," not in echo.get("/").headers["X-Request-ID"]


def test_the_port_the_client_used_is_in_the_host(echo: Box) -> None:
    seen = echo.get("/").json()
    assert seen["HTTP_HOST"] == f"127.0.0.1:{echo.host_port()}"
    assert seen["SERVER_PORT"] == str(echo.host_port())


def test_redirects_stay_relative_to_the_client() -> None:
    source = """from flask import Flask, redirect
app = Flask(__name__)
@app.get("/old")
def old():
    return redirect("/new")
@app.get("/folder/")
def folder():
    return "folder"
"""
    with Box(files={"main.py": source}, env={"TRUSTED_PROXIES": "private"}) as box:
        assert box.get("/old").headers["Location"] == "/new"
        answer = box.get("/folder", headers={"Host": "shop.example", "X-Forwarded-Proto": "https"})
        assert answer.status_code in (301, 308)
        assert answer.headers["Location"] in ("/folder/", "https://shop.example/folder/")
