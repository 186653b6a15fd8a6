"""Between nginx and an ASGI application: what every request gets, whatever the application. See middleware.py for WSGI.

Address, scheme, host and request id are nginx's; a body that the application leaves unread is read before it answers;
event streams and WebSockets end in order when the box stops or the worker leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from gunicorn.asgi.websocket import WebSocketDisconnected

from flagon.inside import accel, asgi_failures, claims, closing, slots
from flagon.inside.body import SPOOL_IN_MEMORY
from flagon.inside.context import request_id
from flagon.inside.fastcgi import READ_SIZE
from flagon.inside.files import SPA
from flagon.inside.middleware import without_dots
from flagon.inside.response import EVENT_ENDS

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

OURS = (b"x-forwarded-for", b"x-forwarded-proto", b"x-real-ip")  # nginx's word, made anew for the application
PREFIX = b"x-flagon-"
PING = 0x9  # the opcode (RFC 6455 section 5.5.2)
ALWAYS = frozenset({b"content-type", b"content-length", b"transfer-encoding"})
PING_PAUSE = 20.0  # seconds between two pings of a WebSocket, as uvicorn has it: nginx cuts what is silent
PATIENCE = 0.5  # seconds for the application to notice that its stream was ended
MOST_NAMES = 1000  # header names are a client's invention: what is kept of them is bounded
_names: dict[bytes, str] = {}
_open: set[Stream] = set()


class Gone(WebSocketDisconnected):  # type: ignore[misc]
    """Sent to where the server has ended the stream: what ASGI 2.4 has for a client that is gone."""


def end_all() -> None:
    """In the loop: end every stream that is open."""
    for stream in list(_open):
        stream.end()


def _shown(scope: Scope) -> str:
    """The path in a line of the log: as it was sent, since a decoded one has line breaks that are a client's."""
    return str((scope.get("raw_path") or quote(scope["path"]).encode()).decode("ascii", "backslashreplace"))


def single(application: Any) -> ASGI:
    """An application of ASGI 2, which is called twice, as one of ASGI 3."""

    async def called(scope: Scope, receive: Receive, send: Send) -> None:
        await application(scope)(receive, send)

    return called


