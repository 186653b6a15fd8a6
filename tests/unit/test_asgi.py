"""ASGI: what the files show, which class follows, what other servers' commands mean, what lies before the application."""

# Tables, a row a line, however long.
# ruff: noqa: E501

from __future__ import annotations

import asyncio
import builtins
import contextlib
import logging
from urllib.parse import unquote_to_bytes

import pytest

from flagon import application, asgi_source, capacity, commands, locate, users_nginx
from flagon.boot import Boot, BootError
from flagon.inside import asgi_middleware, lifespan, loading, logs, own_routes, slots

FAST = "from fastapi import FastAPI\napp = FastAPI()\n"
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
WRAPPED = "from asgiref.wsgi import WsgiToAsgi\n"
CLASS = "class A:\n    async def __call__(self, scope, receive, send): ...\n"
MANAGE = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'garden.settings')\n"


def put(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


@pytest.mark.parametrize(("text", "target", "kind"), [
    (FAST, "m:app", "FastAPI()"), ("import quart as q\napp = q.Quart('x')\n", "m:app", "Quart()"), ("from litestar import Litestar as L\napp: L = L()\n", "m:app", "Litestar()"),
    ("from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n", "m:application", "get_asgi_application()"),
    ("from channels.routing import ProtocolTypeRouter\napplication = ProtocolTypeRouter({})\n", "m:application", "ProtocolTypeRouter()"),
    ("import socketio\nsio = socketio.AsyncServer()\napp = socketio.ASGIApp(sio)\n", "m:app", "ASGIApp()"), ("import socketio\napp = socketio.WSGIApp(1)\n", "m:app", ""),
    ("import falcon.asgi\napp = falcon.asgi.App()\n", "m:app", "App()"), ("import falcon\napp = falcon.App()\n", "m:app", ""), ("from mylib import ASGIApp\napp = ASGIApp()\n", "m:app", ""),
    ("async def app(scope, receive, send): ...\n", "m:app", "async def app"), ("async def app(request): ...\n", "m:app", ""), ("def app(environ, start): ...\n", "m:app", ""),
    (CLASS + "app = A()\n", "m:app", "class A"), (CLASS, "m:A", ""), ("class A:\n    def __init__(self, scope): ...\n    async def __call__(self, receive, send): ...\n", "m:A", "class A"),
    ("from fastapi import FastAPI\nclass Shop(FastAPI): ...\napp = Shop()\n", "m:app", "FastAPI()"), (FAST + "app = TrustedHost(app, hosts=['*'])\n", "m:app", "FastAPI()"),
    (FAST + "from a2wsgi import ASGIMiddleware\napp = ASGIMiddleware(app)\n", "m:app", ""), (FLASK + "from a2wsgi import WSGIMiddleware\napp = WSGIMiddleware(app)\n", "m:app", "WSGIMiddleware()"),
    (FLASK + WRAPPED + "asgi_app = WsgiToAsgi(app)\n", "m:app", ""), (FLASK + WRAPPED + "asgi_app = WsgiToAsgi(app)\n", "m:asgi_app", "WsgiToAsgi()"), (FLASK + WRAPPED + "app = WsgiToAsgi(app)\n", "m:app", "WsgiToAsgi()"),
    ("from fastapi import FastAPI\ndef create_app(x=1):\n    made = FastAPI()\n    return made\n", "m:create_app()", "FastAPI()"), ("def create_app():\n    async def run(scope, receive, send): ...\n    return run\n", "m:create_app()", "async def run"),
    ("def create_app() -> 'x':\n    return Flask(1)\napp = create_app()\n", "m:app", ""), ("try:\n    from fastapi import FastAPI\n    app = FastAPI()\nexcept ImportError:\n    app = None\n", "m:app", "FastAPI()"),
    ("app = app\n", "m:app", ""), ("app = create_app()\ndef create_app():\n    return app\n", "m:app", ""), ("def broken(:\n", "m:app", ""), (FAST, "m:app.router", ""), (FAST, "none:app", ""), (FAST, "m:(", ""), (FAST, ":", ""),
])  # fmt: skip
def test_what_a_file_shows(tmp_path, text, target, kind):
    assert asgi_source.kind(put(tmp_path, {"m.py": text}), target) == kind


def test_names_are_followed_into_the_applications_other_files_and_no_further(tmp_path):
    root = put(tmp_path, {
        "main.py": "from shop import app\nimport shop.web as web\nother = web.app\n", "shop/__init__.py": "from .web import app\n",
        "shop/web.py": "from .make import create\napp = create()\n", "shop/make.py": "from fastapi import FastAPI\ndef create():\n    return FastAPI()\n",
        "one.py": "from two import app\n", "two.py": "from one import app\n",
    })  # fmt: skip
    assert asgi_source.kind(root, "main:app") == asgi_source.kind(root, "main:other") == "FastAPI()"
    assert asgi_source.kind(root, "main:app", follow=False) == ""
    assert asgi_source.kind(root, "one:app") == ""
    long = put(
        tmp_path / "long",
        {f"m{number}.py": f"from m{number + 1} import app\n" for number in range(40)} | {"m40.py": FAST},
    )
    assert (asgi_source.kind(long, "m0:app"), asgi_source.kind(long, "m35:app")) == ("", "FastAPI()")


@pytest.mark.parametrize(("files", "target"), [
    ({"main.py": FAST}, "main:app"), ({"app/main.py": FAST}, "app.main:app"), ({"app/main.py": FAST, "app/__init__.py": ""}, "app.main:app"), ({"src/main.py": FAST}, "main:app"),
    ({"thing.py": "from fastapi import FastAPI\nserver = FastAPI()\n"}, "thing:server"), ({"main.py": FAST + "def create_app():\n    return app\n"}, "main:app"),
    ({"manage.py": MANAGE, "garden/asgi.py": "application = get_asgi_application()\n"}, "garden.asgi:application"),
    # WSGI comes before ASGI wherever both are offered
    ({"manage.py": MANAGE, "garden/asgi.py": "application = get_asgi_application()\n", "garden/wsgi.py": "application = get_wsgi_application()\n"}, "garden.wsgi:application"),
    ({"app.py": FLASK + WRAPPED + "asgi_app = WsgiToAsgi(app)\n"}, "app:app"), ({"asgi.py": WRAPPED + "from wsgi import app\napp = WsgiToAsgi(app)\n", "wsgi.py": FLASK}, "wsgi:app"),
    ({"main.py": FAST, "shop.py": FLASK}, "shop:app"), ({"main.py": FAST, "shop.py": FAST.replace("app =", "def create_app():\n    return")}, "main:app"), ({"app.py": "from flask import Flask\ndef create_app():\n    return Flask(1)\n" + WRAPPED + "app = WsgiToAsgi(create_app())\n"}, "app:create_app()"),
])  # fmt: skip
def test_what_is_found(tmp_path, files, target):
    assert locate.locate(put(tmp_path, files), []).target == target


def sized(root, command=None, environ=None):
    boot = Boot(environ or {}, root, command)
    boot.users = users_nginx.UsersNginx()
    boot.application = application.choose(boot, "/nowhere")
    boot.size, boot.size_reason, *_ = capacity.decide(boot)
    return boot


@pytest.mark.parametrize(("files", "command", "environ", "worker_class", "why", "workers"), [
    ({"main.py": FAST}, [], {}, "asgi", "FastAPI() is ASGI", None), ({"main.py": FLASK}, [], {}, "fastcgi", "default", None), ({"main.py": FAST}, [], {"WORKER_CLASS": "asgi"}, "asgi", "WORKER_CLASS", None),
    ({"main.py": FAST}, ["uvicorn", "main:app"], {}, "asgi", "FastAPI() is ASGI", 1), ({"main.py": FAST}, ["uvicorn", "main:app", "--workers", "5"], {}, "asgi", "FastAPI() is ASGI", 5),
    ({"main.py": "globals()['app'] = 1\n"}, ["uvicorn", "main:app"], {}, "asgi", "uvicorn is to serve it", 1), ({"main.py": "globals()['app'] = 1\n"}, ["uvicorn", "--interface", "wsgi", "main:app"], {}, "fastcgi", "default", None),
    ({"main.py": FLASK}, ["uvicorn", "main:app"], {}, "fastcgi", "default", None), ({"main.py": "globals()['app'] = 1\n"}, ["hypercorn", "main:app"], {}, "fastcgi", "default", None),
    ({"main.py": "globals()['app'] = 1\n"}, ["gunicorn", "-k", "uvicorn.workers.UvicornWorker", "main:app"], {}, "asgi", "command line: WORKER_CLASS=uvicorn.workers.UvicornWorker", 1),
    ({"main.py": "globals()['app'] = 1\n"}, [], {"WORKER_CLASS": "uvicorn_worker.UvicornWorker", "APP_MODULE": "main:app"}, "asgi", "WORKER_CLASS=uvicorn_worker.UvicornWorker", None),
    ({"main.py": FLASK}, ["gunicorn", "-k", "shop.MyUvicornWorker", "-w", "2", "main:app"], {}, "fastcgi", "default", 2), ({"main.py": FAST}, ["gunicorn", "-k", "uvicorn.workers.UvicornWorker", "-w", "2", "main:app"], {}, "asgi", "FastAPI() is ASGI", 2),
    ({"main.py": "import socketio\napp = socketio.ASGIApp(1)\n"}, [], {}, "asgi", "ASGIApp() is ASGI", 1), ({"main.py": FAST, "Procfile": "web: uvicorn main:app --port $PORT --workers 3\n"}, [], {}, "asgi", "FastAPI() is ASGI", 3),
    ({"main.py": FAST}, [], {"WORKERS_PER_CORE": "0.1", "MAX_WORKERS": "2"}, "asgi", "FastAPI() is ASGI", 2),
])  # fmt: skip
def test_the_class_that_is_chosen(tmp_path, files, command, environ, worker_class, why, workers):
    boot = sized(put(tmp_path, files), command, environ)
    assert (boot.values["WORKER_CLASS"], boot.settings.sources["WORKER_CLASS"]) == (worker_class, why)
    assert workers in (None, boot.values["WEB_CONCURRENCY"])
    if worker_class == "asgi":
        assert (boot.values["THREADS"], boot.values["BACKLOG"]) == (1, capacity.ASGI_QUEUE)


@pytest.mark.parametrize("worker_class", ["gthread", "fastcgi", "gevent", "shop.Worker"])
def test_another_class_that_was_asked_for_is_refused(tmp_path, worker_class):
    with pytest.raises(capacity.Conflict, match="is ASGI.*leave it out"):
        sized(put(tmp_path, {"main.py": FAST}), [], {"WORKER_CLASS": worker_class})


def test_a_reload_does_not_change_the_kind(tmp_path):
    boot = Boot({}, put(tmp_path, {"main.py": FAST}))
    boot.users, boot.spool_of_start = users_nginx.UsersNginx(), object()
    boot.settings.set("WORKER_CLASS", "fastcgi", "default")  # of the box that serves
    boot.application = application.choose(boot, "/nowhere")
    with pytest.raises(capacity.Conflict, match="is ASGI now .*needs a restart"):
        capacity.decide(boot)


def test_what_has_no_effect_or_is_wsgi_is_said(tmp_path):
    boot = sized(put(tmp_path, {"main.py": FAST, "shop.py": FLASK}), ["uvicorn", "main:app"], {"THREADS": "8"})
    assert "THREADS=8 (THREADS) has no effect" in "\n".join(boot.warnings)
    boot = sized(str(tmp_path), ["uvicorn", "shop:app"])
    assert "uvicorn is to serve it, and shop:app is WSGI (Flask()): it is served as WSGI" in boot.warnings
    boot = Boot({"APP_MODULE": "main:app"}, str(tmp_path))
    boot.users = users_nginx.UsersNginx(old_socket=True)
    boot.application = application.choose(boot, "/nowhere")
    with pytest.raises(BootError, match="leave uwsgi_pass out"):
        boot.decide_size()


@pytest.mark.parametrize(("command", "target", "port", "workers", "lines"), [
    ("uvicorn main:app --host 0.0.0.0 --port 80 --ws websockets --http h11 --loop uvloop --proxy-headers", "main:app", "80", None, []),
    ("uvicorn --factory --reload --ws auto shop:make --workers=3", "shop:make()", None, "3", ["--reload"]),
    ("uvicorn main:app --uds /tmp/x --root-path /api --timeout-keep-alive 5 --header a:b", "main:app", None, None, ["nginx listens", "URL_PREFIX=/api", "KEEPALIVE_TIMEOUT=5", "nginx/server.d"]),
    ("uvicorn main:app --lifespan auto --ws-ping-interval 20", "main:app", None, None, []), ("uvicorn main:app --lifespan off", "main:app", None, None, ["--asgi-lifespan off"]),
    ("hypercorn -w 2 -b 0.0.0.0:81 -k uvloop --access-logfile - asgi:shop:app", "shop:app", "81", "2", []), ("hypercorn -c hyper.toml shop:app", "shop:app", None, None, ["is not read"]),
    ("daphne -b 0.0.0.0 -p 82 -v 2 --proxy-headers garden.asgi:application", "garden.asgi:application", "82", None, []), ("granian --interface asgi --ws --workers 2 --host 0.0.0.0 --port 83 main:app", "main:app", "83", "2", []),
    ("fastapi run shop/main.py --port 84 --workers 2", "main", "84", "2", []), ("fastapi run packed/main.py --app api", "packed.main:api", None, None, []), ("fastapi run", None, None, None, []), ("fastapi run --entrypoint a.b:c", "a.b:c", None, None, []),
    ("python main.py", "main:app", None, None, []), ("python run.py", "shop.main:app", None, None, []), ("python made.py", "made:build()", None, None, []),
])  # fmt: skip
def test_other_servers_commands(tmp_path, command, target, port, workers, lines):
    root = put(tmp_path, {
        "shop/main.py": FAST, "packed/__init__.py": "", "packed/main.py": FAST, "main.py": FAST + "import uvicorn\nif __name__ == '__main__':\n    uvicorn.run(app, port=85)\n",
        "run.py": "import uvicorn\nuvicorn.run('shop.main:app', port=86)\n", "made.py": "from uvicorn import run\ndef build(): ...\nrun('made:build', factory=True)\n",
    })  # fmt: skip
    served = commands.served_instead(command.split(), {}, root)
    assert served is not None
    assert (served.application, served.port, served.workers) == (target, port, workers)
    implied = {"python main.py": "85", "python run.py": "86"}.get(
        command, None if port or "--uds" in command else "8000"
    )
    assert served.implied_port == implied
    assert len(served.lines) == len(lines)
    for line in lines:
        assert line in "\n".join(served.lines)


@pytest.mark.parametrize(
    "words",
    [
        ["fastapi", "dev", "--help"],
        ["fastapi", "deploy"],
        ["uvicorn", "--version"],
        ["uvicorn", "--port", "80"],
        ["python", "seed.py"],
    ],
)
def test_what_serves_nothing_is_run(tmp_path, words):
    put(tmp_path, {"seed.py": "import subprocess\nsubprocess.run(['a:b'])\n"})
    assert commands.served_instead(words, {}, str(tmp_path)) is None


# -- inside


async def _three(scope, receive, send): ...


class _Old:
    def __init__(self, scope): ...

    async def __call__(self, receive, send): ...


def _two(environ, start_response): ...


class _Flask:
    def __call__(self, environ, start_response): ...


def _any(*arguments): ...


@pytest.mark.parametrize(("found", "asgi", "wsgi"), [
    (_three, True, False), (_Old, True, False), (_two, False, True), (_Flask(), False, True), (_any, False, False), (print, False, False),
])  # fmt: skip
def test_the_kind_of_what_was_loaded(found, asgi, wsgi):
    assert (loading.is_asgi(found), loading.is_wsgi(found)) == (asgi, wsgi)


def scope_of(kind="http", path="/", method="GET", **headers):
    given = {
        "x-real-ip": "203.0.113.9",
        "x-forwarded-proto": "https",
        "x-flagon-server-name": "shop.example",
        "x-flagon-server-port": "443",
        "x-flagon-remote-port": "999",
    }
    pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in {**given, **headers}.items()]
    return {"type": kind, "path": path, "method": method, "headers": pairs, "scheme": "http"}


