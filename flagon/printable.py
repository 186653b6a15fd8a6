"""Text for an operator's terminal: what the application can choose must not be able to command it."""

from __future__ import annotations

import io
import sys
from typing import TextIO

# C0 but newline and tab, DEL, C1: written as Python writes them.
VISIBLE = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160)) if chr(number) not in "\n\t"}


class Printable(io.TextIOWrapper):
    """A text stream that writes control characters out."""

    def write(self, text: str) -> int:
        super().write(text.translate(VISIBLE))
        return len(text)


def _over(stream: TextIO) -> TextIO:
    return Printable(stream.buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def install() -> None:
    """From now on everything that is printed, tracebacks too, is such text. Bytes (`.buffer`) are left as they are."""
    if sys.stdout is not None:
        sys.stdout = _over(sys.stdout)
    if sys.stderr is not None:
        sys.stderr = _over(sys.stderr)
