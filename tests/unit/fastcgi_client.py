"""nginx's side of the FastCGI wire, small: builds requests, reads replies, drives a Server over socket pairs."""

import logging
import os
import select
import socket
import struct
import threading
import time

from flagon.inside.server import Server
from flagon.inside.slots import Board, Slot

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, DATA = 1, 2, 3, 4, 5, 6, 7, 8
DEADLINE = 10.0


def record(kind, content=b"", padding=0, request=1, version=1):
    return struct.pack(">BBHHBx", version, kind, request, len(content), padding) + content + b"\xaa" * padding


def pair(name, value):
    def size(text):
        return bytes([len(text)]) if len(text) < 128 else struct.pack(">I", len(text) | 1 << 31)

    name, value = name.encode("latin-1"), value.encode("latin-1")
    return size(name) + size(value) + name + value


def environ(method="GET", path="/", body=b"", **more):
    """Parameters in the order of fragments/app.conf."""
    uri = more.pop("REQUEST_URI", path)
    found = {
        "HTTP_X_REQUEST_ID": "0123456789abcdef",
        "REQUEST_METHOD": method,
        "REQUEST_URI": uri,
        "PATH_INFO": path,
        "QUERY_STRING": uri.partition("?")[2],
    }
    if body:
        found["CONTENT_LENGTH"] = str(len(body))
        found["CONTENT_TYPE"] = "application/octet-stream"
    found.update(
        {
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "example.test",
            "SERVER_PORT": "80",
            "REMOTE_ADDR": "192.0.2.7",
            "REMOTE_PORT": "40000",
            "HTTP_HOST": "example.test",
            "wsgi.url_scheme": "http",
        }
    )
    found.update(more)
    return {name: value for name, value in found.items() if value is not None}


def block(parameters):
    return b"".join(pair(name, value) for name, value in parameters.items())


def begin(role=1, flags=1, padding=0, **named):
    return record(BEGIN, struct.pack(">HB5x", role, flags), padding, **named)


def in_records(kind, content, step=32768, padding=0):
    """`content` as a closed stream of records."""
    pieces = [record(kind, content[at : at + step], padding) for at in range(0, len(content), step)]
    return b"".join(pieces) + record(kind, b"", padding)


def request(method="GET", path="/", body=b"", step=32768, padding=0, params_step=65535, flags=1, **more):
    """A whole request's bytes."""
    return (
        begin(flags=flags, padding=padding)
        + in_records(PARAMS, block(environ(method, path, body, **more)), params_step, padding)
        + in_records(STDIN, body, step, padding)
    )


class Reply:
    """What came back until the server closed the connection."""

    def __init__(self, data):
        self.raw = data
        self.records = []
        self.cut = False
        position = 0
        while position < len(data):
            if position + 8 > len(data):
                self.cut = True
                break
            version, kind, number, length, padding = struct.unpack(">BBHHBx", data[position : position + 8])
            assert (version, number) == (1, 1)
            assert kind in (STDOUT, STDERR, END)
            content = data[position + 8 : position + 8 + length]
            self.cut = self.cut or len(content) < length
            self.records.append((kind, content))
            position += 8 + length + padding
        # "do not reuse this connection", for nginx's ears alone; each thread that lets go of it says so
        count = len(self.records)
        while (END, bytes(8)) in self.records and self.records[-1] == (STDERR, b""):
            self.records.pop()
        self.last = len(self.records) < count
        kinds = [kind for kind, _ in self.records]
        self.ended = END in kinds  # nginx takes a response without it for a broken transfer
        assert kinds.count(END) <= 1
        assert not self.ended or kinds[-1] == END
        text = b"".join(content for kind, content in self.records if kind == STDOUT)
        head, separator, self.body = text.partition(b"\r\n\r\n")
        self.status, self.headers = None, []
        if separator:
            lines = head.decode("latin-1").split("\r\n")
            assert lines[0].startswith("Status: ")
            self.status = lines[0][8:]
            self.headers = [tuple(line.split(": ", 1)) for line in lines[1:]]

    def __getitem__(self, name):
        """The header's only value, or None."""
        found = [value for known, value in self.headers if known.lower() == name.lower()]
        assert len(found) < 2, found
        return found[0] if found else None

    def __repr__(self):
        return f"<{self.status} {self.headers} {len(self.body)} bytes {'ended' if self.ended else 'BROKEN'}>"


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


