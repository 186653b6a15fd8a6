"""Files of the application that its user cannot read or write: named at the boot, before something fails for it."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from flagon import database, places, text_file
from flagon.dangers import SKIPPED

if TYPE_CHECKING:
    from flagon.boot import Boot

LOOKED_AT = 5000  # files and folders: it is paid at each cold start
DATABASES = (".db", ".sqlite", ".sqlite3")
BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps at its file
DATA_LOOKED_AT = 500
# Folders that applications write to, by the names that they have in frameworks' own documentation and many projects.
WRITTEN = frozenset(
    "static staticfiles media uploads upload instance data db var logs log tmp cache sessions storage files".split()
)
SOURCES = 100  # files of the application's that are looked into for what writes
# What code looks like that writes files; SQLite too, which needs the folder beside its file.
WRITING = (
    ".save(", "makedirs(", ".mkdir(", "write_text(", "write_bytes(", "sqlite", "FileHandler(", "'w'", '"w"', "'wb'",
    '"wb"', "'a'", '"a"', "'ab'", '"ab"', "'x'", '"x"', "'w+'", '"w+"',
)  # fmt: skip


def lines(boot: Boot) -> list[str]:
    """Warnings. What cannot be written is named for databases; and the folders of an old image's application, where
    everything ran as root, if there is a sign that it writes at all."""
    lost = _ends_with_container(boot)
    if not os.geteuid():
        return lost
    return lost + _database(boot) + _folder(boot)


def _ends_with_container(boot: Boot) -> list[str]:
    """SQLite that somebody's URL puts on the container's own disk; of a relative path, our reading, nothing is said."""
    path = boot.database.path if boot.database.kind == "sqlite" else ""
    ours = boot.settings.sources["DATABASE_URL"] == "default"  # boot.py speaks of that
    meant = bool(path) and not ours and database.is_absolute(boot.database) and not database.is_read_only(boot.database)
    if not meant or places.mount_of(path) != "/":
        return []
    home = boot.values["DATA_DIR"]
    name = path if path.startswith(f"{home}/") else os.path.join(home, os.path.basename(path))
    there = "" if name == path else f", with DATABASE_URL=sqlite:///{name}"
    first = places.needs(home)
    return [
        f"{path} lies on no volume: this SQLite database ends with the container. Run with -v "
        f"flagon-data:{home}{there}{first}"
    ]


def _database(boot: Boot) -> list[str]:
    """What keeps SQLite from writing, and who can mend it: most often a command that was run as root has made it."""
    path = boot.database.path if boot.database.kind == "sqlite" else ""
    named_by_url = places.unwritable(path) if path and os.path.exists(path) else []
    closed = list(dict.fromkeys([*named_by_url, *(one for file in _kept(boot) for one in places.unwritable(file))]))
    if not closed:
        return []
    uid = os.geteuid()
    named = ", ".join(f"{one} ({places.owned(one)})" for one in closed)
    files = " ".join(map(shlex.quote, closed))
    ready = ", and /ready is 503" if named_by_url else ""
    return [
        f"uid {uid} cannot write {named}: SQLite will say `attempt to write a readonly database`{ready}. "
        f"Mend it: docker exec --user 0 NAME sh -c 'chown {uid} {files} && chmod u+rw {files}'. "
        "Commands by `docker exec NAME flagon python ...` make files of the right user"
    ]


def _kept(boot: Boot) -> list[str]:
    """SQLite files in DATA_DIR: an application may know its own without any URL."""
    found: dict[str, None] = {}
    looked = 0
    for folder, folders, files in os.walk(boot.values["DATA_DIR"]):
        folders[:] = sorted(name for name in folders if name not in SKIPPED and not name.startswith("."))
        looked += len(folders) + len(files)
        if looked > DATA_LOOKED_AT or folder == boot.directory:
            break
        for name in sorted(files):
            base = next((name.removesuffix(end) for end in BESIDE if name.endswith(end)), name)
            if base.endswith(DATABASES):
                found[os.path.join(folder, base)] = None
    return list(found)


def _folder(boot: Boot) -> list[str]:
    """The application's own files."""
    everything = bool(boot.settings.old.seen)
    closed: list[str] = []
    databases: list[str] = []
    folders_of_old: list[str] = [boot.directory] if everything and not os.access(boot.directory, os.W_OK) else []
    sources: list[str] = []
    looked = 0
    for folder, folders, files in os.walk(boot.directory):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        looked += len(folders) + len(files)
        if looked > LOOKED_AT:
            break
        for name in [*folders, *sorted(files)]:
            path = os.path.join(folder, name)
            if not os.access(path, os.R_OK | (os.X_OK if name in folders else 0)):
                closed.append(path)
            elif name in files and name.endswith(".py"):
                sources.append(path)
            elif name in files and name.endswith(DATABASES):
                databases += [] if path == boot.database.path else places.unwritable(path)
            elif everything and name in WRITTEN and name in folders and not os.access(path, os.W_OK):
                folders_of_old.append(path)
    if folders_of_old and (databases or _writes(sources)):
        return [*_said("read", closed), *_said("write", folders_of_old + databases)]
    return [*_said("read", closed), *_said_of_sqlite(list(dict.fromkeys(databases)), boot.values["DATA_DIR"])]


def _said(what: str, paths: list[str]) -> list[str]:
    if not paths:
        return []
    from flagon import identity, permissions  # nothing that a cold start without faults needs

    uid = os.geteuid()
    advice = permissions.of_several(paths, uid, identity.was_root)
    return [f"uid {uid}, gid {os.getegid()} cannot {what} {', '.join(paths)}. {advice}"]


def _said_of_sqlite(paths: list[str], data: str) -> list[str]:
    """SQLite writes into the file and into its folder: to mend the one alone leaves it read-only."""
    if not paths:
        return []
    from flagon import identity, permissions

    uid = os.geteuid()
    return [
        f"uid {uid}, gid {os.getegid()} cannot write {', '.join(paths)}: SQLite writes into the file and its folder. "
        f"{permissions.of_database(paths, uid, identity.was_root)}. Or keep the file in {data}"
    ]


def _writes(sources: list[str]) -> bool:
    """Whether code of the application's looks like writing files."""
    texts = (text_file.read(path) for path in sources[:SOURCES])
    return any(word in text for text in texts for word in WRITING)
