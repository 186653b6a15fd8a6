"""ASGI: gunicorn's own asgi worker behind nginx, driven from outside with what docs/asgi.md says holds there."""

# ruff: noqa: E501

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest
import requests
import websocket

from .box import RUNTIME, Box, child_image, wait_until
from .test_apps import files_of

IMAGE = f"""FROM {RUNTIME}
RUN pip install --no-cache-dir fastapi quart
COPY . /app
"""


def files() -> dict[str, bytes]:
    """FastAPI's row of the corpus as it is, the two others as modules beside it."""
    found = {**files_of("fastapi"), "star.py": files_of("starlette")["app.py"]}
    found |= {name: text for name, text in files_of("quart").items() if name.startswith("shop/")}
    return {**found, "files/site.css": files_of("starlette")["files/site.css"], "requirements.txt": b""}


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with child_image(IMAGE, files()) as tag:
        yield tag


def sockets_url(box: Box, path: str) -> str:
    return box.url(path).replace("http", "ws", 1)


@pytest.mark.timeout(180)
def test_fastapi(image: str) -> None:
    """What a client sees; then a stop with all of it under way."""
    env = {"WEB_CONCURRENCY": "2", "THREADS": "8", "TRUSTED_PROXIES": "private", "WORKER_CLASS": ""}
    with Box(env, image=image, command=["uvicorn", "main:app", "--port", "8080", "--workers", "3"]) as box:
        line = box.wait_log("workers x")
        assert "2 workers x 1 event loop (WEB_CONCURRENCY says so); wire: HTTP by asgi (FastAPI() is ASGI)" in line
        assert "THREADS=8 (THREADS) has no effect" in box.logs()
        claims = {
            "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example",
            "Remote-User": "eve", "X-Flagon-Peer": "named", "X-Flagon-Server-Port": "1", "X-Own": "kept", "X-Request-ID": "my-request-1",
        }  # fmt: skip
        who = box.get("/who", headers=claims).json()
        assert (who["client"], who["url"], who["answer"]) == ("203.0.113.9", "https://shop.example/who", 42)
        headers = who["headers"]
        assert (headers["x-forwarded-for"], headers["x-own"], headers["x-request-id"]) == (
            "203.0.113.9",
            "kept",
            "my-request-1",
        )
        assert not [name for name in headers if name.startswith("x-flagon")]
        assert headers["remote-user"] == "eve", "a proxy that is named may say who the user is"
        big = bytes(3_000_000)
        assert box.post("/read", data=big).json() == len(big)
        assert [box.post("/refuse", data=big).status_code for _ in range(10)] == [401] * 10, "a body that is not read"
        assert box.get("/livez").json() == "own"
        assert box.get("/ready").json()["checks"]["own"] == "ok"
        peer = websocket.create_connection(sockets_url(box, "/echo"), timeout=20)
        peer.send("hello")
        assert peer.recv().startswith("HELLO ")
        answers: list[str] = []
        slow = threading.Thread(target=lambda: answers.append(box.get("/slow", timeout=20).text))
        slow.start()
        time.sleep(0.5)
        _, code = box.stop()
        slow.join()
        assert (code, answers) == (0, ['"slow"'])
        operation, data = peer.recv_data()
        assert (operation, data[:2]) == (websocket.ABNF.OPCODE_CLOSE, (1001).to_bytes(2, "big"))
        log = box.logs()
        assert "socket ended with 1001" in log
        assert log.count("lifespan is over") == 2


