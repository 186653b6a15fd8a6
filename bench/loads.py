"""The loads: which application and path, and what else goes on while wrk measures."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bench.cells import Cell
from bench.engine import APPS, Container, docker
from bench.measure import Figures, measure

HERE = os.path.dirname(os.path.abspath(__file__))
SLOW_CLIENTS, SLOW_REQUESTS = 500, 6


class Load(NamedTuple):
    """One load."""

    application: str
    path: str = "/"
    script: str = ""  # wrk's, for what is no plain GET
    headers: tuple[str, ...] = ()
    beside: Callable[[Container], contextlib.AbstractContextManager[None]] | None = None
    connections: int = 0  # instead of the cell's
    rate: int = 0  # requests a second; 0: as many as are answered

    def measure(self, container: Container, seconds: float, cell: Cell) -> Figures:
        """A short warm-up, then the run, beside whatever else this load does to the server."""
        with self.beside(container) if self.beside else contextlib.nullcontext():
            connections = self.connections or cell.connections
            return measure(container, seconds, connections, self.path, self.script, self.headers, self.rate)


@contextlib.contextmanager
def slow_clients(container: Container) -> Iterator[None]:
    """Hundreds of clients that send a byte of a request every second, and are there as long as this runs."""
    ends = threading.Event()

    def trickle() -> None:
        clients = [socket.create_connection(("127.0.0.1", container.port)) for _ in range(SLOW_CLIENTS)]
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 1000:
            for client in clients:
                with contextlib.suppress(OSError):
                    client.send(bytes([byte]))
            if ends.wait(1):
                break
        for client in clients:
            client.close()

    thread = threading.Thread(target=trickle)
    thread.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        ends.set()
        thread.join()


@contextlib.contextmanager
def slow_requests(container: Container) -> Iterator[None]:
    """Requests that hold most of the eight threads, all the time."""
    url = f"http://127.0.0.1:{container.port}/sleep/700"
    holding = subprocess.Popen(["wrk", "-t1", f"-c{SLOW_REQUESTS}", "-d60s", url], stdout=subprocess.DEVNULL)
    time.sleep(1)
    try:
        yield
    finally:
        holding.terminate()
        holding.wait()


LOADS = {
    "plain": Load("plain"),
    "hello": Load("hello"),
    "json": Load("hello", "/json"),
    "database": Load("notes"),
    "post": Load("hello", "/post", script=os.path.join(HERE, "post.lua")),
    "static": Load("hello", "/static/small.css"),
    "compressed": Load("hello", "/static/small.css", headers=("Accept-Encoding: gzip",)),
    "cacheable": Load("hello", "/cacheable"),
    "slow-clients": Load("plain", beside=slow_clients),
    "beside-slow": Load("slow", beside=slow_requests, connections=4),
    "beside-slow-paced": Load("slow", beside=slow_requests, rate=3200),
}


def loop(load: Load, seconds: float) -> Figures:
    """The limit: the application called in a loop, in the image's Python, no server at all."""
    script = (
        "import sys, time, io\nsys.path.insert(0, '/app')\nimport importlib\n"
        f"app = importlib.import_module({load.application!r}).app\n"
        f"environ = {{'REQUEST_METHOD': 'GET', 'PATH_INFO': {load.path!r}, 'SERVER_NAME': 'localhost',\n"
        " 'SERVER_PORT': '80', 'SERVER_PROTOCOL': 'HTTP/1.1', 'HTTP_HOST': 'localhost',\n"
        " 'wsgi.url_scheme': 'http', 'wsgi.errors': sys.stderr}\n"
        "count, begin, cpu = 0, time.monotonic(), time.process_time()\n"
        f"while time.monotonic() - begin < {seconds}:\n    for _ in range(100):\n"
        "        result = app({**environ, 'wsgi.input': io.BytesIO()}, lambda *a: None)\n        b''.join(result)\n"
        "        getattr(result, 'close', lambda: None)()\n    count += 100\n"
        "print((time.process_time() - cpu) / count * 1e6, count / (time.monotonic() - begin))\n"
    )
    python = "/opt/flagon/venv/bin/python"
    words = ("run", "--rm", "--volume", f"{APPS}:/app:ro", "--entrypoint", python, "flagon:latest")
    cpu, rate = map(float, docker(*words, "-c", script).split())
    return Figures(cpu, 0.0, 0.0, rate, 0.0, 0.0, 0, 0, 0)


def answers(container: Container, load: Load) -> None:
    """Raises RuntimeError if the load's path is not served."""
    done = subprocess.run(
        [
            "curl",
            "-sf",
            "-o",
            "/dev/null",
            "-X",
            "POST" if load.script else "GET",
            f"http://127.0.0.1:{container.port}{load.path}",
        ]
    )
    if done.returncode:
        raise RuntimeError(f"{container.name}: {load.path} is not answered")
