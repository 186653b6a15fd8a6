"""Every program's bytes -> lines and records: nothing torn, nothing lost, nothing invalid, and no crash of the box."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import ast
import errno
import json
import logging
import os
import pathlib
import random
import re
import subprocess
import sys
import threading
import time

import pytest
from fakes import view_of_os

from flagon import logs
from flagon.inside.context import request_id
from flagon.inside.logs import Formatter
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


@pytest.mark.parametrize("what", ["a client request body", "an upstream response"])
def test_a_spooled_body_is_no_warning(what):
    line = f"2026/11/22 19:26:07 [warn] 12#12: *3 {what} is buffered to a temporary file /tmp/x, client: 1.2.3.4\n".encode()
    assert fed(line, logger="nginx").lines == []
    output = Memory(level="debug")
    Lines(output, "nginx").feed(line)
    assert output.records[0]["level"] == "debug"
    assert fed(line.replace(b"buffered", b"lost"), logger="nginx").records[0]["level"] == "warning"


def test_only_nginx_is_read_as_nginx():
    assert fed(b"2026/11/22 19:26:07 [error] 12#12: *3 x\n").records[0]["level"] == "info"


def test_text_passes_as_it_is_in_text_mode():
    assert fed(b"plain \xc3\xa9\r\n", as_json=False).lines == [b"plain \xc3\xa9"]


def test_an_access_line_in_text_mode_is_not_stamped_twice():
    line = b'2026-11-22T19:26:07+00:00 info access 192.0.2.1 "GET /" 200 5 0.001s 0123456789abcdef "curl"'
    assert marked(MARK + line + b"\n", logger="nginx", as_json=False).lines == [line]


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


# what cannot be forged

MARK = logs.new_mark()
FORGED = "2026-11-30T10:00:00.000+00:00 critical flagon FORGED"
# Text that a terminal obeys, or that a reader takes for the end of a line, and how it is shown.
CONTROLS = [
    ("\x1b]0;OWNED\x07\x1b[31m", r"\x1b]0;OWNED\x07\x1b[31m"), ("a\rb", r"a\x0db"), ("a\0b", r"a\x00b"), ("a\x7fb", r"a\x7fb"), ("a\x08b", r"a\x08b"),
    ("a\x9b31mb", r"a\x9b31mb"), ("a\x85b", r"a\x85b"), ("a\u2028b\u2029c", r"a\u2028b\u2029c"), ("a\u202eb\u202ac", r"a\u202eb\u202ac"),
    ("a\u2066b\u2069c", r"a\u2066b\u2069c"), ("a\x0b\x0cb", r"a\x0b\x0cb"), ("a\tb \u20ac \U0001f600", "a\tb \u20ac \U0001f600"),
]  # fmt: skip


def marked(*pieces, logger="gunicorn", as_json=True):
    """As `fed`, on a pipe on which our own formatter writes too."""
    output = Memory(as_json)
    output.mark = MARK
    lines = Lines(output, logger)
    for piece in pieces:
        lines.feed(piece)
    lines.close()
    return output


def formatted(message, *arguments, name="shop", as_json=False, fault=None, **extra):
    """A record of the application's logging, as it goes into the pipe."""
    caught = fault and (type(fault), fault, None)
    record = logging.LogRecord(name, logging.WARNING, "x.py", 1, message, arguments, caught)
    record.__dict__.update(extra)
    return (Formatter(as_json, MARK.decode()).format(record) + "\n").encode()


@pytest.fixture(autouse=True)
def no_request():
    """Other tests may have left one."""
    token = request_id.set(None)
    yield
    request_id.reset(token)


@pytest.mark.parametrize(("text", "shown"), CONTROLS)
@pytest.mark.parametrize("logger", ["gunicorn", "nginx", "worker", "10-hook.sh"])
def test_controls_are_shown_in_text_from_every_writer(logger, text, shown):
    data = text.encode()
    (plain,) = marked(data + b"\n", logger=logger, as_json=False).lines
    assert plain.decode() == shown
    (own,) = marked(formatted("said %s", text), as_json=False).lines
    assert own.decode().endswith(f" warning shop said {shown}")
    error = b"2026/11/22 19:26:07 [error] 1#1: *3 x, referrer: " + data + b"\n"
    (line,) = fed(error, logger="nginx", as_json=False).lines
    assert line.decode().endswith(f" error nginx *3 x, referrer: {shown}")
    output = Memory(as_json=False)
    output.record("supervisord", "error", text)
    assert output.lines[0].decode().endswith(f" error supervisord {shown}")


