"""The FastCGI records that nginx and the worker exchange (FastCGI 1.0 specification, sections 3.3 to 5)."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from flagon.inside import claims

VERSION, RESPONDER, KEEP_CONNECTION = 1, 1, 1
BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = 1, 2, 3, 4, 5, 6, 7
HEADER = Struct(">BBHHBx")
LARGEST_CONTENT = 65535
# nginx sends all parameters in one record; a peer that sends more than this is not nginx.
LARGEST_PARAMS = 1 << 18
READ_SIZE = 65536

# One request a connection, so the request id is 1 in every record.
END = HEADER.pack(VERSION, END_REQUEST, 1, 8, 0) + bytes(8)
# An empty record: nginx resets its read timer and ignores it; on an idle connection, and after END, it means "let go".
PING = HEADER.pack(VERSION, STDERR, 1, 0, 0)
LAST = END + PING  # the end of a response on a connection that is closed then
STDOUT_PREFIX = bytes((VERSION, STDOUT, 0, 1))

Read = Callable[[int], bytes]  # at most so many bytes, b"" at the end of the connection


class ClientGone(OSError):
    """nginx has closed the connection, most likely because its client did."""


class ProtocolError(Exception):
    """The peer does not speak FastCGI as nginx does; the connection is closed."""


def stdout(content: bytes) -> bytes:
    """`content` as STDOUT records; no record for no content (an empty one would end the stream)."""
    length = len(content)
    if length <= LARGEST_CONTENT:
        return STDOUT_PREFIX + length.to_bytes(2, "big") + b"\0\0" + content if length else b""
    step = LARGEST_CONTENT - 7
    return b"".join(stdout(content[start : start + step]) for start in range(0, length, step))


def decode_params(block: bytes, into: dict[str, str]) -> None:
    """Name-value pairs (section 3.4) -> `into`, as latin-1 text, which is what WSGI wants. Raises ProtocolError.

    nginx's own parameters come first, among them who the peer is; of the headers after them, what it may not say is
    left out (claims.py).
    """
    peer, word = claims.STRANGER, ""
    may_say = peer.names
    text = block.decode("latin-1")
    position, end = 0, len(block)
    try:
        while position < end:
            name_length, value_length = block[position], block[position + 1]
            position += 2
            if name_length > 127 or value_length > 127:
                name_length, value_length, position = _long_lengths(block, position - 2)
            value = position + name_length
            name = text[position:value]
            position = value + value_length
            try:
                said = may_say[name]
            except KeyError:
                said = peer.may_say(name)
            if said:
                into[name] = text[value:position]
            elif name == claims.PEER:
                word = text[value:position]
                peer = claims.peer(word, into)
                may_say = peer.names
            elif said is None:
                claims.refused(name, word, into)
    except IndexError:
        raise ProtocolError("a parameter's length is cut") from None
    if position != end:
        raise ProtocolError("a parameter is longer than its record")
    if "\t" in text:
        _strip(into)


def _strip(environ: dict[str, str]) -> None:
    """nginx has cut the blanks at both ends of a header's value, and leaves the tabs (RFC 9110, section 5.5: OWS)."""
    for name, value in environ.items():
        if name.startswith("HTTP_") or name == "CONTENT_TYPE":
            environ[name] = value.strip(" \t")


def _long_lengths(block: bytes, position: int) -> tuple[int, int, int]:
    """Lengths of a name and a value of which one at least takes four bytes, and where the name begins."""
    lengths = []
    for _ in range(2):
        length = block[position]
        position += 1
        if length > 127:
            length = ((length & 127) << 24) | int.from_bytes(block[position : position + 3], "big")
            position += 3
        lengths.append(length)
    return lengths[0], lengths[1], position


