"""What a decided boot hands on: the application's environment, launch options, nginx's fragments, boot lines."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import time
from collections.abc import Mapping
from typing import Any

from flagon import (
    __version__,
    application,
    cache,
    channels,
    counted,
    listening,
    logs,
    places,
    programs,
    render,
    serving,
    site,
    users_nginx,
)
from flagon.boot import HOME, Boot, versions
from flagon.database import masked
from flagon.early import HIDDEN
from flagon.inside.sqlite_lock import MARK, cut_off
from flagon.launch_options import database_summary, launch_options
from flagon.text_file import write

# gunicorn reads these behind our back; the application does not see them.
WITHHELD = (
    "GUNICORN_CMD_ARGS",
    "FORWARDED_ALLOW_IPS",
    "SENDFILE",
    "GUNICORN_FD",
    "GUNICORN_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
)


def summary(boot: Boot) -> dict[str, Any]:
    """Public facts, for the starter's welcome page."""
    values = boot.values
    return {
        **versions(),
        "version": __version__,
        "workers": values["WEB_CONCURRENCY"],
        "threads": values["THREADS"],
        "workers_why": boot.size_reason,
        "worker_class": values["WORKER_CLASS"],
        "wire": "FastCGI over a unix socket" if boot.fastcgi else "HTTP over a unix socket",
        "started_at": boot.started_at,
        "uid": os.geteuid(),
        "data_dir": boot.data or boot.run,
        "data_is_volume": boot.data_is_volume,
    }


def environment_without_application(boot: Boot) -> dict[str, str]:
    """What a command and a hook see where no application can be found: all that does not follow from it."""
    environment = {name: text for name, text in boot.environment.items() if name not in WITHHELD}
    for name in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL"):
        if boot.values[name]:
            environment[name] = boot.values[name]
    if not boot.values["DATABASE_URL"]:  # an empty one counts as unset
        environment.pop("DATABASE_URL", None)
    environment["FLAGON_SQLITE_URL"] = f"sqlite:///{boot.embedded}"
    environment["PORT"] = str(boot.values["PORT"] or listening.DEFAULT_PORT)
    if not environment.get("TMPDIR") and not places.writable("/tmp"):
        environment["TMPDIR"] = boot.run
    environment["FLAGON_VERSION"] = __version__
    if boot.database.kind != "none":
        environment["FLAGON_DATABASE"] = database_summary(boot, boot.database)
    return environment


def application_environment(boot: Boot) -> dict[str, str]:
    """What the application, and every command run in the container, sees (docs/environment.md lists it)."""
    environment = environment_without_application(boot)
    environment["WEB_CONCURRENCY"] = str(boot.values["WEB_CONCURRENCY"])
    environment["FLASK_APP"] = environment.get("FLASK_APP") or application.shown(boot)
    environment["FLAGON_SUMMARY"] = json.dumps(summary(boot))
    return environment


def nginx_box(
    boot: Boot, addresses: list[str], spool: str, told: site.Loaded, gated: bool = False, token: str = ""
) -> render.Box:
    """What nginx's fragments depend on."""
    sqlite = boot.database.path if boot.database.kind == "sqlite" else ""
    return render.Box(
        values=boot.values,
        run=boot.run,
        spool=spool,
        spool_in_memory=boot.spool.in_memory,
        room=boot.room,
        listen=addresses,
        nginx_workers=boot.size.nginx_workers,
        open_files=boot.open_files,
        as_root=os.geteuid() == 0,
        fastcgi=boot.fastcgi,
        json_logs=boot.output.as_json,
        max_headers=bool(versions().get("max_headers", True)),
        app_routes=frozenset(told.routes),
        mark=sqlite + MARK if told.migrations and sqlite else "",
        log_mark=boot.output.mark.decode(),
        gated=gated,
        debug=boot.debug,
        named=boot.proxies_named,
        files=site.files(boot, told, token),
        users=boot.users,
        cache_room=cache.room(boot.values, boot.spool, boot.memory),
    )


