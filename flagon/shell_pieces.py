"""A shell text of several commands -> its pieces, read and not run: what stands before the last one, and its words.

One pass from left to right; what is quoted or substituted is stepped over as a whole (POSIX, "Shell Command Language").
"""

from __future__ import annotations

import shlex
from typing import NamedTuple

DEEPEST = 20  # substitutions in each other
OPERATORS = ("&&", "||", ";;", ";", "|", "&", "\n")
# Behind these a command may stand.
LEADING = frozenset({"then", "do", "else", "!", "{", "(", "if", "while", "until", "elif", "time"})


class Piece(NamedTuple):
    """One simple command: the operator before it, where it begins, and its words as they are written."""

    operator: str
    start: int  # of the operator
    words: tuple[str, ...]


class Unread(Exception):
    """More of a shell than is read here: a here-document, a quote that does not end."""


def split(text: str) -> list[Piece]:
    """The simple commands of a text, in order; an empty one is left out but at the end. Raises Unread."""
    pieces: list[Piece] = []
    words: list[str] = []
    operator, start, position, begun = "", 0, 0, -1

    def end_word(at: int) -> None:
        nonlocal begun
        if begun >= 0:
            words.append(text[begun:at].replace("\\\n", ""))
            begun = -1

    while position < len(text):
        letter = text[position]
        if begun < 0 and letter == "#":
            position = _found(text, "\n", position, len(text))
        elif letter in " \t\r":
            end_word(position)
            position += 1
        elif begun < 0 and text.startswith("\\\n", position):
            position += 2
        elif letter in "&;|\n" and not _redirects(text, position):
            end_word(position)
            found = next(one for one in OPERATORS if text.startswith(one, position))
            if words:
                pieces.append(Piece(operator, start, tuple(words)))
                words, operator, start = [], ";" if found == "\n" else found, position
            elif found not in ("\n", ";", ";;"):
                operator, start = found, position
            position += len(found)
        else:
            if text.startswith("<<", position):
                raise Unread("a here-document")
            begun = position if begun < 0 else begun
            position = _over(text, position, 0)
    end_word(len(text))
    if words or operator == "&":
        pieces.append(Piece(operator, start, tuple(words)))
    return pieces


def _redirects(text: str, position: int) -> bool:
    """2>&1 and &>file: no operators."""
    if text[position] != "&":
        return False
    return text[max(position - 1, 0)] in "<>" or text.startswith("&>", position)


def _found(text: str, what: str, position: int, otherwise: int | None = None) -> int:
    found = text.find(what, position)
    if found < 0:
        if otherwise is None:
            raise Unread("a quote that does not end")
        return otherwise
    return found


def _over(text: str, position: int, depth: int) -> int:
    """The position behind the letter, quote or substitution that begins here. Raises Unread."""
    letter = text[position]
    if depth > DEEPEST:
        raise Unread("substitutions too deep")
    if letter == "\\":
        return min(position + 2, len(text))
    if letter == "'":
        return _found(text, "'", position + 1) + 1
    if letter == "`":
        return _until(text, position + 1, "`", depth, plain=True)
    if letter == '"':
        return _until(text, position + 1, '"', depth, plain=False, quoted=True)
    if text.startswith("${", position):
        return _until(text, position + 2, "}", depth)
    if text.startswith("$(", position):
        return _until(text, position + 2, ")", depth)
    if letter == "(":
        return _until(text, position + 1, ")", depth)
    return position + 1


def _until(text: str, position: int, closing: str, depth: int, plain: bool = False, quoted: bool = False) -> int:
    """Behind `closing`. `plain`: nothing but a backslash counts inside; `quoted`: only what does between quotes."""
    while position < len(text):
        if text[position] == closing:
            return position + 1
        inside = text[position]
        if plain and inside != "\\" or quoted and inside in "'(":
            position += 1
        else:
            position = _over(text, position, depth + 1)
    raise Unread("a bracket or quote that does not end")


def plain(word: str) -> str:
    """A word without its quotes; as it is written where it holds more than that."""
    if "$" in word or "`" in word:
        return word
    try:
        found = shlex.split(word)
    except ValueError:
        return word
    return found[0] if len(found) == 1 else word


def command(piece: Piece) -> list[str]:
    """The words of the command in a piece, what leads to it (`then`, `exec`) and redirections left out."""
    words = list(piece.words)
    while words and words[0] in LEADING:
        words.pop(0)
    while words and (words[-1][:1] in "<>" or words[-1][:2] in ("1>", "2>", "&>")):
        words.pop()
    return [plain(word) for word in words]
