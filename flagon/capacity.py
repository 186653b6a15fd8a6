"""How many workers, threads and connections, and which wire: settings first, then the machine and the libraries."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from flagon import asgi_source, sizing, users_nginx, wsgi_source
from flagon.commands import COMMAND, PROCFILE

if TYPE_CHECKING:
    from flagon.boot import Boot

WEBSOCKET_LIBRARIES = ("flask_socketio", "simple_websocket")
ASGI_SERVERS = ("uvicorn", "hypercorn", "daphne", "granian", "fastapi")  # one process, unless their command says more
ASGI_QUEUE = 2048  # connections; gunicorn's own: a request waits in it only while the loop is busy
SOCKET_THREADS = 100
MOST_THREADS = 64  # of one process: more of them only wait for the interpreter's lock
GUNICORNS = "gunicorn's own default, as its command names none"
# Servers that are one process with threads, whatever the machine: what an application keeps in memory, or makes at
# random while it is imported (a secret), is the same for all its requests.
ONE_PROCESS = {"flask": "flask run", "python": "the script", "manage.py": "runserver", "waitress-serve": "waitress"}
SHORTEST_QUEUE = 64  # where the author's gunicorn had 2048: one thread must not mean a queue of four


def installed(folders: list[str], names: tuple[str, ...]) -> str:
    """The first of these packages that lies in one of the folders, or empty. Starts no interpreter."""
    return next((name for name in names if any(os.path.isdir(os.path.join(folder, name)) for folder in folders)), "")


def websocket_library(folders: list[str]) -> str | None:
    """The first library in these package folders that needs a wire with upgrades, or None."""
    return installed(folders, WEBSOCKET_LIBRARIES).replace("_", "-") or None


def _patched_by_gevent(boot: Boot) -> str:
    """Where the application patches Python by gevent, which needs gevent's worker; empty if it does not."""
    if not installed(boot.origin.folders(), ("gevent",)):
        return ""
    from flagon import patching  # few need it

    where = patching.by_gevent(boot.application.directory, boot.application.target)
    return f"{where} patches Python by gevent" if where else ""


class Conflict(Exception):
    """The wire that was asked for cannot do what the user's files need."""


class Capacity(NamedTuple):
    """How large the box is, and why."""

    size: sizing.Size
    reason: str
    open_files: int
    memory: int  # MB


