"""A file's text: read by those who leave its faults to whoever runs it, written for nobody else. Used on both sides."""

from __future__ import annotations

import errno
import os
import stat

LARGEST = 4 << 20  # bytes of a file that people write: far more than any has

LARGEST_SECRET = 1 << 20  # the engines' own limit is half of that


def read(path: str) -> str:
    """All of it; empty if it cannot be read."""
    try:
        return content(path, 16 * LARGEST).decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    except OSError:
        return ""


def head(path: str, size: int) -> bytes:
    """Its first bytes, as many as there are of them, without waiting for anybody. Raises OSError, also of a pipe."""
    descriptor = _opened(path)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def first_line(path: str) -> bytes:
    """Where a script names its interpreter: at most 200 bytes, without the line's end; empty if it cannot be read."""
    try:
        return head(path, 200).partition(b"\n")[0]
    except OSError:
        return b""


def mentions(path: str, text: bytes) -> bool:
    """Whether a text stands at the beginning of a file, in its first 2,000 bytes."""
    try:
        return text in head(path, 2000)
    except OSError:
        return False


def _opened(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a pipe, and no file")
    return descriptor


def content(path: str, largest: int = LARGEST) -> bytes:
    """All of it, without waiting for anybody. Raises OSError, also where there is no end: a pipe, /dev/zero."""
    descriptor = _opened(path)
    try:
        pieces, room = [], largest
        while piece := os.read(descriptor, 1 << 20):
            pieces.append(piece)
            room -= len(piece)
            if room < 0:
                raise OSError(
                    errno.EFBIG, f"it is larger than {f'{largest >> 20} MB' if largest >> 20 else f'{largest} bytes'}"
                )
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def strict(path: str, largest: int = LARGEST) -> str:
    """The same as text, with plain line ends. Raises OSError, UnicodeDecodeError."""
    return content(path, largest).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def write(path: str, text: str) -> None:
    """A file that only this user reads."""
    with open(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
