"""WebSockets: a child image with flask-sock is served over HTTP by itself; the FastCGI wire refuses them in words."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import websocket

from .apps.wire import FASTCGI, Probe
from .box import RUNTIME, Box, child_image, docker, write_files

SOCK = Path(__file__).parent / "apps" / "sock" / "main.py"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """A user's image, as the README says to make one."""
    tag = "flagon-test-sock"
    dockerfile = f'FROM {RUNTIME}\nRUN pip install flask-sock "gunicorn[gevent]"\nCOPY main.py /app/\n'
    folder = write_files({"Dockerfile": dockerfile, "main.py": SOCK.read_bytes()})
    built = subprocess.run(
        ["docker", "build", "--network", "host", "-t", tag, str(folder)], capture_output=True, text=True, timeout=240
    )
    assert built.returncode == 0, built.stdout + built.stderr
    yield tag
    docker("rmi", "-f", tag, check=False)


def talk(box: Box, count: int = 3) -> list[str]:
    """What a WebSocket's echo says, and that it ends properly."""
    channel = websocket.create_connection(box.url("/echo").replace("http://", "ws://"), timeout=5)
    try:
        answers = []
        for number in range(count):
            channel.send(f"{number} grüße")
            answers.append(str(channel.recv()))
        channel.send("x" * 100_000)
        assert channel.recv() == "echo: " + "x" * 100_000
        return answers
    finally:
        channel.close()


def test_an_installed_websocket_library_chooses_gthread_and_says_why(image: str) -> None:
    with Box(image=image) as box:
        assert talk(box) == [f"echo: {number} grüße" for number in range(3)]
        assert box.get("/").text.startswith("page of ")
        line = box.wait_log("simple-websocket")
        assert "gthread" in line
        assert '"level":"info"' in line.replace(" ", "")


def test_a_websocket_may_be_quiet_for_longer_than_timeout(image: str) -> None:
    """TIMEOUT is for the first byte of a response; nginx lets go 5 seconds later."""
    with Box(image=image, env={"TIMEOUT": "1"}) as box:
        channel = websocket.create_connection(box.url("/echo").replace("http://", "ws://"), timeout=15)
        try:
            channel.settimeout(4)
            with pytest.raises(websocket.WebSocketTimeoutException):
                channel.recv()
            channel.send("still here")
            assert channel.recv() == "echo: still here"
        finally:
            channel.close()


@pytest.mark.parametrize("worker_class", ["gevent", "sync"])
def test_other_worker_classes_serve(image: str, worker_class: str) -> None:
    with Box(image=image, env={"WORKER_CLASS": worker_class, "TRUSTED_PROXIES": "private"}) as box:
        assert box.get("/up").json()["status"] == "ok"
        answer = box.get("/", headers={"X-Forwarded-For": "203.0.113.9"})
        assert (answer.status_code, answer.text) == (200, "page of 203.0.113.9")
        assert box.get("/nowhere").status_code == 404
        assert worker_class in box.wait_log("HTTP by")


def test_gevent_carries_websockets(image: str) -> None:
    with Box(image=image, env={"WORKER_CLASS": "gevent"}) as box:
        assert talk(box) == [f"echo: {number} grüße" for number in range(3)]


@pytest.mark.parametrize("worker_class", ["gthread", "gevent"])
def test_a_stop_closes_websockets_in_order(image: str, worker_class: str) -> None:
    """1001, going away (RFC 6455 section 7.4.1); the stop does not wait for what would never end."""
    with Box(image=image, env={"WORKER_CLASS": worker_class, "WEB_CONCURRENCY": "1"}) as box:
        channel = websocket.create_connection(box.url("/echo").replace("http://", "ws://"), timeout=10)
        channel.send("hello")
        assert channel.recv() == "echo: hello"
        box.kill("TERM")
        opcode, data = channel.recv_data(control_frame=True)
        assert (opcode, int.from_bytes(data[:2], "big")) == (websocket.ABNF.OPCODE_CLOSE, 1001)
        channel.close()
        begun = time.monotonic()
        assert box.wait_exit(10) == 0
        assert time.monotonic() - begun < 4


def test_the_setting_wins_over_the_library(image: str) -> None:
    with Box(image=image, env={"WORKER_CLASS": FASTCGI}) as box:
        assert box.get("/").status_code == 200
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            websocket.create_connection(box.url("/echo").replace("http://", "ws://"), timeout=5)
        assert refused.value.status_code == 426


