"""`flagon check`: everything that a start would find wrong, without serving."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from flagon import dangers, programs, site
from flagon.boot import HOME, Boot
from flagon.handover import application_environment, nginx_box, write_fragments, write_nginx
from flagon.launch_options import launch_options
from flagon.logs import nginx_line
from flagon.site import Loaded
from flagon.text_file import write

NOTHING = Loaded()


def run() -> list[str]:
    """The reasons why a start would not serve; none, and a line that says what would be served, if it would."""
    boot = Boot(os.environ, os.getcwd())
    boot.decide(fresh=False)
    boot.listen(taken=True)
    with _elsewhere(boot):
        errors = _application(boot)
        told = said(boot.run)
        errors += _nginx(boot, told, boot.addresses) + _supervisord(boot)
    for line in (*boot.settings.warnings, *boot.warnings, *dangers.in_image(boot.directory), *told.left):
        print(f"warning: {line}", file=sys.stderr)
    if not errors:
        print(f"ok: {boot.application.target} ({boot.application.why}); {boot.size_reason}")
    return errors


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
    return [] if done.returncode == 0 else [done.stderr.strip() or f"the import ended with code {done.returncode}"]


def _nginx(boot: Boot, told: Loaded, addresses: list[str], gated: bool = False) -> list[str]:
    """`nginx -t` over the rendered configuration."""
    write_fragments(os.path.join(boot.run, "fragments"), nginx_box(boot, addresses, boot.run, told, gated))
    write_nginx(boot.run, boot.run, boot)
    errors = nginx_errors(boot.run)
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
