"""The port, and whether TLS, that a script asks for where it starts its server: read with `ast`, not imported."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import NamedTuple

from flagon.server_calls import callee, is_serving
from flagon.wsgi_source import syntax

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


class Asked(NamedTuple):
    """What one script asks for."""

    port: str = ""
    call: str = ""  # such as app.run()
    tls: str = ""  # the argument that asks for TLS


class _Script:
    """The names that are given once in a module, and the environment."""

    def __init__(self, tree: ast.Module, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.given: dict[str, list[ast.expr]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self.given.setdefault(target.id, []).append(node.value)

    def meaning(self, node: ast.expr | None, deep: int = 4) -> object:
        """The constant that an expression comes to, UNKNOWN if it takes more than reading."""
        if node is None or not deep:
            return UNKNOWN
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            values = self.given.get(node.id, [])
            return self.meaning(values[0], deep - 1) if len(values) == 1 else UNKNOWN
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
            for part in node.values:
                value = self.meaning(part, deep - 1)
                if value:
                    return value
            return UNKNOWN
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("os.environ", "environ"):
            return self.environ.get(str(self.meaning(node.slice, deep - 1)), UNKNOWN)
        return self._call(node, deep) if isinstance(node, ast.Call) else UNKNOWN

    def _call(self, node: ast.Call, deep: int) -> object:
        """int(...), str(...), os.environ.get(...), os.getenv(...)."""
        name = ast.unparse(node.func)
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


def _port(call: ast.Call, name: str, script: _Script) -> object:
    """The port of one call, UNKNOWN if it cannot be read."""
    place, default = SERVERS[name]
    named = {word.arg: word.value for word in call.keywords}
    if "port" in named:
        value = script.meaning(named["port"])
        return default if value is None else value
    if "listen" in named and name == "serve":
        listen = script.meaning(named["listen"])
        return listen.rpartition(":")[2] if isinstance(listen, str) and " " not in listen else UNKNOWN
    if None in named or any(isinstance(argument, ast.Starred) for argument in call.args):
        return UNKNOWN
    if name == "WSGIServer":
        first = call.args[0] if call.args else None
        return script.meaning(first.elts[1]) if isinstance(first, ast.Tuple) and len(first.elts) == 2 else UNKNOWN
    if place is None:
        return default
    if name == "run" and call.args and not isinstance(call.args[0], ast.Constant):
        place += not isinstance(script.meaning(call.args[0]), str)  # SocketIO.run(app, host, port)
    return script.meaning(call.args[place]) if len(call.args) > place else default


def asked(path: str, environ: Mapping[str, str]) -> Asked:
    """Of a script: the port where all its calls that serve agree on one, and whether one asks for TLS."""
    tree = syntax(path)
    try:
        return _asked(tree, environ) if tree else Asked()
    except RecursionError:
        return Asked()


def _asked(tree: ast.Module, environ: Mapping[str, str]) -> Asked:
    script = _Script(tree, environ)
    ports: list[object] = []
    calls: list[str] = []
    tls = ""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not is_serving(node) or callee(node) not in SERVERS:
            continue
        name, owner = callee(node), ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        if owner.partition(".")[0] in OTHERS:
            continue
        calls.append(f"{owner}.{name}()" if owner else f"{name}()")
        ports.append(_port(node, name, script))
        for word in node.keywords:
            if word.arg in ("ssl_context", "keyfile", "certfile") and not _is_nothing(word.value, script):
                tls = f"{word.arg}= of {calls[-1]}"
    found = {str(port) for port in ports}
    port = found.pop() if len(found) == 1 else ""
    return Asked(port if port.isdecimal() and 0 < int(port) < 65536 else "", calls[0] if calls else "", tls)


def _is_nothing(node: ast.expr, script: _Script) -> bool:
    value = script.meaning(node)
    return value is None or value is False or value == ""


def constant(node: ast.expr | None, tree: ast.Module, environ: Mapping[str, str], default: str) -> str:
    """The port that one argument of a call comes to: `default` where it is not given, "" if it cannot be read."""
    value = default if node is None else _Script(tree, environ).meaning(node)
    return str(value) if str(value).isdecimal() and 0 < int(str(value)) < 65536 else ""
