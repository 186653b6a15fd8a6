"""The protocol battery: whatever arrives on the socket, the answer is right or the connection ends, and serving goes on."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import hashlib
import os
import random
import socket
import struct
import threading

import fastcgi_client as fc
import pytest
from fastcgi_client import PARAMS, STDIN, Box, begin, block, environ, in_records, record, request

from flagon.inside import fastcgi

FULL = os.environ.get("FLAGON_CAMPAIGN") == "full"


def echo(environ, start_response):
    """Digest of body and parameters: any byte lost or swapped shows."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Length", str(len(body)))])
    values = sorted((k, v) for k, v in environ.items() if k.startswith("HTTP_") or k in ("REQUEST_METHOD", "PATH_INFO"))
    return [digest(body, values)]


def digest(body, values):
    return hashlib.sha256(body + repr(values).encode()).hexdigest().encode()


def expected(body=b"", **more):
    values = environ(body=body, **more)
    values["HTTP_X_FORWARDED_FOR"] = values["HTTP_X_REAL_IP"] = values["REMOTE_ADDR"]
    values["HTTP_X_FORWARDED_PROTO"] = values["wsgi.url_scheme"]
    return digest(
        body, sorted((k, v) for k, v in values.items() if k.startswith("HTTP_") or k in ("REQUEST_METHOD", "PATH_INFO"))
    )


@pytest.fixture
def box():
    return Box(echo)


def bodies():
    source = random.Random(5)
    return [b"", b"x", b"\0" * 9, source.randbytes(1000), source.randbytes(65535), source.randbytes(200_000)]


@pytest.mark.parametrize("padding", [0, 1, 7, 255])
@pytest.mark.parametrize("body", bodies(), ids=len)
def test_whole_and_padded(box, body, padding):
    reply = box.ask("POST" if body else "GET", body=body, padding=padding)
    assert reply.ended
    assert reply.body == expected(body, method="POST" if body else "GET")


@pytest.mark.parametrize("body", bodies()[:4], ids=len)
def test_one_byte_at_a_time(box, body):
    connection = box.connect()
    for byte in request("POST", body=body, padding=3):
        connection.send(bytes([byte]))
    assert connection.reply().body == expected(body, method="POST")


@pytest.mark.parametrize("body", [b"", b"0123456789"], ids=len)
def test_cut_at_every_offset(box, body):
    """Two pieces with a pause between them, cut at each byte and so at each record boundary."""
    whole = request("POST", body=body, padding=1)
    for offset in range(1, len(whole)):
        connection = box.connect()
        connection.send(whole[:offset])
        if offset % 16 == 0:
            assert connection.silent(0.001)
        reply = connection.reply(whole[offset:])
        assert reply.body == expected(body, method="POST"), offset


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize(("params_step", "step"), [(1, 1), (7, 3), (100, 65535)])
def test_many_small_records(box, params_step, step, padding):
    body = random.Random(1).randbytes(700)
    reply = box.ask("POST", body=body, params_step=params_step, step=step, padding=padding)
    assert reply.body == expected(body, method="POST")


@pytest.mark.parametrize("size", [126, 127, 128, 129, 255, 256, 8192, 60000])
def test_long_names_and_values(box, size):
    more = {"HTTP_" + "N" * (size - 5): "short", "HTTP_V": "v" * size, "HTTP_" + "B" * (size - 5): "b" * size}
    parameters = block(environ(**more))
    data = begin() + in_records(PARAMS, parameters, 65535) + record(STDIN)
    reply = box.raw(data)
    assert reply.ended
    assert reply.body == expected(**more)


def test_parameters_of_a_full_record(box):
    """The largest block that nginx can send: exactly 65,535 bytes in one record."""
    missing = 65535 - len(block(environ(HTTP_FILL="")))
    more = {"HTTP_FILL": "f" * (missing - 3)}
    parameters = block(environ(**more))
    assert len(parameters) == 65535
    assert box.raw(begin() + record(PARAMS, parameters) + record(PARAMS) + record(STDIN)).body == expected(**more)


def test_empty_values_and_latin1(box):
    more = {"HTTP_EMPTY": "", "HTTP_BYTES": "".join(map(chr, range(1, 256)))}
    assert box.ask(**more).body == expected(**more)


def test_the_last_of_two_equal_names_counts(box):
    data = begin() + in_records(PARAMS, block(environ(HTTP_A="1")) + fc.pair("HTTP_A", "2")) + record(STDIN)
    assert box.raw(data).body == expected(HTTP_A="2")


