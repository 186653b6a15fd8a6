"""The database as Flagon itself asks it, for readiness and migrations: one connection, one answer, one word if not.

Takes the drivers that the application has: psycopg 3, else psycopg2; sqlite3 is Python's own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

# SQLSTATE (PostgreSQL, appendix A): connection exceptions, shutdowns, no connection or memory left; not a full disk.
DROPPED = ("08", "57P0", "53200", "53300", "53400")
WORTH_WAITING = ("28P01", "28000", "3D000", "40P01", "55P03", "40001")  # login, no such database yet, locks of others
MYSQL_DROPPED = (1040, 1053, 2002, 2003, 2006, 2013)  # too many connections, shutdown, gone; others are the statement's
WORDS = {
    "28P01": "password refused",
    "28000": "login refused",
    "3D000": "database missing",
    "53300": "no connection left",
    "57P03": "starting up",
    "57P01": "shutting down",
    "57P02": "shutting down",
    "42501": "permission denied",
}
# libpq and psycopg tell an early refusal by its words alone: the server's SQLSTATE is not kept.
PHRASES = (
    ("password authentication failed", "password refused"),
    ("no password supplied", "password refused"),
    ("no pg_hba.conf entry", "login refused"),
    ("too many clients", "no connection left"),
    ("remaining connection slots", "no connection left"),
    ("too many connections", "no connection left"),
    ("starting up", "starting up"),
    ("shutting down", "shutting down"),
    ("recovery mode", "starting up"),
    ("certificate", "certificate refused"),
    ("does not support ssl", "no TLS"),
    ("timeout expired", "timeout"),
    ("timed out", "timeout"),
    ("could not translate host", "host unknown"),
    ("name or service not known", "host unknown"),
    ("name resolution", "host unknown"),
    ("failed to resolve", "host unknown"),
    ("connection refused", "refused"),
    ("is locked", "locked"),
    ("unable to open", "cannot be opened"),
    ("readonly", "read-only"),
    ("disk is full", "disk full"),
    ("not a database", "no SQLite file"),
    ("malformed", "damaged"),
)


class Unknown(Exception):
    """Nothing here can ask this database: its kind or its driver is not known."""


def driver() -> Any:
    """psycopg or psycopg2, whichever the application has. Raises Unknown."""
    try:
        import psycopg

        return psycopg
    except ImportError:
        pass
    try:
        import psycopg2

        return psycopg2
    except ImportError:
        raise Unknown("neither psycopg nor psycopg2 is installed") from None


def connect(database: dict[str, Any], timeout: float) -> Any:
    """A DB-API connection of our own; `timeout` in seconds bounds connecting. Raises the driver's errors, Unknown."""
    if database["kind"] == "postgresql":
        options = {"connect_timeout": str(max(2, round(timeout))), "application_name": "flagon", **database["libpq"]}
        found = driver()
        connection = found.connect(**options)
        if found.__name__ == "psycopg":
            connection.prepare_threshold = None  # a transaction pooler may be between
        return connection
    if database["kind"] == "sqlite" and database["path"]:
        import sqlite3
        from urllib.parse import quote

        # Beside a file in WAL mode SQLite wants to write; where nobody can, nothing changes either.
        unchanging = "" if os.access(os.path.dirname(database["path"]), os.W_OK) else "&immutable=1"
        uri = f"file:{quote(database['path'])}?mode=ro{unchanging}"
        return sqlite3.connect(uri, timeout=timeout, uri=True, check_same_thread=False)
    if database["kind"] == "none":
        raise Unknown("no DATABASE_URL is given")
    raise Unknown("no driver of ours for this kind of database")


def turned(database: dict[str, Any], times: int) -> dict[str, Any]:
    """The same, another host of its list in front: one that stands still would take all the time that there is."""
    libpq = dict(database["libpq"])
    for key in {"host", "hostaddr", "port"} & libpq.keys():
        values = libpq[key].split(",")
        first = times % len(values)
        libpq[key] = ",".join(values[first:] + values[:first])
    return {**database, "libpq": libpq}


def revisions(connection: Any, database: dict[str, Any], table: str, schema: str) -> set[str] | None:
    """What the version table holds; None if there is no such table. One short transaction."""
    name = ".".join('"' + part.replace('"', '""') + '"' for part in (schema, table) if part)
    cursor = connection.cursor()
    try:
        if database["kind"] == "sqlite":
            there = cursor.execute("select 1 from sqlite_master where type = 'table' and name = ?", (table,)).fetchone()
        else:
            search(cursor, database)
            cursor.execute("select to_regclass(%s)", (name,))
            there = cursor.fetchone()[0]
        if not there:
            return None
        cursor.execute(f"select version_num from {name}")
        return {str(row[0]) for row in cursor.fetchall()}
    finally:
        connection.rollback()


def search(cursor: Any, database: dict[str, Any]) -> None:
    """The URL's schema, for this transaction: a transaction pooler accepts that, and no startup option."""
    if database["schema"]:
        parts = (part.strip().strip('"') for part in database["schema"].split(","))
        cursor.execute("set local search_path to " + ", ".join('"' + part.replace('"', '""') + '"' for part in parts))


def word(error: BaseException) -> str:
    """What an error comes down to, in a word or two; never its text, which may name hosts and users."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if state in WORDS:
        return WORDS[state]
    text = str(error).lower()
    for phrase, meaning in PHRASES:
        if phrase in text:
            return meaning
    if "does not exist" in text and "database" in text:
        return "database missing"
    if isinstance(error, Unknown):
        return "no driver"
    return "unreachable" if state is None else f"error {state}"


def lost(error: BaseException) -> bool:
    """Whether the database is away, and not what was asked of it wrong. Looks through SQLAlchemy's wrapper."""
    inner = getattr(error, "orig", None) or error
    if type(error).__module__.startswith("django."):  # its wrapper
        inner = error.__cause__ or error
    state = getattr(inner, "sqlstate", None) or getattr(inner, "pgcode", None)
    if getattr(error, "connection_invalidated", False):
        return True
    if state is not None:
        return str(state).startswith((*DROPPED, *WORTH_WAITING))
    library, name = type(inner).__module__.partition(".")[0], type(inner).__name__
    if library in ("psycopg", "psycopg2"):  # without a state it is of connecting, or of an answer that never came
        return any(kind.__name__ == "OperationalError" for kind in type(inner).__mro__) or name == "InterfaceError"
    if library in ("pg8000", "asyncpg"):
        return name == "InterfaceError" or isinstance(inner, OSError)
    return bool(inner.args) and inner.args[0] in MYSQL_DROPPED


@contextlib.contextmanager
def cut_after(connection: Any, seconds: float) -> Iterator[None]:
    """End the connection if what is asked in the body has no answer by then."""
    timer = threading.Timer(seconds, cut, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def cut(connection: Any) -> None:
    """End a connection from another thread: whoever waits on it fails at once."""
    with contextlib.suppress(Exception):
        copy = socket.socket(fileno=os.dup(connection.fileno()))
        with copy:
            copy.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def closing(connection: Any) -> Iterator[Any]:
    """Close it, whatever state it is in."""
    try:
        yield connection
    finally:
        with contextlib.suppress(Exception):
            connection.close()
