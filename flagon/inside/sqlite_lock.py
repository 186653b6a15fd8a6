"""Names beside an SQLite file while it is migrated: a lock for one migration at a time, a mark that shuts the gate."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

LOCK = ".migration-lock"
MARK = ".migrating"  # nginx answers 503 while it is there, in every box that serves this file


@contextlib.contextmanager
def lock(path: str) -> Iterator[bool]:
    """True if nobody else migrates this file. The kernel lets go of the lock when its holder dies. Raises OSError."""
    descriptor = os.open(path + LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def cut_off(path: str) -> bool:
    """Whether a migration is marked and nobody works on it: it was killed, or the machine went down."""
    if not os.path.exists(path + MARK):
        return False
    try:
        with lock(path) as free:
            return free
    except OSError:
        return False
