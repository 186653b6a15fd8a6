"""What stands below `if __name__ == "__main__":` and is not run, as an application is imported and not started."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flagon import commands, masking, server_calls
from flagon.server_calls import callee
from flagon.wsgi_source import FACTORIES, WSGI, is_main_guard, source_of, syntax, written

if TYPE_CHECKING:
    from flagon.boot import Boot

# Read from arguments and environment, print and logging: nothing is lost with them.
CALMLY = frozenset(
    "ArgumentParser add_argument add_argument_group parse_args parse_known_args getenv int str bool float len print "
    "getLogger basicConfig info debug warning exit abspath join dirname gethostname strip split lower upper format "
    "load_dotenv fixed_config config setLevel install_mp_handler freeze_support SystemExit".split()
)
CONFIGURED = frozenset({"debug", "DEBUG", "ENV", "env", "testing", "auto_reload", "TEMPLATES_AUTO_RELOAD"})
APPLICATIONS = ("app", "application", "server", "socketio", "sio", "manager", "cli", "api", "web")
RUNNERS = ("SocketIO", "Manager", "Sock", "Dash")  # .run() of theirs serves
MAIN = ("main", "run", "cli", "serve", "start", "run_app", "run_server", "start_server")
SHOWN = 60  # letters of a statement
DEEPEST = 3  # functions in each other


def lines(boot: Boot) -> list[str]:
    """Warnings on what is not run of the file that `python FILE` would have run, and of the one that is imported."""
    served, settings = boot.served, boot.settings
    if boot.application.directory != boot.directory and not boot.application.directory.startswith(boot.directory):
        return []  # the starter
    if served.program not in ("python", "manage.py") if served else settings.old.application:
        return []  # no such server has ever run what stands there
    script = served.script if served else ""
    path = script or source_of(boot.application.directory, boot.application.target.partition(":")[0])
    first, more = _first(path, whole=bool(script))
    if path is None or first is None:
        return []
    text = masking.command((written(first) or "...").splitlines()[0])
    text = text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
    and_more = f" (and {more} more)" if more else ""
    where = "" if script else ', below `if __name__ == "__main__":`,'
    way_out = "put it into a module that the application imports" if script else "put it above that line"
    given = served is not None and served.source == commands.COMMAND
    hook = "a *.sh in /docker-entrypoint.d" if given else "prestart.sh"  # which is not run where a command is given
    off = "; SERVE_CMD=off runs the file as it is, without nginx" if given else ""
    return [
        f"{path} line {first.lineno}: `{text}`{and_more}{where} is not run, as the application is imported: {way_out}, "
        f"or into {hook}, which runs once before the start{off}"
    ]


def _first(path: str | None, whole: bool) -> tuple[ast.stmt | None, int]:
    """The first statement that is missed, and how many others. `whole`: nobody imports the file, so all of it is."""
    tree = syntax(path)
    if tree is None:
        return None, 0
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    bodies = (
        [tree.body] if whole else [node.body for node in tree.body if is_main_guard(node) and isinstance(node, ast.If)]
    )
    try:
        found = [one for body in bodies for one in Missed(functions, whole, _made(tree)).of(body)]
    except RecursionError:  # a chain of a thousand elif
        return None, 0
    return (found[0], len(found) - 1) if found else (None, 0)


class Missed:
    """Statements whose effect is missed: more than a server's call, its arguments, and what is printed."""

    def __init__(self, functions: dict[str, ast.FunctionDef], whole: bool, made: frozenset[str]) -> None:
        self.functions, self.whole, self.made = functions, whole, made
        self._seen: set[str] = set()

    def of(self, body: list[ast.stmt], depth: int = 0) -> Iterator[ast.stmt]:
        """In order; blocks are entered, and functions of the file that are called alone on a line."""
        used = _used(body, self.made)
        for node in body:
            if is_main_guard(node) and isinstance(node, ast.If):
                yield from self.of(node.body, depth)
            elif isinstance(node, (ast.If, ast.With, ast.Try, ast.For, ast.While)):
                for block in ("body", "handlers", "orelse", "finalbody"):
                    for inner in getattr(node, block, []):
                        yield from self.of(inner.body if isinstance(inner, ast.ExceptHandler) else [inner], depth)
            elif (function := self._called(node)) is not None and depth < DEEPEST and self._serves(function):
                yield from self.of(function.body, depth + 1)
            elif not self._calm(node, used):
                yield node

    def _called(self, node: ast.stmt) -> ast.FunctionDef | None:
        """main(), sys.exit(main()), raise SystemExit(main()), asyncio.run(main())."""
        value = (
            node.exc
            if isinstance(node, ast.Raise)
            else node.value
            if isinstance(node, (ast.Expr, ast.Return))
            else None
        )
        while isinstance(value, ast.Call):
            if isinstance(value.func, ast.Name) and value.func.id in self.functions and value.func.id not in self._seen:
                self._seen.add(value.func.id)
                return self.functions[value.func.id]
            value = value.args[0] if value.args else None
        return None

    def _serves(self, function: ast.FunctionDef) -> bool:
        return any(_serves(node, self.made) for node in ast.walk(function))

    def _calm(self, node: ast.stmt, used: frozenset[str]) -> bool:
        if isinstance(
            node,
            (ast.Pass, ast.Import, ast.ImportFrom, ast.ClassDef, ast.Global, ast.Break, ast.Continue, ast.Raise),
        ):
            return True
        if isinstance(node, ast.FunctionDef):
            return not node.decorator_list  # a route
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = all(isinstance(target, (ast.Name, ast.Tuple)) for target in targets)
            calm = names or all(_configured(target) for target in targets)
            only_served = all(isinstance(target, ast.Name) and target.id in used for target in targets)
            return calm and (node.value is None or only_served and not _makes(node.value) or self._harmless(node.value))
        if isinstance(node, ast.Return):
            return node.value is None or self._harmless(node.value)
        if isinstance(node, ast.Expr):
            value = node.value
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
                owner = value.func.value
                if isinstance(owner, ast.Name) and owner.id in used:
                    return True  # context.load_cert_chain(...) of app.run(ssl_context=context)
            name = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
            return self._harmless(value) or (name in MAIN and name not in self.functions)  # main() of another file
        return False

    def _harmless(self, value: ast.expr) -> bool:
        """Whether all that it calls starts a server, reads arguments, or prints."""
        calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
        return all(
            _serves(call, self.made)
            or callee(call) in CALMLY
            or (callee(call) == "get" and ast.unparse(call.func).endswith(("environ.get", "config.get")))
            or (callee(call) in FACTORIES and not call.args and not call.keywords)
            or callee(call) == "WSGIServer"
            for call in calls
        )


