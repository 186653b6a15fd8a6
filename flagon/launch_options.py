"""What crosses from the boot to the application's interpreter: one JSON file, and the database for the starter."""

from __future__ import annotations

import json
import os
from typing import Any

from flagon import cache, gunicorn_file, identity, places, room, site, statics, workdir
from flagon.boot import Boot
from flagon.database import Database, is_absolute, is_read_only
from flagon.inside import users_config
from flagon.nginx_text import unfit

CLASSES = {"fastcgi": "flagon.inside.worker.FastCGIWorker", "asgi": "flagon.inside.asgi_worker.ASGIWorker"}
SITE = ("sitecustomize.py", "sitecustomize")


def database_options(database: Database) -> dict[str, Any]:
    """What readiness and migrations need of a database. `absolute`: its path is no reading of ours."""
    return {
        "kind": database.kind,
        "libpq": database.libpq,
        "path": database.path,
        "schema": database.schema,
        "absolute": is_absolute(database),
        "read_only": is_read_only(database),
    }


def database_summary(boot: Boot, database: Database) -> str:
    """FLAGON_DATABASE: the database as the starter takes it, JSON."""
    pooled: bool = boot.values["DATABASE_POOLED"]
    if boot.settings.sources["DATABASE_POOLED"] == "default":
        pooled = pooled or database.pooled
    return json.dumps(
        {
            "given": database.given,
            "url": database.sqlalchemy,
            "schema": database.schema,
            "pooled": pooled,
            "timeout": boot.values["DATABASE_TIMEOUT"],
            "threads": boot.values["THREADS"],
        }
    )


def direct_environment(boot: Boot) -> dict[str, str]:
    """What a migration sees in place of the application's: the way past the pooler."""
    if boot.direct_database.given == boot.database.given:
        return {}
    direct = boot.direct_database
    return {"DATABASE_URL": direct.given, "FLAGON_DATABASE": database_summary(boot, direct)}


def old_path(boot: Boot) -> list[str]:
    """uwsgi.ini's pythonpath; the working directory and /app, which the old images had in PYTHONPATH, where another
    directory is served; /app also where the module that is named lies there."""
    old, application = boot.settings.old, boot.application
    more = [boot.directory, workdir.APPLICATION] if old.seen else []
    more = [folder for folder in (*more, application.base) if folder and folder != application.directory]
    return list(dict.fromkeys((*old.python_path, *(folder for folder in more if os.path.isdir(folder)))))


def gunicorns_path(boot: Boot) -> list[str]:
    """--pythonpath and `pythonpath` of gunicorn's: it makes them absolute where it works."""
    settings = boot.settings
    web = settings.web.python_path if settings.web and settings.line == "Procfile" else ()
    in_file = str(boot.from_file.get("pythonpath") or "").split(",")
    if boot.served and boot.served.python_path:  # runserver's
        return [os.path.normpath(os.path.join(boot.application.directory, boot.served.python_path))]
    given = settings.command.python_path or web or settings.arguments.python_path or tuple(filter(None, in_file))
    return [os.path.normpath(os.path.join(boot.application.directory, folder)) for folder in reversed(given)]


