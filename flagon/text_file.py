"""A file's text, for readers that ask what it says and leave its faults to whoever runs it. Used on both sides."""

from __future__ import annotations


def read(path: str) -> str:
    """All of it; empty if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
