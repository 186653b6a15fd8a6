"""Whether what is to be served is ASGI, as the source files show it: reads them with `ast` and imports nothing.

A file is walked from top to bottom, as Python would run it: what a name is, is what it was given last. Names that come
from another file of the application's are looked up there. What only the loaded process knows is not guessed.
"""

from __future__ import annotations

import ast
import bisect
import os
from typing import NamedTuple

from flagon.wsgi_source import FACTORIES, OBJECTS, is_main_guard, source_of, syntax

# Calls whose result is an ASGI application, whoever they are imported from.
CALLS = frozenset(
    "FastAPI Starlette Sanic Quart Litestar Starlite Esmerald Ravyn Lilya BlackSheep get_asgi_application WsgiToAsgi "
    "ProtocolTypeRouter make_asgi_app streamable_http_app sse_app".split()
)
# Those whose name alone says too little, with the package that they must come from.
OF_PACKAGE = {
    "ASGIApp": ("socketio", "engineio"), "WSGIMiddleware": ("fastapi", "starlette", "a2wsgi"),
    "Application": ("blacksheep",), "AsyncApp": ("connexion",),
}  # fmt: skip
# They make WSGI of ASGI.
TO_WSGI = {"ASGIMiddleware": ("a2wsgi",)}
# One of these is installed where a file imports an ASGI application that another file makes.
PACKAGES = tuple("starlette quart litestar sanic asgiref socketio channels blacksheep falcon lilya".split())
MODULES = ("asgi", "app", "main", "application", "server", "run", "wsgi", "autoapp")
MOST_FILES = 12  # that are read on the way to where the application is made
DEEPEST = 60  # names that stand for one another
MOST_QUESTIONS = 20_000  # what a name stands for: a source of a few lines can ask for ever
SOCKETS = ("ASGIApp()",)  # of python-socketio, whose clients live in one process's memory


class _From(NamedTuple):
    """What an import statement gives a name: a module, or a name in it."""

    module: str
    name: str = ""


Function = ast.FunctionDef | ast.AsyncFunctionDef
Value = ast.expr | Function | ast.ClassDef | _From
END = 1 << 30  # after the last statement


def kind(directory: str, target: str, follow: bool = True, calls: frozenset[str] = CALLS) -> str:
    """`FastAPI()`, `async def app` ... where `module:object` is shown to be ASGI; "" where it is not.

    `follow`: look into the other files of the application's that the names come from, too. `calls`: what makes it, if
    another kind of application is asked for.
    """
    module, _, expression = target.partition(":")
    try:
        tree = ast.parse(expression or "app", mode="eval").body
    except (SyntaxError, ValueError):
        return ""
    name = tree.func if isinstance(tree, ast.Call) else tree
    if not module or not isinstance(name, ast.Name):
        return ""
    file = _Files(directory, MOST_FILES if follow else 1, calls).scope(module)
    return "" if file is None else file.called(name.id) if isinstance(tree, ast.Call) else file.named(name.id)


def find(directory: str, module: str, first: str = "") -> str | None:
    """The ASGI object or factory call that a module offers by a customary name; None if none."""
    file = _Files(directory, MOST_FILES).scope(module)
    if file is None:
        return None
    objects = [name for name in (first, *OBJECTS, "asgi", "asgi_app", "api") if name]
    found = next((name for name in objects if file.named(name)), None)
    return found or next((name + "()" for name in FACTORIES if file.called(name)), None)


def evident(directory: str, module: str) -> str | None:
    """The name, of whatever kind, that a module gives what an ASGI framework's call makes; None if none."""
    file = _Files(directory, 1).scope(module)
    names = dict.fromkeys(name for name, _ in file.bound) if file else ()
    return next((name for name in names if file and file.named(name).endswith("()")), None)


def installed(folders: list[str]) -> bool:
    """Whether one of the packages is there, without which no other file is asked."""
    return any(os.path.isdir(os.path.join(folder, name)) for name in PACKAGES for folder in folders)


