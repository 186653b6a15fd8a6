"""Migrations on Postgres: once, however many start; retried while it is away; undone as a whole when they fail."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator

import pytest

from .box import IMAGE, Box, env_options, name_for, run_once, size, wait_until, write_files
from .servers import PgBouncer, Postgres, url_of
from .test_migrate import BAD, IN_IMAGE, KILL, SLOW, next_revision


@pytest.fixture(scope="module")
def postgres(net: str) -> Iterator[Postgres]:
    with Postgres(net) as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """An empty database's name."""
    name = name_for().replace("-", "_")
    postgres.execute(f'CREATE DATABASE "{name}" OWNER app')
    yield name
    postgres.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def starter(net: str, url: str, body: str | None = None, **more: object) -> Box:
    env = {"DATABASE_URL": url, **more.pop("env", {})}  # type: ignore[dict-item]
    mounts = {}
    if body is not None:
        mounts = {f"{write_files(next_revision(body))}/extra.py": f"{IN_IMAGE}/extra.py:ro"}
    return Box(env=env, args=["--network", net], mounts=mounts, **more)  # type: ignore[arg-type]


def tables(postgres: Postgres, database: str, schema: str = "public") -> set[str]:
    query = f"select table_name from information_schema.tables where table_schema = '{schema}'"
    return set(postgres.execute(query, database).split())


def test_it_migrates_and_serves(net, postgres, database):
    with starter(net, postgres.url(database=database)) as box:
        assert box.get("/ready").json()["checks"] == {"serving": "ok", "database": "ok", "migrations": "ok"}
        assert box.post("/api/notes", json={"title": "one", "body": ""}).status_code == 201
    assert tables(postgres, database) == {"notes", "alembic_version"}


@pytest.mark.parametrize("way", ["direct", "pooled"])
def test_replicas_that_start_at_once_migrate_once(net, postgres, way):
    """10 containers on an empty database; through a transaction pooler too, which no session lock would survive."""
    rounds, replicas = size(1, 10) if way == "direct" else size(1, 3), size(5, 10)
    for number in range(rounds):
        name = f"race_{way}_{number}"
        postgres.execute(f"CREATE DATABASE {name} OWNER app")
        with contextlib.ExitStack() as stack:
            server = postgres
            if way == "pooled":
                server = stack.enter_context(PgBouncer(net, postgres, {"POOL_SIZE": "4"}))
            env = {"DATABASE_URL": server.url(database=name), "WEB_CONCURRENCY": "1", "DATABASE_WAIT": "60"}
            words = ["docker", "run", "--rm", "--network", net, *env_options(env), IMAGE, "migrate"]
            runs = [
                subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                for _ in range(replicas)
            ]
            texts = [run.communicate(timeout=120)[0] for run in runs]
        assert [run.returncode for run in runs] == [0] * replicas, texts
        assert sum("migrated in" in text for text in texts) == 1, texts
        assert tables(postgres, name) == {"notes", "alembic_version"}
        postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.long
def test_ten_serving_replicas_ten_rounds(net, postgres):
    """The same with whole boxes: none fails, none is restarted, all become ready, the schema is right."""
    for number in range(10):
        name = f"boxes_{number}"
        postgres.execute(f"CREATE DATABASE {name} OWNER app")
        env = {"WEB_CONCURRENCY": "1", "THREADS": "1"}
        boxes = [starter(net, postgres.url(database=name), env=env, wait=False, deadline=90) for _ in range(10)]
        with contextlib.ExitStack() as stack:
            for box in boxes:
                stack.enter_context(box)
            for box in boxes:
                box.wait_up(90, "/ready")
            assert sum("migrated in" in box.logs() for box in boxes) == 1
            assert all(box.post("/api/notes", json={"title": box.name, "body": ""}).status_code == 201 for box in boxes)
        assert postgres.execute("select count(*) from notes", name) == "10"
        postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_failure_leaves_nothing_of_the_whole_upgrade(net, postgres, database):
    """Two revisions, the second fails: the first one's table is not there either."""
    with starter(net, postgres.url(database=database), BAD, wait=False) as box:
        assert box.wait_exit() == 1
        assert "this is no SQL" in box.logs()
        assert "the schema is as it was" in box.logs()
    assert not tables(postgres, database) & {"notes", "extra"}


def test_a_stop_during_a_migration_leaves_nothing_of_it(net, postgres, database):
    with starter(net, postgres.url(database=database), SLOW.format(30), wait=False) as box:
        box.wait_log("-> extra")
        assert box.stop()[1] == 0
    assert wait_until(lambda: not tables(postgres, database) & {"notes", "extra"}, 5)


