"""`flask seed`, on SQLite and on Postgres: the same rows once, however often and from wherever it runs."""

import os
import subprocess
import sys

import sqlalchemy as sa

from app.database import db
from app.notes.models import Note
from app.notes.seed import NOTES


def rows(app):
    with app.app_context():
        return db.session.execute(sa.select(Note.seed, Note.title, Note.version).order_by(Note.seed)).all()


def test_it_says_what_it_did(app):
    runner = app.test_cli_runner()
    assert runner.invoke(args=["seed"]).output == "notes: 3 added, 0 there already\n"
    assert runner.invoke(args=["seed"]).output == "notes: 0 added, 3 there already\n"
    assert [row[0] for row in rows(app)] == sorted(NOTES)


def test_what_was_changed_stays_and_what_was_deleted_comes_back(app):
    runner, client = app.test_cli_runner(), app.test_client()
    runner.invoke(args=["seed"])
    assert client.put("/api/notes/1", json={"title": "mine"}).status_code == 200
    assert client.delete("/api/notes/2").status_code == 204
    assert runner.invoke(args=["seed"]).output == "notes: 1 added, 2 there already\n"
    assert "mine" in [row[1] for row in rows(app)]
    assert len(rows(app)) == 3


def test_eight_at_once_put_each_row_once(app, database_url):
    environment = {**os.environ, "DATABASE_URL": database_url, "FLASK_APP": "app", "FLASK_DEBUG": "0"}
    environment.pop("FLAGON_DATABASE", None)
    command = [sys.executable, "-m", "flask", "seed"]
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    outputs = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 8
    assert sum(int(output.split()[1]) for output in outputs) == len(NOTES)
    assert [row[0] for row in rows(app)] == sorted(NOTES)
