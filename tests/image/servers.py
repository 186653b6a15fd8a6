"""Postgres and PgBouncer as containers: started on a network of the test's own, hurt in every way, and removed.

with network() as net, Postgres(net) as postgres, Box(env={"DATABASE_URL": postgres.url()}, args=["--network", net]):
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, urlencode

from psycopg import pq

from .authority import Authority
from .box import docker, wait_until, write_files
from .networked import DEADLINE, Server, network, open_servers, volume

__all__ = [
    "DATABASE",
    "PASSWORD",
    "POSTGRES",
    "USER",
    "PgBouncer",
    "Postgres",
    "network",
    "open_servers",
    "url_of",
    "volume",
]

POSTGRES = "flagon-test-postgres"
PGBOUNCER = "flagon-test-pgbouncer"
DATABASE = "app"
# An ordinary role that owns the database, as a hosting company gives one: no superuser, no reserved connections.
USER = "app"
# Every character that a URL, a template or a shell could trip over.
PASSWORD = "p@s:s/w%2Fo?r&d# $1'"
ROLE = f"""CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD.replace("'", "''")}';
ALTER DATABASE {DATABASE} OWNER TO {USER};
"""


def url_of(
    *servers: Database, user: str = USER, password: str = PASSWORD, database: str = DATABASE, **query: str
) -> str:
    """The URL for containers on the network; several servers give a multi-host URL."""
    hosts = ",".join(f"{server.name}:{server.port}" for server in servers)
    tail = f"?{urlencode(query, quote_via=quote)}" if query else ""
    return f"postgresql://{quote(user, '')}:{quote(password, '')}@{hosts}/{quote(database, '')}{tail}"


class Database(Server):
    """Speaks Postgres's protocol."""

    def answers(self) -> bool:
        """Accepts sessions; being full or refusing this one counts as an answer, starting up does not."""
        return pq.PGconn.ping(f"{self.dsn} connect_timeout=2".encode()) == pq.Ping.OK

    @property
    def dsn(self) -> str:
        """For a client on this machine, as libpq's keywords."""
        password = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
        return f"host=127.0.0.1 port={self.host_port} user={USER} password='{password}' dbname={DATABASE}"

    def url(self, **more: str) -> str:
        """For containers on the network: `user`, `password`, `database`; the rest is the query (sslmode="require")."""
        return url_of(self, **more)


class Postgres(Database):
    """Postgres 17 with an empty database that belongs to an ordinary role.

    options     server settings: {"max_connections": "10"}
    tls         an Authority: its certificate for this host name, and no session without TLS
    volume      a named volume for the data; without one the data lives as long as the container
    """

    port, image = 5432, POSTGRES

    def __init__(
        self,
        network: str,
        options: Mapping[str, str] | None = None,
        tls: Authority | None = None,
        volume: str = "",
        primary: Postgres | None = None,
        name: str = "",
    ) -> None:
        super().__init__(network, name)
        self.network, self.tls, self.primary = network, tls, primary
        self.arguments = [word for key, value in (options or {}).items() for word in ("-c", f"{key}={value}")]
        self._scripts: Path | None = write_files({"role.sql": ROLE})
        self.words += ["-e", "POSTGRES_PASSWORD=superuser", "-e", f"POSTGRES_DB={DATABASE}"]
        self.words += ["-v", f"{self._scripts}:/docker-entrypoint-initdb.d:ro"]
        if primary:
            self.words += ["-e", f"STANDBY_OF={primary.name}"]
        if tls:
            self.words += ["-v", f"{tls.issue(self.name)}:/tls:ro"]
        if volume:
            self.words += ["-v", f"{volume}:/var/lib/postgresql/data"]

    @classmethod
    def standby_of(cls, primary: Postgres, **more: str) -> Postgres:
        """A hot standby; the primary then acknowledges a commit only when the standby has it, so promoting loses none.

        While the standby is away, commits on the primary wait: `primary.release()` ends that.
        """
        return cls(primary.network, primary=primary, **more)

    def __enter__(self):  # type: ignore[no-untyped-def]
        super().__enter__()
        if self.primary:
            primary = self.primary
            wait_until(lambda: primary.execute("SELECT 1 FROM pg_stat_replication"), DEADLINE, "replication")
            primary.set("synchronous_standby_names", "*")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._scripts:
            shutil.rmtree(self._scripts, ignore_errors=True)

    def execute(self, sql: str, database: str = DATABASE, timeout: float = 20) -> str:
        """As the superuser, inside the container, whatever the network's rules: rows as text, `|` between columns."""
        words = ("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-c", sql)
        return docker("exec", self.name, *words, timeout=timeout).stdout.strip()

    def set(self, name: str, value: str) -> None:
        """ALTER SYSTEM, at once."""
        before = self.execute("SELECT pg_conf_load_time()")
        self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")
        wait_until(lambda: self.execute("SELECT pg_conf_load_time()") != before, 5, "the configuration to be loaded")

    def promote(self) -> None:
        """The standby becomes the server that takes writes."""
        assert self.execute("SELECT pg_promote(true, 15)") == "t", "promotion failed"
        self.set("synchronous_standby_names", "")

    def release(self) -> None:
        """Commits wait for no standby any more."""
        self.set("synchronous_standby_names", "")

    def connections(self, user: str = USER) -> int:
        """Sessions that this role holds now."""
        return int(self.execute(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}'"))


class PgBouncer(Database):
    """PgBouncer before a Postgres, in transaction mode; `options` are the variables of its entrypoint.

    POOL_SIZE 20, MAX_CLIENTS 100, MAX_PREPARED_STATEMENTS 0 (none survive a transaction), QUERY_WAIT 120.
    """

    port, image = 6432, PGBOUNCER

    def __init__(self, network: str, postgres: Postgres, options: Mapping[str, str] | None = None) -> None:
        super().__init__(network)
        given = {"DB_HOST": postgres.name, "DB_USER": USER, "DB_PASSWORD": PASSWORD, **(options or {})}
        self.words += [word for name, value in given.items() for word in ("-e", f"{name}={value}")]
