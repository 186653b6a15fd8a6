"""`flagon check`: everything that a start would find wrong, without serving."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from flagon import (
    NOT_EXECUTABLE,
    NOT_FOUND,
    access,
    application,
    dangers,
    guard,
    hooks,
    line_ends,
    procfile,
    programs,
    shared_libraries,
    site,
)
from flagon.boot import HOME, Boot, BootError
from flagon.handover import application_environment, nginx_box, write_fragments, write_nginx
from flagon.inside import oom, packages, revisions
from flagon.launch_options import launch_options
from flagon.logs import nginx_line
from flagon.site import Loaded
from flagon.text_file import write

NOTHING = Loaded()


def run(command: list[str] | None = None, as_start: bool = False) -> list[str]:
    """The reasons why a start would not serve; none, and a line that says what would be served, if it would.

    `command`: the container's, such as an old image's CMD. `as_start`: the hooks run, as they do before a start; else
    they are looked at. Nothing is kept in the data directory.
    """
    boot = Boot(os.environ, os.getcwd(), command, keeps=False)
    lines: list[str] = []
    if as_start:
        boot, environ, command = hooks.after(boot, command)
        os.environ.clear()
        os.environ.update(environ)
        boot.choose()
    else:
        boot.decide(fresh=False)
        lines = _hooks(boot)
    boot.listen(taken=True)
    with _elsewhere(boot):
        errors = _application(boot)
        told = said(boot.run)
        errors += _nginx(boot, told, boot.addresses) + _supervisord(boot)
    boot.warnings += (*(boot.served.lines if boot.served else ()), *guard.lines(boot))
    boot.warnings += procfile.lines(boot, command is not None)
    lines = [*boot.settings.warnings, *boot.warnings, *dangers.in_image(boot.directory), *access.lines(boot), *lines]
    for line in (*lines, *boot.origin.lines, *_migrations(boot), *_libraries(boot), *told.lines):
        print(f"warning: {line}", file=sys.stderr)
    if not errors:
        origin = boot.origin
        whose = "" if origin.is_own else f"; packages: {origin.named()}, Python {origin.version}"
        asgi = "; ASGI, by gunicorn's asgi worker" if boot.values["WORKER_CLASS"] == "asgi" else ""
        nginx_conf = f"; {boot.users.whole} in place of Flagon's nginx.conf" if boot.users.whole else ""
        print(f"ok: {application.shown(boot)} ({boot.application.why}); {boot.size_reason}{asgi}{whose}{nginx_conf}")
    return errors


def program(words: list[str]) -> int:
    """The container's command is a program, which a start would run: whether it could. The exit code of that."""
    boot = Boot(os.environ, os.getcwd(), keeps=False)
    boot.choose_places(fresh=False)
    found = shutil.which(words[0], path=boot.environment.get("PATH"))
    if found and not (why := line_ends.advice(found)):
        print(f"ok: `{shlex.join(words)}` is a program that is run as it is: {_beside(words, boot)}")
        return 0
    if found:
        print(f"flagon: {why}", file=sys.stderr)
        return NOT_FOUND
    path = os.path.join(boot.directory, words[0])
    missing = "/" not in words[0] or not os.path.exists(path)
    print(f"flagon: {words[0]}: {'no such command' if missing else 'cannot be executed'}", file=sys.stderr)
    return NOT_FOUND if missing else NOT_EXECUTABLE


def _beside(words: list[str], boot: Boot) -> str:
    """What serves where a program is run; a warning if it starts a server of its own."""
    from flagon import commands, past_nginx

    last = past_nginx.handed_over(words, os.environ, boot.directory) if boot.values["SERVE_CMD"] else []
    if last:
        own = last[2:] if os.path.basename(last[0]) == "flagon" else last  # flagon serve gunicorn ...
        served = commands.served_instead(own, os.environ, boot.directory) if own else None
        what = f" {served.application}" if served and served.application else _found(boot)
        return (
            f"at its end, `{shlex.join(last)}`, Flagon serves{what} (not loaded here: what the script does comes first)"
        )
    if line := past_nginx.line(words, os.environ, boot.directory):
        print(f"warning: {line}", file=sys.stderr)
    return "nothing of Flagon's serves beside it"


def _found(boot: Boot) -> str:
    """The application that is found as things are, where the words name none."""
    boot.insists = False
    try:
        boot.resolve_secrets()
        boot.install_packages()
        boot.choose()
    except BootError:
        return ""  # what the script does first may bring it
    return f" {application.shown(boot)} ({boot.application.why})"


def _hooks(boot: Boot) -> list[str]:
    """What a shell finds wrong with the user's hooks; that they are not run, where there are some."""
    found = hooks.found(boot.directory, boot.values["PRE_START_PATH"])
    if not found:
        return []
    wrong: list[str] = []
    for path in (path for path in found if not path.endswith(".py")):
        copy = line_ends.without(path, os.path.join(boot.run, "check-hooks"))
        done = subprocess.run([hooks.shell_for(path), "-n", copy], capture_output=True, text=True, check=False)
        if done.returncode:
            wrong.append(f"{path}: {done.stderr.strip().replace(copy, path)}")
    shutil.rmtree(os.path.join(boot.run, "check-hooks"), ignore_errors=True)
    if wrong:
        raise BootError("\n".join(wrong))
    return [
        f"not run by `check`: {', '.join(found)}. A start runs them first, and what they export counts: "
        "docker run -e FLAGON_CHECK=1 IMAGE runs them too"
    ]


