"""The applications of tests/apps, each as it is, by three ways: an image of its own, mounted with PIP_INSTALL=1, and
unpacked over the starter. `make test` takes each by one way, `make test-long` each by all."""

# Tables, a row a line, however long.
# ruff: noqa: E501

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import websocket

from .box import FULL, IMAGE, RUNTIME, Box, child_image, docker, name_for, wait_until

APPS = Path(__file__).parents[1] / "apps"
WAYS = ("image", "mounted", "starter")
GIGABYTE = 1 << 30


def by_nginx(box: Box, path: str, text: str) -> requests.Response:
    """The file comes from nginx: its ETag is made of time and size alone, and no thread of the application wrote it."""
    reply = box.get(path)
    assert (reply.status_code, reply.text.strip()) == (200, text)
    assert reply.headers["ETag"].count("-") == 1
    return reply


def own_route(box: Box, path: str) -> None:
    """The framework has told of it; what the application has not is ours."""
    assert (box.get(path).status_code, box.get(path).text) == (200, f"own {path[1:]}")
    assert box.get("/up").json()["status"] == "ok"


def falcon(box: Box) -> None:
    own_route(box, "/health")


def pyramid(box: Box) -> None:
    own_route(box, "/health")


def package(box: Box) -> None:
    by_nginx(box, "/static/style.css", "p { color: teal }")


def blueprints(box: Box) -> None:
    assert box.get("/blog/").text == "blueprints"
    by_nginx(box, "/s/own.css", "own style")
    by_nginx(box, "/blog/assets/blog.css", "blog style")
    by_nginx(box, "/shop/media/shop.css", "shop style")
    missing = box.get("/blog/assets/none.css")
    assert missing.status_code == 404
    assert "The requested URL was not found on the server" in missing.text, (
        "a missing file is the application's to answer"
    )


def mounted(box: Box) -> None:
    assert box.get("/admin/who").json() == {"script": "/admin", "url": "/admin/who"}
    by_nginx(box, "/admin/static/back.css", "back style")


def bottle(box: Box) -> None:
    assert box.get("/file").text == "a file\n"
    piece = box.get("/file", headers={"Range": "bytes=2-5"})
    assert (piece.status_code, piece.text) == (206, "file")
    own_route(box, "/livez")


def django(box: Box) -> None:
    by_nginx(box, "/assets/garden.css", "garden style")
    assert box.get("/file").text == "garden style\n"
    assert "Server" in box.get("/none").headers
    own_route(box, "/healthz")


def threads(box: Box) -> None:
    wait_until(lambda: int(box.get("/ticks").text), what="its thread counts")
    seconds, code = box.stop()
    assert (code, seconds < 9) == (0, True), "a thread that never ends does not keep the box"


def socketio(box: Box) -> None:
    line = box.wait_log("worker x")
    assert "1 worker x 100 threads (flask-socketio keeps its clients in one process's memory; threads: " in line
    assert "flask-socketio: each client holds a thread)" in line
    url = box.url("/socket.io/?EIO=4&transport=websocket").replace("http", "ws", 1)
    peers = [websocket.create_connection(url, timeout=10) for _ in range(20)]
    try:
        for peer in peers:
            assert peer.recv().startswith("0")
            peer.send("40")
            assert peer.recv().startswith("40")
        peers[0].send('42["shout","hello"]')
        assert [peer.recv() for peer in peers] == ['42["heard","HELLO"]'] * len(peers)
    finally:
        for peer in peers:
            peer.close()


def sock(box: Box) -> None:
    peer = websocket.create_connection(box.url("/echo").replace("http", "ws", 1), timeout=10)
    try:
        peer.send("hello")
        assert peer.recv() == "HELLO"
    finally:
        peer.close()


def events(box: Box) -> None:
    with box.get("/events", stream=True) as reply:
        assert reply.headers["Content-Type"].startswith("text/event-stream")
        lines = [line for line in reply.iter_lines(chunk_size=1) if line]
    assert lines == [b"data: %d" % number for number in range(5)]


