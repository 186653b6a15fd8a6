"""From the environment to a box that can be started: every decision, in order, each made once."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from flagon import (
    application as application_module,
)
from flagon import (
    capacity,
    commands,
    database,
    gunicorn_file,
    identity,
    listening,
    locate,
    places,
    platforms,
    programs,
    room,
    secrets_store,
    site,
    users_nginx,
)
from flagon import settings as settings_module
from flagon.kinds import integer
from flagon.logs import Output
from flagon.nginx_text import unfit
from flagon.table import SETTINGS

HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # /opt/flagon in the image
STARTER = os.path.join(HOME, "starter")
THREADED = ("fastcgi", "gthread", "sync")  # worker classes that serve a request with a thread


class BootError(Exception):
    """The boot cannot go on; the message says why. Exit code 78 (EX_CONFIG)."""


def versions() -> dict[str, Any]:
    """What the image build wrote down of itself; empty outside the image."""
    try:
        with open(os.path.join(HOME, "versions.json"), encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
    except (OSError, ValueError):
        return {}
    return found


def _is_terminal() -> bool:
    try:
        return os.isatty(1)
    except OSError:
        return False


class Boot:
    """All that follows from the environment. Raises SettingsError at once, BootError from the steps."""

    def __init__(self, environ: Mapping[str, str], directory: str, command: list[str] | None = None) -> None:
        self.directory, self.home, self.environ = directory, HOME, environ
        self.started_at = time.time()
        self.warnings: list[str] = []
        self.python, self.packages = (
            places.APPLICATION_PYTHON,
            "",
        )  # the application's interpreter; what PIP_INSTALL made
        self.working_directory = ""  # where a hook has left the box, if not in the application's directory
        self.spool_of_start: room.Spool | None = None  # a reload keeps it
        served = commands.served_instead(command, environ, directory) if command else None
        self.settings = settings_module.resolve(environ, directory, served.gunicorn if served else None)
        self.values = self.settings.values
        self._tell_identity()
        self.given = dict(self.values)  # before anything is computed: a reload compares with it
        debug = self.settings.environment.get("FLASK_DEBUG", "")
        self.debug = debug.lower() not in ("", "0", "false", "no")  # as Flask reads it
        if served:
            self._take_from_command(served)
        wanted = self.values["LOG_FORMAT"]
        as_json = wanted == "json" or (wanted == "auto" and not _is_terminal())
        self.output = Output(as_json, self.values["LOG_LEVEL"])

    def _take_from_command(self, served: commands.Serve) -> None:
        """An inherited command may name the application and the port."""
        if served.application and self.settings.sources["APP_MODULE"] == "default":
            self.settings.set("APP_MODULE", served.application, "command line")
        if served.port and self.settings.sources["PORT"] == "default":
            if not served.port.isdigit():  # an array form CMD leaves "$PORT" as it is
                self.warnings.append(f"command line: port {served.port!r} is no number and is ignored")
                return
            try:
                self.settings.set("PORT", integer(served.port, SETTINGS["PORT"]), "command line")
            except ValueError as error:
                refusal = f"command line: port {served.port!r} is not accepted; accepted: {error}"
                raise settings_module.SettingsError([refusal]) from None

    def decide(self, fresh: bool) -> None:
        """All steps, in order. `fresh` empties the run directory of an earlier run."""
        self.prepare(fresh)
        self.choose()

    def prepare(self, fresh: bool) -> None:
        """Everything before the user's own programs may run: places, secrets, packages."""
        self.choose_places(fresh)
        self.resolve_secrets()
        if fresh:  # not before: a start that ends over an unreadable secret changes nothing of the volume
            self.warnings += places.keep_group_0_out(self.values["DATA_DIR"])
        self.install_packages()

    def choose(self) -> None:
        """Everything that depends on the application's files."""
        self.find_application()
        self.find_files()
        self.read_gunicorn_file()
        self.decide_size()
        self.divide_room()

    def _tell_identity(self) -> None:
        """Who this process has become (flagon/identity.py), and a RUN_AS that had no part in it."""
        self.warnings += identity.lines
        if remark := identity.remark(self.values["RUN_AS"], self.settings.sources["RUN_AS"]):
            self.warnings.append(remark)
            if identity.was_root:
                self.settings.set("RUN_AS", None, "default")

    def choose_places(self, fresh: bool) -> None:
        """Run directory, data directory, and a HOME that can be written."""
        try:
            self.run = places.run_directory(self.values["RUNTIME_DIR"], fresh)
        except places.NoPlace as error:
            raise BootError(str(error)) from None
        parent = os.path.dirname(self.run)
        if places.open_to_others(parent):
            self.warnings.append(
                f"{parent} is writable for others, who may put a folder of their own in the place of {self.run}: "
                f"set RUNTIME_DIR to a directory that only uid {os.geteuid()} may write"
            )
        data = self.values["DATA_DIR"]
        self.data: str | None = data if os.path.isdir(data) and places.writable(data) else None
        self.data_is_volume = self.data is not None and places.is_mount(self.data)
        self.environment = dict(self.settings.environment)
        home = self.environment.get("HOME", "")
        if not os.path.isdir(home) or not os.access(home, os.W_OK):
            self.environment["HOME"] = self.run

    def resolve_secrets(self) -> None:
        """SECRET_KEY and DATABASE_URL, as the application will see them."""
        if not self.values["SECRET_KEY"]:
            folder = self.data or (self.values["DATA_DIR"] if self._has_secret() else None)
            try:
                key, source, warning = secrets_store.load_or_make(folder)
            except (secrets_store.Unreadable, OSError) as error:
                raise BootError(str(error)) from None
            self.settings.set("SECRET_KEY", key, source)
            self.warnings += [warning] if warning else []
        if not self.values["DATABASE_URL"]:
            self._embed_sqlite()
        try:
            self.database, self.direct_database, remarks = database.both(self.settings, self.directory)
        except ValueError as error:
            raise BootError(str(error)) from None
        self.warnings += remarks

    def _has_secret(self) -> bool:
        """A secret in a data directory that is read-only now is still the secret."""
        return os.path.exists(os.path.join(self.values["DATA_DIR"], "secret_key"))

    def _embed_sqlite(self) -> None:
        home, uid = self.values["DATA_DIR"], os.geteuid()
        existing = os.path.join(home, "app.db")
        if os.path.exists(existing) and not os.access(existing, os.R_OK):
            raise BootError(f"{existing} exists and cannot be read by uid {uid}: give it access, or set DATABASE_URL")
        folder = home if self.data or os.path.exists(existing) else self.run
        self.settings.set("DATABASE_URL", f"sqlite:///{folder}/app.db", "default")
        if folder == self.run:
            self.warnings.append(
                f"{home} is not writable for uid {uid}: SQLite lies in {folder} and ENDS WITH THIS CONTAINER. "
                "Mount a writable volume there or set DATABASE_URL"
            )
        elif self.data is None:
            self.warnings.append(f"{home} is READ-ONLY for uid {uid}: SQLite in it can be read and not written")
        elif not self.data_is_volume:
            self.warnings.append(
                f"{home} is not a volume: SQLite and the secret end with this container. "
                "Run with -v flagon-data:/data or set DATABASE_URL"
            )

    def install_packages(self) -> None:
        """PIP_INSTALL: an interpreter with the application's packages."""
        if self.values["PIP_INSTALL"] and not self.packages:
            from flagon import pip_install  # not at each cold start

            try:
                self.packages = pip_install.environment(self)
            except (pip_install.CannotInstall, OSError) as error:
                raise BootError(str(error)) from None
        if self.packages:
            folder = os.path.join(self.packages, "bin")
            self.python = os.path.join(folder, "python")
            self.environment["PATH"] = f"{folder}:{self.environment.get('PATH', os.defpath)}"
            self.environment["VIRTUAL_ENV"] = self.packages

    def find_application(self) -> None:
        """What to serve: the user's, or the starter where the user brought nothing."""
        given = self.values["APP_MODULE"]
        try:
            self.application = application_module.choose(self, STARTER)
        except locate.NotFound as error:
            if not self.debug or not locate.holds_anything(self.directory):
                raise BootError(str(error)) from None
            # Found at a save, and until then the reason is shown.
            self.application = locate.Application("", self.directory, str(error))
        source = self.settings.sources["APP_MODULE"] if given else self.application.why
        self.settings.set("APP_MODULE", self.application.target, source)
        try:
            self.database = database.placed(self.database, self.application.directory)
            self.direct_database = database.placed(self.direct_database, self.application.directory)
        except ValueError as error:
            raise BootError(f"DATABASE_URL: {error}") from None
        if self.values["MIGRATE"] is None:
            of_starter = self.application.directory == STARTER
            self.settings.set("MIGRATE", "auto" if of_starter else "off", "the starter" if of_starter else "default")

    def find_files(self) -> None:
        """The user's nginx files and programs, and the page that SPA_INDEX names."""
        database = self.database.path or "/"
        for what, path in (("the folder", self.directory), ("DATABASE_URL: the SQLite file", database)):
            if why := unfit(path):  # nginx is told of both
                raise BootError(f"{what} {path!r:.200}: its name {why}: give it another one")
        try:
            self.users = users_nginx.find(self.directory)
        except users_nginx.BadName as error:
            raise BootError(str(error)) from None
        self.warnings += self.users.lines
        try:
            self.programs = programs.find(self.directory, self.values["PROCESSES"] or (), self.run)
        except programs.BadProgram as error:
            raise BootError(str(error)) from None
        self.warnings += self.programs.lines
        index = site.spa_file(self)
        if index and not os.path.isfile(index):
            raise BootError(f"SPA_INDEX={self.values['SPA_INDEX']}: there is no file {index}")
        if self.application.directory == STARTER and self.settings.sources["STATIC_FILES"] == "default":
            # Its hooks add nothing to static files (tests/image/test_folders.py): nobody needs to be told of them.
            self.settings.set("STATIC_FILES", True, "the starter")
        if not self.users.whole and (errors := site.refused(self)):
            raise BootError("\n".join(errors))

    def read_gunicorn_file(self) -> None:
        """gunicorn_conf.py: what it says of settings of ours, where no variable says it."""
        given = self.settings.environment.get("GUNICORN_CONF", "").strip()
        try:
            self.gunicorn_file = gunicorn_file.find(self.directory, given)
            self.from_gunicorn_file = gunicorn_file.take(self) if self.gunicorn_file else []
        except gunicorn_file.BadFile as error:
            raise BootError(str(error)) from None

    def decide_size(self) -> None:
        """Workers, threads, connections and what depends on them."""
        values, settings = self.values, self.settings
        try:
            self.size, self.size_reason, self.open_files, self.memory = capacity.decide(self)
        except capacity.Conflict as error:
            raise BootError(str(error)) from None
        self.fastcgi = values["WORKER_CLASS"] == "fastcgi"
        self.graceful_timeout = min(values["GRACEFUL_TIMEOUT"], values["STOP_TIMEOUT"] - values["DRAIN_DELAY"])
        self._decide_trust()
        if settings.sources["HEADERS_MAX"] != "default" and not versions().get("max_headers", True):
            self.warnings.append("HEADERS_MAX has no effect: this nginx does not know max_headers")
        if self.debug and values["PRELOAD"]:
            settings.set("PRELOAD", False, "FLASK_DEBUG")
            self.warnings.append("PRELOAD has no effect: FLASK_DEBUG is on, and code is loaded again on save")
        if self.debug:
            self.warnings.append(
                "FLASK_DEBUG is on: code is loaded again on save, and local clients and DEBUG_CLIENTS "
                f"({','.join(values['DEBUG_CLIENTS'])}) may run code in the debugger. NEVER in production"
            )

    def _decide_trust(self) -> None:
        """Whose forwarding headers count, and which of them is the client's address: by the platform, if not given."""
        values, settings = self.values, self.settings
        platform = platforms.find(self.environ)
        self.proxies_named = values["TRUSTED_PROXIES"] is not None
        if not self.proxies_named:
            settings.set("TRUSTED_PROXIES", ("private",) if platform.trusted else ("none",), platform.why)
        nobody = values["TRUSTED_PROXIES"] == ("none",)
        if values["REAL_IP_HEADER"] is None:
            settings.set("REAL_IP_HEADER", platform.real_ip_header, platform.why)
        elif nobody and settings.sources["REAL_IP_HEADER"] != platform.why:  # a reload has the computed one pinned
            self.warnings.append(
                f"REAL_IP_HEADER={values['REAL_IP_HEADER']} has no effect: no proxy is trusted. "
                "Set TRUSTED_PROXIES to the address of the proxy that sends it, or to private"
            )
        if nobody and values["FORCE_HTTPS"]:
            self.warnings.append(
                "FORCE_HTTPS is on and no proxy is trusted: behind one that ends https, every request looks like http "
                "and is sent to https FOR EVER. Set TRUSTED_PROXIES to the proxy's address, or to private"
            )

    def divide_room(self) -> None:
        """What all requests together may take of memory and spool; MAX_BODY_SIZE must fit."""
        values = self.values
        kept = [values["DATA_DIR"]]
        if self.database.path:
            kept.append(os.path.dirname(self.database.path))
        try:
            self.spool = self.spool_of_start or places.spool(self.run, kept)
        except places.NoPlace as error:
            raise BootError(str(error)) from None
        if values["WORKER_CLASS"] in THREADED:
            concurrent = values["WEB_CONCURRENCY"] * values["THREADS"] + values["BACKLOG"]
        else:  # thousands in each worker
            concurrent = values["WORKER_CONNECTIONS"] * self.size.nginx_workers
        self.room = room.of(self.spool, self.memory, concurrent)
        if self.spool_of_start:
            return
        given, most = values["MAX_BODY_SIZE"], self.room.largest_body
        whole = self.users.whole
        line = room.users_own(self.spool, whole) if whole else room.explained(self.spool, self.room, given)
        self.warnings += [line] if line else []
        if not given or given > most:
            self.settings.set("MAX_BODY_SIZE", most, f"half of the room in {self.spool.folder}")

    def listen(self, taken: bool = False) -> None:
        """Ports, each tried with a real bind. `taken`: one that is listened on counts, too."""
        old = self.settings.old.listen
        if self.users.whole:  # it says itself where it listens
            self.addresses = list(users_nginx.listens(self.users.whole))
            self.settings.set("PORT", listening.port_of((self.addresses or ["80"])[0]), self.users.whole)
            return
        try:
            self.addresses = listening.addresses(self.values["PORT"], old, taken)
        except listening.CannotListen as error:
            raise BootError(str(error)) from None
        if self.values["PORT"] is None:
            port = listening.port_of(old) if old else listening.DEFAULT_PORT
            self.settings.set("PORT", port, "LISTEN_PORT" if old else "default")
