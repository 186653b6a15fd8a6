"""The database URL: what the application gets of it, and what Flagon itself and the starter connect with.

read() is as lenient as SQLAlchemy: the last @ ends the password, a % that begins no escape is a %.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from flagon import sqlite_url
from flagon.envfile import clean

if TYPE_CHECKING:
    from flagon.database_sources import Found
    from flagon.settings import Settings

MASK = "********"
POSTGRES_FORM = "postgresql://user:password@host:5432/name?sslmode=require"
SQLITE_FORM = "sqlite:////data/app.db (absolute: four slashes) or sqlite:///app.db (relative: three)"
SCHEME = r"([A-Za-z][A-Za-z0-9_.-]*)((?:\+[A-Za-z0-9_.-]*)?)(:?)(/*)"
CONTROL = r"[\x00-\x1f\x7f]"
POSTGRES = ("postgresql", "postgres")
SQLITE_DRIVERS = ("", "+pysqlite", "+aiosqlite")
# Schemes of other libraries (django-environ, dj-database-url, peewee) that look like a slip of the pen and are none.
OTHER_WORDS = frozenset("postgis psql pgsql postgresext postgresqlext postgrespool sqliteext sqlitepool".split())
UNEXPANDED = r"\$\{[^{}]*\}|\$\([^()]*\)|\{\{.*\}\}"
FOREIGN = "; if only the application reads it, give it another name"


class Database(NamedTuple):
    """A database URL, read."""

    given: str  # for the application: the text with its two repairs
    kind: str  # postgresql, sqlite, other; none where nobody has named one
    libpq: dict[str, str]  # keywords and values for psycopg.connect(**libpq)
    sqlalchemy: str  # with the driver that the starter ships
    path: str  # of SQLite's file, absolute; empty for a database in memory
    schema: str
    pooled: bool  # pgbouncer=true was in it
    dropped: tuple[str, ...]  # other libraries' query keys, which libpq would refuse


NONE = Database("", "none", {}, "", "", "", False, ())


def read(text: str, directory: str = "") -> Database:
    """Raises ValueError that names the part that is wrong, never a password.

    A relative SQLite path is taken from `directory` (the application's). That is a reading, no fact: an application may
    put it elsewhere, as Flask-SQLAlchemy does with its instance folder.
    """
    text = clean(text)
    form = SQLITE_FORM if text.startswith(("sqlite", "file:")) else POSTGRES_FORM
    try:
        return _read(text, directory)
    except ValueError as error:
        raise ValueError(f"{error}; accepted: {form}") from None


def _read(text: str, directory: str) -> Database:
    if re.search(CONTROL, text):
        raise ValueError("it holds a control character, such as a line break")
    _refuse_what_was_pasted(text)
    scheme, driver, colon, slashes, rest = _split_scheme(text)
    if scheme == "file" and colon:
        return _sqlite(text, *sqlite_url.parse_uri(text[5:], directory))
    if scheme in (*POSTGRES, "sqlite"):
        if not colon or len(slashes) < 2:
            raise ValueError(f"after {scheme + driver!r} come a colon and two slashes")
        if driver == "+":
            raise ValueError(f"after {scheme + driver!r} the name of a driver is missing")
        body = slashes[2:] + rest
        if scheme in POSTGRES:
            return _postgres(f"postgresql{driver}://{body}", body)
        return _sqlite(text, *sqlite_url.parse(body, directory)) if driver in SQLITE_DRIVERS else _other(text)
    if not colon or len(slashes) < 2:
        raise ValueError(f"it does not begin with a scheme and two slashes: after {scheme!r} :// is expected")
    _refuse_near_misses(scheme)
    return _other(text)


def _split_scheme(text: str) -> tuple[str, str, str, str, str]:
    match = re.match(SCHEME, text)
    if not match or not (match[3] or match[4]):
        raise ValueError(f"it does not begin with a scheme such as postgresql:// or sqlite:///{FOREIGN}")
    return match[1], match[2], match[3], match[4], text[match.end() :]


def _refuse_what_was_pasted(text: str) -> None:
    if re.match(r"psql\s", text):
        raise ValueError("it is a psql command: keep only the URL in it, without quotes")
    name = re.match(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*['\"]?[a-z][a-z0-9+]*:", text)
    if name:
        raise ValueError(f"it begins with the name of a variable, {name[1]}=: keep what follows the =")
    if re.match(r"(host|hostaddr|dbname|user|port|service|password)\s*=", text):
        raise ValueError(
            "it is a list of libpq keywords: write it as a URL, or give PGHOST, PGUSER, PGPASSWORD, PGDATABASE"
        )
    if text.lower().startswith("jdbc:"):
        raise ValueError("it is Java's form, jdbc:, which has user and password in the query")
    if re.match(r"https?:", text, re.IGNORECASE):
        raise ValueError(f"it is a web address, not a database's{FOREIGN}")


def _refuse_near_misses(scheme: str) -> None:
    """A scheme that is almost one of ours stops the boot; a foreign one is the application's own business."""
    word = scheme.lower()
    if word in OTHER_WORDS:
        return
    import difflib  # not for the schemes that nearly everybody has

    near = difflib.get_close_matches(word, (*POSTGRES, "sqlite"), 1, 0.8) or (["postgresql"] if word == "pg" else [])
    if near:
        right = "sqlite" if near[0] == "sqlite" else "postgresql"
        raise ValueError(f"the scheme {scheme!r} is written {right!r}")


def _other(text: str) -> Database:
    return Database(text, "other", {}, text, "", "", False, ())


def _sqlite(text: str, for_sqlalchemy: str, path: str) -> Database:
    return Database(text, "sqlite", {}, for_sqlalchemy, path, "", False, ())


def _postgres(given: str, body: str) -> Database:
    from flagon import postgres_url  # not for a boot on SQLite

    parts = postgres_url.parse(body)
    return Database(
        given, "postgresql", parts.libpq, postgres_url.for_sqlalchemy(parts.libpq), "",
        parts.schema, parts.pooled, parts.dropped,
    )  # fmt: skip


def masked(text: str) -> str:
    """For messages: neither password nor query values. Hides too much rather than too little."""
    text = re.sub(CONTROL, "?", clean(text))
    match = re.match(SCHEME, text)
    if not match or not match[4]:
        return MASK
    start, rest = text[: match.end()], text[match.end() :]
    place, mark, query = rest.partition("?")
    user, at, place = place.rpartition("@")
    if "@" in query:  # of a mail address, or of a password with a question mark
        return start + re.split(r"[:/?]", rest)[0] + ":" + MASK
    if at:
        user = re.sub(r":.*", ":" + MASK, user)
    elif re.match(r"[^/?]*:(?!\d*([/?]|$))[^\]]*$", rest):
        return f"{start}{rest.partition(':')[0]}:{MASK}"  # user:password without a host: it looks like host:port
    keys = [part.partition("=")[0] + "=" + MASK if "=" in part else MASK for part in query.split("&")] if mark else []
    return f"{start}{user}{at}{place}{mark}{'&'.join(keys)}"


def elsewhere(environment: Mapping[str, str]) -> Found | None:
    """The URL of a platform that has another name for it. Raises ValueError where there are several."""
    if not any(name.startswith(("POSTGRES", "PGHOST")) for name in environment):
        return None
    from flagon import database_sources

    return database_sources.find(environment)


def in_parts(environment: Mapping[str, str], directory: str) -> tuple[Found | None, list[str]]:
    """The URL that POSTGRES_HOST, DB_HOST and the like make, and warnings where they make none."""
    if not any(name.startswith(("POSTGRES", "MYSQL_", "MARIADB_", "DB_")) for name in environment):
        return None, []
    from flagon import database_parts

    return database_parts.find(environment, directory)


def both(settings: Settings, directory: str) -> tuple[Database, Database, list[str]]:
    """The application's database, the one for migrations (the same unless another way to it was given), boot lines."""
    if not settings.values["DATABASE_URL"]:
        alone = settings.values["DATABASE_DIRECT_URL"]
        name = settings.sources["DATABASE_DIRECT_URL"]
        return NONE, NONE, [f"{name} is ignored: there is no DATABASE_URL beside it"] if alone else []
    main = _resolve(settings, "DATABASE_URL", directory)
    lines = remarks(main, settings.sources["DATABASE_URL"])
    if not settings.values["DATABASE_DIRECT_URL"]:
        return main, main, lines
    direct, name = _resolve(settings, "DATABASE_DIRECT_URL", directory), settings.sources["DATABASE_DIRECT_URL"]
    if direct.kind != main.kind:
        lines.append(
            f"{name} is ignored: it is {direct.kind} and DATABASE_URL is {main.kind}, so not the same database"
        )
        return main, main, lines
    return main, direct, lines + remarks(direct, name)


def _resolve(settings: Settings, name: str, directory: str) -> Database:
    """The setting, read; its value becomes what the application sees."""
    text, source = settings.values[name], settings.sources[name]
    try:
        database = read(text, directory)
    except ValueError as error:
        raise ValueError(refusal(source, text, error)) from None
    if not settings.values["DATABASE_URL_REWRITE"]:
        database = database._replace(given=settings.raw.get(name, text))
    settings.set(name, database.given, source)
    return database


def placed(database: Database, directory: str) -> Database:
    """The same, a relative path taken from here."""
    if database.kind != "sqlite" or not database.path:
        return database
    return read(database.given, directory)._replace(given=database.given)


def is_absolute(database: Database) -> bool:
    """Whether SQLite's path is what was written, and no reading of ours."""
    return placed(database, "/nowhere").path == database.path


def is_read_only(database: Database) -> bool:
    """Whether SQLite's URL asks for no more than to read."""
    return any(word in database.given for word in ("mode=ro", "immutable=1"))


def refusal(name: str, text: str, error: ValueError) -> str:
    """One message: the variable, the masked URL, the part that is wrong, the accepted form."""
    return f"{name}={masked(text)} is not accepted: {error}"


def remarks(database: Database, name: str) -> list[str]:
    """What deserves a line at boot; names of keys and parts, never values."""
    lines = []
    if database.dropped:
        keys = ", ".join(database.dropped)
        lines.append(
            f"{name}: the application sees all of it; keys that are not libpq's stay out of our own use: {keys}"
        )
    if database.kind == "sqlite" and not database.path:
        lines.append(f"{name} is a database in memory: each worker has its own, and it ends with the worker")
    for part, text in {**database.libpq, "path": database.path}.items():
        # Only a warning: such a password is legal, and the server alone can say that it is not the real one.
        if re.search(UNEXPANDED, text):
            lines.append(f"{name}: the {part} looks like a variable that nobody filled in")
    return lines
