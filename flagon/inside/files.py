"""Files that the application hands out are sent by nginx (X-Accel-Redirect), with the application's own headers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from flagon.inside.accel import Internal
from flagon.inside.response import FileWrapper
from flagon.statics import HELD_BACK, RESTORED, handed_url

# What nginx keeps by itself, and what it makes itself from the file.
KEPT = frozenset("content-type content-disposition set-cookie cache-control expires".split())
MADE = frozenset("accept-ranges content-length content-range date server x-request-id".split())
KNOWN = KEPT | MADE | {name.lower() for name in RESTORED}
# nginx would compare them with the file's own date, and with a tag that it does not make: 412.
CONDITIONS = frozenset(("HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE"))
Headers = list[tuple[str, str]]
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
SPA = Internal("/-/spa")
HELD = re.compile(HELD_BACK, re.IGNORECASE)


def hand_over(options: dict[str, Any]) -> HandOver | None:
    """From what the boot has written down; None where nginx sends nothing in the application's place."""
    if not options.get("hand_over"):
        return None
    return HandOver(options["hand_over"], options["file_token"], options["database"]["path"])


class HandOver:
    """Decides for a response whether nginx may send it: a whole regular file below one of `roots`.

    Not hidden files, secrets, code and databases, `database` among them: nginx refuses them, whoever asks. The
    application sends these itself, if it will.
    """

    def __init__(self, roots: list[str], token: str, database: str = "") -> None:
        self.roots = [(root.rstrip("/") + "/", handed_url(token, root)) for root in roots]
        self.database = os.path.realpath(database) if database else ""

    def headers(self, status: str, headers: Headers, body: Any) -> Headers | None:
        """The headers to answer with in place of the file, or None: then the application's bytes go out."""
        if status[:4] not in ("200 ", "206 "):
            return None
        if type(body) is not FileWrapper:
            # werkzeug's answer to a Range: nginx cuts the piece out of the same file again
            body = getattr(body, "iterable", None)
            if type(body) is not FileWrapper or status[:3] != "206":
                return None
        names = {name.lower() for name, _ in headers}
        if not names <= KNOWN:
            return None
        target = self._target(body.filelike)
        if target is None or not self._whole(status, headers, target[1]):
            return None
        kept = [(name, value) for name, value in headers if name.lower() not in MADE]
        return [*kept, ("X-Accel-Redirect", Internal(target[0]))]

    def _target(self, file: Any) -> tuple[str, int] | None:
        """(internal path, size) of an open file, if its name still leads to it and it lies in a root."""
        name = getattr(file, "name", None)
        try:
            if not isinstance(name, str) or not os.path.isabs(name) or file.tell():
                return None
            opened, path = os.fstat(file.fileno()), os.path.realpath(name)
            named = os.stat(path)
        except (OSError, ValueError, AttributeError):
            return None
        if (opened.st_dev, opened.st_ino) != (named.st_dev, named.st_ino) or named.st_mode & 0o170000 != 0o100000:
            return None
        if self.database and path.startswith(self.database) and "/" not in path[len(self.database) :]:
            return None
        for root, url in self.roots:
            if path.startswith(root):
                inner = path[len(root) :]
                return None if HELD.search("/" + inner) else (url + quote(inner), opened.st_size)
        return None

    @staticmethod
    def _whole(status: str, headers: Headers, size: int) -> bool:
        """Whether the response is the whole file, or a piece that was asked for of the whole file."""
        values = {name.lower(): value for name, value in headers}
        if status[:3] == "206":
            return values.get("content-range", "").rpartition("/")[2] == str(size)
        return values.get("content-length", str(size)) == str(size)


class Handing:
    """The same on the wires where gunicorn writes the response: start_response waits for the body."""

    def __init__(self, application: Application, hand_over: HandOver) -> None:
        self.application, self.hand_over = application, hand_over

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.file_wrapper"] = FileWrapper
        if not CONDITIONS.isdisjoint(environ):
            return self.application(environ, start_response)
        held = _Held(start_response)
        result = self.application(environ, held.start)
        if held.writer is not None or held.status is None:  # it has written, or is a generator that has not begun
            return _begun(result, held)
        headers = self.hand_over.headers(held.status, held.headers, result)
        if headers is None:
            held.begin()
            return result
        if hasattr(result, "close"):
            result.close()
        start_response("200 OK", headers)
        return []


class _Held:
    """A start_response that is passed on once it is known who sends the body."""

    def __init__(self, start_response: Callable[..., Any]) -> None:
        self._start_response = start_response
        self.status: str | None = None
        self.headers: Headers = []
        self._more: tuple[Any, ...] = ()
        self.writer: Callable[[bytes], Any] | None = None

    def start(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], Any]:
        """What the application calls."""
        self.status, self.headers, self._more = status, headers, (exc_info,) if exc_info else ()
        if self.writer is not None:
            self.begin()  # a correction too late: gunicorn's to refuse
        return self.write

    def begin(self) -> Callable[[bytes], Any]:
        """Pass it on."""
        self.writer = writer = self._start_response(self.status, self.headers, *self._more)
        return writer  # type: ignore[no-any-return]

    def write(self, data: bytes) -> None:
        """The write() callable of PEP 3333."""
        (self.writer or self.begin())(data)


def _begun(result: Iterable[bytes], held: _Held) -> Iterable[bytes]:
    """The pieces of a response whose application may call start_response while it is iterated."""
    try:
        for piece in result:
            if held.writer is None and held.status is not None:
                held.begin()
            yield piece
        if held.writer is None and held.status is not None:
            held.begin()
    finally:
        if hasattr(result, "close"):
            result.close()


def with_page(application: Application) -> Application:
    """A single-page application: where a browser asks for a page and the application has none, it gets SPA_INDEX."""

    def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or "text/html" not in environ.get("HTTP_ACCEPT", ""):
            return application(environ, start_response)
        missing = False

        def start(status: str, headers: Headers, exc_info: Any = None) -> Any:
            nonlocal missing
            missing = status.startswith("404")
            if missing:
                status, headers = "200 OK", [("X-Accel-Redirect", SPA)]
            return start_response(status, headers, *([exc_info] if exc_info else []))

        result = application(environ, start)
        if not missing:
            return result
        if hasattr(result, "close"):
            result.close()
        return []

    return wrapped
