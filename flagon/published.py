"""What a folder of files for browsers may not be: the application, its data, Flagon, or a folder above one of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping


def holds(folder: str, protected: Mapping[str, str]) -> str:
    """What of `protected` (path -> what it is) a folder is or holds, in words; "" if it holds none.

    By real paths, and by inodes: a folder may be mounted in two places.
    """
    real = os.path.realpath(folder)
    own = _inode(real)
    for path, what in protected.items():
        place = os.path.realpath(path)
        for depth, above in enumerate(_upwards(place)):
            if above == real or (own is not None and _inode(above) == own):
                return f"{'holds' if depth else 'is'} {what} {path}"
    return ""


def _upwards(path: str) -> Iterator[str]:
    while True:
        yield path
        if path == os.path.dirname(path):
            return
        path = os.path.dirname(path)


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
