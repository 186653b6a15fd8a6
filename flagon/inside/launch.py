"""Starts gunicorn in the application's interpreter; run-gunicorn.py enters here with the path of the JSON options.

Order matters: gunicorn and flagon.inside are imported first, from a search path without the application, and only then
is the application put on it. A file of the application named gunicorn.py, logging.py or flagon.py cannot break the box.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
from typing import Any

from flagon import CONFIGURATION_ERROR, timeline
from flagon.inside import options as options_file
from flagon.inside import own_packages, packages
from flagon.inside.deferred import deferred
from flagon.inside.notice import fail

CODE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUPPORTED = (21, 27)


def _supported(gunicorn: Any) -> bool:
    return SUPPORTED[0] <= int(gunicorn.__version__.split(".")[0]) <= SUPPORTED[1]


def _gunicorn() -> Any:
    """gunicorn, without the variables that it reads behind our back; all of it if it works. Raises ImportError."""
    hidden = {name: os.environ.pop(name) for name in ("WEB_CONCURRENCY", "PORT") if name in os.environ}
    try:
        with deferred():
            import gunicorn

            if _supported(gunicorn):
                import gunicorn.app.base
                import gunicorn.arbiter
                import gunicorn.glogging
                import gunicorn.workers.base
    finally:
        os.environ.update(hidden)
    return gunicorn


def import_gunicorn() -> Any:
    """gunicorn, of a version that is known to work."""
    try:
        gunicorn = _gunicorn()
    except ImportError as error:
        fail(f"gunicorn cannot be imported in the application's environment ({sys.executable}): {error}")
    if not _supported(gunicorn):
        fail(f"gunicorn {gunicorn.__version__} is installed; versions {SUPPORTED[0]} to {SUPPORTED[1]} work")
    return gunicorn


def put_application_on_path(options: dict[str, Any]) -> None:
    """Now, and not before: the application's folder and the user's PYTHONPATH."""
    if options["python_path"]:
        os.environ["PYTHONPATH"] = os.pathsep.join(options["python_path"])
    kept = load_agents(options["agents"]) if options.get("agents") else []
    search = [one for one in options["python_path"] if one in kept or one not in options.get("agents", ())]
    if CODE in sys.path:
        sys.path.remove(CODE)
    sys.path[0:0] = [options["directory"], *search]
    sys.path.append(CODE)


def load_agents(folders: list[str]) -> list[str]:
    """A sitecustomize of PYTHONPATH, as the interpreter would have run it had it seen these folders at its start.

    The application's folders are not searched yet: a file of that name there does no harm. Returns the folders that are
    still on the path: an agent takes its own away.
    """
    sys.modules.pop("sitecustomize", None)  # the system's own has run
    sys.path[1:1] = folders
    try:
        import sitecustomize  # type: ignore[import-not-found,unused-ignore] # noqa: F401
    except Exception as error:
        print(f"sitecustomize in PYTHONPATH: {type(error).__name__}: {error}", file=sys.stderr)
    kept = [folder for folder in folders if folder in sys.path]
    for folder in kept:
        sys.path.remove(folder)
    return kept


def check(options: dict[str, Any], gunicorn: Any) -> None:
    """For `flagon check` and reloads: load the application, have gunicorn read its options; serve nothing.

    What a worker would say of the application is written beside the options, as loaded.json.
    """
    from flagon.inside import application, loading

    try:
        found = loading.load_to_serve(options, lambda line: print(f"warning: {line}", file=sys.stderr))
    except loading.LoadError as error:
        print(error, file=sys.stderr)
        sys.exit(CONFIGURATION_ERROR)
    place = os.path.join(os.path.dirname(sys.argv[1]), "loaded.json")
    sys.argv[:] = ["GUNICORN_CMD_ARGS"]
    # gunicorn's parser ends with 2 if it objects
    box = application.make_class(gunicorn.app.base.BaseApplication)(options)
    with open(place, "w", encoding="utf-8") as file:
        json.dump(box.said_of(found), file)


def end_in_time(seconds: float) -> None:
    """The interpreter waits for threads of the application that are no daemons: for so long, and no longer."""
    import threading

    last = threading.Timer(seconds, os._exit, (0,))
    last.daemon = True
    with contextlib.suppress(RuntimeError):  # no thread to be had: the exit code says more
        last.start()


def wait(descriptor: int) -> None:
    """Import what takes long; then the boot says where and with which environment this is to run, or that it is not."""
    gc.disable()  # imports leave nothing to collect: 5 ms
    try:
        _gunicorn()
        from flagon.inside import application, worker  # noqa: F401
    except Exception:
        pass  # said when it is imported again, to whom it concerns
    gc.freeze()
    gc.enable()
    timeline.mark("gunicorn imported")
    with os.fdopen(descriptor, encoding="utf-8", errors="surrogateescape") as pipe:
        text = pipe.read()
    if not text:
        os._exit(0)
    said = json.loads(text)
    os.environ.clear()
    os.environ.update(said["environment"])
    time.tzset()
    os.chdir(said["directory"])
    sys.argv[1:] = [said["options"]]


def main() -> None:
    """Read the options, import in the right order, run."""
    own_packages.provide()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # a pipe, and prints are log lines
    timeline.mark("gunicorn's python")
    if sys.argv[-1].startswith("--wait="):
        wait(int(sys.argv.pop()[len("--wait=") :]))
    options = options_file.read(sys.argv[1])
    packages.origin = options["packages"]
    from flagon.inside import notice

    if "--check" in sys.argv:
        gunicorn = import_gunicorn()
        put_application_on_path(options)
        check(options, gunicorn)
        return
    notice.set_up(options["run"])
    gunicorn = import_gunicorn()
    from flagon.inside import application

    box = application.make_class(gunicorn.app.base.BaseApplication)
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
