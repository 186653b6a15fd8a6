"""The call in a source file that starts a server: `app.run()`, `serve(app)`; what it serves, and where that is from."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from flagon.wsgi_source import FACTORIES, SERVING, is_main_guard, syntax, written

# Other things that are run: subprocess.run(), asyncio.run(main()).
NO_SERVERS = frozenset(
    {"subprocess", "asyncio", "trio", "anyio", "unittest", "cProfile", "runpy", "nox", "sp", "pytest", "loop"}
)
SERVERS = frozenset({"WSGIServer", "make_server", "simple_server", "run_simple"})


def callee(node: ast.expr) -> str:
    """The last name of what a call calls; "" of anything else."""
    return str(getattr(node.func, "attr", getattr(node.func, "id", ""))) if isinstance(node, ast.Call) else ""


def is_serving(node: ast.AST) -> bool:
    """Whether this is a call that starts a server."""
    if not isinstance(node, ast.Call) or callee(node) not in (*SERVING, *SERVERS):
        return False
    value = getattr(node.func, "value", None)
    return not (isinstance(value, ast.Name) and value.id in NO_SERVERS)


def serves(path: str) -> bool:
    """Whether the file starts a server somewhere."""
    tree = syntax(path)
    return tree is not None and any(map(is_serving, ast.walk(tree)))


def at_import(path: str) -> bool:
    """Whether importing the file would start a server: outside every function and every main guard."""
    tree = syntax(path)
    return tree is not None and any(is_serving(node) for one in _unguarded(tree.body) for node in ast.walk(one))


def _unguarded(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    return (
        node
        for node in body
        if not is_main_guard(node) and not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef))
    )


def subject(tree: ast.Module) -> ast.expr | None:
    """What is served: the X of X.run(), serve(X), make_server(host, port, X), socketio.run(X)."""
    for node in ast.walk(tree):
        if not is_serving(node) or not isinstance(node, ast.Call):
            continue
        candidates = list(node.args)
        if isinstance(node.func, ast.Attribute):
            candidates.append(node.func.value)
        for one in candidates:
            if is_application(one):
                return one
    return None


def is_application(node: ast.expr) -> bool:
    """Whether an expression looks like an application: create_app(), app, self.app, flask_app."""
    if isinstance(node, ast.Call):
        return callee(node) in FACTORIES
    name = str(getattr(node, "attr", getattr(node, "id", "")))
    return name in ("app", "application", "api", "wsgi", "server", "web", "flask_app") or name.endswith("_app")


def _imports(tree: ast.Module, package: str) -> dict[str, tuple[str, str]]:
    """Name in this file -> (module, name there; "" for the module itself)."""
    found: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parts = package.split(".") if package else []
            base = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                found[alias.asname or alias.name] = (module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname or "." not in alias.name:
                    found[alias.asname or alias.name] = (alias.name, "")
    return found


def _made(tree: ast.Module, name: str) -> ast.Call | None:
    """`name = create_app(...)` anywhere in the file."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        named = any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
        if named and callee(node.value) in FACTORIES:
            return node.value
    return None


def _arguments(call: ast.Call) -> str | None:
    """`('production')` where all of it are plain values."""
    try:
        for node in (*call.args, *(keyword.value for keyword in call.keywords)):
            ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):  # TypeError: {[1]}
        return None
    return written(call)[len(written(call.func)) :]


def imported_object(path: str, package: str) -> str | None:
    """`module:object` of what the file serves, where it has imported it; None if it is the file's own.

    `package` is what the file's relative imports begin at.
    """
    tree = syntax(path)
    served = subject(tree) if tree else None
    if tree is None or served is None:
        return None
    imports, suffix = _imports(tree, package), ""
    made = served if isinstance(served, ast.Call) else _made(tree, str(getattr(served, "id", "")))
    if made is not None:
        arguments = _arguments(made)
        if arguments is None:
            return None
        served, suffix = made.func, arguments
    if isinstance(served, ast.Name) and served.id in imports:
        module, name = imports[served.id]
        return f"{module}:{name}{suffix}" if module and name else None
    if isinstance(served, ast.Attribute) and isinstance(served.value, ast.Name) and served.value.id in imports:
        module, name = imports[served.value.id]
        return f"{module}.{name}:{served.attr}{suffix}" if name else f"{module}:{served.attr}{suffix}"
    return None