def behind_nginx(
    application: ASGI, prefix: str = "", spool: str | None = None, named: Iterable[str] | None = None,
    warn: Callable[[str], None] = lambda _: None, spa: bool = False, timeout: float = 60,
) -> ASGI:  # fmt: skip
    """The application as gunicorn is to call it. `named`: see accel.refusal(); None lets X-Accel-Redirect pass."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await application(scope, receive, send)
            return
        headers = settle(scope)
        scope["flagon.debugger"] = headers.get(b"x-flagon-debugger") == b"1"
        if prefix:
            sub_path(scope, prefix)
        row = -1
        if slots.shared is not None:
            method = scope.get("method", "WEBSOCKET")
            row = slots.shared.note(f"{request_id.get() or '?'} {method} {_shown(scope)}")
        stream = Stream(kind, receive, send)
        if kind == "http":
            stream.body = Body(receive, spool) if headers.get(b"content-length", b"0") != b"0" else None
            stream.named, stream.warn = named, warn
            stream.spa = spa and scope["method"] in ("GET", "HEAD") and b"text/html" in headers.get(b"accept", b"")
        else:
            stream.ping_pause = min(PING_PAUSE, timeout / 2)
            _open.add(stream)
        try:
            await application(scope, stream.receive, stream.send)
        except BaseException as error:
            asgi_failures.report(error, stream.left)
            raise
        finally:
            stream.over()
            if row >= 0 and slots.shared is not None:
                slots.shared.wipe(row)

    return wrapped


def settle(scope: Scope) -> dict[bytes, bytes]:
    """Address, scheme, host and port as nginx says them; headers without what the client may not claim."""
    given: dict[bytes, bytes] = dict(scope["headers"])
    identity = given.get(b"x-request-id", b"").decode("latin-1")
    request_id.set(identity)
    address = given.get(b"x-real-ip", b"").decode("latin-1")
    scheme = given.get(b"x-forwarded-proto", b"http").decode("latin-1")
    word = given.get(b"x-flagon-peer", b"").decode("latin-1")
    kept = sifted(scope["headers"], word, identity)
    for name, text in zip(OURS, (address, scheme, address), strict=True):
        kept.append((name, text.encode("latin-1")))
    secure = scheme == "https"
    scope["headers"] = kept
    scope["client"] = (address, _number(given.get(b"x-flagon-remote-port", b""), 0)) if address else None
    server = given.get(b"x-flagon-server-name", b"localhost").decode("latin-1")
    scope["server"] = (server, _number(given.get(b"x-flagon-server-port", b""), 443 if secure else 80))
    scope["scheme"] = scheme if scope["type"] == "http" else "wss" if secure else "ws"
    without_fragment(scope)
    if "/." in scope["path"]:
        scope["path"] = without_dots(scope["path"])
    return given


def without_fragment(scope: Scope) -> None:
    """End the target at a `#`, as nginx does to choose a location (ngx_http_parse_complex_uri): all is handed on."""
    raw, query = scope.get("raw_path", b""), scope.get("query_string", b"")
    if b"#" in raw:
        scope["raw_path"], scope["query_string"] = raw.partition(b"#")[0], b""
        scope["path"] = unquote_to_bytes(scope["raw_path"]).decode("utf-8", "replace")  # as gunicorn's parser has it
    elif b"#" in query:
        scope["query_string"] = query.partition(b"#")[0]


def _number(text: bytes, otherwise: int) -> int:
    return int(text) if text.isdigit() else otherwise


def sifted(headers: Iterable[tuple[bytes, bytes]], word: str, identity: str) -> Headers:
    """The headers without ours, and without what this peer may not say (flagon/inside/claims.py)."""
    environ = {"HTTP_X_REQUEST_ID": identity}
    found = claims.peer(word, environ)
    names = found.names
    kept: Headers = []
    for one in headers:
        name = one[0]
        if name in ALWAYS:
            kept.append(one)
            continue
        if name in OURS or name.startswith(PREFIX):
            continue
        cgi = _cgi(name)
        said = names[cgi] if cgi in names else found.may_say(cgi)
        if said:
            kept.append(one)
        elif said is None:
            claims.refused(cgi, word, environ)
    return kept


def _cgi(name: bytes) -> str:
    """HTTP_X_SHOP of x-shop."""
    found = _names.get(name)
    if found is None:
        found = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        if len(_names) >= MOST_NAMES:
            _names.clear()
        _names[name] = found
    return found


def sub_path(scope: Scope, prefix: str) -> None:
    """Below `prefix`, whether the proxy in front strips it or passes it on: ASGI has it in both root_path and path."""
    path = scope["path"]
    if path != prefix and not path.startswith(prefix + "/"):
        scope["path"] = prefix + path
        if raw := scope.get("raw_path"):
            scope["raw_path"] = prefix.encode() + raw
    scope["root_path"] = prefix


class Body:
    """A request body that is read to its end before the response begins: see middleware.SettledInput."""

    def __init__(self, receive: Receive, folder: str | None) -> None:
        self._receive, self._folder = receive, folder
        self._lock = asyncio.Lock()  # the application may wait for the client's end while it answers
        self._complete = False
        self._spool: Any = None

    async def receive(self) -> Message:
        """What is next, of the client's or of what was kept."""
        if self._spool is not None:
            piece = self._spool.read(READ_SIZE)
            if piece:
                return {"type": "http.request", "body": piece, "more_body": True}
            self._spool = None
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._complete:
            return await self._receive()
        async with self._lock:
            return await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def settle(self) -> None:
        """Keep what is left: the application may still want it."""
        async with self._lock:
            message: Message = {}
            while not (self._complete or message.get("type") == "http.disconnect"):
                message = await self._next()
                if piece := message.get("body", b""):
                    if self._spool is None:
                        self._spool = tempfile.SpooledTemporaryFile(SPOOL_IN_MEMORY, dir=self._folder)  # noqa: SIM115
                    self._spool.write(piece)
        if self._spool is not None:
            self._spool.seek(0)