@pytest.mark.parametrize(("text", "_shown"), CONTROLS)
def test_a_json_line_has_no_bare_controls_and_means_the_same(text, _shown):
    given = {"event": text, "logger": "shop"}
    passed = fed(json.dumps(given, ensure_ascii=False).encode() + b"\n")
    own = marked(formatted(text, as_json=True))
    wrapped = fed(b"said " + text.encode() + b"\n")
    inside = json.dumps(text, ensure_ascii=False)[1:-1].encode()
    access = marked(MARK + b'{"time":"x","agent":"' + inside + b'"}\n', logger="nginx")
    for output in (passed, own, wrapped, access):
        (line,) = output.lines
        assert line.decode().isprintable()
    assert passed.records == [given]
    assert own.messages == [text]
    assert wrapped.messages == [f"said {text}"]
    assert access.records[0]["agent"] == text


@pytest.mark.parametrize("text", [
    FORGED, "2026-11-30T10:00:00+00:00 info access 192.0.2.1 \"GET /\" 200", "2026-11-30t10:00:00Z x", "2026-11-30 10:00 critical flagon FORGED",
    "\u200b" + FORGED, "\ufeff\u2060" + FORGED, "2026\u201111\u201130T10:00 critical flagon FORGED",
    "\u0662\u0660\u0662\u0666-\u0661\u0661-\u0663\u0660T\u0661\u0660:00 critical flagon",
    "\ufe0f" + FORGED, "\U000e0020" + FORGED, "\u2800\u3164 \xa0" + FORGED, " " + FORGED, "\u200b" * 5000 + FORGED, "\xa0\u200b" * 500 + FORGED, FORGED.replace("-", "\u200b-", 1),
    FORGED.replace("T", "\u0422", 1), FORGED.replace("2026", "\uff12026", 1),
])  # fmt: skip
def test_a_plain_line_cannot_be_taken_for_a_record(text):
    (line,) = marked(text.encode() + b"\n", as_json=False).lines
    assert line.decode() == "  " + text
    (line,) = marked(b"\r" + text.encode() + b"\n", as_json=False).lines
    assert line.decode() == r"\x0d" + text


@pytest.mark.parametrize("text", [
    "printed", "2026 was a good year", "2026-11-30 it was", "2026-11-30 10:00:00,123 - INFO - ready", "INFO:root:ready", '  File "x.py"', "12:00 error",
])  # fmt: skip
def test_other_plain_lines_stay_as_they_are_in_text(text):
    assert marked(text.encode() + b"\n", as_json=False).lines == [text.encode()]


def test_nginx_may_say_what_is_in_the_access_log_and_nothing_else():
    access = b'2026-11-30T10:00:00+00:00 info access 192.0.2.1 "GET /" 200 5 0.001s 01 "curl"'
    assert marked(MARK + access + b"\n", logger="nginx", as_json=False).lines == [access]
    assert marked(access + b"\n", logger="nginx", as_json=False).lines == [b"  " + access]
    assert marked(FORGED.encode() + b"\n", logger="nginx", as_json=False).lines == [b"  " + FORGED.encode()]
    record = b'{"time":"2026-11-30T10:00:00+00:00","logger":"access","message":"GET / 200"}'
    assert marked(MARK + record + b"\n", logger="nginx").lines == [record]
    (wrapped,) = marked(record + b"\n", logger="nginx").records
    assert (wrapped["logger"], wrapped["message"]) == ("nginx", record.decode())


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("other", [
    b"", FORGED.encode(), b'{"logger":"access","message":"FORGED"}', b'{"time":"x","logger":"access"}', b"{}", b"\x1b[31mred", "\u202e".encode(),
])  # fmt: skip
def test_a_piece_of_the_access_log_is_the_same_as_its_lines(other, as_json):
    """Many lines come in one piece, which passes as it is if each is nginx's own."""
    line = b'{"time":"x","agent":"y"}' if as_json else b'2026-11-30T10:00:00+00:00 info access 192.0.2.1 "GET /"'
    data = b"".join(MARK + line + b"\n" for _ in range(3)) + (other and other + b"\n") + MARK + line + b"\n"
    whole = marked(data, logger="nginx", as_json=as_json).lines
    piecewise = marked(*(data[at : at + 1] for at in range(len(data))), logger="nginx", as_json=as_json).lines
    assert [re.sub(rb'"time": ?"2[^"]*"', b"", one) for one in whole] == [
        re.sub(rb'"time": ?"2[^"]*"', b"", one) for one in piecewise
    ]
    assert whole.count(line) == 4
    assert len(whole) == 4 + bool(other)


