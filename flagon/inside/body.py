"""wsgi.input: a request body of any size, read from the connection as the application asks, never held in memory."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from flagon.inside.fastcgi import READ_SIZE, STDIN, ProtocolError, Records

SPOOL_IN_MEMORY = 1 << 18


class BodyCut(OSError):
    """nginx went away in the middle of a request's body, or broke the protocol: there is nobody to answer."""


class _Source(io.RawIOBase):
    """What the interpreter's buffer reads from. It is closed with the buffer, which is no end of the request's body."""

    def __init__(self, body: RequestBody) -> None:
        super().__init__()
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        return self._body.readinto(target)


class RequestBody:
    """A bounded, binary, read-only file over the STDIN records. Reads past the end give b"" (PEP 3333).

    Pieces and lines are the business of the interpreter's own buffer, of which this is the source: whatever the
    application asks for, no byte is moved again and again. A short body that is read at once does not need it.
    """

    def __init__(self, records: Records, length: int, spool_directory: str | None = None) -> None:
        self._records = records
        self._length = self._left = length  # of the body, and of what has not been read from the connection
        self._buffer: io.BufferedReader | None = None
        self._spool: IO[bytes] | None = None
        self._directory = spool_directory
        self._ended = False  # the empty STDIN record was read

    def _piece(self, most: int) -> bytes:
        """Up to `most` bytes from the connection, b"" at the body's end. Raises BodyCut if nginx went away."""
        if self._left <= 0:
            return b""
        try:
            while not self._records.content_left:
                kind, length = self._records.next_header()
                if kind == STDIN and not length:
                    self._ended = True
                if kind != STDIN or not length:
                    raise ProtocolError("the request body is shorter than its Content-Length")
            piece = self._records.content(min(most, self._left))
        except ProtocolError as error:
            self._left = 0
            raise BodyCut(f"request body: {error}") from None
        self._left -= len(piece)
        return piece

    def readinto(self, target: Any) -> int:
        """The next bytes of connection or file, 0 at the body's end. Raises BodyCut if nginx went away."""
        most = len(target)
        piece = self._piece(most) if self._spool is None else self._spool.read(most)
        target[: len(piece)] = piece
        return len(piece)

    def _buffered(self) -> io.BufferedReader:
        if self._buffer is None:
            self._buffer = io.BufferedReader(_Source(self), min(max(self._length, 1), READ_SIZE))
        return self._buffer

    def read(self, size: int | None = -1) -> bytes:
        """`size` bytes, or all that is left."""
        if size is None or not 0 <= size < self._length:
            size = self._length  # room is made for what is asked for
        if self._buffer is not None or self._spool is not None or size > READ_SIZE or size < self._left:
            return self._buffered().read(size)
        pieces, have = [], 0
        while piece := self._piece(size - have):
            pieces.append(piece)
            have += len(piece)
        return b"".join(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        """One line with its newline; at most `size` bytes."""
        return self._buffered().readline(size)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """All lines, or lines until `hint` bytes are had."""
        return self._buffered().readlines(-1 if hint is None else hint)

    def __iter__(self) -> Iterator[bytes]:
        return self._buffered()

    def readable(self) -> bool:
        return True

    def drop(self) -> None:
        """Read and forget the rest: nginx stops sending it once it has passed on a response header."""
        while self._left > 0:
            self._piece(READ_SIZE)
        self._finish()

    def spool(self) -> None:
        """Read the rest into a file, because the application may still want it after the response has begun."""
        if self._spool is None and self._left > 0:
            rest = tempfile.SpooledTemporaryFile(SPOOL_IN_MEMORY, dir=self._directory)  # noqa: SIM115 lives as long as we
            while self._left > 0:
                rest.write(self._piece(READ_SIZE))
            rest.seek(0)
            self._spool = rest
        self._finish()

    def _finish(self) -> None:
        """Read the empty STDIN record: bytes left unread would turn our close into a reset."""
        while not self._ended:
            try:
                kind, length = self._records.next_header()
            except (ProtocolError, OSError):
                break
            if kind == STDIN and not length:
                break
        self._ended = True

    def close(self) -> None:
        """The end of the file that it may be in, and of the circle of us and our buffer."""
        self._buffer = None
        if self._spool is not None:
            self._spool.close()
