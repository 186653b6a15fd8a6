"""The notes on Postgres, direct and through a transaction pooler; seeding from many replicas at once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from .box import IMAGE, Box, env_options, size
from .servers import PgBouncer, Postgres
from .test_notes import exercise_notes, wait_for_notes


@pytest.fixture(scope="module")
def postgres(net: str) -> Iterator[Postgres]:
    with Postgres(net) as server:
        yield server


def test_on_postgres(net: str, postgres: Postgres) -> None:
    with Box(env={"DATABASE_URL": postgres.url()}, args=["--network", net]) as box:
        wait_for_notes(box)
        exercise_notes(box)
        workers = 3 * 4
        assert postgres.connections() <= workers
        assert "connections, one a thread" in box.logs()


def test_through_a_transaction_pooler(net: str, postgres: Postgres) -> None:
    with (
        PgBouncer(net, postgres, {"POOL_SIZE": "2"}) as bouncer,
        Box(env={"DATABASE_URL": bouncer.url()}, args=["--network", net]) as box,
    ):
        wait_for_notes(box)
        for _ in range(size(20, 200)):
            assert box.get("/api/notes").status_code == 200
        assert postgres.connections() <= 2


def test_seeding_twice_and_from_many_replicas_at_once(net: str, postgres: Postgres) -> None:
    postgres.execute("CREATE DATABASE seeds OWNER app")
    options = ["--network", net, *env_options({"DATABASE_URL": postgres.url(database="seeds")})]
    assert subprocess.run(["docker", "run", "--rm", *options, IMAGE, "migrate"], timeout=60).returncode == 0
    words = ["docker", "run", "--rm", *options, IMAGE, "flask", "seed"]
    runs = [subprocess.Popen(words) for _ in range(size(4, 10))]
    assert [run.wait(60) for run in runs] == [0] * len(runs)
    once = postgres.execute("select title from notes order by title", "seeds")
    assert once
    assert len(once.split("\n")) == len(set(once.split("\n")))
    assert subprocess.run(words, timeout=60).returncode == 0
    assert postgres.execute("select title from notes order by title", "seeds") == once