def test_oversize_parameters_are_refused(box):
    more = {f"HTTP_X{n}": "x" * 60000 for n in range(6)}
    assert len(block(environ(**more))) > fastcgi.LARGEST_PARAMS
    reply = box.ask(**more)
    assert reply.raw == b""
    box.still_serves()


GOOD = request()
REFUSED = {
    "version 0": begin(version=0) + GOOD[16:],
    "version 2": begin(version=2) + GOOD[16:],
    "authorizer role": begin(role=2) + GOOD[16:],
    "filter role": begin(role=3) + GOOD[16:],
    "role 0": begin(role=0) + GOOD[16:],
    "role 257": begin(role=257) + GOOD[16:],
    "request id 0": begin(request=0) + GOOD[16:],
    "request id 2": begin(request=2) + GOOD[16:],
    "request id 257": begin(request=257) + GOOD[16:],
    "params of another request": begin() + record(PARAMS, block(environ()), request=2) + record(PARAMS) + record(STDIN),
    "params of version 3": begin() + record(PARAMS, block(environ()), version=3) + record(PARAMS) + record(STDIN),
    "no begin": GOOD[16:],
    "begin twice": begin() + GOOD,
    "short begin": record(1, b"\0\1") + GOOD[16:],
    "long begin": record(1, struct.pack(">HB5x", 1, 1) + b"\0") + GOOD[16:],
    "stdin before params": begin() + record(STDIN) + GOOD[16:],
    "abort": begin() + record(2) + GOOD[16:],
    "unknown type": begin() + record(77, b"?") + GOOD[16:],
    "no parameters at all": begin() + record(PARAMS) + record(STDIN),
    "no method": begin() + in_records(PARAMS, block(environ(method=None))) + record(STDIN),
    "a name longer than its record": begin() + in_records(PARAMS, b"\x05\x01ab") + record(STDIN),
    "a value longer than its record": begin() + in_records(PARAMS, block(environ()) + b"\x01\x7fab") + record(STDIN),
    "a 4-byte length cut": begin() + in_records(PARAMS, block(environ()) + b"\xff\xff") + record(STDIN),
    "a name without a value's length": begin() + in_records(PARAMS, block(environ()) + b"\x03") + record(STDIN),
    "a length of two gigabytes": begin()
    + in_records(PARAMS, block(environ()) + b"\x01\xff\xff\xff\xffa")
    + record(STDIN),
    "HTTP": b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n",
    "a uwsgi packet": b"\0\x10\0\0" + b"\x0e\0REQUEST_METHOD\x03\0GET",
    "newlines": b"\n" * 40,
    "zeros": bytes(4096),
    "ones": b"\xff" * 4096,
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_without_an_answer(box, name):
    connection = box.connect()
    connection.send(REFUSED[name])
    connection.socket.shutdown(socket.SHUT_WR)
    assert connection.reply().raw == b""
    assert box.messages.at("WARNING") == []  # any client of the socket could fill the log otherwise
    box.still_serves()


@pytest.mark.parametrize("seed", range(2000 if FULL else 60))
def test_garbage(box, seed):
    """Random bytes, and good requests with random bytes changed: an answer or an end, never a hang or a dead thread."""
    source = random.Random(seed)
    if seed % 3 == 0:
        data = source.randbytes(source.randrange(1, 600))
    else:
        data = bytearray(request("POST", body=source.randbytes(40), padding=seed % 4))
        for _ in range(source.randrange(1, 6)):
            data[source.randrange(len(data))] = source.randrange(256)
    connection = box.connect()
    connection.send(bytes(data))
    connection.socket.shutdown(socket.SHUT_WR)
    reply = connection.reply()
    assert not reply.cut
    box.still_serves()


@pytest.mark.parametrize("body", [b"", b"0123456789" * 3], ids=len)
def test_early_close_at_every_offset(box, body):
    whole = request("POST", body=body, padding=2)
    for offset in range(len(whole)):
        connection = box.connect()
        connection.send(whole[:offset])
        connection.close()  # asserts that the thread comes back
    box.still_serves()


def test_empty_connection(box):
    box.connect().close()
    assert box.messages.at("DEBUG") == []
    box.still_serves()


def test_close_while_the_response_is_sent():
    def large(environ, start_response):
        start_response("200 OK", [])
        return [b"x" * 5_000_000] if environ["PATH_INFO"] == "/large" else [b"hello"]

    box = Box(large)
    connection = box.connect()
    connection.send(request(path="/large"))
    connection.read_until(b"Status")
    connection.close()
    assert box.messages.at("WARNING") == []
    box.still_serves()


@pytest.mark.parametrize("length", ["", "-1", "+5", " 5", "5 ", "1e3", "0x5", "\xb2", "99999999999999999999", "5, 5"])
def test_content_length_that_is_no_number(box, length):
    """nginx never sends these; the thread must survive them."""
    data = begin() + in_records(PARAMS, block(environ("POST", CONTENT_LENGTH=length))) + in_records(STDIN, b"12345")
    connection = box.connect()
    connection.send(data)
    connection.socket.shutdown(socket.SHUT_WR)
    connection.reply()
    box.still_serves()


@pytest.mark.parametrize("sent", [0, 1, 9])
def test_body_shorter_than_content_length(box, sent):
    """A cut body is never given to the application as a whole one."""
    data = begin() + in_records(PARAMS, block(environ("POST", CONTENT_LENGTH="10"))) + in_records(STDIN, b"x" * sent)
    reply = box.raw(data)
    assert (reply.status or "500")[0] in "45"
    box.still_serves()


def test_body_longer_than_content_length_is_bounded(box):
    data = begin() + in_records(PARAMS, block(environ("POST", CONTENT_LENGTH="4"))) + in_records(STDIN, b"abcdEVIL" * 4)
    assert box.raw(data)["X-Length"] == "4"


def test_stdin_without_content_length_is_not_read_as_a_body(box):
    data = begin() + in_records(PARAMS, block(environ("POST"))) + in_records(STDIN, b"EVIL" * 9)
    assert box.raw(data)["X-Length"] == "0"


def test_loop_accepts_serves_and_stops(tmp_path):
    """The thread's life on a real listener: many connections at once, a stop that wakes an idle thread."""
    box = Box(echo)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen(64)
    listener.setblocking(False)
    slots = [fc.Slot(fc.Board(1).memory, 0) for _ in range(3)]
    threads = [threading.Thread(target=box.server.loop, args=(listener, slot), daemon=True) for slot in slots]
    for thread in threads:
        thread.start()
    clients = []
    for number in range(30):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(fc.DEADLINE)
        client.connect(str(tmp_path / "s"))
        client.sendall(request("POST", body=b"%d" % number))
        clients.append(client)
    for number, client in enumerate(clients):
        data = b""
        while piece := client.recv(65536):
            data += piece
        client.close()
        assert fc.Reply(data).body == expected(b"%d" % number, method="POST")
    box.server.stop()
    for thread in threads:
        thread.join(fc.DEADLINE)
        assert not thread.is_alive()
    listener.close()
    assert [slot.started for slot in slots] == [0.0] * 3


def test_what_accept_returned_is_served_though_a_stop_came(tmp_path):
    entered, leave = threading.Event(), threading.Event()

    def slow(environ, start_response):
        entered.set()
        leave.wait(fc.DEADLINE)
        start_response("200 OK", [])
        return [b"done"]

    box = Box(slow)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen(4)
    listener.setblocking(False)
    thread = threading.Thread(target=box.server.loop, args=(listener, fc.Slot(fc.Board(1).memory, 0)), daemon=True)
    thread.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(fc.DEADLINE)
        client.connect(str(tmp_path / "s"))
        client.sendall(request())
        assert entered.wait(fc.DEADLINE)
        box.server.stop()
        leave.set()
        data = b""
        while piece := client.recv(65536):
            data += piece
    assert fc.Reply(data).body == b"done"
    thread.join(fc.DEADLINE)
    assert not thread.is_alive()
    listener.close()


def test_the_quick_way_and_the_long_way_agree():
    """quick_params knows nginx's own shape only; for all else it must say None, never something else than begin()."""
    for body in (b"", b"12345"):
        for padding in (0, 1, 7):
            whole = request("POST", body=body, padding=0)
            padded = begin() + record(PARAMS, block(environ("POST", body=body)), padding) + whole[-(16 + len(body)) :]
            for data in (whole, padded, whole[:-1], whole[:30], whole + b"more"):
                quick = fastcgi.quick_params(data)
                pieces = iter([])
                if quick is not None:
                    records = fastcgi.Records(lambda size, pieces=pieces: next(pieces, b""), data)
                    assert records.begin() == quick[0]
                    assert records._buffer[records._position :] == data[quick[1] :]


def test_nginx_own_shape_takes_the_quick_way():
    data = request(step=65535)
    block_, position = fastcgi.quick_params(data)
    assert block_ == block(environ())
    assert fastcgi.has_no_body(data, position)
    data = request("POST", body=b"x")
    assert not fastcgi.has_no_body(data, fastcgi.quick_params(data)[1])


@pytest.mark.parametrize("length", [0, 1, 65534, 65535, 65536, 131071, 300_000])
def test_stdout_records(length):
    content = random.Random(length).randbytes(length)
    data = fastcgi.stdout(content)
    reply = fc.Reply(data) if length else None
    assert data == b"" if reply is None else b"".join(part for _, part in reply.records) == content
    assert all(part for _, part in (reply.records if reply else []))  # an empty one would end the stream


def test_a_slow_request_does_not_hold_up_the_others(tmp_path):
    """The leader's request lasts: the watch lets a deputy lead, and no more than a few ticks pass."""
    leave = threading.Event()

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            leave.wait(fc.DEADLINE)
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]

    box = Box(application)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen(64)
    listener.setblocking(False)
    threads = [threading.Thread(target=box.server.leadership.watch, daemon=True)]
    for _ in range(3):
        slot = fc.Slot(fc.Board(1).memory, 0)
        threads.append(threading.Thread(target=box.server.loop, args=(listener, slot), daemon=True))
    for thread in threads:
        thread.start()

    def connect(path):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(fc.DEADLINE)
        client.connect(str(tmp_path / "s"))
        client.sendall(request(path=path))
        return client

    def finish(client):
        data = b""
        while piece := client.recv(65536):
            data += piece
        client.close()
        return fc.Reply(data).body

    for _ in range(3):
        leave.clear()
        slow = [connect("/slow"), connect("/slow")]
        assert [finish(connect("/quick")) for _ in range(5)] == [b"/quick"] * 5
        leave.set()
        assert [finish(client) for client in slow] == [b"/slow"] * 2
    box.server.stop()
    for thread in threads:
        thread.join(fc.DEADLINE)
        assert not thread.is_alive()
    listener.close()


