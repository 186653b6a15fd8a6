"""One WSGI call: start_response, the headers, and the body as FastCGI records (PEP 3333)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from flagon.inside.fastcgi import END, LARGEST_CONTENT, stdout

# RFC 9110 section 7.6.1; nginx, not the application, speaks for the connection.
HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization te trailer trailers transfer-encoding upgrade".split()
)
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
STATUS = re.compile(r"[1-9][0-9]{2}( [^\x00-\x1f\x7f]*)?\Z")
NAMES_KEPT = 512

_good_names: dict[str, str] = {}  # header name -> lower case, filled as names are seen and checked


class HeaderError(ValueError):
    """The application gave a status or header that HTTP does not allow; it is answered with 500."""


class Wire(Protocol):
    """What a response needs of its connection."""

    def send(self, data: bytes) -> None: ...
    def begin_stream(self, unbuffered: bool) -> bool: ...
    def settle_body(self, complete: bool) -> None: ...
    def warn(self, message: str) -> None: ...


def _checked_name(name: Any) -> str:
    if type(name) is not str or not TOKEN.match(name):
        raise HeaderError(f"header name {name!r} is not an HTTP token")
    if len(_good_names) < NAMES_KEPT:
        _good_names[name] = name.lower()
    return name.lower()


class Response:
    """Collects what the application says and sends it. Not for reuse."""

    __slots__ = ("_head_only", "_wire", "began", "headers", "length", "sent", "status", "unbuffered")

    def __init__(self, wire: Wire, head_only: bool) -> None:
        self._wire = wire
        self._head_only = head_only
        self.status: str | None = None
        self.headers: list[tuple[str, str]] = []
        self.began = False  # the first byte is on its way
        self.length: int | None = None  # the Content-Length the application declared
        self.sent = 0
        self.unbuffered = False

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """The start_response callable. Raises HeaderError, AssertionError, or the exception of exc_info."""
        if exc_info is not None:
            try:
                if self.began:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status is not None:
            raise AssertionError("start_response was called twice without exc_info")
        if type(status) is not str or not STATUS.match(status):
            raise HeaderError(f"status {status!r} is not `code reason`")
        self.status, self.headers = status, headers
        return self.write

    def _head(self) -> bytes:
        """The CGI header block: Status line, headers, empty line."""
        lines = [f"Status: {self.status}"]
        buffering_said = False
        for name, value in self.headers:
            lower = _good_names.get(name) or _checked_name(name)
            if type(value) is not str or CONTROL.search(value):
                raise HeaderError(f"header {name} has a value that HTTP does not allow: {value!r}")
            if lower in HOP_BY_HOP:
                self._wire.warn(f"the application's header {name!r} is hop-by-hop: dropped")
                continue
            if lower == "content-length":
                if not value.isdigit():
                    raise HeaderError(f"Content-Length {value!r} is not a number")
                self.length = int(value)
            elif lower == "content-type":
                if value.startswith("text/event-stream"):
                    self.unbuffered = True
            elif lower == "x-accel-buffering":
                buffering_said = True
                self.unbuffered = value.lower() == "no"
            elif lower == "status":
                continue  # CGI's own word; ours is the first line
            lines.append(f"{name}: {value}")
        if self.unbuffered and not buffering_said:
            lines.append("X-Accel-Buffering: no")
        lines.append("\r\n")
        try:
            return "\r\n".join(lines).encode("latin-1")
        except UnicodeEncodeError:
            raise HeaderError("a header has a character outside latin-1") from None

    def write(self, data: bytes) -> None:
        """The write() callable of PEP 3333, and each further piece of a stream."""
        self._send(data, last=False)

    def _send(self, data: bytes, last: bool) -> None:
        if not isinstance(data, bytes):
            raise TypeError(f"the application gave {type(data).__name__} where bytes are due")
        if self.began:
            head = b""
        else:
            if self.status is None:
                raise AssertionError("the application did not call start_response")
            head = self._head()
            if not last and not self._wire.begin_stream(self.unbuffered):
                raise Overload
        if self._bodyless():
            data = b""
        elif self.length is not None and self.sent + len(data) > self.length:
            data = data[: self.length - self.sent]
        if not self.began:
            self._wire.settle_body(complete=last)
            self.began = True
        self.sent += len(data)
        if last and self.length is not None and self.sent < self.length and not self._bodyless():
            self._wire.send(stdout(head + data))
            raise Shortfall(f"{self.sent} of {self.length} bytes of Content-Length")
        if len(head) + len(data) <= LARGEST_CONTENT:
            out = stdout(head + data)
            self._wire.send(out + END if last else out)
        else:
            self._send_large(head, data, last)

    def _send_large(self, head: bytes, data: bytes, last: bool) -> None:
        if head:
            self._wire.send(stdout(head))
        step = LARGEST_CONTENT - 7
        for start in range(0, len(data), step):
            self._wire.send(stdout(data[start : start + step]))
        if last:
            self._wire.send(END)

    def _bodyless(self) -> bool:
        return self._head_only or (self.status or "")[:3] in ("204", "304")

    def run(self, result: Iterable[bytes]) -> None:
        """Send all that the application's iterable gives, then the end."""
        if type(result) in (list, tuple):
            pieces: list[bytes] = list(result)
            if not self.began and self.status is not None and not any(n.lower() == "content-length" for n, _ in self.headers):
                if not self._bodyless():
                    self.headers = [*self.headers, ("Content-Length", str(sum(map(len, pieces))))]
            self._send(b"".join(pieces) if len(pieces) != 1 else pieces[0], last=True)
            return
        iterator = iter(result)
        first = next((piece for piece in iterator if piece), b"")
        if not self.began and self._whole(first):
            self._send(first, last=True)
            for piece in iterator:  # code after the last yield runs, as under every server
                if piece:
                    break
            return
        self._stream(first, iterator)

    def _whole(self, first: bytes) -> bool:
        """Whether `first` is all of the response, by its Content-Length or because there is none to come."""
        if not first or self._bodyless():
            return True
        declared = next((value for name, value in self.headers if name.lower() == "content-length"), None)
        return declared is not None and declared.isdigit() and int(declared) <= len(first)

    def _stream(self, first: bytes, iterator: Iterator[bytes]) -> None:
        if first:
            self.write(first)
        for piece in iterator:
            if piece:
                self.write(piece)
        if self.length is not None and self.sent < self.length and not self._bodyless():
            raise Shortfall(f"{self.sent} of {self.length} bytes of Content-Length")
        if self.began:
            self._wire.send(END)
        else:
            self._send(b"", last=True)


class Overload(Exception):
    """STREAMS_MAX unbuffered responses run already; this one is answered with 503."""


class Shortfall(Exception):
    """The application gave fewer bytes than it declared; the transfer is broken off, not completed."""


class FileWrapper:
    """wsgi.file_wrapper: a file in blocks."""

    def __init__(self, file: Any, block_size: int = 65536) -> None:
        self._file = file
        self._size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(self._size), b"")
