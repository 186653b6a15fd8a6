"""A uwsgi.ini file -> its options, in order. uWSGI's own dialect: names may repeat and may have no value."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

PLACEHOLDER = re.compile(r"\$\((\w+)\)|%\((\S+?)\)|%([dnsp])")  # uWSGI documentation, "Configuring uWSGI"


class BadIni(Exception):
    """The file cannot be taken; the message names it."""


def read(path: str, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """(option, value) of the [uwsgi] section; dashes for underscores. Raises BadIni."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().lstrip("\ufeff").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadIni(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    options: list[tuple[str, str]] = []
    known: dict[str, str] = {}
    section = "uwsgi"
    for number, line in enumerate((line.strip() for line in lines), 1):
        if not line or line[0] in ";#":
            continue
        if line[0] == "[":
            section = line.strip("[]").strip()
            continue
        if section != "uwsgi":
            continue
        name, separator, value = (part.strip() for part in line.partition("="))
        if not re.fullmatch(r"[\w.-]+", name):
            raise BadIni(f"{path} line {number}: {line!r} is not `option = value`")
        value = _filled(value if separator else "true", path, known, environ)
        name = name.replace("_", "-")
        known[name] = value
        options.append((name, value))
    return options


def _filled(value: str, path: str, known: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """$(NAME) from the environment, %(option) from above, %d the file's folder, %p and %s the file."""
    folder, file = os.path.split(os.path.abspath(path))
    letters = {"d": folder + "/", "p": os.path.join(folder, file), "s": file, "n": file.rpartition(".")[0]}

    def put(found: re.Match[str]) -> str:
        if found[1]:
            return environ.get(found[1], "")
        return known.get(found[2].replace("_", "-"), "") if found[2] else letters[found[3]]

    return PLACEHOLDER.sub(put, value)