@pytest.mark.timeout(180)
def test_starlette(image: str) -> None:
    """A factory: streams, files, own routes; requests while workers are killed, recycled and reloaded."""
    env = {"APP_MODULE": "star:create_app()", "WEB_CONCURRENCY": "2", "MAX_REQUESTS": "50", "TRUSTED_PROXIES": "none"}
    with Box(env, image=image) as box:
        with box.get("/events", stream=True) as reply:
            lines = reply.iter_lines(chunk_size=1)
            first, began = next(lines), time.monotonic()
            rest = [line for line in lines if line]
        assert (first, rest) == (b"data: 0", [b"data: 1", b"data: 2"])
        assert time.monotonic() - began > 0.7, "each event comes when it is sent"
        with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
            box.get("/broken")
        assert box.get("/files/site.css").text == "p { color: teal }\n"
        assert (box.get("/up").text, box.get("/readyz").status_code) == ("own up", 200)
        stop, codes = threading.Event(), []  # type: threading.Event, list[int]

        def ask() -> None:
            while not stop.is_set():
                codes.append(box.get("/").status_code)

        clients = [threading.Thread(target=ask) for _ in range(3)]
        for client in clients:
            client.start()
        box.exec("flagon", "reload", timeout=60)
        wait_until(lambda: "Autorestarting worker" in box.logs() and len(codes) > 200, 60, "workers are recycled")
        stop.set()
        for client in clients:
            client.join()
        assert set(codes) == {200}
        events = requests.get(box.url("/events?count=1000"), stream=True, timeout=20)
        lines = events.iter_lines(chunk_size=1)
        assert next(lines) == b"data: 0"
        _, code = box.stop()
        assert code == 0
        assert list(lines)[-1] == b"", "the stream ends after a whole event, and in order"


FAILING = b"""import asyncio
from fastapi import BackgroundTasks, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
app = FastAPI()

@app.get("/before")
def before():
    raise RuntimeError("boom before")

@app.get("/during")
def during():
    def pieces():
        yield "some"
        raise RuntimeError("boom during")
    return StreamingResponse(pieces())

def task():
    raise RuntimeError("boom after")

@app.get("/after")
def after(tasks: BackgroundTasks):
    tasks.add_task(task)

@app.get("/own-cancel")
async def own():
    raise asyncio.CancelledError

@app.get("/wait")
async def wait():
    print("waits", flush=True)
    await asyncio.sleep(30)

@app.get("/endless")
def endless():
    async def pieces():
        while True:
            yield "x" * 65536
            await asyncio.sleep(0.01)
    return StreamingResponse(pieces())

@app.websocket("/broken")
async def broken(peer: WebSocket):
    await peer.accept()
    raise RuntimeError("boom socket")

@app.websocket("/echo")
async def echo(peer: WebSocket):
    await peer.accept()
    while True:
        await peer.send_text(await peer.receive_text())
"""


@pytest.mark.timeout(180)
def test_what_the_application_raises_is_in_the_log_once(image: str) -> None:
    """Whenever it does; and nothing where a client leaves."""
    with Box({"WEB_CONCURRENCY": "1"}, image=image, files={"main.py": FAILING}) as box:
        for path in ("/before", "/during", "/after", "/own-cancel"):
            with contextlib.suppress(requests.exceptions.RequestException):
                box.get(path)
        peer = websocket.create_connection(sockets_url(box, "/broken"), timeout=20)
        peer.recv_data()
        box.wait_log("boom socket")
        log = box.logs()
        errors = [one for one in box.records() if one["logger"] == "gunicorn.error" and one["level"] == "error"]
        texts = [one["message"] for one in errors]
        ends = ["boom before", "boom during", "boom after", "CancelledError", "boom socket"]
        assert [text.startswith("Exception in ASGI application\nTraceback") for text in texts] == [True] * 5
        assert [text.endswith(end) for text, end in zip(texts, ends, strict=True)] == [True] * 5
        paths = ["/before", "/during", "/after", "/own-cancel"]
        assert [one["request_id"] for one in errors][:4] == [box.access(path)["request_id"] for path in paths]
        for path in ("/wait", "/endless"):
            with (
                contextlib.suppress(requests.exceptions.RequestException),
                box.get(path, stream=True, timeout=2) as reply,
            ):
                reply.raw.read(65536)
        peer = websocket.create_connection(sockets_url(box, "/echo"), timeout=20)
        peer.send("hello")
        assert peer.recv() == "hello"
        peer.sock.close()
        time.sleep(2)
        box.stop()
        rest = box.logs()[len(log) :]
        assert "Traceback" not in rest
        assert '"logger": "gunicorn.error", "level": "error"' not in rest


