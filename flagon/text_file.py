"""A file's text: read by those who leave its faults to whoever runs it, written for nobody else. Used on both sides."""

from __future__ import annotations

import os


def read(path: str) -> str:
    """All of it; empty if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def write(path: str, text: str) -> None:
    """A file that only this user reads."""
    with open(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
