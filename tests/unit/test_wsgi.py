"""The WSGI battery (PEP 3333): what the application sees and may do, and what nginx gets from it."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import contextlib
import io
import logging
import random
import sys
import threading
from wsgiref.validate import validator

import fastcgi_client as fc
import pytest
from fastcgi_client import Box, block, environ, in_records, record, request

from flagon.inside import context, hooks, logs
from flagon.inside.response import FileWrapper

PLAIN = [("Content-Type", "text/plain")]


def answer(*pieces, status="200 OK", headers=PLAIN):
    """An application that answers with a generator of these pieces; an exception among them is raised."""

    def application(environ, start_response):
        start_response(status, list(headers))
        for piece in pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    return application


def as_list(*pieces, status="200 OK", headers=PLAIN):
    def application(environ, start_response):
        start_response(status, list(headers))
        return list(pieces)

    return application


def seen(parameters=None, **named):
    """The environ that an application gets."""
    found = {}

    def application(environ, start_response):
        found.update(environ)
        start_response("204 No Content", [])
        return []

    reply = Box(application).ask(**named)
    assert reply.status == "204 No Content"
    return found


# wsgiref's own referee


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("kind", [as_list, answer])
@pytest.mark.parametrize("pieces", [(b"hello",), (b"hel", b"lo"), (b"",), ()])
def test_wsgiref_validate(method, kind, pieces):
    @validator
    def application(environ, start_response):
        environ["wsgi.input"].read(3)
        environ["wsgi.errors"].flush()
        for line in environ["wsgi.input"]:
            assert line
        return kind(*pieces)(environ, start_response)

    box = Box(application)
    reply = box.ask(method, body=b"a\nb\nc" if method == "POST" else b"")
    assert box.messages.at("WARNING") == []
    assert reply.ended
    assert reply.status == "200 OK"
    assert reply.body == (b"" if method == "HEAD" else b"".join(pieces))


# environ


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("\tabc\t", "abc"), ("\t \tabc \t", "abc"), ("a\tb", "a\tb"), ("\t", ""), ("\t\x0babc", "\x0babc"), ("\xa0\t", "\xa0"),
    ],
)  # fmt: skip
def test_tabs_round_a_value_are_cut(given, value):
    """nginx cuts the blanks."""
    found = seen(HTTP_AUTHORIZATION=given, CONTENT_TYPE=given, HTTP_X_OTHER="as it is ")
    assert (found["HTTP_AUTHORIZATION"], found["CONTENT_TYPE"], found["HTTP_X_OTHER"]) == (value, value, "as it is")


@pytest.mark.parametrize(("given", "uri"), [("?x=1", "/?x=1"), ("/?x=1", "/?x=1"), ("/a", "/a"), ("?", "/?")])
def test_a_target_begins_with_a_slash(given, uri):
    found = seen(REQUEST_URI=given)
    assert found["REQUEST_URI"] == found["RAW_URI"] == uri


def test_types_and_keys():
    found = seen(path="/a b/\xc3\xa9", REQUEST_URI="/a%20b/%C3%A9?q=%C3%A9", HTTP_X_OTHER="\xff")
    assert type(found) is dict
    text = {name: value for name, value in found.items() if not name.startswith("wsgi.")}
    assert all(type(name) is str and type(value) is str for name, value in text.items())
    assert found["REQUEST_METHOD"] == "GET"
    assert found["PATH_INFO"] == "/a b/\xc3\xa9"
    assert found["SCRIPT_NAME"] == ""
    assert found["QUERY_STRING"] == "q=%C3%A9"
    assert found["REQUEST_URI"] == found["RAW_URI"] == "/a%20b/%C3%A9?q=%C3%A9"
    assert found["REMOTE_ADDR"] == "192.0.2.7"
    assert found["SERVER_PORT"] == "80"
    assert found["HTTP_X_OTHER"] == "\xff"
    assert found["wsgi.version"] == (1, 0)
    assert found["wsgi.url_scheme"] == "http"
    assert found["wsgi.multithread"] is True
    assert found["wsgi.multiprocess"] is True
    assert found["wsgi.run_once"] is False
    assert hasattr(found["wsgi.errors"], "write")
    assert "CONTENT_LENGTH" not in found


def test_scheme_is_nginx_word():
    assert seen(**{"wsgi.url_scheme": "https"})["wsgi.url_scheme"] == "https"


def test_each_request_has_an_environ_of_its_own():
    def application(environ, start_response):
        count = environ.setdefault("seen.before", 0)
        environ["seen.before"] = 1
        start_response("200 OK", [])
        return [b"%d" % count]

    box = Box(application)
    assert [box.ask().body for _ in range(2)] == [b"0", b"0"]


@pytest.mark.parametrize("deed", ["close", "wrapper", "write"])
def test_what_one_request_does_to_its_empty_input_does_not_reach_the_next(deed):
    """io.TextIOWrapper(environ["wsgi.input"]) closes it when it is collected."""

    def application(environ, start_response):
        body = environ["wsgi.input"].read()
        if deed == "close":
            environ["wsgi.input"].close()
        elif deed == "write":
            with contextlib.suppress(Exception):
                environ["wsgi.input"].write(b"a secret of this request")
                environ["wsgi.input"].seek(0)
        else:
            with contextlib.suppress(AttributeError):
                io.TextIOWrapper(environ["wsgi.input"]).close()
        start_response("200 OK", [])
        return [b"read:" + body]

    box = Box(application)
    assert [box.ask().body for _ in range(2)] == [b"read:", b"read:"]


# wsgi.input

BODIES = {
    "empty": b"",
    "one byte": b"x",
    "newline": b"\n",
    "lines": b"one\ntwo\n\nthree",
    "ends with newline": b"one\ntwo\n",
    "carriage returns": b"a\r\nb\rc\n",
    "no newline": b"x" * 70_000,
    "long lines": (b"y" * 65_530 + b"\n") * 3 + b"z",
    "random": random.Random(3).randbytes(150_000),
}
READERS = {
    "read()": lambda file: file.read(),
    "read(-1)": lambda file: file.read(-1),
    "read(None)": lambda file: file.read(None),
    "read(1<<40)": lambda file: file.read(1 << 40),
    "readlines": lambda file: b"".join(file.readlines()),
    "readlines(10)": lambda file: b"".join(iter(lambda: b"".join(file.readlines(10)), b"")),
    "iter": lambda file: b"".join(file),
    "readline": lambda file: b"".join(iter(file.readline, b"")),
    "readline(-1)": lambda file: b"".join(iter(lambda: file.readline(-1), b"")),
    "readline(7)": lambda file: b"".join(iter(lambda: file.readline(7), b"")),
    "read(1000)": lambda file: b"".join(iter(lambda: file.read(1000), b"")),
    "read(65537)": lambda file: b"".join(iter(lambda: file.read(65537), b"")),
    "mixed": lambda file: file.read(2) + file.readline() + file.readline(3) + b"".join(file.readlines(1)) + file.read(),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", BODIES)
def test_every_way_to_read(name, reader):
    got, after = [], []

    def application(environ, start_response):
        file = environ["wsgi.input"]
        got.append(READERS[reader](file))
        after.extend([file.read(), file.read(5), file.readline(), file.readlines()])
        start_response("204 No Content", [])
        return []

    assert Box(application).ask("POST", body=BODIES[name]).ended
    assert got == [BODIES[name]]
    assert after == [b"", b"", b"", []]  # past the end: empty, as PEP 3333 wants


@pytest.mark.parametrize("calls", [
    [("readline", 3), ("readline", 0), ("read", 0), ("readline",), ("read", 4), ("readlines", 1), ("read",)],
    [("readlines", 4), ("readlines", 0)],
    [("read", 3), ("read", 1), ("read", 2), ("readline", 2), ("read", 3)],
    [("readline",), ("readline",), ("readlines",)],
])  # fmt: skip
def test_the_same_answers_as_a_file(calls):
    body = b"first line\nsecond\n\nfourth line without end"
    pairs = []

    def application(environ, start_response):
        reference = io.BytesIO(body)
        for name, *arguments in calls:
            pairs.append((getattr(environ["wsgi.input"], name)(*arguments), getattr(reference, name)(*arguments)))
        start_response("204 No Content", [])
        return []

    Box(application).ask("POST", body=body, step=5)
    assert len(pairs) == len(calls)
    assert all(ours == theirs for ours, theirs in pairs), pairs


def test_a_body_beyond_a_megabyte_by_pieces():
    """Read as it comes: the application has the first piece before the last one was sent."""
    body = random.Random(8).randbytes(1_500_000)
    got = []
    first = threading.Event()

    def application(environ, start_response):
        while piece := environ["wsgi.input"].read(100_000):
            got.append(piece)
            first.set()
        start_response("200 OK", [])
        return [b"done"]

    whole = request("POST", body=body, step=30_000)
    connection = Box(application).connect()
    connection.send(whole[:200_000])
    assert first.wait(fc.DEADLINE)
    assert connection.reply(whole[200_000:]).body == b"done"
    assert b"".join(got) == body


def pieces_sent(connection, whole, count=10):
    """Send in pieces; nothing may come back before the last one: nginx stops sending once it has a response header."""
    step = len(whole) // count + 1
    for at in range(0, len(whole), step):
        assert connection.silent(0.005), "a response byte left before the request was read"
        connection.send(whole[at : at + step])


@pytest.mark.parametrize("kind", [as_list, answer])
def test_an_unread_body_is_drained_before_the_401(kind):
    connection = Box(kind(b"who are you?", status="401 Unauthorized")).connect()
    pieces_sent(connection, request("POST", body=b"x" * 1_000_000))
    reply = connection.reply()
    assert reply.ended
    assert (reply.status, reply.body) == ("401 Unauthorized", b"who are you?")


def test_a_half_read_body_is_drained():
    def application(environ, start_response):
        environ["wsgi.input"].readline()
        start_response("413 Too Large", PLAIN)
        return [b"enough"]

    connection = Box(application).connect()
    pieces_sent(connection, request("POST", body=b"x\n" * 300_000))
    assert connection.reply().body == b"enough"


@pytest.mark.parametrize("size", [50_000, 700_000])
@pytest.mark.parametrize("before", [0, 3, 40_000])
def test_a_generator_may_read_after_its_first_yield(tmp_path, size, before):
    body = random.Random(size).randbytes(size)

    def application(environ, start_response):
        start_response("200 OK", [])
        start = environ["wsgi.input"].read(before)
        yield b">"
        yield start + environ["wsgi.input"].readline()
        yield environ["wsgi.input"].read(100)
        yield from environ["wsgi.input"].readlines()
        assert environ["wsgi.input"].read() == b""

    connection = Box(application, spool=str(tmp_path)).connect()
    pieces_sent(connection, request("POST", body=body))
    reply = connection.reply()
    assert reply.ended
    assert reply.body == b">" + body
    assert list(tmp_path.iterdir()) == []


def test_what_a_readline_had_taken_too_much_is_still_there_after_the_first_yield():
    def application(environ, start_response):
        start_response("200 OK", [])
        first = environ["wsgi.input"].readline()
        yield b">"
        yield first
        yield environ["wsgi.input"].read()

    body = b"one\ntwo\n" + b"x" * 100_000
    assert Box(application).ask("POST", body=body).body == b">" + body


def test_a_large_rest_is_spooled_to_the_directory_given(tmp_path, monkeypatch):
    """On disk and not in memory: counted where the file is asked for."""
    import tempfile

    asked = []
    real = tempfile.SpooledTemporaryFile

    def spy(*arguments, **named):
        asked.append((arguments, named))
        return real(*arguments, **named)

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", spy)

    def application(environ, start_response):
        start_response("200 OK", [])
        yield b"begun "
        yield environ["wsgi.input"].read()[:3]

    assert Box(application, spool=str(tmp_path)).ask("POST", body=b"abc" * 200_000).body == b"begun abc"
    assert asked[0][1]["dir"] == str(tmp_path)
    assert asked[0][0][0] <= 1 << 20


def test_a_client_that_goes_away_within_its_body():
    trouble = []

    def application(environ, start_response):
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            trouble.append(error)
            raise
        start_response("200 OK", [])
        return [b"took a cut body for a whole one"]

    box = Box(application)
    connection = box.connect()
    connection.send(request("POST", body=b"x" * 5000)[:3000])
    connection.close()
    assert len(trouble) == 1


# start_response, write, exc_info


def test_write():
    def application(environ, start_response):
        write = start_response("200 OK", PLAIN)
        write(b"a")
        write(b"")
        write(b"b" * 70_000)
        return [b"c", b"d"]

    reply = Box(application).ask()
    assert reply.ended
    assert reply.body == b"a" + b"b" * 70_000 + b"cd"


def test_write_only():
    def application(environ, start_response):
        start_response("200 OK", [*PLAIN, ("Content-Length", "2")])(b"ok")
        return []

    reply = Box(application).ask()
    assert reply.ended
    assert reply.body == b"ok"


def test_exc_info_before_the_start_replaces_status_and_headers():
    def application(environ, start_response):
        start_response("200 OK", [("X-Old", "1")])
        try:
            raise KeyError("x")
        except KeyError:
            start_response("500 Sorry", [("X-New", "1")], sys.exc_info())
        return [b"sorry"]

    reply = Box(application).ask()
    assert reply.status == "500 Sorry"
    assert reply["X-Old"] is None
    assert (reply["X-New"], reply.body) == ("1", b"sorry")


def test_exc_info_after_the_start_is_raised_and_breaks_the_transfer():
    def application(environ, start_response):
        start_response("200 OK", PLAIN)
        yield b"begun"
        try:
            raise KeyError("the reason")
        except KeyError:
            start_response("500 Sorry", PLAIN, sys.exc_info())
        yield b"never"

    box = Box(application)
    reply = box.ask()
    assert not reply.ended
    assert reply.body == b"begun"
    assert any(record.exc_info and record.exc_info[0] is KeyError for record in box.messages.records)


def test_start_response_twice_is_an_error():
    def application(environ, start_response):
        start_response("200 OK", PLAIN)
        start_response("201 Created", PLAIN)
        return [b"x"]

    check_500(Box(application))


@pytest.mark.parametrize("result", [[], [b"x"], iter([b"x"]), iter([])])
def test_no_start_response_is_an_error(result):
    check_500(Box(lambda environ, start_response: result))


def test_start_response_may_come_with_the_first_iteration():
    def application(environ, start_response):
        yield b""
        start_response("200 OK", PLAIN)
        yield b"late"

    reply = Box(application).ask()
    assert (reply.status, reply.body, reply.ended) == ("200 OK", b"late", True)


def check_500(box, **named):
    reply = box.ask(**named)
    assert reply.status == "500 Internal Server Error"
    assert reply.ended
    assert reply["Content-Type"] == "text/plain; charset=utf-8"
    assert reply.body in (b"Internal Server Error\n", b"")
    assert box.messages.at("ERROR"), "a 500 without a word in the log"
    assert "0123456789abcdef" in box.messages.at("ERROR")[0], "no word of which request"
    return reply


# bodies and lengths


@pytest.mark.parametrize("pieces", [(), (b"",), (b"one",), (b"a", b"b"), (b"", b"a", b"", b"b")])
@pytest.mark.parametrize("kind", [as_list, answer])
def test_bodies(kind, pieces):
    reply = Box(kind(*pieces)).ask()
    assert reply.ended
    assert reply.body == b"".join(pieces)
    if kind is as_list:
        assert reply["Content-Length"] == str(len(reply.body))


@pytest.mark.parametrize("result", [(b"tu", b"ple"), [b"list"], {b"dict": 1}, {b"set"}], ids=lambda r: type(r).__name__)
def test_any_iterable(result):
    def application(environ, start_response):
        start_response("200 OK", [])
        return result

    assert Box(application).ask().body == b"".join(result)


@pytest.mark.parametrize("kind", [as_list, answer])
def test_head_has_no_body_and_keeps_its_length(kind):
    reply = Box(kind(b"hello", headers=[("Content-Length", "5")])).ask("HEAD")
    assert (reply.body, reply["Content-Length"], reply.ended) == (b"", "5", True)


def test_head_without_a_length_invents_none():
    """A list of nothing says nothing about the length that GET would have."""
    assert Box(as_list()).ask("HEAD")["Content-Length"] is None


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("pieces", [(), (b"not allowed",), (b"a", b"b")])
@pytest.mark.parametrize("kind", [as_list, answer])
def test_bodyless(kind, pieces, status):
    reply = Box(kind(*pieces, status=status)).ask()
    assert (reply.status, reply.body, reply.ended) == (status, b"", True)
    assert reply["Content-Length"] is None


@pytest.mark.parametrize("kind", [as_list, answer])
@pytest.mark.parametrize("pieces", [(b"hello world",), (b"hel", b"lo", b" world"), (b"hello", b" world")])
def test_content_length_too_short_cuts(kind, pieces):
    """nginx would take what is beyond for a broken upstream; the client was promised five bytes."""
    reply = Box(kind(*pieces, headers=[("Content-Length", "5")])).ask()
    assert (reply.body, reply.ended) == (b"hello", True)


@pytest.mark.parametrize("kind", [as_list, answer])
@pytest.mark.parametrize("pieces", [(b"hello",), (b"hel", b"lo"), (), (b"",)])
def test_content_length_too_long_is_a_broken_transfer(kind, pieces):
    box = Box(kind(*pieces, headers=[("Content-Length", "9")]))
    reply = box.ask()
    assert not reply.ended
    assert reply.body == b"".join(pieces)
    assert any("of 9 bytes" in message for message in box.messages.at("ERROR"))


@pytest.mark.parametrize("size", [65_000, 65_500, 65_528, 65_535, 65_536, 131_072, 1_000_000])
@pytest.mark.parametrize("kind", [as_list, answer])
def test_large_bodies_are_split(kind, size):
    body = random.Random(size).randbytes(size)
    reply = Box(kind(body)).ask()
    assert reply.ended
    assert reply.body == body
    assert all(content for kind_, content in reply.records if kind_ == fc.STDOUT)
    reply = Box(kind(body, body[:100])).ask()
    assert reply.body == body + body[:100]


def test_large_headers():
    headers = [(f"X-{n}", "v" * 9000) for n in range(9)]
    reply = Box(as_list(b"x", headers=headers)).ask()
    assert reply.ended
    assert len(reply.headers) == 10
    assert reply.body == b"x"


# iterating, closing, failing


class Result:
    """An iterable that counts its close() calls."""

    def __init__(self, *pieces):
        self.pieces = pieces
        self.closed = 0

    def __iter__(self):
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def close(self):
        self.closed += 1


@pytest.mark.parametrize("headers", [[], [("Content-Length", "1")], [("Content-Length", "99")], [("X", "a\nb")]])
@pytest.mark.parametrize(
    "pieces",
    [(), (b"a",), (b"a", b"b"), (ValueError("1"),), (b"a", ValueError("2")), ("text",), (b"a", 7)],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_close_is_called_once_whatever_happens(method, pieces, headers):
    result = Result(*pieces)

    def application(environ, start_response):
        start_response("200 OK", headers)
        return result

    Box(application).ask(method)
    assert result.closed == 1


def test_close_is_called_once_when_the_client_is_gone():
    result = Result(*[b"x" * 100_000] * 50)

    def application(environ, start_response):
        start_response("200 OK", [])
        return result

    box = Box(application)
    connection = box.connect()
    connection.send(request())
    connection.read_until(b"xxx")
    connection.close()
    assert result.closed == 1
    assert box.messages.at("ERROR") == []  # a client that leaves is no error of the application


def test_an_exception_in_close_is_logged_and_the_response_whole():
    class Bad(Result):
        def close(self):
            raise RuntimeError("close failed")

    def application(environ, start_response):
        start_response("200 OK", [])
        return Bad(b"whole")

    box = Box(application)
    reply = box.ask()
    assert (reply.body, reply.ended) == (b"whole", True)
    assert box.messages.at("ERROR")


ERRORS = [
    ValueError("x"), OSError("disk"), TimeoutError("database"), ConnectionResetError("redis"), BrokenPipeError("upstream"),
    MemoryError(), RecursionError(), StopIteration(), AssertionError(), ConnectionRefusedError("x"),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_exception_of_the_application_is_500_and_one_log_entry(error):
    """Also those that look like the client's: the application's own database may reset a connection."""

    def application(environ, start_response):
        raise error

    box = Box(application)
    check_500(box)
    assert box.messages.records[-1].exc_info[0] is type(error)


@pytest.mark.parametrize("error", ERRORS[:5], ids=lambda error: type(error).__name__)
def test_an_exception_before_the_first_chunk_is_500(error):
    check_500(Box(answer(error)))
    check_500(Box(answer(b"", error)))


@pytest.mark.parametrize("error", ERRORS[:5], ids=lambda error: type(error).__name__)
def test_an_exception_after_the_first_chunk_breaks_the_transfer(error):
    box = Box(answer(b"begun", error))
    reply = box.ask()
    assert (reply.status, reply.body, reply.ended) == ("200 OK", b"begun", False)
    assert box.messages.at("ERROR"), "a cut response without a word in the log"


@pytest.mark.parametrize("error", [SystemExit(1), SystemExit(), KeyboardInterrupt(), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("kind", ["call", "iteration"])
def test_a_base_exception_does_not_end_the_request_thread(error, kind):
    """sys.exit() in a view: threading would end this thread without a word, and the worker with it bit by bit."""
    fatal = [True]

    def application(environ, start_response):
        if fatal:
            fatal.clear()
            if kind == "call":
                raise error
            return answer(error)(environ, start_response)
        start_response("200 OK", [])
        return [b"alive"]

    box = Box(application)
    reply = box.ask()  # asserts that the thread did not die
    assert reply.status in (None, "500 Internal Server Error")
    assert box.messages.at("ERROR")
    assert box.ask().body == b"alive"


@pytest.mark.parametrize(
    "piece", ["text", 7, None, bytearray(b"x"), memoryview(b"x"), ["nested"]], ids=lambda piece: type(piece).__name__
)
@pytest.mark.parametrize("kind", [as_list, answer])
def test_pieces_that_are_no_bytes_are_500(kind, piece):
    if kind is answer and not piece:
        pytest.skip("an empty piece of a generator is passed over")
    check_500(Box(kind(piece)))


@pytest.mark.parametrize("result", [None, 7, "text"], ids=repr)
def test_results_that_are_no_iterables_of_bytes_are_500(result):
    def application(environ, start_response):
        start_response("200 OK", [])
        return result

    check_500(Box(application))


def test_code_after_the_last_piece_runs():
    ran = []

    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", "4")])
        yield b"whol"
        ran.append("after")

    reply = Box(application).ask()
    assert (reply.body, reply.ended, ran) == (b"whol", True, ["after"])


def test_file_wrapper():
    class File(io.BytesIO):
        count = 0

        def close(self):
            File.count += 1
            super().close()

    content = random.Random(2).randbytes(200_001)

    def application(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](File(content), 1000)

    reply = Box(application).ask()
    assert reply.ended
    assert reply.body == content
    assert File.count == 1


def test_file_wrapper_of_a_file_without_close():
    class Bare:
        def __init__(self):
            self.pieces = [b"ab", b"c"]

        def read(self, size):
            assert size == 2
            return self.pieces.pop(0) if self.pieces else b""

    wrapped = FileWrapper(Bare(), 2)
    assert not hasattr(wrapped, "close")
    assert list(wrapped) == [b"ab", b"c"]


# headers and status


HOP_BY_HOP = [
    "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
]  # fmt: skip


@pytest.mark.parametrize("name", HOP_BY_HOP)
@pytest.mark.parametrize("spelled", [str, str.lower, str.upper])
def test_hop_by_hop_headers_are_dropped_and_said_once(name, spelled):
    box = Box(as_list(b"x", headers=[(spelled(name), "chunked"), ("X-Kept", "1")]))
    for _ in range(3):
        reply = box.ask()
        assert reply[name] is None
        assert (reply["X-Kept"], reply.body, reply.ended) == ("1", b"x", True)
    assert len([message for message in box.messages.at("WARNING") if "hop-by-hop" in message]) == 1


def test_repeated_headers_stay_in_order():
    headers = [("Set-Cookie", "a=1"), ("X", "y"), ("Set-Cookie", "b=2")]
    assert Box(as_list(b"", headers=headers)).ask().headers[:3] == headers


def test_a_status_header_of_the_application_does_not_replace_the_status():
    reply = Box(as_list(b"x", headers=[("Status", "404 Not Found")])).ask()
    assert reply.status == "200 OK"
    assert reply["Status"] is None


BAD_VALUES = [
    "a\r\nX-Evil: 1",
    "a\nX-Evil: 1",
    "a\rb",
    "a\0b",
    "\x0b",
    "\x1f",
    "\x7f",
    "\u20ac",
    "\u0100",
    b"bytes",
    7,
    None,
]


@pytest.mark.parametrize("value", BAD_VALUES, ids=repr)
@pytest.mark.parametrize("kind", [as_list, answer])
def test_header_values_that_http_does_not_allow(kind, value):
    reply = check_500(Box(kind(b"x", headers=[("X-Good", "1"), ("X-Name", value)])))
    assert b"Evil" not in reply.raw
    assert reply["X-Good"] is None


@pytest.mark.parametrize(
    "name", ["", "a b", "a:b", "X\r\nEvil: 1", "X\0", "X\n", "\xe9", "\u20ac", b"X", 7, None, "X\t", ["X"]], ids=repr
)
def test_header_names_that_http_does_not_allow(name):
    for _ in range(2):  # a cache of good names must not learn a bad one
        reply = check_500(Box(as_list(b"x", headers=[(name, "1")])))
        assert b"Evil" not in reply.raw


@pytest.mark.parametrize("value", ["", " ", "tab\there", "\xe9\xff", "caf\xc3\xa9", "a: b", "x" * 9000])
def test_header_values_that_are_allowed(value):
    reply = Box(as_list(b"x", headers=[("X-Name", value)])).ask()
    assert reply.status == "200 OK"
    assert reply["X-Name"] == value


class Markup(str):
    """As markupsafe's, or an enum of strings: every other server takes it."""


