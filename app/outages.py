"""When the database is the cause, the client is told to come back: 503 and Retry-After. Mistakes of ours stay 500."""

from __future__ import annotations

import re
import sqlite3

import psycopg
import sqlalchemy as sa
from flask import Flask, current_app
from werkzeug.exceptions import HTTPException, ServiceUnavailable
from werkzeug.wrappers import Response

from .database import db
from .errors import show_error

RETRY_AFTER = 5
AWAY = "The database cannot be reached right now. Please try again in a moment."
BUSY = "The database has too much to do right now. Please try again in a moment."
FULL = "The storage is full: nothing can be saved until there is room."
READ_ONLY = "The storage is read-only: nothing can be saved."
NO_TABLES = "The database has no tables for this yet. Run: flask db upgrade"

# Lost, refused, not logged in, no such database, shutting down, too many connections.
POSTGRES = [
    ("42P01", NO_TABLES),
    ("3F000", NO_TABLES),
    ("25006", READ_ONLY),
    ("53100", FULL),
    ("53", BUSY),
    ("55P03|40", BUSY),
    ("08|28|3D000|57P|58", AWAY),
]
SQLITE = [
    ("no such table", NO_TABLES),
    ("readonly|read-only", READ_ONLY),
    ("disk is full", FULL),
    ("locked|busy", BUSY),
    ("unable to open|disk I/O", AWAY),
]


def explain(error: sa.exc.SQLAlchemyError) -> str:
    """What people are told; empty if the database is not to blame."""
    if isinstance(error, sa.exc.TimeoutError):
        return BUSY
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else None
    if isinstance(cause, psycopg.Error):
        # Without a code it never came to an answer; libpq has only words for a refused connection.
        lost = AWAY if isinstance(cause, psycopg.OperationalError) else ""
        return next((text for code, text in POSTGRES if re.match(code, cause.sqlstate or "-")), lost)
    if isinstance(cause, sqlite3.OperationalError):
        return next((text for words, text in SQLITE if re.search(words, str(cause))), "")
    return ""


def reason(error: sa.exc.SQLAlchemyError) -> str:
    """One line for the log, without the statement, its values and the password."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    line = re.sub(r"\s+", " ", str(cause)).strip()
    password = db.engine.url.password
    return line.replace(str(password), "***") if password else line


def show_outage(error: sa.exc.SQLAlchemyError) -> HTTPException | Response:
    told = explain(error)
    if not told:
        raise error
    current_app.logger.error("database: %s", reason(error))
    return show_error(ServiceUnavailable(told, retry_after=RETRY_AFTER))


def init_app(app: Flask) -> None:
    app.register_error_handler(sa.exc.SQLAlchemyError, show_outage)
