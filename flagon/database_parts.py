"""A database in parts: POSTGRES_HOST, POSTGRES_USER ..., MYSQL_*, DB_* -> DATABASE_URL, or one line that says why not.

These are ordinary words: an application may mean something else by them. So they never end a boot, and where a part
that matters is missing, nothing is made up.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from flagon import environments, text_file
from flagon.database_sources import Found, as_url, given
from flagon.envfile import clean

SUFFIXES = {
    "host": ("HOST", "HOSTNAME", "SERVER"), "port": ("PORT",), "user": ("USER", "USERNAME"),
    "password": ("PASSWORD", "PASS"), "dbname": ("DB", "DATABASE", "NAME", "DBNAME"),
}  # fmt: skip
# prefix -> what it is of; empty: another variable, the port or the installed driver says it
FAMILIES = {"POSTGRES": "postgresql", "POSTGRESQL": "postgresql", "MYSQL": "mysql", "MARIADB": "mysql", "DB": ""}
ENGINES = ("DB_ENGINE", "DB_CONNECTION", "DB_DRIVER", "DB_TYPE", "DB_DIALECT", "DB_ADAPTER")
PORTS = {"5432": "postgresql", "6432": "postgresql", "3306": "mysql"}
POSTGRES_DRIVERS = ("psycopg2", "psycopg", "pg8000", "asyncpg")
MYSQL_DRIVERS = ("MySQLdb", "pymysql", "mysql", "mariadb", "aiomysql", "asyncmy")
OTHER_DRIVERS = frozenset(("pyodbc", "pymssql", "oracledb"))
REQUIRED = {  # distribution -> module, for packages that PIP_INSTALL has still to bring
    "psycopg2-binary": "psycopg2", "psycopg2": "psycopg2", "psycopg": "psycopg", "pg8000": "pg8000",
    "mysqlclient": "MySQLdb", "pymysql": "pymysql", "mysql-connector-python": "mysql", "sqlalchemy": "sqlalchemy",
    "flask-sqlalchemy": "sqlalchemy", "flask-sqlalchemy-lite": "sqlalchemy",
}  # fmt: skip
REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# SQLAlchemy 2.1 takes psycopg 3 where the URL names no driver (its "What's New in 2.1").
NEWER = re.compile(r"(?i)sqlalchemy-(2\.[1-9]|[3-9])[\d.abrcdev]*\.dist-info\Z")
LINK = re.compile(r"(tcp|udp)://")  # DB_PORT=tcp://10.0.0.1:5432: of Kubernetes or a container link, not of a user


class Parts(NamedTuple):
    """What is there of one family: part -> (name of the variable, its text)."""

    prefix: str
    given: dict[str, tuple[str, str]]

    @property
    def names(self) -> str:
        return ", ".join(name for name, _ in self.given.values())

    @property
    def complete(self) -> bool:
        """A host alone is none: the application has its own words for the rest, which nobody else can know."""
        return {"host", "user"} <= self.given.keys()

    @property
    def place(self) -> tuple[str, str]:
        """What makes two of them the same database."""
        return self.given["host"][1], self.given.get("dbname", ("", ""))[1]


def find(environment: Mapping[str, str], directory: str) -> tuple[Found | None, list[str]]:
    """The URL that the parts make; and a warning where they make none."""
    try:
        families = [parts for prefix in FAMILIES if (parts := _parts(environment, prefix)).given]
    except ValueError as error:  # a file of a secret
        return None, [f"{error}: no DATABASE_URL is made of it"]
    whole = [parts for parts in families if parts.complete]
    if not whole:
        return None, [line for parts in families[:1] if (line := _incomplete(parts))]
    if len({parts.place for parts in whole}) > 1:
        names = " and ".join(parts.names for parts in whole)
        return None, [f"{names} name more than one database, so no DATABASE_URL is made of them: set it"]
    parts = whole[0]
    modules = _modules(environment, directory)
    kind = FAMILIES[parts.prefix] or _kind(environment, parts, modules)
    if kind == "sqlite":
        return None, []
    if not kind:
        return None, [
            f"{parts.names}: whether that is Postgres or MySQL is not said, so no DATABASE_URL is made of them: "
            "set it, or DB_ENGINE=postgresql"
        ]
    rest = as_url({part: text for part, (_, text) in parts.given.items()}).removeprefix("postgresql")
    return Found(_scheme(kind, modules) + rest, parts.names), []


def _parts(environment: Mapping[str, str], prefix: str) -> Parts:
    found = {}
    for part, suffixes in SUFFIXES.items():
        for name in (f"{prefix}_{suffix}" for suffix in suffixes):
            text = clean(given(environment, name, secret=part == "password"))
            if text and not LINK.match(text) and part not in found:
                found[part] = (name, text)
    return Parts(prefix, found)


def _incomplete(parts: Parts) -> str:
    """One line for parts of a database, none for what may be anything (DB_NAME=shop.sqlite, a password alone)."""
    telling = {"host", "user"} if parts.prefix == "DB" else {"host", "user", "dbname"}
    if telling.isdisjoint(parts.given):
        return ""
    absent = [f"{parts.prefix}_{SUFFIXES[part][0]}" for part in ("host", "user") if part not in parts.given]
    missing = " and ".join(absent) + (" are" if len(absent) > 1 else " is")
    return (
        f"{parts.names}: {missing} missing, so no DATABASE_URL is made of them: the application reads them itself, "
        "and /ready, migrations and backup do not know its database"
    )


def _kind(environment: Mapping[str, str], parts: Parts, modules: frozenset[str]) -> str:
    """postgresql, mysql, sqlite; empty if it cannot be told."""
    engine = next((text for name in ENGINES if (text := clean(environment.get(name, "")).lower())), "")
    if engine:
        words = {"postgresql": ("postg", "psycopg", "pgsql"), "mysql": ("mysql", "maria"), "sqlite": ("sqlite",)}
        return next((kind for kind, some in words.items() if any(word in engine for word in some)), "")
    if kind := PORTS.get(parts.given.get("port", ("", ""))[1], ""):
        return kind
    if modules.isdisjoint(MYSQL_DRIVERS):  # what the image cannot speak it does not mean
        other = modules.isdisjoint(POSTGRES_DRIVERS) and modules & OTHER_DRIVERS
        return "" if other else "postgresql"
    return "mysql" if modules.isdisjoint(POSTGRES_DRIVERS) else ""


def _modules(environment: Mapping[str, str], directory: str) -> frozenset[str]:
    """What is installed for the application, or will be by PIP_INSTALL. Starts no interpreter."""
    found: set[str] = set()
    for folder in filter(os.path.isdir, environments.folders_for(environment, directory)):
        found.update(name.removesuffix(".py") for name in os.listdir(folder))
    if clean(environment.get("PIP_INSTALL", "")):
        lines = text_file.read(os.path.join(directory, "requirements.txt")).lower().splitlines()
        names = (match[0].replace("_", "-") for line in lines if (match := REQUIREMENT.match(line.strip())))
        found.update(REQUIRED[name] for name in names if name in REQUIRED)
    return frozenset(found)


def _scheme(kind: str, modules: frozenset[str]) -> str:
    """With the installed driver, where SQLAlchemy would take one that is not there."""
    drivers = {
        "postgresql": {"psycopg2": "psycopg2", "psycopg": "psycopg", "pg8000": "pg8000"},
        "mysql": {"MySQLdb": "mysqldb", "pymysql": "pymysql", "mysql": "mysqlconnector"},
    }[kind]
    usual = next(iter(drivers)) if kind == "mysql" or not any(NEWER.match(name) for name in modules) else "psycopg"
    if "sqlalchemy" not in modules or usual in modules:
        return kind
    return next((f"{kind}+{driver}" for module, driver in drivers.items() if module in modules), kind)
