"""The one place where every program's bytes become lines and records on standard output.

What a program prints may be a client's text. It is never taken for a record of ours: our own formatters begin each
record with a mark, a random word of this start that is taken off here, and so does nginx each line of its access log; a
line without it can neither look like a record in text mode nor claim one of our loggers in JSON.
"""

from __future__ import annotations

import binascii
import json
import os
import re
import time
from collections.abc import Callable, Iterable
from itertools import dropwhile, islice

from flagon.printable import SHOWN, visible

LEVELS = ("debug", "info", "warning", "error", "critical")
LONGEST_LINE = 1 << 20  # a program that never ends its line must not fill memory
WHOLE = 4096  # bytes that a pipe takes in one piece (PIPE_BUF): a longer record may have been torn
# Loggers of this box. A program's own records may have any other.
OURS = frozenset("flagon supervisord nginx access gunicorn gunicorn.error prestart migrate pip".split())
CONTINUED = "\n  "  # further lines of a record as text: no such line can be taken for one
# In a JSON text a control below 32 is white space between its words.
ESCAPED = {code: f"\\u{code:04x}" if code > 31 else " " for code in SHOWN}
# A date first, as in our records.
LIKE_A_RECORD = re.compile(
    r"\d{4}[^\w\s]\d\d[^\w\s]\d\d(?:[^\W\d_]\d\d|[ _]\S{1,40} (?:debug|info|warning|error|critical) )"
)
LOOKED_AT = 200  # characters that show something, in which a date would be
UNSEEN = frozenset(("Cf", "Cc", "Mn", "Me"))  # categories of Unicode
BLANK = "\u115f\u1160\u2800\u3164\uffa0\u17b4\u17b5"  # letters and signs that show nothing
# nginx's error log: 2026/11/22 19:26:07 [error] 12#12: *3 text
NGINX_LEVELS = {
    "[debug]": "debug", "[info]": "info", "[notice]": "info", "[warn]": "warning", "[error]": "error",
    "[crit]": "critical", "[alert]": "critical", "[emerg]": "critical",
}  # fmt: skip
CALM = re.compile(
    rb'"level": ?"(debug|info)"|"logger": ?"access"'  # JSON
    rb"|^\S+ (debug|info) |^\S+ \w+ access |^\S+ \S+ \[(debug|info|notice)\] "  # ours as text, nginx's
    rb"|\[emerg\] \S+ still could not bind"  # why was said before
    rb"|^\S+ \S+ \[\w+\] \d+#\d+: \*\d+ "  # nginx's, of one client's connection
)
# What nginx does with every larger body or response is no warning.
ROUTINE = re.compile(r"an? (?:client request body|upstream response) is buffered to a temporary file ")
RECENT, LONGEST_WORDS = 20, 500  # lines of a program in which its error is looked for; characters of it
ERROR = re.compile(r"[A-Za-z_][\w.]{0,100}(?:Error|Exception|Interrupt|Exit)\b|[Ff]atal|FATAL")
HEADER = re.compile(r' header(?: line)?: "([\w-]{0,64})')


def timestamp(moment: float | None = None) -> str:
    """Now, or a moment in seconds of the epoch: RFC 3339 with milliseconds and the zone of TZ. Both sides use it."""
    now = time.time() if moment is None else moment
    local = time.localtime(now)
    zone = time.strftime("%z", local)
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + f".{int(now % 1 * 1000):03d}{zone[:3]}:{zone[3:]}"


def without_query(line: str) -> str:
    """A line without query strings: nginx's error log escapes nothing, so that one surely ends with the line only."""
    head, found, _ = line.partition("?")
    return f"{head}?*" if found else line


def new_mark() -> bytes:
    """A word that nobody can guess. 72 bits: nobody learns of a wrong guess, and it stands before each access line."""
    return binascii.b2a_base64(os.urandom(9), newline=False) + b" "


