"""Command lines of ASGI servers, and what they serve: uvicorn, hypercorn, daphne, granian, `fastapi run`.

What gunicorn's asgi worker does of itself (event loops, HTTP and WebSocket libraries) is nothing to speak of; every
other option is taken, or one line says what is in its place.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping

from flagon import asgi_source, script_port
from flagon.servers import MODULE, Server, port_of, split, told
from flagon.wsgi_source import syntax

UVICORN_FLAGS = frozenset(
    "--reload --factory --access-log --no-access-log --use-colors --no-use-colors --proxy-headers --no-proxy-headers "
    "--server-header --no-server-header --date-header --no-date-header --http2 --reset-contextvars".split()
)
HYPERCORN_FLAGS = frozenset("--reload --debug -D --daemon".split())
DAPHNE_FLAGS = frozenset("--proxy-headers --no-server-name".split())
GRANIAN_FLAGS = frozenset(
    "--ws --no-ws --log --no-log --access-log --no-access-log --factory --no-factory --reload --no-reload "
    "--respawn-failed-workers --no-respawn-failed-workers --http1-keep-alive --no-http1-keep-alive "
    "--http1-pipeline-flush --no-http1-pipeline-flush --http2-adaptive-window --no-http2-adaptive-window "
    "--ssl-client-verify --no-ssl-client-verify --metrics --no-metrics".split()
)
FASTAPI_FLAGS = frozenset("--reload --no-reload --proxy-headers --no-proxy-headers".split())
CERTIFICATES = ("--ssl-certfile", "--ssl-keyfile", "--ssl-certificate", "--certfile", "--keyfile")
IN_ITS_PLACE = {
    "--root-path": "URL_PREFIX={} is its name here",
    "--url-path-prefix": "URL_PREFIX={} is its name here",
    "--forwarded-allow-ips": "TRUSTED_PROXIES names the proxy here",
    "--proxy-headers-host": "nginx reads the proxy's headers: TRUSTED_PROXIES",
    "--proxy-headers-port": "nginx reads the proxy's headers: TRUSTED_PROXIES",
    "--reload": "FLASK_DEBUG=1 loads the code again on save",
    "--uds": "nginx listens: PORT", "--fd": "nginx listens: PORT", "-u": "nginx listens: PORT",
    "--unix-socket": "nginx listens: PORT", "-e": "nginx listens: PORT", "--endpoint": "nginx listens: PORT",
    "--quic-bind": "HTTP/3 is not spoken here",
    "--log-level": "LOG_LEVEL={} is its name here", "--log-config": "LOG_FORMAT says json or text",
    "--no-access-log": "ACCESS_LOG=off is its name here",
    "--backlog": "BACKLOG={} is its name here",
    "--limit-max-requests": "MAX_REQUESTS={} is its name here", "--max-requests": "MAX_REQUESTS={} is its name here",
    "--limit-max-requests-jitter": "MAX_REQUESTS_JITTER={} is its name here",
    "--max-requests-jitter": "MAX_REQUESTS_JITTER={} is its name here",
    "--limit-concurrency": "nothing limits the requests of a worker; MAX_CONNECTIONS does those of a client",
    "--timeout-graceful-shutdown": "GRACEFUL_TIMEOUT={} is its name here",
    "--graceful-timeout": "GRACEFUL_TIMEOUT={} is its name here",
    "--timeout-keep-alive": "KEEPALIVE_TIMEOUT={} is its name here",
    "--keep-alive": "KEEPALIVE_TIMEOUT={} is its name here",
    "--lifespan": "GUNICORN_CMD_ARGS='--asgi-lifespan {}' says it here",
    "--ws-max-size": "GUNICORN_CMD_ARGS='--websocket-max-message-size {}' says it here",
    "--ws-ping-interval": "the server sends no pings of its own (docs/asgi.md)",
    "--websocket-ping-interval": "the server sends no pings of its own (docs/asgi.md)",
    "--header": "nginx adds it by a file in nginx/server.d (docs/extending.md)",
    "--env-file": "give its variables to the container; /app/.env is read by itself",
    "--env-files": "give its variables to the container; /app/.env is read by itself",
    "--static-path-mount": "STATIC_PATH={} is its name here", "--static-path-route": "STATIC_URL={} is its name here",
    "--config": "it is not read: its settings are variables here",
    "-c": "it is not read: its settings are variables here",
    "--working-dir": "start it there by `cd`, or set APP_MODULE",
    "--blocking-threads": "threads are the application's own", "--metrics": "there are no metrics of granian's",
}  # fmt: skip
NEEDLESS_VALUES = {"--lifespan": ("auto",), "--ws-ping-interval": ("20", "20.0")}  # what holds anyway


def _lines(program: str, options: dict[str, str], but: frozenset[str]) -> tuple[str, ...]:
    found = [
        f"{name} is left out: {why.format(options[name])}"
        for name, why in IN_ITS_PLACE.items()
        if name in options and name not in but and options[name] not in NEEDLESS_VALUES.get(name, ())
    ]
    return told(program, found)


def _server(
    program: str, options: dict[str, str], target: str, directory: str, port: str | None, bind: str = "",
    asgi: bool = True, but: frozenset[str] = frozenset(),
) -> Server | None:  # fmt: skip
    """What all of them have in common. `bind`: where it listens, so that it means no port of its own."""
    if not MODULE.match(target):
        return None
    if "--factory" in options and not target.endswith(")"):
        target += "()"
    folder = options.get("--app-dir", "")
    return Server(
        target, port, workers=options.get("--workers") or options.get("-w"),
        directory=os.path.join(directory, folder) if folder else "", lines=_lines(program, options, but),
        implied_port=None if bind else "8000", implied_why="the ASGI server's own port",  # the port of all of them
        tls=next((name for name in options if name in CERTIFICATES), ""), asgi=asgi,
    )  # fmt: skip


def _uvicorn(words: list[str], environ: Mapping[str, str], directory: str) -> Server | None:
    options, rest = split(words, UVICORN_FLAGS)
    bind = options.get("--uds", options.get("--fd", ""))
    asgi = options.get("--interface") != "wsgi"
    return _server("uvicorn", options, rest[0] if rest else "", directory, options.get("--port"), bind, asgi)


def _hypercorn(words: list[str], environ: Mapping[str, str], directory: str) -> Server | None:
    """Its object may be WSGI: it finds out when it has loaded it."""
    options, rest = split(words, HYPERCORN_FLAGS)
    target = rest[0] if rest else ""
    kind, _, name = target.partition(":")
    bind = next((options[name] for name in ("-b", "--bind", "--insecure-bind") if name in options), "")
    target = name if kind in ("wsgi", "asgi") else target
    return _server(
        "hypercorn", options, target, directory, port_of(bind), bind, kind == "asgi", frozenset({"-u", "-e"})
    )


def _daphne(words: list[str], environ: Mapping[str, str], directory: str) -> Server | None:
    options, rest = split(words, DAPHNE_FLAGS)
    bind = next((options[name] for name in ("-u", "--unix-socket", "--fd", "-e", "--endpoint") if name in options), "")
    port = options.get("-p") or options.get("--port")
    return _server("daphne", options, rest[0] if rest else "", directory, port, bind)


def _granian(words: list[str], environ: Mapping[str, str], directory: str) -> Server | None:
    options, rest = split(words, GRANIAN_FLAGS)
    asgi = options.get("--interface", "").startswith("asgi")
    return _server(
        "granian", options, rest[0] if rest else "", directory, options.get("--port"), options.get("--uds", ""), asgi,
        frozenset({"-u", "-e", "-c"}),
    )  # fmt: skip


def _fastapi(words: list[str], environ: Mapping[str, str], directory: str) -> Server | None:
    """`fastapi run app/main.py --port 80`; without a path the customary files, as without a command."""
    if words[:1] not in (["run"], ["dev"]):
        return None
    options, rest = split(words[1:], FASTAPI_FLAGS)
    target = options.get("--entrypoint") or options.get("-e") or ""
    folder, module = _apart(os.path.join(directory, rest[0])) if rest else (directory, "")
    if module and not target:
        target = f"{module}:{options['--app']}" if "--app" in options else module
    found = _server(
        "fastapi", options, target or "main", directory, options.get("--port"), but=frozenset({"-u", "-e", "-c"})
    )
    if found and not target:
        return found._replace(application=None)
    return found._replace(directory=folder if folder != directory else "") if found else None


def _apart(path: str) -> tuple[str, str]:
    """A file -> the folder that its name begins in, and its name there: as far up as there are packages."""
    folder, name = os.path.split(os.path.normpath(path.removesuffix(".py")))
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, outer = os.path.split(folder)
        name = f"{outer}.{name}"
    return folder, name


def script(path: str, environ: Mapping[str, str], directory: str) -> Server | None:
    """`python main.py`, where that ends in `uvicorn.run("main:app", port=80)`, or in the run() of an ASGI object."""
    tree = syntax(path)
    folder, module = os.path.split(path)[0], os.path.basename(path).removesuffix(".py")
    for node in ast.walk(tree) if tree else ():
        if not isinstance(node, ast.Call) or getattr(node.func, "attr", getattr(node.func, "id", "")) != "run":
            continue
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        named = {word.arg: word.value for word in node.keywords if word.arg}
        by_uvicorn = _of_uvicorn(node.func, tree)
        subject = (node.args[0] if node.args else named.get("app")) if by_uvicorn else owner
        if isinstance(subject, ast.Constant) and isinstance(subject.value, str):
            target = subject.value
        elif isinstance(subject, ast.Name) and asgi_source.kind(folder, f"{module}:{subject.id}"):
            target = f"{module}:{subject.id}"
        else:
            continue
        if not MODULE.match(target):
            continue
        default = "8000" if by_uvicorn else "5000"
        port = script_port.constant(named.get("port"), tree, environ, default, os.path.dirname(path)) if tree else ""
        factory = isinstance(named.get("factory"), ast.Constant) and getattr(named["factory"], "value", False) is True
        call = ast.unparse(node.func)
        return Server(
            target + "()" * (factory and not target.endswith(")")), directory=folder if folder != directory else "",
            implied_port=port or None, implied_why=f"{call}() in {os.path.basename(path)}",
            tls=next((f"{name}= of {call}()" for name in named if name in ("ssl_certfile", "certfile")), ""), asgi=True,
        )  # fmt: skip
    return None


def _of_uvicorn(function: ast.expr, tree: ast.Module | None) -> bool:
    """uvicorn.run, or run where that is imported from uvicorn."""
    if isinstance(function, ast.Attribute):
        return isinstance(function.value, ast.Name) and function.value.id == "uvicorn"
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)] if tree else []
    return any(node.module == "uvicorn" and any(one.name == "run" for one in node.names) for node in froms)


READERS = {
    "uvicorn": _uvicorn, "hypercorn": _hypercorn, "daphne": _daphne, "granian": _granian, "fastapi": _fastapi,
}  # fmt: skip
