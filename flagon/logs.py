"""The one place where every program's bytes become lines and records on standard output."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable

LEVELS = ("debug", "info", "warning", "error", "critical")
LONGEST_LINE = 1 << 20  # a program that never ends its line must not fill memory
# nginx's error log: 2026/11/22 19:26:07 [error] 12#12: *3 text
NGINX_LEVELS = {
    "[debug]": "debug", "[info]": "info", "[notice]": "info", "[warn]": "warning", "[error]": "error",
    "[crit]": "critical", "[alert]": "critical", "[emerg]": "critical",
}  # fmt: skip
CALM = re.compile(
    rb'"level": ?"(debug|info)"|"logger": ?"access"'  # JSON
    rb"|^\S+ (debug|info) |^\S+ \w+ access |^\S+ \S+ \[(debug|info|notice)\] "  # ours as text, nginx's
    rb"|\[emerg\] \S+ still could not bind"  # why was said before
)
QUERY = re.compile(r"\?[^\s\"?]+")


def timestamp(moment: float | None = None) -> str:
    """Now, or a moment in seconds of the epoch: RFC 3339 with milliseconds and the zone of TZ. Both sides use it."""
    now = time.time() if moment is None else moment
    local = time.localtime(now)
    zone = time.strftime("%z", local)
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + f".{int(now % 1 * 1000):03d}{zone[:3]}:{zone[3:]}"


class Output:
    """Standard output: the inherited descriptor 1, never opened by path. A closed one loses lines, nothing else."""

    def __init__(self, as_json: bool, level: str = "info", descriptor: int = 1) -> None:
        self.as_json = as_json
        self.threshold = LEVELS.index(level)
        self.descriptor = descriptor
        self.closed = False

    def write(self, data: bytes) -> None:
        """All of `data`, in order."""
        while data and not self.closed:
            try:
                data = data[os.write(self.descriptor, data) :]
            except BlockingIOError:
                time.sleep(0.005)  # the other end made it non-blocking and is slow
            except OSError:
                self.closed = True

    def record(self, logger: str, level: str, message: str) -> None:
        """One line of our own, if LOG_LEVEL lets it through."""
        if LEVELS.index(level) >= self.threshold:
            self.write(self.wrap(logger, level, message))

    def wrap(self, logger: str, level: str, message: str) -> bytes:
        """A plain text -> one record."""
        if not self.as_json:
            return f"{timestamp()} {level} {logger} {message}\n".encode("utf-8", "replace")
        fields = {
            "time": timestamp(), "level": level, "severity": level.upper(), "logger": logger, "message": message,
        }  # fmt: skip
        return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace") + b"\n"

    def line(self, logger: str, line: bytes) -> bytes:
        """One line of a program -> one record. A JSON object, and text in text mode, passes as it is."""
        if line[:1] == b"{" and (_is_access_line(logger, line) or _is_object(line)):
            if not line.isascii():  # nginx writes a client's bytes as they are: they need not be UTF-8
                line = line.decode("utf-8", "replace").encode()
            return line + b"\n"
        text = line.decode("utf-8", "backslashreplace").rstrip("\r")
        if logger == "nginx":
            found, text = nginx_line(text)
            if found:
                return self.wrap(logger, found, text)
        if not self.as_json:
            return text.encode("utf-8", "replace") + b"\n"
        return self.wrap(logger, "info", text)


def _is_access_line(logger: str, line: bytes) -> bool:
    """nginx's own JSON, escaped by it: not worth a parse each."""
    return logger == "nginx" and line.startswith(b'{"time":"') and line.endswith(b'"}')


def _is_access_log(data: bytes) -> bool:
    """A piece of nginx's access log as JSON, whole lines only: it passes as it is."""
    return (
        data.startswith(b'{"time":"')
        and data.endswith(b'"}\n')
        and data.count(b"\n") == data.count(b'"}\n{"time":"') + 1
        and data.isascii()
    )


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


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


def nginx_line(text: str) -> tuple[str, str]:
    """(level, text) of an error log line, without its date and query strings; ("", text) of any other line."""
    fields = text.split(" ", 3)
    if len(fields) == 4 and fields[2] in NGINX_LEVELS:
        return NGINX_LEVELS[fields[2]], QUERY.sub("?*", fields[3].split(": ", 1)[-1])
    if len(fields) > 2 and fields[0] == "nginx:" and fields[1] in NGINX_LEVELS:  # before its log is open
        return NGINX_LEVELS[fields[1]], text
    return "", text


class Lines:
    """Joins the bytes of one program, in whatever pieces they come, to lines."""

    def __init__(self, output: Output, logger: str, tap: Callable[[list[bytes]], None] | None = None) -> None:
        self.output = output
        self.logger = logger
        self.tap = tap  # is shown the lines of each piece, too
        self.rest = bytearray()  # of a line that has not ended: it may come byte by byte

    def feed(self, data: bytes) -> None:
        """Bytes as they were read."""
        if not self.rest and self.logger == "nginx" and _is_access_log(data):
            self.output.write(data)  # the tap is for last words, and these are none
            return
        self.rest += data
        if b"\n" in data:
            self._whole_lines()
        if len(self.rest) > LONGEST_LINE:
            self.close()

    def _whole_lines(self) -> None:
        *lines, rest = bytes(self.rest).split(b"\n")
        self.rest = bytearray(rest)
        records = [self.output.line(self.logger, line) for line in lines if line]
        if records:
            self.output.write(b"".join(records))
            if self.tap is not None:
                self.tap([line for line in lines if line])

    def close(self) -> None:
        """The program has ended: what has no newline is a line too."""
        if self.rest:
            self.feed(b"\n")
