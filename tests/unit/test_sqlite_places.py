"""Which SQLite files an application names itself, and what is said of those that do not last."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import json
import sys
import types

import pytest

from flagon import places
from flagon.inside import sqlite_places


class Three:
    """Flask-SQLAlchemy's object, of version 3."""

    @property
    def engines(self):
        raise RuntimeError("Working outside of application context.")


def flask(folder, engines=True, **config):
    state = Three() if engines else object()
    found = types.SimpleNamespace(
        config=config, instance_path=f"{folder}/instance", root_path=f"{folder}/app", extensions={"sqlalchemy": state}
    )
    found.wsgi_app = lambda: 0
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "mount_points", lambda: ["/", str(tmp_path / "volume")])
    monkeypatch.setattr(places, "unwritable", lambda path: [])
    for name in ("instance", "app", "volume", "other"):
        (tmp_path / name).mkdir()
    return tmp_path


def said(folder, application, path=""):
    options = {"directory": str(folder / "app"), "database": {"path": path}, "run": str(folder / "other")}
    return sqlite_places.lines(application, options)


def test_flask_s_files(folder):
    (line,) = said(folder, flask(folder, SQLALCHEMY_DATABASE_URI="sqlite:///blog.db"))
    assert line.startswith(f"{folder}/instance/blog.db lies on no volume")
    assert f"docker run -v NAME:{folder}/instance, or sqlite:////data/blog.db" in line
    (line,) = said(folder, flask(folder, engines=False, SQLALCHEMY_DATABASE_URI="sqlite:///blog.db"))
    assert line.startswith(f"{folder}/app/blog.db lies on no volume")
    assert "docker run" not in line, "a volume there would hide the code"
    binds = {
        "one": f"sqlite:///{folder}/other/a.db",
        "two": {"url": f"sqlite:///{folder}/other/b.db"},
        "three": "mysql://h/d",
    }
    assert len(said(folder, flask(folder, SQLALCHEMY_BINDS=binds))) == 2
    assert len(said(folder, flask(folder, DATABASE=f"{folder}/instance/flaskr.sqlite"))) == 1


@pytest.mark.parametrize("config", [
    {"SQLALCHEMY_DATABASE_URI": "sqlite:///{}/volume/x.db"}, {"SQLALCHEMY_DATABASE_URI": "sqlite://"}, {"SQLALCHEMY_DATABASE_URI": None},
    {"SQLALCHEMY_DATABASE_URI": "postgresql://h/d"}, {"SQLALCHEMY_DATABASE_URI": "sqlite:///file:{}/other/x.db?mode=ro&uri=true"}, {},
    {"SQLALCHEMY_DATABASE_URI": "sqlite:///{}/none/x.db"}, {"DATABASE": "postgresql://h/d.db"}, {"DATABASE": 7}, {"SQLALCHEMY_BINDS": 7},
])  # fmt: skip
def test_nothing_is_said_of_others(folder, config):
    config = {name: value.format(folder) if isinstance(value, str) else value for name, value in config.items()}
    assert said(folder, flask(folder, **config)) == []


def test_the_one_that_the_boot_knows_is_not_said_twice(folder):
    path = f"{folder}/other/x.db"
    assert said(folder, flask(folder, SQLALCHEMY_DATABASE_URI=f"sqlite:///{path}"), path) == []


def test_django_s_files_and_odd_objects(folder, monkeypatch):
    base = {"ENGINE": "django.db.backends.sqlite3", "NAME": folder / "app" / "db.sqlite3"}
    others = {"ENGINE": "django.db.backends.postgresql", "NAME": "shop"}
    settings = types.SimpleNamespace(configured=True, DATABASES={"default": base, "other": others})
    monkeypatch.setitem(sys.modules, "django.conf", types.SimpleNamespace(settings=settings))
    (line,) = said(folder, object())
    assert line.startswith(f"{folder}/app/db.sqlite3 lies on no volume")
    kept = '"NAME": "/data/db.sqlite3" in DATABASES of the project\'s settings, with -v NAME:/data'
    assert line.endswith(f"Wanted: {kept}")
    monkeypatch.setattr(places, "unwritable", lambda path: [path])
    (line,) = said(folder, object())
    assert line.endswith(f"Keep it in /data: {kept}")
    settings.configured = False
    assert said(folder, object()) == []
    assert said(folder, types.SimpleNamespace(app=flask(folder))) == []


def test_a_folder_that_cannot_be_written_is_named(folder, monkeypatch):
    """`COPY . .` brought it, as root's: each page was 500, and no line said why."""
    monkeypatch.setattr(places, "unwritable", lambda path: [path])
    (line,) = said(folder, flask(folder, SQLALCHEMY_DATABASE_URI="sqlite:///blog.db"))
    assert f"cannot make {folder}/instance/blog.db: {folder}/instance belongs to uid" in line
    assert "sqlite:////data/blog.db" in line


def test_what_is_found_is_written_down_for_a_backup(folder):
    place = folder / "other" / "sqlite.json"
    said(folder, flask(folder))
    assert not place.exists()
    said(folder, flask(folder, SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/volume/a.db"))
    assert (json.loads(place.read_text()), place.stat().st_mode & 0o777) == ([f"{folder}/volume/a.db"], 0o600)
    said(folder, flask(folder))
    assert json.loads(place.read_text()) == []
