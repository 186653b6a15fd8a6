"""The port, and whether TLS, that a script asks for where it starts its server: read with `ast`, not imported."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from typing import NamedTuple

from flagon.server_calls import callee, is_application, is_serving
from flagon.wsgi_source import syntax, written

# What is called -> where the port stands among plain arguments (None: nowhere), and the port that it means without one.
SERVERS: dict[str, tuple[int | None, str | None]] = {
    "run": (1, "5000"),  # Flask.run(host, port), SocketIO.run(app, host, port)
    "run_simple": (1, None),
    "make_server": (1, None),
    "serve": (None, "8080"),  # waitress
    "WSGIServer": (None, None),  # of gevent and wsgiref: ("", 5000) comes first
}
OTHERS = frozenset({"uvicorn", "hypercorn"})  # their run() has other arguments
UNKNOWN = object()
MOST_QUESTIONS = 20_000  # what an expression comes to: a source of a few lines can ask for ever


class Asked(NamedTuple):
    """What one script asks for."""

    port: str = ""
    call: str = ""  # such as app.run()
    tls: str = ""  # the argument that asks for TLS
    unread: str = ""  # where it asks for a port that only running it could tell: how it is written


class _Reading:
    """What the files of one question have in common: those read, and how much may still be asked."""

    def __init__(self) -> None:
        self.files: dict[str, _Script | None] = {}
        self.left = MOST_QUESTIONS


class _Script:
    """The names that are given once in a module, those of its classes and imports, and the environment."""

    def __init__(
        self, tree: ast.Module, environ: Mapping[str, str], folder: str, reading: _Reading | None = None
    ) -> None:
        self.environ, self.folder, self.reading = environ, folder, reading or _Reading()
        self.given: dict[str, list[ast.expr]] = {}
        self.imported: dict[str, tuple[str, str]] = {}  # name -> module, and name there ("": the module itself)
        self.arguments: dict[str, ast.expr | None] = {}  # argparse: name -> default
        self.bases: dict[str, str] = {}  # class -> the first it is made of
        of_classes: set[int] = set()
        for node in ast.walk(tree):  # a class comes before what is in it
            if id(node) not in of_classes:
                self._collect(node, "")
            if isinstance(node, ast.ClassDef):
                self.bases[node.name] = str(getattr(node.bases[0], "id", "")) if node.bases else ""
                of_classes.update(map(id, node.body))
                for inner in node.body:
                    self._collect(inner, f"{node.name}.")
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.imported[alias.asname or alias.name] = (alias.name, "")
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    self.imported[alias.asname or alias.name] = (node.module, alias.name)
            elif isinstance(node, ast.Call) and callee(node) == "add_argument":
                self._argument(node)

    def _collect(self, node: ast.AST, prefix: str) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value:
                self.given.setdefault(prefix + target.id, []).append(node.value)

    def _argument(self, call: ast.Call) -> None:
        """`add_argument("-p", "--port", default=8000)`."""
        named = {word.arg: word.value for word in call.keywords}
        words = [word.value for word in call.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
        long = next((word for word in words if word.startswith("--")), words[0] if words else "")
        name = getattr(named.get("dest"), "value", None) or long.lstrip("-").replace("-", "_")
        self.arguments[str(name)] = named.get("default")

    def _elsewhere(self, module: str, name: str, deep: int) -> object:
        """A name of a module beside the script."""
        path = os.path.join(self.folder, *module.split("."))
        for file in (path + ".py", os.path.join(path, "__init__.py")):
            if script := self._read(file):
                owner, _, attribute = name.rpartition(".")
                return script.attribute(owner, attribute, deep) if owner else script.once(name, deep)
        return UNKNOWN

    def _read(self, file: str) -> _Script | None:
        files = self.reading.files
        if file not in files:
            tree = syntax(file) if os.path.isfile(file) else None
            files[file] = _Script(tree, self.environ, self.folder, self.reading) if tree else None
        return files[file]

    def once(self, name: str, deep: int) -> object:
        values = self.given.get(name, [])
        if not values and name in self.imported:
            module, there = self.imported[name]
            return self._elsewhere(module, there, deep - 1) if there else UNKNOWN
        return self.meaning(values[0], deep - 1) if len(values) == 1 else UNKNOWN

    def attribute(self, owner: str, attribute: str, deep: int) -> object:
        """Config.PORT of a class, config.PORT of a module, args.port of an ArgumentParser."""
        if not owner or not deep:
            return UNKNOWN
        if f"{owner}.{attribute}" in self.given:
            return self.once(f"{owner}.{attribute}", deep)
        if owner in self.bases:
            return self.attribute(self.bases[owner], attribute, deep - 1)
        if owner in self.imported:
            module, there = self.imported[owner]
            return self._elsewhere(module, f"{there}.{attribute}" if there else attribute, deep - 1)
        parsed = self.given.get(owner, [])
        if len(parsed) == 1 and callee(parsed[0]) == "parse_args" and attribute in self.arguments:
            return self.meaning(self.arguments[attribute], deep - 1)
        return UNKNOWN

    def options(self, call: ast.Call) -> dict[str, ast.expr] | None:
        """The call's named arguments, those of a `**options` too; None if they cannot be read."""
        found: dict[str, ast.expr] = {}
        for word in call.keywords:
            if word.arg is not None:
                found[word.arg] = word.value
                continue
            values = self.given.get(word.value.id, []) if isinstance(word.value, ast.Name) else [word.value]
            many = values[0] if len(values) == 1 else None
            self.reading.left -= len(getattr(many, "keys", ())) + len(getattr(many, "keywords", ()))
            if self.reading.left < 0:
                return None
            if isinstance(many, ast.Dict):
                pairs = zip(many.keys, many.values, strict=True)
                found.update({str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)})
            elif isinstance(many, ast.Call) and callee(many) == "dict" and not many.args:
                found.update({one.arg: one.value for one in many.keywords if one.arg})
            else:
                return None
        return found

    def meaning(self, node: ast.expr | None, deep: int = 8) -> object:
        """The constant that an expression comes to, UNKNOWN if it takes more than reading."""
        self.reading.left -= 1
        if node is None or not deep or self.reading.left < 0:
            return UNKNOWN
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self.once(node.id, deep)
        if isinstance(node, ast.Attribute):
            owner, _, attribute = ast.unparse(node).partition(".")
            return self.attribute(owner, attribute, deep)
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
            for part in node.values:
                value = self.meaning(part, deep - 1)
                if value:
                    return value
            return UNKNOWN
        if isinstance(node, ast.Subscript) and written(node.value) in ("os.environ", "environ"):
            return self.environ.get(str(self.meaning(node.slice, deep - 1)), UNKNOWN)
        return self._call(node, deep) if isinstance(node, ast.Call) else UNKNOWN

    def _call(self, node: ast.Call, deep: int) -> object:
        """int(...), str(...), os.environ.get(...), os.getenv(...)."""
        name = written(node.func)
        if name in ("int", "str") and len(node.args) == 1 and not node.keywords:
            return self.meaning(node.args[0], deep)
        if name in ("os.environ.get", "environ.get", "os.getenv", "getenv") and node.args:
            default = next((word.value for word in node.keywords if word.arg == "default"), None)
            return self._variable(node.args[0], node.args[1] if len(node.args) > 1 else default, deep)
        return UNKNOWN

    def _variable(self, name: ast.expr, default: ast.expr | None, deep: int) -> object:
        text = self.environ.get(str(self.meaning(name, deep - 1)))
        if text is not None:
            return text
        return self.meaning(default, deep - 1) if default is not None else None


