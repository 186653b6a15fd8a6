"""Whose static files nginx serves: past which middleware and hooks, and never the application itself."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import functools
import os
import sys
import types

import flask
import pytest
from werkzeug.debug import DebuggedApplication
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.middleware.profiler import ProfilerMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.middleware.shared_data import SharedDataMiddleware

from flagon import published, static_build
from flagon.inside import static_folders, static_hooks

ANYWAY = static_folders.NOBODY


class Basic:
    """Middleware of the user's that asks for a password."""

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        start_response("401 Unauthorized", [])
        return []


class Unusual(Basic):
    def __init__(self, app):
        self.hidden_application = app


class Sealed:
    __slots__ = ("_call",)

    def __init__(self, app):
        self._call = [app]

    def __call__(self, environ, start_response):
        return self._call[0](environ, start_response)


def closure(app):
    def guarded(environ, start_response):
        return app(environ, start_response)

    return guarded


def make(tmp_path, kind=flask.Flask, **more):
    (tmp_path / "static").mkdir(exist_ok=True)
    return kind("x", root_path=str(tmp_path), instance_path=str(tmp_path / "instance"), **more)


def on_object(wrap):
    def done(app):
        app.wsgi_app = wrap(app.wsgi_app)
        return app

    return done


GUARDS = {"class": Basic, "another attribute": Unusual, "function": closure, "partial": lambda app: functools.partial(closure(app)), "shared data": lambda app: SharedDataMiddleware(app, {"/static": "/srv"})}  # fmt: skip


@pytest.mark.parametrize(
    "way",
    [
        lambda wrap: wrap,
        on_object,
        lambda wrap: lambda app: ProxyFix(on_object(wrap)(app)),
        lambda wrap: lambda app: wrap(ProxyFix(app)),
    ],
)
@pytest.mark.parametrize("guard", GUARDS)
def test_middleware_that_nobody_knows_keeps_its_static_files(tmp_path, guard, way):
    served = way(GUARDS[guard])(make(tmp_path))
    found = static_folders.find(served)
    assert (found.served, [folder.url for folder in found.left]) == ([], ["/static/"])
    (line,) = found.lines
    name = {"class": "Basic", "another attribute": "Unusual", "shared data": "SharedDataMiddleware"}.get(
        guard, "guarded ("
    )
    assert name in line
    assert f"{tmp_path}/static (/static/) is left to the application" in line
    assert "STATIC_FILES=on" in line


def test_middleware_that_shows_nothing(tmp_path):
    found = static_folders.find(on_object(Sealed)(make(tmp_path)))
    assert (found.served, len(found.left), "test_static_folders.Sealed" in found.lines[0]) == ([], 1, True)
    assert static_folders.find(Sealed(make(tmp_path))) == ([], [], []), "no application is seen: nothing is served"


@pytest.mark.parametrize(
    "wrap",
    [
        ProxyFix,
        LintMiddleware,
        ProfilerMiddleware,
        lambda app: DebuggedApplication(app, pin_security=False),
        lambda app: DispatcherMiddleware(app, {"/m": closure(None)}),
        lambda app: ProxyFix(LintMiddleware(ProxyFix(app))),
    ],
)
@pytest.mark.parametrize("way", [lambda wrap: wrap, on_object])
def test_middleware_that_lets_everything_through(tmp_path, wrap, way):
    found = static_folders.find(way(wrap)(make(tmp_path)))
    assert ([folder.url for folder in found.served], found.left, found.lines) == (["/static/"], [], [])


def test_a_subclass_of_a_known_one_is_not_known(tmp_path):
    class Guard(ProxyFix):
        def __call__(self, environ, start_response):
            return []

    assert static_folders.find(Guard(make(tmp_path))).served == []


