"""The starter on a SQLite file: several writers, a read-only file, a full disk, a lock, no tables."""

import os
import sqlite3
import subprocess
import sys
import tempfile

import pytest
import sqlalchemy as sa

from app.database import alembic, db
from app.notes.models import Note

WRITER = """
import sys
from app import create_app
from app.notes.models import find_notes
app = create_app()
client = app.test_client()
for number in range(int(sys.argv[1])):
    response = client.post("/api/notes", json={"title": f"{sys.argv[2]} {number}"})
    assert response.status_code == 201, response.text
    # A reader that becomes a writer: what a plain BEGIN refuses as soon as another one writes between the two.
    with app.app_context():
        note = find_notes(sys.argv[2], 1).notes[0]
        note.body = "read before"
        from app.database import db
        db.session.commit()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app.db"


@pytest.fixture
def app(make_app, path):
    return make_app(f"sqlite:///{path}")


def refused(response, words):
    assert response.status_code == 503, response.text
    assert response.headers["Retry-After"] == "5"
    assert words in response.text


def test_eight_processes_write_at_once(app, path):
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{path}"}
    command = [sys.executable, "-c", WRITER, "50"]
    writers = [subprocess.Popen([*command, f"w{number}"], env=environment) for number in range(8)]
    assert [writer.wait(120) for writer in writers] == [0] * 8
    with app.app_context():
        counted = sa.select(sa.func.count()).where(Note.body == "read before")
        assert db.session.scalar(counted) == 8 * 50


def test_each_connection_is_prepared(app):
    with app.app_context(), db.engine.connect() as connection:
        ask = connection.exec_driver_sql
        assert ask("PRAGMA journal_mode").scalar() == "wal"
        assert ask("PRAGMA foreign_keys").scalar() == 1
        assert ask("PRAGMA busy_timeout").scalar() == 5000


def test_readers_do_not_wait_for_a_writer(app, path):
    with sqlite3.connect(path) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert app.test_client().get("/notes").status_code == 200
        writer.rollback()


def test_a_lock_that_is_held_too_long(make_app, path):
    client = make_app(f"sqlite:///{path}", timeout=0.2).test_client()
    with sqlite3.connect(path) as writer:
        writer.execute("BEGIN IMMEDIATE")
        refused(client.post("/api/notes", json={"title": "t"}), "too much to do")
        writer.rollback()
    assert client.post("/api/notes", json={"title": "t"}).status_code == 201


READ_AND_WRITE = """
import os
from app import create_app
client = create_app().test_client()
client.get("/api/notes?page=0")  # imports what it needs, while it may read it
if os.getuid() == 0:  # who may write everywhere
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
print(client.get("/api/notes").json["total"])
answer = client.post("/api/notes", json={"title": "t"})
print(answer.status_code, answer.json["error"]["detail"])
"""


@pytest.mark.parametrize("mode", [0o555, 0o777], ids=["folder read-only", "folder writable"])
def test_a_read_only_file_can_be_read(make_app, mode):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own folders are closed to other users
        path = f"{folder}/app #1.db"
        app = make_app(f"sqlite:///{path}")
        assert app.test_client().post("/api/notes", json={"title": "kept"}).status_code == 201
        with app.app_context():
            db.engine.dispose()
        os.chmod(path, 0o444)
        os.chmod(folder, mode)
        environment = {**os.environ, "DATABASE_URL": f"sqlite:///{path}"}
        command = [sys.executable, "-c", READ_AND_WRITE]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        os.chmod(folder, 0o755)
    assert done.returncode == 0, done.stderr
    read, written = done.stdout.splitlines()
    assert read == "1"
    assert written.startswith("503 The storage is read-only")


def test_a_full_disk(app):
    client = app.test_client()
    with app.app_context(), db.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

    # SQLite's own limit fails in the same way as a disk without room.
    @sa.event.listens_for(sa.pool.Pool, "checkout")
    def limit(raw, record, proxy):
        raw.execute(f"PRAGMA max_page_count = {pages}")

    try:
        refused(client.post("/api/notes", json={"title": "t", "body": "x" * 9999}), "storage is full")
    finally:
        sa.event.remove(sa.pool.Pool, "checkout", limit)
    with app.app_context():
        db.engine.dispose()
    assert client.get("/api/notes").json["total"] == 0
    assert client.post("/api/notes", json={"title": "t", "body": "x" * 9999}).status_code == 201


@pytest.mark.parametrize("method", ["get", "post"])
def test_no_tables_yet(make_app, path, method):
    app = make_app(f"sqlite:///{path}", upgrade=False)
    refused(getattr(app.test_client(), method)("/api/notes", json={"title": "t"}), "flask db upgrade")
    with app.app_context():
        alembic.upgrade()
    assert app.test_client().get("/notes").status_code == 200


def test_a_folder_that_is_not_there(make_app, tmp_path):
    client = make_app(f"sqlite:///{tmp_path}/absent/app.db", upgrade=False).test_client()
    refused(client.get("/notes"), "cannot be reached")
    assert client.get("/").status_code == 200


def test_a_mistake_of_ours_stays_500(app):
    app.add_url_rule("/wrong", view_func=lambda: str(db.session.scalar(sa.text("SELECT nonsense"))))
    assert app.test_client().get("/wrong").status_code == 500


def test_what_was_sent_can_be_sent_again(make_app, path):
    """The page of the outage holds the form, so nothing is lost without JavaScript either."""
    app = make_app(f"sqlite:///{path}", timeout=0.1)
    app.config["WTF_CSRF_ENABLED"] = False
    with sqlite3.connect(path) as writer:
        writer.execute("BEGIN IMMEDIATE")
        response = app.test_client().post("/notes/new", data={"title": "<t>", "body": "typed"})
        writer.rollback()
    refused(response, "Send it again")
    assert '<textarea name="title" hidden>\n&lt;t&gt;</textarea>' in response.text
    assert '<textarea name="body" hidden>\ntyped</textarea>' in response.text