def _used(body: list[ast.stmt], applications: frozenset[str]) -> frozenset[str]:
    """Names that are made here for a server's call: port, host, context."""
    made = {
        target.id
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    if not made:
        return frozenset()  # the block of each elif of a long chain
    arguments = {
        name.id
        for node in body
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and _serves(call, applications)
        for argument in (*call.args, *(keyword.value for keyword in call.keywords))
        for name in ast.walk(argument)
        if isinstance(name, ast.Name)
    }
    return frozenset(made & arguments)


def _configured(target: ast.expr) -> bool:
    """app.debug, app.config["DEBUG"]: for a development server."""
    key = getattr(getattr(target, "slice", None), "value", "")
    return getattr(target, "attr", "") in CONFIGURED or key in CONFIGURED


def _made(tree: ast.Module) -> frozenset[str]:
    """Names of applications, and of what serves one: io of `io = SocketIO(app)`."""
    return frozenset(
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and callee(node.value) in (*WSGI, *FACTORIES, *RUNNERS)
        for target in node.targets
        if isinstance(target, ast.Name)
    )


def _serves(node: ast.AST, made: frozenset[str]) -> bool:
    """A call that starts a server; bot.run() is none."""
    if not server_calls.is_serving(node) or not isinstance(node, ast.Call):
        return False
    owner = getattr(node.func, "value", None)
    if callee(node) != "run" or not isinstance(owner, (ast.Name, ast.Attribute)):
        return True
    name = str(getattr(owner, "attr", getattr(owner, "id", "")))
    return name in made or name in APPLICATIONS or name.lower().endswith("app") or any(map(_is_app, node.args))


def _is_app(argument: ast.expr) -> bool:
    return isinstance(argument, ast.Name) and server_calls.is_application(argument)


def _makes(value: ast.expr) -> bool:
    """create_app('production'): another object than the one that is served."""
    return callee(value) in FACTORIES and isinstance(value, ast.Call) and bool(value.args or value.keywords)
