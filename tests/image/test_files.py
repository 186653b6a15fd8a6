"""What nginx serves by itself: static folders, a page for `/`, a single-page application, files from send_file."""

# Tables, a row a line, however long.
# ruff: noqa: E501

from __future__ import annotations

import itertools
import os
import random
import re
from collections.abc import Iterator
from datetime import timedelta
from email.utils import formatdate, parsedate_to_datetime

import pytest

from .box import Box, run_once, size, wait_until

APP = """
import io, os, time
from flask import Flask, Response, abort, request, send_file, send_from_directory, session
app = Flask(__name__)
app.secret_key = "test"
if os.environ.get("AGE"):
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = int(os.environ["AGE"])
BIG = "/app/files/big.bin"

@app.get("/")
def index(): return "index"
@app.get("/file")
def file(): return send_file(BIG)
@app.get("/name/<path:name>")
def name(name): return send_from_directory("/app/files", name)
@app.get("/attachment")
def attachment(): return send_file(BIG, as_attachment=True, download_name="na\\u00efve.bin", mimetype="application/x-own")
@app.get("/own")
def own():
    reply = send_file(BIG, etag="my-own", last_modified=1_000_000_000, max_age=77)
    reply.headers["Access-Control-Allow-Origin"] = "https://a.example"
    reply.headers["X-Frame-Options"] = "DENY"
    reply.vary.add("Cookie")
    reply.set_cookie("a", "1"); reply.set_cookie("b", "2")
    return reply
@app.get("/bare")
def bare(): return send_file(BIG, etag=False, conditional=False)
@app.get("/unknown-header")
def unknown():
    reply = send_file(BIG)
    reply.headers["X-Mine"] = "kept"
    return reply
@app.get("/status")
def status():
    reply = send_file(BIG, conditional=False)
    reply.status_code = 203
    return reply
@app.get("/outside")
def outside(): return send_file("/usr/lib/os-release")
@app.get("/link")
def link(): return send_file("/app/files/link")
@app.get("/memory")
def memory(): return send_file(io.BytesIO(b"from memory"), mimetype="text/plain")
@app.get("/part")
def part():
    opened = open(BIG, "rb"); opened.seek(100)
    return Response(request.environ["wsgi.file_wrapper"](opened), direct_passthrough=True)
@app.get("/replaced")
def replaced():
    path = "/data/once.txt"
    with open(path, "w") as out: out.write("first")
    reply = send_file(path)
    os.unlink(path)
    with open(path, "w") as out: out.write("SECOND")
    return reply
@app.get("/gone")
def gone():
    path = "/data/gone.txt"
    with open(path, "w") as out: out.write("gone")
    reply = send_file(path)
    os.unlink(path)
    return reply
@app.get("/data-file")
def data_file():
    with open("/data/a file.txt", "w") as out: out.write("data")
    return send_file("/data/a file.txt")
@app.get("/redirect-out")
def redirect_out(): return Response(headers={"X-Accel-Redirect": "/-/file/0/app.py"})
"""
BIG = random.Random(7).randbytes(300_000)
NAMES = [
    "plain.txt",
    "a b.txt",
    "per%20cent.txt",
    "plus+.txt",
    "que?ry.txt",
    "ha#sh.txt",
    "quo'te\".txt",
    "ünï.txt",
    "dol$lar.txt",
    "semi;.txt",
]
FILES = {"app.py": APP, "files/big.bin": BIG, **{f"files/{name}": name for name in NAMES}}
WIRES = ("fastcgi", "gthread")


@pytest.fixture(scope="module", params=WIRES)
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    with Box({"WORKER_CLASS": request.param}, files=FILES) as found:
        assert found.folder
        os.symlink("/usr/lib/os-release", found.folder / "files/link")
        yield found


@pytest.fixture(scope="module")
def plain() -> Iterator[Box]:
    """The same application, every byte sent by itself."""
    with Box({"USE_X_ACCEL": "off"}, files=FILES) as found:
        assert found.folder
        os.symlink("/usr/lib/os-release", found.folder / "files/link")
        yield found


def by_nginx(reply: object) -> bool:
    """nginx writes the reason phrase in its own way: the application's is upper case."""
    return str(getattr(reply, "reason", "")) == "Partial Content"


