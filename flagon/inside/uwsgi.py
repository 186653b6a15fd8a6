"""The uwsgi protocol, for users' own nginx files that say `uwsgi_pass unix:///tmp/uwsgi.sock` (docs/migrate.md).

A packet is one byte (0; FastCGI's begin with 1), its size as two bytes, one byte, then names and values, each after its
length in two bytes, little endian (uWSGI documentation, "The uwsgi Protocol"). The body follows as it is. The answer is
what a CGI script would write, and ends with the connection.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

from flagon.inside import claims, fastcgi
from flagon.inside.body import RequestBody
from flagon.inside.context import request_id
from flagon.inside.exchange import Exchange, write_all
from flagon.inside.fastcgi import READ_SIZE, ProtocolError
from flagon.inside.response import Response

PACKET_HEADER = 4
MANAGE_PATH_INFO = 30  # the other first byte that nginx users know: SCRIPT_NAME is to be taken off PATH_INFO
FIRST_BYTES = (b"\0", bytes([MANAGE_PATH_INFO]))
STUCK_ANSWER = b"Status: 504 Gateway Timeout\r\nContent-Type: text/plain\r\n\r\nGateway Timeout\n"


def decode(data: bytes, read: Callable[[int], bytes]) -> tuple[dict[str, str], bytes]:
    """(variables, what is already there of the body). Raises ProtocolError."""
    packet = bytearray(data)  # it may come in many pieces
    while len(packet) < PACKET_HEADER or len(packet) < PACKET_HEADER + int.from_bytes(packet[1:3], "little"):
        more = read(READ_SIZE)
        if not more:
            raise ProtocolError("the connection ends within a packet")
        packet += more
    data = bytes(packet)
    position, end = PACKET_HEADER, PACKET_HEADER + int.from_bytes(data[1:3], "little")
    words: list[str] = []
    while position < end:
        length = int.from_bytes(data[position : position + 2], "little")
        position += 2 + length
        if position > end:
            raise ProtocolError("a variable is longer than its packet")
        words.append(data[position - length : position].decode("latin-1"))
    if len(words) % 2:
        raise ProtocolError("a variable has no value")
    return dict(zip(words[::2], words[1::2], strict=True)), data[end:]


class Body:
    """What RequestBody reads its records from: here the bytes as they come."""

    def __init__(self, buffer: bytes, length: int, read: Callable[[int], bytes]) -> None:
        self._buffer, self._read = buffer, read
        self.content_left = length

    def content(self, most: int) -> bytes:
        """Up to `most` bytes. Raises ProtocolError at an early end."""
        piece = self._buffer[:most] if self._buffer else self._read(most)
        self._buffer = self._buffer[len(piece) :] if self._buffer else b""
        if not piece:
            raise ProtocolError("the request body is shorter than its Content-Length")
        self.content_left -= len(piece)
        return piece

    def next_header(self) -> tuple[int, int]:
        """The end."""
        return fastcgi.STDIN, 0


class UwsgiExchange(Exchange):
    """One request and its response over the uwsgi protocol."""

    __slots__ = ()
    hands_over = False  # the user's nginx has no location for our files

    def _read_request(self) -> dict[str, Any] | None:
        descriptor = self._descriptor

        def read(size: int) -> bytes:
            return os.read(descriptor, size)

        modifier = self._data[0]
        variables, rest = decode(self._data, read)
        self._slot.begin(_for_the_board(variables), descriptor)
        self._slot.stuck_answer = STUCK_ANSWER
        environ = {**self._server.base_environ, **variables}
        if "HTTP_X_FORWARDED_FOR" in environ and claims.PEER not in environ:
            claims.over_uwsgi(environ)
        # A location of the user's passes requests on: what ours would have set there, a client may have.
        claims.sift(environ, environ.pop(claims.PEER, ""), [name for name in claims.by_nginx if name[:5] == "HTTP_"])
        secure = variables.get("HTTPS", "").lower() in ("on", "1", "true")
        environ["wsgi.url_scheme"] = variables.get("UWSGI_SCHEME") or ("https" if secure else "http")
        claims.settle(environ)
        script = environ["SCRIPT_NAME"]
        if modifier == MANAGE_PATH_INFO and environ.get("PATH_INFO", "").startswith(script):
            environ["PATH_INFO"] = environ["PATH_INFO"][len(script) :]
        environ["RAW_URI"] = environ.get("REQUEST_URI", "")
        if "REQUEST_METHOD" not in environ:
            raise ProtocolError("no REQUEST_METHOD")
        request_id.set(environ.get("HTTP_X_REQUEST_ID", ""))
        length = environ.get("CONTENT_LENGTH", "")
        count = int(length) if length.isdigit() else 0
        body: Any = Body(rest, count, read)
        self._body = environ["wsgi.input"] = RequestBody(body, count, self._server.spool_directory)
        return environ

    def _call(self, environ: dict[str, Any], response: Response) -> None:
        server = self._server
        if server.health is not None and environ.get("PATH_INFO") in server.health_paths:
            response.run(server.health(environ, response.start))  # the user's nginx sends all paths here
            return
        super()._call(environ, response)

    def send(self, data: bytes) -> None:
        """FastCGI records, as Response writes them -> their content."""
        position = 0
        pieces: list[bytes] = []
        while position < len(data):
            _, kind, _, length, padding = fastcgi.HEADER.unpack_from(data, position)
            position += fastcgi.HEADER.size
            if kind == fastcgi.STDOUT:
                pieces.append(data[position : position + length])
            position += length + padding
        with contextlib.suppress(ValueError):
            write_all(self._descriptor, b"".join(pieces))

    def end(self) -> bytes:
        """The protocol has no word for the end but the connection's."""
        return b""

    def begin_stream(self, unbuffered: bool, events: bool) -> bool:
        """As over FastCGI, but nothing can be sent between the application's bytes to keep the connection alive."""
        began = super().begin_stream(unbuffered, events)
        self._slot.stream = -1
        return began


def _for_the_board(variables: dict[str, str]) -> bytes:
    """Id, method and target as the board of running requests keeps them."""
    names = ("HTTP_X_REQUEST_ID", "REQUEST_METHOD", "REQUEST_URI")
    block = b""
    for name in names:
        value = variables.get(name, "?").encode("latin-1")[:400]
        long = (len(value) | 1 << 31).to_bytes(4, "big") if len(value) > 127 else bytes([len(value)])
        block += bytes([len(name)]) + long + name.encode() + value
    return block
