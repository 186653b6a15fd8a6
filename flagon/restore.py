"""`flagon restore FILE`: the database becomes what the file holds, in one transaction, safe while the box serves."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterator

from flagon import USAGE_ERROR, copies
from flagon.backup import Place, guarded, place
from flagon.copies import check_integrity, fresh_name, reading, settle, write
from flagon.inside import sqlite_copy, sqlite_lock
from flagon.inside.sqlite_copy import BUSY, Failed, pour, sync

USAGE = """usage: flagon restore FILE
  FILE   a copy that `flagon backup` made; - is standard input"""
HEADER = b"SQLite format 3\0"
WAL_VERSION = 2  # bytes 18 and 19 of the file's header (https://sqlite.org/fileformat2.html)
WAL_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
JOURNAL_MAGIC = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
SETTLE = 1000  # milliseconds to wait for what is only nice to have


def run(arguments: list[str]) -> int:
    """The verb; `arguments` without its name."""
    if len(arguments) != 1 or not arguments[0] or arguments[0].startswith("--"):
        print(USAGE, file=sys.stderr)
        return USAGE_ERROR
    if arguments[0] == "-" and os.isatty(0):
        print("flagon: no database is read from a terminal: send a file, with < app.db", file=sys.stderr)
        return USAGE_ERROR
    return guarded(lambda: _restore(arguments[0], place("restore", arguments[0])))


def _restore(file: str, found: Place) -> int:
    folder, name = os.path.split(found.path)
    draft = os.path.join(folder, f".{name}.restoring")
    with _alone(found.path):
        try:
            was_wal = _stage(file, draft, found.path)
            size = os.path.getsize(draft)
            for line in _put(draft, found, was_wal):
                print(line)
        finally:
            sqlite_copy.remove(draft)
    print(f"{found.path} is restored ({size:,} bytes)")
    return 0


@contextlib.contextmanager
def _alone(path: str) -> Iterator[None]:
    """Neither a migration nor another restore meanwhile; a migration that was cut off is undone first."""
    folder = os.path.dirname(path)
    if not os.access(folder, os.W_OK):
        raise Failed(f"{folder} does not exist or cannot be written by uid {os.geteuid()}")
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise Failed(f"{path} cannot be written by uid {os.geteuid()}")
    deadline = time.monotonic() + BUSY
    while True:
        with sqlite_lock.lock(path) as free:
            if free:
                _undo_migration(path)
                yield
                return
        if time.monotonic() > deadline:
            raise Failed(f"a migration or another restore is at work on {path}: wait for its end")
        time.sleep(0.1)


def _undo_migration(path: str) -> None:
    """Or the next start would do it, over what is restored now."""
    sqlite_copy.settle(path, "alembic_version", lambda text, _: print(f"flagon: {text}", file=sys.stderr))


def _stage(file: str, draft: str, live: str) -> bool:
    """A checked copy of the file beside the database, out of WAL mode; whether the file was in it. Raises Failed."""
    sqlite_copy.remove(draft)
    if file == "-":
        _pour(0, draft)
        file = "standard input"
    else:
        if os.path.exists(live) and os.path.exists(file) and os.path.samefile(file, live):
            raise Failed(f"{file} is the database itself")
        _fetch(file, draft)
        for end in ("-wal", "-journal"):
            if os.path.lexists(os.path.realpath(file) + end):
                _fetch(os.path.realpath(file) + end, draft + end, os.O_NOFOLLOW | os.O_NONBLOCK)
    start = _read(draft, 0, 20)
    if not start:
        raise Failed(f"{file} is empty" + (" (docker exec and docker run need -i)" if file == "standard input" else ""))
    if not start.startswith(HEADER) or len(start) < 20:
        raise Failed(f"{file} is no SQLite database")
    _check_companions(os.path.realpath(file), draft, start)
    with _as_damaged(file), contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    check_integrity(draft, file)
    return start[18] == WAL_VERSION


def _fetch(path: str, draft: str, flags: int = 0) -> None:
    """A file into the draft; with flags, only a plain file, as what lies beside a database is. Raises Failed."""
    if flags and (os.path.islink(path) or not os.path.isfile(path)):
        raise Failed(f"{path} is no plain file: move it away")
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        _pour(descriptor, draft)
    finally:
        os.close(descriptor)


def _check_companions(file: str, draft: str, header: bytes) -> None:
    """Somebody has copied a live database by hand: `cp app.db*`. SQLite will apply what came with it. Raises Failed.

    A journal of a transaction over several databases ends with the name of a file, which SQLite deletes
    (https://sqlite.org/atomiccommit.html, "Multi-file commit"). A WAL names no database: what can be seen is looked at.
    """
    journal, wal = draft + "-journal", draft + "-wal"
    if os.path.exists(journal) and _read(journal, -8, 8) == JOURNAL_MAGIC:
        raise Failed(
            f"{file}-journal is of a transaction over several databases and names another file, which SQLite would "
            "delete: have the application that made it open it, and take a copy with `flagon backup`"
        )
    if os.path.exists(wal) and (start := _read(wal, 0, 12))[:4] in WAL_MAGIC:
        size = int.from_bytes(header[16:18], "big")
        if header[18] != WAL_VERSION or int.from_bytes(start[8:12], "big") != (65536 if size == 1 else size):
            raise Failed(f"{file}-wal is of another database: move it away if {file} is whole without it")


def _read(path: str, position: int, size: int) -> bytes:
    """Bytes of a file from a position, from its end if that is below 0."""
    with open(path, "rb") as file:
        file.seek(max(position, -os.path.getsize(path)), os.SEEK_END if position < 0 else os.SEEK_SET)
        return file.read(size)


@contextlib.contextmanager
def _as_damaged(file: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise Failed(f"{file} is no whole SQLite database: {error}") from None


def _pour(descriptor: int, draft: str) -> None:
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb", buffering=0) as file:
        try:
            while piece := os.read(descriptor, 1 << 20):
                while piece:
                    piece = piece[file.write(piece) :]
        except OSError as error:
            raise Failed(f"{draft}: {error.strerror}: nothing was changed") from None


def _put(draft: str, found: Place, was_wal: bool) -> Iterator[str]:
    """The staged copy becomes the database; yields what to say."""
    path = found.path
    if not os.path.exists(path):
        _lay_down(draft, path, was_wal)
        return
    try:
        kept = fresh_name(found.copies, path, "-before-restore")
        write(path, kept, check=False)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # locked, unreadable, full: no word against the file
            raise
        kept = _set_aside(path)
        _lay_down(draft, path, was_wal)
        yield f"{path} was no database any more ({error}); it is kept as {kept}"
        yield "A box that serves still has the old file open: restart it"
        return
    try:
        with copies.full_disk_named(path):
            _replace(draft, path)
    except BaseException:
        os.unlink(kept)  # it holds what it held
        raise
    yield f"what it held is kept as {kept}"


def _lay_down(draft: str, path: str, wal: bool) -> None:
    """Where there is no database: the copy takes the name, in the journal mode that it was made in."""
    if wal:
        with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(draft, 0o644 & ~mask)  # as SQLite makes its files
    sync(draft)
    for end in ("-wal", "-shm", "-journal"):  # of a database that is gone: SQLite would apply them to this one
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + end)
    settle(draft, path)


def _set_aside(path: str) -> str:
    """Rename what is no database, with all that belongs to it."""
    kept = fresh_name(os.path.dirname(path), path, "-damaged")
    for end in ("-wal", "-journal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            os.rename(path + end, kept + end)
    return kept


def _replace(draft: str, path: str) -> None:
    """Through SQLite's own locks into the living file: every connection sees the new content from its next read on."""
    with contextlib.closing(reading(path)) as live:
        wal = _pragma(live, "journal_mode") == "wal"
        with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as staged:
            if wal and _pragma(live, "page_size") != _pragma(staged, "page_size"):
                _match_pages(staged, live, draft)
        with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as staged:
            pour(staged, live, path)
        live.execute(f"PRAGMA busy_timeout = {SETTLE}")
        with contextlib.suppress(sqlite3.OperationalError):
            if wal:
                live.execute("PRAGMA journal_mode = WAL")
                live.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _match_pages(staged: sqlite3.Connection, live: sqlite3.Connection, draft: str) -> None:
    """A WAL database cannot change its page size: take it out of WAL, or rebuild the copy if others are connected."""
    live.execute(f"PRAGMA busy_timeout = {SETTLE}")
    try:
        live.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError:
        staged.execute(f"PRAGMA page_size = {_pragma(live, 'page_size')}")
        try:
            staged.execute("VACUUM")
        except sqlite3.DatabaseError as error:
            raise Failed(f"its pages have another size than the database's: stop the box first ({error})") from None
        check_integrity(draft, "the rebuilt copy")
    finally:
        live.execute(f"PRAGMA busy_timeout = {round(BUSY * 1000)}")


def _pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]