class Records:
    """Reads records from a connection, whatever the pieces they arrive in."""

    __slots__ = ("_buffer", "_position", "_read", "content_left", "padding")

    def __init__(self, read: Read, buffer: bytes = b"") -> None:
        self._read = read
        self._buffer = buffer
        self._position = 0
        self.content_left = 0  # of the record that is being read
        self.padding = 0

    def _fill(self, needed: int) -> None:
        """Have at least `needed` bytes from the position on. Raises ProtocolError at an early end."""
        if len(self._buffer) - self._position >= needed:
            return
        pieces = [self._buffer[self._position :]]
        have = len(pieces[0])
        while have < needed:
            piece = self._read(READ_SIZE)
            if not piece:
                raise ProtocolError("the connection ended within a record")
            pieces.append(piece)
            have += len(piece)
        self._buffer = b"".join(pieces)
        self._position = 0

    def _take(self, count: int) -> bytes:
        self._fill(count)
        start = self._position
        self._position = start + count
        return self._buffer[start : self._position]

    def next_header(self) -> tuple[int, int]:
        """(type, content length) of the next record; what is left of the last one is skipped."""
        while self.content_left:
            self.content(READ_SIZE)
        version, kind, request, length, padding = HEADER.unpack(self._take(8))
        if version != VERSION or request != 1:
            raise ProtocolError(f"not a FastCGI record of request 1: version {version}, request {request}")
        self.content_left, self.padding = length, padding
        if not length:
            self._skip_padding()
        return kind, length

    def _skip_padding(self) -> None:
        if self.padding:
            self._take(self.padding)
            self.padding = 0

    def content(self, most: int) -> bytes:
        """At least one and at most `most` bytes of the current record's content."""
        if len(self._buffer) == self._position:
            self._fill(1)
        count = min(most, self.content_left, len(self._buffer) - self._position)
        piece = self._take(count)
        self.content_left -= count
        if not self.content_left:
            self._skip_padding()
        return piece

    def whole_content(self) -> bytes:
        """All that is left of the current record's content."""
        piece = self._take(self.content_left)
        self.content_left = 0
        self._skip_padding()
        return piece

    def begin(self) -> bytes:
        """Read BEGIN_REQUEST and all PARAMS; returns the parameter block. Raises ProtocolError."""
        kind, length = self.next_header()
        if kind != BEGIN_REQUEST or length != 8:
            raise ProtocolError(f"record {kind} of {length} bytes where BEGIN_REQUEST was due")
        if self.whole_content()[:2] != b"\0\1":
            raise ProtocolError("a role other than RESPONDER")
        block = bytearray()  # a peer may cut it into many records
        while True:
            kind, length = self.next_header()
            if kind != PARAMS:
                raise ProtocolError(f"record {kind} where PARAMS was due")
            if not length:
                return bytes(block)
            block += self.whole_content()
            if len(block) > LARGEST_PARAMS:
                raise ProtocolError("more parameters than nginx can send")


# What a bodyless request of nginx looks like: BEGIN_REQUEST, one PARAMS record, an empty one, an empty STDIN.
_BEGIN = (bytes((VERSION, BEGIN_REQUEST, 0, 1, 0, 8, 0, 0, 0, RESPONDER)), bytes((VERSION, PARAMS, 0, 1)))
_TAIL = bytes((VERSION, PARAMS, 0, 1, 0, 0, 0, 0))
_NO_BODY = _TAIL + bytes((VERSION, STDIN, 0, 1, 0, 0, 0, 0))


def quick_params(data: bytes) -> tuple[bytes, int] | None:
    """(parameter block, where STDIN begins) if `data` holds BEGIN and all PARAMS in nginx's own shape, else None."""
    if len(data) < 24 or not data.startswith(_BEGIN[0]) or data[16:20] != _BEGIN[1]:
        return None
    end = 24 + (data[20] << 8) + data[21]
    after = end + data[22]
    if data[after : after + 8] != _TAIL:
        return None
    return data[24:end], after + 8


def has_no_body(data: bytes, position: int) -> bool:
    """Whether STDIN, which begins at `position`, is just its empty end."""
    return data[position:] == _NO_BODY[8:]