@pytest.mark.parametrize("headers", [[("Location", Markup("/there"))], [(Markup("Location"), "/there")]])
def test_a_subclass_of_str_is_a_str(headers):
    assert Box(as_list(b"x", status=Markup("302 Found"), headers=headers)).ask()["Location"] == "/there"


@pytest.mark.parametrize("headers", [[("X",)], [("X", "1", "2")], ["X"], 7, [None]], ids=repr)
def test_headers_that_are_no_pairs(headers):
    def application(environ, start_response):
        start_response("200 OK", headers)
        return [b"x"]

    check_500(Box(application))


@pytest.mark.parametrize(
    "status", ["", "OK", "20 OK", "2000 OK", "200\r\nX-Evil: 1", "200 OK\r\nX-Evil: 1", "200 \0", 200, b"200 OK", None, "200OK", " 200 OK"],
    ids=repr,
)  # fmt: skip
def test_bad_status(status):
    reply = check_500(Box(as_list(b"x", status=status)))
    assert b"Evil" not in reply.raw


@pytest.mark.parametrize("status", ["200 OK", "200", "200 ", "418 I'm a teapot", "599 Custom", "404 Pas trouv\xe9"])
def test_good_status(status):
    reply = Box(as_list(b"x", status=status)).ask()
    assert (reply.status, reply.body) == (status, b"x")


