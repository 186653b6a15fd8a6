"""Importing the application: the object, or one message that names what is wrong."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import importlib
import itertools
import os
import signal
import socketserver
import sys
import types
from importlib import metadata

import pytest

from flagon import places
from flagon.inside import loading, middleware, own_signals, slow_import
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
    ("class app:\n    def __init__(self, e, s): self.n = 3\n    def __int__(self): return 3\n    def __eq__(self, other): return other == 3", "app", 3),
    ("class A:\n    def __call__(self, e, s, more=0): return 3\napp = A()", "app", 3),
    ("class A:\n    def run(self, *both): return 3\napp = A().run", "app", 3),
    ("import functools\napp = functools.partial(lambda n, e, s: n, 3)", "app", 3),
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
    ("raise ModuleNotFoundError('x', name='psycopg')", "Add psycopg[binary] to requirements.txt"),
    ("raise ModuleNotFoundError('x', name='PIL.Image')", "Add pillow to requirements.txt"),
    ("raise ModuleNotFoundError('x', name='flask_login')", "Add flask-login to requirements.txt"),
    ("raise ImportError('no pq wrapper available.\\nAttempts made: ...')", "install psycopg[binary]"),
    ("raise ImportError('libpq.so.5: cannot open shared object file: No such file')", "apt-get install -y --no-install-recommends libpq5"),
    ("import os\nos.environ['DATABASE_URL']", "-e DATABASE_URL=sqlite:////data/app.db"),
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
    ("async def app(scope, receive, send): pass", "app", ["it is ASGI", "APP_MODULE"]),
    ("class app:\n    def __init__(self, scope): pass\n    async def __call__(self, receive, send): pass", "app", ["it is ASGI"]),
    ("class A:\n    async def __call__(self, scope, receive, send): pass\napp = A()", "app", ["it is ASGI"]),
    ("class A:\n    async def run(self, scope, receive, send): pass\napp = A().run", "app", ["it is ASGI"]),
    ("def app(scope):\n    async def run(receive, send): pass\n    return run", "app", ["it takes 1 arguments"]),
    ("def app(scope, receive, send): pass", "app", ["it takes 3 arguments", "start_response"]),
    ("class app:\n    def __init__(self, scope): pass", "app", ["it takes 1 arguments"]),
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
    ("instance/x", [], ["RUN mkdir -p {0}/instance/x && chown -R {uid} {0}/instance/x, and a volume there", "docker run -v NAME:{0}/instance/x", "{0} belongs to uid"]),
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


@pytest.mark.parametrize("statement", ["import_string(3)", "import_string('nothere.x')"])
def test_an_error_inside_a_package_names_it_and_its_version(module, statement):
    text = error(f"{module(f'from werkzeug.utils import import_string{chr(10)}{statement}')}:app").lower()
    assert f"the installed werkzeug {metadata.version('werkzeug')} (python 3." in text
    assert "the installed" not in error(f"{module('1 / 0')}:app")


@pytest.mark.parametrize("source", [
    "import os\nraise RuntimeError('DATABASE_X is not set')\n", "raise KeyError('x')\n", "raise ValueError('x')\n", "raise AssertionError('twice')\n",
    "class ConfigError(Exception): pass\nraise ConfigError('set me')\n", "open('/none/there')\n",
])  # fmt: skip
def test_a_package_is_no_culprit_of_what_no_version_causes(module, tmp_path, monkeypatch, source):
    """A missing setting, a permission, a factory that was called twice: whose frame is the last says nothing."""
    package, said = tmp_path / "site-packages", tmp_path / "site-packages/culprit-1.0.dist-info"
    said.mkdir(parents=True)
    (said / "METADATA").write_text("Metadata-Version: 2.1\nName: culprit\nVersion: 1.0\n")
    (said / "top_level.txt").write_text("culprit\n")
    (package / "culprit.py").write_text(f"def f():\n    exec(compile({source!r}, __file__, 'exec'), {{}})\n")
    monkeypatch.syspath_prepend(str(package))
    assert "That comes from" not in error(f"{module('import culprit' + chr(10) + 'culprit.f()')}:app")
    (package / "culprit.py").write_text("None.nothing\n")
    sys.modules.pop("culprit")
    importlib.invalidate_caches()
    assert "That comes from the installed culprit 1.0" in error(f"{module('import culprit')}:app")


SQLITE = "import sqlite3\n"
ALCHEMY = "import sqlalchemy as sa\nengine = sa.create_engine('sqlite:///%s')\nwith engine.connect(): pass\n"


@pytest.mark.parametrize(("source", "words"), [
    (SQLITE + "sqlite3.connect('%s/none/my.db')", "there is no folder {}/none for {}/none/my.db"), (ALCHEMY.replace("%s", "%s/none/my.db"), "there is no folder {}/none for {}/none/my.db;"),
    (SQLITE + "DB_DIR, DB_NAME = '/', 'a/b'\nDATABASE = 'file:%s/my.data?mode=rw'\nraise sqlite3.OperationalError('unable to open database file')", "cannot write {}/my.data (belongs to uid"),
    (SQLITE + "c = sqlite3.connect('%s/my.data')\ndef f(c):\n    raise sqlite3.OperationalError('attempt to write a readonly database')\nf(c)", "RUN chown {uid} {}/my.data {}\n"),
    (SQLITE + "raise sqlite3.OperationalError('unable to open database file')", "Keep the file in /data"),
])  # fmt: skip
def test_what_sqlite_was_denied_is_named_with_the_line_that_mends_it(module, tmp_path, monkeypatch, source, words):
    monkeypatch.setattr(places, "mount_points", lambda: ["/"])
    (tmp_path / "my.data").touch()
    monkeypatch.setattr(os, "access", lambda path, _: not str(path).startswith(str(tmp_path)))
    name = module(source.replace("%s", str(tmp_path)))
    with pytest.raises(loading.Denied) as caught:
        loading.load(f"{name}:app", "x")
    text = str(caught.value) + "\n"
    assert words.format(tmp_path, tmp_path, uid=os.geteuid()) in text
    assert f"uid {os.geteuid()} runs the application" in text
    assert f'{name}.py", line' in text, "the application's own line"
    assert "That comes from" not in text


def test_sqlite_s_other_errors_are_left_alone(module):
    text = error(
        f"{module(SQLITE + chr(10) + 'raise sqlite3.OperationalError(chr(110) + chr(111) + str(chr(32)) + chr(116))')}:app"
    )
    assert "runs the application" not in text


def test_what_a_package_says_of_settings_does_not_send_the_reader_to_its_version(module, tmp_path, monkeypatch):
    """Django's ImproperlyConfigured, and its like: the variable is what to set."""
    package = tmp_path / "site-packages" / "werkzeug"
    package.mkdir(parents=True)
    text = "class {0}(Exception): ...\ndef fail(text): raise {0}(text)\n"
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    for name, said in [
        ("ImproperlyConfigured", "Requested setting X, but settings are not configured. You must either define the"),
        ("UndefinedValueError", "KEY not found"), ("OperationalError", "no such host"), ("Odd", "other"),
    ]:  # fmt: skip
        (package / f"of_{name}.py").write_text(text.format(name))
        found = error(f"{module(f'import of_{name}{chr(10)}of_{name}.fail({said!r})')}:app")
        assert "the installed" not in found
        assert ("-e DJANGO_SETTINGS_MODULE=shop.settings" in found) is (name == "ImproperlyConfigured")


