"""Postgres's bad days, made for real: what clients get meanwhile, what /ready says, and that all heals by itself."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from .bad_days import DATABASE_TIMEOUT, SLACK, TIMEOUT, Application, bad_day, starter_in, stranger_image, stranger_in
from .box import Box, docker, wait_until
from .servers import PASSWORD, Postgres

WORKERS, THREADS = 2, 4
SIZE = {"WEB_CONCURRENCY": str(WORKERS), "THREADS": str(THREADS)}
OTHER = "nobody-knows-this"
LAST = """
import time
import sqlalchemy as sa
from app import create_app
from app.database import db
app = create_app()
@app.get("/last")
def last():
    global left
    db.session.execute(sa.text("select 1"))
    print("answered", flush=True)
    time.sleep(2)
    left = time.monotonic()
    return ""
print(app.test_client().get("/last").status_code, time.monotonic() - left)
"""


@pytest.fixture(scope="module")
def postgres(net: str) -> Iterator[Postgres]:
    with Postgres(net, options={"max_connections": "30"}) as server:
        server.execute("CREATE TABLE titles (title text); GRANT ALL ON titles TO app")
        server.execute("CREATE ROLE greedy LOGIN PASSWORD 'greedy'")
        yield server


@pytest.fixture(scope="module")
def starter(net: str, postgres: Postgres) -> Iterator[Application]:
    env = {"DATABASE_URL": postgres.url(), "DATABASE_TIMEOUT": str(DATABASE_TIMEOUT), **SIZE}
    with Box(env=env, args=["--network", net]) as box:
        wait_until(lambda: box.get("/ready").status_code == 200, 20, "the schema")
        yield starter_in(box)


@pytest.fixture(scope="module")
def stranger(net: str, postgres: Postgres) -> Iterator[Application]:
    env = {"DATABASE_URL": postgres.url(), "TIMEOUT": str(TIMEOUT), **SIZE}
    with stranger_image() as image, Box(image=image, env=env, args=["--network", net]) as box:
        yield stranger_in(box)


def end_sessions(postgres: Postgres) -> None:
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")


def test_restarted_between_two_requests(postgres: Postgres, starter: Application, stranger: Application) -> None:
    """No client of the starter sees it: each pooled connection is tried before it is used."""
    for application in (starter, stranger):
        with ThreadPoolExecutor(16) as pool:
            assert {one.status for one in pool.map(application.add, [f"before {n}" for n in range(32)])} == {201}
    postgres.restart()
    for application in (starter, stranger):
        with ThreadPoolExecutor(16) as pool:
            assert {one.status for one in pool.map(application.add, [f"after {n}" for n in range(32)])} == {201}


def test_killed_and_started(postgres: Postgres, starter: Application, stranger: Application) -> None:
    with bad_day(postgres, starter, stranger) as day:
        time.sleep(0.5)
        postgres.kill()
        day.refused()
        day.ready_says("host unknown", "refused", "unreachable")
        postgres.start()
        day.healed()


def test_paused(postgres: Postgres, starter: Application, stranger: Application) -> None:
    """Its sockets acknowledge, so nothing but the client's own clock ends a wait; pages without data go on."""
    with bad_day(postgres, starter, stranger) as day:
        time.sleep(0.5)
        with postgres.paused():
            day.refused()
            day.refused()
            day.ready_says("timeout")
            for path in ("/", "/static/flagon.svg"):
                answers = [starter.ask(path=path) for _ in range(10)]
                assert {one.status for one in answers} == {200}
                assert max(one.seconds for one in answers) < 1
        day.healed()


@pytest.mark.parametrize("fault", ["cut", "paused"])
def test_between_the_last_answer_and_the_end_of_the_request(
    postgres: Postgres, starter: Application, fault: str
) -> None:
    """The transaction is rolled back when the answer is made already: no error then, and no endless wait."""
    words = ["docker", "exec", "-w", "/opt/flagon/starter", starter.box.name, "flagon", "python", "-c", LAST]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        assert run.stdout
        wait_until(lambda: "answered" in str(run.stdout and run.stdout.readline()), 20)
        with postgres.paused() if fault == "paused" else contextlib.nullcontext(end_sessions(postgres)):
            told = run.communicate(timeout=30)[0].strip()
    assert told.startswith("200 ")
    assert float(told.split()[1]) < DATABASE_TIMEOUT + SLACK


def test_more_clients_than_threads_while_it_is_paused(postgres: Postgres, starter: Application) -> None:
    """Whoever waits for a thread waits for those before it, too; BACKLOG bounds the queue."""
    with postgres.paused(), ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(starter.add, [f"crowd {n}" for n in range(16)]))
        rounds = 16 // (WORKERS * THREADS)
        print(f"16 clients, {WORKERS * THREADS} threads: at most {max(one.seconds for one in answers):.2f} s")
        assert {one.status for one in answers} == {503}
        assert max(one.seconds for one in answers) <= rounds * DATABASE_TIMEOUT + 1.5
    wait_until(lambda: starter.add("healed").status == 201, 10)


