"""Every program's bytes -> lines and records: nothing torn, nothing lost, nothing invalid, and no crash of the box."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import errno
import json
import os
import random
import re
import threading

import pytest
from fakes import view_of_os

from flagon import logs
from flagon.logs import Lines, Output, says_little


class Memory(Output):
    """Output to a list."""

    def __init__(self, as_json=True, level="info"):
        super().__init__(as_json, level, -1)
        self.written = []

    def write(self, data):
        self.written.append(data)

    @property
    def lines(self):
        return b"".join(self.written).split(b"\n")[:-1]

    @property
    def records(self):
        return [json.loads(line) for line in self.lines]

    @property
    def messages(self):
        return [record["message"] for record in self.records]


def fed(*pieces, logger="app", as_json=True, close=True):
    output = Memory(as_json)
    lines = Lines(output, logger)
    for piece in pieces:
        lines.feed(piece)
    if close:
        lines.close()
    return output


@pytest.mark.parametrize("pieces", [
    [b"one\ntwo\nthree\n"], [b"one\ntwo\nthree"], [b"o", b"n", b"e\n", b"two\nth", b"ree\n"], [b"one\n\n\ntwo\n", b"three\n"],
    [b"one\ntwo\nthree", b"\n"], [b"", b"one\ntwo\n", b"", b"three\n"], [b"one\r\ntwo\r\nthree\r\n"],
])  # fmt: skip
def test_pieces(pieces):
    assert fed(*pieces).messages == ["one", "two", "three"]


@pytest.mark.parametrize("seed", range(20))
def test_any_cut_gives_the_same_lines(seed):
    source = random.Random(seed)
    text = "".join(source.choice(["a", "\n", "\xe9", "\u20ac", "{", "}", '"']) for _ in range(300)) + "end\n"
    data = text.encode()
    cuts = sorted(source.sample(range(len(data)), 30))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    output = fed(*pieces)
    assert [json.loads(line).get("message") for line in output.lines if line != b"{}"] == [
        line for line in text.split("\n") if line and line != "{}"
    ]


def test_a_line_without_its_end_waits_for_it():
    output = fed(b"half", close=False)
    assert output.lines == []


def test_close_writes_the_last_words_once():
    output = Memory()
    lines = Lines(output, "app")
    lines.feed(b"last words")
    lines.close()
    lines.close()
    assert output.messages == ["last words"]


@pytest.mark.parametrize("size", [4096, 4097, 65536, 200_000, logs.LONGEST_LINE])
def test_long_lines_are_not_torn(size):
    pieces = [b"x" * size + b"\n"]
    data = pieces[0]
    output = fed(*[data[at : at + 8192] for at in range(0, len(data), 8192)])
    assert output.messages == ["x" * size]


def test_a_line_that_never_ends_does_not_fill_memory():
    output = Memory()
    lines = Lines(output, "app")
    for _ in range(40):
        lines.feed(b"y" * 65536)
        assert len(lines.rest) <= logs.LONGEST_LINE + 65536
    lines.close()
    assert "".join(output.messages) == "y" * 40 * 65536


@pytest.mark.parametrize("line", [
    b'{"message":"x"}', b"{}", b'{"a": [1, {"b": null}], "c": "\xc3\xa9"}', b'{"time":"now","message":"x","agent":"y"}', b'{"a":1} ',
])  # fmt: skip
@pytest.mark.parametrize("as_json", [True, False])
def test_json_objects_pass_as_they_are(line, as_json):
    assert fed(line + b"\n", as_json=as_json).lines == [line]


@pytest.mark.parametrize("line", [
    b"[1]", b'"x"', b"1", b"null", b"{", b"{x}", b'{"a":1', b'{"a":1} tail', b"true", b"{'a': 1}", b' {"a":1}', b"plain", b"\x1b[31mred",
    b'{"time":"cut', b'{"time":"x" and no more "}',
])  # fmt: skip
def test_everything_else_is_wrapped(line):
    (record,) = fed(line + b"\n").records
    assert record["message"] == line.decode()
    assert (record["level"], record["severity"], record["logger"]) == ("info", "INFO", "app")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", record["time"])


@pytest.mark.parametrize("line", [b"\xff\xfe", b"caf\xe9", b"\x80abc\xf0\x9f", b"\0\x01\x02", b"\xed\xa0\x80"])
@pytest.mark.parametrize("as_json", [True, False])
def test_invalid_utf8_becomes_valid(line, as_json):
    output = fed(line + b"\n", as_json=as_json)
    (text,) = output.lines
    text.decode("utf-8")
    if as_json:
        assert output.messages == [line.decode("utf-8", "backslashreplace")]


@pytest.mark.parametrize("logger", ["app", "nginx"])
def test_a_json_line_with_invalid_utf8_becomes_valid(logger):
    """nginx's access line carries the client's User-Agent byte by byte."""
    (line,) = fed(b'{"time":"2026-11-22","message":"GET /","agent":"caf\xe9"}\n', logger=logger).lines
    json.loads(line.decode("utf-8"))


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":' + b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"a":' + b"[" * 60_000 + b"]" * 60_000 + b"}",
        b'{"a":' + b"9" * 10_000 + b"}",
    ],
)
def test_a_line_that_is_hard_to_parse_does_not_end_the_box(line):
    """supervisord's loop calls this: an exception here ends the container, and a client may choose what is logged."""
    output = fed(line + b"\n")
    assert len(output.lines) == 1