def _port(call: ast.Call, name: str, script: _Script) -> tuple[object, ast.expr | None]:
    """The port of one call (UNKNOWN if it cannot be read), and the expression that says it."""
    place, default = SERVERS[name]
    named = script.options(call)
    if named is None or any(isinstance(argument, ast.Starred) for argument in call.args):
        return UNKNOWN, call
    if "port" in named:
        value = script.meaning(named["port"])
        return default if value is None else value, named["port"]
    if "listen" in named and name == "serve":
        listen = script.meaning(named["listen"])
        readable = isinstance(listen, str) and " " not in listen
        return str(listen).rpartition(":")[2] if readable else UNKNOWN, named["listen"]
    if name == "WSGIServer":
        first = call.args[0] if call.args else None
        port = first.elts[1] if isinstance(first, ast.Tuple) and len(first.elts) == 2 else None
        return script.meaning(port), port
    if place is None:
        return default, None
    if name == "run" and call.args and not isinstance(script.meaning(call.args[0]), str):
        place += is_application(call.args[0])  # SocketIO.run(app, host, port)
    if len(call.args) <= place:
        return default, None
    return script.meaning(call.args[place]), call.args[place]


def asked(path: str, environ: Mapping[str, str]) -> Asked:
    """Of a script: the port where all its calls that serve agree on one, and whether one asks for TLS."""
    tree = syntax(path)
    try:
        return _asked(tree, environ, os.path.dirname(path)) if tree else Asked()
    except RecursionError:
        return Asked()


def unread(asked: Asked, file: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """A line for the boot where the script's port is known only to who runs it, and nobody has given one."""
    if not asked.unread or environ.get("PORT") or environ.get("FLAGON_PORT"):
        return ()
    return (
        f"{asked.call} in {file} asks for a port that cannot be read without running it ({asked.unread}): where it is "
        "another than 8080, set PORT to it, or publish 8080 (-p 5000:8080)",
    )


def _asked(tree: ast.Module, environ: Mapping[str, str], folder: str) -> Asked:
    script = _Script(tree, environ, folder)
    ports: list[object] = []
    calls: list[str] = []
    tls, hidden = "", None
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not is_serving(node) or callee(node) not in SERVERS:
            continue
        name, owner = callee(node), written(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        if owner.partition(".")[0] in OTHERS:
            continue
        calls.append(f"{owner}.{name}()" if owner else f"{name}()")
        port, how = _port(node, name, script)
        ports.append(port)
        if port is UNKNOWN and how is not None:
            hidden = how
        for word in node.keywords:
            if word.arg in ("ssl_context", "keyfile", "certfile") and not _is_nothing(word.value, script):
                tls = f"{word.arg}= of {calls[-1]}"
    found = {_number(port) for port in ports}
    port = found.pop() if len(found) == 1 else ""
    return Asked(port, calls[0] if calls else "", tls, "" if port or hidden is None else ast.unparse(hidden)[:60])


def _number(port: object) -> str:
    """A port as a setting is written; "" of what is none."""
    if isinstance(port, str) and not (port.isascii() and port.isdigit() and len(port) < 6):
        return ""
    if not isinstance(port, (str, int)) or isinstance(port, bool) or not 0 < int(port) < 65536:
        return ""
    return str(int(port))


def _is_nothing(node: ast.expr, script: _Script) -> bool:
    value = script.meaning(node)
    return value is None or value is False or value == ""


def constant(node: ast.expr | None, tree: ast.Module, environ: Mapping[str, str], default: str, folder: str) -> str:
    """The port that one argument of a call comes to: `default` where it is not given, "" if it cannot be read."""
    value = default if node is None else _Script(tree, environ, folder).meaning(node)
    return str(value) if str(value).isdecimal() and 0 < int(str(value)) < 65536 else ""
