"""SQLite cannot be trusted to undo a migration: a copy is taken before it, and put back if it fails or is cut off."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator

SUFFIX = ".before-migration"
BUSY = 10.0  # seconds to wait for writers


class Outcome:
    """The tool's exit code; 1 until it is known, so that an exception puts the copy back."""

    code = 1


def left_behind(path: str) -> bool:
    """Whether a migration was cut off: by a kill -9, or the machine's end."""
    return os.path.exists(path + SUFFIX)


@contextlib.contextmanager
def lock(path: str) -> Iterator[bool]:
    """True if nobody else migrates this file. The kernel lets go of the lock when its holder dies."""
    descriptor = os.open(path + ".migration-lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def guarded(path: str, say: Callable[[str], None]) -> Iterator[Outcome]:
    """Copy, let the body migrate, and put the copy back unless its outcome is 0. Raises OSError, sqlite3.Error."""
    copy = path + SUFFIX
    if left_behind(path):
        put_back(copy, path)
        say(f"a migration was cut off: {path} is as it was before it")
    take(path, copy)
    outcome = Outcome()
    try:
        yield outcome
    finally:
        if outcome.code:
            put_back(copy, path)
            say(f"{path} is as it was before the migration")
        remove(copy)


def take(path: str, copy: str) -> None:
    """A complete copy or none: under another name until it is on the disk. No file yet is an empty database."""
    draft = copy + ".part"
    remove(draft)
    try:
        if os.path.exists(path):
            transfer(path, draft)
        else:
            os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        descriptor = os.open(draft, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        os.rename(draft, copy)
    except BaseException:
        remove(draft)
        raise


def put_back(copy: str, path: str) -> None:
    """Through SQLite's own locks: other connections to the file see the old content, never half of it."""
    transfer(copy, path)


def transfer(source: str, target: str) -> None:
    """SQLite's online backup, in one step."""
    with (
        contextlib.closing(sqlite3.connect(source, timeout=BUSY)) as giving,
        contextlib.closing(sqlite3.connect(target, timeout=BUSY)) as taking,
    ):
        giving.backup(taking)


def remove(path: str) -> None:
    """A database and what lies beside it; no copy of data may stay where nobody looks."""
    for name in (path, path + "-wal", path + "-shm", path + "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