@pytest.mark.parametrize(("word", "level"), [
    ("debug", "debug"), ("info", "info"), ("notice", "info"), ("warn", "warning"), ("error", "error"), ("crit", "critical"),
    ("alert", "critical"), ("emerg", "critical"),
])  # fmt: skip
@pytest.mark.parametrize("as_json", [True, False])
def test_nginx_error_lines_get_their_level(word, level, as_json):
    line = f"2026/11/22 19:26:07 [{word}] 12#12: *3 connect() failed (111: Connection refused): more: text\n".encode()
    output = fed(line, logger="nginx", as_json=as_json)
    if as_json:
        (record,) = output.records
        assert (record["level"], record["severity"]) == (level, level.upper())
        assert record["message"] == "*3 connect() failed (111: Connection refused): more: text"
    else:
        assert f" {level} nginx *3 connect() failed (111: Connection refused): more: text" in output.lines[0].decode()


@pytest.mark.parametrize("word", ["emerg", "alert", "crit"])
def test_nginx_lines_before_its_log_is_open_get_their_level(word):
    """`nginx: [emerg] bind() to 0.0.0.0:80 failed` is why it did not start."""
    (record,) = fed(
        f"nginx: [{word}] bind() to 0.0.0.0:80 failed (98: Address in use)\n".encode(), logger="nginx"
    ).records
    assert record["level"] == "critical"
    assert "bind() to 0.0.0.0:80 failed (98: Address in use)" in record["message"]


@pytest.mark.parametrize(
    "line", [b"[error] x", b"a b [error]", b"2026/11/22 19:26:07 [strange] 1#1: x", b"2026/11/22 19:26:07 [error]"]
)
def test_other_nginx_lines_stay(line):
    assert fed(line + b"\n", logger="nginx").messages == [line.decode()]


def test_only_nginx_is_read_as_nginx():
    assert fed(b"2026/11/22 19:26:07 [error] 12#12: *3 x\n").records[0]["level"] == "info"


def test_text_passes_as_it_is_in_text_mode():
    assert fed(b"plain \xc3\xa9\r\n", as_json=False).lines == [b"plain \xc3\xa9"]


def test_an_access_line_in_text_mode_is_not_stamped_twice():
    line = b'2026-11-22T19:26:07+00:00 info access 192.0.2.1 "GET /" 200 5 0.001s 0123456789abcdef "curl"'
    assert fed(line + b"\n", logger="nginx", as_json=False).lines == [line]