@pytest.mark.timeout(180)
def test_workers_that_die(image: str) -> None:
    """kill -9, a loop that is blocked, and a lifespan that fails while others serve, and at the start."""
    with Box({"WEB_CONCURRENCY": "2", "TIMEOUT": "2"}, image=image) as box:
        assert box.get("/freeze", timeout=30).status_code == 504
        assert "GET /freeze" in box.wait_log("died with the request", 20)
        pids = {box.get("/who").json()["pid"]}
        wait_until(lambda: pids.add(box.get("/who").json()["pid"]) or len(pids) == 2, 40, "the worker is back")
        box.exec("touch", "/tmp/away")
        pid = box.get("/who", timeout=20).json()["pid"]
        box.exec("sh", "-c", f"kill -9 {pid}")
        box.wait_log("no database today", 30)
        assert [box.get("/").text for _ in range(20)] == ["fastapi"] * 20
        assert box.running()
        box.exec("rm", "/tmp/away")
        others = set(pids)
        wait_until(lambda: others.add(box.get("/who").json()["pid"]) or others > pids, 60, "a new worker serves")
    start = ["sh", "-c", "touch /tmp/away && exec flagon serve"]
    with Box(image=image, command=start, wait=False) as box:
        assert box.wait_exit(60) == 78
        assert "its lifespan startup failed" in box.logs()


@pytest.mark.timeout(120)
def test_quart_below_a_prefix(image: str) -> None:
    """Behind a proxy that passes the prefix on, and behind one that strips it."""
    env = {"URL_PREFIX": "/sub", "WEB_CONCURRENCY": "1", "APP_MODULE": "shop:app"}
    with Box(env, image=image) as box:
        answers = [box.get(path).json() for path in ("/sub/where", "/where")]
        assert [(one["root"], one["path"]) for one in answers] == [("/sub", "/where")] * 2
        peer = websocket.create_connection(sockets_url(box, "/sub/echo"), timeout=10)
        peer.send("hello")
        assert peer.recv() == "HELLO"
        peer.close()


@pytest.mark.timeout(120)
def test_from_the_uvicorn_images(image: str) -> None:
    """app/main.py, prestart.sh, gunicorn_conf.py with uvicorn's worker, and their variables: only FROM has changed."""
    tree = {
        "app/main.py": files_of("fastapi")["main.py"],
        "prestart.sh": "echo hooked\n",
        "gunicorn_conf.py": "worker_class = 'uvicorn.workers.UvicornWorker'\nkeepalive = 5\n",
    }
    env = {"MAX_WORKERS": "2", "WORKERS_PER_CORE": "1", "LOG_LEVEL": "info"}
    with Box(env, image=image, files=tree) as box:
        log = box.logs()
        assert "serves app.main:app (" in log
        assert (
            "2 workers x 1 event loop (WORKERS_PER_CORE and MAX_WORKERS say so); wire: HTTP by asgi (FastAPI() is ASGI)"
            in log
        )
        assert "hooked" in log
        assert "worker_class = 'uvicorn.workers.UvicornWorker' is ignored: gunicorn's own asgi takes its place" in log
        assert box.get("/").text == "fastapi"


@pytest.mark.timeout(120)
def test_the_reloading_start_of_the_uvicorn_images(image: str) -> None:
    """`CMD /start-reload.sh`, in the shell form: prestart.sh first, then what is saved is seen."""
    source = "async def app(scope, receive, send):\n    await send({{'type': 'http.response.start', 'status': 200, 'headers': []}})\n    await send({{'type': 'http.response.body', 'body': b'{}'}})\n"
    tree = {"main.py": source.format("first"), "prestart.sh": "echo hooked\n"}
    with Box(image=image, files=tree, command=["sh", "-c", "/start-reload.sh"]) as box:
        log = box.logs()
        assert "hooked" in log
        assert "FLASK_DEBUG is on: code is loaded again on save. NEVER in production" in log
        assert "1 worker x 1 event loop" in log
        assert box.get("/").text == "first"
        assert box.folder
        (box.folder / "main.py").write_text(source.format("second"))
        wait_until(lambda: box.get("/").text == "second", 30)
