"""Text for a terminal or a log: what an application or a client can choose must not be able to command a terminal."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Callable
from typing import TextIO

# C0 but newline and tab, DEL, C1, what ends a line for some readers, and what turns the direction of text around.
UNSEEN = (*range(9), *range(11, 32), *range(127, 160), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
SHOWN = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in UNSEEN}  # as Python writes them


def visible(text: str) -> str:
    """The same, with control characters written out."""
    return text if text.isprintable() else text.translate(SHOWN)


class Printable(io.TextIOWrapper):
    """A text stream that writes control characters out."""

    def write(self, text: str) -> int:
        super().write(visible(text))
        return len(text)


def _over(stream: TextIO) -> TextIO:
    return Printable(stream.buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def install() -> None:
    """From now on everything that is printed, tracebacks too, is such text. Bytes (`.buffer`) are left as they are."""
    if sys.stdout is not None:
        sys.stdout = _over(sys.stdout)
    if sys.stderr is not None:
        sys.stderr = _over(sys.stderr)


NO_READER = 141  # as of a program that SIGPIPE has ended: 128 + 13


def until_nobody_reads(verb: Callable[[list[str]], int], arguments: list[str]) -> int:
    """The verb's exit code. Where its output goes into a pipe that has been closed (`| head -1`) it ends quietly."""
    try:
        code = verb(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        poll = select.poll()
        poll.register(1, 0)
        if not any(events & select.POLLERR for _, events in poll.poll(0)):
            raise  # it was about another one
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still to be flushed
        return NO_READER
    return code
