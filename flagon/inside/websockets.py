"""WebSockets on the HTTP wire: closed with a frame that says so when the box stops or the worker leaves."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import Any

from flagon.inside.closing import when_closing

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
# An unmasked close frame with status 1001, "going away" (RFC 6455 sections 5.5.1 and 7.4.1)
GOING_AWAY = b"\x88\x02\x03\xe9"


class Upgraded:
    """The socket of a request that asks for a WebSocket: knows whether the application has agreed."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self._agreed: bool | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def send(self, data: bytes, *flags: int) -> Any:
        """All of it under the lock: a frame is not interrupted."""
        with self._lock:
            self._look(data)
            return self._inner.send(data, *flags)

    def sendall(self, data: bytes, *flags: int) -> None:
        with self._lock:
            self._look(data)
            self._inner.sendall(data, *flags)

    def _look(self, data: bytes) -> None:
        if self._agreed is None:
            self._agreed = bytes(data[:12]) == b"HTTP/1.1 101"

    def close_in_order(self) -> None:
        """Say that we go away; the client answers with its own close frame, and the application's loop ends."""
        with self._lock:
            if self._agreed:
                with contextlib.suppress(OSError):
                    self._inner.sendall(GOING_AWAY)


def closed_in_order(application: WSGI) -> WSGI:
    """On the HTTP wire: know the WebSockets that are open, and close them in order."""
    opened: set[Upgraded] = set()
    lock = threading.Lock()

    def close_all() -> None:
        with lock:
            sockets = list(opened)
        for socket in sockets:
            socket.close_in_order()

    when_closing(close_all)

    def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        inner = environ.get("gunicorn.socket")
        if inner is None or environ.get("HTTP_UPGRADE", "").lower() != "websocket":
            return application(environ, start_response)
        socket = environ["gunicorn.socket"] = Upgraded(inner)
        with lock:
            opened.add(socket)
        try:
            return application(environ, start_response)
        finally:
            with lock:
                opened.discard(socket)

    return wrapped