def write_nginx(run: str, spool: str, boot: Boot) -> None:
    """nginx.conf, ours or the user's, and beside it what the user's files may include without a path."""
    path = os.path.join(run, "nginx.conf")
    if boot.users.whole:
        write(path + ".new", users_nginx.adapted(boot.users.whole, run, spool, os.geteuid() == 0))
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + ".new")
        os.symlink(os.path.join(HOME, "nginx.conf"), path + ".new")
    os.replace(path + ".new", path)
    if not boot.users.any:
        return
    for name in os.listdir("/etc/nginx"):
        link = os.path.join(run, name)
        if name not in ("nginx.conf", "fragments") and not os.path.lexists(link):
            os.symlink(os.path.join("/etc/nginx", name), link)


def write_fragments(folder: str, box: render.Box) -> None:
    """The fragments as files."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for name, text in render.fragments(box).items():
        write(os.path.join(folder, name), text)


def launcher(run: str, python: str, program: str, supervised: bool = True) -> str:
    """The shell script that starts a program of the application's side; under supervisord it ends with supervisord."""
    words = ["setpriv", "--pdeathsig", "TERM"] if supervised else []
    words += [python, os.path.join(HOME, "code", "flagon", "inside", program), os.path.join(run, "launch.json")]
    return f'#!/bin/sh\nunset {" ".join(HIDDEN)}\nexec {shlex.join(words)} "$@"\n'


def old_defaults(boot: Boot) -> str:
    """What an old image's mark has made the default, of what nobody has said otherwise."""
    settings, seen = boot.settings, boot.settings.old.seen
    named = {
        "THREADS": "1 thread",
        "MAX_BODY_SIZE": f"uploads of up to {boot.values['MAX_BODY_SIZE'] >> 20} MB, as there is room",
        "STATIC_FILES": "nginx's 404 below /static",
    }
    by_mark = {
        "THREADS": settings.sources["THREADS"] == settings.by_mark,
        "MAX_BODY_SIZE": not boot.given["MAX_BODY_SIZE"]
        and settings.old.given.get("MAX_BODY_SIZE", ("", ""))[1].startswith(settings.by_mark),
        "STATIC_FILES": bool(boot.values["STATIC_FILES"]),
    }
    taken = [name for name in named if by_mark[name]]
    if not taken:
        return f"{seen} is seen: its names are read as in the old images (docs/migrate.md)"
    what = "; ".join(named[name] for name in taken)
    return (
        f"{seen} is seen, so the defaults of the old images hold: {what}. "
        f"{', '.join(taken)} change{'s' * (len(taken) == 1)} that (docs/migrate.md)"
    )