@pytest.mark.parametrize(
    ("anyway", "served", "lines"),
    [
        ({"on": True}, 1, 0),
        ({"given": "/static/"}, 1, 0),
        ({"old": "/static/"}, 1, 1),
        ({"given": "/other/", "old": "/other/"}, 0, 1),
        ({"off": True}, 0, 0),
    ],
)
def test_who_says_that_it_may_be_served(tmp_path, anyway, served, lines):
    found = static_folders.find(Basic(make(tmp_path)), {**ANYWAY, **anyway})
    assert (len(found.served), len(found.lines)) == (served, lines)
    app = make(tmp_path)
    app.before_request(lambda: None)
    found = static_folders.find(app, {**ANYWAY, **anyway})
    assert (len(found.served), len(found.lines)) == (1, lines)


def test_what_the_old_images_served_past_an_application_that_shows_nothing():
    old = {**ANYWAY, "old": "/static/", "old_folder": "/app/static"}
    (line,) = static_folders.find(Sealed(None), old).lines
    assert "nginx serves /app/static (/static/) past test_static_folders.Sealed" in line
    for words in ({"on": True}, {"off": True}, {"old_folder": ""}):
        assert static_folders.find(Sealed(None), {**old, **words}).lines == []


@pytest.mark.parametrize("name", static_hooks.WAY)
@pytest.mark.parametrize("where", ["subclass", "object"])
def test_whoever_overrides_flasks_way_to_a_view_keeps_them(tmp_path, name, where):
    def guard(self, *arguments, **named):
        return flask.abort(401)

    if where == "subclass":
        app = make(tmp_path, type("Own", (flask.Flask,), {name: guard}))
    else:
        app = make(tmp_path)
        setattr(app, name, functools.wraps(getattr(app, name))(lambda *arguments: guard(app, *arguments)))
    found = static_folders.find(app)
    assert (found.served, len(found.left)) == ([], 1)
    assert "guard" in found.lines[0] or f"Flask.{name}" in found.lines[0]
    assert __file__ in found.lines[0]


def extension(name, source="def hook(*arguments): pass"):
    """A function that a package of this name would have made."""
    names = {"__name__": name, "functools": functools}
    exec(source, names)
    return names["hook"]


REGISTER = {
    "before": lambda app, hook: app.before_request(hook),
    "after": lambda app, hook: app.after_request(hook),
    "values": lambda app, hook: app.url_value_preprocessor(hook),
    "signal": lambda app, hook: flask.request_started.connect(hook, app),
    "partial": lambda app, hook: app.after_request(functools.partial(hook, 1)),
}


@pytest.mark.parametrize("how", REGISTER)
@pytest.mark.parametrize(("module", "named"), [
    ("shop.web", True), ("flask_cors.extension", True), ("flask_talisman.talisman", True), ("flask_basicauth", True), ("flask_sslify", True), ("flask_login_of_mine", True),
    ("flask_wtf.csrf", False), ("flask_login.login_manager", False), ("flask_limiter._extension", False), ("sentry_sdk.integrations.flask", False), ("opentelemetry.instrumentation.flask", False),
])  # fmt: skip
def test_hooks_are_named_unless_they_are_known(tmp_path, how, module, named):
    app = make(tmp_path)
    hook = extension(module)
    REGISTER[how](app, hook)
    found = static_folders.find(app)
    assert ([folder.url for folder in found.served], found.left) == (["/static/"], [])
    assert [f"{module}.hook (" in line and "STATIC_FILES=off" in line for line in found.lines] == [True] * named


def test_a_hook_of_the_users_behind_a_known_decorator_is_the_users(tmp_path):
    wrap = extension(
        "flask_login.utils",
        "def hook(function):\n    @functools.wraps(function)\n    def inner(): return function()\n    return inner",
    )

    def my_login():
        return None

    app = make(tmp_path)
    app.before_request(wrap(my_login))
    assert "my_login" in static_folders.find(app).lines[0]
    assert __file__ in static_folders.find(app).lines[0]


def test_teardown_and_other_blueprints_do_not_count(tmp_path):
    app = make(tmp_path)
    app.teardown_request(lambda error: None)
    other = flask.Blueprint("other", "x", root_path=str(tmp_path))
    other.before_request(lambda: None)
    app.register_blueprint(other)
    assert static_folders.find(app).lines == []
    other = flask.Blueprint("third", "x", root_path=str(tmp_path))
    other.before_app_request(lambda: None)
    app.register_blueprint(other)
    assert len(static_folders.find(app).lines) == 1


