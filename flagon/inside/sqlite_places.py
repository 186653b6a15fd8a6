"""SQLite files that an application's own settings name: what lies on no volume ends with the container."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from flagon.inside import static_hooks

SAID = "sqlite.json"  # in the run directory: the files, for `flagon backup`
ENDINGS = (".db", ".sqlite", ".sqlite3", ".db3")


def lines(application: Any, options: dict[str, Any]) -> list[str]:
    """Warnings of the application's SQLite files: those on the container's own disk, and those that cannot be made.

    Nothing of the one that DATABASE_URL names, of which the boot speaks, nor of those that are meant to be read.
    """
    try:
        found = dict.fromkeys(_files(application))
    except Exception:  # an application's own attributes may do anything
        return []
    known = options["database"]["path"]
    _keep([path for path in found if path], os.path.join(options["run"], SAID))
    said = [_line(path, options["directory"]) for path in found if path and path != known]
    return [line for line in said if line]


def _keep(paths: list[str], place: str) -> None:
    """Write them down; a worker that was started later says the same, or what a reload has changed."""
    if not paths and not os.path.exists(place):
        return
    draft = f"{place}.{os.getpid()}"
    with contextlib.suppress(OSError, UnicodeEncodeError):
        with open(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(paths, file)
        os.replace(draft, place)


def _line(path: str, code: str) -> str:
    from flagon import places

    folder = os.path.dirname(path)
    if not os.path.isdir(folder) or places.mount_of(path) != "/":
        return ""
    kept = f"{_setting(f'/data/{os.path.basename(path)}')}, with -v NAME:/data"
    closed = places.unwritable(path)
    if closed and not os.path.exists(path):
        uid = os.geteuid()
        return f"uid {uid} cannot make {path}: {folder} {places.owned(folder)}. Keep it in /data: {kept}"
    if closed:
        return ""  # the boot has named it (flagon/access.py)
    holds_code = f"{code}/".startswith(f"{folder.rstrip('/')}/")
    there = "" if holds_code else f"a volume there, docker run -v NAME:{folder}, or "
    return (
        f"{path} lies on no volume: what is stored in this SQLite file ends with the container. Wanted: {there}{kept}"
    )


def _setting(path: str) -> str:
    """How the application's settings name a file: Django's by its path, others by a URL."""
    django = sys.modules.get("django.conf")
    if django is not None and django.settings.configured:
        return f'"NAME": "{path}" in DATABASES of the project\'s settings'
    return f"sqlite:///{path} in the application's settings"


def _files(application: Any) -> Iterator[str]:
    """Absolute paths, as Flask's and Django's settings name them; empty for a database in memory, or no SQLite."""
    django = sys.modules.get("django.conf")
    if django is not None and django.settings.configured:
        for one in dict(django.settings.DATABASES).values():
            yield of_django(one)
        return
    flask = static_hooks.below(application, "instance_path", "config")
    if flask is None:
        return
    binds = flask.config.get("SQLALCHEMY_BINDS") or {}
    for one in (flask.config.get("SQLALCHEMY_DATABASE_URI"), *binds.values()):
        yield _of_url(str(one.get("url") if isinstance(one, dict) else one or ""), _folder(flask))
    plain = flask.config.get("DATABASE")  # of Flask's tutorial
    if isinstance(plain, str) and plain.endswith(ENDINGS) and "://" not in plain:
        yield _absolute(plain, os.getcwd())


def of_django(one: Any) -> str:
    """The file of an entry in DATABASES; empty if there is none."""
    if not str(one.get("ENGINE", "")).endswith("sqlite3") or not one.get("NAME"):
        return ""
    return _absolute(os.fspath(one["NAME"]), os.getcwd())


def _folder(flask: Any) -> str:
    """Where a relative path begins: Flask-SQLAlchemy 3 takes the instance folder, 2 the application's package."""
    kind = type(getattr(flask, "extensions", {}).get("sqlalchemy"))  # its `engines` wants an application's context
    return str(flask.instance_path if hasattr(kind, "engines") else flask.root_path)


def _of_url(url: str, folder: str) -> str:
    if not url.startswith("sqlite"):
        return ""
    from flagon import database  # only for whom it concerns

    try:
        found = database.read(url, folder)
    except ValueError:
        return ""
    return "" if database.is_read_only(found) else found.path


def _absolute(path: str, folder: str) -> str:
    return "" if path == ":memory:" or path.startswith("file:") else os.path.normpath(os.path.join(folder, path))
