"""gunicorn's WebSocket of the asgi worker, with bounds: what clients may have it hold, send and count.

Written for gunicorn 27.0 (gunicorn/asgi/websocket.py): tests/unit/test_asgi_websocket.py notices another one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from gunicorn.asgi import websocket
from gunicorn.asgi.websocket import CLOSE_MESSAGE_TOO_BIG, OPCODE_PONG, WebSocketProtocol

from flagon.room import MEGABYTE

TRY_AGAIN = 1013  # the close code of a server that has no room (IANA's registry of WebSocket close codes)
PIECE = 1 << 16  # bytes that are unmasked at a time: what is made meanwhile is small
MOST_FRAGMENTS = 10_000  # of one message: 16 MB in pieces of 1.6 kB
A_FRAGMENT = 50  # bytes that one costs beside its own
UNREAD = 1 << 16  # bytes of messages that wait for the application, where it is not one that is larger
SMALL = 1 << 16  # bytes: who holds no more than gunicorn reads ahead is not closed for want of room
UNSENT = 256  # bytes: no pong is added to more
UNSENT_MOST = 4096  # asyncio adds up its list of what is unsent at each write, and a frame may be of two bytes
PAUSE = 0.25  # seconds between two looks whether the client reads again
TURN = 200  # frames that were there already, until others have a turn
SAID_AGAIN = 60.0  # seconds between two lines of the log


class Held:
    """What all WebSockets of a worker hold of messages that are unfinished, or that the application has not read."""

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self.by: dict[WebSocket, int] = {}
        self._said = -SAID_AGAIN

    def note(self, one: WebSocket, size: int) -> None:
        """`one` holds so many bytes now. Beyond the limit those that hold most are closed."""
        self.size += size - self.by.pop(one, 0)
        if size:
            self.by[one] = size
        while self.size > self.limit:
            most = max(self.by, key=self.by.__getitem__)
            if self.by[most] <= SMALL:
                return
            self._say(most)
            self.size -= self.by.pop(most)
            most.refuse()

    def _say(self, most: WebSocket) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._said >= SAID_AGAIN:
            self._said = now
            most.log.warning(
                "a WebSocket was closed with %s: unfinished and unread messages hold more than the %s MB that this "
                "worker has for them, and it held the most, %s kB. Give the container more memory, or have the "
                "application read faster (docs/asgi.md)", TRY_AGAIN, self.limit // MEGABYTE, self.by[most] >> 10,
            )  # fmt: skip


held = Held(sys.maxsize)


def install(room: int, message: int) -> None:
    """In a worker: all its WebSockets hold `room` bytes together; one message may be larger, if somebody says so."""
    held.limit = max(room, message)
    websocket.WebSocketProtocol = WebSocket  # gunicorn looks there at each connection


class WebSocket(WebSocketProtocol):  # type: ignore[misc]
    """One connection."""

    def __init__(self, transport: Any, *arguments: Any, **named: Any) -> None:
        super().__init__(transport, *arguments, **named)
        self._unread = self._frames = 0
        self._refused = False
        self._fragments: list[bytes]
        limits: Callable[..., None] | None = getattr(transport, "set_write_buffer_limits", None)
        if limits is not None:
            limits(high=UNSENT_MOST)

    async def run(self) -> None:
        """gunicorn's, after which nothing is held."""
        try:
            await super().run()
        finally:
            self._let_go()
            held.note(self, 0)

    def feed_data(self, data: bytes) -> None:
        """From the client."""
        if self._refused:
            self._pause_reading()
            return
        super().feed_data(data)
        self._count()

    def refuse(self) -> None:
        """There is no room for what it holds: the read loop closes, as soon as it looks."""
        self._let_go()
        self.feed_eof()
        self._pause_reading()

    def _let_go(self) -> None:
        self._refused = True
        self._buffer.clear()
        self._fragments, self._fragments_size, self._unread = [], 0, 0
        kept = []
        while not self._receive_queue.empty():
            message = self._receive_queue.get_nowait()
            if message["type"] != "websocket.receive":
                kept.append(message)
        for message in kept:
            self._receive_queue.put_nowait(message)
        self._queue_space.set()

    def _count(self) -> None:
        if not self._refused:
            fragments = self._fragments_size + A_FRAGMENT * len(self._fragments)
            held.note(self, len(self._buffer) + fragments + self._unread)

    async def _read_frame(self) -> tuple[int, bytes] | None:
        self._frames += 1
        if self._frames % TURN == 0:
            await asyncio.sleep(0)
        frame: tuple[int, bytes] | None = None if self._refused else await super()._read_frame()
        if self._refused:
            self._let_go()
            self.close_code = TRY_AGAIN
            await self._send_close(TRY_AGAIN, "No room for this message")
            return None
        if len(self._fragments) > MOST_FRAGMENTS:
            self._fragments, self._fragments_size = [], 0
            self.close_code = CLOSE_MESSAGE_TOO_BIG
            await self._send_close(CLOSE_MESSAGE_TOO_BIG, "Too many fragments")
            frame = None
        self._count()
        return frame

    async def _put_message(self, message: dict[str, Any]) -> None:
        self._unread += _size(message)
        self._count()
        while self._unread > UNREAD and not (self._receive_queue.empty() or self._close_sent or self._refused):
            self._queue_space.clear()
            await self._queue_space.wait()
        if not self._refused:
            await super()._put_message(message)

    async def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = await super()._receive()
        self._unread = max(0, self._unread - _size(message))
        self._count()
        return message

    async def _send_frame(self, opcode: int, payload: bytes) -> None:
        """A pong waits for a client that reads: RFC 6455 section 5.5.3 knows no hurry, and pings are free to send."""
        while opcode == OPCODE_PONG and self.transport.get_write_buffer_size() > UNSENT and not self._eof:
            await asyncio.sleep(PAUSE)
        if opcode != OPCODE_PONG or not self.transport.is_closing():
            await super()._send_frame(opcode, payload)

    def _unmask(self, payload: bytes, masking_key: bytes) -> bytes:
        """RFC 6455 section 5.3, with one operation of the processor's for many bytes."""
        key = int.from_bytes(masking_key * (PIECE // 4), "little")
        pieces = []
        for start in range(0, len(payload), PIECE):
            piece = payload[start : start + PIECE]
            if len(piece) < PIECE:
                key = int.from_bytes((masking_key * (len(piece) // 4 + 1))[: len(piece)], "little")
            pieces.append((int.from_bytes(piece, "little") ^ key).to_bytes(len(piece), "little"))
        return b"".join(pieces)


def _size(message: dict[str, Any]) -> int:
    """Bytes of memory, which a text of a few wide letters has four times as many of."""
    content = message.get("bytes") or message.get("text")
    return sys.getsizeof(content) if content else 0
