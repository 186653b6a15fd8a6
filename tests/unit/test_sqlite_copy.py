"""SQLite before, during and after a migration that fails."""

import os
import sqlite3

import pytest

from flagon.inside import sqlite_copy


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
    with sqlite_copy.guarded(path, said.append) as outcome:
        change(path, "half")
        outcome.code = 3
    assert rows(path) == ["before"]
    assert "as it was" in said[0]
    assert os.listdir(tmp_path) == ["app.db"]


def test_a_success_keeps_what_was_done(tmp_path):
    path = str(tmp_path / "app.db")
    change(path, "before")
    with sqlite_copy.guarded(path, print) as outcome:
        change(path, "after")
        outcome.code = 0
    assert rows(path) == ["before", "after"]
    assert os.listdir(tmp_path) == ["app.db"]


def test_an_exception_counts_as_failure(tmp_path):
    path = str(tmp_path / "app.db")
    change(path, "before")

    def stopped():
        with sqlite_copy.guarded(path, print):
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
    with sqlite_copy.guarded(path, said.append) as outcome:
        assert rows(path) == (["before"] if existed else [])
        change(path, "after")
        outcome.code = 0
    assert rows(path) == (["before", "after"] if existed else ["after"])
    assert "cut off" in said[0]
    assert not sqlite_copy.left_behind(path)


def test_an_unfinished_copy_is_no_copy(tmp_path):
    path = str(tmp_path / "app.db")
    change(path, "before")
    (tmp_path / "app.db.before-migration.part").write_bytes(b"half a copy")
    assert not sqlite_copy.left_behind(path)
    with sqlite_copy.guarded(path, print) as outcome:
        outcome.code = 1
    assert rows(path) == ["before"]


def test_other_connections_see_the_old_content_after_a_failure(tmp_path):
    path = str(tmp_path / "app.db")
    change(path, "before")
    reader = sqlite3.connect(path)
    reader.execute("pragma journal_mode = wal")
    assert reader.execute("select count(*) from before").fetchone() == (0,)
    with sqlite_copy.guarded(path, print) as outcome:
        change(path, "half")
        outcome.code = 1
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        reader.execute("select * from half")
    assert reader.execute("select count(*) from before").fetchone() == (0,)


def test_one_at_a_time(tmp_path):
    path = str(tmp_path / "app.db")
    with sqlite_copy.lock(path) as first, sqlite_copy.lock(path) as second:
        assert first
        assert not second
    with sqlite_copy.lock(path) as again:
        assert again
