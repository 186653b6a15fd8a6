"""Texts that a careless parser reads in more than linear time: a fixed list, and made from a regular expression."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from typing import Any

try:
    from re import _constants as op
    from re import _parser as parser  # type: ignore[attr-defined]
except ImportError:  # Python 3.10
    import sre_constants as op  # type: ignore[no-redef]
    import sre_parse as parser  # type: ignore[no-redef]

Make = Callable[[int], str]  # a length in characters -> a text of about that length
BAD = "\x01"  # hardly a pattern wants it: what ends with it matches nearly, and fails at the end
CHARACTERS = string.printable[:-5] + "\t"  # every printable one, and both blanks
REPEATS = tuple(getattr(op, name) for name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") if hasattr(op, name))
TOKENS = (
    "a,", ", ", " ,", "a;", "; ", ";q=1,", ";q=", "a;q=0.5,", "gzip,", "gzip;q=1,", "br;q", "*,", "identity;q=0,",
    "a=b;", "a=b; ", "a=", '"', '\\"', '"a",', '"a" ', "'a',", 'W/"a",', "(", "()", "[", "[]", "{", "{}", "<>",
    "%2", "%20", "%2e%2e%2f", "../", "./", "//", "/.", "a/", "?a", "a=1&", "&", "#", "0-0,", "0-,", "bytes=0-0,",
    "for=1,", 'for="[::1]",', "1.1.1.1,", "1.1.1.1, ", "::1,", "a:", "a:1,", "[::1]:", "[::1],", "http://", "https,",
    "application/json", "application/json,", "application/json;", "text/html,", "text/html;q=1,", "/*", "*/", "*/*,",
    "\xfc", "\xff", "-", "a-", ".", "a.", ".0123456789ab", ".0123456789ab.", "a ", " a", " \t", "max-age=0,", "1, 1",
    "Mon, 01 Jan 2024 00:00:00 GMT,", "websocket,", "keep-alive,", "name=a;", 'filename="', "filename*=",
)  # fmt: skip


def repeated(token: str, before: str = "", after: str = "") -> Make:
    """`before`, `token` as often as it fits, `after`."""
    return lambda length: before + token * ((length - len(before) - len(after)) // len(token)) + after


def shapes(ends: tuple[str, ...] = ("", "!", BAD)) -> Iterator[tuple[str, Make]]:
    """(what it is, how to make it), for any parser."""
    for token in (*CHARACTERS, *TOKENS):
        for after in ends:
            yield f"{token!r} * n + {after!r}", repeated(token, "", after)
        yield f"'a' + {token!r} * n + '!'", repeated(token, "a", "!")
    for opening, closing in ("()", "[]", "{}", "<>", '""'):
        yield f"nested {opening}", lambda n, a=opening, b=closing: a * (n // 2) + b * (n // 2)
        yield f"unbalanced {opening}", lambda n, a=opening, b=closing: a * (n // 2) + b * (n // 2 - 1)


def shapes_for(pattern: re.Pattern[Any]) -> Iterator[tuple[str, Make]]:
    """Made from the pattern: each of its repetitions pumped behind a text that leads there."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    tree = list(parser.parse(text, pattern.flags & ~re.UNICODE))
    tokens, ends = [sample(tree)], ["", "!", BAD]
    for before, pumped, looked_at in _walk(tree, ""):
        if looked_at:
            ends.append(before)
            continue
        tokens += [before] * bool(before) + [before + token for token in pumped[:2]]
        for token in pumped:
            for after in ("", "!", BAD):
                yield f"{before!r} + {token!r} * n + {after!r}", repeated(token, before, after)
    for token in dict.fromkeys(filter(None, tokens)):
        for between in ("", " ", ",", "\n"):
            for after in dict.fromkeys(ends):
                yield f"{token + between!r} * n + {after!r}", repeated(token + between, "", after)


def sample(tree: Any) -> str:
    """A short text that the pattern accepts, as far as assertions allow."""
    found = ""
    for kind, value in tree:
        if kind is op.LITERAL:
            found += chr(value)
        elif kind in (op.IN, op.ANY, op.NOT_LITERAL):
            found += next(iter(_accepted(kind, value)), "")
        elif kind is op.BRANCH:
            found += sample(value[1][0])
        elif kind is op.SUBPATTERN:
            found += sample(value[3])
        elif kind in REPEATS:
            found += sample(value[2]) * max(1, value[0])
        elif kind is getattr(op, "ATOMIC_GROUP", None):
            found += sample(value)
    return found


def _walk(tree: Any, before: str) -> Iterator[tuple[str, list[str], bool]]:
    """(a text that leads to a repetition, what it repeats, False); or (what an assertion looks for, [], True)."""
    for number, (kind, value) in enumerate(tree):
        so_far = before + sample(tree[:number])
        if kind in REPEATS:
            if value[1] > 30:
                inner = list(value[2])
                single = len(inner) == 1 and inner[0][0] in (op.IN, op.ANY, op.NOT_LITERAL)
                yield so_far, _accepted(*inner[0]) if single else list(filter(None, [sample(inner)])), False
            yield from _walk(list(value[2]), so_far)
        elif kind is op.BRANCH:
            for branch in value[1]:
                yield so_far + sample(branch), [], False
                yield from _walk(list(branch), so_far)
        elif kind is op.SUBPATTERN:
            yield from _walk(list(value[3]), so_far)
        elif kind in (op.ASSERT, op.ASSERT_NOT):
            yield sample(value[1]), [], True
            yield so_far, [], False
            yield from _walk(list(value[1]), so_far)
        elif kind is getattr(op, "ATOMIC_GROUP", None):
            yield from _walk(list(value), so_far)


def _accepted(kind: Any, value: Any) -> list[str]:
    """Some characters that one place of a pattern accepts, of different sorts."""
    if kind is op.ANY:
        return ["a", " ", ",", "\xff"]
    if kind is op.NOT_LITERAL:
        return [letter for letter in 'a ,"/\\' if ord(letter) != value]
    negated = value[0][0] is op.NEGATE
    candidates = "a0 ,;=:/.-_\"'\\?&%+*([A\tz9\xff" + "".join(chr(low) for each, low in value if each is op.LITERAL)
    fits = [letter for letter in dict.fromkeys(candidates) if any(_is(letter, *one) for one in value) != negated]
    return fits[:8]


def _is(letter: str, kind: Any, value: Any) -> bool:
    if kind is op.LITERAL:
        return ord(letter) == value
    if kind is op.RANGE:
        return bool(value[0] <= ord(letter) <= value[1])
    if kind is op.CATEGORY:
        name = str(value).lower()
        known = {"space": letter.isspace(), "digit": letter.isdigit(), "word": letter.isalnum() or letter == "_"}
        return known[name.split("_")[-1]] != ("not" in name)
    return False