def test_a_file_is_whole_and_sent_by_nginx(box: Box, plain: Box) -> None:
    for one in (box, plain):
        reply = one.get("/file")
        assert (reply.status_code, reply.content == BIG) == (200, True)
    piece = {"Range": "bytes=10-19"}
    assert by_nginx(box.get("/file", headers=piece))
    assert not by_nginx(plain.get("/file", headers=piece))


@pytest.mark.parametrize("path", ["/file", "/attachment", "/own", "/bare", "/unknown-header", "/memory", "/data-file"])
def test_headers_are_the_applications(box: Box, plain: Box, path: str) -> None:
    """Whatever the application says reaches the client, as if it had sent the file itself."""
    ours, theirs = box.get(path), plain.get(path)
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
    volatile = {"date", "connection", "x-request-id", "accept-ranges", "server", "keep-alive", "x-cache"}
    kept = [
        {name.lower(): value for name, value in one.headers.items() if name.lower() not in volatile}
        for one in (ours, theirs)
    ]
    if path in ("/file", "/attachment", "/bare", "/unknown-header", "/data-file"):  # another inode, another mtime
        for one in kept:
            one.update({name: re.sub(r"[0-9.]+", "n", one.get(name, "")) for name in ("etag",)})
            one["last-modified"] = str("last-modified" in one)
    expires = [parsedate_to_datetime(one.pop("expires")) for one in kept if "expires" in one]
    assert kept[0] == kept[1]
    assert len(expires) in (0, 2)
    assert not expires or abs(expires[1] - expires[0]) < timedelta(seconds=30), "one is asked after the other"


def test_own_etag_and_date(box: Box) -> None:
    reply = box.get("/own")
    assert (reply.headers["ETag"], reply.headers["Last-Modified"]) == (
        '"my-own"',
        formatdate(1_000_000_000, usegmt=True),
    )
    assert reply.headers["X-Frame-Options"] == "DENY"
    assert "a=1" in reply.headers["Set-Cookie"]
    assert "b=2" in reply.headers["Set-Cookie"]
    assert box.get("/own", headers={"If-None-Match": '"my-own"'}).status_code == 304
    assert box.get("/own", headers={"If-None-Match": '"other"'}).status_code == 200
    later = formatdate(1_000_000_001, usegmt=True)
    assert box.get("/own", headers={"If-Modified-Since": later}).status_code == 304


def test_ranges(box: Box) -> None:
    tag = box.get("/file").headers["ETag"]
    for asked, start, end in (
        ("0-0", 0, 1),
        ("10-19", 10, 20),
        ("299990-", 299_990, 300_000),
        ("-7", 299_993, 300_000),
        ("5-999999", 5, 300_000),
    ):
        reply = box.get("/file", headers={"Range": f"bytes={asked}"})
        assert (reply.status_code, reply.content == BIG[start:end]) == (206, True), asked
        assert reply.headers["Content-Range"] == f"bytes {start}-{end - 1}/300000"
        assert reply.headers["ETag"] == tag
    assert box.get("/file", headers={"Range": "bytes=300000-"}).status_code == 416
    assert box.get("/file", headers={"Range": "bytes=5-9", "If-Range": tag}).status_code == 206
    assert box.get("/file", headers={"Range": "bytes=5-9", "If-Range": '"other"'}).content == BIG
    head = box.request("HEAD", "/file")
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "300000", b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions_that_nginx_cannot_judge(box: Box, plain: Box, method: str) -> None:
    """It knows neither the application's tag nor its date."""
    for path, tag in (("/own", '"my-own"'), ("/file", box.get("/file").headers["ETag"]), ("/bare", '"any"')):
        reply = box.request(method, path, headers={"If-Match": tag})
        assert (reply.status_code, reply.content) == (200, BIG if method == "GET" else b"")
    piece = {"Range": "bytes=10-19"}
    past = {"If-Unmodified-Since": formatdate(1, usegmt=True)}
    for given in (
        {"If-Match": '"my-own"'},
        {"If-Match": "*"},
        {"If-Match": '"no", "my-own"'},
        {"If-Match": '"no"'},
        past,
    ):
        for more in ({}, piece):
            for path in ("/own", "/bare"):
                ours, theirs = (one.request(method, path, headers={**given, **more}) for one in (box, plain))
                assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content), (path, given, more)
                assert ours.headers.get("Content-Range") == theirs.headers.get("Content-Range")
    statuses = [
        box.request(method, "/own", headers={"If-Match": '"my-own"', **more}).status_code for more in ({}, piece)
    ]
    assert statuses == [200, 206]
    assert box.request(method, "/own", headers={"If-Match": '"no"'}).status_code == 412  # Flask's
    assert box.request(method, "/own", headers=past).status_code == 200


