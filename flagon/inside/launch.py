"""Starts gunicorn in the application's interpreter; run-gunicorn.py enters here with the path of the JSON options.

Order matters: gunicorn and flagon.inside are imported first, from a search path without the application, and only then
is the application put on it. A file of the application named gunicorn.py, logging.py or flagon.py cannot break the box.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from typing import Any, NoReturn

CODE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUPPORTED = (21, 27)
CONFIGURATION_ERROR = 78
LOAD_FAILED_LATER = 1
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds before a worker that cannot load is tried again; it doubles
WORKER_BOOT_ERROR = 3  # gunicorn's word for: do not start me again


options_file = ""


def read_options() -> dict[str, Any]:
    """What the runtime has written down for this side."""
    with open(options_file, encoding="utf-8") as file:
        options: dict[str, Any] = json.load(file)
    return options


def fail(message: str, code: int = CONFIGURATION_ERROR) -> NoReturn:
    """Say why, once for all workers, and end."""
    from flagon.inside import notice

    if not notice.send({"event": "failed", "message": message}):
        print(message, file=sys.stderr)
    sys.stderr.flush()
    os._exit(code)


def import_gunicorn() -> Any:
    """gunicorn, of a version that is known to work, imported without the variables it reads behind our back."""
    hidden = {name: os.environ.pop(name) for name in ("WEB_CONCURRENCY", "PORT") if name in os.environ}
    try:
        import gunicorn
        import gunicorn.app.base
        import gunicorn.arbiter
    except ImportError as error:
        fail(f"gunicorn cannot be imported in the application's environment ({sys.executable}): {error}")
    os.environ.update(hidden)
    major = int(gunicorn.__version__.split(".")[0])
    if not SUPPORTED[0] <= major <= SUPPORTED[1]:
        fail(f"gunicorn {gunicorn.__version__} is installed; versions {SUPPORTED[0]} to {SUPPORTED[1]} work")
    return gunicorn


def put_application_on_path(options: dict[str, Any]) -> None:
    """Now, and not before: the application's folder and the user's PYTHONPATH."""
    sys.path[0:1] = [options["directory"], *options["python_path"]]
    if CODE not in sys.path:
        sys.path.append(CODE)
    if options["python_path"]:
        os.environ["PYTHONPATH"] = os.pathsep.join(options["python_path"])


def hint(worker_class: str) -> str:
    """What to install for a worker class that gunicorn knows and cannot import."""
    return "; pip install 'gunicorn[gevent]'" if worker_class.startswith("gevent") else ""


def make_application_class(base: Any) -> Any:
    """gunicorn's application object, fed by our options."""
    from flagon.inside import arbiter, debugging, gunicorn_conf, loading, logs, middleware, users_config

    class Box(base):  # type: ignore[misc]
        cfg: Any

        def __init__(self, options: dict[str, Any]) -> None:
            self.options = options
            super().__init__()

        def load_config(self) -> None:
            self.cfg.flagon = self.options
            for name, value in gunicorn_conf.settings(self.options).items():
                self.cfg.set(name, value)
            ours = gunicorn_conf.always_ours(self.options)
            given = users_config.read(self.options["directory"])
            users_config.apply(self.cfg, given, ours, lambda line: print(line, file=sys.stderr))
            self.users_arguments()
            for name, value in ours.items():
                if name in self.cfg.settings:  # an older gunicorn knows fewer
                    self.cfg.set(name, value)
            try:
                self.cfg.worker_class  # noqa: B018 imports it
            except Exception as error:
                reason = [line for line in str(error).splitlines() if re.search("[a-z]", line)][-1:]
                name = self.options["worker_class"]
                fail(f"WORKER_CLASS={name} cannot be loaded: {''.join(reason).strip()}{hint(name)}")

        def run(self) -> None:
            arbiter.Arbiter(self).run()

        def reload(self) -> None:
            """HUP, in the master: what the runtime has written down since. Raises CannotReload, all as it was."""
            before = self.options, self.cfg
            try:
                self.options = read_options()
                os.environ.update(self.options["environment"])
                self.load_default_config()
                self.load_config()
                getattr(self.cfg, "validate", lambda: None)()  # an older gunicorn has none
            except (Exception, SystemExit) as error:
                self.options, self.cfg = before
                raise arbiter.CannotReload(f"{type(error).__name__}: {error}") from None

        def users_arguments(self) -> None:
            """What of GUNICORN_CMD_ARGS is gunicorn's own business."""
            parser = self.cfg.parser()
            parser.error = lambda message: fail(f"GUNICORN_CMD_ARGS: gunicorn says: {message}")
            given = vars(parser.parse_args(self.options["gunicorn_args"]))
            for name, value in given.items():
                if value is not None and name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Any:
            logs.set_up_root(self.options["json_logs"], self.options["log_level"])
            debug = self.options["debug"]
            debugging.guard(debug)
            try:
                if not self.options["target"]:
                    debugging.relocate(self.options)
                application = loading.load(self.options["target"], self.options["why"])
            except loading.LoadError as error:
                if debug:
                    return self.behind(debugging.broken(str(error)))
                if gunicorn_conf.ever_loaded[0]:
                    pause_before_retry(gunicorn_conf.ever_loaded)
                    fail(str(error), LOAD_FAILED_LATER)
                fail(str(error), WORKER_BOOT_ERROR)
            self.options["application"] = application
            self.options["routes"] = loading.own_routes(application, gunicorn_conf.HEALTH_PATHS)
            return self.behind(debugging.with_debugger(application) if debug else application)

        def behind(self, application: Any) -> Any:
            """What lies between the wire and the application."""
            fastcgi = self.options["fastcgi"]
            if self.options["prefix"]:
                application = middleware.sub_path(application, self.options["prefix"])
            if not fastcgi:
                application = middleware.behind_nginx(application)
            return debugging.mark(application, fastcgi) if self.options["debug"] else application

    return Box