def test_the_tap_is_shown_each_piece_s_lines():
    shown = []
    lines = Lines(Memory(), "app", shown.append)
    lines.feed(b"one\ntwo\n\nrest")
    lines.feed(b"")
    lines.close()
    assert shown == [[b"one", b"two"], [b"rest"]]


@pytest.mark.parametrize(
    ("line", "little"),
    [
        (
            b'{"time":"2026-11-26T17:10:21+00:00","level":"error","severity":"ERROR","logger":"access","message":"GET / 502"}',
            True,
        ),
        (b'{"time": "2026", "level": "info", "logger": "gunicorn.error", "message": "Booting"}', True),
        (b'{"time": "2026", "level": "error", "logger": "app", "message": "no luck"}', False),
        (b'2026-11-22T19:26:07+00:00 info access 192.0.2.1 "GET /" 200', True),
        (b'2026-11-22T19:26:07+00:00 error access 192.0.2.1 "GET /" 502', True),
        (b"2026-11-22T19:26:07.123+00:00 info flagon listening", True),
        (b"2026/11/22 19:26:07 [notice] 12#12: signal process started", True),
        (b"2026/11/22 19:26:07 [emerg] 12#12: bind() failed", False),
        (b"RuntimeError: no luck", False),
    ],
)
def test_which_lines_cannot_be_why_a_program_died(line, little):
    assert says_little(line) is little


@pytest.mark.parametrize(("level", "kept"), [
    ("debug", 5), ("info", 4), ("warning", 3), ("error", 2), ("critical", 1),
])  # fmt: skip
def test_log_level(level, kept):
    output = Memory(level=level)
    for word in logs.LEVELS:
        output.record("flagon", word, "x")
    assert [record["level"] for record in output.records] == list(logs.LEVELS[-kept:])


def test_a_record_is_one_line_whatever_it_says():
    for as_json in (True, False):
        output = Memory(as_json)
        output.record("flagon", "error", 'a "quoted" \u20ac \udcff text')
        assert len(output.lines) == 1
        output.lines[0].decode("utf-8")


def test_timestamps_have_the_zone_of_tz(monkeypatch):
    import time

    try:
        for zone, tail in (("UTC", "+00:00"), ("IST-5:30", "+05:30"), ("PST8", "-08:00")):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert logs.timestamp().endswith(tail)
    finally:
        monkeypatch.undo()
        time.tzset()


# the descriptor


def test_write_to_a_closed_descriptor_is_silent():
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    output = Output(True, descriptor=writing)
    output.record("flagon", "error", "x")
    assert output.closed
    output.record("flagon", "error", "y")


def test_write_to_a_pipe_that_nobody_reads_is_silent():
    reading, writing = os.pipe()
    os.close(reading)
    output = Output(True, descriptor=writing)
    output.record("flagon", "error", "x")  # Python ignores SIGPIPE: this is EPIPE
    assert output.closed
    os.close(writing)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EBADF, errno.EPIPE])
def test_any_error_of_the_descriptor_is_silent(monkeypatch, number):
    def write(descriptor, data):
        raise OSError(number, "x")

    view_of_os(monkeypatch, logs, write=write)
    Output(True).record("flagon", "error", "x")


def test_a_non_blocking_pipe_gets_everything_in_order():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data = random.Random(1).randbytes(300_000)
    got = []

    def read():
        while piece := os.read(reading, 50_000):
            got.append(piece)

    thread = threading.Thread(target=read)
    output = Output(True, descriptor=writing)
    timer = threading.Timer(0.02, thread.start)
    timer.start()
    output.write(data)
    os.close(writing)
    timer.join()
    thread.join(10)
    os.close(reading)
    assert b"".join(got) == data


def test_short_writes_are_continued(monkeypatch):
    got = []

    def write(descriptor, data):
        got.append(bytes(data[:3]))
        return len(got[-1])

    view_of_os(monkeypatch, logs, write=write)
    Output(True).write(b"0123456789")
    assert b"".join(got) == b"0123456789"
