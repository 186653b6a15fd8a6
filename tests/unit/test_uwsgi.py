"""The uwsgi protocol on the worker's socket: packets in any pieces, bodies, garbage, and the answer as nginx wants it."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import socket
import threading

import pytest
from fastcgi_client import Box

from flagon.inside import uwsgi
from flagon.inside.fastcgi import ProtocolError

VARIABLES = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/p/%41",
    "REQUEST_URI": "/p/%2541?a=b",
    "QUERY_STRING": "a=b",
    "REMOTE_ADDR": "1.2.3.4",
    "HTTP_HOST": "h:8000",
    "CONTENT_LENGTH": "",
    "SCRIPT_NAME": "",
}


def packet(variables, modifier=0):
    block = b""
    for word in (word for pair in variables.items() for word in pair):
        raw = word.encode("latin-1")
        block += len(raw).to_bytes(2, "little") + raw
    return bytes([modifier]) + len(block).to_bytes(2, "little") + b"\0" + block


def ask(application, data, pieces=1):
    """What comes back for these bytes, sent in so many pieces."""
    box = Box(application)
    ours, theirs = socket.socketpair()
    from flagon.inside.slots import Board, Slot

    thread = threading.Thread(target=box.server.serve_once, args=(theirs.detach(), Slot(Board(1).memory, 0)))
    thread.start()
    step = -(-len(data) // pieces)
    for start in range(0, len(data), step):
        ours.sendall(data[start : start + step])
    ours.settimeout(5)
    received = b""
    while piece := ours.recv(65536):
        received += piece
    thread.join(5)
    ours.close()
    return received, box


def echo(environ, start):
    body = environ["wsgi.input"].read()
    start(
        "200 OK",
        [
            (
                "X-Environ",
                "|".join(
                    str(environ.get(name))
                    for name in (
                        "PATH_INFO",
                        "SCRIPT_NAME",
                        "REMOTE_ADDR",
                        "HTTP_HOST",
                        "wsgi.url_scheme",
                        "HTTP_PROXY",
                    )
                ),
            )
        ],
    )
    return [b"body: ", body]


@pytest.mark.parametrize("pieces", [1, 2, 7, 50])
def test_a_request_in_pieces(pieces):
    data = packet({**VARIABLES, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": "10", "HTTP_PROXY": "evil"}) + b"0123456789"
    received, _ = ask(echo, data, pieces)
    head, _, body = received.partition(b"\r\n\r\n")
    assert body == b"body: 0123456789"
    assert head.startswith(b"Status: 200 OK\r\n")
    assert b"X-Environ: /p/%41||1.2.3.4|h:8000|http|None" in head, "PATH_INFO is nginx's: decoded once"


@pytest.mark.parametrize(("more", "modifier", "expected"), [
    ({"HTTPS": "on"}, 0, b"|https|"), ({"UWSGI_SCHEME": "https"}, 0, b"|https|"), ({"SCRIPT_NAME": "/p"}, 0, b"/p/%41|/p|"), ({"SCRIPT_NAME": "/p"}, 30, b"/%41|/p|"),
])  # fmt: skip
def test_variables(more, modifier, expected):
    assert expected in ask(echo, packet({**VARIABLES, **more}, modifier))[0]


def test_large_bodies_and_answers():
    size = 1_000_000
    received, _ = ask(
        lambda environ, start: (start("200 OK", []), [environ["wsgi.input"].read()])[1],
        packet({**VARIABLES, "CONTENT_LENGTH": str(size)}) + bytes(size),
    )
    assert received.partition(b"\r\n\r\n")[2] == bytes(size)


def test_a_stream_and_an_exception():
    def stream(environ, start):
        start("200 OK", [])
        yield b"a" * 70_000
        yield b"b"

    assert ask(stream, packet(VARIABLES))[0].partition(b"\r\n\r\n")[2] == b"a" * 70_000 + b"b"

    def broken(environ, start):
        raise ValueError("broken")

    received, _ = ask(broken, packet(VARIABLES))
    assert received.startswith(b"Status: 500 ")


def test_health_comes_this_way_too():
    box = Box(echo)
    box.server.health = lambda environ, start: (start("200 OK", []), [b"healthy"])[1]
    box.server.health_paths = frozenset({"/up"})
    ours, theirs = socket.socketpair()
    from flagon.inside.slots import Board, Slot

    ours.sendall(packet({**VARIABLES, "PATH_INFO": "/up"}))
    box.server.serve_once(theirs.detach(), Slot(Board(1).memory, 0))
    assert ours.recv(65536).endswith(b"healthy")
    ours.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\0\x05\0\0ab",
        b"\0\x04\0\0\xff\xffab",
        b"\0\x03\0\0\x01\0a",
        b"\x02abc",
        b"GET / HTTP/1.0\r\n\r\n",
        packet({}),
        b"\0",
    ],
)
def test_garbage_is_not_answered(data):
    box = Box(echo)
    ours, theirs = socket.socketpair()
    from flagon.inside.slots import Board, Slot

    ours.sendall(data)
    ours.shutdown(socket.SHUT_WR)
    box.server.serve_once(theirs.detach(), Slot(Board(1).memory, 0))
    assert ours.recv(65536) == b""
    ours.close()


def test_decode():
    assert uwsgi.decode(packet({"a": "b", "c": ""}) + b"rest", lambda size: b"") == ({"a": "b", "c": ""}, b"rest")
    with pytest.raises(ProtocolError):
        uwsgi.decode(b"\0\x05", lambda size: b"")
