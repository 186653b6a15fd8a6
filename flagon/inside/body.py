"""wsgi.input: a request body of any size, read from the connection as the application asks, never held in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

from flagon.inside.fastcgi import READ_SIZE, STDIN, ProtocolError, Records

SPOOL_IN_MEMORY = 1 << 18


class BodyCut(OSError):
    """nginx went away in the middle of a request's body, or broke the protocol: there is nobody to answer."""


class RequestBody:
    """A bounded, binary, read-only file over the STDIN records. Reads past the end give b"" (PEP 3333)."""

    def __init__(self, records: Records, length: int, spool_directory: str | None = None) -> None:
        self._records = records
        self._left = length  # bytes of the body not read from the connection yet
        self._line = b""  # read from the connection, not taken by the application
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

    def read(self, size: int | None = -1) -> bytes:
        """`size` bytes, or all that is left."""
        if self._spool is not None:
            return self._spool.read(-1 if size is None else size)
        wanted = len(self._line) + self._left if size is None or size < 0 else size
        pieces, have = [self._line[:wanted]], min(len(self._line), wanted)
        self._line = self._line[wanted:]
        while have < wanted:
            piece = self._piece(min(wanted - have, READ_SIZE))
            if not piece:
                break
            pieces.append(piece)
            have += len(piece)
        return b"".join(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        """One line with its newline; at most `size` bytes."""
        if self._spool is not None:
            return self._spool.readline(-1 if size is None else size)
        limit = None if size is None or size < 0 else size
        pieces, have = [self._line], len(self._line)
        while b"\n" not in pieces[-1] and (limit is None or have < limit):
            piece = self._piece(READ_SIZE)
            if not piece:
                break
            pieces.append(piece)
            have += len(piece)
        text = b"".join(pieces)
        cut = text.find(b"\n") + 1 or len(text)
        if limit is not None:
            cut = min(cut, limit)
        self._line = text[cut:]
        return text[:cut]

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """All lines, or lines until `hint` bytes are had."""
        lines, have = [], 0
        for line in self:
            lines.append(line)
            have += len(line)
            if hint is not None and 0 < hint <= have:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def readable(self) -> bool:
        return True

    def drop(self) -> None:
        """Read and forget the rest: nginx stops sending it once it has passed on a response header."""
        self._line = b""
        while self._left > 0:
            self._piece(READ_SIZE)
        self._finish()

    def spool(self) -> None:
        """Read the rest into a file, because the application may still want it after the response has begun."""
        if self._spool is None and self._left > 0:
            rest = tempfile.SpooledTemporaryFile(SPOOL_IN_MEMORY, dir=self._directory)  # noqa: SIM115 lives as long as we
            rest.write(self._line)
            while self._left > 0:
                rest.write(self._piece(READ_SIZE))
            rest.seek(0)
            self._line, self._spool = b"", rest
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
        if self._spool is not None:
            self._spool.close()
