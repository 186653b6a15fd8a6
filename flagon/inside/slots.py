"""What each request thread is doing: for the watchdog, and on a shared board that survives a kill -9."""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
from collections import deque
from collections.abc import Iterator

from flagon.inside import fastcgi
from flagon.inside.fastcgi import LAST

# nginx has our page for it: a named location that answers 504
STUCK_ANSWER = fastcgi.stdout(b"Status: 504 Gateway Timeout\r\nX-Accel-Redirect: @stuck\r\n\r\n") + LAST
LONGEST_WRITE = 0.5  # seconds for a piece that is being written to a slow reader
AS_PARAMETERS, AS_TEXT = 1, 2  # what a row's first byte says of the others; 0: the row is free
ROW = 512  # bytes of a request's parameters kept on the board; id, method and target come first in them


class Board:
    """Anonymous shared memory, made before the fork: gunicorn's master reads it when the worker is dead."""

    def __init__(self, rows: int) -> None:
        self.memory = mmap.mmap(-1, rows * ROW)
        self.rows = rows
        self._free = deque(range(rows))

    def note(self, text: str) -> int:
        """Put a request on the board, on the wires that have no slots; its row, -1 if the board is full."""
        try:
            row = self._free.pop()
        except IndexError:
            return -1
        block = text.encode("utf-8", "replace")[: ROW - 2] + b"\0"
        self.memory[row * ROW + 1 : row * ROW + 1 + len(block)] = block
        self.memory[row * ROW] = AS_TEXT
        return row

    def wipe(self, row: int) -> None:
        """The request of that row is over."""
        if row >= 0:
            self.memory[row * ROW] = 0
            self._free.append(row)

    def requests(self) -> Iterator[str]:
        """`id method path` of each request that was running. Query strings are cut off."""
        for row in range(self.rows):
            raw = self.memory[row * ROW : (row + 1) * ROW]
            if raw[0] == AS_TEXT:
                yield raw[1:].partition(b"\0")[0].decode("utf-8", "replace")
            elif raw[0]:
                yield describe(raw[1:])


shared: Board | None = None  # of this worker, on the wires that have no slots


def describe(block: bytes) -> str:
    """The first bytes of a FastCGI parameter block -> `id method path`."""
    found: dict[str, str] = {}
    position = 0
    while position + 2 < len(block) and len(found) < 3:
        name_length, value_length = block[position], block[position + 1]
        position += 2
        if value_length > 127:
            value_length = ((value_length & 127) << 24) | int.from_bytes(block[position : position + 3], "big")
            position += 3
        name = block[position : position + name_length].decode("latin-1")
        position += name_length
        found[name] = block[position : position + value_length].decode("latin-1")
        position += value_length
    path = found.get("REQUEST_URI", "?").partition("?")[0].rstrip("\0")
    return f"{found.get('HTTP_X_REQUEST_ID', '?')} {found.get('REQUEST_METHOD', '?')} {path}"


class Slot:
    """One request thread: what it serves, since when, and the connection if a stream has begun on it."""

    __slots__ = (
        "abandoned",
        "begun",
        "board",
        "descriptor",
        "events",
        "last_byte",
        "lock",
        "offset",
        "params",
        "reported",
        "started",
        "stream",
        "stuck_answer",
        "thread",
        "whole_event",
    )

    def __init__(self, board: mmap.mmap, row: int) -> None:
        self.board = board
        self.offset = row * ROW
        self.started = 0.0  # monotonic time of the request's first byte; 0 is idle
        self.begun = False  # the first response byte is on its way
        self.abandoned = False  # the watchdog has answered in the application's place
        self.descriptor = -1
        self.params = b""
        self.stuck_answer = STUCK_ANSWER
        self.stream = -1  # descriptor of a response that has begun and not ended
        self.events = self.whole_event = False  # it is an event stream; what was sent ends with an event
        self.last_byte = 0.0
        self.reported = False
        self.lock = threading.Lock()  # between the thread and the watchdog's pings
        self.thread: threading.Thread | None = None

    def begin(self, params: bytes, descriptor: int) -> None:
        """A request has arrived."""
        self.params = params
        self.descriptor = descriptor
        self.stuck_answer = STUCK_ANSWER
        self.begun = self.abandoned = self.events = self.whole_event = False
        start, cut = self.offset, params[: ROW - 1]
        self.board[start + 1 : start + 1 + len(cut)] = cut
        self.board[start] = AS_PARAMETERS
        self.started = time.monotonic()

    def end(self) -> None:
        """The request is over."""
        self.started = 0.0
        self.stream = -1
        self.board[self.offset] = 0

    def waiting(self, now: float) -> float:
        """Seconds that a request has been without a first response byte; 0 if there is none such."""
        started = self.started
        return now - started if started and not self.begun else 0.0

    def close_events(self) -> bool:
        """End an event stream in the application's place, after a whole event; whether it was one."""
        if not (self.events and self.whole_event) or not self.lock.acquire(timeout=LONGEST_WRITE):
            return False
        try:
            if self.stream < 0 or self.abandoned or not self.whole_event:
                return False
            self.abandoned = True
            with contextlib.suppress(OSError):
                os.write(self.stream, LAST)
            return True
        finally:
            self.lock.release()

    def describe(self) -> str:
        """`id method path` of the request."""
        return describe(self.params[: ROW - 1])
