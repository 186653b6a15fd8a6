"""`flagon backup`: a consistent copy of the SQLite database by the online backup API, safe while the box serves."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from flagon import USAGE_ERROR, counted
from flagon.boot import Boot, BootError
from flagon.copies import copy, fresh_name, write
from flagon.database import masked, read
from flagon.inside import sqlite_copy
from flagon.inside.sqlite_copy import Failed

USAGE = """usage: flagon backup [--to FILE]
  --to FILE   where to; - is standard output. Else a new file in DATA_DIR/backups"""
UNNAMED = ", and DATABASE_URL names no other: docker exec -e DATABASE_URL=sqlite:////app/instance/site.db"
POSTGRES_RECIPE = r"""Postgres is copied with its own tools, in the server's version or a newer one:
  pg_dump --format=custom --no-owner --no-acl --file=app.dump "$DATABASE_URL"
  pg_restore --clean --if-exists --no-owner --no-acl --single-transaction --dbname="$DATABASE_URL" app.dump
or with those in the database's own container, which compose.yaml calls db:
  docker compose exec -T db sh -c \
    'pg_dump -Fc -O -x -U "${POSTGRES_USER:-postgres}" "${POSTGRES_DB:-postgres}"' > app.dump
  docker compose exec -T db sh -c \
    'pg_restore -c --if-exists -O -x -1 -U "${POSTGRES_USER:-postgres}" -d "${POSTGRES_DB:-postgres}"' < app.dump"""


class Place(NamedTuple):
    """The database's file, where copies go by default, and where a passing copy may lie."""

    path: str
    copies: str
    scratch: tuple[str, ...]
    hint: str = ""  # where nobody has named a database
    others: tuple[str, ...] = ()  # nor these, which are there too


def place(verb: str, copied: str = "") -> Place:
    """The database of the serving box, resolved as it does; `copied` is what is restored from.

    Raises Failed, BootError, SettingsError.
    """
    boot = Boot(os.environ, os.getcwd())
    boot.choose_places(fresh=False)
    boot.resolve_secrets()
    with contextlib.suppress(BootError):
        boot.find_application()  # a relative path in the URL is taken from its folder
    database = boot.database
    unnamed = database.kind == "none"
    others: tuple[str, ...] = ()
    if unnamed:  # FLAGON_SQLITE_URL, and what an earlier version gave
        path, others = _unnamed(boot, verb, copied)
        database = read(f"sqlite:///{path}")
    if database.kind == "postgresql":
        raise Failed(f"`flagon {verb}` is for SQLite; DATABASE_URL is {masked(database.given)}.\n{POSTGRES_RECIPE}")
    if database.kind != "sqlite":
        raise Failed(
            f"`flagon {verb}` is for SQLite; DATABASE_URL is {masked(database.given)}: use that database's tools"
        )
    if not database.path:
        raise Failed(f"DATABASE_URL is {masked(database.given)}, a database in memory: there is no file")
    home = os.path.dirname(database.path)
    scratch = [folder for folder in (boot.data, "/tmp", "/var/tmp", boot.run) if folder]
    hint = f"{UNNAMED} NAME flagon {verb}" if unnamed else ""
    return Place(database.path, os.path.join(boot.data or home, "backups"), tuple(scratch), hint, others)


def _unnamed(boot: Boot, verb: str, copied: str) -> tuple[str, tuple[str, ...]]:
    """The file where no DATABASE_URL names one, and others that are there. Raises Failed where it could be several.

    A restore goes into none that is only guessed: it would be lost there, or overwrite what is not meant.
    """
    from flagon import sqlite_found

    home = boot.values["DATA_DIR"]
    folders = (home,) if verb == "restore" else (home, boot.directory)
    there = sqlite_found.files(folders, os.path.join(home, "backups"))
    there = [path for path in there if not copied or os.path.realpath(path) != os.path.realpath(copied)]
    if boot.embedded in there or not there:
        return boot.embedded, tuple(path for path in there if path != boot.embedded)
    if verb == "backup" and len(there) == 1:
        return there[0], ()
    lines = "\n".join(f"  {sqlite_found.command(path, verb)}" for path in there)
    several = "these SQLite files are" if len(there) > 1 else "this SQLite file is"
    raise Failed(f"DATABASE_URL is not set, and {several} there: say which one is meant.\n{lines}")


def guarded(verb: Callable[[], int]) -> int:
    """Run a verb: errors as one message on standard error, a signal as an ordinary end that cleans up."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, _leave)
    try:
        return verb()
    except Failed as error:
        message = str(error)
    except sqlite3.Error as error:
        message = f"SQLite says: {error}"
    except OSError as error:
        ours = "standard output" if isinstance(error, BrokenPipeError) else "a file"
        message = f"{error.filename or ours}: {error.strerror}"
    print(f"flagon: {message}", file=sys.stderr)
    return 1


def _leave(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def run(arguments: list[str]) -> int:
    """The verb; `arguments` without its name."""
    target = ""
    if len(arguments) == 2 and arguments[0] == "--to":
        target = arguments[1]
    elif len(arguments) == 1 and arguments[0].startswith("--to="):
        target = arguments[0].removeprefix("--to=")
    if arguments and not target:
        print(USAGE, file=sys.stderr)
        return USAGE_ERROR
    if target == "-" and os.isatty(1):
        print("flagon: no database is written to a terminal: send it to a file, with > app.db", file=sys.stderr)
        return USAGE_ERROR
    return guarded(lambda: _backup(target))


def _backup(target: str) -> int:
    found = place("backup")
    source = found.path
    if found.others:
        from flagon import sqlite_found

        text = f"{source} is copied, and not {', '.join(found.others)}: name one by"
        print(f"flagon: {text} {sqlite_found.command(found.others[0], 'backup')}", file=sys.stderr)
    elif found.hint and os.path.exists(source):
        print(f"flagon: DATABASE_URL is not set: {source} is the SQLite file that is there", file=sys.stderr)
    if not os.path.exists(source):
        raise Failed(f"there is no database yet: {source}{found.hint}")
    if os.path.exists(source + sqlite_copy.SUFFIX):
        source += sqlite_copy.SUFFIX
        if not os.path.getsize(source):
            raise Failed(f"the first migration of {found.path} is at work: there is nothing to copy yet")
        print(f"flagon: a migration is at work or was cut off: this is {found.path} as before it", file=sys.stderr)
    if target == "-":
        return _to_output(source, found.scratch)
    path = os.path.abspath(target) if target else fresh_name(found.copies, found.path)
    print(f"{path} ({_bytes(write(source, path))})")
    return 0


def _to_output(source: str, scratch: tuple[str, ...]) -> int:
    """To standard output, once it is known to be whole."""
    import shutil
    import tempfile

    size = os.path.getsize(source)
    wal = source + "-wal"
    needed = size + (os.path.getsize(wal) if os.path.exists(wal) else 0)
    folders = [name for name in scratch if os.access(name, os.W_OK) and shutil.disk_usage(name).free > needed]
    if not folders:
        raise Failed(f"no room for a passing copy of {needed} bytes in any of {', '.join(scratch)}")
    descriptor, draft = tempfile.mkstemp(prefix=".flagon-backup-", dir=folders[0])
    os.close(descriptor)
    try:
        copy(source, draft, check=True)
        with open(draft, "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
            sys.stdout.buffer.flush()
            print(f"standard output ({_bytes(file.tell())})", file=sys.stderr)
    finally:
        sqlite_copy.remove(draft)
    return 0


def _bytes(size: int) -> str:
    return counted(size, "byte")
