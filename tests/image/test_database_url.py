"""The database URL on its way through the box: unchanged for the application, read for us, refused with a reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .box import Box, run_once, write_files

# supervisord expands %(here)s, nginx expands $uri and ends at ; and #, alembic's file has %: nothing of it may happen.
PASSWORD = r"""%25 %(here)s%(ENV_HOME)s $uri ${PATH} ; # " ' {} \ %%"""
RAW = (
    f"postgres://shop:{PASSWORD}@db.example:5433/shop?sslmode=require&application_name=50%25&pgbouncer=true&schema=shop"
)
SEEN = RAW.replace("postgres://", "postgresql://")
SECRET = "hunter2"
ENVIRON = """import json, os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    names = ("DATABASE_URL", "FLAGON_DATABASE")
    return [json.dumps([{name: os.environ.get(name) for name in names}]).encode()]
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    path = write_files({})
    yield path
    shutil.rmtree(path, ignore_errors=True)


def check_seen(seen: list[dict[str, str]], given: str) -> None:
    """os.environ of a worker or a command."""
    for environment in seen[:1]:
        told: dict[str, Any] = json.loads(environment["FLAGON_DATABASE"])
        assert told["given"] == given
        assert told["url"].startswith("postgresql+psycopg://shop:%25%20%25%28here%29s%25%28ENV_HOME%29s%20%24uri%20")
        assert told["url"].endswith("@db.example:5433/shop?sslmode=require&application_name=50%25")
        assert (told["schema"], told["pooled"], told["threads"], told["timeout"]) == ("shop", True, 4, 5.0)


@pytest.mark.parametrize("worker_class", ["fastcgi", "gthread"])
def test_no_template_touches_the_url(worker_class: str) -> None:
    env = {"DATABASE_URL": f" '{RAW}' ", "WORKER_CLASS": worker_class}
    with Box(env=env, files={"main.py": ENVIRON}) as box:
        check_seen(box.get("/").json(), SEEN)
        line = box.wait_log("not libpq's")
        assert "pgbouncer" in line
        assert "%(here)s" not in box.logs()
        assert "$uri" not in box.logs()


def test_from_a_file_and_without_the_rewrite(folder: Path) -> None:
    write_files({"url": RAW + "\n"}, folder)
    env = {"DATABASE_URL_FILE": "/run/secrets/url", "DATABASE_URL_REWRITE": "off"}
    with Box(env=env, mounts={folder: "/run/secrets"}, files={"main.py": ENVIRON}) as box:
        check_seen(box.get("/").json(), RAW)


def test_commands_see_the_same() -> None:
    done = run_once(
        ["printenv", "DATABASE_URL", "FLAGON_DATABASE"], env={"DATABASE_URL": RAW}, files={"main.py": ENVIRON}
    )
    url, told = done.stdout.splitlines()
    check_seen([{"DATABASE_URL": url, "FLAGON_DATABASE": told}], SEEN)


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({"POSTGRES_URI": "postgres://u:p@b/x", "PGHOST": "c"}, "postgresql://u:p@b/x"),
        (
            {"POSTGRESQLCONNSTR_SHOP": "Server=c;Database=x;User Id=u;Password=p;Ssl Mode=Require"},
            "postgresql://u:p@c/x?sslmode=require",
        ),
        ({"PGHOST": "c", "PGUSER": "u", "PGPASSWORD": "p%", "PGDATABASE": "x"}, "postgresql://u:p%25@c/x"),
        ({}, "sqlite:////data/app.db"),
    ],
)
def test_where_it_comes_from(env: dict[str, str], url: str) -> None:
    assert run_once(["printenv", "DATABASE_URL"], env=env).stdout == url + "\n"


def test_an_application_gets_none_that_nobody_has_given(volume: str) -> None:
    files, data = {"main.py": ENVIRON}, ["-v", f"{volume}:/data"]
    with Box({"DATABASE_URL": "", "DB_NAME": "shop"}, files=files, args=data) as box:
        assert box.get("/").json() == [{"DATABASE_URL": None, "FLAGON_DATABASE": None}]
        assert set(box.get("/ready").json()["checks"]) == {"serving"}
        told = [line for line in box.logs().splitlines() if "database" in line.lower() or "sqlite" in line.lower()]
        assert told == []
        done = box.exec("flagon", "backup", check=False)
        assert "there is no database yet: /data/app.db, and DATABASE_URL names no other" in done
    parts = {"DB_HOST": "127.0.0.1", "DB_PORT": "9", "DB_USER": "u", "DB_PASSWORD": SECRET, "DB_NAME": "shop"}
    with Box(parts, files=files, args=data) as box:
        assert box.get("/").json()[0]["DATABASE_URL"] == f"postgresql://u:{SECRET}@127.0.0.1:9/shop"
        assert "database: postgresql://u:********@127.0.0.1:9/shop (DB_HOST, DB_PORT" in box.logs()
    # A file of an earlier version's: it goes on being given. This volume has known better since its first start.
    write = ["python", "-c", "import sqlite3; sqlite3.connect('/data/app.db').execute('create table x (y)')"]
    run_once(write, files=files, args=data)
    see = ["sh", "-c", "echo ${DATABASE_URL-none}"]
    assert run_once(see, files=files, args=data).stdout == "none\n"
    run_once(["rm", "/data/.flagon-no-database"], files=files, args=data)
    assert run_once(see, files=files, args=data).stdout == "sqlite:////data/app.db\n"
    assert run_once(see, env={"DATABASE_URL": ""}, files=files, args=data).stdout == "none\n"
    with Box(files=files, args=data) as box:
        assert "earlier versions gave it to every application" in box.logs()
        assert box.get("/ready").json()["checks"]["database"] == "ok"


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (
            {"DATABASE_URL": f"postgres://u:{SECRET}@db:54x2/x"},
            "DATABASE_URL=postgres://u:********@db:54x2/x is not accepted: the port '54x2' is no number",
        ),
        ({"DATABASE_URL": f"postgre://u:{SECRET}@db/x"}, "the scheme 'postgre' is written 'postgresql'"),
        ({"DATABASE_URL": "sqlite://data/app.db"}, "sqlite:////data/app.db"),
        ({"FLAGON_DATABASE_URL": f"postgres://u:{SECRET}@${{DB_HOST}}/x"}, "FLAGON_DATABASE_URL="),
        ({"DATABASE_UNPOOLED_URL": f"jdbc:postgresql://db/x?password={SECRET}"}, "DATABASE_UNPOOLED_URL="),
        ({"POSTGRESQLCONNSTR_A": f"host={SECRET}", "POSTGRESQLCONNSTR_B": "host=b"}, "POSTGRESQLCONNSTR_A, "),
        ({"PGHOST": "db", "PGPORT": "many", "PGPASSWORD": SECRET}, "the port 'many'"),
    ],
)
def test_a_bad_one_stops_the_boot(env: dict[str, str], words: str) -> None:
    done = run_once(env={**env, "REDIS_URL": "nowhere"}, timeout=20)
    assert done.returncode == 78
    assert words in done.stderr
    assert "REDIS_URL=" in done.stderr  # all errors in one message
    assert SECRET not in done.stdout + done.stderr


def test_a_certificate_that_only_root_reads(folder: Path) -> None:
    """Read again as the user who connects."""
    write_files({"ca.pem": "x"}, folder)
    (folder / "ca.pem").chmod(0o600)
    env = {"DATABASE_URL": f"postgres://u:{SECRET}@db/x?sslmode=verify-full&sslrootcert=/run/ca/ca.pem"}
    for args in (["-u", "0"], []):
        done = run_once(["check"], env=env, args=["-v", f"{folder}:/run/ca", *args])
        assert done.returncode == 78
        assert "'/run/ca/ca.pem', cannot be read" in done.stderr
        assert SECRET not in done.stderr