def test_a_date_that_the_application_does_not_look_at(box: Box) -> None:
    date = box.get("/file").headers["Last-Modified"]
    assert box.get("/file", headers={"If-Modified-Since": date}).status_code == 304
    assert box.get("/bare", headers={"If-Modified-Since": date}).status_code == 200


def test_a_download_that_was_cut_goes_on(box: Box) -> None:
    """As curl -C - and browsers do it: pieces from many ranges are the file."""
    steps = sorted(random.Random(3).sample(range(1, 300_000), size(4, 40)))
    edges = [0, *steps, 300_000]
    pieces = [box.get("/file", headers={"Range": f"bytes={a}-{b - 1}"}).content for a, b in itertools.pairwise(edges)]
    assert b"".join(pieces) == BIG


@pytest.mark.parametrize("name", NAMES)
def test_names(box: Box, name: str) -> None:
    reply = box.get("/name/" + "".join(f"%{byte:02X}" for byte in name.encode()))
    assert (reply.status_code, reply.content.decode()) == (200, name)


@pytest.mark.parametrize(("path", "text"), [
    ("/outside", "Debian"), ("/link", "Debian"), ("/memory", "from memory"), ("/replaced", "first"), ("/gone", "gone"), ("/data-file", "data"),
])  # fmt: skip
def test_what_is_not_to_be_handed_over_comes_from_the_application(box: Box, path: str, text: str) -> None:
    reply = box.get(path)
    assert reply.status_code == 200
    assert text in reply.text


def test_a_part_of_a_file_and_another_status(box: Box) -> None:
    assert box.get("/part").content == BIG[100:]
    reply = box.get("/status")
    assert (reply.status_code, reply.content == BIG) == (203, True)


def test_nobody_reaches_the_inner_locations(box: Box) -> None:
    for path in (
        "/-/file/0/app.py",
        "/-/file/1/secret_key",
        "/-/file/0/../../etc/passwd",
        "/-/spa",
        "/-%2Ffile/0/app.py",
    ):
        assert box.get(path).status_code == 404, path


# Static folders

STATIC_APP = """
import os
from flask import Blueprint, Flask, abort, request
from functools import wraps

class Guarded(Flask):
    def send_static_file(self, filename):
        abort(403)

app = (Guarded if os.environ.get("GUARDED") else Flask)(__name__)
if os.environ.get("AGE"):
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = int(os.environ["AGE"])
if os.environ.get("WRAPPED"):
    view = app.view_functions["static"]
    app.view_functions["static"] = wraps(view)(lambda **named: abort(401))
if os.environ.get("ROBOTS"):
    app.add_url_rule("/robots.txt", view_func=lambda: "the application's")

@app.errorhandler(404)
def missing(error):
    return "the application's 404 for " + request.path, 404
"""
STATIC = {
    "app.py": STATIC_APP, "static/a.css": "p{}", "static/ü b.txt": "spaced", "static/robots.txt": "nobody",
    "static/favicon.ico": b"icon", "static/sub/index.html": "index", "static/.hidden": "hidden", "static/do$lar.txt": "dollar",
}  # fmt: skip


def test_static_files_of_the_application() -> None:
    with Box(files=STATIC) as box:
        reply = box.get("/static/a.css")
        assert (reply.text, reply.headers["Content-Type"], reply.headers["Cache-Control"]) == (
            "p{}",
            "text/css; charset=utf-8",
            "no-cache",
        )
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert box.get("/static/a.css", headers={"If-None-Match": reply.headers["ETag"]}).status_code == 304
        assert box.get("/static/a.css", headers={"Range": "bytes=1-1"}).text == "{"
        assert box.get("/static/%C3%BC%20b.txt").text == "spaced"
        assert box.get("/static/do$lar.txt").text == "dollar"
        for path in ("/static/none", "/static/", "/static/sub/", "/static", "/static/a.css/x"):
            assert box.get(path).text == f"the application's 404 for {path}", path
        assert box.post("/static/a.css").status_code == 405
        assert box.get("/robots.txt").text == "nobody"
        assert box.get("/favicon.ico").content == b"icon"
        for hole in (
            "/static../app.py",
            "/static/../app.py",
            "/static/%2e%2e/app.py",
            "/static/..%2fapp.py",
            "/static/%00",
        ):
            assert "Flask(" not in box.get(hole).text
        assert box.session.get(box.url("/static/a.css"), headers={"Host": "a b"}, timeout=5).status_code == 400


