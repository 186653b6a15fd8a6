"""What a Python source file offers to a WSGI server: reads it with `ast` and imports nothing."""

from __future__ import annotations

import ast
import contextlib
import os
from typing import Any

from flagon import text_file

OBJECTS = ("app", "application")
FLASK = frozenset({"Flask", "APIFlask", "OpenAPI"})
FACTORIES = ("create_app", "make_app")
SERVING = ("run", "serve", "serve_forever", "run_simple", "make_server")
# Calls whose result is called "app" in many projects and is no WSGI application.
ASGI = frozenset({"FastAPI", "Starlette", "Sanic", "Quart", "Litestar", "get_asgi_application", "WsgiToAsgi"})
NOT_WSGI = ASGI | frozenset(
    {"Typer", "Celery", "Cyclopts", "App", "Api", "Blueprint", "APIRouter", "Namespace", "NinjaAPI"}
)
# Calls whose result is an application, whatever name it is given.
WSGI = frozenset(
    {"Flask", "APIFlask", "OpenAPI", "Bottle", "Eve", "get_wsgi_application", "make_wsgi_app", "DispatcherMiddleware"}
)


def source_of(directory: str, module: str) -> str | None:
    """The file of a dotted module below `directory`, or None."""
    base = os.path.join(directory, *module.split("."))
    for path in (os.path.join(base, "__init__.py"), base + ".py"):
        if os.path.isfile(path):
            return path
    return None


def _callee(call: ast.Call) -> str:
    """The last name of what is called."""
    return str(getattr(call.func, "attr", getattr(call.func, "id", "")))


def _of_falcon(call: ast.Call) -> bool:
    """falcon.App(): other frameworks' App is no WSGI application."""
    return isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") == "falcon"


def _is_wsgi_value(value: ast.expr | None) -> bool:
    if value is None or isinstance(value, (ast.Constant, ast.List, ast.Dict, ast.Set, ast.JoinedStr)):
        return False
    if isinstance(value, ast.Call):
        return _callee(value) not in NOT_WSGI or _of_falcon(value)
    return True


def _callable_without_arguments(function: ast.FunctionDef) -> bool:
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional == 0 and all(default is not None for default in arguments.kw_defaults)


def _kind(value: ast.expr | None, found: dict[str, str]) -> str:
    """`made` of what Flask or a factory has made, `object` of anything else."""
    name = _callee(value) if isinstance(value, ast.Call) else ""
    return "made" if name in FLASK or name in FACTORIES or found.get(name) == "factory" else "object"


def _names(body: list[ast.stmt], found: dict[str, str]) -> None:
    """Collect top-level names into `found`: name -> "object", "made" or "factory"."""
    for node in body:
        if isinstance(node, ast.Assign) and _is_wsgi_value(node.value):
            kind = _kind(node.value, found)
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found[target.id], kind = kind, "object"  # a = b = create_app() is one
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _is_wsgi_value(node.value):
            found[node.target.id] = _kind(node.value, found)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name
                if name == "api":
                    continue  # most often a blueprint or a module
                factory = name in FACTORIES or (alias.name in FACTORIES and name not in OBJECTS)
                found[name] = "factory" if factory else "object"
        elif isinstance(node, ast.FunctionDef):
            if node.name in FACTORIES:
                if _callable_without_arguments(node):
                    found[node.name] = "factory"
            elif len(node.args.args) == 2:
                found[node.name] = "object"  # def application(environ, start_response)
        elif isinstance(node, (ast.If, ast.With)):
            if not is_main_guard(node):
                _names(node.body, found)
                _names(getattr(node, "orelse", []), found)
        elif isinstance(node, ast.Try):
            _names(node.body, found)


def is_main_guard(node: ast.stmt) -> bool:
    """`if __name__ == "__main__":`."""
    return isinstance(node, ast.If) and any(getattr(one, "id", "") == "__name__" for one in ast.walk(node.test))


def syntax(path: str | None) -> ast.Module | None:
    """A file's syntax tree; None if there is none to be had. The last one is kept: a start asks several times."""
    try:
        text = text_file.content(path or "")
        if text != _last[0]:
            _last[:] = text, ast.parse(text, path or "")
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested too deep
        return None
    tree: ast.Module = _last[1]
    return tree


_last: list[Any] = [b"", ast.parse("")]


def written(node: ast.AST) -> str:
    """As source text; "" of what is nested too deep for that."""
    try:
        return ast.unparse(node)
    except RecursionError:
        return ""


def find_object(path: str, first: str = "") -> str | None:
    """The object or factory call that a source file offers, such as `app` or `create_app()`; None if none."""
    tree = syntax(path)
    return None if tree is None else _offered(tree, first)