class Output:
    """Standard output: the inherited descriptor 1, never opened by path. A closed one loses lines, nothing else."""

    def __init__(self, as_json: bool, level: str = "info", descriptor: int = 1) -> None:
        self.as_json = as_json
        self.threshold = LEVELS.index(level)
        self.descriptor = descriptor
        self.closed = False
        self.mark = b""  # begins each record of our own formatters' on the pipes that are read here

    def write(self, data: bytes) -> None:
        """All of `data`, in order."""
        while data and not self.closed:
            try:
                data = data[os.write(self.descriptor, data) :]
            except BlockingIOError:
                time.sleep(0.005)  # the other end made it non-blocking and is slow
            except OSError:
                self.closed = True

    def record(self, logger: str, level: str, message: str, always: bool = False) -> None:
        """One line of our own, if LOG_LEVEL lets it through, or `always`."""
        if always or LEVELS.index(level) >= self.threshold:
            self.write(self.wrap(logger, level, message))

    def wrap(self, logger: str, level: str, message: str) -> bytes:
        """A plain text -> one record."""
        if not self.as_json:
            text = message.rstrip("\n").replace("\r\n", "\n").replace("\n", CONTINUED)
            return visible(f"{timestamp()} {level} {logger} {text}").encode("utf-8", "replace") + b"\n"
        fields = {
            "time": timestamp(), "level": level, "severity": level.upper(), "logger": logger, "message": message,
        }  # fmt: skip
        return _json_line(json.dumps(fields, ensure_ascii=False))

    def own(self, logger: str, line: bytes) -> bytes:
        """What our own formatter has written, without the mark; a record that was torn or cut is a line like any."""
        line = line.replace(self.mark, b"")
        if not self.as_json:
            return visible(line.decode("utf-8", "backslashreplace")).encode("utf-8", "replace") + b"\n"
        if line[-1:] != b"}" or (len(line) > WHOLE and _pairs(line.decode("utf-8", "replace")) is None):
            return self.wrap(logger, "info", line.decode("utf-8", "backslashreplace"))
        return line + b"\n" if _is_plain(line) else _json_line(line.decode("utf-8", "replace"))

    def line(self, logger: str, line: bytes) -> bytes:
        """One line of a program -> one record. A JSON object, and text in text mode, passes, but for what is ours."""
        if line[:1] == b"{":
            text = line.decode("utf-8", "replace")
            if _is_programs_own(text):
                return _json_line(text)
        text = line.decode("utf-8", "backslashreplace").rstrip("\r")
        if logger == "nginx":
            found, text = nginx_line(text)
            if found:
                routine = found == "warning" and ROUTINE.search(text)
                return b"" if routine and self.threshold else self.wrap(logger, "debug" if routine else found, text)
        if self.as_json:
            return self.wrap(logger, "info", text)
        text = visible(text)
        if not text.startswith(CONTINUED[1:]) and LIKE_A_RECORD.match(_seen(text)):
            text = CONTINUED[1:] + text
        return text.encode("utf-8", "replace") + b"\n"


def _is_plain(data: bytes) -> bool:
    """Bytes of JSON in which no control can be."""
    return data.isascii() and b"\x7f" not in data and b"\r" not in data


def _json_line(text: str) -> bytes:
    return (text if text.isprintable() else text.translate(ESCAPED)).encode("utf-8", "replace") + b"\n"


def _pairs(text: str) -> list[tuple[str, object]] | None:
    """Names and values of a JSON object, a name as often as it is there; None if the text is none."""
    try:
        found = json.loads(text, object_pairs_hook=list) if text[:1] == "{" else None
    except (ValueError, RecursionError):
        return None
    return found


def _is_programs_own(text: str) -> bool:
    """A JSON object that may pass: it does not say that it is a record of ours."""
    pairs = _pairs(text)
    return pairs is not None and not any(_word(name) == "logger" and _is_ours(value) for name, value in pairs)


def _is_ours(logger: object) -> bool:
    name = _word(str(logger))
    return name in OURS or name.startswith(("flagon.", "gunicorn."))


def _word(text: str) -> str:
    return "".join(_seen(text).split()).lower()


def _seen(text: str) -> str:
    """What a reader sees at its beginning: plain letters (NFKC), without blanks before them and what shows nothing."""
    if text.isascii() and text.isprintable():
        return text.lstrip()
    from unicodedata import category, normalize  # not at each cold start

    shown = (one for one in text if one not in BLANK and category(one) not in UNSEEN)
    return normalize("NFKC", "".join(islice(dropwhile(str.isspace, shown), LOOKED_AT))).lstrip()