def test_a_message_is_one_line_and_a_traceback_is_indented():
    own = marked(formatted("said %s", f"a\n{FORGED}"), as_json=False).lines
    assert len(own) == 1
    assert own[0].decode().endswith(f" warning shop said a\\n{FORGED}")
    first, *rest = marked(formatted("failed", fault=ValueError(f"a\n{FORGED}\r\x1b[1m")), as_json=False).lines
    assert first.endswith(b" warning shop failed")
    assert rest == [b"  ValueError: a", f"  {FORGED}\\x0d\\x1b[1m".encode()]
    output = Memory(as_json=False)
    output.record("flagon", "critical", f"cannot load\n{FORGED}\n")
    first, *rest = output.lines
    assert first.endswith(b" critical flagon cannot load")
    assert rest == [f"  {FORGED}".encode()]


def test_an_own_record_passes_and_its_mark_is_never_seen():
    for as_json in (True, False):
        data = formatted("one", as_json=as_json) + b"half " + formatted("two " + MARK.decode(), as_json=as_json)
        output = marked(data[:7], data[7:50], data[50:], as_json=as_json)
        assert MARK.strip() not in b"".join(output.lines)
        assert len(output.lines) == 3
    assert marked(formatted("\u20ac", as_json=True, name="flagon")).records[0]["logger"] == "flagon"


def test_extra_fields_are_no_way_to_another_logger():
    """`log.info("x", extra=request.json)`"""
    (record,) = marked(formatted("x", as_json=True, logger="flagon", level="critical", time="then", item=7)).records
    assert (record["logger"], record["level"], record["item"]) == ("shop", "warning", 7)
    assert record["time"] != "then"


@pytest.mark.parametrize("logger", [
    *sorted(logs.OURS), "gunicorn.access", "flagon.boot", " Flagon ", "ACCESS", "flagon\u200b", "\u200bflagon", "flagon\0", "\ufb02agon",
])  # fmt: skip
@pytest.mark.parametrize("claim", [
    '{"logger": %s, "level": "critical", "message": "FORGED"}', '{"message":"FORGED","logger":%s}', '{"logger":"shop","logger":%s}',
    '{"logger":%s,"logger":"shop"}', '{"l\\u006fgger":%s}', '{"a":{"logger":"shop"},"logger":%s} ', '{"Logger":%s}', '{"logger":%s}\r', '{"logger\u200b":%s}',
])  # fmt: skip
def test_a_printed_object_cannot_claim_a_logger_of_ours(logger, claim):
    for value in (json.dumps(logger), '"' + "".join(f"\\u{ord(letter):04x}" for letter in logger) + '"'):
        line = claim % value
        (record,) = marked(line.encode() + b"\n", logger="gunicorn").records
        assert record["message"] == line.rstrip("\r")
        assert (record["logger"], record["level"]) == ("gunicorn", "info")


@pytest.mark.parametrize("line", [
    '{"logger": "shop", "level": "critical"}', '{"logger": "flagonette"}', '{"event": "x", "logger": null}', '{"logger": ["flagon"]}', '{"message": "flagon"}',
    '{"nested": {"logger": "flagon"}}', '{"event":"sold","logger":"structlog.access"}', '{"a":1,\t"b":2}',
])  # fmt: skip
def test_a_programs_own_structured_records_pass(line):
    assert marked(line.encode() + b"\n").lines == [line.encode()]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-32-le"])