def test_a_blueprints_own_hooks(tmp_path):
    app = make(tmp_path)
    (tmp_path / "files").mkdir()
    outer = flask.Blueprint("outer", "x", root_path=str(tmp_path), url_prefix="/o")
    inner = flask.Blueprint("inner", "x", root_path=str(tmp_path), static_folder="files", url_prefix="/i")

    @outer.before_request
    def from_outer(): ...

    @inner.after_request
    def from_inner(response): ...

    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    (line,) = static_folders.find(app).lines
    assert f"{tmp_path}/files (/o/i/files/)" in line
    assert "from_outer" in line
    assert "from_inner" in line
    assert "(/static/)" not in line


def test_a_response_class_that_adds_headers(tmp_path):
    class Plain(flask.Response):
        default_mimetype = "application/json"

    class Adds(flask.Response):
        def get_wsgi_headers(self, environ):
            return super().get_wsgi_headers(environ)

    app = make(tmp_path)
    app.response_class = Plain
    assert static_folders.find(app).lines == []
    app.response_class = Adds
    assert "Adds.get_wsgi_headers" in static_folders.find(app).lines[0]


def test_one_line_for_many_folders_and_not_too_long(tmp_path):
    app = make(tmp_path)
    (tmp_path / "files").mkdir()
    app.register_blueprint(flask.Blueprint("b", "x", root_path=str(tmp_path), static_folder="files", url_prefix="/b"))
    for number in range(9):
        app.before_request(extension(f"shop.m{number}"))
    (line,) = static_folders.find(app).lines
    assert "(/static/)" in line
    assert "(/b/files/)" in line
    assert "and 4 more" in line


def test_an_extensions_own_static_endpoint(tmp_path):
    """Flask-DebugToolbar has one, and no blueprint of that name."""
    app = make(tmp_path)
    app.add_url_rule("/_tools/static/<path:filename>", "_tools.static", lambda filename: "")
    assert [folder.url for folder in static_folders.find(app).served] == ["/static/"]


@pytest.mark.parametrize(
    ("middleware", "served"),
    [("whitenoise.middleware.WhiteNoiseMiddleware", 0), ("django.middleware.security.SecurityMiddleware", 1)],
)
def test_django(tmp_path, monkeypatch, middleware, served):
    """Its own middleware sees no static file, as Django serves none; WhiteNoise serves them, with headers."""
    settings = types.SimpleNamespace(STATIC_URL="/static/", STATIC_ROOT=str(tmp_path), MIDDLEWARE=[middleware])
    monkeypatch.setitem(sys.modules, "django.conf", types.SimpleNamespace(settings=settings))
    handler = type("WSGIHandler", (), {"__module__": "django.core.handlers.wsgi", "__call__": lambda *_: []})()
    found = static_folders.find(handler)
    assert (len(found.served), len(found.lines)) == (served, 1 - served)
    assert static_folders.find(Basic(handler)).served == []
    assert static_folders.find(handler, protected={str(tmp_path / "x"): "the data directory"}).served == []


# Routes among the files


@pytest.mark.parametrize(("rule", "methods", "left"), [
    ("/static/report.pdf", ["GET"], True), ("/static/reports/<name>", ["GET"], True), ("/static/<path:other>", ["GET"], True), ("/static/upload", ["POST"], False), ("/statics", ["GET"], False),
])  # fmt: skip
def test_a_route_of_the_applications_among_the_files(tmp_path, rule, methods, left):
    app = make(tmp_path)
    app.add_url_rule(rule, "view", lambda **named: "", methods=methods)
    found = static_folders.find(app)
    assert (len(found.left), len(found.lines)) == (left, left)
    assert not left or f"the route {rule}" in found.lines[0]


@pytest.mark.parametrize(("rule", "left"), [
    ("/", False), ("/about", False), ("/report.pdf", True), ("/reports/<name>", True), ("/none/<name>", False), ("/<path:page>", False), ("/<page>", True), ("/reports/", True),
])  # fmt: skip
def test_routes_beside_files_at_the_top(tmp_path, rule, left):
    """A file that is there comes before the application: not where the application would not send it."""
    app = make(tmp_path, static_url_path="")
    (tmp_path / "static/report.pdf").touch()
    (tmp_path / "static/reports").mkdir()
    app.add_url_rule(rule, "view", lambda **named: "")
    assert len(static_folders.find(app).left) == left


