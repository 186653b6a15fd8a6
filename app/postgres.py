"""Postgres: the pool, the search path, and a deadline that holds even when the server says nothing at all."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Generator
from concurrent.futures import Future
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from flask import g, has_request_context
from psycopg._conninfo_attempts import conninfo_attempts
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import _WaitTimeout

from .settings import Database

T = TypeVar("T")
# Proxies close idle connections after five to ten minutes; a dead peer is noticed after about a minute.
RECYCLE = 300
KEEPALIVES = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


class Connection(psycopg.Connection[Any]):
    """Waits in a request no longer than `limit`.

    No setting of the server helps when the server itself stands still, and the kernel still acknowledges what we send.
    Only the first wait of a request may run out: reconnecting must not add a second limit to the first. Outside of a
    request (migrations, commands) a wait takes what it takes.
    """

    limit = 5.0

    def wait(self, gen: Generator[Any, Any, T], interval: float = 0.1, timeout: float | None = None) -> T:
        if timeout is not None or not has_request_context():
            return super().wait(gen, interval, timeout)
        refuse_after_deadline()
        try:
            return super().wait(gen, interval, self.limit)
        except _WaitTimeout:
            self.close()  # its answer may still come, to the next question
            raise deadline_passed(f"no answer within {self.limit:g} s") from None
        except psycopg.InternalError as error:
            if error.sqlstate:
                raise
            self.close()  # two answers to one question: to the last one of a server that died a pooler adds its own
            raise psycopg.OperationalError(str(error)) from None

    def rollback(self) -> None:
        """Never an error, never an endless wait: it comes at the end of a request, outside of its context.

        The server undoes what a lost connection had begun, and the pool opens another.
        """
        try:
            with self.lock:
                self.wait(self._rollback_gen(), timeout=self.limit)
        except (psycopg.Error, _WaitTimeout):
            self.close()

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Connection:
        if has_request_context():
            options |= looked_up(cls.limit, conninfo_to_dict(conninfo, **options))
        return super().connect(conninfo, **options)

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> Generator[Any, Any, Any]:
        connecting = super()._connect_gen(conninfo)
        return within(cls.limit, connecting) if has_request_context() else connecting


def within(limit: float, connecting: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
    """The generator, ended when all attempts to connect of this request have taken the limit together."""
    refuse_after_deadline()
    ends = g.setdefault("database_connecting_ends", monotonic() + limit)
    state = next(connecting)
    while True:
        ready = yield state
        if monotonic() > ends:
            connecting.close()
            raise deadline_passed(f"no connection within {limit:g} s")
        try:
            state = connecting.send(ready)
        except StopIteration as done:
            g.pop("database_connecting_ends", None)
            return done.value  # type: ignore[no-any-return]


def looked_up(limit: float, options: dict[str, Any]) -> dict[str, str]:
    """The hosts with their addresses. A resolver that nobody answers takes ten seconds, and cannot be interrupted."""
    refuse_after_deadline()
    found: Future[list[dict[str, Any]]] = Future()

    def look_up() -> None:
        try:
            found.set_result(conninfo_attempts(options))
        except Exception as error:
            found.set_exception(error)

    Thread(target=look_up, name="resolver", daemon=True).start()
    try:
        attempts = found.result(limit)
    except concurrent.futures.TimeoutError:  # another than the built-in one before Python 3.11
        raise deadline_passed(f"no address of the host within {limit:g} s") from None
    keys = [key for key in ("host", "hostaddr", "port") if any(one.get(key) for one in attempts)]
    return {key: ",".join(str(one.get(key) or "") for one in attempts) for key in keys}


def deadline_passed(reason: str) -> psycopg.OperationalError:
    g.database_deadline_passed = True
    return psycopg.OperationalError(reason)


def refuse_after_deadline() -> None:
    if g.get("database_deadline_passed"):
        raise psycopg.OperationalError("the database did not answer before in this request")


def engine_options(url: sa.URL, given: Database) -> dict[str, Any]:
    hosts = url.query.get("host", "")
    shares = len(hosts) if isinstance(hosts, tuple) else hosts.count(",") + 1
    # psycopg takes the timeout for each host, and two seconds at least; `limit` holds for all of them.
    options: dict[str, Any] = {"connect_timeout": max(2, int(given.timeout / shares)), **KEEPALIVES}
    options = {key: value for key, value in options.items() if key not in url.query}
    if given.pooled:
        options["prepare_threshold"] = None
    return {
        "pool_size": max(1, given.threads),
        "max_overflow": 0,
        "pool_timeout": given.timeout,
        "pool_recycle": RECYCLE,
        "connect_args": options,
    }


def listen(engine: sa.Engine, given: Database) -> None:
    class Limited(Connection):
        limit = given.timeout

    @sa.event.listens_for(engine, "do_connect")
    def connect(dialect: sa.Dialect, record: Any, positional: list[Any], named: dict[str, Any]) -> Any:
        return Limited.connect(*positional, **named)

    if given.schema:
        # For this transaction only: a transaction pooler gives the next one another connection.
        @sa.event.listens_for(engine, "begin")
        def search(connection: sa.Connection) -> None:
            statement = sa.text("SELECT set_config('search_path', :path, true)")
            connection.execute(statement, {"path": quoted(given.schema)})


def quoted(path: str) -> str:
    """A search path whose names keep their case, as they do in the URLs of other tools."""
    if '"' in path:
        return path
    return ", ".join('"' + name.strip() + '"' for name in path.split(","))