def test_an_object_in_another_encoding_is_no_record(encoding):
    """json.loads would guess it from the bytes, and pass on what is no UTF-8."""
    (record,) = marked('{"logger":"flagon","a":"\u1b41"}'.encode(encoding) + b"\n").records
    assert record["logger"] == "gunicorn"


@pytest.mark.parametrize("size", [logs.LONGEST_LINE - 1, logs.LONGEST_LINE, 2 << 20])
@pytest.mark.parametrize("as_json", [True, False])
def test_no_way_round_by_length(size, as_json):
    """What is cut begins a line of its own, with all that holds for one; a record of ours that was cut is a line, too."""
    claim = b'{"logger":"flagon","message":"FORGED"}'
    for attack in (FORGED.encode(), claim):
        output = Memory(as_json)
        output.mark = MARK
        lines = Lines(output, "gunicorn")
        for piece in (b"x" * size, attack, b"\n", formatted("y" * size + attack.decode(), as_json=as_json)):
            for at in range(0, len(piece), 65536):
                lines.feed(piece[at : at + 65536])
        lines.close()
        for line in output.lines:
            assert MARK.strip() not in line
            if as_json:
                assert json.loads(line)["logger"] in ("gunicorn", "shop")
            else:
                assert not line.startswith(FORGED.encode())


def test_no_way_round_by_an_unterminated_line():
    assert marked(b"x\n" + FORGED.encode(), as_json=False).lines == [b"x", b"  " + FORGED.encode()]
    assert marked(b'x\n{"logger":"flag', b'on"}').records[1]["logger"] == "gunicorn"
    assert marked(b'x\n{"logger":"flagon","a":"\xff"}').records[1]["logger"] == "gunicorn"


def test_a_torn_record_is_a_line():
    whole = formatted("y" * 10_000, as_json=True)
    for torn in (whole[:5000] + b"\n", whole[:5000] + b"}\n", MARK + b'{"a":1\n'):
        (record,) = marked(torn).records
        assert record["logger"] == "gunicorn"
        assert MARK.decode().strip() not in record["message"]


