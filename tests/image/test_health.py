"""Health: every path, every host, whatever the application does."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
import requests

from .box import Box, raw, wait_until

LIVE = ["/up", "/health", "/healthz", "/livez", "/-/up"]
READY = ["/ready", "/readyz"]
SLEEPER = """import time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        time.sleep(4)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"awake"]
"""
OWN = """from flask import Flask, url_for, request
app = Flask(__name__)
@app.get("/up")
def up():
    return "mine", 201
@app.get("/readyz")
def ready():
    return "mine too", 503
@app.get("/-/up")
def reserved():
    return "never", 404
@app.route("/<path:rest>")
def rest(rest):
    return "caught", 418
@app.get("/where")
def where():
    return {"url": url_for("where"), "script": request.environ["SCRIPT_NAME"], "path": request.environ["PATH_INFO"]}
"""


@pytest.mark.parametrize("path", LIVE + READY)
def test_answers_200(starter: Box, path: str) -> None:
    answer = starter.get(path)
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("path", ["/up", "/ready"])
@pytest.mark.parametrize("host", ["example.org", "10.1.2.3:8080", "a_b", "healthcheck.railway.app", "[::1]:80"])
def test_any_host(starter: Box, path: str, host: str) -> None:
    assert starter.get(path, headers={"Host": host}).status_code == 200


def test_http_1_0_without_a_host(starter: Box) -> None:
    answer = raw(starter.host_port(), b"GET /up HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


LATE = """
import time
def app(environ, start_response):
    time.sleep(0.3)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"late"]
"""
PATIENT = "location /patient/ { fastcgi_ignore_client_abort on; include fragments/app.conf; }\n"


def half_closed(box: Box, path: str) -> bytes:
    """What a client gets that closes its side right after the request, as `printf ... | nc -N` does."""
    with socket.create_connection(("127.0.0.1", box.host_port()), timeout=10) as wire:
        wire.sendall(f"GET {path} HTTP/1.1\r\nHost: box.test\r\nConnection: close\r\n\r\n".encode())
        wire.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: wire.recv(65536), b""))


@pytest.mark.parametrize("wire", ["fastcgi", "gthread"])
def test_a_client_that_closes_its_side_after_the_request_is_answered(wire: str) -> None:
    """By health always; by the application where a file of the user's says so, with the words of docs/extending.md."""
    own = PATIENT if wire == "fastcgi" else "proxy_ignore_client_abort on;\n"
    with Box({"WORKER_CLASS": wire}, files={"main.py": LATE, "nginx/server.d/own.conf": own}) as box:
        for path in (*LIVE, *READY):
            for _ in range(3):
                assert half_closed(box, path).startswith(b"HTTP/1.1 200 ")
        assert b"late" in half_closed(box, "/patient/x")
        if wire == "fastcgi":
            assert half_closed(box, "/else") == b""
        assert "has no effect" not in box.logs()


def test_no_redirect_for_plain_http(starter: Box) -> None:
    assert starter.get("/up", headers={"X-Forwarded-Proto": "http"}).status_code == 200


@pytest.mark.parametrize("path", LIVE + READY)
def test_head(starter: Box, path: str) -> None:
    answer = starter.request("HEAD", path)
    assert answer.status_code == 200
    assert answer.content == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_are_405(starter: Box, method: str) -> None:
    answer = starter.request(method, "/up", data=b"x" * 1000)
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_near_paths_are_the_application_s(starter: Box) -> None:
    for path in ("/upp", "/up/", "/ready/now"):
        assert starter.get(path).status_code == 404


def test_not_in_the_access_log(starter: Box) -> None:
    for path in LIVE + READY:
        starter.get(path)
    starter.get("/after-health")
    starter.access("/after-health")
    paths = {record.get("path") for record in starter.records() if record["logger"] == "access"}
    assert paths.isdisjoint(LIVE + READY)


@pytest.fixture(scope="module")
def own() -> Iterator[Box]:
    with Box(files={"main.py": OWN}, wait=False) as box:
        box.wait_up(path="/-/up")
        yield box


def test_the_application_s_own_routes_win(own: Box) -> None:
    assert (own.get("/up").status_code, own.get("/up").text) == (201, "mine")
    assert (own.get("/readyz").status_code, own.get("/readyz").text) == (503, "mine too")


def test_they_win_behind_middleware_too() -> None:
    around = "\nfrom werkzeug.middleware.proxy_fix import ProxyFix\napp = ProxyFix(app)\n"
    with Box(files={"main.py": OWN + around}, wait=False) as box:
        box.wait_up(path="/-/up")
        assert (box.get("/up").status_code, box.get("/up").text) == (201, "mine")
        assert box.get("/health").json()["status"] == "ok"


def test_a_catch_all_is_no_own_route(own: Box) -> None:
    assert own.get("/anything").status_code == 418
    for path in ("/health", "/healthz", "/livez", "/ready"):
        assert own.get(path).status_code == 200
        assert own.get(path).json()["status"] == "ok"


def test_the_reserved_path_is_always_ours(own: Box) -> None:
    assert own.get("/-/up").status_code == 200
    assert own.get("/-/up").json()["status"] == "ok"