def _offered(tree: ast.Module, first: str = "") -> str | None:
    found: dict[str, str] = {}
    with contextlib.suppress(RecursionError):  # a chain of a thousand elif; what is found by then counts
        _names(tree.body, found)
    for name in (first, *OBJECTS):
        if found.get(name) in ("object", "made"):
            return name
    made = made_of(found)
    if len(made) == 1:  # as Flask itself has it: the only one comes before a factory that would be called
        return made[0]
    for name in FACTORIES if not made else ():
        if name in found:
            return name + "()"
    return "api" if found.get("api") in ("object", "made") else _served(tree, found)


def _served(tree: ast.Module, names: dict[str, str]) -> str | None:
    """`web` of `web = Flask(__name__)` and `web.run()`: an object of another name, where the file itself serves it."""
    made = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        if _callee(node.value) in WSGI or _callee(node.value) in FACTORIES
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or _callee(node) not in SERVING:
            continue
        for one in (*node.args, getattr(node.func, "value", None)):
            name = one.id if isinstance(one, ast.Name) else ""
            if name in made or (names.get(name) == "object" and name.endswith(("_app", "web", "wsgi"))):
                return name
    return None


def made_of(found: dict[str, str]) -> list[str]:
    """The names of what Flask or a factory has made."""
    return [name for name, kind in found.items() if kind == "made"]


def several(path: str) -> list[str]:
    """The applications that a file makes, where it makes several and none has a customary name."""
    tree = syntax(path)
    found: dict[str, str] = {}
    _names(tree.body if tree else [], found)
    made = made_of(found)
    return made if len(made) > 1 and not {*OBJECTS, "api"} & set(made) else []


def starts_a_server(path: str) -> bool:
    """Whether a script makes the application or runs it itself: Flask(...), app.run(), make_server(..., app)."""
    tree = syntax(path)
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


def is_factory(path: str | None, name: str) -> bool:
    """Whether `name` is a function of that file that takes no arguments: no WSGI callable, so a factory."""
    tree = syntax(path)
    if tree is None:
        return False
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return bool(functions) and _callable_without_arguments(functions[-1])


def broken(path: str) -> str | None:
    """The syntax error of a file as `line 3: invalid syntax`, or None."""
    try:
        ast.parse(text_file.content(path), path)
    except SyntaxError as error:
        from flagon import old_code

        why = old_code.of_syntax(error.msg or "", error.text or "")
        return f"line {error.lineno}: {error.msg}{'. ' + why.rstrip('.') if why else ''}"
    except (OSError, ValueError) as error:
        return str(error)
    except (RecursionError, MemoryError):
        pass  # nested too deep to be read here: whoever imports it will see
    return None


def evident_object(path: str) -> str | None:
    """What `find_object` says, only where a framework's name proves it: for files of any name."""
    tree = syntax(path)
    if tree is None:
        return None
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            if _callee(node.value) in WSGI or _of_falcon(node.value):
                return next((target.id for target in node.targets if isinstance(target, ast.Name)), None)
        elif isinstance(node, ast.FunctionDef) and node.name in FACTORIES and _callable_without_arguments(node):
            return _offered(tree)  # or what the file itself has made of it
    return None


def calls(path: str, name: str) -> bool:
    """Whether a file calls a function of this name, wherever it does."""
    tree = syntax(path)
    return any(isinstance(node, ast.Call) and _callee(node) == name for node in ast.walk(tree)) if tree else False


def is_django(path: str) -> bool:
    """Whether a manage.py, or a WSGI module, is Django's: it imports from there, or names settings."""
    tree = syntax(path)
    for node in ast.walk(tree) if tree else ():
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        if any(name.partition(".")[0] == "django" for name in names):
            return True
    return django_settings(path) is not None


def django_settings(path: str) -> str | None:
    """The settings module that a manage.py names, or None: os.environ.setdefault("DJANGO_SETTINGS_MODULE", ...),
    os.environ["DJANGO_SETTINGS_MODULE"] = ..."""
    tree = syntax(path)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            keys = [target.slice for target in node.targets if isinstance(target, ast.Subscript)]
            named = any(isinstance(key, ast.Constant) and key.value == "DJANGO_SETTINGS_MODULE" for key in keys)
            if named and isinstance(node.value.value, str):
                return node.value.value
        if not isinstance(node, ast.Call):
            continue
        words = [word.value for word in node.args if isinstance(word, ast.Constant)]
        if len(words) == 2 and words[0] == "DJANGO_SETTINGS_MODULE" and isinstance(words[1], str):
            return words[1]
    return None