QUERIES = [
    "?token=SECRET", '?"token=SECRET', "?a b token=SECRET", "?a, token=SECRET", '?a HTTP/1.1", host: "SECRET', "??token=SECRET", '?x"?y" SECRET',
    "?\ttoken=SECRET", "?%22SECRET", '?", referrer: "http://x/", SECRET',
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("as_json", [True, False])
def test_no_query_string_whatever_it_holds(query, as_json):
    context = 'client: 192.0.2.1, server: localhost, request: "POST /x{} HTTP/1.1", host: "a", referrer: "http://r/{}"'
    for line in (context.format(query, ""), context.format("", query), context.format(query, query)):
        data = f"2026/11/22 19:26:07 [error] 1#1: *3 too large body: 9 bytes, {line}\n".encode()
        (shown,) = fed(data, logger="nginx", as_json=as_json).lines
        assert b"SECRET" not in shown
        assert b"too large body: 9 bytes, client: 192.0.2.1" in shown
        assert b"POST /x" in shown
    for text in (f"Error handling request /x{query}", f"STUCK /x{query}\nstack\nline"):
        (shown, *_) = marked(formatted(text, name="gunicorn.error", as_json=as_json), as_json=as_json).lines
        assert b"SECRET" not in shown
        assert b"/x?*" in shown


@pytest.mark.parametrize("text", [
    'too long header line: "Cookie: session=SECRET..."', 'duplicate header line: "Authorization: Basic SECRET", previous value: "Authorization: SECRET"',
    'invalid header: "Set-Cookie: SECRET\\x0d..." while reading', 'invalid header line: "X y SECRET',
])  # fmt: skip
def test_no_header_that_nginx_names_with_its_value(text):
    line = f"2026/11/22 19:26:07 [info] 1#1: *3 client sent {text}, client: x\n"
    (record,) = fed(line.encode(), logger="nginx").records
    assert "SECRET" not in record["message"]
    assert record["message"].endswith((': "Cookie: *"', ': "Authorization: *"', ': "Set-Cookie: *"', ': "X: *"'))


@pytest.mark.parametrize(
    "shape",
    [
        "?",
        '"',
        " ",
        ",",
        "?a",
        '", host: "',
        ' header line: "',
        "{",
        "[",
        "\\",
        "2026-11-30T",
        "\x1b",
        "\u202e",
        "\xff",
        "0",
        '{"logger":',
    ],
)
def test_any_shape_takes_linear_time(shape):
    """A client chooses it, and supervisord's loop reads it: 64 kB, for which a square takes seconds."""
    data = (shape * 65536)[:65536].encode()
    for line in (data, b"2026/11/22 19:26:07 [error] 1#1: *3 x, request: " + data, b'{"a":"' + data + b'"}'):
        for as_json in (True, False):
            for logger in ("nginx", "gunicorn"):
                began = time.process_time()
                fed(line + b"\n", logger=logger, as_json=as_json)
                says_little(line)
                assert time.process_time() - began < 0.3


def test_which_loggers_are_ours():
    """Every name that our code gives to a record or to a program's lines."""
    found = set()
    for path in pathlib.Path(logs.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            place = {"record": 0, "wrap": 0, "say": 0, "Lines": 1, "lines_of": 0, "run": 3}.get(name)
            if place is None or (name == "say" and len(node.args) != 3):  # of a reload's, or of a migration's
                continue
            if len(node.args) > place and isinstance(node.args[place], ast.Constant):
                found.add(node.args[place].value)
    assert {"flagon", "supervisord", "prestart", "pip", "gunicorn", "migrate"} <= found
    assert found <= logs.OURS
    text = (pathlib.Path(logs.__file__).parents[1] / "nginx.conf").read_text(encoding="utf-8")
    assert set(re.findall(r'"logger":"(\w+)"', text)) == {"access"} <= logs.OURS


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


OWN_HANDLERS = """
import json, logging, sys
from flagon.inside import logs
logs.set_up_root({"json_logs": True, "log_mark": "", "log_level": "info"})
class Custom(logging.Formatter):
    def format(self, record): return json.dumps({"mine": record.getMessage()})
def logger(name, stream=None, formatter=None, propagate=True):
    made, handler = logging.getLogger(name), logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    made.addHandler(handler)
    made.propagate = propagate
    return made
logger("shop").error("one")
logger("shop.deep", sys.stdout, logging.Formatter("%(asctime)s %(message)s")).warning("two")
logger("custom", formatter=Custom()).warning("three")
logger("alone", formatter=logging.Formatter("plain %(message)s"), propagate=False).warning("four")
logger("file", open("/dev/null", "w")).warning("five")
"""


def test_a_logger_with_a_handler_of_its_own_says_a_record_once():
    done = subprocess.run([sys.executable, "-c", OWN_HANDLERS], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = [json.loads(line) if line.startswith("{") else line for line in done.stderr.splitlines()]
    said = [(line.get("logger"), line.get("level"), line.get("message")) if "level" in line else line for line in lines]
    assert said == [
        ("shop", "error", "one"), ("shop.deep", "warning", "two"), {"mine": "three"}, "plain four", ("file", "warning", "five"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("upstream", "said"),
    [
        ("fastcgi://unix:/run/app.sock:", "`fastcgi_buffer_size 32k;`"),
        ("http://unix:/run/app.sock:/x?secret", "`proxy_buffer_size 32k;`"),
    ],
)
def test_response_headers_that_are_too_large_are_explained(upstream, said):
    line = f'2026/11/22 19:26:07 [error] 12#12: *3 upstream sent too big header while reading response header from upstream, client: 1.2.3.4, request: "GET /x?q=1 HTTP/1.1", upstream: "{upstream}", host: "a"'
    level, text = logs.nginx_line(line)
    assert (level, said in text, "/app/nginx/http.d/" in text, "secret" in text) == ("error", True, True, False)
    assert "buffer_size" not in logs.nginx_line(line.replace("too big header", "no header"))[1]