def test_answers_while_every_thread_is_busy() -> None:
    with Box(env={"WEB_CONCURRENCY": "2", "THREADS": "2"}, files={"main.py": SLEEPER}) as box:
        address = box.url("/sleep")
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(requests.get(address, timeout=20).status_code))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        time.sleep(1)
        for path in ("/up", "/ready", "/-/up"):
            begun = time.monotonic()
            assert box.get(path).status_code == 200
            assert time.monotonic() - begun < 1
        assert answers == []
        for thread in threads:
            thread.join()
        assert answers == [200] * 8


HANGS = """import os, time
def slow():
    time.sleep(60 if os.path.exists("/tmp/hang") else 0)
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"fine"]
app.ready_checks = {"slow": slow}
"""
FLOOD = 300  # connections that are kept, each asking again once it is answered


class Flood:
    """Many clients of one path, in threads: `with Flood(box, path) as flood` until the end of the block."""

    def __init__(self, box: Box, path: str) -> None:
        self.port, self.path = box.host_port(), path
        self.end, self.statuses = threading.Event(), Counter[int]()
        self.threads = [threading.Thread(target=self._ask) for _ in range(FLOOD)]

    def _ask(self) -> None:
        kept = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self.end.is_set():
            try:
                kept.request("GET", self.path)
                answer = kept.getresponse()
                answer.read()
                self.statuses[answer.status] += 1
            except (OSError, http.client.HTTPException):
                kept.close()
            time.sleep(0.05)
        kept.close()

    def __enter__(self) -> Flood:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        for thread in self.threads:
            thread.join(40)


@pytest.mark.parametrize("wire", ["fastcgi", "gthread"])
def test_a_flood_of_ready_never_makes_liveness_fail(wire: str) -> None:
    """Also with a check that hangs, for which readiness waits: liveness has a socket and a thread of its own."""
    with Box(env={"WEB_CONCURRENCY": "1", "WORKER_CLASS": wire}, files={"main.py": HANGS}) as box:
        with Flood(box, "/ready") as flood:
            wait_until(lambda: sum(flood.statuses.values()) > FLOOD, 20, "the flood")
            for hangs in (False, True):
                if hangs:
                    box.exec("touch", "/tmp/hang")
                    wait_until(lambda: flood.statuses[503] > 5, 20, "the check that hangs")
                for path in ("/up", "/-/up", "/healthz"):
                    assert Counter(box.get(path, timeout=5).status_code for _ in range(60)) == {200: 60}, (hangs, path)
        assert flood.statuses[200] > FLOOD
        assert not [record for record in box.records() if record["level"] in ("error", "critical")]


# -- under a sub-path


@pytest.fixture(scope="module")
def shop() -> Iterator[Box]:
    application = OWN.replace('"/up"', '"/not-up"').replace('"/readyz"', '"/not-readyz"')
    with Box(env={"URL_PREFIX": "/shop/"}, files={"main.py": application}) as box:
        yield box


def test_the_application_is_under_its_prefix(shop: Box) -> None:
    assert shop.get("/shop/where").json() == {"url": "/shop/where", "script": "/shop", "path": "/where"}


def test_a_proxy_that_strips_the_prefix_is_served_too(shop: Box) -> None:
    assert shop.get("/where").json() == {"url": "/shop/where", "script": "/shop", "path": "/where"}


@pytest.mark.parametrize("path", ["/shopping", "/shopwhere"])
def test_a_path_that_only_begins_like_the_prefix_is_not_cut(shop: Box, path: str) -> None:
    assert shop.get(path).status_code == 418


@pytest.mark.parametrize("path", LIVE + READY)
def test_health_with_and_without_the_prefix(shop: Box, path: str) -> None:
    assert shop.get(path).status_code == 200
    assert shop.get("/shop" + path).status_code == 200


def test_the_starter_under_a_prefix_links_below_it() -> None:
    with Box(env={"URL_PREFIX": "/shop"}) as box:
        page = box.get("/shop/")
        assert page.status_code == 200
        assert '"/shop/static/' in page.text
        assert '"/static/' not in page.text


def test_own_health_route_under_a_prefix_wins() -> None:
    with Box(env={"URL_PREFIX": "/shop"}, files={"main.py": OWN}, wait=False) as box:
        box.wait_up(path="/-/up")
        assert box.get("/shop/up").text == "mine"


SLOW = """import time
def fetch():
    time.sleep(12)
fetch()
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"at last"]
"""


def test_an_application_that_loads_for_long_says_so() -> None:
    """And is not ended over TIMEOUT, which is for requests."""
    with Box(files={"main.py": SLOW}, env={"WEB_CONCURRENCY": "3", "TIMEOUT": "1"}, wait=False) as box:
        box.wait_log("Booting worker")
        assert "the application is loading" in box.exec("/opt/flagon/healthcheck", check=False)
        line = box.wait_log("still being loaded")
        assert "main:app is still being loaded, for 10 s: at main.py line 3 in fetch" in line
        box.wait_up()
        assert box.logs().count("still being loaded") == 1, "one worker says it for all"
        assert box.exec("/opt/flagon/healthcheck") == ""
