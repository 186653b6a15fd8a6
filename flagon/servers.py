"""Other servers' command lines, and what they serve: uWSGI, waitress, Django's runserver, `python -m`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from flagon import asking, script_port, server_calls, wsgi_source

ASGI = frozenset({"uvicorn", "hypercorn", "daphne", "granian", "fastapi"})
MODULE = re.compile(r"[A-Za-z_][\w.]*(:.+)?\Z")
# Options that have no value, of waitress and Django.
FLAGS = frozenset(
    "--call --expose-tracebacks --no-expose-tracebacks --ipv4 --no-ipv4 --ipv6 --no-ipv6 --asyncore-use-poll "
    "--clear-untrusted-proxy-headers --no-clear-untrusted-proxy-headers --log-untrusted-proxy-headers "
    "--reload --debug --noreload --nothreading --insecure --nostatic -6 --no-color --force-color --skip-checks "
    "--traceback".split()
)
# What uWSGI's options of one letter mean, and those that have no value (uWSGI documentation, "Options").
LETTERS = {
    "w": "module", "p": "processes", "s": "socket", "H": "home", "M": "master", "T": "enable-threads",
    "L": "disable-logging", "t": "harakiri", "R": "max-requests", "l": "listen", "C": "chmod-socket",
    "b": "buffer-size", "z": "socket-timeout", "i": "single-interpreter", "x": "xml", "y": "yaml", "j": "json",
    "d": "daemonize", "a": "queue",
}  # fmt: skip
UWSGI_FLAGS = frozenset(
    "master enable-threads disable-logging single-interpreter vacuum die-on-term need-app strict lazy lazy-apps "
    "thunder-lock manage-script-name show-config http-keepalive http-auto-chunked http-websockets memory-report "
    "log-master catch-exceptions no-orphans auto-procname ignore-sigpipe ignore-write-errors disable-write-exception "
    "honour-stdin master-fifo-none offload-none log-x-forwarded-for wsgi-env-behaviour-none no-site".split()
)
OTHER_FILES = ("xml", "yaml", "yml", "json", "sqlite3", "ldap", "emperor", "paste", "ini-paste", "pecan")


class Server(NamedTuple):
    """What another server's command line says."""

    application: str | None = None
    port: str | None = None
    threads: str | None = None
    workers: str | None = None
    directory: str = ""
    options: tuple[tuple[str, str], ...] | None = None  # uWSGI's
    script: str = ""  # a file that would have been run and is not imported
    lines: tuple[str, ...] = ()
    implied_port: str | None = None  # where it names none, and why
    implied_why: str = ""
    tls: str = ""  # the option that asks for TLS
    settings: str = ""  # Django's, which count more than the variable
    python_path: str = ""
    asgi: bool = False  # it serves nothing but ASGI, so what its application is need not be seen


def read(words: list[str], environ: Mapping[str, str], directory: str) -> Server | None:
    """What a command serves; None if it is none of these servers, or asks only."""
    program = os.path.basename(words[0])
    reader = READERS.get(program)
    if reader is None and program in ASGI:
        from flagon import asgi_servers  # only who starts so

        reader = asgi_servers.READERS[program]
    if reader is None or asking.asks(words[1:], "hV"):
        return None
    return reader(words[1:], environ, directory)


def split(words: list[str], flags: frozenset[str]) -> tuple[dict[str, str], list[str]]:
    """Words -> (the last value of each option, what is no option)."""
    options: dict[str, str] = {}
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("-") or word == "-":
            rest.append(word)
            continue
        name, separator, value = word.partition("=")
        if not separator and name not in flags and queue and not queue[0].startswith("--"):
            value = queue.pop(0)  # `--port $PORT --workers 3` has no port where PORT is not set
        options[name] = value
    return options, rest


def port_of(text: str) -> str | None:
    """8000 of 0.0.0.0:8000, *:8000, [::]:8000, :8000; none of a socket's path."""
    tail = text.rpartition(":")[2]
    return tail if tail.isdigit() and "/" not in text else None


def _waitress(words: list[str], environ: Mapping[str, str], directory: str) -> Server | None:
    options, rest = split(words, FLAGS)
    target = options.get("--app", rest[0] if rest else "")
    if not MODULE.match(target):
        return None
    if "--call" in options and not target.endswith(")"):
        target += "()"
    lines = []
    if options.get("--url-prefix"):
        lines.append(f"--url-prefix is left out: URL_PREFIX={options['--url-prefix']} is its name here")
    if options.get("--trusted-proxy"):
        lines.append("--trusted-proxy is left out: TRUSTED_PROXIES names the proxy here")
    port = options.get("--port") or port_of(options.get("--listen", "").split(" ")[0])
    return Server(target, port, options.get("--threads"), lines=told("waitress-serve", lines))


