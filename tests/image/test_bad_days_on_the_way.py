"""Between the box and its data: a pooler, a second host that takes over, TLS. What is refused, and what heals."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from .authority import Authority
from .bad_days import DATABASE_TIMEOUT, SLACK, TIMEOUT, Application, bad_day, starter_in, stranger_image, stranger_in
from .box import Box, docker, wait_until
from .servers import PgBouncer, Postgres, url_of

POOL = 2
SIZE = {"WEB_CONCURRENCY": "2", "THREADS": "4"}
CA = "/ca/ca.crt"


@pytest.fixture(scope="module")
def postgres(net: str) -> Iterator[Postgres]:
    with Postgres(net) as server:
        server.execute("CREATE SCHEMA shop AUTHORIZATION app")
        yield server


@pytest.fixture(scope="module")
def pooler(net: str, postgres: Postgres) -> Iterator[PgBouncer]:
    with PgBouncer(net, postgres, {"POOL_SIZE": str(POOL)}) as server:
        yield server


@pytest.fixture(scope="module")
def pooled(net: str, pooler: PgBouncer) -> Iterator[Application]:
    url = url_of(pooler, schema="shop", pgbouncer="true", connection_limit="5")
    with starter(net, url) as application:
        application.table = "shop.notes"
        yield application


@contextlib.contextmanager
def starter(
    net: str, url: str, timeout: float = DATABASE_TIMEOUT, migrated: bool = True, args: Sequence[str] = (), **env: str
) -> Iterator[Application]:
    env = {"DATABASE_URL": url, "DATABASE_TIMEOUT": str(timeout), **SIZE, **env}
    with Box(env=env, args=["--network", net, *args]) as box:
        if migrated:
            wait_until(lambda: box.get("/ready").status_code == 200, 20, "the schema")
        yield starter_in(box, timeout + SLACK)


def write(application: Application, count: int) -> dict[int, int]:
    """Status -> how often, of so many notes from 16 clients."""
    with ThreadPoolExecutor(16) as pool:
        statuses = [one.status for one in pool.map(application.add, [f"note {n}" for n in range(count)])]
    return {status: statuses.count(status) for status in statuses}


# -- PgBouncer in transaction mode


def test_many_clients_on_few_connections(postgres: Postgres, pooled: Application) -> None:
    """`schema`, `pgbouncer` and `connection_limit` are in the URL; the names are found in every transaction."""
    assert write(pooled, 400) == {201: 400}
    assert postgres.connections() <= POOL
    assert len(pooled.titles(postgres)) == 400
    assert postgres.execute("SELECT to_regclass('public.notes')") == ""


@pytest.mark.parametrize(("given", "refused"), [("on", False), ("off", True)])
def test_prepared_statements_do_not_survive_it(net: str, pooler: PgBouncer, given: str, refused: bool) -> None:
    """DATABASE_POOLED=off is for a direct connection: psycopg prepares what comes often and is never rolled back."""
    with starter(net, pooler.url(), DATABASE_POOLED=given) as application, ThreadPoolExecutor(16) as pool:
        places = [f"/api/notes/{json.loads(application.add('short-lived').text)['id']}" for _ in range(100)]
        statuses = {one.status for one in pool.map(lambda place: application.ask("DELETE", place), places)}
        assert (statuses != {204}) == refused
        assert ("prepared statement" in application.box.logs()) == refused


@pytest.mark.parametrize("which", ["pooler", "postgres"])
def test_the_pooler_or_what_is_behind_it_is_paused(
    postgres: Postgres, pooler: PgBouncer, pooled: Application, which: str
) -> None:
    with bad_day(postgres, pooled) as day:
        with {"pooler": pooler, "postgres": postgres}[which].paused():
            day.refused()
            day.ready_says("timeout")
        day.healed()


@pytest.mark.parametrize("which", ["pooler", "postgres"])
def test_the_pooler_or_what_is_behind_it_is_killed(
    postgres: Postgres, pooler: PgBouncer, pooled: Application, which: str
) -> None:
    server = {"pooler": pooler, "postgres": postgres}[which]
    with bad_day(postgres, pooled) as day:
        time.sleep(0.5)
        server.kill()
        day.refused()
        day.ready_says("host unknown", "refused", "unreachable", "timeout", "shutting down")
        server.start()
        day.healed()


# -- another host


@pytest.mark.parametrize(
    ("how", "timeout"), [("killed", DATABASE_TIMEOUT), pytest.param("paused", 4, marks=pytest.mark.long)]
)
def test_another_host_takes_over(net: str, how: str, timeout: float) -> None:
    """A host that only stands still costs each new connection its part of DATABASE_TIMEOUT, two seconds at least."""
    with Postgres(net) as primary, Postgres.standby_of(primary) as standby, contextlib.ExitStack() as stack:
        primary.execute("CREATE TABLE titles (title text); GRANT ALL ON titles TO app")
        url = url_of(primary, standby, target_session_attrs="read-write")
        applications = [stack.enter_context(starter(net, url, timeout))]
        if how == "killed":
            image = stack.enter_context(stranger_image())
            env = {"DATABASE_URL": url, "TIMEOUT": str(TIMEOUT), **SIZE}
            applications.append(stranger_in(stack.enter_context(Box(image=image, env=env, args=["--network", net]))))
        with bad_day(standby, *applications) as day:
            time.sleep(0.5)
            getattr(primary, {"killed": "kill", "paused": "pause"}[how])()
            day.refused()
            standby.promote()
            day.healed()


@pytest.mark.long
def test_nobody_knows_the_host(net: str) -> None:
    """The resolver gets no answer, and would wait for ten seconds itself."""
    with (
        Postgres(net) as server,
        starter(net, server.url(), args=["--dns", "192.0.2.1"]) as application,
        bad_day(server, application) as day,
    ):
        server.stop()
        day.refused()
        day.ready_says("timeout", "host unknown")
        server.start()
        day.healed()


# -- TLS


def address(server: Postgres) -> str:
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return docker("inspect", "-f", form, server.name).stdout.strip()


def check_refused(application: Application, word: str) -> None:
    wait_until(lambda: application.ready()["database"] == word, 10, f"/ready says {word}")
    for path in ("/", "/api/notes"):
        answer = application.ask(path=path)
        assert (answer.status, answer.retry_after, answer.seconds < 1) == (503, "5", True)
    assert application.ask(path="/up").status == 200


def check_healed(application: Application) -> None:
    wait_until(lambda: application.add("healed").status == 201, 15, "a note")
    wait_until(lambda: application.ready()["database"] == "ok", 5)


def test_a_private_authority(net: str) -> None:
    """The wrong certificate is refused; once the right one lies there, nobody restarts anything."""
    with Authority() as right, Authority() as wrong, Postgres(net, tls=right) as server:
        mount = ["-v", f"{wrong.public}:/ca:ro"]
        url = server.url(sslmode="verify-full", sslrootcert=CA)
        with Box(env={"DATABASE_URL": url, **SIZE}, args=["--network", net, *mount]) as box:
            application = starter_in(box)
            check_refused(application, "certificate refused")
            shutil.copyfile(right.certificate, wrong.certificate)
            check_healed(application)
            asked = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'app'"
            assert server.execute(asked) == "t"
        by_number = url.replace(f"{server.name}:", f"{address(server)}:")
        with Box(env={"DATABASE_URL": by_number, **SIZE}, args=["--network", net, *mount]) as box:
            check_refused(starter_in(box), "certificate refused")


def test_a_server_without_tls_is_refused(net: str) -> None:
    with (
        Authority() as authority,
        Postgres(net) as server,
        starter(net, server.url(sslmode="require"), migrated=False) as application,
    ):
        check_refused(application, "no TLS")
        docker("cp", str(authority.issue("server")), f"{server.name}:/tls")
        for command in ("chown -R postgres: /tls", "chmod 600 /tls/server.key"):
            docker("exec", "-u", "0", server.name, *command.split())
        for name, value in {"cert_file": "/tls/server.crt", "key_file": "/tls/server.key"}.items():
            server.set(f"ssl_{name}", value)
        server.set("ssl", "on")
        check_healed(application)


def test_a_server_that_insists_on_tls_refuses(net: str) -> None:
    with (
        Authority() as authority,
        Postgres(net, tls=authority) as server,
        starter(net, server.url(sslmode="disable"), migrated=False) as application,
    ):
        check_refused(application, "login refused")
        docker("exec", server.name, "sed", "-i", "s/^hostssl/host/", "/var/lib/postgresql/data/pg_hba.conf")
        server.execute("SELECT pg_reload_conf()")
        check_healed(application)
