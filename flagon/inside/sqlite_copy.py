"""SQLite cannot be trusted to undo a migration: a copy is taken before it, and put back if it fails or is cut off.

While the mark is there no box serves the file, so nothing that anybody was told is stored can be lost by putting back.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator

from flagon.inside.sqlite_lock import MARK

SUFFIX = ".before-migration"
BUSY = 15.0  # seconds to wait for writers
DRAIN = 1.0  # seconds for requests that had passed the gate when it shut
SQLITE_BUSY, SQLITE_LOCKED = 5, 6  # result codes; the module names them since Python 3.11 only
Say = Callable[[str, str], None]


class Failed(Exception):
    """It cannot be done; the message says why."""


class Outcome:
    """The tool's exit code; 1 until it is known, so that an exception counts as failure."""

    code = 1


def left_behind(path: str) -> bool:
    """Whether a migration is at work or was cut off."""
    return os.path.exists(path + MARK) or os.path.exists(path + SUFFIX)


@contextlib.contextmanager
def guarded(path: str, table: str, say: Say) -> Iterator[Outcome]:
    """Shut the gate, copy, let the body migrate, undo it unless its outcome is 0. The lock must be held.

    Raises OSError, sqlite3.Error, Failed before the body: then nothing was begun.
    """
    settle(path, table, say)
    try:
        os.close(os.open(path + MARK, os.O_CREAT | os.O_WRONLY, 0o600))
        if os.path.exists(path):
            time.sleep(DRAIN)
        take(path, path + SUFFIX)
    except BaseException:
        remove(path + MARK)
        raise
    outcome = Outcome()
    try:
        yield outcome
    finally:
        if outcome.code:
            try:
                settle(path, table, say)
            except (OSError, sqlite3.Error, Failed) as error:
                say(f"{path + SUFFIX} could not be put back ({error}): `flagon migrate` tries again", "critical")
        else:
            remove(path + SUFFIX)
            remove(path + MARK)


def settle(path: str, table: str, say: Say) -> None:
    """Undo a migration that failed or was cut off, if SQLite has not done so itself; then the gate opens."""
    if not left_behind(path):
        return
    copy = path + SUFFIX
    if os.path.exists(copy):
        if fingerprint(copy, table) != fingerprint(path, table):
            transfer(copy, path)
            say(f"put back the copy of {path} that was taken before the migration", "warning")
        say(f"{path} is as it was before the migration", "info")
    remove(copy)
    remove(path + MARK)


def fingerprint(path: str, table: str) -> tuple[list[object], list[object], object]:
    """What a migration changes first of all: the schema, the version table's rows, user_version."""
    with contextlib.closing(sqlite3.connect(path, timeout=BUSY)) as connection:
        schema = connection.execute("select type, name, sql from sqlite_master order by type, name").fetchall()
        rows: list[object] = []
        if any(row[:2] == ("table", table) for row in schema):
            name = '"' + table.replace('"', '""') + '"'
            rows = connection.execute(f"select * from {name} order by 1").fetchall()
        return list(schema), rows, connection.execute("pragma user_version").fetchone()


def take(path: str, copy: str) -> None:
    """A complete copy or none: under another name until it is on the disk. No file yet is an empty database."""
    draft = copy + ".part"
    remove(draft)
    mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else 0o600
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))  # no wider than the original
        if os.path.exists(path):
            transfer(path, draft)
        sync(draft)
        os.rename(draft, copy)
        sync(os.path.dirname(copy))
    except BaseException:
        remove(draft)
        raise


def transfer(source: str, target: str) -> None:
    """Through SQLite's own locks: other connections see the old content or the new. Raises Failed, sqlite3.Error."""
    with (
        contextlib.closing(sqlite3.connect(source, timeout=BUSY)) as giving,
        contextlib.closing(sqlite3.connect(target, timeout=BUSY)) as taking,
    ):
        pour(giving, taking, target)


def pour(giving: sqlite3.Connection, taking: sqlite3.Connection, busy: str) -> None:
    """All pages in one step: one transaction on each side, so old or new, and never a mixture. Raises Failed."""

    def progress(status: int, _: int, __: int) -> None:
        if status in (SQLITE_BUSY, SQLITE_LOCKED):  # the connections' own timeout is over; Python would ask for ever
            raise Failed(f"{busy} is busy: no lock within {BUSY:g} s. Try again when less is written")

    giving.backup(taking, progress=progress)


def sync(path: str) -> None:
    """On the disk, whatever happens to the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: str) -> None:
    """A database and what lies beside it; no copy of data may stay where nobody looks."""
    for name in (path, path + "-wal", path + "-shm", path + "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
