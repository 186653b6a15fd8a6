"""Command lines that only ask: `--help`, `--version` and how else that is written. Imports nothing."""

from __future__ import annotations

from collections.abc import Iterable

LONG = ("--help", "--version")


def asks(words: Iterable[str], letters: str = "", long: Iterable[str] = LONG) -> bool:
    """Whether a word asks: one of `long`, or as much of it as getopt and argparse take, or `-h` of `letters`."""
    for word in words:
        if word == "--":
            return False
        if word.startswith("--") and len(word) > 4 and any(option.startswith(word) for option in long):
            return True
        if len(word) == 2 and word[0] == "-" and word[1] in letters:
            return True
    return False


def in_cluster(word: str, letters: str, valued: str) -> bool:
    """Whether a word of short options (`-nv`) has one of `letters`, before one that takes the rest as its value."""
    if not word.startswith("-") or word.startswith("--"):
        return False
    for letter in word[1:]:
        if letter in letters:
            return True
        if letter in valued:
            return False
    return False
