"""Whether the application patches Python by gevent at its import: read from its files, nothing is imported."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

from flagon import wsgi_source

PATCHES = frozenset({"gevent.monkey.patch_all", "gevent.monkey.patch_thread"})
BLOCKS = ("body", "orelse", "handlers", "finalbody")
MOST = 60  # files of the application that are read


def by_gevent(directory: str, target: str) -> str:
    """Where it does, `app.py line 1`; empty if it does not, or where nobody can tell from the text alone."""
    module = target.partition(":")[0]
    queue, seen = [module], set[str]()
    while queue and len(seen) < MOST:
        name = queue.pop(0)
        if not name or name in seen:
            continue
        seen.add(name)
        queue.append(name.rpartition(".")[0])  # its package is imported first
        path = wsgi_source.source_of(directory, name)
        tree = wsgi_source.syntax(path)
        if path is None or tree is None:
            continue
        names: dict[str, str] = {}
        package = name if os.path.basename(path) == "__init__.py" else name.rpartition(".")[0]
        for node in _run_at_import(tree.body):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                queue += _imported(node, package, names)
            elif isinstance(node, ast.Call) and _called(node, names) in PATCHES and not _spares_threads(node):
                return f"{os.path.relpath(path, directory)} line {node.lineno}"
    return ""


def _run_at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Every node that runs when the module is imported, in order."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        if wsgi_source.is_main_guard(statement):
            continue
        blocks = [block for name in BLOCKS for block in getattr(statement, name, [])]
        if not blocks:
            yield from ast.walk(statement)
            continue
        for block in blocks:
            yield from _run_at_import(block.body if isinstance(block, ast.ExceptHandler) else [block])


def _imported(node: ast.Import | ast.ImportFrom, package: str, names: dict[str, str]) -> Iterator[str]:
    """The modules that a statement may import; `names` learns what its names mean."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            first = alias.name.partition(".")[0]
            names[alias.asname or first] = alias.name if alias.asname else first
            yield alias.name
        return
    above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    module = ".".join([*filter(None, above), *filter(None, [node.module])])
    yield module
    for alias in node.names:
        names[alias.asname or alias.name] = f"{module}.{alias.name}"
        yield f"{module}.{alias.name}"


def _called(call: ast.Call, names: dict[str, str]) -> str:
    """The full name of what is called, as far as the imports tell it."""
    first, _, rest = ast.unparse(call.func).partition(".")
    return ".".join(filter(None, (names.get(first, first), rest)))


def _spares_threads(call: ast.Call) -> bool:
    given = [keyword.value for keyword in call.keywords if keyword.arg == "thread"]
    return any(isinstance(value, ast.Constant) and not value.value for value in given)