def decide(boot: Boot) -> Capacity:
    """Workers, threads and connections, as settings of `boot`. Raises Conflict."""
    values, settings = boot.values, boot.settings
    alone = _worker_class(boot)
    machine = sizing.machine(fly_memory=settings.environment.get("FLY_VM_MEMORY_MB", ""))
    size = sizing.size(machine, values["WORKER_MEMORY"])
    reason = size.reason
    by_old_names = settings.old.workers(machine.cpu, size.workers)
    if values["WEB_CONCURRENCY"] is not None:
        reason = f"{settings.sources['WEB_CONCURRENCY']} says so"
    elif alone:
        settings.set("WEB_CONCURRENCY", 1, alone)
        reason = alone
    elif by_old_names:
        settings.set("WEB_CONCURRENCY", by_old_names, "computed")
        both = settings.old.workers_per_core is not None
        reason = "WORKERS_PER_CORE and MAX_WORKERS say so" if both else "MAX_WORKERS says so"
    elif settings.line == "command line":
        settings.set("WEB_CONCURRENCY", 1, GUNICORNS)
        reason = f"{GUNICORNS}; WEB_CONCURRENCY sets more"
    elif boot.served and (server := ONE_PROCESS.get(boot.served.program)):
        reason = f"{server} is one process; WEB_CONCURRENCY sets more"
        settings.set("WEB_CONCURRENCY", 1, reason)
        if settings.sources["THREADS"] == "default":  # as many requests at once as the box would have had
            settings.set("THREADS", min(MOST_THREADS, values["THREADS"] * size.workers), reason)
    else:
        settings.set("WEB_CONCURRENCY", size.workers, "computed")
    if values["STREAMS_MAX"] and values["STREAMS_MAX"] > values["THREADS"]:
        threads = f"THREADS={values['THREADS']} ({settings.sources['THREADS']})"
        raise Conflict(f"STREAMS_MAX={values['STREAMS_MAX']} is more than {threads}")
    threads = settings.sources["THREADS"]
    by_somebody = (reason != size.reason or threads != "default") and values["WORKER_CLASS"] != "asgi"
    if by_somebody and _whose(threads) != _whose(settings.sources["WEB_CONCURRENCY"]):
        reason += f"; threads: {threads}"
    open_files = sizing.open_files()
    least = SHORTEST_QUEUE if settings.line else 0
    threads_of_all = values["WEB_CONCURRENCY"] * values["THREADS"]
    computed = {
        "BACKLOG": ASGI_QUEUE if values["WORKER_CLASS"] == "asgi" else max(least, 4 * threads_of_all),
        "STREAMS_MAX": max(1, values["THREADS"] // 2),
        "WORKER_CONNECTIONS": sizing.connections(open_files, size.nginx_workers, machine.memory),
    }
    for name, value in computed.items():
        if values[name] is None:
            settings.set(name, value, "computed")
    return Capacity(size, reason, open_files, machine.memory)


def _whose(source: str) -> str:
    """Of `threads in /app/gunicorn.conf.py` the file."""
    return source.partition(" in ")[2] or source


def _settle_asgi(boot: Boot) -> None:
    """WORKER_CLASS=asgi for an ASGI application. Raises Conflict where another was asked for."""
    values, settings, kind = boot.values, boot.settings, boot.asgi or _asgi_by_server(boot)
    asked = values["WORKER_CLASS"]
    if kind and asked not in (None, "asgi"):
        if boot.spool_of_start:
            raise Conflict(f"{boot.application.target} is ASGI now ({kind}), and was WSGI: that needs a restart")
        raise Conflict(
            f"{boot.application.target} ({boot.application.why}) is ASGI ({kind}), and WORKER_CLASS={asked} "
            f"({settings.sources['WORKER_CLASS']}) serves WSGI: leave it out, and asgi is taken. "
            "APP_MODULE=module:object names another object"
        )
    if kind and asked is None:
        settings.set("WORKER_CLASS", "asgi", f"{kind} is ASGI" if boot.asgi else kind)
    if values["WORKER_CLASS"] != "asgi":
        return
    if boot.users.old_socket:
        raise Conflict(
            f"nginx files pass requests to {users_nginx.OLD_SOCKET} in the uwsgi protocol, which WORKER_CLASS=asgi "
            "does not speak: leave uwsgi_pass out of them, and requests reach the application over HTTP"
        )
    if settings.is_said("THREADS") and values["THREADS"] > 1:
        boot.warnings.append(
            f"THREADS={values['THREADS']} ({settings.sources['THREADS']}) has no effect: the asgi worker serves all "
            "requests of a process in one event loop (docs/asgi.md). WEB_CONCURRENCY says how many processes"
        )
    settings.set("THREADS", 1, "asgi: one event loop")


def _asgi_by_server(boot: Boot) -> str:
    """The server of ASGI that the author starts the application with, where the files show nothing; or empty."""
    served, settings, application = boot.served, boot.settings, boot.application
    named = application.why.startswith((COMMAND, PROCFILE))
    by_server = f"{served.program} is to serve it" if served and served.asgi and named else ""
    why = settings.asgi or by_server
    if not why or not application.target or boot.values["WORKER_CLASS"] not in (None, "asgi"):
        return ""
    wsgi = asgi_source.kind(application.directory, application.target, calls=wsgi_source.WSGI)
    if not wsgi:
        return why
    boot.warnings.append(f"{why}, and {application.target} is WSGI ({wsgi}): it is served as WSGI")
    return ""


def _asgi_alone(boot: Boot) -> str:
    """Why there can be only one process of an ASGI application, where nobody says how many; or empty."""
    served = boot.served
    if boot.asgi in asgi_source.SOCKETS:
        return "socketio keeps its clients in one process's memory"
    if served and served.program in ASGI_SERVERS and not served.workers:
        return f"{served.program}'s own default, as its command names none; WEB_CONCURRENCY sets more"
    return ""


def _worker_class(boot: Boot) -> str:
    """Choose the wire; why there can be only one worker process, or empty."""
    values, settings = boot.values, boot.settings
    library = websocket_library(boot.origin.folders())
    alone = "FLASK_DEBUG is on" if boot.debug else ""
    _settle_asgi(boot)
    if values["WORKER_CLASS"] == "asgi":
        return alone or _asgi_alone(boot)
    if library == "flask-socketio":
        alone = "flask-socketio keeps its clients in one process's memory"
        if settings.sources["THREADS"] in ("default", settings.by_mark):
            settings.set("THREADS", SOCKET_THREADS, "flask-socketio: each client holds a thread")
    if values["WORKER_CLASS"] is None and boot.users.old_socket:
        settings.set("WORKER_CLASS", "fastcgi", f"nginx files pass requests to {users_nginx.OLD_SOCKET}")
    elif values["WORKER_CLASS"] is None and (patched := _patched_by_gevent(boot)):
        settings.set("WORKER_CLASS", "gevent", patched)
    elif values["WORKER_CLASS"] is None and library:
        settings.set("WORKER_CLASS", "gthread", f"{library} is installed")
    elif values["WORKER_CLASS"] is None:
        settings.set("WORKER_CLASS", "fastcgi", "default")
    if settings.line and not settings.is_said("THREADS") and values["WORKER_CLASS"] in ("fastcgi", "sync"):
        settings.set("THREADS", 1, GUNICORNS)
    if values["WORKER_CLASS"] == "sync" and values["THREADS"] > 1:
        if settings.sources["THREADS"] == "default":
            settings.set("THREADS", 1, "sync has one thread")
        else:  # what gunicorn does too, without a word
            settings.set("WORKER_CLASS", "gthread", f"sync with THREADS={values['THREADS']}")
    if boot.users.old_socket and values["WORKER_CLASS"] != "fastcgi":
        raise Conflict(
            f"nginx files pass requests to {users_nginx.OLD_SOCKET} in the uwsgi protocol, which "
            f"WORKER_CLASS={values['WORKER_CLASS']} does not speak: set WORKER_CLASS=fastcgi"
        )
    return alone
