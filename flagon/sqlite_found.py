"""SQLite files that no DATABASE_URL names: what the application's own settings say, else what lies where it stores.

For `flagon backup` and `flagon restore` only.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator

from flagon import places, serving, text_file
from flagon.access import BESIDE
from flagon.dangers import SKIPPED
from flagon.inside.sqlite_copy import SUFFIX
from flagon.inside.sqlite_places import SAID

HEADER = b"SQLite format 3\0"
LOOKED_AT = 5000  # files and folders, of each place
LONGEST = 1 << 16  # bytes of what the application has said


def files(folders: Iterable[str], backups: str) -> list[str]:
    """Those that the application of the serving box uses and that are there; else those below these folders."""
    if said := [path for path in _said() if os.path.isfile(path)]:
        return list(dict.fromkeys(said))
    there: dict[str, str] = {}
    for folder in folders:
        for path in _below(folder, backups):
            there.setdefault(os.path.realpath(path), path)
    found = list(there.values())
    return [path for path in found if not places.unwritable(path)] or found  # what is stored into is written to


def _said() -> list[str]:
    """What its workers have said of its settings, as this user: nothing is done with it that they could not do."""
    for place in serving.paths(SAID):
        try:
            found = json.loads(text_file.head(place, LONGEST))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(found, list):
            return [path for path in found if isinstance(path, str) and path.startswith("/") and "\0" not in path]
    return []


def _below(top: str, backups: str) -> Iterator[str]:
    looked = 0
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(
            name
            for name in folders
            if name not in SKIPPED and not name.startswith(".") and os.path.join(folder, name) != backups
        )
        looked += len(folders) + len(names)
        if looked > LOOKED_AT:
            return
        for name in sorted(names):
            path = os.path.join(folder, name)
            if not name.startswith(".") and not name.endswith((*BESIDE, SUFFIX)) and _is_sqlite(path):
                yield path


def _is_sqlite(path: str) -> bool:
    if not os.path.isfile(path):  # a pipe would be waited for
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(HEADER)) == HEADER
    except OSError:
        return False


def command(path: str, verb: str) -> str:
    """The line that names the database, where the box serves, or where nobody does."""
    named = f"-e {shlex.quote(f'DATABASE_URL=sqlite:///{path}')}"
    end = f"flagon {verb}" + " FILE" * (verb == "restore")
    if serving.paths("events.sock"):
        return f"docker exec {named} NAME {end}"
    return f"docker run --rm {named} -v VOLUME:{os.path.dirname(path)} IMAGE {end}"
