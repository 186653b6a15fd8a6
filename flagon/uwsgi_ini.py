"""A uwsgi.ini file -> its options, in order. uWSGI's own dialect: names may repeat and may have no value."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from flagon import text_file

LONGEST = 1 << 20  # characters of one option, and of all that is filled in: what names itself twice has no end
PLACEHOLDER = re.compile(r"\$\((\w+)\)|%\((\S+?)\)|%([dnsp])")  # uWSGI documentation, "Configuring uWSGI"


class BadIni(Exception):
    """The file cannot be taken; the message names it."""


def read(path: str, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """(option, value) of the [uwsgi] section; dashes for underscores. Raises BadIni."""
    try:
        lines = text_file.strict(path).lstrip("\ufeff").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadIni(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    options: list[tuple[str, str]] = []
    known: dict[str, str] = {}
    section, size = "uwsgi", 0
    holds: bool | None = True  # of the block that an if-... has begun
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
        name = name.replace("_", "-")
        if name.startswith("if-"):
            holds = _holds(name, _filled(value, path, known, environ), known, environ)
            if holds is None:
                options.append((name, value))  # to be named: its block is left out
            continue
        if name == "endif":
            holds = True
            known.pop("-", None)  # %(_), as names are written here
        if name == "endif" or not holds:
            continue
        value = _filled(value if separator else "true", path, known, environ)
        size += len(value)
        if size > LONGEST:
            raise BadIni(
                f"{path} line {number}: filled in, the options up to {name} are longer than {LONGEST >> 20} MB"
            )
        known[name] = value
        options.append((name, value))
    return options


def _holds(name: str, value: str, known: dict[str, str], environ: Mapping[str, str]) -> bool | None:
    """Whether the block of an `if-env = NAME` or the like counts; None: of a kind that is not known here.

    uWSGI's documentation, "Configuration logic". %(_) is what was found, inside the block.
    """
    kind, wanted = name.removeprefix("if-not-"), not name.startswith("if-not-")
    kind = kind.removeprefix("if-")
    if kind in ("env", "opt"):
        key, separator, text = value.partition("=")
        found = environ.get(key.strip()) if kind == "env" else known.get(key.strip().replace("_", "-"))
        known["-"] = found or ""
        return (found is not None and (not separator or found == text.strip())) == wanted
    if kind in ("exists", "file", "dir"):
        known["-"] = value
        return {"exists": os.path.exists, "file": os.path.isfile, "dir": os.path.isdir}[kind](value) == wanted
    return None


def _filled(value: str, path: str, known: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """$(NAME) from the environment, %(option) from above, %d the file's folder, %p and %s the file."""
    folder, file = os.path.split(os.path.abspath(path))
    letters = {"d": folder + "/", "p": os.path.join(folder, file), "s": file, "n": file.rpartition(".")[0]}

    room = LONGEST

    def put(found: re.Match[str]) -> str:
        nonlocal room
        if found[1]:
            text = environ.get(found[1], "")
        else:
            text = known.get(found[2].replace("_", "-"), "") if found[2] else letters[found[3]]
        room -= len(text)
        if room < 0:
            raise BadIni(f"{path}: the value {value[:60]!r} is longer than {LONGEST >> 20} MB, filled in")
        return text

    return PLACEHOLDER.sub(put, value)
