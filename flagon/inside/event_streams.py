"""Event streams on the HTTP wire: ended after a whole event when the box stops or the worker leaves."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flagon.inside import closing
from flagon.inside.response import EVENT_ENDS

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
EVENTS = "text/event-stream"
LAST_CHUNK = b"0\r\n\r\n"  # the end of a chunked message (RFC 9112 section 7.1)


class EventStream:
    """One response: knows whether all that the application gave is written and ends with an event."""

    def __init__(self, body: Iterable[bytes], socket: Any, opened: set[EventStream]) -> None:
        self._body, self._socket, self._opened = body, socket, opened
        self.is_one = False  # known once start_response was called, which a generator does late
        self._lock = threading.Lock()
        self._whole = self._waiting = self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        pieces = iter(self._body)
        while True:
            with self._lock:
                if closing.closing.is_set() and self._whole:
                    return
                self._waiting = True  # gunicorn asks for more: the last piece is written
            try:
                piece = next(pieces)
            except StopIteration:
                return
            finally:
                with self._lock:
                    self._waiting = False
            if self._ended:
                return
            self._whole = self.is_one and piece.endswith(EVENT_ENDS)
            yield piece

    def close_in_order(self) -> None:
        """While the application is silent, end the response in its place."""
        with self._lock:
            if self._waiting and self._whole and not self._ended:
                self._ended = True
                with contextlib.suppress(OSError):
                    self._socket.sendall(LAST_CHUNK)

    def close(self) -> None:
        self._opened.discard(self)
        if hasattr(self._body, "close"):
            self._body.close()


def closed_in_order(application: WSGI) -> WSGI:
    """Know the event streams that are open, and end them in order."""
    opened: set[EventStream] = set()

    def close_all() -> None:
        for stream in list(opened):
            stream.close_in_order()

    closing.when_closing(close_all)

    def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        found: list[bool] = []
        stream: EventStream | None = None

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            events = any(key.lower() == "content-type" and value.startswith(EVENTS) for key, value in headers)
            found.append(events)
            if stream is not None:
                stream.is_one = events
            return start_response(status, headers, *more)

        body = application(environ, start)
        if isinstance(body, (list, tuple)) or (found and not found[-1]) or "gunicorn.socket" not in environ:
            return body
        stream = EventStream(body, environ["gunicorn.socket"], opened)
        stream.is_one = bool(found)
        opened.add(stream)
        return stream

    return wrapped