def pause_before_retry(shared: Any) -> None:
    """The others serve; gunicorn would start another one at once. shared[1] counts the failures in a row."""
    failures = shared[1]
    shared[1] = min(failures + 1, 10)
    time.sleep(min(FIRST_PAUSE * 2.0**failures, LONGEST_PAUSE))


def check(options: dict[str, Any], gunicorn: Any) -> None:
    """For `flagon check` and reloads: load the application, have gunicorn read its options; serve nothing."""
    from flagon.inside import loading

    try:
        loading.load(options["target"], options["why"])
    except loading.LoadError as error:
        print(error, file=sys.stderr)
        sys.exit(CONFIGURATION_ERROR)
    sys.argv[:] = ["GUNICORN_CMD_ARGS"]
    make_application_class(gunicorn.app.base.BaseApplication)(options)  # gunicorn's parser ends with 2 if it objects


def end_in_time(seconds: float) -> None:
    """The interpreter waits for threads of the application that are no daemons: for so long, and no longer."""
    import threading

    last = threading.Timer(seconds, os._exit, (0,))
    last.daemon = True
    last.start()


def main() -> None:
    """Read the options, import in the right order, run."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # a pipe, and prints are log lines
    global options_file
    options_file = sys.argv[1]
    options = read_options()
    from flagon.inside import notice

    if "--check" in sys.argv:
        gunicorn = import_gunicorn()
        put_application_on_path(options)
        check(options, gunicorn)
        return
    notice.set_up(options["run"])
    gunicorn = import_gunicorn()
    box = make_application_class(gunicorn.app.base.BaseApplication)
    put_application_on_path(options)
    sys.argv[:] = ["gunicorn"]
    from gunicorn.errors import HaltServer

    try:
        box(options).run()
    except SystemExit:  # of the master, or of a worker that was forked from it
        end_in_time(options["graceful_timeout"])
        raise
    except HaltServer as error:  # raised once more while gunicorn halts, when a second worker fails too
        os._exit(error.exit_status)