def test_on_the_fastcgi_wire_an_upgrade_is_426_and_one_log_line() -> None:
    with Probe(FASTCGI) as box:
        for _ in range(3):
            answer = box.ask("/tell", headers=UPGRADE)
            assert answer.status_code == 426
            assert "WORKER_CLASS" in answer.text
        box.wait_log("426")
        lines = [one for one in box.records() if one["logger"] != "access" and "426" in str(one.get("message"))]
        assert len(lines) == 1
        assert "WORKER_CLASS=gthread" in lines[0]["message"]
        assert box.ask("/tell").status_code == 200


def test_other_upgrades_are_ignored() -> None:
    """RFC 9110 section 7.8: a server may ignore an Upgrade; curl sends h2c on its own."""
    with Probe(FASTCGI) as box:
        answer = box.ask("/tell", headers={"Connection": "Upgrade", "Upgrade": "h2c"})
        assert answer.status_code == 200


def test_a_class_that_is_not_there_is_said() -> None:
    with Box(env={"WORKER_CLASS": "gevent"}, wait=False) as box:
        assert box.wait_exit() not in (0, 137)
        assert "gevent" in box.logs()


# -- applications that gevent or eventlet have patched, and what Flask-SocketIO chooses where both are installed

PATCHED = "from gevent import monkey; monkey.patch_all()\n"
HIDDEN = "import importlib; importlib.import_module('gevent.monkey').patch_all()\n"
EVENTLET = "import eventlet; eventlet.monkey_patch()\n"
APPLICATION = """from flask import Flask
from flask_socketio import SocketIO, emit
app = Flask(__name__)
io = SocketIO(app)
@app.get("/")
def index():
    return str(io.async_mode)
@io.on("ask")
def ask(data):
    emit("answer", data.upper())
"""
CLIENT = """import socketio, threading
for transport in ("websocket", "polling"):
    client, come, answers = socketio.Client(), threading.Event(), []
    client.on("answer", lambda data: (answers.append(data), come.set()))
    client.connect("http://localhost:8080", transports=[transport], wait_timeout=5)
    client.emit("ask", "hello")
    come.wait(5)
    print(transport, answers)
    client.disconnect()
"""


@pytest.fixture(scope="module")
def green() -> Iterator[str]:
    packages = 'gevent eventlet flask-socketio simple-websocket "python-socketio[client]"'
    with child_image(f"FROM {RUNTIME}\nRUN pip install {packages}\nCOPY client.py /\n", {"client.py": CLIENT}) as tag:
        yield tag


@pytest.mark.parametrize(("text", "mode"), [("", "threading"), (PATCHED, "gevent")])
def test_socketio_talks_whatever_is_installed_beside_it(green: str, text: str, mode: str) -> None:
    """A handshake alone says nothing: with eventlet, which it would choose, no message arrives."""
    with Box(image=green, files={"app.py": text + APPLICATION}) as box:
        assert box.get("/").text == mode
        assert box.exec("/opt/flagon/venv/bin/python", "/client.py") == "websocket ['HELLO']\npolling ['HELLO']\n"
        assert f"async_mode='{mode}'" in box.wait_log("eventlet is installed")
        assert box.stop()[1] == 0


@pytest.mark.parametrize(
    ("text", "env", "way"),
    [
        (HIDDEN, {}, "set WORKER_CLASS=gevent"),
        (PATCHED, {"WORKER_CLASS": FASTCGI}, "set WORKER_CLASS=gevent"),
        (EVENTLET, {}, "async_mode='threading'"),
        ("", {"WORKER_CLASS": "eventlet"}, "async_mode='threading'"),
    ],
)
def test_what_no_worker_here_can_serve_ends_with_78(green: str, text: str, env: dict[str, str], way: str) -> None:
    """Its request threads would never run, and /up would say ok."""
    with Box(image=green, files={"app.py": text + APPLICATION}, env=env, wait=False) as box:
        assert box.wait_exit() == 78
        assert way in box.logs()
        assert "Traceback" not in box.logs()


@pytest.mark.long
def test_gevent_websocket_by_the_command_of_its_documents() -> None:
    """A worker class of somebody else's, as Flask-SocketIO's documents have it."""
    packages = 'gevent gevent-websocket flask-socketio "python-socketio[client]"'
    lines = f"FROM {RUNTIME}\nRUN pip install {packages}\nCOPY client.py /\nCOPY app.py /app/\n"
    command = "gunicorn -k geventwebsocket.gunicorn.workers.GeventWebSocketWorker -w 1 -b :8080 app:app"
    with (
        child_image(lines, {"client.py": CLIENT, "app.py": APPLICATION}) as tag,
        Box(image=tag, command=command.split(), deadline=60) as box,
    ):
        assert box.get("/").text == "gevent"
        assert box.exec("/opt/flagon/venv/bin/python", "/client.py") == "websocket ['HELLO']\npolling ['HELLO']\n"
        assert box.stop()[1] == 0
