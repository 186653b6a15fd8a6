"""The user's gunicorn configuration file: found here, read in the application's interpreter, where it was made for.

What it says of workers, threads, timeouts is taken as a setting (DESIGN 3.1: below every variable, above what is found
out): nginx and the sizing must know it too. Its hooks and the rest are gunicorn's: flagon/inside/users_config.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flagon.inside.users_config import VARIABLES
from flagon.kinds import parse
from flagon.table import SETTINGS

if TYPE_CHECKING:
    from flagon.boot import Boot

NAMES = ("gunicorn.conf.py", "gunicorn_conf.py", os.path.join("app", "gunicorn_conf.py"))
AT_THE_ROOT = "/gunicorn_conf.py"  # where the old gunicorn images had theirs, and users put their own in its place
READER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside", "run-gunicorn-file.py")
TIMEOUT = 30.0  # seconds; it is a handful of assignments


class BadFile(Exception):
    """The file is not there or cannot be read; the message names it."""


def find(directory: str, given: str) -> str:
    """The file's path: GUNICORN_CONF, else by name; empty if there is none. Raises BadFile."""
    if given:
        path = os.path.join(directory, given.removeprefix("python:").removeprefix("file:"))
        if not os.path.isfile(path):
            raise BadFile(f"GUNICORN_CONF={given}: there is no file {path}")
        return path
    paths = [os.path.join(directory, name) for name in NAMES]
    return next((path for path in [*paths, AT_THE_ROOT] if os.path.isfile(path)), "")


def values(path: str, python: str, environment: Mapping[str, str], directory: str) -> dict[str, Any]:
    """gunicorn setting -> what the file says, for those that are settings of ours. Raises BadFile."""
    import subprocess  # not at each cold start

    try:
        done = subprocess.run(
            [python, READER, path, *VARIABLES],
            capture_output=True, text=True, env=dict(environment), cwd=directory, timeout=TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BadFile(f"{path} does not end within {TIMEOUT:g} s") from None
    if done.returncode:
        raise BadFile(f"{path}: {(done.stderr.strip().splitlines() or ['it ends its interpreter'])[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def take(boot: Boot) -> list[str]:
    """Set what the file says where no variable does; gunicorn's names of what was taken. Raises BadFile."""
    settings, path = boot.settings, boot.gunicorn_file
    taken: list[str] = []
    for name, value in values(path, boot.python, boot.environment, boot.application.directory).items():
        setting = VARIABLES[name]
        if settings.sources[setting] not in ("default", "Procfile", settings.by_mark):
            continue
        row = SETTINGS[setting]
        try:
            settings.set(setting, parse(str(value).lower(), row), f"{name} in {path}")
        except ValueError as error:
            boot.warnings.append(f"{path}: {name} = {value!r} is ignored; accepted: {error}")
            continue
        taken.append(name)
    return taken