def served(application, scope, incoming=(), **options):
    """What the middleware has the application see, and what it sends on."""
    queue, sent = list(incoming), []

    async def receive():
        return queue.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(asgi_middleware.behind_nginx(application, **options)(scope, receive, send))
    return sent, queue


def answering(status=200, headers=(), body=b"", seen=None, first=None):
    async def application(scope, receive, send):
        if seen is not None:
            seen.append(scope)
        if first:
            seen.append(await receive())
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    return application


@pytest.mark.parametrize(("kind", "scheme"), [("http", "https"), ("websocket", "wss")])
def test_nginx_says_who_the_client_is(kind, scheme):
    seen = []

    async def application(scope, receive, send):
        seen.append(scope)

    served(
        application,
        scope_of(kind, remote_user="eve", x_flagon_peer="", x_own="1", x_client_ip="6.6.6.6", content_type="a/b"),
    )
    (scope,) = seen
    assert (scope["client"], scope["server"], scope["scheme"]) == (("203.0.113.9", 999), ("shop.example", 443), scheme)
    assert dict(scope["headers"]) == {
        b"x-own": b"1", b"content-type": b"a/b", b"x-forwarded-for": b"203.0.113.9", b"x-forwarded-proto": b"https", b"x-real-ip": b"203.0.113.9",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "seen"), [("/x", "/p/x"), ("/p/x", "/p/x"), ("/p", "/p"), ("/pp", "/p/pp"), ("/p/../x", "/p/x")]
)
def test_below_a_prefix(path, seen):
    scopes = []
    served(answering(seen=scopes), scope_of(path=path), prefix="/p")
    assert (scopes[0]["root_path"], scopes[0]["path"]) == ("/p", seen)