class Messages(logging.Handler):
    def __init__(self):
        super().__init__(logging.DEBUG)
        self.records = []

    def emit(self, record):
        self.records.append(record)

    def at(self, level):
        return [record.getMessage() for record in self.records if record.levelno >= getattr(logging, level)]


def ready(connection, events, seconds):
    """What of `events` is there within that time. Not select(): it knows no descriptor above 1,023."""
    poller = select.poll()
    poller.register(connection, events)
    return next((found for _, found in poller.poll(seconds * 1000)), 0)


class Connection:
    """One connection to the server, by hand."""

    def __init__(self, box):
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(DEADLINE)
        self.slot = Slot(Board(1).memory, 0)
        self.failure = None
        self.thread = threading.Thread(target=self._serve, args=(box.server, theirs.detach()), daemon=True)
        self.thread.start()
        self.received = b""

    def _serve(self, server, descriptor):
        try:
            server.serve_once(descriptor, self.slot)
        except BaseException as error:  # the request thread would be gone
            self.failure = error

    def send(self, data):
        self.socket.sendall(data)

    def silent(self, seconds=0.02):
        """Whether nothing arrives for a moment."""
        return not ready(self.socket, select.POLLIN, seconds)

    def read_until(self, needle):
        while needle not in self.received:
            piece = self.socket.recv(65536)
            assert piece, f"closed after {self.received[-200:]!r}"
            self.received += piece

    def close(self):
        self.socket.close()
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive(), "the request thread hangs"
        if self.failure is not None:
            raise AssertionError(f"the request thread died of {self.failure!r}")

    def reply(self, pending=b""):
        """Send `pending` while reading to the end of the connection, as nginx does."""
        deadline = time.monotonic() + DEADLINE
        self.socket.setblocking(False)
        pending = memoryview(pending)
        while True:
            assert time.monotonic() < deadline, f"no end after {self.received[:300]!r}"
            events = ready(self.socket, select.POLLIN | (select.POLLOUT if pending else 0), 1)
            if events & ~select.POLLOUT:
                try:
                    piece = self.socket.recv(1 << 18)
                except ConnectionResetError:
                    break
                if not piece:
                    break
                self.received += piece
            if pending and events & select.POLLOUT:
                try:
                    pending = pending[self.socket.send(pending) :]
                except (BrokenPipeError, ConnectionResetError):
                    pending = memoryview(b"")
        self.close()
        return Reply(self.received)


class Box:
    """A Server around an application, and its log."""

    def __init__(self, application=hello, streams_max=2, spool=None, base=None, **hooks):
        self.messages = Messages()
        log = logging.Logger("test", logging.DEBUG)
        log.addHandler(self.messages)
        self.server = Server(application, base_environ() if base is None else base, log, streams_max, spool, **hooks)

    def __del__(self):
        for waiter in (self.server.connections.wake, self.server.connections.relief):
            os.close(waiter)

    def connect(self):
        return Connection(self)

    def raw(self, data):
        return self.connect().reply(data)

    def ask(self, *arguments, **named):
        return self.raw(request(*arguments, **named))

    def still_serves(self):
        reply = self.ask()
        assert reply.status == "200 OK"
        assert reply.ended


def base_environ():
    """The worker's own base environ, so that the battery proves what is served and not a copy of it."""
    from flagon.inside.worker import FastCGIWorker

    class Configuration:
        threads, workers, backlog = 4, 2, 32
        max_requests = max_requests_jitter = 0
        flagon = {"streams_max": 2, "spool": None}
        settings = {}

        class Hook:
            default = None

            @staticmethod
            def get():
                return None

    Configuration.settings = {"pre_request": Configuration.Hook, "post_request": Configuration.Hook}
    worker = FastCGIWorker.__new__(FastCGIWorker)
    worker.cfg, worker.wsgi, worker.log = Configuration, hello, None
    return worker._make_server().base_environ
