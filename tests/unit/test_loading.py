"""Importing the application: the object, or one message that names what is wrong."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import importlib
import itertools
import os
import socketserver
import sys

import pytest

from flagon import places
from flagon.inside import loading, middleware
from flagon.inside.loading import LoadError

NUMBERS = itertools.count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module of a new name, and forgets it afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def module(text, **others):
        name = f"loaded_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(text)
        for other, source in others.items():
            (tmp_path / f"{other}.py").write_text(source)
        importlib.invalidate_caches()
        return name

    yield module
    for name in set(sys.modules) - before:
        del sys.modules[name]


def error(target):
    with pytest.raises(LoadError) as caught:
        loading.load(target, "because of a test")
    assert caught.value.__cause__ is None
    assert target in str(caught.value)
    assert "because of a test" in str(caught.value)
    return str(caught.value)


FACTORY = "def create_app(name='none', *, debug=False):\n    return lambda e, s: (name, debug)\n"


@pytest.mark.parametrize(("text", "expression", "result"), [
    ("def app(e, s): return 1", "app", 1),
    ("def app(e, s): return 1", "", 1),
    ("class web:\n    app = staticmethod(lambda e, s: 2)", "web.app", 2),
    (FACTORY, "create_app()", ("none", False)),
    (FACTORY, "create_app('production')", ("production", False)),
    (FACTORY, "create_app('x', debug=True)", ("x", True)),
    (FACTORY, "create_app(name=['a', {'b': -1}])", (["a", {"b": -1}], False)),
    ("class make:\n    @staticmethod\n    def app(): return lambda e, s: 3", "make.app()", 3),
])  # fmt: skip
def test_loaded(module, text, expression, result):
    assert loading.load(f"{module(text)}:{expression}", "x")({}, None) == result


def test_a_module_in_a_package(module, tmp_path):
    (tmp_path / "loaded_pack").mkdir()
    (tmp_path / "loaded_pack" / "web.py").write_text("def app(e, s): return 4")
    assert loading.load("loaded_pack.web:app", "x")({}, None) == 4


@pytest.mark.parametrize("target", ["no_such_module:app", "no_such.module:app"])
def test_missing_module(target):
    text = error(target)
    assert "no module named 'no_such" in text
    assert "There is no no_such" in text
    assert "APP_MODULE" in text


def test_missing_dependency(module):
    name = module("x = 1\nimport no_such_library.part\n")
    text = error(f"{name}:app")
    assert "no module named 'no_such_library'" in text
    assert f'{name}.py", line 2' in text
    assert "Add no_such_library to requirements.txt" in text


@pytest.mark.parametrize(("statement", "advice"), [
    ("import psycopg2_is_not_here", "Add psycopg2_is_not_here to requirements.txt"),
    ("raise ModuleNotFoundError('x', name='psycopg2')", "Add psycopg2-binary to requirements.txt"),
    ("raise ModuleNotFoundError('x', name='PIL.Image')", "Add pillow to requirements.txt"),
    ("raise ModuleNotFoundError('x', name='flask_login')", "Add flask-login to requirements.txt"),
    ("raise ImportError('no pq wrapper available.\\nAttempts made: ...')", "install psycopg[binary]"),
    ("raise ImportError('libpq.so.5: cannot open shared object file: No such file')", "apt-get install -y --no-install-recommends libpq5"),
    ("raise ImportError('libodd.so.1: cannot open shared object file')", "the package that has libodd.so.1"),
])  # fmt: skip
def test_what_to_install(module, statement, advice):
    assert advice in error(f"{module(statement)}:app")


@pytest.mark.parametrize(("source", "expression", "words"), [
    ("x = 1", "app", ["AttributeError", "'app'", "APP_MODULE"]),
    ("x = 1", "", ["AttributeError", "'app'"]),
    ("x = 1", "x.y.z", ["AttributeError", "'y'"]),
    ("app = 5", "app", ["it is a int", "not a WSGI callable", "APP_MODULE"]),
    ("app = None", "app", ["it is a NoneType"]),
    ("def create_app(): return 'text'", "create_app()", ["it is a str"]),
    ("raise RuntimeError('no database')", "app", ["RuntimeError: no database", "line 1"]),
    ("def create_app():\n    raise KeyError('SETTING')", "create_app()", ["KeyError: 'SETTING'", "line 2"]),
    ("import sys\nsys.exit(3)", "app", ["SystemExit: 3", "line 2"]),
    ("exit()", "app", ["SystemExit"]),
    ("def create_app(config): pass", "create_app()", ["TypeError", "config"]),
    ("def create_app(): pass", "create_app(undefined)", ["APP_MODULE"]),
    ("def create_app(): pass", "create_app(__import__('os'))", ["APP_MODULE"]),
    ("app = 1", "app(", ["APP_MODULE"]),
    ("app = 1", "lambda: 0", ["APP_MODULE"]),
    ("class Odd(BaseException): pass\nraise Odd('x')", "app", ["Odd"]),
])  # fmt: skip
def test_errors(module, source, expression, words):
    name = module(source)
    text = error(f"{name}:{expression}")
    for word in words:
        assert word in text


@pytest.mark.parametrize("source", [
    "raise RuntimeError('no database')", "import no_such_library", "import os\nos.environ['SETTING']", "def broken(:", "x = 1\nx.y",
    "def app():\n    raise TypeError('of its own')",
])  # fmt: skip
def test_app_module_is_no_advice_where_the_application_itself_fails(module, source):
    assert "APP_MODULE" not in error(f"{module(source)}:{'app()' if 'def app' in source else 'app'}")


@pytest.mark.parametrize(("source", "offered"), [
    ("def application(e, s): pass\nx = 1", "application"),
    ("from flask import Flask, request\nsite = Flask(__name__)\ndef helper(): pass", "site"),
    ("def create_app(): pass\ndef make_shop_app(): pass", "create_app(), make_shop_app()"),
])  # fmt: skip
def test_an_object_that_is_not_there_is_answered_by_those_that_are(module, source, offered):
    name = module(source)
    text = error(f"{name}:app")
    assert f"{name}.py has: " in text
    assert offered.split("()")[0] in text.partition(" has: ")[2]
    assert "helper" not in text
    assert "request" not in text
    assert "Set APP_MODULE" in text


def test_an_object_that_is_not_there_and_none_to_offer(module):
    assert " has: " not in error(f"{module('x = 1')}:app")


@pytest.mark.parametrize(("path", "mounts", "words"), [
    ("instance/x", [], ["RUN mkdir -p {0}/instance/x && chown -R {uid} {0}/instance/x", "{0} belongs to uid"]),
    ("there.txt", [], ["RUN chown {uid} {0}/there.txt", "it belongs to uid"]),
    ("data/x", ["{0}/data"], ["{0}/data is mounted"]),
])  # fmt: skip
def test_what_may_not_be_read_or_written_is_named_with_its_owner(module, tmp_path, monkeypatch, path, mounts, words):
    (tmp_path / "there.txt").write_text("")
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(places, "mount_points", lambda: ["/", *(one.format(tmp_path) for one in mounts)])
    name = module(f"raise PermissionError(13, 'Permission denied', {str(tmp_path / path)!r})")
    text = error(f"{name}:app")
    assert f"uid {os.geteuid()} runs the application" in text
    for word in words:
        assert word.format(tmp_path, uid=os.geteuid()) in text
    assert "APP_MODULE" not in text


def test_frames_name_the_file_of_the_application(module):
    name = module("import loaded_inner", loaded_inner="def f():\n    return 1 / 0\nf()\n")
    text = error(f"{name}:app")
    assert "ZeroDivisionError" in text
    assert 'loaded_inner.py", line 2' in text
    assert "loading.py" not in text
    assert "importlib" not in text


def test_syntax_error_names_file_and_line(module):
    name = module("import os\n\ndef broken(:\n    pass\n")
    text = error(f"{name}:app")
    assert f"{name}.py line 3" in text
    assert "def broken(:" in text


def test_syntax_error_in_an_imported_file(module):
    name = module("import loaded_broken", loaded_broken="x = (")
    text = error(f"{name}:app")
    assert "loaded_broken.py line 1" in text


SERVERS = {
    "flask": "from flask import Flask\napp = Flask(__name__)\n{}app.run(port=0)\n",
    "werkzeug": "from werkzeug.serving import run_simple\napp = lambda e, s: []\n{}run_simple('127.0.0.1', 0, app)\n",
    "wsgiref": (
        "from wsgiref.simple_server import make_server\napp = lambda e, s: []\nserver = make_server('127.0.0.1', 0, app)\n"
        "{}server.serve_forever()\n"
    ),
}


@pytest.fixture
def fresh_werkzeug(monkeypatch):
    """As in a new process: werkzeug.serving is not imported yet."""
    import werkzeug

    monkeypatch.delitem(sys.modules, "werkzeug.serving", raising=False)
    serving = werkzeug.__dict__.get("serving")
    yield
    if serving is not None:
        werkzeug.serving = serving


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_started_at_import_is_a_message_and_no_hang(module, fresh_werkzeug, server):
    name = module(SERVERS[server].format(""))
    text = error(f"{name}:app")
    assert f"{name}.py line" in text
    assert "starts a server while it is imported" in text
    assert 'if __name__ == "__main__":' in text


@pytest.mark.parametrize("server", SERVERS)
def test_a_guarded_server_is_no_trouble(module, fresh_werkzeug, server):
    name = module(SERVERS[server].format("if __name__ == '__main__':\n    "))
    assert callable(loading.load(f"{name}:app", "x"))


def test_after_loading_servers_work_again(module):
    before = socketserver.BaseServer.serve_forever, list(sys.meta_path)
    loading.load(module("app = print") + ":app", "x")
    assert (socketserver.BaseServer.serve_forever, list(sys.meta_path)) == before
    error(module("1 / 0") + ":app")
    assert (socketserver.BaseServer.serve_forever, list(sys.meta_path)) == before


def test_a_server_in_a_thread_of_the_application_may_run(module):
    """Metrics exporters do this at import."""
    name = module(
        "import threading\nfrom http.server import HTTPServer, BaseHTTPRequestHandler\n"
        "server = HTTPServer(('127.0.0.1', 0), BaseHTTPRequestHandler)\nstarted = threading.Event()\n"
        "server.service_actions = started.set\n"
        "threading.Thread(target=server.serve_forever, args=(0.001,), daemon=True).start()\n"
        "assert started.wait(5)\nserver.shutdown()\nserver.server_close()\napp = print\n"
    )
    assert loading.load(f"{name}:app", "x") is print


@pytest.mark.parametrize(("path", "script", "rest"), [
    ("/shop/cart", "/shop", "/cart"), ("/shop", "/shop", ""), ("/shop/", "/shop", "/"), ("/cart", "/shop", "/cart"),
    ("/shopping", "/shop", "/shopping"), ("/", "/shop", "/"), ("/shop/shop", "/shop", "/shop"),
])  # fmt: skip
def test_sub_path(path, script, rest):
    seen = {}
    middleware.sub_path(lambda environ, start: seen.update(environ), "/shop")({"PATH_INFO": path}, None)
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == (script, rest)


def test_behind_nginx():
    seen = {}
    environ = {
        "REMOTE_ADDR": "", "wsgi.url_scheme": "http", "SERVER_NAME": "unix", "SERVER_PORT": "80", "RAW_URI": "/a?b",
        "PATH_INFO": "/a", "HTTP_X_REAL_IP": "192.0.2.1", "HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_REQUEST_ID": "id-1",
        "HTTP_X_FLAGON_SERVER_NAME": "example.test", "HTTP_X_FLAGON_SERVER_PORT": "8443", "HTTP_X_FLAGON_REMOTE_PORT": "4000",
    }  # fmt: skip
    middleware.behind_nginx(lambda environ, start: seen.update(environ))(environ, None)
    assert (seen["REMOTE_ADDR"], seen["REMOTE_PORT"]) == ("192.0.2.1", "4000")
    assert (seen["wsgi.url_scheme"], seen["SERVER_NAME"], seen["SERVER_PORT"]) == ("https", "example.test", "8443")
    assert seen["REQUEST_URI"] == "/a?b"
    assert not [name for name in seen if "FLAGON" in name]
    assert middleware.request_id.get() == "id-1"


@pytest.mark.parametrize(("path", "clean"), [
    ("/", "/"), ("/a", "/a"), ("/a/", "/a/"), ("/a/./b", "/a/b"), ("/a/../b", "/b"), ("/a/b/..", "/a/"), ("/a/.", "/a/"),
    ("/..", "/"), ("/../../a", "/a"), ("/a/../../b", "/b"), ("/.hidden", "/.hidden"), ("/a/..b/...", "/a/..b/..."),
    ("//a//b", "//a//b"), ("/./", "/"), ("/a/../", "/"), ("/a//../b", "/a/b"),
])  # fmt: skip
def test_dots_are_resolved_as_nginx_does(path, clean):
    assert middleware.without_dots(path) == clean