@pytest.mark.parametrize(
    ("target", "path", "raw", "query"),
    [
        ("/#/../admin/x", "/", "/", ""),
        ("/a/..#/../../admin", "/", "/a/..", ""),
        ("/%2e%2e%2fx#y", "/x", "/%2e%2e%2fx", ""),
        ("/a#?b", "/a", "/a", ""),
        ("/a?b#c?d", "/a", "/a", "b"),
        ("/a%23/../b%3f?c%23d", "/b?", "/a%23/../b%3f", "c%23d"),
        ("/%c3%a4%ff#", "/\u00e4\ufffd", "/%c3%a4%ff", ""),
        ("/;/..\\#", "/;/..\\", "/;/..\\", ""),
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_path_ends_where_nginx_ends_it(kind, target, path, raw, query):
    whole, _, asked = target.encode().partition(b"?")
    given = {"path": unquote_to_bytes(whole).decode("utf-8", "replace"), "raw_path": whole, "query_string": asked}
    seen = []

    async def application(scope, receive, send):
        seen.append(scope)

    served(application, {**scope_of(kind), **given})
    assert (seen[0]["path"], seen[0]["raw_path"], seen[0]["query_string"]) == (path, raw.encode(), query.encode())


def test_a_line_break_of_a_client_s_is_in_no_obituary(monkeypatch):
    board = slots.Board(2)
    monkeypatch.setattr(slots, "shared", board)
    noted = []

    async def application(scope, receive, send):
        noted.extend(board.requests())

    raw = b"/a%0a2026-12-01T00:00:00Z error\xc2\x85"
    served(application, {**scope_of(path="/a\n2026-12-01T00:00:00Z error\x85"), "raw_path": raw})
    served(application, scope_of(path="/b\nc\x85"))
    assert noted == ["? GET /a%0a2026-12-01T00:00:00Z error\\xc2\\x85", "? GET /b%0Ac%C2%85"]


def test_a_body_that_is_not_read_is_read_before_the_answer():
    pieces = [
        {"type": "http.request", "body": b"a" * 10, "more_body": True},
        {"type": "http.request", "body": b"b", "more_body": False},
        {"type": "http.disconnect"},
    ]
    sent, left = served(answering(401), scope_of(content_length="11"), pieces)
    assert (sent[0]["status"], left) == (401, pieces[2:])

    async def late(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        found = [await receive() for _ in range(3)]
        await send(
            {
                "type": "http.response.body",
                "body": b"".join(one.get("body", b"") for one in found) + found[-1]["type"].encode(),
            }
        )

    sent, left = served(late, scope_of(content_length="11"), pieces)
    assert sent[1]["body"] == b"a" * 10 + b"b" + b"http.disconnect", "and can still be had"


def test_x_accel_redirect_and_the_page_of_a_single_page_application():
    said = []
    headers = [(b"X-Accel-Redirect", b"/-/handed/etc/passwd"), (b"x-own", b"1")]
    sent, _ = served(answering(headers=headers), scope_of(), named=[], warn=said.append)
    assert sent[0]["headers"] == [(b"x-own", b"1")]
    assert len(said) == 1
    sent, _ = served(answering(headers=[(b"x-accel-redirect", b"@mine")]), scope_of(), named=["@mine"])
    assert sent[0]["headers"] == [(b"x-accel-redirect", b"@mine")]
    sent, _ = served(answering(404, body=b"none"), scope_of(accept="text/html"), spa=True)
    assert (sent[0]["status"], sent[0]["headers"], sent[1]["body"]) == (200, [(b"x-accel-redirect", b"/-/spa")], b"")
    sent, _ = served(answering(404, body=b"none"), scope_of(accept="application/json"), spa=True)
    assert (sent[0]["status"], sent[1]["body"]) == (404, b"none")


@pytest.mark.parametrize(
    ("pieces", "ends"), [([b"data: 1\n\n", b"data: 2\n\n"], 1), ([b"data: 1", b"\n\n", b"data: 2\n\n"], 2)]
)
def test_an_event_stream_ends_after_a_whole_event(pieces, ends):
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number, piece in enumerate(pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            asgi_middleware.end_all()
            await asyncio.sleep(0)
            assert (number + 1 < ends) is (
                len(asgi_middleware._open) > 0 and not next(iter(asgi_middleware._open))._ended
            )

    sent = []
    with pytest.raises(asgi_middleware.Gone):
        sent, _ = served(application, scope_of())
    assert not asgi_middleware._open


def test_a_websocket_is_told_and_closed():
    async def application(scope, receive, send):
        await send({"type": "websocket.accept"})
        asgi_middleware.end_all()
        assert await receive() == {"type": "websocket.disconnect", "code": 1001, "reason": ""}
        await asyncio.sleep(0.01)

    sent, _ = served(application, scope_of("websocket"))
    assert [(one["type"], one.get("code")) for one in sent] == [("websocket.accept", None), ("websocket.close", 1001)]


class ClientDisconnect(Exception):
    """Starlette's, by its name."""


class WebSocketDisconnect(Exception):
    """The same for a WebSocket."""


def raising(error, *messages, told=False):
    async def application(scope, receive, send):
        if told:
            await receive()
        for message in messages:
            await send(message)
        raise error

    return application


def failing(error, *messages, kind="http", gone=()):
    """What is logged where an application raises, by the middleware and then by gunicorn."""
    records, log = [], logging.getLogger("gunicorn.error")
    handler = logging.Handler()
    handler.emit = records.append
    log.addHandler(handler)
    gunicorns = logs.GunicornLogger.__new__(logs.GunicornLogger)
    gunicorns.error_log = log
    incoming, raised = [{"type": one} for one in gone], None
    try:
        served(raising(error, *messages, told=bool(gone)), scope_of(kind), incoming)
    except BaseException as caught:
        raised = caught
        if isinstance(error, Exception) and messages[-1:] != (WHOLE,):  # so gunicorn's asgi/protocol.py has it
            gunicorns.exception("Error in ASGI application")
    finally:
        log.removeHandler(handler)
    assert raised is error
    return [(record.levelname, record.exc_info[1]) for record in records]


STARTED, WHOLE = (
    {"type": "http.response.start", "status": 500, "headers": []},
    {"type": "http.response.body", "body": b"x"},
)


@pytest.mark.parametrize(("messages", "kind"), [
    ((), "http"), ((STARTED,), "http"), ((STARTED, {**WHOLE, "more_body": True}), "http"), ((STARTED, WHOLE), "http"),
    ((), "websocket"), (({"type": "websocket.accept"},), "websocket"),
])  # fmt: skip
@pytest.mark.parametrize("error", [
    RuntimeError("boom"), SystemExit(3), OSError(28, "disk"), ClientDisconnect("nobody has left"), asyncio.CancelledError(),
], ids=repr)  # fmt: skip
def test_what_the_application_raises_is_logged_once(messages, kind, error):
    error.__dict__.clear()
    assert failing(error, *messages, kind=kind) == [("ERROR", error)]


def test_a_client_that_leaves_is_no_error():
    for error, kind in (
        (ClientDisconnect(), "http"),
        (WebSocketDisconnect(), "websocket"),
        (asgi_middleware.Gone(), "http"),
    ):
        assert failing(error, kind=kind, gone=[f"{kind}.disconnect"]) == []
    bug = KeyError("in its clean-up")
    assert failing(bug, gone=["http.disconnect"]) == [("ERROR", bug)]
    if hasattr(builtins, "ExceptionGroup"):
        groups = [ExceptionGroup("tasks", [ClientDisconnect(), *more]) for more in ([], [bug])]  # noqa: F821
        assert [len(failing(group, gone=["http.disconnect"])) for group in groups] == [0, 1]

    async def cut():
        async def waits(scope, receive, send):
            await asyncio.sleep(9)

        task = asyncio.ensure_future(asgi_middleware.behind_nginx(waits)(scope_of(), None, None))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    reported = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("gunicorn.error"), "error", lambda *words, **_: reported.append(words))
        asyncio.run(cut())
    assert reported == []


class Log:
    def __init__(self):
        self.said = []

    def __getattr__(self, name):
        return lambda message, *words, exc_info=None: self.said.append(
            message % words + (" with traceback" if exc_info else "")
        )


def started(application, needed=False, seconds=0.0):
    log = Log()

    async def run():
        found = lifespan.Lifespan(application, {}, log)
        good = await found.start(needed, lambda: True, log.said.append)
        found.until = seconds
        await found.shutdown()
        return good

    return asyncio.run(run()), log.said


async def _complete(scope, receive, send):
    await receive()
    scope["state"]["x"] = 1
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
    raise RuntimeError("no database")


async def _none(scope, receive, send):
    raise ValueError("only http")


async def _hangs(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await asyncio.sleep(60)


async def _fails_at_its_end(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    raise RuntimeError("pool")


def _answering(*messages, swallow=False):
    async def application(scope, receive, send):
        await receive()
        for message in messages:
            try:
                await send(message)
            except Exception:
                if not swallow:
                    raise

    return application


COMPLETE, PAGE = {"type": "lifespan.startup.complete"}, {"type": "http.response.start", "status": 200, "headers": []}


@pytest.mark.parametrize("swallow", [False, True])
@pytest.mark.parametrize("message", [
    PAGE, {"type": "http.response.body", "body": b""}, {"type": "websocket.accept"}, {"type": "lifespan.shutdown.complete"}, {"type": None}, {}, None, "lifespan",
], ids=repr)  # fmt: skip
def test_an_application_that_answers_a_request_whatever_it_is_asked_has_no_lifespan(message, swallow):
    """uvicorn's `auto`: its send() raises there, and it serves without."""
    good, said = started(_answering(message, swallow=swallow))
    assert good is False
    assert "the application has no lifespan" in said[0]
    with pytest.raises(lifespan.Failed, match="asgi_lifespan is on"):
        started(_answering(message), needed=True)


def test_what_is_no_answer_after_the_start_is_none_to_the_end():
    """A second word about the start does not pass for the end of an end that goes on."""
    ended = []

    async def twice(scope, receive, send):
        await receive()
        await send(COMPLETE)
        with contextlib.suppress(RuntimeError):
            await send(COMPLETE)
        await receive()
        await asyncio.sleep(0.1)
        ended.append("pool")
        await send({"type": "lifespan.shutdown.complete"})

    assert (started(twice), ended) == ((True, []), ["pool"])
    good, said = started(_answering(COMPLETE, PAGE))
    assert good is True
    assert "it has no shutdown: RuntimeError(\"'http.response.start' does not answer" in said[0]


def test_the_lifespan():
    assert started(_complete) == (True, [])
    assert started(_none) == (False, ["the application has no lifespan (ValueError: only http)"])
    good, said = started(_hangs)
    assert (good, "is cut (GRACEFUL_TIMEOUT)" in said[0]) == (True, True)
    good, said = started(_fails_at_its_end)
    assert (good, said) == (True, ["lifespan shutdown failed: RuntimeError('pool') with traceback"])
    for unready, needed, words in (
        (_failing, False, "^no database\nTraceback"),
        (_none, True, "asgi_lifespan is on\\)\nTraceback"),
    ):
        with pytest.raises(lifespan.Failed, match=words):
            started(unready, needed)


def test_a_lifespan_that_breaks_while_the_worker_serves_is_said_then():
    log = Log()

    async def run():
        found = lifespan.Lifespan(_answering(COMPLETE, PAGE), {}, log)
        await found.start(False, lambda: True, log.said.append)
        await asyncio.sleep(0.01)
        assert "has no shutdown" in log.said[0]
        assert log.said[0].endswith("with traceback")
        await found.shutdown()

    asyncio.run(run())
    assert len(log.said) == 1


def test_own_routes_of_starlette_s_kind():
    class Route:
        def __init__(self, path, routes=None):
            self.path = path
            if routes is not None:
                self.routes = routes

        def __call__(self): ...

    class App:
        routes = [Route("/up"), Route("/{rest:path}"), Route("/sub", [Route("/x")]), Route("", [Route("/readyz")])]

        def __call__(self): ...

    assert own_routes.of(App(), ["/up", "/ready", "/readyz", "/sub/x"]) == ["/up", "/readyz", "/sub/x"]
