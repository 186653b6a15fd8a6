"""One WSGI call: start_response, the headers, and the body as FastCGI records (PEP 3333)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from flagon.inside import accel
from flagon.inside.compress import SMALLEST, Compression
from flagon.inside.fastcgi import LARGEST_CONTENT, stdout
from flagon.inside.pages import STALE

# RFC 9110 section 7.6.1; nginx, not the application, speaks for the connection.
HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization te trailer trailers transfer-encoding upgrade".split()
)
SPECIAL = HOP_BY_HOP | {
    "content-length", "content-type", "x-accel-buffering", "status", "cache-control", "x-accel-expires",
    "x-flagon-cache", "x-flagon-control", accel.NAME,
}  # fmt: skip
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
STATUS = re.compile(r"[1-9][0-9]{2}( [^\x00-\x1f\x7f]*)?\Z")
NAMES_KEPT = 512
LARGE = 1 << 20  # bytes: from here on no second copy of a body is made, neither a joined one nor a compressed one
EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")  # an empty line (HTML standard, section 9.2.5)

_good_names: dict[str, str] = {}  # header name -> lower case, filled as names are seen and checked


class HeaderError(ValueError):
    """The application gave a status or header that HTTP does not allow; it is answered with 500."""


class Wire(Protocol):
    """What a response needs of its connection."""

    def send(self, data: bytes) -> None: ...
    def end(self) -> bytes: ...
    def begin_stream(self, unbuffered: bool, events: bool) -> bool: ...
    def cache_lines(self, status: str, headers: list[tuple[str, str]], size: int | None) -> str: ...
    def event_sent(self, whole: bool) -> None: ...
    def settle_body(self, complete: bool) -> None: ...
    def warn(self, message: str) -> None: ...
    def refuses_redirect(self, value: str) -> str: ...


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not TOKEN.match(name):
        raise HeaderError(f"header name {name!r} is not an HTTP token")
    if len(_good_names) < NAMES_KEPT:
        _good_names[name] = name.lower()
    return name.lower()


class Response:
    """Collects what the application says and sends it. Not for reuse."""

    __slots__ = (
        "_hand_over",
        "_head_only",
        "_wire",
        "asks_pages",
        "began",
        "compress",
        "ending",
        "events",
        "headers",
        "length",
        "sent",
        "status",
        "unbuffered",
    )

    def __init__(self, wire: Wire, head_only: bool, hand_over: Any = None) -> None:
        self._wire = wire
        self._hand_over = hand_over  # flagon.inside.files.HandOver, or None
        self._head_only = head_only
        self.compress: tuple[Compression, dict[str, Any]] | None = None  # and the request's environ
        self.status: str | None = None
        self.headers: list[tuple[str, str]] = []
        self.began = False  # the first byte is on its way
        self.length: int | None = None  # the Content-Length the application declared
        self.sent = 0
        self.unbuffered = self.events = False
        self.ending = "\r\n"  # of the header
        self.asks_pages = False  # the header has an ending of its own

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        """The start_response callable. Raises HeaderError, AssertionError, or the exception of exc_info."""
        if exc_info is not None:
            try:
                if self.began:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status is not None:
            raise AssertionError("start_response was called twice without exc_info")
        if not isinstance(status, str) or not STATUS.match(status):
            raise HeaderError(f"status {status!r} is not `code reason`")
        self.status, self.headers = status, headers
        return self.write

    def _head(self, whole: int | None = None) -> bytes:
        """The CGI header block: Status line, headers, empty line. `whole` is the body's length where it is known."""
        lines = [f"Status: {self.status}"]
        buffering = None
        for name, value in self.headers:
            lower = _good_names.get(name) or _checked_name(name)
            if not isinstance(value, str) or CONTROL.search(value):
                raise HeaderError(f"header {name} has a value that HTTP does not allow: {value!r}")
            if lower in SPECIAL:
                if lower == "content-length":
                    self.length = _number(value)
                elif lower == "content-type":
                    self.unbuffered = self.events = value.startswith("text/event-stream")
                elif lower == "x-accel-buffering":
                    buffering = value.lower()
                elif lower == "cache-control":
                    self.asks_pages = True
                elif lower in ("status", "x-accel-expires", "x-flagon-cache", "x-flagon-control"):
                    continue  # CGI's own word, ours is the first line; ours are the last lines
                elif lower == accel.NAME:
                    if type(value) is not accel.Internal and (why := self._wire.refuses_redirect(value)):
                        self._wire.warn(accel.dropped(why))
                        continue
                else:
                    self._wire.warn(f"the application's header {name!r} is hop-by-hop: dropped")
                    continue
            lines.append(f"{name}: {value}")
        if buffering is not None:
            self.unbuffered = buffering == "no"
        if self.length is None and whole is not None and not self._bodyless():
            self.length = whole
            lines.append(f"Content-Length: {whole}")
        ending = self._cache_lines() + "\r\n" if self.asks_pages else self.ending
        if ending.startswith(STALE):  # nginx answers in our place
            return ending.encode()
        lines.append(ending)
        try:
            return "\r\n".join(lines).encode("latin-1")
        except UnicodeEncodeError:
            raise HeaderError("a header has a character outside latin-1") from None

    def _cache_lines(self) -> str:
        size = 0 if self._bodyless() else self.length
        return self._wire.cache_lines(self.status or "", self.headers, size)

    def _bodyless(self) -> bool:
        return self._head_only or (self.status or "")[:3] in ("204", "304")

    def run(self, result: Iterable[bytes]) -> None:
        """Send all that the application's iterable gives, then the end."""
        if not self.began and (type(result) is list or type(result) is tuple):
            length = len(result[0]) if len(result) == 1 else sum(map(len, result))
            if length >= LARGE:
                pieces = result if all(isinstance(piece, bytes) for piece in result) else (b"".join(result),)
                self._send_large(pieces, length)
                return
            body = result[0] if len(result) == 1 else b"".join(result)
            if length >= SMALLEST and self.compress is not None:
                body = self._compressed(body)
            self._send_whole(self._checked_head(len(body)), body)
            return
        if self._hand_over is not None and not self.began and self.status is not None:
            headers = self._hand_over.headers(self.status, self.headers, result)
            if headers is not None:
                self.status, self.headers = "200 OK", headers
                self._send_whole(self._checked_head(None), b"")
                return
        iterator = iter(result)
        first = next((piece for piece in iterator if piece), b"")
        if self.began:
            self._send_stream(first, iterator)
            return
        if len(first) >= SMALLEST and self.compress is not None and _declares(self.headers, len(first)):
            if len(first) >= LARGE:
                _check_bytes(first)
                self._send_large((first,), len(first))
                next((piece for piece in iterator if piece), None)
                return
            first = self._compressed(first)
        head = self._checked_head(None)
        if not first or self._bodyless() or (self.length is not None and len(first) >= self.length):
            self._send_whole(head, first)
            # Code after the last yield runs, as under every server.
            next((piece for piece in iterator if piece), None)
        else:
            self._begin_stream(head, first)
            self._send_stream(b"", iterator)

    def _compressed(self, body: bytes) -> bytes:
        _check_bytes(body)
        if self.status is None or self._head_only or self.compress is None:
            return body
        compression, environ = self.compress
        self.headers, body = compression.apply(environ, self.status, self.headers, body)
        return body

    def _checked_head(self, whole: int | None) -> bytes:
        if self.status is None:
            raise AssertionError("the application did not call start_response")
        return self._head(whole)

    def _send_whole(self, head: bytes, body: bytes) -> None:
        """Header, body and end in one go."""
        _check_bytes(body)
        short = False
        if self._bodyless():
            body = b""
        elif self.length is not None and len(body) != self.length:
            short = len(body) < self.length
            body = body[: self.length]
        self._wire.settle_body(complete=True)
        self.began = True
        self.sent = len(body)
        if short:
            self._wire.send(stdout(head + body))
            raise Shortfall(f"{self.sent} of {self.length} bytes of Content-Length")
        if len(head) + len(body) <= LARGEST_CONTENT:
            self._wire.send(stdout(head + body) + self._wire.end())
        else:
            self._wire.send(stdout(head))
            self._send_pieces(body)
            self._wire.send(self._wire.end())

    def _send_large(self, pieces: Iterable[bytes], length: int) -> None:
        """A whole body of so many bytes, in blocks: packed on their way, without a length then, or as they are."""
        blocks: Iterable[bytes] = _blocks(pieces)
        whole: int | None = length
        if self.compress is not None and self.status is not None and not self._head_only:
            compression, environ = self.compress
            self.headers, packed = compression.stream(environ, self.status, self.headers, blocks)
            if packed is not None:
                blocks, whole = packed, None
        head = self._checked_head(whole)
        self._wire.settle_body(complete=True)
        self.began = True
        self._wire.send(stdout(head))
        if not self._bodyless():
            for block in blocks:
                self._send_pieces(self._cut(block))
            if self.length is not None and self.sent < self.length:
                raise Shortfall(f"{self.sent} of {self.length} bytes of Content-Length")
        self._wire.send(self._wire.end())

    def _begin_stream(self, head: bytes, first: bytes) -> None:
        """The header and the first piece of a response whose end is not known yet."""
        _check_bytes(first)
        if not self._wire.begin_stream(self.unbuffered, self.events):
            raise Overload
        self._wire.settle_body(complete=False)
        self.began = True
        first = self._cut(first)
        if len(head) + len(first) <= LARGEST_CONTENT:
            self._wire.send(stdout(head + first))
        else:
            self._wire.send(stdout(head))
            self._send_pieces(first)
        if self.events:
            self._wire.event_sent(first.endswith(EVENT_ENDS))

    def write(self, data: bytes) -> None:
        """The write() callable of PEP 3333, and each further piece of a stream."""
        if not self.began:
            self._begin_stream(self._checked_head(None), data)
            return
        _check_bytes(data)
        self._send_pieces(self._cut(data))
        if self.events and data:
            self._wire.event_sent(data.endswith(EVENT_ENDS))

    def _cut(self, data: bytes) -> bytes:
        """No byte beyond the declared length, none where the response has no body."""
        if self._bodyless():
            return b""
        if self.length is not None:
            data = data[: self.length - self.sent]
        self.sent += len(data)
        return data

    def _send_pieces(self, data: bytes) -> None:
        step = LARGEST_CONTENT - 7
        for start in range(0, len(data), step):
            self._wire.send(stdout(data[start : start + step]))

    def _send_stream(self, first: bytes, iterator: Iterator[bytes]) -> None:
        """The rest of a stream, and its end; none if it is shorter than declared."""
        if first:
            self.write(first)
        for piece in iterator:
            if piece:
                self.write(piece)
        if self.length is not None and self.sent < self.length and not self._bodyless():
            raise Shortfall(f"{self.sent} of {self.length} bytes of Content-Length")
        self._wire.send(self._wire.end())


