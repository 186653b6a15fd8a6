"""The starter's migration beside its start, on SQLite: gate, failures, kills and stops, made by mounted revisions."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests

from flagon.inside import revisions

from .box import IMAGE, Box, docker, run_once, wait_until, write_files

REPOSITORY = Path(__file__).parents[2]
HEAD = next(iter(revisions.find(str(REPOSITORY), "app:create_app()").heads))  # type: ignore[union-attr]
IN_IMAGE = "/opt/flagon/starter/app/migrations"
BAD = "    op.execute('this is no SQL')\n"
FIND = "for one in /proc/[0-9]*; do grep -qs run-migrat[e].py $one/cmdline && {} grep -qs -e --upgrad[e] $one/cmdline"
KILL = FIND + " && kill -9 ${{one#/proc/}} && exit; done; exit 1"
SLOW = "    import time\n    time.sleep({})\n"


def next_revision(body: str) -> Mapping[str, str]:
    """A revision after the starter's: makes a table, then does what `body` says."""
    text = f"from alembic import op\nimport sqlalchemy as sa\nrevision = 'extra'\ndown_revision = {HEAD!r}\n"
    text += f"def upgrade():\n    op.create_table('extra', sa.Column('id', sa.Integer, primary_key=True))\n{body}"
    return {"extra.py": text + "def downgrade():\n    op.drop_table('extra')\n"}


def with_revision(volume: str, body: str, **more: object) -> Box:
    folder = write_files(next_revision(body))
    return Box(mounts={volume: "/data", f"{folder}/extra.py": f"{IN_IMAGE}/extra.py:ro"}, **more)  # type: ignore[arg-type]


def make_note(box: Box, title: str) -> None:
    answer = box.post("/api/notes", json={"title": title, "body": ""})
    assert answer.status_code == 201, answer.text


def titles(box: Box) -> list[str]:
    return [note["title"] for note in box.get("/api/notes").json()["notes"]]


def tables(box: Box) -> set[str]:
    query = "sqlite3.connect('/data/app.db').execute('select name from sqlite_master')"
    return set(box.exec("python", "-c", f"import sqlite3; print(*[row[0] for row in {query}])").split())


def test_the_first_start_migrates_and_shows_no_503(volume):
    with Box(mounts={volume: "/data"}, wait=False) as box:
        statuses: set[int] = set()

        def ready() -> bool:
            try:
                statuses.add(box.get("/", timeout=2).status_code)
            except (requests.RequestException, RuntimeError):
                return False
            return 200 in statuses

        wait_until(ready, 20, "the page")
        assert statuses == {200}
        assert box.get("/ready").json()["checks"] == {"serving": "ok", "database": "ok", "migrations": "ok"}
        box.wait_log("migrated in")
        make_note(box, "one")
        box.stop()
        box.start()
        assert titles(box) == ["one"]
        box.wait_log("nothing to do")


def test_while_a_long_migration_runs_health_answers_and_all_else_is_503(volume):
    with Box(mounts={volume: "/data"}) as box:
        make_note(box, "before")
    with with_revision(volume, SLOW.format(8), migrated=False) as box:
        assert box.get("/up").status_code == 200
        assert box.get("/static/flagon.svg").status_code == 200, "a file needs no schema"
        for path in ("/", "/notes", "/static/none", "/nowhere"):
            answer = box.get(path)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5"), path
        ready = box.get("/ready")
        assert (ready.status_code, ready.json()["checks"]["migrations"]) == (503, "migrating")
        wait_until(lambda: box.get("/").status_code == 200, 15, "the end of the migration")
        assert wait_until(lambda: box.get("/ready").status_code == 200, 5)
        assert titles(box) == ["before"]
        assert "extra" in tables(box)


def test_a_migration_that_fails_ends_the_container_and_leaves_the_schema(volume):
    with Box(mounts={volume: "/data"}) as box:
        make_note(box, "before")
    with with_revision(volume, BAD, wait=False) as box:
        assert box.wait_exit() == 1
        text = box.logs()
        assert "this is no SQL" in text
        assert "extra.py" in text
        assert "the schema is as it was" in text
        assert "migrate ended with code 1" in text
    with Box(mounts={volume: "/data"}) as box:
        assert titles(box) == ["before"]
        assert "extra" not in tables(box)
        assert not {name for name in box.exec("ls", "/data").split() if "before-migration" in name}