@pytest.mark.parametrize(("env", "path", "status", "text"), [
    ({"GUARDED": "1"}, "/static/a.css", 403, ""), ({"WRAPPED": "1"}, "/static/a.css", 401, ""),
    ({"ROBOTS": "1"}, "/robots.txt", 200, "the application's"), ({"STATIC_FILES": "off"}, "/static/a.css", 200, "p{}"),
    ({"URL_PREFIX": "/shop"}, "/shop/static/a.css", 200, "p{}"), ({"URL_PREFIX": "/shop"}, "/static/a.css", 200, "p{}"),
    ({"STATIC_URL": "/", "STATIC_PATH": "/app/static"}, "/sub/index.html", 200, "index"),
    ({"STATIC_URL": "/", "STATIC_PATH": "/app/static"}, "/none", 404, "the application's 404 for /none"),
    ({"FORCE_HTTPS": "on"}, "/static/a.css", 308, ""), ({"WORKER_CLASS": "gthread"}, "/static/none", 404, "the application's 404 for /static/none"),
])  # fmt: skip
def test_who_answers(env: dict[str, str], path: str, status: int, text: str) -> None:
    with Box(env, files=STATIC) as box:
        reply = box.get(path)
        assert reply.status_code == status
        assert text in reply.text


def test_an_age_of_the_applications() -> None:
    with Box({"AGE": "3600"}, files=STATIC) as box:
        assert box.get("/static/a.css").headers["Cache-Control"] == "public, max-age=3600"


def test_a_reload_takes_new_folders() -> None:
    with Box(files=STATIC) as box:
        assert box.folder
        text = (
            STATIC_APP + "app.register_blueprint(Blueprint('more', __name__, static_folder='more', url_prefix='/m'))\n"
        )
        (box.folder / "more").mkdir()
        (box.folder / "more/b.txt").write_text("more")
        (box.folder / "app.py").write_text(text)
        box.exec("flagon", "reload")
        assert box.get("/m/more/b.txt").text == "more"
        wait_until(
            lambda: box.get("/m/more/b.txt").headers["ETag"].count("-") == 1, 5, "nginx has read its files again"
        )


# A single-page application

SPA_APP = """
from flask import Flask, jsonify
app = Flask(__name__)
@app.get("/api/items")
def items(): return jsonify([1])
@app.errorhandler(404)
def missing(error): return jsonify(error="none"), 404
"""


@pytest.mark.parametrize("wire", WIRES)
def test_single_page_application(wire: str) -> None:
    files = {"app.py": SPA_APP, "dist/index.html": "<p>page", "dist/assets/x.js": "let x"}
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    with Box({"SPA_INDEX": "dist/index.html", "WORKER_CLASS": wire}, files=files) as box:
        for path in ("/", "/deep/link", "/users/7?tab=1"):
            reply = box.get(path, headers=browser)
            assert (reply.status_code, reply.text) == (200, "<p>page"), path
            assert (reply.headers["Content-Type"], reply.headers["Cache-Control"]) == (
                "text/html; charset=utf-8",
                "no-cache",
            )
        assert box.get("/assets/x.js").text == "let x"
        assert box.get("/api/items", headers=browser).json() == [1]
        assert box.get("/api/none").status_code == 404, "whoever asks for no page gets the application's answer"
        assert box.post("/deep/link", headers=browser).status_code == 404
        assert box.get("/app.py").status_code == 404
    ended = run_once(env={"SPA_INDEX": "dist/none.html"}, files=files)
    assert (ended.returncode, "SPA_INDEX=dist/none.html: there is no file /app/dist/none.html" in ended.stderr) == (
        78,
        True,
    )
