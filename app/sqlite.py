"""SQLite for several processes at once: readers beside a writer, writers that wait for each other."""

from __future__ import annotations

import os
import sqlite3
from typing import Any

import sqlalchemy as sa
from flask import has_request_context, request

from .settings import Database

READING = {"GET", "HEAD", "OPTIONS"}


def engine_options(url: sa.URL, given: Database) -> dict[str, Any]:
    # A writer waits this long for the one before it.
    options: dict[str, Any] = {"connect_args": {"timeout": given.timeout}}
    if url.database and url.database != ":memory:":
        options |= {"pool_size": max(1, given.threads), "max_overflow": 0, "pool_timeout": given.timeout}
    return options


def listen(engine: sa.Engine, given: Database) -> None:
    sa.event.listen(engine, "do_connect", connect)
    sa.event.listen(engine, "begin", begin)


def connect(dialect: sa.Dialect, record: Any, positional: list[Any], named: dict[str, Any]) -> sqlite3.Connection:
    connection: sqlite3.Connection = sqlite3.connect(*positional, **named)
    try:
        prepare(connection)
    except sqlite3.OperationalError:
        connection.close()
        path = str(positional[0])
        if not os.path.isfile(path) or os.access(os.path.dirname(path), os.W_OK) or has_rest(path):
            raise
        # On a read-only disk SQLite cannot make the files that it keeps beside the database.
        connection = sqlite3.connect(f"file:{escaped(path)}?immutable=1", uri=True, **named)
        prepare(connection)
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    connection.isolation_level = None  # SQLAlchemy and `begin` below decide when a transaction starts
    # Both cases of every alphabet: SQLite's own lower() knows English only.
    connection.create_function("lower", 1, lower, deterministic=True)
    connection.execute("PRAGMA foreign_keys = ON")
    try:
        connection.execute("PRAGMA journal_mode = WAL")  # kept in the file; a read-only one is read as it is
    except sqlite3.OperationalError:
        connection.execute("SELECT count(*) FROM sqlite_master")


def lower(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else text


def has_rest(path: str) -> bool:
    """Writes that lie beside the file still: without them it is not whole."""
    return os.path.isfile(path + "-wal") and os.path.getsize(path + "-wal") > 0


def escaped(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def begin(connection: sa.Connection) -> None:
    """Whoever will write queues at the start: SQLite refuses a reader that becomes a writer too late."""
    if has_request_context() and request.method in READING:
        connection.exec_driver_sql("BEGIN")
        return
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except sa.exc.OperationalError as error:
        if "readonly" not in str(error.orig):
            raise
        connection.exec_driver_sql("BEGIN")