@pytest.mark.parametrize(
    "whom", ["container", *(pytest.param(name, marks=pytest.mark.long) for name in ("program", "tool"))]
)
def test_a_migration_that_is_killed_is_undone_and_done_again(volume, whom):
    with Box(mounts={volume: "/data"}) as box:
        make_note(box, "before")
    with with_revision(volume, SLOW.format(4), wait=False) as box:
        box.wait_log("-> extra")
        if whom == "container":
            box.kill("KILL")
            box.wait_exit()
        elif whom == "tool":
            box.exec("sh", "-c", KILL.format(""))
            assert box.wait_exit() == 137
            assert "the migration was killed by SIGKILL" in box.logs()
        else:
            box.exec("sh", "-c", KILL.format("!"))
            box.wait_log("migrate was killed by SIGKILL: restarted")
            box.wait_log("is as it was before the migration")
            box.wait_up(20, "/ready")
            assert titles(box) == ["before"]
            assert "extra" in tables(box)
            return
    with with_revision(volume, "") as box:
        assert ("is as it was before the migration" in box.wait_log("migrated in") + box.logs()) is (
            whom == "container"
        )
        assert titles(box) == ["before"]
        assert "extra" in tables(box)


def test_a_stop_during_a_migration_is_calm_and_undoes_it(volume):
    with Box(mounts={volume: "/data"}) as box:
        make_note(box, "before")
    with with_revision(volume, SLOW.format(30), wait=False) as box:
        box.wait_log("-> extra")
        seconds, code = box.stop()
        assert code == 0
        assert seconds < 8
    with Box(mounts={volume: "/data"}) as box:
        assert titles(box) == ["before"]
        assert "extra" not in tables(box)


def test_off_serves_at_once_says_it_and_is_not_ready(volume):
    with Box(mounts={volume: "/data"}) as box:
        make_note(box, "before")
    folder = write_files(next_revision(""))
    mounts = {volume: "/data", f"{folder}/extra.py": f"{IN_IMAGE}/extra.py:ro"}
    with Box(env={"MIGRATE": "off"}, mounts=mounts) as box:
        assert titles(box) == ["before"]
        box.wait_log("schema is behind this application's migrations")
        assert len([line for line in box.lines() if "schema is behind" in line]) == 1
        ready = box.get("/ready")
        assert (ready.status_code, ready.json()["checks"]["migrations"]) == (503, "behind")
        # by hand, beside the box that serves
        assert "migrated in" in box.exec("flagon", "migrate")
        assert wait_until(lambda: box.get("/ready").status_code == 200, 5)
        wait_until(lambda: box.get("/notes").status_code == 200, 5, "the gate is open again")
        assert titles(box) == ["before"]
        assert "extra" in tables(box)
    with Box(env={"MIGRATE": "off", "READY_CHECKS": "database"}, mounts={volume: "/data"}) as box:
        assert "migrations" not in box.get("/ready").json()["checks"]


def test_an_older_release_serves_on_a_newer_schema(volume):
    with with_revision(volume, "") as box:
        make_note(box, "newer")
    with Box(mounts={volume: "/data"}) as box:
        assert titles(box) == ["newer"]
        assert box.get("/ready").status_code == 200


@pytest.mark.parametrize(
    ("env", "args", "code", "words"),
    [
        ({}, [], 0, "migrated in"),
        ({"MIGRATE_COMMAND": "echo by hand"}, [], 1, "the schema is not at head"),
        ({"DATABASE_URL": "postgresql://u:c4nary@127.0.0.1:9/x", "DATABASE_WAIT": "1"}, [], 75, "DATABASE_WAIT=1"),
        ({"DATABASE_URL": "postgresql://u:c4nary@127.0.0.1:9/x?nonsense=1"}, [], 78, "nonsense"),
        ({}, ["-w", "/tmp", "-e", "APP_MODULE=x:app"], 78, "no migrations found"),
        ({"MIGRATE_COMMAND": "echo by hand"}, ["-w", "/tmp", "-e", "APP_MODULE=x:app"], 0, "by hand"),
        ({"MIGRATE_COMMAND": "exit 9"}, ["-w", "/tmp", "-e", "APP_MODULE=x:app"], 9, "code 9"),
    ],
)
def test_the_verb_ends_with_a_code_that_is_true(env, args, code, words):
    done = run_once(["migrate"], env=env, args=args)
    assert done.returncode == code
    assert words in done.stdout + done.stderr
    assert "c4nary" not in done.stdout + done.stderr


def test_the_verb_twice_has_nothing_to_do(volume):
    for words in ("migrated in", "nothing to do"):
        done = run_once(["migrate"], args=["-v", f"{volume}:/data"])
        assert done.returncode == 0
        assert words in done.stdout