class TestBoard:
    """What a worker that was killed had to do is readable from the parent's side of the shared memory."""

    def test_running_requests_only(self):
        board = fc.Board(2)
        first, second = fc.Slot(board.memory, 0), fc.Slot(board.memory, 1)
        first.begin(block(environ("POST", "/pay", REQUEST_URI="/pay?card=4111")), -1)
        second.begin(block(environ(path="/" + "x" * 3000)), -1)
        lines = list(board.requests())
        assert lines[0] == "0123456789abcdef POST /pay"
        assert lines[1].startswith("0123456789abcdef GET /xxxxx")
        assert len(lines[1]) < 600
        first.end()
        assert len(list(board.requests())) == 1
        assert first.waiting(1e9) == 0

    def test_a_short_request_after_a_long_one(self):
        board = fc.Board(1)
        slot = fc.Slot(board.memory, 0)
        slot.begin(block(environ("DELETE", "/secret/path/of/the/last/request")), -1)
        slot.end()
        slot.begin(block({"REQUEST_METHOD": "GET", "REQUEST_URI": "/a"}), -1)
        assert list(board.requests()) == ["? GET /a"]

    @pytest.mark.parametrize("garbage", [b"", b"\x01", b"\xff" * 40, b"\x05\x05ab", bytes(600)])
    def test_garbage(self, garbage):
        board = fc.Board(1)
        slot = fc.Slot(board.memory, 0)
        slot.begin(garbage, -1)
        assert len(list(board.requests())) == 1
        assert slot.describe()

    def test_waiting(self):
        slot = fc.Slot(fc.Board(1).memory, 0)
        assert slot.waiting(5) == 0
        slot.begin(block(environ()), -1)
        assert slot.waiting(slot.started + 7) == 7
        slot.begun = True
        assert slot.waiting(slot.started + 7) == 0


def test_a_beginning_that_is_cut_is_not_taken_for_a_quick_one():
    whole = fastcgi._BEGIN[0].ljust(16, b"\0")[:16] + fastcgi._BEGIN[1] + b"\0\0\0\0"
    for length in range(len(whole)):
        assert fastcgi.quick_params(whole[:length]) is None
