"""The container's main command: a verb of ours, an old `CMD` that means "serve", or a program to run."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from typing import NamedTuple

from flagon import gunicorn_args, shell_words, wsgi_source
from flagon.envfile import clean
from flagon.kinds import SWITCHED

PYTHON = re.compile(r"(.*/)?python[0-9.]*\Z")
# What the deprecated images start with: it means `serve`, unless the user has put a file of their own there.
OLD_START = ("/start.sh", "/usr/bin/supervisord", "supervisord", "/start-reload.sh")
GUNICORNS_FILE = "./gunicorn.conf.py"  # what gunicorn reads where nothing names a file
SHELLS = ("sh", "/bin/sh", "bash", "/bin/bash")


class Serve(NamedTuple):
    """An inherited command that is served instead of run: what it says of application, port and gunicorn."""

    application: str | None
    port: str | None
    gunicorn: list[str]
    implied_port: str | None = None  # the port that it means where it names none, and why
    implied_why: str = ""
    tls: str = ""  # the argument that asks for TLS


def _simple_shell(words: list[str], environ: Mapping[str, str]) -> list[str]:
    """`sh -c "exec gunicorn app:app -b :$PORT"` -> its words, where it is one simple command."""
    if len(words) != 3 or words[0] not in SHELLS or words[1] not in ("-c", "-lc"):
        return words
    inner = shell_words.split(words[2], environ)
    return words if inner is None else inner


def _is_ours(path: str) -> bool:
    """Whether the file at an old image's path is the one that this image has there."""
    try:
        with open(path, encoding="utf-8") as file:
            return "exec /opt/flagon/entrypoint.sh serve" in file.read(1000)
    except (OSError, UnicodeDecodeError):
        return False


def _option(words: list[str], *names: str) -> str | None:
    for index, word in enumerate(words):
        for name in names:
            if word == name and index + 1 < len(words):
                return words[index + 1]
            if name.startswith("--") and word.startswith(name + "="):
                return word[len(name) + 1 :]
            if not name.startswith("--") and word.startswith(name) and len(word) > len(name):
                return word[len(name) :].lstrip("=")
    return None


def _flask(words: list[str], environ: Mapping[str, str], directory: str) -> Serve | None:
    """Served only if the subcommand is `run`."""
    queue = list(words)
    while queue and queue[0].startswith("-"):
        option = queue.pop(0)
        if option in ("--app", "-A", "--env-file", "-e") and queue:
            queue.pop(0)
    if queue[:1] != ["run"] or "--help" in words:
        return None
    from flagon import ports  # only who starts so

    tls = "--cert" if _option(queue, "--cert") else ports.flask_certificate(environ, directory)
    port = None if tls else _option(queue, "--port", "-p")  # nothing here speaks TLS on it
    implied, why = ports.flask_run_port(environ, directory) if not port else (None, "")
    return Serve(_option(words, "--app", "-A"), port, [], implied, why, tls)


def _gunicorn(words: list[str], environ: Mapping[str, str], directory: str) -> Serve | None:
    """Served if it names an application, or a file that may: by -c, in GUNICORN_CMD_ARGS, or gunicorn's own."""
    arguments = gunicorn_args.split(words)
    if gunicorn_args.only_asks(words):
        return None
    if arguments.application is None and not arguments.has_config:
        elsewhere = gunicorn_args.read(environ.get("GUNICORN_CMD_ARGS", ""), []).has_config
        if not elsewhere and not os.path.isfile(os.path.join(directory, GUNICORNS_FILE)):
            return None
        words = words if elsewhere else [*words, "--config", GUNICORNS_FILE]
    if arguments.binds:
        return Serve(arguments.application, arguments.port, words)
    return Serve(arguments.application, None, words, gunicorn_args.GUNICORNS_PORT, gunicorn_args.DEFAULT)


def _script(words: list[str], environ: Mapping[str, str], directory: str) -> Serve | None:
    """`python app.py`: served only if that file starts a server itself; `python seed.py` is run."""
    if len(words) != 1 or not words[0].endswith(".py"):
        return None
    path = os.path.join(directory, words[0])
    if not wsgi_source.starts_a_server(path):
        return None
    relative = os.path.relpath(path, directory)
    if relative.startswith(".."):
        return None
    from flagon import script_port  # only who starts so

    with open(path, "rb") as file:
        asked = script_port.asked(file.read(), environ)
    return Serve(relative, None, [], asked.port or None, f"{asked.call} in {relative}", asked.tls)


def served_instead(words: list[str], environ: Mapping[str, str], directory: str) -> Serve | None:
    """What `words` mean if they start a development or bare server; None if they are a program to run."""
    words = _simple_shell(words, environ)
    if not words:
        return None
    if words[0] in OLD_START:
        return Serve(None, None, []) if _is_ours(shutil.which(words[0]) or "") else None
    if PYTHON.match(words[0]):
        flags = [word for word in words[1:] if word in ("-u", "-O", "-B")]
        words = [word for word in words[1:] if word not in flags]
        if words[:1] != ["-m"]:
            return _script(words, environ, directory)
        words = words[1:]
        if not words:
            return None
    program = os.path.basename(words[0])
    if program == "flask":
        return _flask(words[1:], environ, directory)
    return _gunicorn(words[1:], environ, directory) if program == "gunicorn" else None


def added(environment: dict[str, str]) -> str:
    """What a command is given beside the container's environment, JSON: name -> [value or null, the container's or
    null]."""
    names = environment.keys() | os.environ.keys()
    pairs = {name: [environment.get(name), os.environ.get(name)] for name in sorted(names)}
    return json.dumps({name: pair for name, pair in pairs.items() if pair[0] != pair[1]})


def take_back_added() -> None:
    """`flagon` was started by a command or a hook of the user's: settings are what was given, not what was made of it
    before. What somebody has changed since stays."""
    text = os.environ.pop("FLAGON_ADDED", "") or "{}"
    try:
        pairs = json.loads(text)
        changes = [(name, now, before) for name, (now, before) in pairs.items()]
    except (ValueError, TypeError, AttributeError):  # somebody's own
        return
    for name, now, before in changes:
        if os.environ.get(name) == now:
            os.environ.pop(name, None)
            if isinstance(before, str):
                os.environ[name] = before


def checks_instead() -> bool:
    """FLAGON_CHECK: the container is to say whether it would start, and not to start. Raises SettingsError."""
    text = clean(os.environ.get("FLAGON_CHECK", "")).lower()
    if text and text not in SWITCHED:
        from flagon.settings import SettingsError

        raise SettingsError([f"FLAGON_CHECK={text!r} is not accepted; accepted: on, off"])
    return SWITCHED.get(text, False)