def test_two_at_once_migrate_once(volume):
    folder = write_files(next_revision(SLOW.format(2)))
    words = [
        "run",
        "--rm",
        "-v",
        f"{volume}:/data",
        "-v",
        f"{folder}/extra.py:{IN_IMAGE}/extra.py:ro",
        IMAGE,
        "migrate",
    ]
    both = [
        subprocess.Popen(["docker", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    texts = [one.communicate(timeout=60)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], texts
    assert sorted("migrated in" in text for text in texts) == [False, True], texts


def test_a_broken_application_is_told_once_and_ends_with_78(volume):
    broken = write_files({"__init__.py": "import nothing_like_this\n"})
    mounts = {volume: "/data", f"{broken}/__init__.py": "/opt/flagon/starter/app/__init__.py:ro"}
    with Box(mounts=mounts, wait=False) as box:
        assert box.wait_exit() == 78
        assert box.logs().count("no module named 'nothing_like_this'") == 1


def write_notes(box: Box, end: threading.Event, told: list[str]) -> None:
    """Notes one after the other; the titles that were acknowledged."""
    number = 0
    while not end.is_set():
        title = f"{threading.get_ident()}-{number}"
        number += 1
        with contextlib.suppress(requests.RequestException):
            if requests.post(box.url("/api/notes"), json={"title": title}, timeout=20).status_code == 201:
                told.append(title)


@pytest.mark.parametrize("where", ["exec", pytest.param("another container", marks=pytest.mark.long)])
def test_a_migration_that_fails_beside_a_serving_box_loses_nothing_that_was_acknowledged(volume, where):
    """The gate lies beside the file, so boxes of other containers see it too."""
    folder = write_files(next_revision(SLOW.format(2) + BAD))
    mounts = {volume: "/data", f"{folder}/extra.py": f"{IN_IMAGE}/extra.py:ro"}
    with Box(mounts={volume: "/data"}) as first:
        make_note(first, "before")
    end, told = threading.Event(), ["before"]
    with Box(env={"MIGRATE": "off", "READY_CHECKS": "database"}, mounts=mounts) as box:
        writers = [threading.Thread(target=write_notes, args=(box, end, told)) for _ in range(8)]
        for writer in writers:
            writer.start()
        time.sleep(1)
        if where == "exec":
            assert "FAILED" in box.exec("flagon", "migrate", check=False)
        else:
            args = [word for host, inside in mounts.items() for word in ("-v", f"{host}:{inside}")]
            assert run_once(["migrate"], args=args).returncode == 1
        time.sleep(1)
        end.set()
        for writer in writers:
            writer.join()
        assert len(told) > 20
        assert box.get("/api/notes").json()["total"] >= len(told)
        query = "sqlite3.connect('/data/app.db').execute('select title from notes')"
        rows = box.exec("python", "-c", f"import sqlite3; print(*[row[0] for row in {query}])").split()
        assert set(told) <= set(rows)
        assert "extra" not in tables(box)


def test_a_migration_by_hand_that_was_killed_is_undone_by_the_serving_box(volume):
    with Box(mounts={volume: "/data"}) as box:
        make_note(box, "before")
    with_slow = write_files(next_revision(SLOW.format(60)))
    mounts = {volume: "/data", f"{with_slow}/extra.py": f"{IN_IMAGE}/extra.py:ro"}
    with Box(env={"MIGRATE": "off", "READY_CHECKS": "database"}, mounts=mounts) as box:
        docker("exec", "-d", box.name, "flagon", "migrate")
        wait_until(lambda: box.get("/").status_code == 503, 10, "the gate")
        assert box.get("/up").status_code == 200
        time.sleep(2)
        box.exec("sh", "-c", KILL.format("!"))
        wait_until(lambda: box.get("/").status_code == 200, 10, "the gate opens again")
        make_note(box, "after")
        assert sorted(titles(box)) == ["after", "before"]
        assert not {name for name in box.exec("ls", "/data").split() if "migrating" in name or "before-" in name}


def test_a_reload_migrates_before_the_new_code_serves(volume):
    copied = Path(write_files({}))
    shutil.copytree(REPOSITORY / "app", copied / "app", dirs_exist_ok=True)
    with Box(env={"MIGRATE": "auto"}, mounts={volume: "/data", copied: "/app"}) as box:
        wait_until(lambda: box.get("/ready").status_code == 200, 15)
        for name, text in next_revision(BAD).items():
            (copied / "app" / "migrations" / name).write_text(text)
        box.kill("HUP")
        box.wait_log("reload: the migration failed: the old application goes on serving")
        assert box.running()
        assert box.get("/notes").status_code == 200
        for name, text in next_revision("").items():
            (copied / "app" / "migrations" / name).write_text(text)
        box.kill("HUP")
        wait_until(lambda: "extra" in tables(box), 15, "the new schema")
        wait_until(lambda: box.get("/ready").status_code == 200, 10)
    shutil.rmtree(copied)
