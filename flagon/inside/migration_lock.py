"""Nobody else migrates meanwhile: an advisory lock on Postgres, the kernel's lock on a file beside SQLite."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from flagon.inside import database
from flagon.inside.sqlite_lock import lock

NUMBER = 0x464C41474F4E  # "FLAGON": advisory locks are numbers that all users of a database share
POLL = 0.5
CONNECT_LIMIT = 2.0
ANSWER_LIMIT = 5.0  # a pooler before a dead server accepts the login and then says nothing
# One statement for servers that know fewer of these: whoever holds the lock is idle, and must not be taken for lost.
NO_LIMITS = (
    "select set_config(name, '0', true) from pg_settings where name in "
    "('idle_in_transaction_session_timeout', 'transaction_timeout', 'statement_timeout')"
)


class Away(Exception):
    """The database cannot be asked now; the text says why in a word."""


class Busy(Exception):
    """Somebody else migrates, and our time is over."""


class Lock:
    """The lock, once it is ours."""

    def __init__(self, connection: Any = None) -> None:
        self.connection = connection

    def lost(self) -> bool:
        """Whether its connection has died: then the database went away, whatever the tool says."""
        if self.connection is None:
            return False
        try:
            with database.cut_after(self.connection, ANSWER_LIMIT):
                self.connection.cursor().execute("select 1")
        except Exception:
            return True
        return False


@contextlib.contextmanager
def hold(store: dict[str, Any], path: str, deadline: float | None, waiting: Callable[[], None]) -> Iterator[Lock]:
    """Take the lock of a database, or of the SQLite file `path`; `waiting` is called while another has it.

    Raises Away, Busy (after `deadline`).
    """
    if path:
        with lock(path) as mine:
            if not mine:
                waiting()
                raise Busy("another migration of this file runs")
            yield Lock()
        return
    try:
        connection = database.connect(store, CONNECT_LIMIT)
    except database.Unknown:
        yield Lock()
        return
    except Exception as error:
        raise away(error) from None
    with database.closing(connection):
        _take(connection, deadline, waiting)
        yield Lock(connection)


def _take(connection: Any, deadline: float | None, waiting: Callable[[], None]) -> None:
    """An advisory lock that ends with its transaction, so it holds through a transaction pooler too."""
    try:
        cursor = connection.cursor()
        while True:
            with database.cut_after(connection, ANSWER_LIMIT):
                cursor.execute(NO_LIMITS)
                cursor.execute(f"select pg_try_advisory_xact_lock({NUMBER})")
                if cursor.fetchone()[0]:
                    return
                connection.rollback()  # who waits must not hold a pooler's connection that the migration needs
            waiting()
            if deadline is not None and time.monotonic() > deadline:
                raise Busy("another migration holds the lock")
            time.sleep(POLL)
    except Busy:
        raise
    except Exception as error:
        raise away(error) from None


def away(error: Exception) -> Away:
    return Away(f"the database does not answer: {database.word(error)}")
