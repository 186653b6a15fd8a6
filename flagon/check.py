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

from flagon import dangers
from flagon.boot import Boot
from flagon.handover import application_environment, nginx_box, write_fragments, write_nginx
from flagon.launch_options import launch_options
from flagon.site import Loaded
from flagon.text_file import write


def run() -> list[str]:
    """The reasons why a start would not serve; none, and a line that says what would be served, if it would."""
    boot = Boot(os.environ, os.getcwd())
    boot.decide(fresh=False)
    with _elsewhere(boot):
        errors = _application(boot) + _nginx(boot)
    for line in boot.settings.warnings + boot.warnings + dangers.in_image(boot.directory):
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


def nginx(boot: Boot) -> list[str]:
    """What nginx finds wrong with its configuration, the user's files named."""
    with _elsewhere(boot):
        return _nginx(boot)


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
    )  # fmt: skip
    return [] if done.returncode == 0 else [done.stderr.strip() or f"the import ended with code {done.returncode}"]


def _nginx(boot: Boot) -> list[str]:
    """`nginx -t` over the rendered configuration."""
    # nginx -t binds no port that it does not already listen on, but it must parse one
    write_fragments(
        os.path.join(boot.run, "fragments"), nginx_box(boot, ["unix:" + boot.run + "/check.sock"], boot.run, Loaded())
    )
    write_nginx(boot.run, boot.run, boot)
    errors = nginx_errors(boot.run)
    if boot.users.whole:
        hint = f"\n{boot.users.whole} is taken in place of Flagon's own nginx.conf; under another name it is not"
        errors = [error.replace(os.path.join(boot.run, "nginx.conf"), boot.users.whole) + hint for error in errors]
    return errors


def nginx_errors(folder: str) -> list[str]:
    """What nginx finds wrong with nginx.conf in a run directory."""
    words = ["nginx", "-t", "-q", "-p", folder, "-c", "nginx.conf", "-e", "stderr"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    except subprocess.TimeoutExpired:
        return ["nginx: its check of nginx.conf takes longer than 30 s"]
    return [] if done.returncode == 0 else ["nginx: " + done.stderr.strip()]
