"""Whether Django's migrations were ever run, where its own settings name an SQLite file: asked without Django's ORM."""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.util import find_spec
from typing import Any

from flagon.inside import database, sqlite_places

TABLE = "django_migrations"  # django.db.migrations.recorder


def path() -> str:
    """The SQLite file of the default database, in a process that has loaded the project; empty if it is none."""
    conf = sys.modules.get("django.conf")
    try:
        if conf is None or not conf.settings.configured:
            return ""
        return sqlite_places.of_django(dict(conf.settings.DATABASES).get("default", {}))
    except Exception:  # a project's own settings may do anything
        return ""


def never_run(file: str, timeout: float) -> bool:
    """Whether there are migrations, and none has been run in this file, which may not be there yet."""
    if os.path.exists(file):
        with database.closing(database.connect({"kind": "sqlite", "path": file}, timeout)) as connection:
            named = "select 1 from sqlite_master where type = 'table' and name = ?"
            if connection.execute(named, (TABLE,)).fetchone():
                return not connection.execute(f"select 1 from {TABLE} limit 1").fetchone()
    return any(_has_migrations(config) for config in _applications())


def _applications() -> list[Any]:
    apps = sys.modules.get("django.apps")
    return list(apps.apps.get_app_configs()) if apps is not None and apps.apps.ready else []


def _has_migrations(config: Any) -> bool:
    modules = sys.modules["django.conf"].settings.MIGRATION_MODULES
    module = modules.get(config.label, f"{config.name}.migrations")
    with contextlib.suppress(ImportError, ValueError):
        return bool(module) and find_spec(module) is not None
    return False
