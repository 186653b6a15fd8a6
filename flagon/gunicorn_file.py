"""The user's gunicorn configuration file: found here, read in the application's interpreter, where it was made for.

What it says of workers, threads, timeouts is taken as a setting (DESIGN 3.1: below every variable and the command that
names it, above what is found out): nginx and the sizing must know it too. Its `bind`, `chdir`, `wsgi_app` and TLS are
the boot's as well. Its hooks and the rest are gunicorn's: flagon/inside/users_config.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flagon.gunicorn_options import TLS as CERTIFICATE
from flagon.inside.users_config import MODULE, VARIABLES
from flagon.kinds import parse
from flagon.table import SETTINGS

if TYPE_CHECKING:
    from flagon.boot import Boot

NAMES = ("gunicorn.conf.py", "gunicorn_conf.py", os.path.join("app", "gunicorn_conf.py"))
AT_THE_ROOT = "/gunicorn_conf.py"  # where the old gunicorn images had theirs, and users put their own in its place
READER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside", "run-gunicorn-file.py")
TIMEOUT = 30.0  # seconds; it is a handful of assignments
BOOTS = ("bind", "chdir", "wsgi_app", "pythonpath", *CERTIFICATE)


class BadFile(Exception):
    """The file is not there or cannot be read; the message names it."""


def find(folders: list[str], given: str, source: str = "GUNICORN_CONF") -> str:
    """The file's path, or `python:module`; empty if there is none. Raises BadFile.

    `given` is what `source` names, relative to the first of the folders that has it; without it the customary names.
    """
    if given.startswith(MODULE):
        return given
    if given:
        name = given.removeprefix("file:")
        paths = [os.path.join(folder, name) for folder in folders]
        found = next((path for path in paths if os.path.isfile(path)), "")
        if not found:
            raise BadFile(f"{_said(source, given)}: there is no file {' or '.join(paths)}")
        return found
    paths = [os.path.join(folders[0], name) for name in NAMES]
    return next((path for path in [*paths, AT_THE_ROOT] if os.path.isfile(path)), "")


def _said(source: str, text: str) -> str:
    """As it was written, with who wrote it."""
    return f"{source}{' ' if source.endswith('-c') else '='}{text}"


def named(boot: Boot) -> tuple[str, str]:
    """The file that somebody names, and who; the others that are named are not read, which is a warning."""
    settings = boot.settings
    web = settings.web.config if settings.web and settings.line == "Procfile" else ""
    found = [
        (settings.arguments.config, "GUNICORN_CMD_ARGS: -c"),
        (settings.environment.get("GUNICORN_CONF", "").strip(), "GUNICORN_CONF"),
        (settings.command.config, "command line: -c"),
        (web, "Procfile: -c"),
    ]
    given = [(text, source) for text, source in found if text]
    for text, source in given[1:]:
        if text != given[0][0]:
            boot.warnings.append(f"{_said(source, text)} is not read: {_said(*given[0][::-1])} is")
    return given[0] if given else ("", "")


def folders(boot: Boot) -> list[str]:
    """Where the file and what it imports may lie: the working directory, and what --chdir names."""
    begin = start(boot)
    found = (begin, os.path.join(begin, chdir(boot)[0]), boot.directory)
    return list(dict.fromkeys(map(os.path.normpath, found)))


def start(boot: Boot) -> str:
    """Where the author's own start stands: what a `cd` before it or supervisord's `directory` says, or the box's."""
    return os.path.normpath(os.path.join(boot.directory, boot.served.directory if boot.served else ""))


def chdir(boot: Boot) -> tuple[str, str]:
    """The folder that gunicorn would change to, and who says so: its command line before its variable and its file."""
    settings = boot.settings
    web = settings.web.chdir if settings.web and settings.line == "Procfile" else ""
    found = [
        (settings.command.chdir, "command line: --chdir"), (web, "Procfile: --chdir"),
        (settings.arguments.chdir, "GUNICORN_CMD_ARGS: --chdir"),
        (str(boot.from_file.get("chdir", "")), f"chdir in {boot.gunicorn_file}"),
    ]  # fmt: skip
    return next(((text, source) for text, source in found if text), ("", ""))


def values(
    location: str, python: str, environment: Mapping[str, str], where: list[str], source: str = ""
) -> dict[str, Any]:
    """gunicorn setting -> what the file says, for those that are the boot's business. Raises BadFile."""
    import subprocess  # not at each cold start

    label = _said(source, location) if location.startswith(MODULE) else location

    try:
        done = subprocess.run(
            [python, READER, location, os.pathsep.join(where), *VARIABLES, *BOOTS],
            capture_output=True, text=True, env=dict(environment), cwd=where[0], timeout=TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BadFile(f"{label} does not end within {TIMEOUT:g} s") from None
    except OSError as error:
        raise BadFile(f"{label} cannot be read: {python}: {error.strerror}") from None
    if done.returncode:
        raise BadFile(f"{label}: {(done.stderr.strip().splitlines() or ['it ends its interpreter'])[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def take(boot: Boot) -> list[str]:
    """Set what the file says where no variable and no command line does; gunicorn's names of what was taken."""
    settings, path = boot.settings, boot.gunicorn_file
    taken: list[str] = []
    for name, value in boot.from_file.items():
        setting = VARIABLES.get(name)
        if not setting or settings.is_said(setting):
            continue
        if settings.old.foreign(setting, str(value)):
            from flagon.compat import why_foreign  # not at each cold start

            boot.warnings.append(why_foreign(f"{path}: {name} = {value!r}"))
            settings.asgi = settings.asgi or f"{name} in {path}" * ("uvicorn" in str(value).lower())
            continue
        row = SETTINGS[setting]
        try:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            settings.set(setting, parse(text, row), f"{name} in {path}")
        except ValueError as error:
            boot.warnings.append(f"{path}: {name} = {value!r} is ignored; accepted: {error}")
            continue
        taken.append(name)
    return taken
