"""Health: sockets and threads of its own in each worker, so it answers while every request thread is busy.

One of each for liveness and one for readiness, which waits for checks: however many ask /ready, /up is answered.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from flagon.inside import green
from flagon.inside.server import Server
from flagon.inside.slots import Board, Slot

LIVE = frozenset({"/up", "/health", "/healthz", "/livez", "/-/up"})
READY = frozenset({"/ready", "/readyz"})
BACKLOG = 4096  # more than nginx has connections; the kernel takes net.core.somaxconn if that is less
LAST_ANSWER = 0.2  # seconds for an answer that is under way when the process ends
SOCKETS = ("health.sock", "ready.sock")  # in the run directory: liveness, readiness
GOOD = ("ok", "skipped")
LOST_THREAD = 70  # EX_SOFTWARE: a worker's exit code where a thread of it has died

_listeners: list[socket.socket] = []  # made by gunicorn's master, inherited by every worker, kept over reloads


def listen(run: str) -> None:
    """Bind the health sockets in gunicorn's master."""
    if _listeners:
        return
    for path in (os.path.join(run, name) for name in SOCKETS):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # of a master that was killed
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(BACKLOG)
        _listeners.append(listener)


_running: list[tuple[Server, int, threading.Thread]] = []  # in a worker: what `end` ends


class Health:
    """A small WSGI application: liveness touches nothing, readiness runs the checks."""

    def __init__(self, run: str, checks: Callable[[], dict[str, str]] = dict) -> None:
        self.draining = os.path.join(run, "draining")
        self.checks = checks

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Type", "application/json")])
            return [b'{"status":"method not allowed"}\n']
        status, report = "200 OK", {"status": "ok"}  # type: str, dict[str, Any]
        if environ.get("PATH_INFO") not in LIVE:
            results = self.readiness()
            report["checks"] = results
            if any(word not in GOOD for word in results.values()):
                status, report["status"] = "503 Service Unavailable", "unavailable"
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        if status[0] == "5":
            headers.append(("Retry-After", "5"))
        start(status, headers)
        return [json.dumps(report).encode() + b"\n"]

    def readiness(self) -> dict[str, str]:
        """name -> "ok", "skipped", or a word that says what is wrong; never an exception's text."""
        return {"serving": "draining" if os.path.exists(self.draining) else "ok", **self.checks()}


def start(log: Any, application: Health) -> None:
    """Start the health threads in a worker, one a socket."""
    server = Server(application, {}, log, streams_max=1)
    for made in _listeners:
        # A socket of this process: where gevent has patched the module, accepting must let other greenlets run.
        listener = socket.socket(fileno=os.dup(made.fileno()))
        listener.setblocking(False)
        stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        thread = threading.Thread(target=_loop, args=(server, listener, stop), name="health", daemon=True)
        thread.start()
        _running.append((server, stop, thread))
    atexit.register(end)


def end() -> None:
    """Answer no more: other workers do, if there are any.

    A worker that cannot serve is not up, and an interpreter that ends still accepts and never answers.
    """
    for server, stop, _ in _running:
        server.accepting = False
        os.eventfd_write(stop, 1)
    for _, _, thread in _running:
        thread.join(LAST_ANSWER)


def _loop(server: Server, listener: socket.socket, stop: int) -> None:
    """Unlike a request thread it goes on while the worker leaves: /up must not blink."""
    slot = Slot(Board(1).memory, 0)
    poller = green.poller()
    poller.register(listener, select.POLLIN)
    poller.register(stop, select.POLLIN)
    while server.accepting:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            poller.poll()
            continue
        except OSError:
            time.sleep(0.1)  # out of descriptors: do not spin
            continue
        descriptor = connection.detach()
        os.set_blocking(descriptor, True)
        server.serve_once(descriptor, slot)