def _migrations(boot: Boot) -> list[str]:
    """MIGRATE=auto that would find nothing to do: the box would serve upon whatever the database has."""
    if boot.values["MIGRATE"] != "auto" or boot.values["MIGRATE_COMMAND"]:
        return []
    application = boot.application
    found = revisions.find(application.directory, application.target, application_environment(boot))
    if found is None:
        return [f"MIGRATE=auto finds no migrations: looked at {revisions.LOOKED_AT}; MIGRATE_COMMAND names another way"]
    return [f"MIGRATE=auto: Django's settings are not known: {found.unclear}"] if found.unclear else []


def _libraries(boot: Boot) -> list[str]:
    """Shared libraries that packages need and the image has not: a line each, with the package that brings it."""
    folders = [*boot.origin.folders(), os.path.join(boot.origin.home, "bin")]
    found = shared_libraries.missing([folder for folder in folders if os.path.isdir(folder)])
    return [f"{path} needs {packages.of_library(name)}" for name, path in found.items()]


@contextlib.contextmanager
def _elsewhere(boot: Boot) -> Iterator[None]:
    """A run directory of its own for a check."""
    run = boot.run
    boot.run = tempfile.mkdtemp(prefix="check-", dir=run)
    try:
        yield
    finally:
        shutil.rmtree(boot.run, ignore_errors=True)
        boot.run = run


def nginx(boot: Boot, told: Loaded = NOTHING, gated: bool = False) -> list[str]:
    """What nginx finds wrong with its configuration, the user's files named. No port of the box's is bound for it."""
    with _elsewhere(boot):
        # nginx -t binds what it does not already listen on
        return _nginx(boot, told, [f"unix:{boot.run}/check.sock"], gated)


def said(folder: str) -> Loaded:
    """What the application says of itself, after it was loaded for a check with the options in this folder."""
    try:
        with open(os.path.join(folder, "loaded.json"), encoding="utf-8") as file:
            message = json.load(file)
    except (OSError, ValueError):
        return NOTHING
    return site.loaded(message) if isinstance(message, dict) else NOTHING


def _application(boot: Boot) -> list[str]:
    """Import the application in its own interpreter."""
    options = os.path.join(boot.run, "launch.json")
    write(options, json.dumps(launch_options(boot, boot.run)))
    launcher = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside", "run-gunicorn.py")
    environment = application_environment(boot)
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [boot.python, launcher, options, "--check"],
        capture_output=True, text=True, env=environment, cwd=boot.application.directory, check=False, timeout=120,
        # A session of its own, without a terminal: it could type into that of whoever asks (TIOCSTI).
        stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    if why := oom.why(done.returncode):
        raise hooks.Failed(f"the application {boot.application.target} cannot be loaded: {why}", 128 + signal.SIGKILL)
    return [] if done.returncode == 0 else [done.stderr.strip() or f"the import ended with code {done.returncode}"]


def _nginx(boot: Boot, told: Loaded, addresses: list[str], gated: bool = False) -> list[str]:
    """`nginx -t` over the rendered configuration."""
    write_fragments(os.path.join(boot.run, "fragments"), nginx_box(boot, addresses, boot.run, told, gated))
    write_nginx(boot.run, boot.run, boot)
    errors = [error + ROOT_TAKEN * error.startswith(ROOT_TWICE) for error in nginx_errors(boot.run)]
    if boot.users.whole:
        hint = f"\n{boot.users.whole} is taken in place of Flagon's own nginx.conf; under another name it is not"
        errors = [error.replace(os.path.join(boot.run, "nginx.conf"), boot.users.whole) + hint for error in errors]
    return errors


def _supervisord(boot: Boot) -> list[str]:
    """What supervisord finds wrong with the Procfile's programs and the user's files for it."""
    if not boot.programs.sections:
        return []
    os.symlink(os.path.join(HOME, "supervisord.conf"), os.path.join(boot.run, "supervisord.conf"))
    programs.write(boot.programs, boot.run)
    os.environ.update(application_environment(boot))  # a file may name its variables
    try:
        programs.read_as_supervisord(boot.programs, boot.run)
    except programs.BadProgram as error:
        return [str(error)]
    return []


ROOT_TWICE = 'nginx: duplicate location "/" in'
ROOT_TAKEN = (
    ". Flagon's own leads to the application: write what yours says without the location, so that it holds for all of "
    "the site; or name what it is for, as `location /admin` or `location = /` (docs/extending.md)"
)


def nginx_errors(folder: str) -> list[str]:
    """What nginx finds wrong with nginx.conf in a run directory."""
    words = ["nginx", "-t", "-q", "-p", folder, "-c", "nginx.conf", "-e", "stderr"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    except subprocess.TimeoutExpired:
        return ["nginx: its check of nginx.conf takes longer than 30 s"]
    if done.returncode == 0:
        return []
    lines = done.stderr.strip().splitlines() or [f"its check of nginx.conf ended with code {done.returncode}"]
    return ["nginx: " + nginx_line(next((line for line in lines if "[emerg]" in line), lines[0]))[1]]