def download(box: Box) -> None:
    for path, piece in (("/stream", bytes(range(256)) * 4096), ("/file", bytes(1 << 20))):
        wanted = hashlib.sha256()
        for _ in range(GIGABYTE // len(piece)):
            wanted.update(piece)
        found, size = hashlib.sha256(), 0
        with box.get(path, stream=True, timeout=60) as reply:
            while block := reply.raw.read(1 << 20):
                found.update(block)
                size += len(block)
        assert (path, size, found.digest()) == (path, GIGABYTE, wanted.digest())
    last = box.get("/file", headers={"Range": "bytes=-5"})
    assert (last.status_code, last.content) == (206, bytes(5))


def upload(box: Box) -> None:
    data = bytes(range(256)) * (200 * 4096)
    digest = hashlib.sha256(data).hexdigest()
    assert box.post("/raw", data=data, timeout=60).text == digest
    assert box.post("/form", files={"file": data}, timeout=60).text == digest


def extensions(box: Box) -> None:
    by_nginx(box, "/static/hello.css", "hello style")
    assert len(box.exec("flagon", "flask", "secrets").strip()) > 60
    assert "migrate" in box.exec("flagon", "flask", "db", "--help")
    assert "compile" in box.exec("flagon", "flask", "digest", "--help")
    # Beside a box that serves flask is flagon's, with its environment and its user.
    asked = "import os; print(os.getuid(), bool(os.environ.get('SECRET_KEY')), os.getcwd())"
    assert "10001 True /app" in box.exec("sh", "-c", 'echo "$0" | flask shell', asked, user="0")
    assert "/static/<path:filename>" in box.exec("flask", "routes")


def asgi(box: Box) -> None:
    assert "wire: HTTP by asgi (" in box.wait_log(" x 1 event loop")


def fastapi(box: Box) -> None:
    asgi(box)
    assert box.get("/who").json()["answer"] == 42, "the lifespan's state"
    peer = websocket.create_connection(box.url("/echo").replace("http", "ws", 1), timeout=10)
    try:
        peer.send("hello")
        assert peer.recv().startswith("HELLO ")
    finally:
        peer.close()


def starlette(box: Box) -> None:
    asgi(box)
    assert box.get("/files/site.css").text == "p { color: teal }\n"
    with box.get("/events", stream=True) as reply:
        lines = [line for line in reply.iter_lines(chunk_size=1) if line]
    assert lines == [b"data: %d" % number for number in range(3)]


def quart(box: Box) -> None:
    asgi(box)
    assert box.get("/where").json()["scheme"] == "http"


def procfile(box: Box) -> None:
    assert "2 workers x 3 threads (Procfile says so)" in box.wait_log("workers x")


# name -> (what / answers, what is served, environment, more)
CORPUS: dict[str, tuple[str, str, dict[str, str], Callable[[Box], None] | None]] = {
    "flat": ("flat", "app:app", {}, None),
    "package": ('<link rel="stylesheet" href="/static/style.css"><p>package</p>', "main:app", {}, package),
    "factory": ("factory", "shop:create_app()", {}, None),
    "blueprints": ("", "wsgi:application", {}, blueprints),
    "mounted": ("mounted", "application:application", {}, mounted),
    "bottle": ("bottle", "server:app", {}, bottle),
    "falcon": ("falcon", "app:api", {}, falcon),
    "pyramid": ("pyramid", "run:app", {}, pyramid),
    "django": ("django", "garden.wsgi:application", {}, django),
    "plain": ("plain", "app:application", {}, None),
    "threads": ("threads", "app:app", {}, threads),
    "socketio": ("socketio", "app:app", {}, socketio),
    "sock": ("sock", "app:app", {}, sock),
    "events": ("events", "app:app", {}, events),
    "download": ("download", "app:app", {}, download),
    "fastapi": ("fastapi", "main:app", {}, fastapi),
    "starlette": ("starlette", "app:create_app()", {}, starlette),
    "quart": ("quart", "shop:app", {}, quart),
    "upload": ("upload", "app:app", {"MAX_BODY_SIZE": "256m"}, upload),
    "extensions": (
        "<body>extensions 1 /static/hello.css</body>",
        "hello.app:create_app()",
        {"FLASK_APP": "hello.app", "DATABASE_URL": "sqlite:////data/app.db"},
        extensions,
    ),
    "src": ("src", "app:make_app()", {}, None),
    "procfile": ("procfile", "odd-name:web", {}, procfile),
    "nested": ("nested", "app.main:app", {}, None),
    "misleading": ("misleading", "app:app", {}, None),
}
# In the sample each application comes by one way, and each way by seven applications.
SAMPLE = [(name, WAYS[zlib.crc32(b"2" + name.encode()) % 3]) for name in CORPUS]
CASES = [(name, way) for name in CORPUS for way in WAYS] if FULL else SAMPLE

OWN_IMAGE = f"""FROM {RUNTIME}
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . /app
"""


def files_of(name: str) -> dict[str, bytes]:
    folder = APPS / name
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@contextlib.contextmanager
def over_the_starter() -> Iterator[Path]:
    """What `docker run --rm flagon starter | tar -x` leaves."""
    folder = Path(tempfile.mkdtemp(prefix="flagon-test-"))
    name = name_for()
    try:
        made = subprocess.run(
            ["docker", "run", "--rm", "--name", name, IMAGE, "starter"], capture_output=True, timeout=60
        )
        assert made.returncode == 0, made.stderr
        subprocess.run(["tar", "-x", "-C", str(folder)], input=made.stdout, check=True, timeout=60)
        yield folder
    finally:
        docker("rm", "-f", name, check=False)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def arrived(name: str, way: str, env: dict[str, str]) -> Iterator[Box]:
    """The application in a box, by that way."""
    files = files_of(name)
    with contextlib.ExitStack() as stack:
        if way == "mounted":
            args = ["-v", "/data"]
            box = Box({**env, "PIP_INSTALL": "1"}, args=args, files=files, deadline=180, migrated=False)
        else:
            if way == "starter":
                folder = stack.enter_context(over_the_starter())
                dockerfile = (folder / "Dockerfile").read_text().replace("FROM flagon:runtime", f"FROM {RUNTIME}")
                files[".dockerignore"] = (folder / ".dockerignore").read_bytes()
            else:
                dockerfile = OWN_IMAGE
            files.setdefault("requirements.txt", b"flask\n")
            image = stack.enter_context(child_image(dockerfile, files))
            box = Box(env, image=image, migrated=False)
        yield stack.enter_context(box)


@pytest.mark.parametrize(("name", "way"), CASES)
@pytest.mark.timeout(400)
def test_application(name: str, way: str) -> None:
    text, target, env, more = CORPUS[name]
    with arrived(name, way, env) as box:
        assert f"serves {target} (" in box.wait_log(" serves ")
        if text:
            reply = box.get("/")
            shown, digests = re.subn(r"\.[0-9a-f]{12}(?=\.css)", "", reply.text.strip())
            assert (reply.status_code, shown) == (200, text)
            # The starter's Dockerfile puts digests into the urls, the other ways leave them as they are.
            assert digests == (text.count(".css") if way == "starter" else 0)
        if more is not None:
            more(box)


def test_every_application_of_the_folder_is_tried() -> None:
    assert {path.name for path in APPS.iterdir()} == set(CORPUS)
    assert {way for _, way in SAMPLE} == set(WAYS)
