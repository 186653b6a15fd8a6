"""Which migration tool an application uses and which revisions it has: from its files, without importing anything."""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from flagon import text_file

LOOKED_AT = "alembic.ini, Django's manage.py, and migrations/ and db/ beside the application and in its package"


class Migrations(NamedTuple):
    """A migration tool's layout. `heads` and `known` are empty where only a command is known."""

    tool: str  # "alembic", "flask-migrate", "flask-alembic", "django", "command"
    config: str = ""  # alembic.ini, manage.py
    folder: str = ""  # what holds env.py, or the revisions themselves
    given_folder: bool = False  # the ini does not name it: it is where it is by custom
    heads: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    table: str = "alembic_version"
    schema: str = ""
    settings: str = ""  # Django's, where neither the variable nor manage.py says them
    unclear: str = ""  # why they are not known

    def behind(self, current: Iterable[str]) -> bool:
        """Whether a database at these revisions lacks one of ours. A revision that we do not know is of newer code:
        a replica of the old release goes on serving while the new one has migrated."""
        there = set(current)
        return bool(self.heads) and there <= self.known and not self.heads <= there


def find(directory: str, target: str, environ: Mapping[str, str] = os.environ) -> Migrations | None:
    """The layout below the application's directory, or None. `target` is `module:object`, `environ` the application's.

    Flask-DB's layout is an alembic.ini whose script_location is db.
    """
    root_ini = os.path.join(directory, "alembic.ini")
    if os.path.isfile(root_ini):
        return _alembic(root_ini, directory)
    module = target.partition(":")[0].split(".")
    packages = [os.path.join(directory, *module[:depth]) for depth in range(len(module) + 1)]
    for folder in (os.path.join(parent, name) for name in ("migrations", "db") for parent in packages):
        ini, env = os.path.join(folder, "alembic.ini"), os.path.join(folder, "env.py")
        if os.path.isfile(env) and os.path.isfile(ini):
            if "current_app" in text_file.read(env):
                return _with_revisions(
                    Migrations("flask-migrate", ini, folder, True), [os.path.join(folder, "versions")]
                )
            return _alembic(ini, directory, folder)
    return _flask_alembic(packages[::-1]) or _django(directory, environ)


def _django(directory: str, environ: Mapping[str, str]) -> Migrations | None:
    """A project with a manage.py: its own command knows what is to be done, and does nothing twice."""
    if not os.path.isfile(os.path.join(directory, "manage.py")):
        return None
    from flagon import django_project  # not at each start

    project = django_project.find(directory, environ)
    if project is None:
        return None
    unclear = project.why if project.unclear else ""
    return Migrations("django", project.manage, settings=project.settings, unclear=unclear)


def _alembic(ini: str, directory: str, custom: str = "") -> Migrations:
    """Bare Alembic: script_location and version_locations from the file (alembic.ini's own rules for %(here)s)."""
    import configparser  # few applications have the file, and each start would wait for it

    parser = configparser.ConfigParser({"here": os.path.dirname(ini)})
    named, locations, recursive = "", "", False
    with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
        parser.read(ini, encoding="utf-8")
        named = parser.get("alembic", "script_location", fallback="")
        locations = parser.get("alembic", "version_locations", fallback="")
        recursive = parser.get("alembic", "recursive_version_locations", fallback="") == "true"
    package, colon, inner = named.partition(":")  # `shop:migrations` is a folder in a package
    folder = os.path.join(directory, *package.split("."), inner) if colon else os.path.join(directory, named or custom)
    separators = str.maketrans(dict.fromkeys(",;\n:", " "))
    versions = [os.path.join(directory, part) for part in locations.translate(separators).split()]
    layout = Migrations("alembic", ini, folder, bool(custom and not named))
    return _with_revisions(layout, versions or [os.path.join(folder, "versions")], recursive)


def _flask_alembic(packages: list[str]) -> Migrations | None:
    """Revisions beside each other in migrations/ of the package, and no env.py: Flask-Alembic brings its own."""
    for package in packages:
        folder = os.path.join(package, "migrations")
        if os.path.isdir(folder) and not os.path.exists(os.path.join(folder, "env.py")):
            found = _with_revisions(Migrations("flask-alembic", "", folder), [folder])
            if found.known:
                return found
    return None


def _with_revisions(layout: Migrations, folders: list[str], recursive: bool = False) -> Migrations:
    """Read every revision file. A head is what no other revision follows or depends on."""
    known: set[str] = set()
    followed: set[str] = set()
    for path in _files(folders, recursive):
        values = _assigned(path)
        revision = values.get("revision")
        if isinstance(revision, str):
            known.add(revision)
            followed |= _names(values.get("down_revision")) | _names(values.get("depends_on"))
    table, schema = _version_table(os.path.join(layout.folder, "env.py"))
    if not table:  # named by a variable: no revision of this database can be read
        return layout
    return layout._replace(heads=frozenset(known - followed), known=frozenset(known), table=table, schema=schema)


def _files(folders: list[str], recursive: bool) -> Iterator[str]:
    for top in folders:
        for folder, inner, names in os.walk(top):
            inner[:] = [name for name in inner if recursive and name != "__pycache__"]
            yield from (os.path.join(folder, name) for name in sorted(names) if name.endswith(".py"))


def _tree(path: str) -> ast.Module:
    try:
        return ast.parse(text_file.read(path))
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
    """(version_table, version_table_schema) that env.py gives context.configure(); empty where they are no literals."""
    found = {"version_table": "alembic_version", "version_table_schema": ""}
    for node in ast.walk(_tree(env)):
        if isinstance(node, ast.keyword) and node.arg in found:
            if not isinstance(node.value, ast.Constant):
                return "", ""
            found[node.arg] = str(node.value.value or found[node.arg])
    return found["version_table"], found["version_table_schema"]
