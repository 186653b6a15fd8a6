"""The bounds of an ASGI WebSocket: gunicorn's own class with ours over it, fed with frames as a client makes them."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import os
import time

import gunicorn
import pytest
from gunicorn.asgi import protocol
from gunicorn.asgi.websocket import WebSocketProtocol

from flagon import room
from flagon.inside import asgi_websocket
from flagon.inside.asgi_websocket import Held, WebSocket

KEY = b"\x01\x02\x03\x04"
TEXT, BINARY, MORE, CLOSE, PING = 1, 2, 0, 8, 9


def frame(opcode, payload=b"", last=True, key=KEY, said=None):
    """As a client sends it. `said`: the length that its header promises."""
    size = len(payload) if said is None else said
    length = bytes([0x80 | size]) if size < 126 else b"\xff" + size.to_bytes(8, "big")
    if 125 < size < 65536:
        length = b"\xfe" + size.to_bytes(2, "big")
    masked = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload)) if any(payload) else payload
    return bytes([opcode | 0x80 * last]) + length + (key if masked is not payload else bytes(4)) + masked


class Transport:
    """Takes what is written, unless the client does not read."""

    gone = False

    def __init__(self, reads=True):
        self.reads, self.sent, self.paused, self.high = reads, [], False, 65536

    def write(self, data):
        self.sent.append(data)

    def get_write_buffer_size(self):
        return 0 if self.reads else sum(map(len, self.sent))

    def set_write_buffer_limits(self, high):
        self.high = high

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def is_closing(self):
        return self.gone

    def close(self):
        self.gone = True


class Log:
    def __init__(self):
        self.said = []

    def __getattr__(self, name):
        return lambda text, *words: self.said.append(text % words)


class Talk:
    """One connection, its application and what that has got."""

    def __init__(self, held, monkeypatch, receives=True, reads=True, most=16 << 20):
        monkeypatch.setattr(asgi_websocket, "held", held)
        self.transport, self.log, self.got, self.receives = Transport(reads), Log(), [], receives
        self.socket = WebSocket(self.transport, {"headers": []}, self.application, self.log, max_message_size=most)
        self.socket.accepted = True
        self.task = asyncio.ensure_future(self.socket.run())

    async def application(self, scope, receive, send):
        while self.receives:
            message = await receive()
            self.got.append(message)
            if message["type"] == "websocket.disconnect":
                return
        await asyncio.Event().wait()

    async def feed(self, data):
        for start in range(0, len(data), 65536):
            for _ in range(20):
                if self.transport.paused:
                    await asyncio.sleep(0)
            if self.transport.paused and not self.socket._refused:
                break  # a real one brings no more
            self.socket.feed_data(data[start : start + 65536])
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)

    def closed(self):
        """The close code that the client has got."""
        return [int.from_bytes(sent[2:4], "big") for sent in self.transport.sent if sent[0] == 0x80 | CLOSE]

    async def over(self):
        self.socket._close_event.set()  # nobody waits for the client's close
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def run(made):
    async def bounded():
        await asyncio.wait_for(made, 20)

    asyncio.run(bounded())


def test_gunicorn_is_the_one_that_this_was_written_for():
    """Another gunicorn: read its asgi/websocket.py, see that what is overridden still does what we think."""
    read = (
        "__init__ feed_data feed_eof run _put_message _receive _read_frames _read_frame _read_exact _send_frame "
        "_send_close _unmask"
    )
    text = "".join(inspect.getsource(getattr(WebSocketProtocol, name)) for name in read.split())
    assert gunicorn.version_info[:2] == (27, 0)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "94a54bc55b4735e7"
    assert "from gunicorn.asgi.websocket import WebSocketProtocol" in inspect.getsource(
        protocol.ASGIProtocol._handle_websocket
    ), "it looks for the class where we put ours"


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 125, 65535, 65536, 65537, 65539, 200_003])
def test_a_payload_is_unmasked_as_by_gunicorn(size):
    payload, key = os.urandom(size), os.urandom(4)
    assert WebSocket._unmask(None, payload, key) == WebSocketProtocol._unmask(None, payload, key)


def test_a_large_frame_is_unmasked_fast():
    payload, began = bytes(16 << 20), time.process_time()
    WebSocket._unmask(None, payload, KEY)
    assert time.process_time() - began < 0.5, "a loop over bytes takes one to three seconds"


def test_pings_of_a_client_that_reads_nothing(monkeypatch):
    async def made():
        talk = Talk(Held(1 << 20), monkeypatch, reads=False)
        await talk.feed(frame(PING, b"x" * 100) * 20_000)
        assert sum(map(len, talk.transport.sent)) < 1000, "no pong is added to many"
        assert len(talk.socket._buffer) < 200_000 or talk.transport.paused
        assert talk.transport.paused
        assert talk.transport.high == asgi_websocket.UNSENT_MOST
        talk.transport.reads = True
        await asyncio.sleep(2 * asgi_websocket.PAUSE)
        assert len(talk.transport.sent) > 100, "who reads again is answered"
        await talk.over()

    run(made())


def test_a_client_that_goes_while_a_pong_waits(monkeypatch):
    async def made():
        talk = Talk(Held(1 << 20), monkeypatch, reads=False)
        await talk.feed(frame(PING, b"x" * 100) * 100)
        talk.socket.feed_eof()
        await asyncio.wait_for(talk.task, 5 * asgi_websocket.PAUSE)
        assert talk.got[-1]["type"] == "websocket.disconnect"

    run(made())


def test_a_pong_to_a_client_that_is_gone_is_not_written(monkeypatch):
    """asyncio warns of each write after the fifth."""

    async def made():
        talk = Talk(Held(1 << 20), monkeypatch)
        talk.transport.close()
        await talk.feed(frame(PING) * 10)
        assert not talk.transport.sent
        await talk.over()

    run(made())


def test_unfinished_messages_have_one_bound_and_the_largest_goes(monkeypatch):
    async def made():
        held = Held(1 << 20)
        talks = [Talk(held, monkeypatch) for _ in range(5)]
        for number, talk in enumerate(talks):  # 400 kB, 300 kB, 200 kB, 100 kB unfinished, and one that is small
            await talk.feed(frame(BINARY, bytes((400, 300, 200, 100, 10)[number] * 1000), said=1_000_000))
        assert [talk.closed() for talk in talks] == [[]] * 5
        await talks[3].feed(bytes(200_000))
        assert [talk.closed() for talk in talks] == [[1013], [], [], [], []]
        assert talks[0].got[-1] == {"type": "websocket.disconnect", "code": 1013}
        assert held.size < 1 << 20
        assert "closed with 1013" in talks[0].log.said[0]
        assert "1 MB" in talks[0].log.said[0]
        await talks[0].feed(bytes(500_000))
        assert (len(talks[0].socket._buffer), talks[0].transport.paused) == (0, True), "what it sends on is not kept"
        await talks[1].feed(bytes(699_000))
        assert talks[1].closed() == [1013]
        assert not talks[1].log.said, "one line for a while"
        for talk in talks[2:4]:
            await talk.over()
        await talks[4].feed(bytes(990_000))
        assert len(talks[4].got[1]["bytes"]) == 1_000_000, "and a whole one arrives"
        for talk in talks:
            await talk.over()
        assert (held.size, held.by) == (0, {})

    run(made())


def test_messages_that_the_application_does_not_read_count_too(monkeypatch):
    async def made():
        held = Held(2 << 20)
        talks = [Talk(held, monkeypatch, receives=False) for _ in range(8)]
        for talk in talks:
            for _ in range(8):
                await talk.feed(frame(TEXT, b"t" * 300_000))
            assert held.size <= 2 << 20
        assert [1013] in [talk.closed() for talk in talks]
        for talk in talks:
            await talk.over()
        assert held.size == 0

    run(made())


def test_small_messages_pass_where_others_hold_all(monkeypatch):
    async def made():
        held = Held(100_000)
        full = Talk(held, monkeypatch)
        await full.feed(frame(BINARY, bytes(99_000), said=1_000_000))
        talks = [Talk(held, monkeypatch) for _ in range(3)]
        for talk in talks:
            await talk.feed(frame(TEXT, b"hello", last=False) + frame(MORE, b" you"))
        assert [talk.got[1]["text"] for talk in talks] == ["hello you"] * 3
        for talk in (full, *talks):
            await talk.over()

    run(made())


@pytest.mark.parametrize("payload", [b"", b"ab"])
def test_fragments_are_counted(monkeypatch, payload):
    async def made():
        talk = Talk(Held(16 << 20), monkeypatch)
        await talk.feed(frame(BINARY, payload, last=False))
        await talk.feed(frame(MORE, payload, last=False) * 2000)
        await talk.feed(frame(MORE, payload))
        assert talk.got[1]["bytes"] == payload * 2002
        await talk.feed(frame(BINARY, payload, last=False) + frame(MORE, payload, last=False) * 20_000)
        for _ in range(500):
            await asyncio.sleep(0)
        assert talk.closed() == [1009]
        assert talk.got[-1] == {"type": "websocket.disconnect", "code": 1009}
        assert not talk.socket._fragments
        await talk.over()

    run(made())


def test_the_room_is_a_part_of_the_memory():
    assert [room.websockets(*one) >> 20 for one in ((512, 3), (256, 1), (64, 8), (16384, 8))] == [10, 16, 2, 128]
    assert [room.largest_message(one << 20) >> 20 for one in (2, 10, 128)] == [1, 5, 16]


def test_a_message_that_somebody_allows_has_room(monkeypatch):
    monkeypatch.setattr(asgi_websocket, "held", Held(0))
    monkeypatch.setattr(asgi_websocket.websocket, "WebSocketProtocol", WebSocketProtocol)
    asgi_websocket.install(2 << 20, 64 << 20)
    assert asgi_websocket.held.limit == 64 << 20
    assert asgi_websocket.websocket.WebSocketProtocol is WebSocket
    asgi_websocket.install(2 << 20, 0)
    assert asgi_websocket.held.limit == 2 << 20, "no limit for one message is none for the memory"
