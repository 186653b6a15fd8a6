"""FLASK_DEBUG: reload on save, a page for an application that does not load, and who may see Werkzeug's debugger."""

from __future__ import annotations

import html
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

from flagon.inside import notice
from flagon.inside.after_import import AfterImport

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
ALLOWED = "flagon.debugger"  # environ: nginx has found the client local or listed
DEBUGGER = "werkzeug.debug"
PAUSE = 0.5  # seconds between two looks at the files
SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<meta name="viewport" content="width=device-width"><title>The application cannot be loaded</title>
<style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;
padding:0 1rem}}pre{{overflow:auto;padding:1rem;border:1px solid;border-radius:6px}}</style>
<h1>The application cannot be loaded</h1><pre>{}</pre>
<p>Save a change: it is loaded again, and this page looks again by itself.</p>
"""
PLAIN = """Internal Server Error: the application cannot be loaded. The container's log says why.
It is shown here to local clients, and to those that DEBUG_CLIENTS lists.
"""


def mark(application: WSGI, fastcgi: bool) -> WSGI:
    """What nginx says of the client, out of the request and into a key that no header can set."""
    name = "FLAGON_DEBUGGER" if fastcgi else "HTTP_X_FLAGON_DEBUGGER"

    def marked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ[ALLOWED] = environ.pop(name, "") == "1"
        environ.pop("HTTP_X_FLAGON_DEBUGGER", None)  # on the FastCGI wire a client's own, and worth nothing
        return application(environ, start_response)

    return marked


def with_debugger(application: WSGI) -> WSGI:
    """Werkzeug's debugger around the application, where it is installed; guard() decides for whom."""
    try:
        from werkzeug.debug import DebuggedApplication
    except ImportError:
        return application
    debugged = DebuggedApplication(application, evalex=True)
    if debugged.pin is not None:
        print(f"the debugger's PIN, for local clients and DEBUG_CLIENTS: {debugged.pin}")
    return debugged


def _restrict(module: ModuleType, debug: bool) -> None:
    """DebuggedApplication steps aside for everybody else, also if it is the application itself that uses it."""
    original = module.DebuggedApplication.__call__

    def restricted(self: Any, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if debug and environ.get(ALLOWED) is True:
            answer: Iterable[bytes] = original(self, environ, start_response)
            return answer
        plain: Iterable[bytes] = self.app(environ, start_response)
        return plain

    module.DebuggedApplication.__call__ = restricted


def guard(debug: bool) -> None:
    """Before the application is imported: without FLASK_DEBUG nobody reaches the debugger, with it those who may."""
    if not any(isinstance(finder, AfterImport) and finder.name == DEBUGGER for finder in sys.meta_path):
        sys.meta_path.insert(0, AfterImport(DEBUGGER, lambda module: _restrict(module, debug)))


def relocate(options: dict[str, Any]) -> None:
    """The file that holds the application could not be read at boot: look again. Raises loading.LoadError."""
    from flagon import locate
    from flagon.inside.loading import LoadError

    try:
        found = locate.locate(options["directory"], [])
    except locate.NotFound as error:
        raise LoadError(str(error)) from None
    options["target"], options["why"] = found.target, found.why
    if found.directory not in sys.path:
        sys.path.insert(0, found.directory)


def broken(message: str, asgi: bool = False) -> Any:
    """In place of an application that does not load: why, for those who may know."""
    if not notice.send({"event": "failed", "message": message}):
        print(message, file=sys.stderr)
    page, plain = PAGE.format(html.escape(message)).encode(), PLAIN.encode()
    if asgi:
        return _broken_asgi(page, plain)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        allowed = environ.get(ALLOWED) is True
        body = page if allowed else plain
        kind = "text/html" if allowed else "text/plain"
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
        }
        start_response("500 Internal Server Error", list(headers.items()))
        return [body]

    return answer


def _broken_asgi(page: bytes, plain: bytes) -> Any:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        allowed = scope.get("flagon.debugger") is True
        kind = b"text/html" if allowed else b"text/plain"
        headers = [(b"content-type", kind + b"; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 500, "headers": headers})
        await send({"type": "http.response.body", "body": page if allowed else plain})

    return answer


class Watcher(threading.Thread):
    """gunicorn's reloader by polling, which works on every kind of mount, and which sees new files too."""

    directory = ""  # the application's, set before gunicorn makes one

    def __init__(
        self, extra_files: Any = None, interval: float = PAUSE, callback: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(name="reloader", daemon=True)
        self.extra = set(extra_files or ())
        self.interval, self.callback = interval, callback
        self.seen: dict[str, tuple[int, int]] = {}
        # Made before the application is loaded: what is saved meanwhile counts as a change.
        for path in self.below():
            self.differs(path)

    def add_extra_file(self, path: str) -> None:
        self.extra.add(path)

    def below(self) -> Iterator[str]:
        """Every Python file of the application, imported or not."""
        for folder, inner, names in os.walk(self.directory):
            inner[:] = [name for name in inner if name not in SKIPPED and not name.startswith(".")]
            yield from (os.path.join(folder, name) for name in names if name.endswith(".py"))

    def differs(self, path: str, new: bool = False) -> bool:
        """Whether the file has changed since the last look; `new` is the answer for one that was not there."""
        try:
            status = os.stat(path)
        except OSError:
            return False
        now = (status.st_mtime_ns, status.st_size)
        before = self.seen.get(path)
        self.seen[path] = now
        return new if before is None else before != now

    def changed(self) -> str | None:
        imported = [getattr(module, "__file__", None) for module in tuple(sys.modules.values())]
        others = {path for path in imported if path and path.endswith(".py")} | self.extra
        files = set(self.below())
        return next((path for path in (*files, *(others - files)) if self.differs(path, new=path in files)), None)

    def run(self) -> None:
        while True:
            path = self.changed()
            if path and self.callback:
                self.callback(path)
            time.sleep(self.interval)


def install(directory: str) -> None:
    """Have gunicorn's poll engine be ours."""
    from gunicorn import reloader

    Watcher.directory = directory
    reloader.reloader_engines["poll"] = Watcher
