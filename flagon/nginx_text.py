"""Reads nginx configuration text as nginx does: words, quotes, comments, blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

TOKEN = re.compile(
    r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[;{}]|(?:\\.|\$\{\w*\}|[^\s;{}"'#\\])(?:\\.|\$\{\w*\}|[^\s;{}\\])*"""
)


class Directive(NamedTuple):
    """One directive: its words, how deep it lies, and where its text begins and ends."""

    words: tuple[str, ...]
    depth: int
    start: int
    end: int
    block: bool


def directives(text: str) -> Iterator[Directive]:
    """All directives, blocks too, in order. Text that nginx would refuse ends it early or is skipped."""
    words: list[str] = []
    depth = start = 0
    for found in TOKEN.finditer(text):
        token = found[0]
        if token[0] == "#":
            continue
        if token in ";{":
            if words:
                yield Directive(tuple(words), depth, start, found.end(), token == "{")
            words = []
            depth += token == "{"
        elif token == "}":
            words, depth = [], max(0, depth - 1)
        else:
            if not words:
                start = found.start()
            words.append(token[1:-1] if token[0] in "\"'" else token)
