"""Which WSGI object to serve: reads source with `ast` and imports nothing."""

from __future__ import annotations

import ast
import os
import re
from typing import NamedTuple

MODULES = ("app", "main", "wsgi", "application", "server", "run")
OBJECTS = ("app", "application")
FACTORIES = ("create_app", "make_app")
SERVING = ("run", "serve", "serve_forever", "run_simple", "make_server")
# Calls whose result is called "app" in many projects and is no WSGI application.
NOT_WSGI = frozenset(
    {
        "FastAPI",
        "Starlette",
        "Sanic",
        "Quart",
        "Typer",
        "Celery",
        "Cyclopts",
        "App",
        "Api",
        "Blueprint",
        "APIRouter",
        "Namespace",
        "NinjaAPI",
    }
)


class Application(NamedTuple):
    """What to serve: `module:object` relative to `directory`, and why it was chosen."""

    target: str
    directory: str
    why: str


class NotFound(Exception):
    """No application; the message lists what was looked at and names the variable to set."""


def _source(directory: str, module: str) -> str | None:
    """The file of a dotted module below `directory`, or None."""
    base = os.path.join(directory, *module.split("."))
    for path in (os.path.join(base, "__init__.py"), base + ".py"):
        if os.path.isfile(path):
            return path
    return None


def _callee(call: ast.Call) -> str:
    """The last name of what is called."""
    return str(getattr(call.func, "attr", getattr(call.func, "id", "")))


def _is_wsgi_value(value: ast.expr | None) -> bool:
    if value is None or isinstance(value, (ast.Constant, ast.List, ast.Dict, ast.Set, ast.JoinedStr)):
        return False
    if isinstance(value, ast.Call):
        return _callee(value) not in NOT_WSGI
    return True


def _callable_without_arguments(function: ast.FunctionDef) -> bool:
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional == 0 and all(default is not None for default in arguments.kw_defaults)


def _names(body: list[ast.stmt], found: dict[str, str]) -> None:
    """Collect top-level names into `found`: name -> "object" or "factory"."""
    for node in body:
        if isinstance(node, ast.Assign) and _is_wsgi_value(node.value):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found[target.id] = "object"
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _is_wsgi_value(node.value):
            found[node.target.id] = "object"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name
                if name == "api":
                    continue  # most often a blueprint or a module
                found[name] = "factory" if name in FACTORIES else "object"
        elif isinstance(node, ast.FunctionDef):
            if node.name in FACTORIES:
                if _callable_without_arguments(node):
                    found[node.name] = "factory"
            elif len(node.args.args) == 2:
                found[node.name] = "object"  # def application(environ, start_response)
        elif isinstance(node, (ast.If, ast.With)):
            if not _is_main_guard(node):
                _names(node.body, found)
                _names(getattr(node, "orelse", []), found)
        elif isinstance(node, ast.Try):
            _names(node.body, found)


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.dump(node.test)


def _tree(path: str | None) -> ast.Module | None:
    """A file's syntax tree; None if there is none to be had."""
    try:
        with open(path or "", "rb") as file:
            return ast.parse(file.read(), path or "")
    except (OSError, SyntaxError, ValueError):
        return None


def find_object(path: str) -> str | None:
    """The object or factory call that a source file offers, such as `app` or `create_app()`; None if none."""
    tree = _tree(path)
    return None if tree is None else _offered(tree)


def _offered(tree: ast.Module) -> str | None:
    found: dict[str, str] = {}
    _names(tree.body, found)
    for name in OBJECTS:
        if found.get(name) == "object":
            return name
    for name in FACTORIES:
        if name in found:
            return name + "()"
    return "api" if found.get("api") == "object" else None


def starts_a_server(path: str) -> bool:
    """Whether a script makes the application or runs it itself: Flask(...), app.run(), make_server(..., app)."""
    tree = _tree(path)
    if tree is None or _offered(tree) is None:
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _callee(node) in SERVING:
            return True
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call) or _callee(node.value) in FACTORIES:
            continue
        if any(isinstance(target, ast.Name) and target.id in OBJECTS for target in node.targets):
            return True
    return False


def _is_factory(path: str | None, name: str) -> bool:
    """Whether `name` is a function of that file that takes no arguments: no WSGI callable, so a factory."""
    tree = _tree(path)
    if tree is None:
        return False
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return bool(functions) and _callable_without_arguments(functions[-1])


def _broken(path: str) -> str | None:
    """The syntax error of a file as `line 3: invalid syntax`, or None."""
    try:
        with open(path, "rb") as file:
            ast.parse(file.read(), path)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (OSError, ValueError) as error:
        return str(error)
    return None


def _given(directory: str, text: str, variable: str) -> Application:
    """A target that somebody named: complete it where the object is missing."""
    module, _, name = text.strip().partition(":")
    if module.startswith(directory.rstrip("/") + "/"):
        module = module[len(directory.rstrip("/")) + 1 :]
    module = re.sub(r"\.py\Z", "", module).replace("/", ".").strip(".")
    path = _source(directory, module)
    if not name:
        name = (find_object(path) if path else None) or "app"
    elif name in FACTORIES or _is_factory(path, name):
        name += "()"
    return Application(f"{module}:{name}", directory, f"{variable}={text}")


def holds_anything(directory: str) -> bool:
    """Whether the user brought something: any file or folder but dotfiles."""
    try:
        return any(not name.startswith(".") and name != "lost+found" for name in os.listdir(directory))
    except OSError:
        return False


def locate(directory: str, app_module: str | None, flask_app: str = "") -> Application:
    """Find the application below `directory`. Raises NotFound with one message."""
    if app_module:
        return _given(directory, app_module, "APP_MODULE")
    if flask_app:
        return _given(directory, flask_app, "FLASK_APP")
    looked = []
    for folder in (directory, os.path.join(directory, "src")):
        for module in MODULES:
            path = _source(folder, module)
            if path is None:
                continue
            name = find_object(path)
            if name:
                return Application(f"{module}:{name}", folder, f"found in {path}")
            looked.append(f"{path} ({_broken(path) or 'no app, application, api, create_app() or make_app()'})")
    seen = "; ".join(looked) if looked else "no " + ", ".join(name + ".py" for name in MODULES) + " there"
    raise NotFound(
        f"no WSGI application found in {directory}: looked at {seen}. "
        "Set APP_MODULE=module:object, such as APP_MODULE=shop:app or APP_MODULE=shop.web:create_app()."
    )
