"""The container's main command: a verb of ours, an old `CMD` that means "serve", or a program to run."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from typing import NamedTuple

from flagon import gunicorn_args, shell_words, wsgi_source

PYTHON = re.compile(r"(.*/)?python[0-9.]*\Z")
# What the deprecated images start with: it means `serve`, unless the user has put a file of their own there.
OLD_START = ("/start.sh", "/usr/bin/supervisord", "supervisord", "/start-reload.sh")
SHELLS = ("sh", "/bin/sh", "bash", "/bin/bash")


class Serve(NamedTuple):
    """An inherited command that is served instead of run: what it says of application, port and gunicorn."""

    application: str | None
    port: str | None
    gunicorn: list[str]


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


def _flask(words: list[str]) -> Serve | None:
    """Served only if the subcommand is `run`."""
    queue = list(words)
    while queue and queue[0].startswith("-"):
        option = queue.pop(0)
        if option in ("--app", "-A", "--env-file", "-e") and queue:
            queue.pop(0)
    if queue[:1] != ["run"] or "--help" in words:
        return None
    return Serve(_option(words, "--app", "-A"), _option(queue, "--port", "-p"), [])


def _gunicorn(words: list[str]) -> Serve | None:
    arguments = gunicorn_args.split(words)
    if gunicorn_args.only_asks(words) or (arguments.application is None and not arguments.has_config):
        return None
    return Serve(arguments.application, arguments.port, words)


def _script(words: list[str], directory: str) -> Serve | None:
    """`python app.py`: served only if that file starts a server itself; `python seed.py` is run."""
    if len(words) != 1 or not words[0].endswith(".py"):
        return None
    path = os.path.join(directory, words[0])
    if not wsgi_source.starts_a_server(path):
        return None
    relative = os.path.relpath(path, directory)
    return None if relative.startswith("..") else Serve(relative, None, [])


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
            return _script(words, directory)
        words = words[1:]
        if not words:
            return None
    program = os.path.basename(words[0])
    if program == "flask":
        return _flask(words[1:])
    return _gunicorn(words[1:]) if program == "gunicorn" else None


def added(environment: dict[str, str]) -> str:
    """What a command is given beside the container's environment, JSON: name -> [value, the container's or null]."""
    return json.dumps(
        {name: [text, os.environ.get(name)] for name, text in environment.items() if text != os.environ.get(name)}
    )


def take_back_added() -> None:
    """A command of the user's has ended in `serve`: settings are what was given, not what was made of it before."""
    for name, (text, before) in json.loads(os.environ.pop("FLAGON_ADDED", "{}")).items():
        if os.environ.get(name) == text:
            del os.environ[name]
            if before is not None:
                os.environ[name] = before