def test_the_roles_connection_limit(postgres: Postgres, starter: Application, stranger: Application) -> None:
    with bad_day(postgres, starter, stranger) as day:
        postgres.execute("ALTER ROLE app CONNECTION LIMIT 0")
        end_sessions(postgres)
        day.refused()
        day.ready_says("no connection left")
        postgres.execute("ALTER ROLE app CONNECTION LIMIT -1")
        day.healed()


def take_all(stack: contextlib.ExitStack, dsn: str) -> None:
    with contextlib.suppress(psycopg.OperationalError):
        while True:
            stack.enter_context(psycopg.connect(dsn))


def test_the_servers_connection_limit(postgres: Postgres, starter: Application, stranger: Application) -> None:
    """Somebody else holds every connection that the server has."""
    dsn = f"host=127.0.0.1 port={postgres.host_port} user=greedy password=greedy dbname=app"
    with bad_day(postgres, starter, stranger) as day:
        with contextlib.ExitStack() as held:
            take_all(held, dsn)
            end_sessions(postgres)
            for _ in range(10):
                take_all(held, dsn)
            day.refused()
            day.ready_says("no connection left")
        day.healed()


def test_another_password(postgres: Postgres, starter: Application, stranger: Application) -> None:
    with bad_day(postgres, starter, stranger) as day:
        postgres.execute(f"ALTER ROLE app PASSWORD '{OTHER}'")
        end_sessions(postgres)
        day.refused()
        day.ready_says("password refused")
        postgres.execute("ALTER ROLE app PASSWORD '{}'".format(PASSWORD.replace("'", "''")))
        day.healed()


def test_the_database_is_missing(postgres: Postgres, starter: Application, stranger: Application) -> None:
    with bad_day(postgres, starter, stranger) as day:
        postgres.execute("ALTER DATABASE app ALLOW_CONNECTIONS false", "postgres")
        postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app'", "postgres")
        postgres.execute("ALTER DATABASE app RENAME TO elsewhere", "postgres")
        day.refused()
        day.ready_says("database missing")
        postgres.execute("ALTER DATABASE elsewhere RENAME TO app", "postgres")
        postgres.execute("ALTER DATABASE app ALLOW_CONNECTIONS true", "postgres")
        day.healed()


def test_not_there_at_boot(net: str, stranger: Application) -> None:
    """The port opens, the schema waits; then the server comes, then its database, and nobody restarts anything."""
    with Postgres(net) as server:
        server.execute("DROP DATABASE app", "postgres")
        server.stop()
        env = {"DATABASE_URL": server.url(), "DATABASE_TIMEOUT": str(DATABASE_TIMEOUT), **SIZE}
        with Box(env=env, args=["--network", net]) as box:
            application = starter_in(box)
            check_waiting(application, "host unknown", "refused", "unreachable")
            docker("start", server.name)
            check_waiting(application, "database missing")
            wait_until(lambda: server.running() and "1" in server.execute("SELECT 1", "postgres"), 10)
            server.execute("CREATE DATABASE app OWNER app", "postgres")
            wait_until(lambda: application.add("here").status == 201, 15, "the migration")
            assert application.ready() == {"serving": "ok", "database": "ok", "migrations": "ok"}
            assert application.titles(server) == {"here"}


def check_waiting(application: Application, *words: str) -> None:
    wait_until(lambda: application.ready()["database"] in words, 10, f"/ready says {words}")
    assert application.ready()["migrations"] == "waiting"
    for path in ("/", "/notes", "/api/notes"):
        answer = application.ask(path=path)
        assert (answer.status, answer.retry_after) == (503, "5")
        assert answer.seconds < 1
    assert application.ask(path="/up").status == 200


def test_connections_are_counted(postgres: Postgres, starter: Application, stranger: Application) -> None:
    """One for each thread, none more in a crowd, and none is left over after all these days."""
    for application, count, kept in ((starter, 500, WORKERS * THREADS), (stranger, 200, 0)):
        end_sessions(postgres)
        with ThreadPoolExecutor(16) as pool:
            answers = [pool.submit(application.add, f"count {n}") for n in range(count)]
            most = 0
            while not all(one.done() for one in answers):
                most = max(most, postgres.connections())
        assert {one.result().status for one in answers} == {201}
        left = wait_until(lambda kept=kept: (n := postgres.connections()) <= kept and n + 1, 5) - 1
        print(f"{application.table}: {count} requests of 16 clients: at most {most} connections, {left} afterwards")
        assert most <= WORKERS * THREADS