def _check_bytes(data: object) -> None:
    if type(data) is not bytes and not isinstance(data, bytes):
        raise TypeError(f"the application gave {type(data).__name__} where bytes are due")


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks that fill a record each: a body may be a list of single bytes."""
    held: list[bytes] = []
    have = 0
    for piece in pieces:
        if have + len(piece) > LARGEST_CONTENT and held:
            yield b"".join(held)
            held, have = [], 0
        held.append(piece)
        have += len(piece)
    yield b"".join(held)


def _declares(headers: list[tuple[str, str]], length: int) -> bool:
    """Whether these bytes are the whole body, by its Content-Length."""
    return any(name.lower() == "content-length" and value == str(length) for name, value in headers)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise HeaderError(f"Content-Length {text!r} is not a number")
    return int(text)


class Overload(Exception):
    """STREAMS_MAX unbuffered responses run already; this one is answered with 503."""


class Shortfall(Exception):
    """The application gave fewer bytes than it declared; the transfer is broken off, not completed."""


class FileWrapper:
    """wsgi.file_wrapper: a file in blocks. `filelike` and `blksize` are what gunicorn's own calls them."""

    def __init__(self, file: Any, block_size: int = 65536) -> None:
        self.filelike = file
        self.blksize = block_size
        for name in ("close", "seekable", "seek", "tell"):  # werkzeug cuts a range out of what it can seek in
            if hasattr(file, name):
                setattr(self, name, getattr(file, name))

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block: bytes = self.filelike.read(self.blksize)
        if not block:
            raise StopIteration
        return block
