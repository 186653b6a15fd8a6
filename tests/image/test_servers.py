"""The servers that the other tests run against do what those tests take for granted."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from .authority import Authority
from .box import docker, wait_until
from .servers import PASSWORD, PgBouncer, Postgres, url_of, volume


@pytest.fixture(scope="module")
def postgres(net: str) -> Iterator[Postgres]:
    with Postgres(net, options={"max_connections": "10"}) as server:
        yield server


def client(net: str, url: str, sql: str, *args: str) -> str:
    """psql in a container of the network: what it said, on both outputs."""
    words = ("run", "--rm", "--network", net, *args, "--entrypoint", "psql", Postgres.image, url, "-XqAtc", sql)
    done = docker(*words, check=False, timeout=30)
    return (done.stdout + done.stderr).strip()


def test_ordinary_role(net: str, postgres: Postgres) -> None:
    asked = "SELECT current_user, rolsuper, current_database() FROM pg_roles WHERE rolname = current_user"
    assert client(net, postgres.url(), asked) == "app|f|app"
    assert "password authentication failed" in client(net, postgres.url(password="wrong"), asked)
    assert '"absent" does not exist' in client(net, postgres.url(database="absent"), asked)
    with psycopg.connect(postgres.dsn) as session:
        assert session.execute("CREATE TABLE mine AS SELECT 1 AS n").rowcount == 1


def test_full(postgres: Postgres) -> None:
    """max_connections counts three that only a superuser gets."""
    held = []
    try:
        for _ in range(7):
            held.append(psycopg.connect(postgres.dsn))
        with pytest.raises(psycopg.OperationalError, match="remaining connection slots are reserved"):
            psycopg.connect(postgres.dsn)
        assert postgres.connections() == 7
        assert postgres.answers()
    finally:
        for session in held:
            session.close()


def test_paused(postgres: Postgres) -> None:
    dsn = postgres.dsn
    with postgres.paused(), pytest.raises(psycopg.OperationalError, match="timeout"):
        psycopg.connect(f"{dsn} connect_timeout=2")
    wait_until(lambda: postgres.execute("SELECT 1") == "1")


def test_data_survives(net: str) -> None:
    """kill -9 and start again; then another container on the same volume."""
    with volume() as data:
        with Postgres(net, volume=data) as server:
            server.execute("CREATE TABLE kept AS SELECT 7 AS n")
            server.kill()
            server.start()
            assert server.execute("SELECT n FROM kept") == "7"
            server.stop()
            assert "database system is shut down" in server.logs()
        with Postgres(net, volume=data) as server:
            assert server.execute("SELECT n FROM kept") == "7"


def test_tls(net: str) -> None:
    with Authority() as authority, Authority() as other, Postgres(net, tls=authority) as server:
        asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        for trusted, answer in ((authority, "t"), (other, "certificate verify failed")):
            url = server.url(sslmode="verify-full", sslrootcert="/ca/ca.crt")
            assert answer in client(net, url, asked, "-v", f"{trusted.public}:/ca:ro")
        refused = client(net, server.url(sslmode="disable"), asked)
        assert "no pg_hba.conf entry" in refused
        assert "no encryption" in refused


def test_failover(net: str) -> None:
    with Postgres(net) as primary, Postgres.standby_of(primary) as standby:
        url = url_of(standby, primary, target_session_attrs="read-write", connect_timeout="3")
        assert client(net, url, "CREATE TABLE kept AS SELECT 7 AS n; SELECT pg_is_in_recovery()") == "f"
        assert "read-only transaction" in client(net, standby.url(), "CREATE TABLE lost (n int)")
        primary.kill()
        standby.promote()
        assert client(net, url, "INSERT INTO kept VALUES (8); SELECT sum(n) FROM kept") == "15"


def test_transaction_pooling(net: str, postgres: Postgres) -> None:
    """Two clients share one server session, so what a session was told is seen by the other."""
    with PgBouncer(net, postgres, options={"POOL_SIZE": "1"}) as pooler:
        first, second = (psycopg.connect(pooler.dsn, autocommit=True) for _ in range(2))
        with first, second:
            backends = {one.execute("SELECT pg_backend_pid()").fetchone() for one in (first, second)}
            assert len(backends) == 1
            first.execute("PREPARE named AS SELECT 42")
            assert second.execute("EXECUTE named").fetchone() == (42,)
        assert client(net, pooler.url(), "SELECT 1") == "1"
        assert PASSWORD not in pooler.logs()