def told(program: str, lines: list[str]) -> tuple[str, ...]:
    return tuple(f"command line: {program} {line}" for line in lines)


def _django(words: list[str], environ: Mapping[str, str], directory: str) -> Server | None:
    """runserver 8000, runserver 0.0.0.0:8000: found by manage.py, as without a command."""
    if words[:1] != ["runserver"]:
        return None
    options, rest = split(words[1:], FLAGS)
    place = rest[0] if rest else ""
    port = place if place.isdigit() else port_of(place) or options.get("--port") or options.get("-p")
    return Server(
        port=port, implied_port="8000", implied_why="runserver's own port",
        settings=options.get("--settings", ""), python_path=options.get("--pythonpath", ""),
    )  # fmt: skip


def manage(path: str, words: list[str], environ: Mapping[str, str], directory: str) -> Server | None:
    """manage.py of Django, of Flask's FlaskGroup (`run`), of Flask-Script (`runserver`)."""
    if asking.asks(words) or words[:1] not in (["runserver"], ["run"]):
        return None
    if wsgi_source.is_django(path):
        if asking.asks(words, "h"):  # of Flask-Script's runserver it is the host
            return None
        return _django(words, environ, directory)
    options, _ = split(words[1:], FLAGS)
    relative = os.path.relpath(path, directory)
    name = wsgi_source.find_object(path)
    from flagon import ports

    by_flask, why = ports.flask_run_port(environ, directory) if words[0] == "run" else ("5000", "runserver's own port")
    tls = "--cert" if "--cert" in options or (words[0] == "run" and ports.flask_certificate(environ, directory)) else ""
    return Server(
        relative if name else None, options.get("--port") or options.get("-p"),
        implied_port=by_flask, implied_why=why, tls=tls,
    )  # fmt: skip


def _uwsgi(words: list[str], environ: Mapping[str, str], directory: str) -> Server | None:
    """Its options under their long names, in order; files other than .ini are named."""
    options: list[tuple[str, str]] = []
    lines: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("-"):
            if re.match(MODULE, word) and not word.endswith((".ini", ".py")):
                options.append(("module", word))
            else:
                options.append(("wsgi-file" if word.endswith(".py") else "ini", word))
            continue
        name, separator, value = word.lstrip("-").partition("=")
        if not word.startswith("--") and name[:1] in LETTERS:
            name, value = LETTERS[name[0]], value or name[1:]
            separator = value
        name = name.replace("_", "-")
        if not separator:
            ini = bool(queue) and queue[0].endswith(".ini") and name != "ini"
            flag = name in UWSGI_FLAGS or not queue or queue[0].startswith("-") or ini
            value = "true" if flag else queue.pop(0)
        if name in OTHER_FILES:
            lines.append(f"--{name} {value} is not read: write it as an .ini file")
        else:
            options.append((name, value))
    if not options and not lines:
        return None
    tls = next((f"--{name}" for name, _ in options if name in ("https", "https-socket")), "")
    return Server(options=tuple(options), lines=told("uwsgi", lines), tls=tls)


READERS: dict[str, Callable[[list[str], Mapping[str, str], str], Server | None]] = {
    "waitress-serve": _waitress,
    "waitress": _waitress,
    "uwsgi": _uwsgi,
    "uwsgi-core": _uwsgi,
    "pyuwsgi": _uwsgi,
    "django-admin": _django,
    "django": _django,
}


def module(words: list[str], environ: Mapping[str, str], directory: str) -> Server | None:
    """`python -m shop`: its file if that starts a server; of a __main__.py, which nobody imports, what it serves."""
    if len(words) != 1 or not MODULE.match(words[0]):
        return None
    name = words[0]
    path = os.path.join(directory, *name.split("."))
    if os.path.isfile(path + ".py") and not os.path.isdir(path):
        found = Server(name.replace(".", "/") + ".py")
        return _asked(found, path + ".py", environ) if wsgi_source.starts_a_server(path + ".py") else None
    path = os.path.join(path, "__main__.py")
    if not server_calls.serves(path):
        return None
    target = server_calls.imported_object(path, name)
    if target is None and wsgi_source.find_object(path) is None:
        return None
    return _asked(Server(target or f"{name}.__main__", script=path if target else ""), path, environ)


def _asked(found: Server, path: str, environ: Mapping[str, str]) -> Server:
    """With the port and TLS that the script's own call asks for."""
    asked = script_port.asked(path, environ)
    why = f"{asked.call} in {os.path.basename(path)}"
    told = script_port.unread(asked, os.path.basename(path), environ)
    return found._replace(implied_port=asked.port or None, implied_why=why, tls=asked.tls, lines=found.lines + told)