def test_away_at_boot_and_there_later(net):
    """The port opens all the same; then the migration runs, and nobody restarted anything."""
    with Postgres(net) as server:
        server.stop()
        with starter(net, server.url()) as box:
            ready = box.get("/ready")
            assert (ready.status_code, ready.json()["checks"]["migrations"]) == (503, "waiting")
            for path in ("/", "/notes", "/static/none"):
                answer = box.get(path)
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            assert len([line for line in box.lines() if "waiting: the database does not answer" in line]) == 1
            server.start()
            wait_until(lambda: box.get("/ready").status_code == 200, 20, "the migration")
            assert box.get("/notes").status_code == 200


def test_lost_during_the_migration_it_is_done_again(net):
    with Postgres(net) as server, starter(net, server.url(), SLOW.format(3), wait=False) as box:
        box.wait_log("-> extra")
        server.kill()
        box.wait_log("the database went away during the migration", 15)
        server.start()
        box.wait_log("migrated in", 30)
        box.wait_up(10, "/ready")
        assert tables(server, "app") == {"notes", "alembic_version", "extra"}


def test_the_verb_waits_for_the_lock_no_longer_than_it_may(net, postgres, database):
    with starter(net, postgres.url(database=database), SLOW.format(6), wait=False) as box:
        box.wait_log("-> extra")
        env = {"DATABASE_URL": postgres.url(database=database), "DATABASE_WAIT": "2"}
        done = run_once(["migrate"], env=env, args=["--network", net])
        assert (done.returncode, "another migration holds the lock" in done.stdout) == (75, True)
        box.wait_log("migrated in", 15)


def test_the_direct_url_is_for_migrations(net, postgres, database):
    command = 'echo "for migrations: $DATABASE_URL"; exit 9'
    env = {
        "DATABASE_URL": "postgresql://app@pooler.invalid/x",
        "DIRECT_URL": postgres.url(database=database),
        "MIGRATE_COMMAND": command,
    }
    done = run_once(["migrate"], env=env, args=["--network", net])
    assert done.returncode == 9
    assert f"for migrations: {postgres.url(database=database)}" in done.stdout


def test_a_schema_in_the_url_holds_for_migrations_and_the_application(net, postgres, database):
    postgres.execute("CREATE SCHEMA shop AUTHORIZATION app", database)
    with (
        PgBouncer(net, postgres) as bouncer,
        starter(net, url_of(bouncer, database=database, schema="shop", pgbouncer="true", connection_limit="5")) as box,
    ):
        assert box.post("/api/notes", json={"title": "one", "body": ""}).status_code == 201
        assert box.get("/ready").status_code == 200
        assert "schema, pgbouncer, connection_limit" in box.logs()
    assert tables(postgres, database, "shop") == {"notes", "alembic_version"}
    assert tables(postgres, database) == set()


def test_libpqs_refusal_of_an_unknown_key_is_shown(net, postgres, database):
    with starter(net, postgres.url(database=database, nonsense="1"), wait=False) as box:
        assert box.wait_exit() == 78
        assert any('invalid connection option "nonsense"' in one["message"] for one in box.records())


def test_a_program_that_is_killed_takes_its_tool_along(net, postgres, database):
    """Else the orphan goes on without the lock, beside the next one."""
    with starter(net, postgres.url(database=database), SLOW.format(3), wait=False) as box:
        box.wait_log("-> extra")
        box.exec("sh", "-c", KILL.format("!"))
        box.wait_log("migrate was killed by SIGKILL: restarted")
        box.wait_up(30, "/ready")
        assert box.logs().count("migrated in") == 1
    assert tables(postgres, database) == {"notes", "alembic_version", "extra"}


@pytest.mark.long
def test_a_pooler_before_a_server_that_says_nothing(net):
    """The login is answered and the query never: the port opens all the same, and the verb ends in its time."""
    with Postgres(net) as server, PgBouncer(net, server) as bouncer:
        with starter(net, bouncer.url()) as box:
            box.wait_up(20, "/ready")
        with server.paused(), starter(net, bouncer.url()) as box:
            assert box.get("/up").status_code == 200
            assert box.get("/").status_code == 503
            env = {"DATABASE_URL": bouncer.url(), "DATABASE_WAIT": "2"}
            begun = time.monotonic()
            assert run_once(["migrate"], env=env, args=["--network", net], timeout=40).returncode == 75
            assert time.monotonic() - begun < 20
            server.unpause()
            box.wait_up(30, "/ready")
            server.pause()
