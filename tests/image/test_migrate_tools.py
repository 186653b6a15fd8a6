"""Every migration tool's own layout in a stranger's image: found, run, believed only if the schema is at head."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .box import RUNTIME, Box, child_image, docker, name_for, run_once, wait_until, write_files

APP = """
import os
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
db = SQLAlchemy()
def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get("DATABASE_URL", "sqlite://")
    db.init_app(app)
    app.add_url_rule("/", "index", lambda: "here")
    if os.environ.get("WITH_MIGRATE"):
        from flask_migrate import Migrate
        Migrate(app, db)
    return app
"""
BARE_ENV = """
import os
from alembic import context
from sqlalchemy import create_engine
with create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
ONE = """
from alembic import op
import sqlalchemy as sa
revision = "one"
down_revision = None
def upgrade():
    op.create_table("first", sa.Column("id", sa.Integer, primary_key=True))
"""
TWO = """
import os, time
from alembic import op
import sqlalchemy as sa
revision = "two"
down_revision = "one"
def upgrade():
    op.create_table("second", sa.Column("id", sa.Integer, primary_key=True))
    print("half way", flush=True)
    time.sleep(float(os.environ.get("SLOW", 0)))
    if os.environ.get("BAD"):
        op.execute("this is no SQL")
"""
FILES = {
    "bare/app.py": APP,
    "bare/alembic.ini": "[alembic]\nscript_location = alembic\n",
    "bare/alembic/env.py": BARE_ENV,
    "migrate/app.py": APP,
    "flaskdb/app.py": APP,
    "one.py": ONE,
    "two.py": TWO,
    # What each tool's own `init` makes is what its users have.
    "Dockerfile": """
FROM flagon:runtime
RUN pip install 'flask-migrate==4.1.0' 'flask-sqlalchemy==3.1.1' 'sqlalchemy<2.1' 'psycopg2-binary==2.9.13'
COPY . /apps
ENV DATABASE_URL=sqlite:////data/app.db
WORKDIR /apps/migrate
RUN WITH_MIGRATE=1 flask --app app db init
RUN pip install 'flask-db==0.4.1' 'setuptools<81'
WORKDIR /apps/flaskdb
RUN flask --app app db init
RUN for app in bare/alembic migrate/migrations flaskdb/db; do \
    mkdir -p /apps/$app/versions && cp /apps/one.py /apps/two.py /apps/$app/versions/ || exit 1; done
""",
}
TOOLS = ["bare", "migrate", "flaskdb"]


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """Made with the host's network: these packages come from the package index."""
    tag, folder = name_for(), write_files(FILES)
    docker("build", "--network", "host", "--force-rm", "--tag", tag, str(folder), timeout=240)
    yield tag
    docker("rmi", "-f", tag, check=False)


def migrate(image: str, volume: str, tool: str, command: tuple[str, ...] = ("migrate",), **env: str):
    args = ["-w", f"/apps/{tool}", "-v", f"{volume}:/data"]
    return run_once(command, env={"WITH_MIGRATE": "1" if tool == "migrate" else "", **env}, args=args, image=image)


def tables(image: str, volume: str) -> set[str]:
    query = "sqlite3.connect('/data/app.db').execute('select name from sqlite_master')"
    code = f"import sqlite3; print(*[row[0] for row in {query}])"
    return set(run_once(["python", "-c", code], args=["-v", f"{volume}:/data"], image=image).stdout.split())


@pytest.mark.parametrize("tool", TOOLS)
def test_each_layout_is_found_and_brought_to_head(image, volume, tool):
    done = migrate(image, volume, tool)
    assert done.returncode == 0
    assert {"first", "second"} <= tables(image, volume)
    again = migrate(image, volume, tool)
    assert (again.returncode, "nothing to do" in again.stdout) == (0, True)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_failure_in_the_second_revision_leaves_nothing_of_the_first(image, volume, tool):
    done = migrate(image, volume, tool, BAD="1")
    assert done.returncode == 1
    assert "no SQL" in done.stdout + done.stderr
    assert not {"first", "second"} & tables(image, volume)
    assert migrate(image, volume, tool).returncode == 0


