"""nginx configuration text: the one place that makes its words, and reads it as nginx does (ngx_conf_read_token)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

TOKEN = r"""(?x)\#[^\n]* | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | [;{}]
    | (?:\\.|\$\{\w*\}|[^ \t\r\n;{}"'\#\\]) (?:\\.|\$\{\w*\}|[^ \t\r\n;{\\])*"""
ESCAPED = {"t": "\t", "r": "\r", "n": "\n"}
PLAIN = r"[\w./:=@%+,~^*\[\]-]+"  # means itself without quotes
CONTROL = r"[\x00-\x1f\x7f]"  # for nginx's expressions and for Python's
BROKEN = "[\ud800-\udfff]"
LONGEST = 4000  # bytes; nginx reads a word into a buffer of 4,096
DOLLAR = "${flagon_dollar}"  # nginx.conf: a variable that is $, as nginx knows no escape for it


def unfit(text: str) -> str:
    """Why no configuration file can hold this text, as the end of a sentence; empty if one can."""
    if re.search(CONTROL, text):
        return "has a control character"
    if re.search(BROKEN, text):
        return "is not UTF-8"
    longest = max(len(evaluated(text).encode()), len(matching(text).encode()))
    return "is longer than nginx takes" if longest > LONGEST else ""


def word(text: str) -> str:
    """An argument that nginx takes as it is: location names, keys of a map, sockets, files to include."""
    return text if re.fullmatch(PLAIN, text, re.ASCII) else f'"{_escaped(text)}"'


def evaluated(text: str, before: str = "") -> str:
    """An argument in which nginx looks for variables: alias, return, values. `before` may have some, and is ours."""
    return f'"{before}{_escaped(text).replace("$", DOLLAR)}"' if before or "$" in text else word(text)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def matching(text: str, after: str = "") -> str:
    """The key of a map: a regular expression for what begins with this text. `after` is one, too, and is ours."""
    return word("~^" + re.escape(text) + after)


def included(path: str) -> str:
    """A file to include. nginx takes a name with one of *?[ for a pattern, and a backslash in it for an escape."""
    return word(re.sub(r"[\\*?\[]", r"\\\g<0>", path) if re.search(r"[*?\[]", path) else path)


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
    for found in re.finditer(TOKEN, text, re.DOTALL):
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
            token = token[1:-1] if token[0] in "\"'" else token
            words.append(re.sub(r"""\\(["'\\trn])""", lambda escape: ESCAPED.get(escape[1], escape[1]), token))


class Location(NamedTuple):
    """What nginx tells locations apart by; two that are equal it refuses."""

    exact: bool
    name: str


def location(words: tuple[str, ...]) -> Location | None:
    """The words after `location`; None for a regular expression and for a named location."""
    modifier, name = words if len(words) == 2 else ("", "".join(words))
    for sign in ("=", "^~", "~") if not modifier else ():  # it may stand at the name, without a blank
        if name.startswith(sign):
            modifier, name = sign, name[len(sign) :]
            break
    return None if modifier.startswith("~") or name.startswith("@") else Location(modifier == "=", name)