def agents(boot: Boot) -> list[str]:
    """Folders of PYTHONPATH where a sitecustomize lies that is not the application's: an agent, to be loaded first.

    ddtrace-run, opentelemetry-instrument, newrelic-admin and the operators of Kubernetes start their agents so.
    """
    folders = [part for part in boot.environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    own = tuple(os.path.realpath(folder) + "/" for folder in (boot.directory, boot.application.directory))
    outside = [one for one in folders if not (os.path.realpath(one) + "/").startswith(own)]
    found = any(os.path.exists(os.path.join(one, name)) for one in outside for name in SITE)
    return outside if found else []


def hand_over(boot: Boot) -> list[str]:
    """Folders whose files nginx may send in the application's place; static folders join them once it is loaded."""
    if not boot.values["USE_X_ACCEL"] or boot.users.whole:
        return []
    folders = [boot.directory, boot.application.directory, boot.values["DATA_DIR"]]
    real = list(dict.fromkeys(os.path.realpath(folder) for folder in folders if os.path.isdir(folder)))
    return [folder for folder in real if folder != "/" and not unfit(folder)]


def _users_parameters(boot: Boot) -> list[str]:
    """What nginx tells the application for the user's own files, as WSGI names it."""
    if boot.users.said is None:
        return []
    from flagon import users_parameters  # not at each cold start

    return users_parameters.names(boot.users.said, boot.fastcgi)


def _pages(boot: Boot, spool: str) -> dict[str, Any] | None:
    if not boot.values["CACHE"]:
        return None
    size = cache.room(boot.values, boot.spool, boot.memory)
    return cache.options(boot.values, spool, size, by_page=not boot.users.any)


def packages_options(boot: Boot) -> dict[str, Any]:
    """What is said of a module that is missing (flagon/inside/packages.py)."""
    origin = boot.origin
    asked = "" if origin.is_own or boot.packages else origin.named()
    return {"asked": asked, "add": origin.how_to_add(), "unused": origin.lines}


def launch_options(boot: Boot, spool: str, token: str = "") -> dict[str, Any]:
    """What crosses to the application's interpreter, as one JSON file. `token`: see statics.Files."""
    values = boot.values
    search = boot.environment.get("PYTHONPATH", "")
    return {
        "run": boot.run,
        "target": boot.application.target,
        "why": boot.application.why,
        "objects": boot.objects,
        "directory": boot.application.directory,
        "python_path": [*gunicorns_path(boot), *old_path(boot), *(part for part in search.split(os.pathsep) if part)],
        "packages": packages_options(boot),
        "agents": agents(boot),
        "prefix": values["URL_PREFIX"] or "",
        "fastcgi": boot.fastcgi,
        "asgi": values["WORKER_CLASS"] == "asgi",
        "worker_class": CLASSES.get(values["WORKER_CLASS"], values["WORKER_CLASS"]),
        "workers": values["WEB_CONCURRENCY"],
        "threads": values["THREADS"],
        "timeout": values["TIMEOUT"],
        "graceful_timeout": boot.graceful_timeout,
        "pass_headers": list(values["PASS_HEADERS"] or ()),
        "users_parameters": _users_parameters(boot),
        "backlog": values["BACKLOG"],
        "websocket_room": room.websockets(boot.memory, values["WEB_CONCURRENCY"]),
        "streams_max": values["STREAMS_MAX"],
        "max_requests": values["MAX_REQUESTS"],
        "max_requests_jitter": values["MAX_REQUESTS_JITTER"],
        "log_level": values["LOG_LEVEL"],
        "json_logs": boot.output.as_json,
        "log_mark": boot.output.mark.decode(),
        "spool": spool,
        "heartbeat_directory": "/dev/shm" if places.writable("/dev/shm") else boot.run,
        "gunicorn_args": boot.settings.gunicorn_args,
        "gunicorn_args_from": ", ".join(boot.settings.gunicorn_args_from),
        "working_directory": boot.working_directory or boot.application.directory,
        "gunicorn_file": boot.gunicorn_file,
        "gunicorn_folders": gunicorn_file.folders(boot),
        "from_gunicorn_file": boot.from_gunicorn_file,
        "said_by": {name: boot.settings.sources[name] for name in users_config.VARIABLES.values()},
        "preload": values["PRELOAD"],
        "hand_over": hand_over(boot),
        "file_token": token,
        "named_locations": None if boot.users.whole else list(boot.users.named),
        "served_anyway": site.served_anyway(boot),
        "protected": site.protected(boot),
        "static_manifest": statics.MANIFEST if values["STATIC_FILES"] else "",
        "static_host": values["STATIC_HOST"] or "",
        "compression": "" if values["COMPRESSION"] == "off" else values["COMPRESSION"],
        "pages": _pages(boot, spool),
        "spa": bool(boot.values["SPA_INDEX"]),
        "debug": boot.debug,
        "database": database_options(boot.database),
        "direct_database": database_options(boot.direct_database),
        "direct_environment": direct_environment(boot),
        "database_wait": values["DATABASE_WAIT"],
        "migrate": values["MIGRATE"],
        "migrate_command": values["MIGRATE_COMMAND"] or "",
        "ready_checks": list(values["READY_CHECKS"]),
        "was_root": identity.was_root,
        "passing_key": boot.passing_key,
        "environment": {},  # what a reload changes in it
    }