def message_of(line: bytes) -> str:
    """What a line says: the message of a JSON record, or the line."""
    text = line.decode("utf-8", "replace")
    if text.startswith("{"):
        try:
            return str(json.loads(text).get("message", text))
        except (ValueError, AttributeError, RecursionError):
            pass
    return text


def says_little(line: bytes) -> bool:
    """A line that cannot be why a program died: of the access log, or below a warning, or about the line before it."""
    return CALM.search(line, 0, 200) is not None


def last_words(lines: Iterable[bytes]) -> str:
    """A program's error, if one is among these last lines of it, or the last that says something; at most so long.

    A traceback on standard error comes before what a buffered standard output still held.
    """
    said = [text for line in lines if not says_little(line) and (text := message_of(line).strip())]
    error = next((text for text in reversed(said) if ERROR.match(text)), "")
    return (error or "".join(said[-1:]))[:LONGEST_WORDS]


def _too_big(text: str) -> str:
    """What to do about response headers that do not fit into nginx's buffer; empty for any other line."""
    if not text[:LOOKED_AT].partition("upstream sent too big header")[1]:
        return ""
    wire = "fastcgi" if 'upstream: "fastcgi:' in text else "proxy"
    return (
        ". The application's response headers (cookies, most often) are larger than nginx's buffer, and the client "
        f"got 502: send less, or set `{wire}_buffer_size 32k;` in /app/nginx/http.d/headers.conf"
    )


def nginx_line(text: str) -> tuple[str, str]:
    """(level, text) of an error log line, without its date and query strings; ("", text) of any other line."""
    fields = text.split(" ", 3)
    if len(fields) == 4 and fields[2] in NGINX_LEVELS:
        text = fields[3].split(": ", 1)[-1]
        advice = _too_big(text)
        header = HEADER.search(text)  # its value may be a cookie or a password
        return NGINX_LEVELS[fields[2]], without_query(f'{text[: header.end()]}: *"' if header else text) + advice
    if len(fields) > 2 and fields[0] == "nginx:" and fields[1] in NGINX_LEVELS:  # before its log is open
        return NGINX_LEVELS[fields[1]], text
    return "", text


class Lines:
    """Joins the bytes of one program, in whatever pieces they come, to lines."""

    def __init__(self, output: Output, logger: str, tap: Callable[[list[bytes]], None] | None = None) -> None:
        self.output = output
        self.logger = logger
        self.tap = tap  # is shown the lines of each piece, too
        self.mark = output.mark or b"\n"  # which is in no line
        self.rest = bytearray()  # of a line that has not ended: it may come byte by byte

    def feed(self, data: bytes) -> None:
        """Bytes as they were read."""
        if self.logger == "nginx" and not self.rest and self._is_access_log(data):
            self.output.write(data.replace(self.mark, b""))  # the tap is for last words, and these are none
            return
        self.rest += data
        if b"\n" in data:
            self._whole_lines()
        if len(self.rest) > LONGEST_LINE:
            self.close()

    def _is_access_log(self, data: bytes) -> bool:
        """Whole lines of nginx's own, in which it has escaped what is a client's: not worth a look at each."""
        return (
            data.startswith(self.mark)
            and data.endswith(b"\n")
            and data.count(b"\n") == data.count(b"\n" + self.mark) + 1
            and _is_plain(data)
        )

    def _whole_lines(self) -> None:
        *lines, rest = bytes(self.rest).split(b"\n")
        self.rest = bytearray(rest)
        records, said = [], []  # type: list[bytes], list[bytes]
        for line in lines:
            before, mark, own = line.partition(self.mark)  # before it: what had no end when the record began
            if before:
                records.append(self.output.line(self.logger, before))
                said.append(before)
            if mark:
                records.append(self.output.own(self.logger, own))
                said.append(own)
        if records:
            self.output.write(b"".join(records))
            if self.tap is not None:
                self.tap(said)

    def close(self) -> None:
        """The program has ended: what has no newline is a line too."""
        if self.rest:
            self.feed(b"\n")