def test_flask_dbs_own_command_says_0_and_is_not_believed(image, volume):
    own = migrate(image, volume, "flaskdb", ("flask", "db", "migrate"), BAD="1")
    assert own.returncode == 0  # the reason why the revision is looked at
    done = migrate(image, volume, "flaskdb", BAD="1", MIGRATE_COMMAND="flask db migrate")
    assert done.returncode == 1
    assert "ended with 0, and the schema is not at head" in done.stdout


def test_off_is_the_default_and_one_line_says_that_the_schema_is_behind(image, volume):
    args = ["-w", "/apps/bare", "-v", f"{volume}:/data"]
    # Something must have been stored, or there is no file and nothing to be behind.
    run_once(["python", "-c", "import sqlite3; sqlite3.connect('/data/app.db').execute('create table x (y)')"],
             args=args, image=image)  # fmt: skip
    with Box(image=image, args=args) as box:
        assert box.get("/").status_code == 200
        box.wait_log("schema is behind this application's migrations (alembic)")
        assert box.get("/ready").json()["checks"]["migrations"] == "behind"
        assert "first" not in tables(image, volume)


def test_auto_migrates_a_strangers_application_beside_its_start(image, volume):
    env = {"MIGRATE": "auto", "SLOW": "5"}
    args = ["-w", "/apps/bare", "-v", f"{volume}:/data"]
    with Box(image=image, args=args, env=env, migrated=False) as box:
        assert box.get("/").status_code == 503
        wait_until(lambda: box.get("/").status_code == 200, 15, "the end of the migration")
        assert box.get("/ready").status_code == 200


def test_a_kill_half_way_is_undone(image, volume):
    """Python's sqlite3 commits before each DDL statement: half a migration really lies in the file."""
    env = {"MIGRATE": "auto", "SLOW": "30"}
    with Box(image=image, args=["-w", "/apps/bare", "-v", f"{volume}:/data"], env=env, wait=False) as box:
        box.wait_log("half way")
        assert "second" in tables(image, volume)
        box.kill("KILL")
        box.wait_exit()
    with Box(image=image, args=["-w", "/apps/bare", "-v", f"{volume}:/data"], env={"MIGRATE": "auto"}) as box:
        box.wait_log("is as it was before the migration")
        wait_until(lambda: box.get("/").status_code == 200, 15)
        assert {"first", "second"} <= tables(image, volume)


DJANGO = """FROM flagon:runtime
RUN pip install django && django-admin startproject shop /app && chown -R 10001 /app
"""


def test_a_django_project_is_migrated_by_its_own_command() -> None:
    with child_image(DJANGO.replace("flagon:runtime", RUNTIME), {}) as image:
        done = run_once(["migrate"], image=image)
        assert (done.returncode, "migrating (django)" in done.stdout) == (0, True)
        with Box({"MIGRATE": "auto"}, image=image) as box:
            box.wait_log("migrated in")
            assert "Applying auth.0001_initial" in box.logs()
            assert box.get("/ready").json()["checks"]["migrations"] == "skipped"
            assert "no such table" not in box.get("/admin/login/").text
        # A manage.py that names no settings: by the one module that serves, or by the variable.
        bare = "sed -i /setdefault/d manage.py && flagon migrate && flagon check"
        for env, why in (
            ({}, "the only WSGI module of"),
            ({"DJANGO_SETTINGS_MODULE": "shop.settings"}, "DJANGO_SETTINGS"),
        ):
            done = run_once(["sh", "-c", bare], env=env, image=image)
            assert (done.returncode, f"ok: shop.wsgi:application ({why}" in done.stdout) == (0, True)


def test_a_django_project_that_was_never_migrated_is_not_ready() -> None:
    """Its SQLite is named by its own settings: no DATABASE_URL, and no file yet."""
    with child_image(DJANGO.replace("flagon:runtime", RUNTIME), {}) as image, Box(image=image) as box:
        assert "none was ever run in /app/db.sqlite3" in box.wait_log("schema is behind")
        answer = box.get("/ready")
        assert (answer.status_code, answer.json()["checks"]["migrations"]) == (503, "behind")
        box.exec("flagon", "migrate")
        wait_until(lambda: box.get("/ready").status_code == 200, 10, "ready")