class Box:
    """The run directory of a serving box, and what supervisord's plug-in needs to know."""

    def __init__(self, boot: Boot, environ: Mapping[str, str], command: list[str] | None = None) -> None:
        self.environ, self.command = dict(environ), command  # as they were given: a reload reads them again
        self.run, self.output = boot.run, boot.output
        self.output.mark = logs.new_mark()
        # In the path of files that nginx sends for the application, for as long as this box serves: who makes the
        # application say X-Accel-Redirect does not know it.
        self.token = os.urandom(16).hex()
        self.spool = boot.spool.folder
        places.empty_spool(self.spool)
        os.symlink(os.path.join(HOME, "supervisord.conf"), os.path.join(self.run, "supervisord.conf"))
        cache.prepare(self.run, self.spool)
        write_nginx(self.run, self.spool, boot)
        self.adopt(boot, launch_options(boot, self.spool, self.token))
        write(os.path.join(self.run, "launch.json"), json.dumps(self.options))
        write(os.path.join(self.run, "gunicorn"), launcher(self.run, boot.python, "run-gunicorn.py"))
        write(os.path.join(self.run, "migrate"), launcher(self.run, boot.python, "run-migrate.py"))
        programs.write(boot.programs, self.run)
        # What a kill has left of a migration is undone in any case.
        self.migrate = self.values["MIGRATE"] == "auto" or bool(self.sqlite and cut_off(self.sqlite))
        if self.migrate:
            write(os.path.join(self.run, "migration"), "migrating")
        write(os.path.join(self.run, "url"), listening.own_url(boot.addresses, self.values["PORT"]) + "\n")
        write(os.path.join(self.run, serving.LOADING), "")
        # Both before gunicorn is told to go on: it may be faster than supervisord.
        self.events = channels.listen(os.path.join(self.run, "events.sock"))
        self.closing = channels.fifo(os.path.join(self.run, "closing"))
        if boot.users.old_socket:
            try:
                users_nginx.link_old_socket(os.path.join(self.run, "app.sock"))
            except OSError as error:
                boot.warnings.append(f"{users_nginx.OLD_SOCKET} cannot be made ({error.strerror}): nginx files name it")

    def adopt(self, boot: Boot, options: dict[str, Any]) -> None:
        """Serve from these decisions: at the start, and at each reload. launch.json says the same."""
        self.boot, self.values, self.options = boot, boot.values, options
        self.sqlite = boot.database.path if boot.database.kind == "sqlite" else ""
        write(os.path.join(self.run, "settings.json"), json.dumps(boot.settings.rows()))  # flagon/show.py

    def write_nginx(self) -> None:
        """nginx.conf anew: the user's files have changed."""
        write_nginx(self.run, self.spool, self.boot)

    def write_fragments(self, told: site.Loaded, gated: bool) -> None:
        """nginx's fragments, from settings and what the application said of itself."""
        box = nginx_box(self.boot, self.boot.addresses, self.spool, told, gated, self.token)
        write_fragments(os.path.join(self.run, "fragments"), box)

    def objections(self, told: site.Loaded, gated: bool) -> list[str]:
        """What nginx would find wrong with these fragments."""
        from flagon import check  # not at each cold start

        return check.nginx(self.boot, told, gated)

    def ready_line(self) -> str:
        """What is said once the port opens."""
        boot, trusted = self.boot, ",".join(self.values["TRUSTED_PROXIES"])
        why = boot.settings.sources["TRUSTED_PROXIES"]
        because = "".join(f" ({meant.port}: {meant.why})" for meant in boot.beside)
        line = f"listening on {', '.join(boot.addresses)}{because} after {time.time() - boot.started_at:.2f} s; "
        if trusted != "none":
            return line + f"trusted proxies: {trusted} ({why}) by {self.values['REAL_IP_HEADER']}"
        line += f"trusted proxies: none ({why})"
        return line if boot.proxies_named else f"{line}; behind a proxy of yours set TRUSTED_PROXIES to its address"

    def database_line(self) -> str:
        """Which database, from where, and how many connections it has to bear: a plan's limit is met at this number."""
        values, database = self.values, self.boot.database
        source = self.boot.settings.sources["DATABASE_URL"]
        connections = values["WEB_CONCURRENCY"] * values["THREADS"]
        bears = f"; up to {counted(connections, 'connection')}, one a thread"
        if values["WORKER_CLASS"] == "asgi":
            processes = counted(values["WEB_CONCURRENCY"], "process", "processes")
            bears = f"; {processes}, each with a pool of its own"
        bears = bears if database.kind != "sqlite" else ""
        return f"database: {masked(database.given)} ({source}{bears}); MIGRATE={values['MIGRATE']}"

    def tell(self) -> None:
        """The boot lines: what was decided and why, then what deserves a look."""
        boot, values, say = self.boot, self.values, self.output.record
        wire = "FastCGI" if boot.fastcgi else f"HTTP by {values['WORKER_CLASS']}"
        loops = values["WORKER_CLASS"] == "asgi"
        threads = "x 1 event loop" if loops else f"x {counted(values['THREADS'], 'thread')}"
        say("flagon", "info", f"flagon {__version__} serves {application.shown(boot)} ({boot.application.why})")
        say(
            "flagon", "info",
            f"{counted(values['WEB_CONCURRENCY'], 'worker')} {threads} ({boot.size_reason}); "
            f"wire: {wire} ({boot.settings.sources['WORKER_CLASS']}); "
            f"uid {os.geteuid()}, gid {os.getegid()}, run directory {self.run}",
        )  # fmt: skip
        if not boot.origin.is_own:
            say("flagon", "info", f"packages: {boot.origin.named()}, Python {boot.origin.version}")
        for line in boot.origin.lines:
            say("flagon", "info", line)
        if boot.users.whole:
            say("flagon", "info", f"{boot.users.whole} is taken in place of Flagon's own nginx.conf: {boot.users.why}")
        if boot.settings.old.seen:
            say("flagon", "info", old_defaults(boot))
        if boot.database.kind != "none":
            say("flagon", "info", self.database_line())
        for line in boot.settings.warnings + boot.warnings:
            say("flagon", "warning", line)
