"""From the environment to a box that can be started: every decision, in order, each made once."""

from __future__ import annotations

import contextlib
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
    environments,
    gunicorn_file,
    identity,
    listening,
    locate,
    places,
    platforms,
    ports,
    procfile,
    programs,
    room,
    secrets_store,
    site,
    users_nginx,
    workdir,
)
from flagon import settings as settings_module
from flagon.kinds import integer
from flagon.logs import Output
from flagon.nginx_text import unfit
from flagon.table import SETTINGS

HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # /opt/flagon in the image
STARTER = os.path.join(HOME, "starter")
NOT_EMBEDDED = ".flagon-no-database"  # in a data directory that began without an app.db of ours
THREADED = ("fastcgi", "gthread", "sync")  # worker classes that serve a request with a thread


class BootError(Exception):
    """The boot cannot go on; the message says why. Exit code 78 (EX_CONFIG)."""


class NoApplication(BootError):
    """Nothing that can be served is found, or nothing that can be told from the rest."""


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

    insists = True  # on the volume's secret, and on a place that keeps the data; a command does without

    def __init__(
        self,
        environ: Mapping[str, str],
        directory: str,
        command: list[str] | None = None,
        keeps: bool = True,
        was: commands.Serve | None = None,
    ) -> None:
        """`was`: what the command was before its first steps have run, or what a Procfile's line was."""
        self.keeps = keeps  # a check leaves nothing in the data directory, least of all a secret in an image
        self.directory, self.home, self.environ = directory, HOME, environ
        self.started_at = time.time()
        self.warnings: list[str] = []
        self.command = command or []
        self.origin = environments.own()  # of the application's packages
        self.packages = ""  # what PIP_INSTALL made
        # Where the author or a hook has left it, if not in the application's directory: relative paths begin there.
        self.working_directory = workdir.origin
        self.spool_of_start: room.Spool | None = None  # a reload keeps it
        given = commands.served_instead(command, environ, directory) if command else None
        if given and was:
            given = given._replace(
                always=was.always, supervisor=was.supervisor, left_out=was.left_out, directory=was.directory,
                source=was.source,
            )  # fmt: skip
        served = given if given and given.source == commands.COMMAND else None
        web = given if given and not served else None
        self.gunicorn_file, self.asks_tls = "", ""
        self.from_file: dict[str, Any] = {}  # what gunicorn's file says that is the boot's business
        self.objects: list[str] = []  # of the application's module, where none is named
        self.programs = programs.Programs()
        self.application = locate.Application("", directory, "nobody has looked yet")
        self.asgi = ""  # what shows that the application is ASGI, such as FastAPI()
        self.beside: list[ports.Meant] = []  # listened on because the author's own start means it
        args, uwsgi = (served.gunicorn, served.uwsgi) if served else (None, None)
        self.settings = settings_module.resolve(environ, directory, args, uwsgi, web)
        if was and was.source == commands.PROCFILE and self.settings.procfile and not given:
            self.settings.procfile = self.settings.procfile._replace(directory=was.directory)
        self.values = self.settings.values
        self._tell_identity()
        self.given = dict(self.values)  # before anything is computed: a reload compares with it
        debug = self.settings.environment.get("FLASK_DEBUG", "")
        self.debug = debug.lower() not in ("", "0", "false", "no")  # as Flask reads it
        self.served = served or (None if command and not web else self.settings.procfile)
        if self.served and self.served.threads and not self.settings.is_said("THREADS"):
            self._take_number("THREADS", self.served.threads, self.served.source)
        if self.served and self.served.workers and not self.settings.is_said("WEB_CONCURRENCY"):
            self._take_number("WEB_CONCURRENCY", self.served.workers, self.served.source)
        if self.served and self.served.settings:
            from flagon import django_project  # few start so

            self.settings.environment[django_project.VARIABLE] = self.served.settings
        self._take_from_command(served)
        wanted = self.values["LOG_FORMAT"]
        as_json = wanted == "json" or (wanted == "auto" and not _is_terminal())
        self.output = Output(as_json, self.values["LOG_LEVEL"])

    def _take_from_command(self, served: commands.Serve | None) -> None:
        """GUNICORN_CMD_ARGS may name the port, an inherited command the application, too."""
        if served and served.application and self.settings.sources["APP_MODULE"] == "default":
            self.settings.set("APP_MODULE", served.application, "command line")
        if self.settings.arguments.port:
            self._take_port(self.settings.arguments.port, "GUNICORN_CMD_ARGS")
        if served and served.port:
            self._take_port(served.port, "command line")

    def _take_port(self, port: str, source: str) -> None:
        """The port that an option names, where no variable does."""
        if not port.isdigit():  # an array form CMD leaves "$PORT" as it is
            self.warnings.append(f"{source}: port {port!r} is no number and is ignored")
            return
        if self.settings.sources["PORT"] != "default":
            return
        try:
            self.settings.set("PORT", integer(port, SETTINGS["PORT"]), source)
        except ValueError as error:
            refusal = f"{source}: port {port!r} is not accepted; accepted: {error}"
            raise settings_module.SettingsError([refusal]) from None

    def _take_number(self, name: str, text: str, source: str) -> None:
        try:
            self.settings.set(name, integer(text, SETTINGS[name]), source)
        except ValueError as error:
            self.warnings.append(f"{source}: {text!r} is not accepted for {name}; accepted: {error}")

    def decide(self, fresh: bool) -> None:
        """All steps, in order. `fresh` empties the run directory of an earlier run."""
        self.prepare(fresh)
        self.choose()

    def prepare(self, fresh: bool) -> None:
        """Everything before the user's own programs may run: places, secrets, packages."""
        self.choose_places(fresh)
        self.resolve_secrets()
        if fresh and self.keeps:  # not before: a start that ends over an unreadable secret changes nothing there
            self.warnings += places.keep_group_0_out(self.values["DATA_DIR"])
            self._mark_data()
        self.install_packages()

    def choose(self) -> None:
        """Everything that depends on the application's files."""
        self.read_gunicorn_file()
        self.find_application()
        self.find_files()
        self.refuse_tls()
        self.from_gunicorn_file = gunicorn_file.take(self)
        self.decide_size()
        self.read_users_parameters()
        self.divide_room()

    def _tell_identity(self) -> None:
        """Who this process has become (flagon/identity.py), and a RUN_AS that had no part in it."""
        self.warnings += identity.lines + workdir.lines
        source = self.settings.sources["RUN_AS"]
        if remark := identity.remark(self.values["RUN_AS"], source):
            self.warnings.append(remark)
            if source not in identity.ENVIRONMENT:
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
        self.closed = "" if self.data else places.closed_mount(data)
        self.data_is_volume = self.data is not None and places.mount_of(self.data) != "/"
        self.environment = dict(self.settings.environment)
        home = self.environment.get("HOME", "")
        if not os.path.isdir(home) or not os.access(home, os.W_OK):
            self.environment["HOME"] = self.run

    def resolve_secrets(self) -> None:
        """SECRET_KEY and DATABASE_URL, as the application will see them."""
        if not self.values["SECRET_KEY"]:
            folder = self.data or (self.values["DATA_DIR"] if self._has_secret() else None)
            if self.insists and self.closed and not folder:
                raise BootError(f"{self.closed}; or set SECRET_KEY and DATABASE_URL")
            try:
                key, source, warning = secrets_store.load_or_make(folder, self.keeps, self.values["DATA_DIR"])
            except (secrets_store.Unreadable, OSError) as error:
                if self.insists:
                    raise BootError(str(error)) from None
                key, source = secrets_store.random_key(), secrets_store.FOR_A_COMMAND
                warning = f"{error}. This command has another one"
            self.settings.set("SECRET_KEY", key, source)
            self.warnings += [warning] if warning else []
        if not self.values["DATABASE_URL"]:
            if self._embeds_sqlite():
                self._embed_sqlite()
            else:
                self._warn_of_data()
        try:
            self.database, self.direct_database, remarks = database.both(self.settings, self.directory)
        except ValueError as error:
            raise BootError(str(error)) from None
        self.warnings += remarks

    def _has_secret(self) -> bool:
        """A secret in a data directory that is read-only now is still the secret."""
        return os.path.exists(os.path.join(self.values["DATA_DIR"], "secret_key"))

    @property
    def embedded(self) -> str:
        """Where SQLite lies for whom it is embedded."""
        return os.path.join(self.values["DATA_DIR"], "app.db")

    def _embeds_sqlite(self) -> bool:
        """For the starter; and where an earlier version has told an application to put its tables there.

        Until 0.1 every application was given that file as DATABASE_URL. Without it the next start would look as if
        all data were lost. A volume that was begun without such a file is marked, and never leads here.
        """
        if application_module.is_starter(self, STARTER):
            return True
        said = {"DATABASE_URL", "FLAGON_DATABASE_URL"} & self.settings.environment.keys()  # empty: none is wanted
        try:
            kept = os.path.getsize(self.embedded) > 0
        except OSError:
            kept = False
        if said or not kept or os.path.exists(os.path.join(self.values["DATA_DIR"], NOT_EMBEDDED)):
            return False
        self.warnings.append(
            f"{self.embedded} is there, and earlier versions gave it to every application: DATABASE_URL still is "
            f"sqlite:///{self.embedded}. Set DATABASE_URL=sqlite:///{self.embedded} to keep that, or an empty "
            "DATABASE_URL= if the application has its data elsewhere"
        )
        return True

    def _mark_data(self) -> None:
        """From its first start on, a data directory is known to be none of an earlier version's."""
        if self.data and self.database.kind == "none" and not os.path.exists(self.embedded):
            with contextlib.suppress(OSError):
                os.close(os.open(os.path.join(self.data, NOT_EMBEDDED), os.O_CREAT | os.O_EXCL, 0o600))

    def _warn_of_data(self) -> None:
        """What of the data directory matters to an application that keeps its tables elsewhere, or has none."""
        home = self.values["DATA_DIR"]
        if self.data is None:
            self.warnings.append(
                f"{home} is not writable for uid {os.geteuid()}: neither a database nor SECRET_KEY can be kept there"
                + (f". {self.closed}" if self.closed else "")
            )

    @property
    def passing_key(self) -> str:
        """The data directory, where the SECRET_KEY that was made ends with the container; who uses it is told so."""
        made = self.data and not self.data_is_volume and self.settings.sources["SECRET_KEY"].startswith(self.data)
        return self.values["DATA_DIR"] if made and self.database.kind == "none" else ""

    def _embed_sqlite(self) -> None:
        home, uid = self.values["DATA_DIR"], os.geteuid()
        existing = self.embedded
        if self.insists and os.path.exists(existing) and not os.access(existing, os.R_OK):
            raise BootError(f"{existing} exists and cannot be read by uid {uid}: give it access, or set DATABASE_URL")
        folder = home if self.data or os.path.exists(existing) else self.run
        self.settings.set("DATABASE_URL", f"sqlite:///{folder}/app.db", "default")
        if folder == self.run:
            mend = f"{self.closed}; " if self.closed else "Mount a writable volume there "
            self.warnings.append(
                f"{home} is not writable for uid {uid}: SQLite lies in {folder} and ENDS WITH THIS CONTAINER. "
                f"{mend}or set DATABASE_URL"
            )
        elif self.data is None:
            self.warnings.append(f"{home} is READ-ONLY for uid {uid}: SQLite in it can be read and not written")
        elif not self.data_is_volume:
            self.warnings.append(
                f"{home} is not a volume: SQLite and the secret end with this container. "
                "Run with -v flagon-data:/data or set DATABASE_URL"
            )

    def refuse_to_lose_data(self) -> None:
        """SQLite of ours is written to: a mounted directory that cannot be is no place. Raises BootError."""
        embedded = self.database.kind == "sqlite" and self.settings.sources["DATABASE_URL"] == "default"
        if not self.closed or not embedded:
            return
        home = self.values["DATA_DIR"]
        if self.database.path.startswith(f"{home}/") and places.read_only(home):
            return  # it is shown as it is, and said to be
        raise BootError(f"{self.closed}; or set DATABASE_URL")

    @property
    def python(self) -> str:
        """The application's interpreter."""
        return self.origin.python

    def install_packages(self) -> None:
        """The environment with the application's packages: the image's own, the author's, or what PIP_INSTALL makes."""
        try:
            given = self.settings.environment  # with the HOME that was given
            words = self.command or [procfile.read(self.directory).get("web", "")]
            found = environments.find(given, self.directory, words, self.settings.old.home)
        except environments.Unusable as error:
            if not self.values["PIP_INSTALL"]:
                raise BootError(str(error)) from None
            found = environments.own()
        if self.values["PIP_INSTALL"] and not self.packages:
            from flagon import pip_install  # not at each cold start

            try:
                self.packages = pip_install.environment(self)
            except (pip_install.CannotInstall, OSError) as error:
                raise BootError(str(error)) from None
        if self.packages:
            if not found.is_own and found.home != self.packages:
                self.warnings.append(f"PIP_INSTALL: {found.named()} is not used")
            found = environments.of_pip_install(self.packages)
        elif found.is_own and versions() and not os.path.exists(found.python):
            raise BootError(f"{found.python}, the image's own environment, is not there: something has removed it")
        self.origin = found
        self.environment.update(found.variables(self.environment.get("PATH", os.defpath)))

    def find_application(self) -> None:
        """What to serve: the user's, or the starter where the user brought nothing."""
        given = self.values["APP_MODULE"]
        try:
            self.application = application_module.choose(self, STARTER)
        except locate.NotFound as error:
            if not self.debug or not locate.holds_anything(self.directory):
                raise NoApplication(f"{error}{procfile.next_step(self)}") from None
            # Found at a save, and until then the reason is shown.
            self.application = locate.Application("", self.directory, str(error))
        if self.application.directory == STARTER and (mount := locate.empty_mount(self.directory)):
            self.warnings.append(f"{mount}. The starter is served in its place")
        source = self.settings.sources["APP_MODULE"] if given else self.application.why
        self.settings.set("APP_MODULE", self.application.target, source)
        try:
            self.database = database.placed(self.database, self.application.directory)
            self.direct_database = database.placed(self.direct_database, self.application.directory)
        except ValueError as error:
            raise BootError(f"DATABASE_URL: {error}") from None
        of_starter = self.application.directory == STARTER
        if self.insists:
            self.refuse_to_lose_data()
        if self.values["MIGRATE"] is None:
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
            self.programs = programs.find(self.directory, self.values["PROCESSES"] or (), self.run, self.served)
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
        """The file that -c or GUNICORN_CONF names, or gunicorn_conf.py: what it says that is not gunicorn's alone."""
        given, source = gunicorn_file.named(self)
        where = gunicorn_file.folders(self)
        try:
            self.gunicorn_file = gunicorn_file.find(where, given, source)
            if self.gunicorn_file:
                self.from_file = gunicorn_file.values(self.gunicorn_file, self.python, self.environment, where, source)
        except gunicorn_file.BadFile as error:
            raise BootError(str(error)) from None

    def refuse_tls(self) -> None:
        """gunicorn does not listen: a port that meant TLS would speak plain http."""
        self.asks_tls = ports.tls(self)
        if not self.asks_tls:
            return
        if not ports.ends_tls(self):
            raise BootError(f"{self.asks_tls} asks for TLS: {ports.HOW_TO}")
        self.warnings.append(f"{self.asks_tls} is ignored: your nginx file ends TLS")

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
            clients = ",".join(values["DEBUG_CLIENTS"])
            debugger = f", and local clients and DEBUG_CLIENTS ({clients}) may run code in the debugger"
            more = "" if values["WORKER_CLASS"] == "asgi" else debugger
            self.warnings.append(f"FLASK_DEBUG is on: code is loaded again on save{more}. NEVER in production")

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

    def read_users_parameters(self) -> None:
        """What the user's nginx files say of the application for all of the site, and has no effect here."""
        if self.users.said is not None:
            from flagon import users_parameters  # not at each cold start

            self.warnings += users_parameters.lines(self.users.said, self.fastcgi, bool(self.values["CACHE"]))

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
        self.warnings += ports.sockets(self)
        for wanted in ports.beside(self):
            own = f":{wanted.port}"
            self.addresses += listening.more(self.addresses, wanted.port, taken)
            if any(address.endswith(own) for address in self.addresses):
                self.beside.append(wanted)
            elif wanted.why not in ports.CUSTOMARY:
                self.warnings.append(f"port {wanted.port} ({wanted.why}) cannot be listened on: publish another one")
        if self.values["PORT"] is None:
            port = listening.port_of(old) if old else listening.DEFAULT_PORT
            self.settings.set("PORT", port, "LISTEN_PORT" if old else "default")
