"""gunicorn's application object, fed by what the runtime has written down: configuration, loading, reload."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from typing import Any, NoReturn

from flagon import CONFIGURATION_ERROR, published
from flagon.inside import (
    accel,
    arbiter,
    debugging,
    event_streams,
    files,
    green,
    gunicorn_conf,
    import_threads,
    loading,
    logs,
    middleware,
    own_routes,
    secret_keys,
    sqlite_places,
    static_folders,
    static_urls,
    users_config,
    websockets,
)
from flagon.inside import options as options_file
from flagon.inside.notice import fail
from flagon.nginx_text import unfit

LOAD_FAILED_LATER = 1
OLD_GUNICORN = (
    "the application is ASGI, and the gunicorn that is installed has no asgi worker that can serve it: leave gunicorn "
    "out of requirements.txt, as the image has one that can, or pin gunicorn>=27"
)
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds before a worker that cannot load is tried again; it doubles
LONGEST_NAME = 5000  # characters, more than nginx takes: all that is said is one datagram
WORKER_BOOT_ERROR = 3  # gunicorn's word for: do not start me again


def hint(worker_class: str) -> str:
    """What to do for a worker class that gunicorn knows, or knew, and cannot import."""
    if worker_class.startswith("gevent"):
        return "; pip install 'gunicorn[gevent]'"
    return f": {green.EVENTLET}, and leave WORKER_CLASS out" if "eventlet" in worker_class.lower() else ""


def make_class(base: Any) -> Any:
    """gunicorn's application object, fed by our options."""

    class Box(base):  # type: ignore[misc]
        cfg: Any
        digested: dict[str, str] = {}  # noqa: RUF012 url -> folder, of static files that have digested names

        def __init__(self, options: dict[str, Any]) -> None:
            self.options = options
            super().__init__()

        def load_config(self) -> None:
            self.cfg.flagon = self.options
            for name, value in gunicorn_conf.settings(self.options).items():
                if name in self.cfg.settings:  # an older gunicorn knows fewer
                    self.cfg.set(name, value)
            ours = gunicorn_conf.always_ours(self.options)
            given = users_config.read(self.options["gunicorn_file"], self.options["gunicorn_folders"])
            taken = tuple(self.options["from_gunicorn_file"])
            users_config.apply(
                self.cfg, given, ours, lambda line: print(line, file=sys.stderr), taken, self.options["said_by"]
            )
            self.users_arguments()
            for name, value in ours.items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)
            try:
                with green.version_parser(self.options["worker_class"]):
                    self.cfg.worker_class  # noqa: B018 imports it
            except Exception as error:
                reason = [line for line in str(error).splitlines() if re.search("[a-z]", line)][-1:]
                name = self.options["worker_class"]
                if self.options["asgi"]:
                    fail(f"{OLD_GUNICORN} ({''.join(reason).strip()})")
                fail(f"WORKER_CLASS={name} cannot be loaded: {''.join(reason).strip()}{hint(name)}")

        def run(self) -> None:
            arbiter.Arbiter(self).run()

        def reload(self) -> None:
            """HUP, in the master: what the runtime has written down since. Raises CannotReload, all as it was."""
            self.before = self.options, self.cfg, dict(os.environ)
            try:
                self.options = options_file.read()
                os.environ.update(self.options["environment"])
                self.load_default_config()
                self.load_config()
                getattr(self.cfg, "validate", lambda: None)()  # an older gunicorn has none
            except (Exception, SystemExit) as error:
                self.take_back()
                raise arbiter.CannotReload(f"{type(error).__name__}: {error}") from None

        def take_back(self) -> None:
            """As it was before the reload."""
            self.options, self.cfg, environment = self.before
            os.environ.clear()
            os.environ.update(environment)

        def users_arguments(self) -> None:
            """What of its command line, the Procfile's and GUNICORN_CMD_ARGS is gunicorn's own business."""
            parser = self.cfg.parser()
            parser.error = lambda message: fail(f"{self.options['gunicorn_args_from']}: gunicorn says: {message}")
            given = vars(parser.parse_args(self.options["gunicorn_args"]))
            for name, value in given.items():
                if value is not None and name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Any:
            logs.set_up_root(self.options)
            debug, asgi = self.options["debug"], self.options["asgi"]
            debugging.guard(debug)
            try:
                if not self.options["target"]:
                    debugging.relocate(self.options)
                application = loading.load_to_serve(self.options, warn_once)
            except loading.LoadError as error:
                refused = isinstance(error, loading.Refused)
                if debug and not refused:
                    return self.behind(debugging.broken(str(error), asgi))
                self.end_unloaded(str(error), refused or isinstance(error, loading.Denied))
            self.options["application"] = application
            self.options["loaded"] = self.said_of(application)
            return self.behind(debugging.with_debugger(application) if debug and not asgi else application)

        def end_unloaded(self, message: str, by_setting: bool = False) -> NoReturn:
            """The worker ends: the first takes the box with it, a later one is tried again while the others serve."""
            if gunicorn_conf.ever_loaded[0]:
                pause_before_retry(gunicorn_conf.ever_loaded)
                fail(message, LOAD_FAILED_LATER)
            fail(message, CONFIGURATION_ERROR if by_setting else WORKER_BOOT_ERROR)

        def lifespan_failed(self, why: str) -> Any:
            """An ASGI application cannot start. What is served in its place, if FLASK_DEBUG is on."""
            options = self.options
            message = f"the application {options['target']} ({options['why']}): its lifespan startup failed: {why}"
            if not options["debug"]:
                self.end_unloaded(message)
            return self.behind(debugging.broken(message, True))

        def said_of(self, application: Any) -> dict[str, Any]:
            """What nginx is told of the application: its own routes and static folders, what it may hand over."""
            options = self.options
            folders, left, lines = (
                static_folders.NOTHING
                if options["asgi"]
                else static_folders.find(application, options["served_anyway"], options["protected"])
            )
            self.digested = static_urls.teach_all(
                folders, static_urls.Manifest(options["static_manifest"]), options["static_host"]
            )
            inside = [root.rstrip("/") + "/" for root in options["hand_over"]]
            for found in (*folders, *left):
                real = os.path.realpath(found.folder)
                known = real.startswith(tuple(inside)) or published.holds(real, options["protected"])
                if options["hand_over"] and not known and not unfit(real):
                    options["hand_over"].append(real)
            return {
                "routes": own_routes.of(application, gunicorn_conf.HEALTH_PATHS + gunicorn_conf.TOP_FILES),
                "statics": [[text[:LONGEST_NAME] for text in found[:3]] for found in folders],
                "lines": [
                    *lines,
                    *self.threads(),
                    *secret_keys.lines(application, self.cfg.workers),
                    *secret_keys.passing(application, options["passing_key"]),
                    *sqlite_places.lines(application, options),
                ],
                "handed": options["hand_over"],
            }

        def own_state(self, application: Any) -> list[str]:
            """Warnings of secrets and SQLite files that do not last."""
            found = secret_keys.lines(application, self.cfg.workers)
            found += secret_keys.passing(application, self.options["passing_key"])
            return found + sqlite_places.lines(application, self.options)

        def threads(self) -> list[str]:
            """A warning if each of several workers runs threads that the application has started at import."""
            if self.cfg.preload_app or self.cfg.workers < 2:
                return []
            return import_threads.lines(self.options["directory"], self.cfg.workers)

        def behind(self, application: Any) -> Any:
            """What lies between the wire and the application."""
            fastcgi = self.options["fastcgi"]
            if self.options["asgi"]:
                return self.behind_asgi(application)
            if self.digested:
                application = static_urls.behind(application, self.digested, self.options["static_host"])
            if self.options["spa"]:
                application = files.with_page(application)
            hand_over = files.hand_over(self.options)
            if hand_over is not None and not fastcgi:
                application = files.Handing(application, hand_over)
            if self.options["prefix"]:
                application = middleware.sub_path(application, self.options["prefix"])
            if not fastcgi:
                if self.options["named_locations"] is not None:
                    application = accel.guarded(application, self.options["named_locations"], warn_once)
                application = event_streams.closed_in_order(websockets.closed_in_order(application))
                application = middleware.behind_nginx(
                    application, self.options["spool"], self.options["users_parameters"]
                )
            return debugging.mark(application, fastcgi) if self.options["debug"] else application

        def behind_asgi(self, application: Any) -> Any:
            """The same for an ASGI application."""
            from flagon.inside import asgi_middleware  # few need it

            options = self.options
            application = asgi_middleware.single(application) if loading.is_double(application) else application
            return asgi_middleware.behind_nginx(
                application, options["prefix"], options["spool"], options["named_locations"], warn_once, options["spa"],
                options["timeout"],
            )  # fmt: skip

    return Box


said: set[str] = set()


def warn_once(message: str) -> None:
    """A warning worth one line in a worker's life."""
    if message not in said:
        said.add(message)
        logging.getLogger("gunicorn.error").warning(message)


def pause_before_retry(shared: Any) -> None:
    """The others serve; gunicorn would start another one at once. shared[1] counts the failures in a row."""
    failures = shared[1]
    shared[1] = min(failures + 1, 10)
    time.sleep(min(FIRST_PAUSE * 2.0**failures, LONGEST_PAUSE))
