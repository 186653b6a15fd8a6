"""Log records of the application's side: one line each, JSON or text, with the request's id."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from typing import Any

from gunicorn.glogging import Logger

from flagon.inside.context import request_id
from flagon.logs import CONTINUED, timestamp

QUERY = re.compile(r"(?<=\S)\?.*")  # to the end of its line; a "?" by itself stands for what is not known
KNOWN = "flagon_known"  # an exception with this attribute has its record (flagon/inside/asgi_failures.py)
STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class Formatter(logging.Formatter):
    """One record -> one line; as text, a traceback's lines follow, indented. Fields given by `extra=` become keys.

    `mark` begins each: whoever reads the pipe knows by it that this is no print of a client's text.
    """

    def __init__(self, as_json: bool, mark: str) -> None:
        super().__init__()
        self.as_json, self.mark = as_json, mark

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.name == "gunicorn.error":
            message = QUERY.sub("?*", message)  # gunicorn's own workers name the whole target
        more = "\n" + self.formatException(record.exc_info) if record.exc_info else ""
        if record.stack_info:
            more += "\n" + record.stack_info
        current = request_id.get()
        if not self.as_json:
            if record.name == "gunicorn.error":  # ours: a stack
                message, _, rest = message.partition("\n")
                more = f"\n{rest}{more}" if rest else more
            first = f"{timestamp(record.created)} {record.levelname.lower()} {record.name} {message}"
            tail = f" [{current}]" if current else ""
            return self.mark + first.replace("\n", "\\n") + tail + more.rstrip("\n").replace("\n", CONTINUED)
        fields: dict[str, Any] = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "severity": record.levelname,
            "logger": record.name,
            "message": message + more,
        }
        if current:
            fields["request_id"] = current
        for name, value in record.__dict__.items():
            if name not in STANDARD:
                fields.setdefault(name, value)  # an `extra` may be a client's: the record's own keys stay
        return self.mark + json.dumps(fields, default=str, ensure_ascii=False)


class Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to standard error in one piece; a closed one loses the line and nothing else."""

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "flagon_written", False):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], (OSError, ValueError)):
            super().handleError(record)


def make_handler(options: dict[str, Any]) -> logging.Handler:
    """The one handler of this side."""
    handler = Handler(sys.stderr)
    handler.setFormatter(Formatter(options["json_logs"], options["log_mark"]))
    return handler


class GunicornLogger(Logger):  # type: ignore[misc]
    """gunicorn's own log through the same handler; its access log stays off, nginx writes the one there is."""

    def setup(self, cfg: Any) -> None:
        self.loglevel = self.LOG_LEVELS.get(cfg.loglevel.lower(), logging.INFO)
        self.error_log.handlers[:] = [make_handler(cfg.flagon)]
        self.error_log.setLevel(self.loglevel)
        self.error_log.propagate = False
        self.access_log.handlers[:] = []
        self.access_log.propagate = False

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """An exception that is being handled, unless there is a record of it already."""
        if not getattr(sys.exc_info()[1], KNOWN, False):
            super().exception(msg, *args, **kwargs)


def write_once(ours: logging.Handler) -> None:
    """A logger with a console handler of its own, whose records come to the root's handler as well: once is enough.

    Ours says level and name; a formatter of a class of its own, for JSON or colours, is what the application wants.
    """
    emit = logging.StreamHandler.emit

    def once(self: Any, record: logging.LogRecord) -> None:
        if type(self) is logging.StreamHandler and self.stream in (sys.stderr, sys.stdout) and _reaches(record, ours):
            if type(self.formatter) in (type(None), logging.Formatter):
                return
            record.flagon_written = True
        emit(self, record)

    logging.StreamHandler.emit = once  # type: ignore[method-assign]


def _reaches(record: logging.LogRecord, handler: logging.Handler) -> bool:
    """Whether a record comes to a handler as well, by way of the loggers above its own."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        if handler in logger.handlers:
            return True
        logger = logger.parent if logger.propagate else None
    return False


def set_up_root(options: dict[str, Any]) -> None:
    """The application's logging, until it configures its own: every record one line, at LOG_LEVEL."""
    root = logging.getLogger()
    if not root.handlers:
        ours = make_handler(options)
        root.addHandler(ours)
        write_once(ours)
        root.setLevel(options["log_level"].upper())
    logging.captureWarnings(True)
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)  # seven lines at each import, for nobody


def own_pipe() -> None:
    """Give this process a pipe of its own for standard output and error, and its reading end to supervisord.

    Lines of several workers then never mix, however long they are. Without a box around us nothing changes.
    """
    from flagon.inside import notice

    reading, writing = os.pipe()
    if notice.send({"event": "output"}, [reading]):
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(writing, 1)
        os.dup2(writing, 2)
    os.close(reading)
    os.close(writing)