def test_a_file_that_cannot_be_made_wants_its_folder(module, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "mount_points", lambda: ["/"])
    inner = "def open(path): raise PermissionError(13, 'Permission denied', path)"
    name = module(
        f"import loaded_log\nloaded_log.open({str(tmp_path / 'log.txt')!r})", loaded_log=f"{inner}  # open(x)"
    )
    assert f"RUN chown {os.geteuid()} {tmp_path}\n" in error(f"{name}:app") + "\n"


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


def load_slowly(tmp_path, monkeypatch, workers=1):
    """The lines of an application that takes 0.3 s, where each 0.1 s makes one."""
    monkeypatch.setattr(slow_import, "PERIOD", 0.1)
    (tmp_path / "slow.py").write_text("import time\n\ndef fetch():\n    time.sleep(0.35)\n\nfetch()\n")
    options = {"run": str(tmp_path), "directory": str(tmp_path), "target": "slow:app"}
    said = []
    code = compile((tmp_path / "slow.py").read_text(), str(tmp_path / "slow.py"), "exec")
    with slow_import.told(options, said.append):
        exec(code, {"__name__": "slow"})
    return said


def test_a_slow_import_says_where_it_is(tmp_path, monkeypatch):
    said = load_slowly(tmp_path, monkeypatch)
    assert 2 <= len(said) <= 3
    assert all("slow:app is still being loaded" in line and "at slow.py line 4 in fetch" in line for line in said)


