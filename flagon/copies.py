"""Copies of an SQLite database: of one moment, checked, on the disk, under a name that nobody had."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import sys
import time
from collections.abc import Iterator

from flagon.inside import sqlite_copy
from flagon.inside.sqlite_copy import BUSY, Failed, pour, sync
from flagon.percent import encoded

FULL = 1 << 16  # bytes: with less room SQLite cannot even begin
# What only the application's own connections know: SQLite cannot check an index that needs it.
UNKNOWN_HERE = ("no such collation", "unknown function", "no such function", "no such module")


def fresh_name(folder: str, path: str, why: str = "") -> str:
    """A name in this folder that is not taken: app-20260102T030405Z.db. Makes the folder."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise Failed(f"{folder} cannot be made by uid {os.geteuid()}: {error.strerror}") from None
    stem, suffix = os.path.splitext(os.path.basename(path))
    start = os.path.join(folder, f"{stem}{why}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    names = (f"{start}{end}{suffix}" for end in ("", *(f"-{number}" for number in range(2, 1000))))
    return next(name for name in names if not os.path.lexists(name))


def write(source: str, path: str, check: bool = True) -> int:
    """A copy named `path`, complete or not there at all; its size. Raises Failed."""
    folder = os.path.dirname(path)
    if os.path.lexists(path):
        raise Failed(f"{path} exists already and is not overwritten: give another name, or remove it")
    draft = os.path.join(folder, ".flagon-backup.part")
    with _claimed(draft):
        try:
            copy(source, draft, check)
            size = os.path.getsize(draft)
            settle(draft, path)
        finally:
            sqlite_copy.remove(draft)
    return size


@contextlib.contextmanager
def _claimed(draft: str) -> Iterator[None]:
    """The draft is ours until the end; one that a killed backup left is used again."""
    try:
        # No link of somebody else's, in a folder that others may write: it would be emptied.
        descriptor = os.open(draft, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        folder = os.path.dirname(draft)
        if os.path.islink(draft):
            raise Failed(f"{draft} is a link, and not followed: remove it") from None
        raise Failed(f"{folder} cannot be written by uid {os.geteuid()}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        yield
    except BlockingIOError:
        raise Failed(f"another backup is being written there: {draft}") from None
    finally:
        os.close(descriptor)


def copy(source: str, draft: str, check: bool) -> None:
    """The database as of one moment, into an empty file, checked and on the disk. Raises Failed."""
    with (
        full_disk_named(source, draft),
        contextlib.closing(reading(source)) as giving,
        contextlib.closing(connect(draft, "mode=rw")) as taking,
    ):
        taking.execute("PRAGMA journal_mode = OFF")  # nothing to go back to: a draft that fails is removed
        taking.execute("PRAGMA synchronous = OFF")  # one fsync at the end
        pour(giving, taking, source)
    if check:
        check_integrity(draft, source)
    sync(draft)


@contextlib.contextmanager
def full_disk_named(*paths: str) -> Iterator[None]:
    """SQLite's word for it is often `disk I/O error`."""
    try:
        yield
    except sqlite3.OperationalError as error:
        for folder in map(os.path.dirname, paths):
            room = os.statvfs(folder)
            if "full" in str(error) or room.f_bavail * room.f_frsize < FULL:
                raise Failed(f"the disk is full: {' or '.join(dict.fromkeys(map(os.path.dirname, paths)))}") from None
        raise


def reading(path: str) -> sqlite3.Connection:
    """A connection for reading, also on a read-only disk, where SQLite cannot make a WAL database's other files."""
    connection = connect(path, "mode=rw")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if "I/O" in str(error):  # no room for the -shm file: nobody has it open, and alone we need none
            connection = connect(path, "mode=rw")
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return connection
        rest = [path + end for end in ("-wal", "-journal") if os.path.exists(path + end)]
        if os.access(os.path.dirname(path), os.W_OK) or any(os.path.getsize(name) for name in rest):
            raise
        connection = connect(path, "immutable=1")
    return connection


def connect(path: str, options: str) -> sqlite3.Connection:
    """A connection that makes no file and begins no transaction by itself."""
    return sqlite3.connect(f"file:{encoded(path, '/')}?{options}", uri=True, timeout=BUSY, isolation_level=None)


def check_integrity(path: str, name: str) -> None:
    """Raises Failed, which says `name`, unless the file, which nobody else has open, is a whole SQLite database."""
    with contextlib.closing(connect(path, "immutable=1")) as connection:
        try:
            answer = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            answer = str(error)
    if any(text in answer for text in UNKNOWN_HERE):
        print(f"flagon: {name} is copied whole but could not be checked: {answer}", file=sys.stderr)
    elif answer != "ok":
        raise Failed(f"{name} does not pass SQLite's integrity check: {answer}")


def settle(draft: str, path: str) -> None:
    """The draft's final name; a file of that name is never replaced. Raises Failed."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise Failed(f"{path} exists already and is not overwritten") from None
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise Failed(f"{path} exists already and is not overwritten") from None
        os.rename(draft, path)
    sync(os.path.dirname(path))
