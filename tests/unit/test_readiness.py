"""What /ready asks, within its limit, one round at a time."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import os
import sqlite3
import sys
import threading
import time
import types

import pytest

from flagon import places
from flagon.inside import readiness
from flagon.inside.readiness import Readiness


class Application:
    def __init__(self, **checks):
        self.ready_checks = checks


def options(tmp_path, checks=(), **database):
    return {
        "database": {"kind": "other", "libpq": {}, "path": "", "schema": "", **database},
        "ready_checks": list(checks),
        "run": str(tmp_path),
        "directory": str(tmp_path),
        "target": "app:app",
    }


def sqlite_with(tmp_path, revision=None):
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table notes (id)")
        if revision:
            connection.execute("create table alembic_version (version_num)")
            connection.execute("insert into alembic_version values (?)", (revision,))
    (tmp_path / "app" / "migrations").mkdir(parents=True, exist_ok=True)
    (tmp_path / "app" / "migrations" / "a.py").write_text("revision = 'two'\ndown_revision = 'one'\n")
    (tmp_path / "app" / "migrations" / "b.py").write_text("revision = 'one'\ndown_revision = None\n")
    return options(tmp_path, ["database", "migrations"], kind="sqlite", path=str(path))


@pytest.mark.parametrize(
    ("check", "word"),
    [
        (lambda: None, "ok"),
        (lambda: True, "ok"),
        (lambda: "", "ok"),
        (lambda: False, "failed"),
        (lambda: "queue full", "queue full"),
        (lambda: "two\nlines", "two"),
        (lambda: 1 / 0, "failed"),
    ],
)
def test_a_check_says_ok_a_word_or_failed(tmp_path, check, word):
    assert Readiness(options(tmp_path), Application(queue=check)).ask() == {"queue": word}


@pytest.mark.parametrize(("migrate", "command", "answers"), [
    ("off", "", {}), ("off", "make it", {}),
    ("auto", "", {"migrations": "skipped"}), ("auto", "make it", {"migrations": "skipped"}),
])  # fmt: skip
def test_no_word_of_a_database_that_nobody_has_named(tmp_path, migrate, command, answers):
    given = sqlite_with(tmp_path)
    given["database"] = {"kind": "none", "libpq": {}, "path": "", "schema": ""}
    assert Readiness({**given, "migrate": migrate, "migrate_command": command}, None).ask() == answers


@pytest.mark.parametrize("application", [None, object(), Application(), Application(x=1)])
def test_no_checks_is_fine(tmp_path, application):
    assert Readiness(options(tmp_path), application).ask() == {}


def test_a_check_that_hangs_is_a_timeout_and_is_not_asked_again_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(readiness, "LIMIT", 0.2)
    monkeypatch.setattr(readiness, "FRESH", 0.0)
    calls, end = [], threading.Event()

    def hang():
        calls.append(1)
        end.wait(10)

    ready = Readiness(options(tmp_path), Application(slow=hang, quick=lambda: None))
    begun = time.monotonic()
    assert ready.ask() == {"slow": "timeout", "quick": "ok"}
    assert time.monotonic() - begun < 2
    for _ in range(3):
        assert ready.ask()["slow"] == "timeout"
    assert len(calls) == 1
    end.set()
    while not ready.running.over:
        time.sleep(0.01)
    assert ready.ask() == {"slow": "ok", "quick": "ok"}


def test_who_comes_during_a_round_gets_the_last_answers_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(readiness, "FRESH", 0.0)
    wait = threading.Event()
    wait.set()
    ready = Readiness(options(tmp_path), Application(slow=lambda: wait.wait(5) and None))
    ready.ask()
    wait.clear()
    first = threading.Thread(target=ready.ask)
    first.start()
    while not ready.lock.locked():
        time.sleep(0.001)
    begun = time.monotonic()
    assert ready.ask() == {"slow": "ok"}
    assert time.monotonic() - begun < 0.5
    wait.set()
    first.join()


def test_a_round_is_the_answer_for_a_moment(tmp_path):
    calls = []
    ready = Readiness(options(tmp_path), Application(one=lambda: calls.append(1)))
    ready.ask()
    ready.ask()
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("revision", "word"), [(None, "behind"), ("one", "behind"), ("two", "ok"), ("of a newer release", "ok")]
)
def test_the_schema_is_compared_with_head(tmp_path, revision, word):
    assert Readiness(sqlite_with(tmp_path, revision), None).ask() == {"database": "ok", "migrations": word}


def test_the_running_migration_has_the_word(tmp_path):
    given = sqlite_with(tmp_path, "one")
    (tmp_path / "migration").write_text("migrating")
    assert Readiness(given, None).ask()["migrations"] == "migrating"


def test_a_file_that_is_not_there_yet_is_skipped(tmp_path):
    given = options(tmp_path, ["database", "migrations"], kind="sqlite", path=str(tmp_path / "none.db"))
    assert Readiness(given, None).ask() == {"database": "skipped", "migrations": "skipped"}


def test_a_file_that_is_no_database_is_named_in_a_word(tmp_path):
    (tmp_path / "app.db").write_bytes(b"no database at all" * 100)
    given = options(tmp_path, ["database"], kind="sqlite", path=str(tmp_path / "app.db"))
    assert Readiness(given, None).ask() == {"database": "no SQLite file"}


def test_a_refused_connection_is_one_word(tmp_path):
    libpq = {"host": "127.0.0.1", "port": "9", "user": "a", "dbname": "b", "password": "c4nary"}
    ready = Readiness(options(tmp_path, ["database", "migrations"], kind="postgresql", libpq=libpq), None)
    assert ready.ask() == {"database": "refused", "migrations": "skipped"}


def test_what_cannot_be_asked_is_skipped(tmp_path):
    assert Readiness(options(tmp_path, ["database"]), None).ask() == {"database": "skipped"}


# Where a relative path leads is the application's to say.
@pytest.mark.parametrize(("absolute", "word"), [(True, "behind"), (False, "skipped")])
def test_migrations_that_were_never_run_leave_a_fresh_file_behind(tmp_path, absolute, word):
    given = sqlite_with(tmp_path)
    (tmp_path / "app.db").unlink()
    given["database"]["absolute"] = absolute
    assert Readiness(given, None).ask() == {"database": "skipped", "migrations": word}


@pytest.mark.parametrize("closed", ["app.db", "app.db-wal", "app.db-shm", ""])
def test_a_file_that_cannot_be_written_is_not_ready(tmp_path, monkeypatch, closed):
    """Everything can be read, and each write of the application fails."""
    given = sqlite_with(tmp_path, "two")
    for name in ("app.db-wal", "app.db-shm"):
        (tmp_path / name).touch()
    real = os.access
    shut = os.path.join(tmp_path, closed) if closed else str(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: real(path, mode) and not (path == shut and mode & os.W_OK))
    assert Readiness(given, None).ask() == {"database": "not writable", "migrations": "unknown"}
    given["database"]["read_only"] = True  # mode=ro in the URL
    assert Readiness(given, None).ask()["database"] != "not writable"


def test_a_file_on_a_read_only_file_system_is_meant_to_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "read_only", lambda path: True)
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert places.unwritable(str(tmp_path / "app.db")) == []


def announced(tmp_path, given):
    """What the boot says of the schema."""
    said = []
    log = types.SimpleNamespace(warning=lambda text, *words: said.append(text % words))
    readiness.announce(Readiness(given, None), str(tmp_path), log)
    deadline = time.monotonic() + 5
    while not said and time.monotonic() < deadline:
        time.sleep(0.02)
    return said[0]


def test_tables_without_revisions_are_named(tmp_path):
    """create_all() has made them: `flagon migrate` alone would fail over tables that are there."""
    assert "stamp head" in announced(tmp_path, sqlite_with(tmp_path))


def test_a_fresh_file_is_named_at_the_boot_with_what_fills_it(tmp_path):
    given = sqlite_with(tmp_path)
    (tmp_path / "app.db").unlink()
    given["database"]["absolute"] = True
    line = announced(tmp_path, given)
    assert "run `flagon migrate` or set MIGRATE=auto" in line
    assert "stamp head" not in line, "there are no tables yet"


def test_a_database_in_memory_has_no_file_to_be_behind(tmp_path):
    given = sqlite_with(tmp_path)
    given["database"] |= {"path": "", "absolute": True}
    assert Readiness(given, None).ask() == {"database": "skipped", "migrations": "skipped"}


def project(tmp_path, monkeypatch, ready=True, modules=None, engine="django.db.backends.sqlite3"):
    """A loaded Django project, as far as it is looked at; its file."""
    (tmp_path / "manage.py").write_text("from django.core.management import execute_from_command_line\n")
    (tmp_path / "garden" / "migrations").mkdir(parents=True)
    (tmp_path / "garden" / "migrations" / "__init__.py").touch()
    (tmp_path / "garden" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "garden", raising=False)
    file = tmp_path / "db.sqlite3"
    settings = types.SimpleNamespace(
        configured=True, DATABASES={"default": {"ENGINE": engine, "NAME": file}}, MIGRATION_MODULES=modules or {}
    )
    configs = [
        types.SimpleNamespace(label="garden", name="garden"),
        types.SimpleNamespace(label="x", name="nowhere_at_all"),
    ]
    apps = types.SimpleNamespace(ready=ready, get_app_configs=lambda: configs)
    monkeypatch.setitem(sys.modules, "django.conf", types.SimpleNamespace(settings=settings))
    monkeypatch.setitem(sys.modules, "django.apps", types.SimpleNamespace(apps=apps))
    return file


def django_says(tmp_path, **database):
    given = {"kind": "none", **database}
    return Readiness({**options(tmp_path, ["database", "migrations"], **given), "migrate": "off"}, None).ask()


def test_django_s_sqlite_whose_migrations_were_never_run_is_behind(tmp_path, monkeypatch):
    file = project(tmp_path, monkeypatch)
    assert django_says(tmp_path) == {"migrations": "behind"}
    with sqlite3.connect(file) as connection:
        connection.execute("create table something (id)")
    assert django_says(tmp_path) == {"migrations": "behind"}
    assert django_says(tmp_path, kind="sqlite", path=str(file))["migrations"] == "behind"
    with sqlite3.connect(file) as connection:
        connection.execute("create table django_migrations (id, app, name)")
    assert django_says(tmp_path) == {"migrations": "behind"}
    with sqlite3.connect(file) as connection:
        connection.execute("insert into django_migrations values (1, 'garden', '0001_initial')")
    assert django_says(tmp_path) == {"migrations": "skipped"}
    file.write_bytes(b"no database" * 200)
    assert django_says(tmp_path) == {"migrations": "skipped"}


@pytest.mark.parametrize(("given", "answers"), [
    ({"modules": {"garden": None}}, {"migrations": "skipped"}), ({"ready": False}, {"migrations": "skipped"}), ({"engine": "django.db.backends.postgresql"}, {}),
])  # fmt: skip
def test_a_django_project_without_migrations_or_with_another_database_is_not_behind(
    tmp_path, monkeypatch, given, answers
):
    project(tmp_path, monkeypatch, **given)
    assert django_says(tmp_path) == answers