class Stream:
    """One request on its way: a response that may be an event stream, or a WebSocket."""

    body: Body | None = None
    named: Iterable[str] | None = None
    spa = False
    left = False  # the application knows that the client is gone
    ping_pause = PING_PAUSE

    def __init__(self, kind: str, receive: Receive, send: Send) -> None:
        self._receive, self._send, self._kind = receive, send, kind
        self.warn: Callable[[str], None] = lambda _: None
        self._whole = self._ended = self._replaced = False
        self._task = asyncio.current_task()
        self._end: asyncio.Future[None] | None = None
        self._last: asyncio.TimerHandle | None = None
        self._next_ping: asyncio.TimerHandle | None = None

    async def receive(self) -> Message:
        """What the client sends; what it sends at its end, where we have ended the stream."""
        message = await self._received()
        self.left = self.left or message["type"].endswith(".disconnect")
        return message

    async def _received(self) -> Message:
        if self.body is not None:
            return await self.body.receive()
        if self._end is None:
            return await self._receive()
        if not self._end.done():
            asked: asyncio.Future[Message] = asyncio.ensure_future(self._receive())
            waited: set[asyncio.Future[Any]] = {asked, self._end}
            try:
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not asked.done():
                    asked.cancel()
            if asked.done() and not asked.cancelled():
                return asked.result()
        if self._kind == "http":
            return {"type": "http.disconnect"}
        return {"type": "websocket.disconnect", "code": 1001, "reason": ""}

    async def send(self, message: Message) -> None:
        """To the client, with what nginx may be told. Raises Gone where the stream was ended."""
        if self._ended:
            self.left = True
            raise Gone("the server has ended this stream")
        kind = message["type"]
        if kind == "http.response.start":
            message = await self._begun(message)
        elif kind == "websocket.accept":
            self._ping(asyncio.get_running_loop())
            self._end = asyncio.get_running_loop().create_future()
        elif kind == "http.response.body" and self._replaced:
            message = {**message, "body": b""}
        try:
            await self._send(message)
        except OSError:  # so ASGI 2.4 has it
            self.left = True
            raise
        if kind == "http.response.body" and self._end is not None:
            self._whole = bytes(message.get("body", b"")).endswith(EVENT_ENDS)
            if not message.get("more_body", False):
                self.over()
            return
        if closing.closing.is_set():
            self.end()

    def _ping(self, loop: asyncio.AbstractEventLoop) -> None:
        """An empty ping now and then: gunicorn's asgi worker sends none."""
        frame = getattr(getattr(self._send, "__self__", None), "_send_frame", None)
        if frame is None or self._ended:
            return
        if self._next_ping is not None:
            self._words = loop.create_task(self._sent(frame(PING, b"")))
        self._next_ping = loop.call_later(self.ping_pause, self._ping, loop)

    @staticmethod
    async def _sent(frame: Awaitable[None]) -> None:
        with contextlib.suppress(Exception):  # the client is gone
            await frame

    async def _begun(self, message: Message) -> Message:
        if self.body is not None:
            await self.body.settle()
        headers: Headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        if self.named is not None:
            headers = [one for one in headers if not self._refused(*one)]
        if self.spa and message["status"] == 404:
            self._replaced = True
            return {"type": message["type"], "status": 200, "headers": [(b"x-accel-redirect", SPA.encode())]}
        if any(name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers):
            self._end = asyncio.get_running_loop().create_future()
            _open.add(self)
        return {**message, "headers": headers}

    def _refused(self, name: bytes, value: bytes) -> bool:
        if name.lower() != accel.NAME.encode():
            return False
        why = accel.refusal(value.decode("latin-1"), self.named or ())
        if why:
            self.warn(accel.dropped(why))
        return bool(why)

    def end(self) -> None:
        """An event stream after a whole event, a WebSocket with a close frame; the application is told, then cut."""
        if self._ended or self._end is None or (self._kind == "http" and not self._whole):
            return
        self._ended = True
        if not self._end.done():
            self._end.set_result(None)
        loop = asyncio.get_running_loop()
        last = {"type": "http.response.body", "body": b"", "more_body": False}
        words = last if self._kind == "http" else {"type": "websocket.close", "code": 1001, "reason": "going away"}
        self._words = loop.create_task(self._sent(self._send(words)))  # kept: the loop itself holds tasks weakly
        if self._task is not None:
            self._last = loop.call_later(PATIENCE, self._task.cancel)

    def over(self) -> None:
        """The application is done with it."""
        _open.discard(self)
        for timer in (self._last, self._next_ping):
            if timer is not None:
                timer.cancel()