def test_one_worker_speaks_for_all(tmp_path, monkeypatch):
    held = slow_import._claimed(str(tmp_path / "loading.lock"))
    assert load_slowly(tmp_path, monkeypatch) == []
    os.close(held)
    assert load_slowly(tmp_path, monkeypatch)


@pytest.mark.parametrize(("text", "found"), [
    ("app = lambda e, s: 1\napplication = lambda e, s: 2\n", 2), ("app = lambda e, s: 1\n", 1), ("app = lambda e, s: 1\napplication = 'x'\n", 1),
    ("def create_app():\n    return lambda e, s: 3\n", 3), ("api = lambda e, s: 4\n", 4), ("globals()['application'] = lambda e, s: 5\napp = lambda e, s: 1\n", 5),
])  # fmt: skip
def test_where_no_object_is_named_the_module_itself_says_what_it_has(module, text, found):
    objects = ["application", "app", "create_app()", "make_app()", "api"]
    assert loading.load(f"{module(text)}:app", "x", objects)({}, None) == found


FLASK_FACTORY = "from flask import Flask, current_app\ndef create_app(name='none'):\n    return Flask(name)\n"


@pytest.mark.parametrize(("text", "objects", "served"), [
    ("globals()['shop'] = create_app('live')\n", ["create_app()"], "live"), ("globals()['shop'] = create_app('live')\n", ["app", "application", "create_app()", "make_app()", "api"], "live"),
    ("a = b = create_app('live')\na.app_context().push()\n", ["create_app()"], "live"), ("", ["create_app()"], "none"),
    ("globals()['shop'], app = create_app('live'), create_app('app')\n", ["app", "create_app()"], "app"),
])  # fmt: skip
def test_the_only_flask_object_comes_before_a_factory(module, text, objects, served):
    """As in Flask's find_best_app: what the module has made is not made again with defaults."""
    said = []
    name = module(FLASK_FACTORY + text)
    assert loading.load(f"{name}:create_app()", "x", objects, say=said.append).name == served
    assert len(said) == (0 if served == "none" else 1)


def test_several_flask_objects_are_named_and_none_is_guessed(module):
    name = module(FLASK_FACTORY + "a, b = create_app('a'), create_app('b')\n")
    with pytest.raises(LoadError, match=r"several Flask objects.*has: create_app\(\), a, b"):
        loading.load(f"{name}:create_app()", "x", ["create_app()"])


def test_none_of_the_objects_is_there(module):
    with pytest.raises(loading.LoadError, match="has no attribute 'application'"):
        loading.load(f"{module('x = 1')}:application", "x", ["application", "app"])


@pytest.fixture
def sigterm(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(own_signals, "_taken", [])
    yield before
    signal.signal(signal.SIGTERM, before)


def test_the_applications_handler_for_sigterm_is_called_once_the_worker_is_done(sigterm):
    order, said = [], []
    with own_signals.kept(said.append):
        signal.signal(signal.SIGTERM, lambda *_: (order.append("own"), sys.exit(3)))
    assert signal.getsignal(signal.SIGTERM) is sigterm
    assert "handles SIGTERM" in said[0]
    signal.signal(signal.SIGTERM, lambda *_: order.append("told"))  # as gunicorn's worker has it

    def run():
        os.kill(os.getpid(), signal.SIGTERM)
        order.append("served")

    worker = types.SimpleNamespace(run=run)
    own_signals.call_at_end(worker)
    worker.run()
    assert order == ["told", "served", "own"]


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_worker_cannot_be_made_to_ignore_its_end(sigterm, handler):
    with own_signals.kept(print):
        signal.signal(signal.SIGTERM, handler)
    assert signal.getsignal(signal.SIGTERM) is sigterm
    worker = types.SimpleNamespace(run="as it was")
    own_signals.call_at_end(worker)
    assert worker.run == "as it was"