def test_a_status_outside_latin1():
    check_500(Box(as_list(b"x", status="200 \u20ac")))


@pytest.mark.parametrize("length", ["", "-1", "+5", "5 5", "five", "\xb2", "1e1"], ids=repr)
@pytest.mark.parametrize("kind", [as_list, answer])
def test_a_content_length_that_is_no_number(kind, length):
    check_500(Box(kind(b"hello", headers=[("Content-Length", length)])))


# streams


def test_chunks_arrive_one_by_one():
    step = threading.Semaphore(0)

    def application(environ, start_response):
        start_response("200 OK", [])
        for number in range(4):
            yield b"<%d>" % number
            assert step.acquire(timeout=fc.DEADLINE)

    connection = Box(application).connect()
    connection.send(request())
    for number in range(4):
        connection.read_until(b"<%d>" % number)
        assert connection.silent(0.002)
        step.release()
    assert connection.reply().ended


@pytest.mark.parametrize(("headers", "expected"), [
    ([("Content-Type", "text/event-stream")], None),
    ([("Content-Type", "text/event-stream; charset=utf-8")], None),
    ([("content-type", "text/event-stream")], None),
    ([("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "yes")], "yes"),
    ([("X-Accel-Buffering", "yes"), ("Content-Type", "text/event-stream")], "yes"),
    ([("X-Accel-Buffering", "no")], "no"),
    ([("Content-Type", "text/html")], None),
    ([], None),
])  # fmt: skip
def test_buffering(headers, expected):
    """The application's word passes; none is added: nginx's pipe mode passes on at once what has come."""
    reply = Box(answer(b"data: 1\n\n", b"data: 2\n\n", headers=headers)).ask()
    assert reply["X-Accel-Buffering"] == expected
    assert reply.body == b"data: 1\n\ndata: 2\n\n"


class Streams:
    """An application whose streams wait for a word."""

    def __init__(self, headers):
        self.headers = headers
        self.leave = threading.Event()
        self.closed = 0

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/":
            start_response("200 OK", PLAIN)
            return [b"hello"]
        start_response("200 OK", self.headers)
        return self.stream()

    def stream(self):
        try:
            yield b"first"
            assert self.leave.wait(fc.DEADLINE)
            yield b"last"
        finally:
            self.closed += 1


@pytest.mark.parametrize("headers", [[("Content-Type", "text/event-stream")], [("X-Accel-Buffering", "no")]], ids=str)
def test_streams_beyond_the_limit_get_503(headers):
    application = Streams(headers)
    box = Box(application, streams_max=2)
    running = [box.connect() for _ in range(2)]
    for connection in running:
        connection.send(request(path="/stream"))
        connection.read_until(b"first")
    reply = box.ask(path="/stream")
    assert reply.status == "503 Service Unavailable"
    assert reply["Retry-After"].isdigit()
    assert reply["X-Accel-Buffering"] is None
    assert reply.ended
    assert b"first" not in reply.body
    assert application.closed == 1
    assert box.ask(path="/stream").status == "503 Service Unavailable"
    (said,) = [text for text in box.messages.at("WARNING") if "STREAMS_MAX" in text]  # one line a minute
    assert "STREAMS_MAX=2 unbuffered responses" in said
    box.still_serves()  # an ordinary response is no stream
    application.leave.set()
    for connection in running:
        reply = connection.reply()
        assert (reply.body, reply.ended) == (b"firstlast", True)
    assert box.server.streams == 0
    assert box.ask(path="/stream").body == b"firstlast"


def test_buffered_generators_are_not_counted_as_streams():
    application = Streams(PLAIN)
    box = Box(application, streams_max=1)
    running = [box.connect() for _ in range(3)]
    for connection in running:
        connection.send(request(path="/stream"))
        connection.read_until(b"first")
    application.leave.set()
    assert all(connection.reply().ended for connection in running)


@pytest.mark.parametrize("end", ["client", "exception"])
def test_a_stream_that_ends_badly_gives_its_place_back(end):
    def application(environ, start_response):
        start_response("200 OK", [("X-Accel-Buffering", "no")])
        yield b"first"
        if end == "exception":
            raise ValueError("x")
        while True:
            yield b"x" * 100_000

    box = Box(application, streams_max=1)
    for _ in range(3):
        connection = box.connect()
        connection.send(request())
        connection.read_until(b"first")
        connection.close()
    assert box.server.streams == 0


def test_the_slot_shows_a_stream_only_while_it_runs():
    application = Streams(PLAIN)
    connection = Box(application).connect()
    connection.send(request(path="/stream"))
    connection.read_until(b"first")
    slot = connection.slot
    assert slot.stream >= 0
    assert slot.begun
    application.leave.set()
    assert connection.reply().ended
    assert (slot.stream, slot.started) == (-1, 0.0)


# upgrades, request id, hooks


@pytest.mark.parametrize("word", ["websocket", "WebSocket", "WEBSOCKET"])
def test_websocket_upgrade_is_426(word):
    called = []

    def application(environ, start_response):
        called.append(1)
        return fc.hello(environ, start_response)

    box = Box(application)
    for _ in range(2):
        reply = box.ask(HTTP_UPGRADE=word, HTTP_CONNECTION="Upgrade")
        assert reply.status == "426 Upgrade Required"
        assert reply.ended
    assert called == []
    warnings = box.messages.at("WARNING")
    assert len(warnings) == 1
    assert "WORKER_CLASS=gthread" in warnings[0]
    assert box.ask(HTTP_UPGRADE="h2c").status == "200 OK"


def test_request_id_is_there_for_log_lines_and_gone_with_the_next_request():
    ids = []

    def application(environ, start_response):
        ids.append(context.request_id.get())
        line = logs.Formatter(True).format(logging.makeLogRecord({"msg": "x"}))
        assert f'"{ids[-1]}"' in line
        return fc.hello(environ, start_response)

    box = Box(application)
    box.ask(HTTP_X_REQUEST_ID="first-id-1")
    box.ask(HTTP_X_REQUEST_ID="second-id-2")
    assert ids == ["first-id-1", "second-id-2"]


def test_request_ids_of_two_threads_do_not_mix():
    barrier = threading.Barrier(2, timeout=fc.DEADLINE)

    def application(environ, start_response):
        barrier.wait()
        start_response("200 OK", [])
        return [context.request_id.get().encode()]

    box = Box(application)
    both = [box.connect(), box.connect()]
    for number, connection in enumerate(both):
        connection.send(request(HTTP_X_REQUEST_ID=f"id-number-{number}"))
    assert [connection.reply().body for connection in both] == [b"id-number-0", b"id-number-1"]


def test_request_id_does_not_outlive_its_request():
    """A thread serves many requests; the second one here has no id."""
    found = []
    server_side = Box(lambda e, s: (found.append(context.request_id.get()), s("204 No Content", []), [])[2])
    import socket

    def two():
        for identity in ("an-id-of-before", None):
            ours, theirs = socket.socketpair()
            ours.sendall(request(HTTP_X_REQUEST_ID=identity))
            server_side.server.serve_once(theirs.detach(), fc.Slot(fc.Board(1).memory, 0))
            ours.close()

    thread = threading.Thread(target=two)
    thread.start()
    thread.join(fc.DEADLINE)
    assert found == ["an-id-of-before", ""]


def test_hooks_are_called_around_each_request():
    calls = []
    box = Box(
        before=lambda environ: calls.append(("before", environ["PATH_INFO"])),
        after=lambda environ, response: calls.append(("after", response.status)),
        on_request=lambda: calls.append("counted"),
    )
    box.ask(path="/x")
    assert calls == [("before", "/x"), ("after", "200 OK"), "counted"]


def test_the_after_hook_is_called_when_the_application_fails():
    calls = []
    box = Box(answer(ValueError("x")), after=lambda environ, response: calls.append(response.status))
    box.ask()
    assert calls == ["500 Internal Server Error"]


def test_a_hook_that_raises_is_500_before_and_harmless_after():
    """As in gunicorn's own workers."""

    def fail(*_):
        raise ValueError("in a hook")

    box = Box(after=fail)
    assert (box.ask().body, bool(box.messages.at("ERROR"))) == (b"hello", True)
    check_500(Box(before=fail))


def test_gunicorn_hooks_are_called_only_if_set():
    from gunicorn.config import Config

    cfg = Config()
    assert hooks.users_hook(cfg, "pre_request") is None
    assert hooks.users_hook(cfg, "post_request") is None

    def pre(worker, req):
        pass

    def post(worker, req, environ, resp):
        pass

    cfg.set("pre_request", pre)
    cfg.set("post_request", post)
    assert hooks.users_hook(cfg, "pre_request") is pre
    assert hooks.users_hook(cfg, "post_request") is post


def test_what_hooks_read_of_a_request():
    found = environ("POST", "/a", REQUEST_URI="/a?b=c", HTTP_ACCEPT_LANGUAGE="de")
    read = hooks.Request(found)
    assert (read.method, read.path, read.query, read.uri) == ("POST", "/a", "b=c", "/a?b=c")
    assert ("ACCEPT-LANGUAGE", "de") in read.headers


def test_two_requests_at_once_do_not_mix():
    def application(environ, start_response):
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("X-Path", environ["PATH_INFO"])])
        return [body]

    box = Box(application)
    parts = {f"/{n}": random.Random(n).randbytes(80_000) for n in range(8)}
    replies = {}

    def ask(path, body):
        replies[path] = box.ask("POST", path, body)

    threads = [threading.Thread(target=ask, args=item) for item in parts.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(fc.DEADLINE)
    assert {path: (reply["X-Path"], reply.body) for path, reply in replies.items()} == {
        path: (path, body) for path, body in parts.items()
    }


def test_the_request_line_of_a_bare_begin_is_not_needed():
    """Parameters in any order, and some that nginx was not told to send, are no trouble."""
    values = environ(HTTP_X_REQUEST_ID=None)
    shuffled = dict(sorted(values.items(), reverse=True))
    data = fc.begin() + in_records(fc.PARAMS, block(shuffled)) + record(fc.STDIN)
    assert Box().raw(data).body == b"hello"
