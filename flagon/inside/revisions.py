"""Which migration tool an application uses and which revisions it has: from its files, without importing anything."""

from __future__ import annotations

import ast
import configparser
import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

LOOKED_AT = "alembic.ini, migrations/, db/, and migrations/ in the application's package"


class Migrations(NamedTuple):
    """A migration tool's layout. `heads` and `known` are empty where only a command is known."""

    tool: str  # "alembic", "flask-migrate", "flask-alembic", "command"
    config: str = ""  # alembic.ini
    folder: str = ""  # what holds env.py, or the revisions themselves
    heads: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    table: str = "alembic_version"
    schema: str = ""

    def behind(self, current: Iterable[str]) -> bool:
        """Whether a database at these revisions lacks one of ours. A revision that we do not know is of newer code:
        a replica of the old release goes on serving while the new one has migrated."""
        there = set(current)
        return bool(self.heads) and there <= self.known and not self.heads <= there


def find(directory: str, target: str) -> Migrations | None:
    """The layout below the application's directory, or None. `target` is `module:object`.

    Flask-DB's layout is an alembic.ini whose script_location is db.
    """
    root_ini = os.path.join(directory, "alembic.ini")
    if os.path.isfile(root_ini):
        return _alembic("alembic", root_ini, directory)
    for name in ("migrations", "db"):
        folder = os.path.join(directory, name)
        ini = os.path.join(folder, "alembic.ini")
        if os.path.isfile(os.path.join(folder, "env.py")) and os.path.isfile(ini):
            text = _text(os.path.join(folder, "env.py"))
            if "current_app" in text:
                return _with_revisions(Migrations("flask-migrate", ini, folder), [os.path.join(folder, "versions")])
            return _alembic("alembic", ini, directory, folder)
    return _flask_alembic(directory, target.partition(":")[0].split("."))


def _alembic(tool: str, ini: str, directory: str, folder: str = "") -> Migrations:
    """Bare Alembic: script_location and version_locations from the file (alembic.ini's own rules for %(here)s)."""
    parser = configparser.ConfigParser({"here": os.path.dirname(ini)})
    locations = ""
    try:
        parser.read(ini, encoding="utf-8")
        folder = folder or parser.get("alembic", "script_location", fallback="alembic")
        locations = parser.get("alembic", "version_locations", fallback="")
    except configparser.Error:
        folder = folder or "alembic"
    folder = os.path.join(directory, folder)
    separators = str.maketrans(dict.fromkeys(",;\n:", " "))
    versions = [os.path.join(directory, part) for part in locations.translate(separators).split()]
    return _with_revisions(Migrations(tool, ini, folder), versions or [os.path.join(folder, "versions")])


def _flask_alembic(directory: str, package: list[str]) -> Migrations | None:
    """Revisions beside each other in migrations/ of the package, and no env.py: Flask-Alembic brings its own."""
    for parts in (package, package[:-1]):
        folder = os.path.join(directory, *parts, "migrations")
        if os.path.isdir(folder) and not os.path.exists(os.path.join(folder, "env.py")):
            found = _with_revisions(Migrations("flask-alembic", "", folder), [folder])
            if found.known:
                return found
    return None


def _with_revisions(layout: Migrations, folders: list[str]) -> Migrations:
    """Read every revision file. A head is what no other revision follows or depends on."""
    known: set[str] = set()
    followed: set[str] = set()
    for path in _files(folders):
        values = _assigned(path)
        revision = values.get("revision")
        if isinstance(revision, str):
            known.add(revision)
            followed |= _names(values.get("down_revision")) | _names(values.get("depends_on"))
    table, schema = _version_table(os.path.join(layout.folder, "env.py"))
    return layout._replace(heads=frozenset(known - followed), known=frozenset(known), table=table, schema=schema)


def _files(folders: list[str]) -> Iterator[str]:
    for top in folders:
        for folder, inner, names in os.walk(top):
            inner[:] = [name for name in inner if name != "__pycache__"]
            yield from (os.path.join(folder, name) for name in sorted(names) if name.endswith(".py"))


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _tree(path: str) -> ast.Module:
    try:
        return ast.parse(_text(path))
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _assigned(path: str) -> dict[str, object]:
    """The literals that a module assigns to names, with or without an annotation."""
    values: dict[str, object] = {}
    for node in _tree(path).body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name):
                with contextlib.suppress(ValueError):  # no literal
                    values[target.id] = ast.literal_eval(node.value)
    return values


def _names(value: object) -> set[str]:
    if isinstance(value, str):
        return {value}
    return {name for name in value if isinstance(name, str)} if isinstance(value, (tuple, list, set)) else set()


def _version_table(env: str) -> tuple[str, str]:
    """(version_table, version_table_schema) that env.py gives context.configure(), where they are literals."""
    found = {"version_table": "alembic_version", "version_table_schema": ""}
    for node in ast.walk(_tree(env)):
        if isinstance(node, ast.keyword) and node.arg in found and isinstance(node.value, ast.Constant):
            found[node.arg] = str(node.value.value or found[node.arg])
    return found["version_table"], found["version_table_schema"]
