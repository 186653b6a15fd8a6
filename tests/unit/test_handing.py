"""Which responses nginx may send in the application's place, and which static folders an application names."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import io
import os
import re
from functools import wraps

import fastcgi_client as fc
import flask
import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from flagon import compat, site
from flagon.inside import static_folders
from flagon.inside.accel import Internal
from flagon.inside.files import Handing, HandOver, with_page
from flagon.inside.response import FileWrapper
from flagon.nginx_text import Location
from flagon.statics import Files, Static, fragment, handed_url

TOKEN = "0123456789abcdef" * 2


def inner(tmp_path, name):
    return handed_url(TOKEN, str(tmp_path / "root")) + name


@pytest.fixture
def hand_over(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a b.txt").write_bytes(b"0123456789")
    (tmp_path / "outside.txt").write_bytes(b"secret")
    return HandOver([str(tmp_path / "root")], TOKEN)


def opened(tmp_path, name="root/a b.txt", wrap=FileWrapper):
    return wrap(open(tmp_path / name, "rb"))


def test_a_file_below_a_root(hand_over, tmp_path):
    headers = [
        ("Content-Type", "text/plain"),
        ("Content-Length", "10"),
        ("ETag", '"x"'),
        ("Set-Cookie", "a"),
        ("Set-Cookie", "b"),
    ]
    found = hand_over.headers("200 OK", headers, opened(tmp_path))
    assert found == [
        ("Content-Type", "text/plain"),
        ("ETag", '"x"'),
        ("Set-Cookie", "a"),
        ("Set-Cookie", "b"),
        ("X-Accel-Redirect", inner(tmp_path, "a%20b.txt")),
    ]
    assert re.fullmatch(rf"/-/file/{TOKEN}/[0-9a-f]{{8}}/", inner(tmp_path, ""))
    assert type(found[-1][1]) is Internal


@pytest.mark.parametrize(("status", "headers"), [
    ("404 Not Found", []), ("203 X", []), ("200 OK", [("X-Own", "1")]), ("200 OK", [("Content-Encoding", "gzip")]), ("200 OK", [("Content-Length", "9")]),
])  # fmt: skip
def test_what_must_stay_with_the_application(hand_over, tmp_path, status, headers):
    assert hand_over.headers(status, headers, opened(tmp_path)) is None


def test_other_bodies(hand_over, tmp_path):
    headers = [("Content-Type", "text/plain")]
    moved = opened(tmp_path)
    moved.filelike.seek(3)
    os.symlink(tmp_path / "outside.txt", tmp_path / "root/link")
    (tmp_path / "root/gone").write_text("x")
    gone = opened(tmp_path, "root/gone")
    os.unlink(tmp_path / "root/gone")
    (tmp_path / "root/other").write_text("x")
    replaced = opened(tmp_path, "root/other")
    os.replace(tmp_path / "root/a b.txt", tmp_path / "root/other")
    for body in (
        [b"x"],
        iter([b"x"]),
        FileWrapper(io.BytesIO(b"x")),
        opened(tmp_path, "outside.txt"),
        opened(tmp_path, "root/link"),
        moved,
        gone,
        replaced,
        None,
    ):
        assert hand_over.headers("200 OK", headers, body) is None


def test_a_range_of_werkzeugs(hand_over, tmp_path):
    app = flask.Flask("x")
    with app.test_request_context(headers={"Range": "bytes=2-4"}):
        flask.request.environ["wsgi.file_wrapper"] = FileWrapper
        reply = flask.send_file(tmp_path / "root/a b.txt", conditional=True)
        assert reply.status_code == 206
        assert hand_over.headers(reply.status, list(reply.headers), reply.response)[-1] == (
            "X-Accel-Redirect",
            inner(tmp_path, "a%20b.txt"),
        )
        assert b"".join(reply.response) == b"234"


class Server:
    """Calls an application as gunicorn does."""

    def __init__(self, application):
        self.application = application

    def get(self, **more):
        started, written = [], []

        def start(status, headers, exc_info=None):
            started.append((status, headers))
            return written.append

        result = self.application({"REQUEST_METHOD": "GET", **more}, start)
        body = b"".join([*written, *result])
        assert len(started) == 1
        return *started[0], body


def test_on_gunicorns_wires(hand_over, tmp_path):
    def application(environ, start):
        start("200 OK", [("Content-Type", "text/plain")])
        return environ["wsgi.file_wrapper"](open(tmp_path / environ["PATH_INFO"], "rb"))

    server = Server(Handing(application, hand_over))
    status, headers, body = server.get(PATH_INFO="root/a b.txt")
    assert (status, headers[-1][0], body) == ("200 OK", "X-Accel-Redirect", b"")
    assert server.get(PATH_INFO="outside.txt") == ("200 OK", [("Content-Type", "text/plain")], b"secret")


@pytest.mark.parametrize("name", ["HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE"])
def test_what_nginx_would_compare_with_a_tag_or_date_of_its_own(hand_over, tmp_path, name):
    headers = [("Content-Type", "text/plain"), ("ETag", '"x"')]

    def application(environ, start):
        start("200 OK", headers)
        return environ.get("wsgi.file_wrapper", FileWrapper)(open(tmp_path / "root/a b.txt", "rb"))

    given = {name: "x"}
    assert Server(Handing(application, hand_over)).get(**given) == ("200 OK", headers, b"0123456789")
    box = fc.Box(application, hand_over=hand_over)
    assert box.ask()["X-Accel-Redirect"]
    reply = box.ask(**given)
    assert (reply["X-Accel-Redirect"], reply.body) == (None, b"0123456789")


def test_other_ways_to_answer_on_gunicorns_wires(hand_over):
    def generator(environ, start):
        start("200 OK", [])
        yield b"a"
        yield b"b"

    def by_write(environ, start):
        start("200 OK", [])(b"a")
        return [b"b"]

    def corrected(environ, start):
        start("200 OK", [])
        start("500 X", [], (ValueError, ValueError(), None))
        return [b"ab"]

    def no_status(environ, start):
        start("", [])
        return [b"ab"]

    def empty(environ, start):
        start("204 No Content", [])
        yield from ()

    for application, status, body in (
        (generator, "200 OK", b"ab"),
        (by_write, "200 OK", b"ab"),
        (corrected, "500 X", b"ab"),
        (empty, "204 No Content", b""),
        (no_status, "", b"ab"),
    ):
        assert Server(Handing(application, hand_over)).get() == (status, [], body)


@pytest.mark.parametrize(("method", "accept", "status", "page"), [
    ("GET", "text/html,*/*", "404 X", True), ("HEAD", "text/html", "404 X", True), ("GET", "*/*", "404 X", False), ("POST", "text/html", "404 X", False), ("GET", "text/html", "200 OK", False),
    ("GET", "text/html", "500 X", False),
])  # fmt: skip
def test_the_page_of_a_single_page_application(method, accept, status, page):
    def application(environ, start):
        start(status, [("X", "y")])
        return [b"body"]

    found = Server(with_page(application)).get(REQUEST_METHOD=method, HTTP_ACCEPT=accept)
    assert found == (("200 OK", [("X-Accel-Redirect", "/-/spa")], b"") if page else (status, [("X", "y")], b"body"))


# Static folders


def flask_app(tmp_path, **more):
    (tmp_path / "static").mkdir(exist_ok=True)
    return flask.Flask("x", root_path=str(tmp_path), **more)


def test_flasks_folder_and_blueprints(tmp_path):
    app = flask_app(tmp_path)
    (tmp_path / "assets").mkdir()
    inner = flask.Blueprint("inner", "x", root_path=str(tmp_path), static_folder="assets")
    outer = flask.Blueprint(
        "outer", "x", root_path=str(tmp_path), static_folder="assets", url_prefix="/outer", static_url_path="/m"
    )
    missing = flask.Blueprint("missing", "x", root_path=str(tmp_path), static_folder="none", url_prefix="/none")
    outer.register_blueprint(inner, url_prefix="/inner")
    for blueprint in (outer, missing):
        app.register_blueprint(blueprint)
    assert sorted(found[:3] for found in static_folders.find(app).served) == [
        ("/outer/inner/assets/", str(tmp_path / "assets"), "no-cache"), ("/outer/m/", str(tmp_path / "assets"), "no-cache"), ("/static/", str(tmp_path / "static"), "no-cache"),
    ]  # fmt: skip


def test_inside_middleware(tmp_path):
    app = flask_app(tmp_path)
    folder = str(tmp_path / "static")
    assert [found[:3] for found in static_folders.find(ProxyFix(app)).served] == [("/static/", folder, "no-cache")]
    found = static_folders.find(DispatcherMiddleware(app, {"/admin": ProxyFix(flask_app(tmp_path))})).served
    assert sorted(each[:3] for each in found) == [
        ("/admin/static/", folder, "no-cache"),
        ("/static/", folder, "no-cache"),
    ]


@pytest.mark.parametrize("change", ["wrapped", "overridden", "aged", "host", "none"])
def test_what_is_left_to_the_application(tmp_path, change):
    class Own(flask.Flask):
        def send_static_file(self, filename):
            flask.abort(403)

    class Aged(flask.Flask):
        def get_send_file_max_age(self, filename):
            return 7

    kinds = {"overridden": Own, "aged": Aged}
    (tmp_path / "static").mkdir()
    more = {"host": {"static_host": "a.example", "host_matching": True}, "none": {"static_folder": None}}.get(
        change, {}
    )
    app = kinds.get(change, flask.Flask)("x", root_path=str(tmp_path), **more)
    if change == "wrapped":
        view = app.view_functions["static"]
        app.view_functions["static"] = wraps(view)(lambda **named: flask.abort(401))
    assert static_folders.find(app) == ([], [], [])


@pytest.mark.parametrize("application", [None, object(), lambda environ, start: [], {}])
def test_strange_applications(application):
    assert static_folders.find(application) == ([], [], [])


def test_an_age(tmp_path):
    app = flask_app(tmp_path)
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 60
    assert static_folders.find(app).served[0][2] == "public, max-age=60"


# What nginx is told


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"statics": 5},
        {"statics": [["a"]]},
        {"statics": [["/a/", "rel", ""], ["/b/", "/x\n", ""]], "handed": ["rel"]},
        {"statics": [["/-/x/", "/a", ""]], "handed": 5, "routes": 7},
    ],
)
def test_a_workers_message_is_not_believed_blindly(message):
    found = site.loaded(message)
    assert (found.statics, found.handed) == ((), ())


def files_of(statics, **values):
    from types import SimpleNamespace

    names = {
        "STATIC_FILES": True,
        "STATIC_URL": None,
        "STATIC_PATH": None,
        "STATIC_INDEX": False,
        "SPA_INDEX": None,
        "URL_PREFIX": "",
        "USE_X_ACCEL": True,
        "FORCE_HTTPS": False,
        "STATIC_HOST": None,
    }
    settings = SimpleNamespace(old=compat.nothing()._replace(seen=values.pop("seen", "")))
    boot = SimpleNamespace(
        values={**names, **values},
        settings=settings,
        directory="/nowhere",
        users=SimpleNamespace(locations=frozenset()),
        database=SimpleNamespace(path=""),
    )
    return site.files(boot, site.Loaded(statics=tuple(Static(url, folder, "no-cache") for url, folder in statics)))


@pytest.mark.parametrize(("statics", "values", "expected", "root"), [
    ([("/static/", "/a"), ("/b/", "/b")], {}, [("/static/", "/a", False), ("/b/", "/b", False)], ""),
    ([("/", "/a"), ("/b/", "/b")], {}, [("/b/", "/b", False)], "/a"),  # Flask(static_url_path="")
    ([("/static/", "/a"), ("/shop/static/", "/b")], {"URL_PREFIX": "/shop"}, [("/static/", "/a", False), ("/shop/static/", "/b", False), ("/shop/shop/static/", "/b", False)], ""),
    ([("/static/", "/a")], {"STATIC_FILES": False}, [], ""),
    ([("/static/", "/a")], {"STATIC_URL": "/static"}, [("/static/", "/a", True)], ""),
    ([("/static/", "/a")], {"STATIC_URL": "/x"}, [("/x/", "/nowhere/static", True), ("/static/", "/a", False)], ""),
    ([("/static/", "/a")], {"STATIC_PATH": "/c"}, [("/static/", "/c", True)], ""),
    ([("/static/", "/a")], {"STATIC_URL": "/", "STATIC_PATH": "/c"}, [("/static/", "/a", False)], "/c"),
    ([("/static/", os.path.dirname(__file__)), ("/b/", "/b")], {"seen": "UWSGI_INI"}, [("/static/", os.path.dirname(__file__), True), ("/b/", "/b", False)], ""),
    ([("/static/", os.path.dirname(__file__))], {"seen": "UWSGI_INI", "STATIC_FILES": False}, [], ""),
    ([], {"SPA_INDEX": "dist/index.html"}, [], "/nowhere/dist"),
])  # fmt: skip
def test_which_folders_are_served(statics, values, expected, root):
    found = files_of(statics, **values)
    assert ([static[:2] + (static.strict,) for static in found.statics], found.root) == (expected, root)


def test_paths_are_quoted_for_nginx():
    text = fragment(Files(statics=(Static("/s/", '/a "b" $c\\d'),)), [])
    assert 'alias "/a \\"b\\" ${flagon_dollar}c\\\\d/";' in text


def test_a_location_of_the_users_own_wins():
    files = Files(
        statics=(Static("/s/", "/a", strict=True), Static("/t/", "/b")), top=(("/robots.txt", "/a/robots.txt"),)
    )
    assert fragment(files, []).count("location") == 4
    own = files._replace(own=frozenset({Location(False, "/s/"), Location(True, "/robots.txt"), Location(False, "/t/")}))
    assert fragment(own, []).count("location") == 1