class _Files:
    """The application's source files, as they are asked for."""

    def __init__(self, directory: str, most: int, calls: frozenset[str] = CALLS) -> None:
        self.directory, self.most, self.calls = directory, most, calls
        self.read: dict[str, _Scope | None] = {}
        self.questions = self.circles = self.depth = 0

    def scope(self, module: str) -> _Scope | None:
        """What a module binds; None if it is not the application's, or one file too many."""
        if module not in self.read:
            path = source_of(self.directory, module)
            tree = syntax(path) if path and len(self.read) < self.most else None
            package = module if path and path.endswith("__init__.py") else module.rpartition(".")[0]
            self.read[module] = _Scope(self, package, tree.body) if tree else None
        return self.read[module]


class _Scope:
    """The names of a module, or of a function in one, in the order in which they are given."""

    def __init__(self, files: _Files, package: str, body: list[ast.stmt], outer: _Scope | None = None) -> None:
        self.files, self.package, self.outer = files, package, outer
        self.bound: list[tuple[str, Value]] = []
        self.returned: list[tuple[ast.expr, int]] = []
        self.places: dict[str, list[int]] = {}
        self.asked: set[tuple[str, int, bool]] = set()  # what is being found out: a name may stand for itself
        self.found: dict[tuple[str, int, bool], str] = {}
        self._walk(body)
        for index, (name, _) in enumerate(self.bound):
            self.places.setdefault(name, []).append(index)

    def named(self, name: str, before: int = END) -> str:
        """The kind of what a name stands for at that place."""
        return self._asked(name, before, False)

    def called(self, name: str, before: int = END) -> str:
        """The kind of what calling it gives."""
        return self._asked(name, before, True)

    def _asked(self, name: str, before: int, call: bool) -> str:
        index = self._last(name, before)
        key = (name, -1 if index is None else index, call)
        if key in self.found:
            return self.found[key]
        files = self.files
        files.questions += 1
        if key in self.asked or files.depth > DEEPEST or files.questions > MOST_QUESTIONS:
            files.circles += 1
            return ""
        before_it = files.circles
        self.asked.add(key)
        files.depth += 1
        try:
            if index is not None:
                kind = (self._gives if call else self._is)(self.bound[index][1], index)
            else:
                kind = self.outer._asked(name, END, call) if self.outer else ""
        finally:
            self.asked.discard(key)
            files.depth -= 1
        if kind or files.circles == before_it:  # else another way to it may find more
            self.found[key] = kind
        return kind

    def _last(self, name: str, before: int) -> int | None:
        """Where it was bound last before that place."""
        places = self.places.get(name, [])
        count = bisect.bisect_left(places, before)
        return places[count - 1] if count else None

    def _is(self, value: Value, at: int) -> str:
        """Of an object."""
        if isinstance(value, _From):
            other = self.files.scope(value.module) if value.name else None
            return other.named(value.name) if other else ""
        if isinstance(value, ast.AsyncFunctionDef):
            return f"async def {value.name}" if _takes(value, 3) else ""
        if isinstance(value, ast.ClassDef):
            return f"class {value.name}" if _is_double(value) else ""
        return "" if isinstance(value, ast.FunctionDef) else self._value(value, at)

    def _gives(self, value: Value, at: int) -> str:
        """Of what a call of it gives."""
        if isinstance(value, _From):
            other = self.files.scope(value.module) if value.name else None
            return other.called(value.name) if other else ""
        if isinstance(value, ast.FunctionDef):
            made = self._callee(value.returns, at)
            inner = _Scope(self.files, self.package, value.body, self)
            return f"{made}()" if made in self.files.calls else inner.gives()
        return self._instance(value, at) if isinstance(value, ast.ClassDef) else ""

    def gives(self) -> str:
        """Of a function: the first `return` that gives ASGI."""
        return next((found for node, at in self.returned if (found := self._value(node, at))), "")

    def _instance(self, node: ast.ClassDef, at: int) -> str:
        call = _method(node, "__call__")
        if isinstance(call, ast.AsyncFunctionDef) and _takes(call, 4):
            return f"class {node.name}"
        for base in node.bases:
            made = self._callee(base, at)
            if known := f"{made}()" if made in self.files.calls else self._made_by(base, at):
                return known
        return ""

    def _value(self, node: ast.expr, at: int) -> str:
        """Of an expression at that place."""
        if isinstance(node, ast.Name):
            return self.named(node.id, at)
        if isinstance(node, ast.IfExp):
            return self._value(node.body, at) or self._value(node.orelse, at)
        if isinstance(node, ast.Attribute):
            other = self.files.scope(self._dotted(node.value, at))
            return other.named(node.attr) if other else ""
        return self._of_call(node, at) if isinstance(node, ast.Call) else ""

    def _of_call(self, node: ast.Call, at: int) -> str:
        name, module = self._callee(node.func, at), self._module(node.func, at)
        package, parts = module.partition(".")[0], module.split(".")
        if package in TO_WSGI.get(name, ()):
            return ""
        by_place = package in OF_PACKAGE.get(name, ()) or (name[:1].isupper() and "asgi" in parts)
        if name in self.files.calls or (by_place and self.files.calls is CALLS):
            return f"{name}()"
        if made := self._made_by(node.func, at):
            return made
        given = [*node.args, *(word.value for word in node.keywords if word.arg in ("app", "application"))]
        plain = [one.id for one in given if isinstance(one, ast.Name)]  # middleware: TrustedHostMiddleware(app, ...)
        return next((found for one in plain if (found := self.named(one, at))), "")

    def _made_by(self, node: ast.expr, at: int) -> str:
        """Of what calling a function or class of the application's gives."""
        if isinstance(node, ast.Name):
            return self.called(node.id, at)
        if isinstance(node, ast.Attribute):
            other = self.files.scope(self._dotted(node.value, at))
            return other.called(node.attr) if other else ""
        return ""

    def _imported(self, name: str, at: int) -> _From | None:
        index = self._last(name, at)
        if index is None:
            return self.outer._imported(name, END) if self.outer else None
        value = self.bound[index][1]
        return value if isinstance(value, _From) else None

    def _callee(self, node: ast.expr | None, at: int) -> str:
        """The last name of what is called, as its own package spells it."""
        if isinstance(node, ast.Name):
            found = self._imported(node.id, at)
            return found.name if found and found.name else node.id
        return node.attr if isinstance(node, ast.Attribute) else ""

    def _module(self, node: ast.expr, at: int) -> str:
        """Where what is called was imported from; "" if it was not."""
        if isinstance(node, ast.Name):
            found = self._imported(node.id, at)
            return found.module if found and found.name else ""
        return self._dotted(node.value, at) if isinstance(node, ast.Attribute) else ""

    def _dotted(self, node: ast.expr, at: int) -> str:
        """`falcon.asgi` of an expression that names a module that was imported; "" of any other."""
        if isinstance(node, ast.Name):
            found = self._imported(node.id, at)
            return ".".join(filter(None, found)) if found else ""
        before = self._dotted(node.value, at) if isinstance(node, ast.Attribute) else ""
        return f"{before}.{node.attr}" if before and isinstance(node, ast.Attribute) else ""

    def _walk(self, body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._imports(node)
            elif isinstance(node, ast.Assign):
                self.bound += [(target.id, node.value) for target in node.targets if isinstance(target, ast.Name)]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                self.bound.append((node.target.id, node.value))
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self.bound.append((node.name, node))
            elif isinstance(node, ast.Return) and node.value is not None:
                self.returned.append((node.value, len(self.bound)))
            elif isinstance(node, (ast.If, ast.With, ast.AsyncWith, ast.Try)) and not is_main_guard(node):
                self._walk(node.body)
                self._walk(getattr(node, "orelse", []))

    def _imports(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                name = alias.asname or alias.name.partition(".")[0]
                self.bound.append((name, _From(alias.name if alias.asname else name)))
                continue
            parts = self.package.split(".") if self.package else []
            base = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            self.bound.append((alias.asname or alias.name, _From(module, alias.name)))


def _method(node: ast.ClassDef, name: str) -> Function | None:
    found = [one for one in node.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)) and one.name == name]
    return found[-1] if found else None


def _is_double(node: ast.ClassDef) -> bool:
    """A class of ASGI 2: made with the scope, and its instance called with receive and send."""
    call, init = _method(node, "__call__"), _method(node, "__init__")
    return isinstance(call, ast.AsyncFunctionDef) and _takes(call, 3) and init is not None and _takes(init, 2)


def _takes(function: Function, number: int) -> bool:
    """Whether it can be called with so many arguments by position."""
    arguments = function.args
    most = len(arguments.posonlyargs) + len(arguments.args)
    return most - len(arguments.defaults) <= number <= most
