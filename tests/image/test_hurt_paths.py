"""No path leads past the application to a file: traversal, aliases, dotfiles, source, internal locations."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from .apps.wire import PROBE, WIRES, Answer, Probe
from .box import Box

# What must never come back, whatever is asked: a line of the files that an attacker would like.
SECRETS = (
    "root:x:0:0",
    "The probe: a plain WSGI",
    "worker_processes",
    "KEY_IN_DOTENV",
    "ref: refs/heads",
    "SQLite format",
)
FILES = {
    "main.py": PROBE,
    ".env": "GREETING=KEY_IN_DOTENV\n",
    ".git/HEAD": "ref: refs/heads/main\n",
    "static/ok.txt": "static\n",
}
WANTED = (
    "/etc/passwd", "/main.py", "/app/main.py",
    "/.env", "/.git/HEAD", "/.git/config", "/data/app.db", "/data/secret_key",
    "/run/flagon/launch.json", "/run/flagon/app.sock", "/opt/flagon/nginx.conf", "/opt/flagon/code/flagon/cli.py",
    "/proc/self/environ", "/nginx.conf", "/fragments/app.conf", "/__pycache__/main.cpython-313.pyc", "/main.pyc",
)  # fmt: skip
LOCATIONS = ("/", "/-/error/", "/-/error", "/-/", "/-/up", "/up", "/ready", "/static/", "/shop", "/shop/up")
UPS = ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%252f", "..;/", "..\\", "..%5c", "....//", "%c0%ae%c0%ae/", "..%00/")
INTERNAL = (
    "/-/error/503.html",
    "/-/error/502.json",
    "/-/error/",
    "/-/error/../nginx.conf",
    "/-/error../nginx.conf",
    "/-/errornginx.conf",
)


@pytest.fixture(scope="module", params=WIRES)
def box(request: pytest.FixtureRequest) -> Iterator[Probe]:
    class Files(Probe):
        def __init__(self, wire: str) -> None:
            self.wire = wire
            env = {"WORKER_CLASS": wire, "WEB_CONCURRENCY": "1", "URL_PREFIX": "/shop"}
            Box.__init__(self, env=env, files=FILES)

    with Files(request.param) as box:
        yield box


def ask(box: Probe, target: str) -> Answer:
    return box.raw(f"GET {target} HTTP/1.1\r\nHost: box.test\r\nConnection: close\r\n\r\n".encode("latin-1"))


def harmless(answer: Answer) -> bool:
    """nginx's own refusal, our page for what is not there, or the application's word, which knows no files."""
    text = answer.body.decode("latin-1")
    return not any(secret in text for secret in SECRETS)


@pytest.mark.parametrize("target", WANTED)
def test_files_are_the_application_s_business(box: Probe, target: str) -> None:
    """It gets the request, and has no such route: the probe tells its environ."""
    for spelling in (target, "/" + target, target.replace("/", "//"), target.replace(".", "%2e"), "/shop" + target):
        answer = ask(box, spelling)
        assert answer.status == 200
        assert b'"REQUEST_METHOD": "GET"' in answer.body
        assert harmless(answer)


@pytest.mark.parametrize("location", LOCATIONS)
def test_traversal_at_each_location(box: Probe, location: str) -> None:
    """With the slash, and off by it: `/location../`."""
    for up in UPS:
        for tail in ("etc/passwd", "nginx.conf", "main.py"):
            for count in (1, 5):
                for target in (location + up * count + tail, location + "/" + up * count + tail):
                    answer = ask(box, target) if target.startswith("/") else None
                    assert answer is not None
                    assert answer.status in (200, 400, 404, 405), target
                    assert harmless(answer), target


@pytest.mark.parametrize("target", INTERNAL)
def test_internal_locations_cannot_be_asked_for(box: Probe, target: str) -> None:
    answer = ask(box, target)
    assert answer.status in (200, 404)
    if answer.status == 200:  # it went to the application
        assert b'"REQUEST_METHOD"' in answer.body


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "/-/error/503.html",
        "/-/error/../../../../../etc/passwd",
        "/up",
        "@stuck",
        "@unanswered",
        "//etc/passwd",
        "/answer",
        "/-/file/0/main.py",
        "/-/file/1/secret_key",
    ],
)
def test_an_application_s_internal_redirect_opens_nothing(box: Probe, target: str) -> None:
    """X-Accel-Redirect, by a bug of the application's: it may lead to a route of its own, never to a file."""
    answer = ask(box, f"/answer?h=X-Accel-Redirect:{target.replace('/', '%2F')}")
    assert harmless(answer)
    assert answer.status in (200, 404, 500, 502, 503, 504)
    assert answer.header("X-Accel-Redirect") is None


@pytest.mark.parametrize("name", ["X-Accel-Limit-Rate", "X-Accel-Expires", "X-Accel-Charset", "X-Accel-Buffering"])
def test_nginx_s_own_words_do_not_reach_the_client(box: Probe, name: str) -> None:
    answer = ask(box, f"/answer?h={name}:100000")
    assert answer.status == 200
    assert answer.header(name) is None


def test_nginx_says_nothing_of_itself(box: Probe) -> None:
    for target in ("/", "/a%00", "/" + "x" * 9000, "/-/error/503.html"):
        answer = ask(box, target)
        assert answer.header("Server") in ("nginx", None)
        assert b'"REQUEST_METHOD"' in answer.body or not re.search(rb"nginx/[0-9]|gunicorn|Python/", answer.body)
