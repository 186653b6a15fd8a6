"""The upgrade itself, in a process of its own: whatever a migration does to logging or connections ends with it."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

from flagon import CONFIGURATION_ERROR
from flagon.inside import database, loading, logs, notice, static_hooks
from flagon.inside.report import say
from flagon.inside.revisions import Migrations

FAILED, AWAY = 1, 75  # EX_TEMPFAIL of sysexits.h: the database went away, nothing is wrong with the migration
NOT_LOADED = CONFIGURATION_ERROR  # the application cannot be loaded: the start ends with the same code
FRAMES_SHOWN = 4


def run(options: dict[str, Any], layout: Migrations) -> int:
    """Bring the schema to all heads with the application's own tool. 0, FAILED, AWAY or NOT_LOADED."""
    logs.set_up_root(options)
    try:
        if layout.tool == "alembic":
            bare_alembic(layout, options)
        elif layout.tool == "django":
            django(layout, options)
        else:
            within_application(layout, options)
    except loading.LoadError as error:
        if not notice.send({"event": "failed", "message": str(error)}):  # a box says it once for all
            say(str(error), "critical")
        return NOT_LOADED
    except SystemExit as error:  # flask_migrate ends so after an error that it has logged
        return 0 if not error.code else FAILED
    except Exception as error:
        if database.lost(error):
            say(f"the database went away: {database.word(getattr(error, 'orig', None) or error)}", "warning")
            return AWAY
        tell(error)
        return FAILED
    return 0


def bare_alembic(layout: Migrations, options: dict[str, Any]) -> None:
    """Also Flask-DB's layout: its own command ends with 0 when Alembic has failed, Alembic's functions raise."""
    from alembic import command
    from alembic.config import Config

    put_on_path(options)
    more: dict[str, Any] = {"toml_file": "pyproject.toml"} if os.path.isfile("pyproject.toml") else {}
    try:
        config = Config(layout.config, **more)
    except TypeError:  # before Alembic 1.16
        config = Config(layout.config)
    if layout.given_folder:
        config.set_main_option("script_location", layout.folder.replace("%", "%%"))
    command.upgrade(config, "heads")


def django(layout: Migrations, options: dict[str, Any]) -> None:
    """`python manage.py migrate`, as its users run it: it or the environment names the settings, else the files do."""
    import runpy

    if layout.unclear:
        raise loading.LoadError(f"Django's settings are not known, set DJANGO_SETTINGS_MODULE: {layout.unclear}")
    if layout.settings:
        os.environ["DJANGO_SETTINGS_MODULE"] = layout.settings
    put_on_path(options)
    sys.argv[:] = [layout.config, "migrate", "--noinput"]
    runpy.run_path(layout.config, run_name="__main__")


def within_application(layout: Migrations, options: dict[str, Any]) -> None:
    """Flask-Migrate and Flask-Alembic read their settings from the application."""
    put_on_path(options)
    application = flask_inside(loading.load(options["target"], options["why"], options.get("objects", ())))
    with application.app_context():
        if layout.tool == "flask-migrate":
            import flask_migrate

            flask_migrate.upgrade(directory=layout.folder, revision="heads")
        else:
            application.extensions["alembic"].upgrade()


def flask_inside(application: Any) -> Any:
    """The Flask application below middleware that was put around it. Raises loading.LoadError if there is none."""
    found = static_hooks.below(application, "app_context")
    if found is not None:
        return found
    raise loading.LoadError("APP_MODULE is no Flask application: set MIGRATE_COMMAND, such as `flask db upgrade`")


def put_on_path(options: dict[str, Any]) -> None:
    """The tools are imported; now the application's folder comes first."""
    from flagon.inside.launch import put_application_on_path

    os.chdir(options["directory"])
    put_application_on_path(options)


def tell(error: Exception) -> None:
    """The error and where in a migration it was raised; SQLAlchemy's text has the statement in it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    here = os.path.dirname(__file__)
    frames = [frame for frame in frames if not frame.filename.startswith(here)][-FRAMES_SHOWN:]
    text = str(error).split("\n(Background on this error")[0]
    say(f"{type(error).__name__}: {text}\n{''.join(traceback.format_list(frames))}".rstrip(), "error")
