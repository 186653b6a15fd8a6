"""SQLite before, during and after a migration that fails."""

import contextlib
import os
import sqlite3
import time

import pytest

from flagon.inside import sqlite_copy, sqlite_lock


@pytest.fixture(autouse=True)
def no_drain(monkeypatch):
    monkeypatch.setattr(sqlite_copy, "DRAIN", 0.0)


def rows(path):
    with sqlite3.connect(path) as connection:
        return [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]


def change(path, table):
    connection = sqlite3.connect(path)
    connection.execute(f"create table {table} (x)")
    connection.commit()
    connection.close()


def test_a_failure_puts_the_copy_back_and_leaves_nothing_beside_it(tmp_path):
    path, said = str(tmp_path / "app.db"), []
    change(path, "before")
    with sqlite_copy.guarded(path, "alembic_version", lambda text, _: said.append(text)) as outcome:
        change(path, "half")
        outcome.code = 3
    assert rows(path) == ["before"]
    assert "as it was" in said[-1]
    assert os.listdir(tmp_path) == ["app.db"]


def test_a_success_keeps_what_was_done(tmp_path):
    path = str(tmp_path / "app.db")
    change(path, "before")
    with sqlite_copy.guarded(path, "alembic_version", print) as outcome:
        change(path, "after")
        outcome.code = 0
    assert rows(path) == ["before", "after"]
    assert os.listdir(tmp_path) == ["app.db"]


def test_an_exception_counts_as_failure(tmp_path):
    path = str(tmp_path / "app.db")
    change(path, "before")

    def stopped():
        with sqlite_copy.guarded(path, "alembic_version", print):
            change(path, "half")
            raise SystemExit(143)

    with pytest.raises(SystemExit):
        stopped()
    assert rows(path) == ["before"]


@pytest.mark.parametrize("existed", [True, False])
def test_a_migration_that_was_cut_off_is_undone_by_the_next(tmp_path, existed):
    path, said = str(tmp_path / "app.db"), []
    if existed:
        change(path, "before")
    sqlite_copy.take(path, path + sqlite_copy.SUFFIX)  # and then the power failed:
    change(path, "half")
    assert sqlite_copy.left_behind(path)
    with sqlite_copy.guarded(path, "alembic_version", lambda text, _: said.append(text)) as outcome:
        assert rows(path) == (["before"] if existed else [])
        change(path, "after")
        outcome.code = 0
    assert rows(path) == (["before", "after"] if existed else ["after"])
    assert "put back" in said[0]
    assert not sqlite_copy.left_behind(path)


def test_an_unfinished_copy_is_no_copy(tmp_path):
    path = str(tmp_path / "app.db")
    change(path, "before")
    (tmp_path / "app.db.before-migration.part").write_bytes(b"half a copy")
    assert not sqlite_copy.left_behind(path)
    with sqlite_copy.guarded(path, "alembic_version", print) as outcome:
        outcome.code = 1
    assert rows(path) == ["before"]


def test_other_connections_see_the_old_content_after_a_failure(tmp_path):
    path = str(tmp_path / "app.db")
    change(path, "before")
    reader = sqlite3.connect(path)
    reader.execute("pragma journal_mode = wal")
    assert reader.execute("select count(*) from before").fetchone() == (0,)
    with sqlite_copy.guarded(path, "alembic_version", print) as outcome:
        change(path, "half")
        outcome.code = 1
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        reader.execute("select * from half")
    assert reader.execute("select count(*) from before").fetchone() == (0,)


def test_writes_of_others_survive_a_migration_that_undid_itself(tmp_path):
    """A slow request that had passed the gate: SQLite has rolled the migration back, so nothing is put back."""
    path = str(tmp_path / "app.db")
    change(path, "before")
    with sqlite_copy.guarded(path, "alembic_version", print) as outcome:
        with contextlib.closing(sqlite3.connect(path)) as late:
            late.execute("insert into before values (1)")
            late.commit()
        outcome.code = 1
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(*) from before").fetchone() == (1,)


def test_the_version_table_counts_as_a_change(tmp_path):
    path = str(tmp_path / "app.db")
    change(path, "alembic_version")
    with sqlite_copy.guarded(path, "alembic_version", print) as outcome:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("insert into alembic_version values ('half')")
            connection.commit()
        outcome.code = 1
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(*) from alembic_version").fetchone() == (0,)


def test_the_gate_is_shut_for_as_long_as_the_copy_may_come_back(tmp_path):
    path = str(tmp_path / "app.db")
    change(path, "before")
    with sqlite_copy.guarded(path, "alembic_version", print) as outcome:
        assert os.path.exists(path + sqlite_lock.MARK)
        outcome.code = 0
    assert not os.path.exists(path + sqlite_lock.MARK)


def test_the_copy_is_no_more_readable_than_the_original(tmp_path):
    path = str(tmp_path / "app.db")
    change(path, "before")
    os.chmod(path, 0o600)
    sqlite_copy.take(path, path + sqlite_copy.SUFFIX)
    assert os.stat(path + sqlite_copy.SUFFIX).st_mode & 0o777 == 0o600


def test_a_database_that_stays_busy_is_an_error_and_no_hang(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_copy, "BUSY", 0.3)
    path = str(tmp_path / "app.db")
    change(path, "before")
    sqlite_copy.take(path, path + sqlite_copy.SUFFIX)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("begin immediate")
        begun = time.monotonic()
        with pytest.raises(sqlite_copy.Failed, match="is busy"):
            sqlite_copy.transfer(path + sqlite_copy.SUFFIX, path)
        assert time.monotonic() - begun < 5


def test_one_at_a_time(tmp_path):
    path = str(tmp_path / "app.db")
    with sqlite_lock.lock(path) as first, sqlite_lock.lock(path) as second:
        assert first
        assert not second
    with sqlite_lock.lock(path) as again:
        assert again


def test_cut_off_means_marked_and_nobody_at_work(tmp_path):
    path = str(tmp_path / "app.db")
    assert not sqlite_lock.cut_off(path)
    (tmp_path / "app.db.migrating").touch()
    assert sqlite_lock.cut_off(path)
    with sqlite_lock.lock(path):
        assert not sqlite_lock.cut_off(path)