@pytest.mark.parametrize(
    ("mount", "served", "left"),
    [
        ("/admin", ["/static/"], []),
        ("/static", [], []),
        ("/static/private", [], ["/static/"]),
        ("/statics", ["/static/"], []),
    ],
)
def test_what_is_mounted_among_the_files(tmp_path, mount, served, left):
    found = static_folders.find(DispatcherMiddleware(make(tmp_path), {mount: closure(None)}))
    assert ([folder.url for folder in found.served], [folder.url for folder in found.left]) == (served, left)


# Folders that are no folders of static files


@pytest.mark.parametrize("folder", [".", "..", "", "link", "instance"])
def test_a_folder_that_is_or_holds_the_application(tmp_path, folder):
    (tmp_path / "code/instance").mkdir(parents=True)
    os.symlink(tmp_path, tmp_path / "code/link")
    app = flask.Flask(
        "x",
        root_path=str(tmp_path / "code"),
        instance_path=str(tmp_path / "code/instance"),
        static_folder=folder,
        static_url_path="",
    )
    for anyway in ({}, {"on": True}, {"given": "/", "old": "/"}):
        found = static_folders.find(app, {**ANYWAY, **anyway})
        assert (found.served, len(found.left), len(found.lines)) == ([], 1, 1)
        assert "nginx does not serve" in found.lines[0]
    assert static_folders.find(app, {**ANYWAY, "off": True}).lines == []


def test_a_blueprints_folder_that_holds_data(tmp_path):
    app = make(tmp_path, static_folder=None)
    (tmp_path / "shop").mkdir()
    (tmp_path / "d/inner").mkdir(parents=True)
    app.register_blueprint(
        flask.Blueprint(
            "b", "x", root_path=str(tmp_path / "shop"), static_folder=str(tmp_path / "d"), static_url_path="/d"
        )
    )
    assert len(static_folders.find(app).served) == 1
    found = static_folders.find(app, protected={str(tmp_path / "d/inner"): "the data directory"})
    assert (found.served, f"holds the data directory {tmp_path}/d/inner" in found.lines[0]) == ([], True)


def test_holds(tmp_path):
    (tmp_path / "app/inner").mkdir(parents=True)
    (tmp_path / "beside").mkdir()
    os.symlink(tmp_path / "app", tmp_path / "link")
    os.symlink("/", tmp_path / "beside/root")
    never = {str(tmp_path / "app"): "the application"}
    for folder in ("app", "app/", "app/.", "link", "", "../", "beside/../app", "beside/root"):
        assert "the application" in published.holds(str(tmp_path / folder), never), folder
    for folder in ("app/inner", "beside", "link/inner", "none", "app2"):
        assert published.holds(str(tmp_path / folder), never) == "", folder
    assert published.holds("/", never).startswith("holds")
    assert published.holds(str(tmp_path / "app"), never).startswith("is the application")
    assert published.holds("/proc/self/cwd", {os.getcwd(): "it"}).startswith("is it")


def test_the_build_publishes_no_copies_of_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(static_build, "COPIES", str(tmp_path / "copies"))
    monkeypatch.setenv("RUN_AS", "root")  # or another user looks at pytest's own folders
    (tmp_path / "app/static").mkdir(parents=True)
    (tmp_path / "app/static/.env").write_text("x")
    (tmp_path / "app/static/a.txt").write_text("x")
    monkeypatch.chdir(tmp_path / "app")
    for folder in (".", "..", "/", static_build.HOME):
        assert static_build.run(["build", folder]) == 64
        assert "its copies would be public" in capsys.readouterr().err
    assert static_build.run(["build"]) == 0
    assert [name for name in os.listdir(tmp_path / "copies/0") if "env" in name] == []
    os.rename("static", "other")
    os.symlink(".", "static")
    assert static_build.run(["build"]) == 64
