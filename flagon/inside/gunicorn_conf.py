"""What gunicorn is told, and our server hooks."""

from __future__ import annotations

import mmap
from typing import Any, NoReturn

import gunicorn
from gunicorn.errors import HaltServer

from flagon import CONFIGURATION_ERROR, room, timeline
from flagon.inside import arbiter as arbiters
from flagon.inside import (
    claims,
    closing,
    debugging,
    health,
    logs,
    notice,
    oom,
    own_signals,
    preload,
    readiness,
    slots,
    slow_import,
)

HEALTH_PATHS = ["/up", "/health", "/healthz", "/livez", "/ready", "/readyz"]
TOP_FILES = ["/robots.txt", "/favicon.ico"]
DEATHS_BEFORE_LOADED = 3
OUT_OF_MEMORY = 128 + 9
LONGEST_FIELD = 1 << 20  # bytes: more than nginx lets through. gunicorn takes 0 for 8,190
# Exit codes of a worker that cannot serve any more: ours, where a thread died, and gunicorn's for an exception.
LOST = (health.LOST_THREAD, 255)
ROWS = 32  # requests of a worker whose names are kept for its obituary, where it may have more than threads
# Shared by the master and all workers: a worker has loaded the application once; failures in a row since.
ever_loaded = mmap.mmap(-1, 2)


def settings(options: dict[str, Any]) -> dict[str, Any]:
    """Our values for gunicorn's own settings, from the runtime's JSON."""
    values: dict[str, Any] = {
        "workers": options["workers"],
        "threads": options["threads"],
        "worker_class": options["worker_class"],
        "timeout": int(options["timeout"]) + 5,  # heartbeat of the whole process; a stuck request is found before
        "graceful_timeout": int(options["graceful_timeout"] + 0.999),
        "backlog": options["backlog"],
        "max_requests": options["max_requests"],
        "max_requests_jitter": options["max_requests_jitter"],
        "loglevel": options["log_level"],
        "keepalive": 0,
        "limit_request_line": 0,  # nginx's limits hold
        "limit_request_fields": 1000,
        "limit_request_field_size": LONGEST_FIELD,
        "forwarder_headers": "",
    }
    if options["preload"]:
        values["preload_app"] = True
    if options["asgi"]:
        values["websocket_max_message_size"] = room.largest_message(options["websocket_room"])
    if options["debug"]:
        # Nobody accepts while the only worker leaves: a stream that runs must not hold up the new code.
        values |= {"reload": True, "reload_engine": "poll", "graceful_timeout": 1}
        debugging.install(options["directory"])
    if options["worker_class"] == "gthread":
        # never accept more than can run: the worker's own queue hides requests from idle workers (benoitc/gunicorn#908)
        values["worker_connections"] = max(1, options["threads"])
    return values


def always_ours(options: dict[str, Any]) -> dict[str, Any]:
    """Set last, whoever asked for something else (DESIGN 3.1)."""
    run = options["run"]
    return {
        "bind": [f"unix:{run}/app.sock"],
        "umask": 0o177,  # of app.sock: nginx is the same user
        "worker_tmp_dir": options["heartbeat_directory"],
        "control_socket_disable": True,
        "accesslog": None,
        "logger_class": logs.GunicornLogger,
        "proc_name": "flagon",
        "daemon": False,
        "reuse_port": False,
        "secure_scheme_headers": {},  # nginx says the scheme; here they would only make 400 of a client's claim
        "pidfile": None,
        "chdir": options["working_directory"],
        "when_ready": when_ready,
        "pre_fork": pre_fork,
        "post_fork": post_fork,
        "post_worker_init": post_worker_init,
        "child_exit": child_exit,
    }


def when_ready(arbiter: Any) -> None:
    """In the master, before any worker."""
    oom.more()  # of an earlier master: not ours to report
    if arbiter.cfg.preload_app:
        preload.settle(arbiter.log, arbiter.cfg.workers)
    health.listen(arbiter.cfg.flagon["run"])


def pre_fork(arbiter: Any, worker: Any) -> None:
    """In the master: a byte that the worker sets once it has loaded the application."""
    worker.flagon_loaded = mmap.mmap(-1, 1)
    if not arbiter.cfg.flagon["fastcgi"]:
        worker.board = slots.shared = slots.Board(max(arbiter.cfg.threads, ROWS))


def post_fork(arbiter: Any, worker: Any) -> None:
    """In a new worker, before the application is loaded."""
    logs.own_pipe()
    claims.let_pass(worker.cfg.flagon["pass_headers"], worker.cfg.flagon["users_parameters"])
    slow_import.keep_alive(worker, gunicorn.version_info)
    if worker.cfg.preload_app:
        preload.forked()


def post_worker_init(worker: Any) -> None:
    """The worker has loaded the application: tell the box, and answer health."""
    options = worker.cfg.flagon
    worker.flagon_loaded[0] = ever_loaded[0] = 1
    ever_loaded[1] = 0
    ready = readiness.Readiness(options, options.get("application"))
    worker.flagon_health = health.Health(options["run"], ready.ask)
    health.start(worker.log, worker.flagon_health)
    timeline.mark("application loaded")
    said = {**options.get("loaded", {}), "migrations": ready.store.has_migrations, "timeline": timeline.marks()}
    notice.send({"event": "ready", **said})
    readiness.announce(ready, options["run"], worker.log)
    own_signals.call_at_end(worker)
    closing.watch(options["run"], worker, options["fastcgi"])
    own_signals.not_in_children()
    arbiters.worker_has_loaded(worker)


def child_exit(arbiter: Any, worker: Any) -> None:
    """In the master: name the requests that a dead worker had; give up on an application that kills its workers."""
    out_of_memory = getattr(worker, "flagon_killed", False) and oom.more()
    if out_of_memory:
        fewer = ", or have fewer workers: WEB_CONCURRENCY" if worker.cfg.workers > 1 else ""
        worker.log.error(
            "worker %s was killed for want of memory (OOM), it is replaced: %s%s", worker.pid, oom.advice(), fewer
        )
    board = getattr(worker, "board", None)
    if board is not None:
        for request in board.requests():
            worker.log.error("worker %s died with the request %s", worker.pid, request)
        board.memory.close()
    code = getattr(worker, "flagon_code", 0)
    if worker.flagon_loaded[0] and code in LOST:
        notice.send({"event": "worker lost", "code": code})
    if code == CONFIGURATION_ERROR and not ever_loaded[0]:
        raise HaltServer("the application cannot be served so", CONFIGURATION_ERROR)
    if not worker.flagon_loaded[0] and hasattr(arbiter, "worker_did_not_load"):
        arbiter.worker_did_not_load(worker)
    if not worker.flagon_loaded[0] and not ever_loaded[0]:
        arbiter.flagon_unloaded_deaths = getattr(arbiter, "flagon_unloaded_deaths", 0) + 1
        if arbiter.flagon_unloaded_deaths >= DEATHS_BEFORE_LOADED:
            if out_of_memory:
                _end_for_memory(arbiter.cfg.flagon)
            worker.log.critical("%s workers in a row died while they loaded the application", DEATHS_BEFORE_LOADED)
            raise HaltServer("the application ends its workers while it is loaded", arbiter.WORKER_BOOT_ERROR)
    worker.flagon_loaded.close()


def _end_for_memory(options: dict[str, Any]) -> NoReturn:
    """The application does not fit into the memory: no configuration error, but the end that a killed program has."""
    what = f"the application {options['target']} ({options['why']}) cannot be loaded"
    text = f"{what}: the kernel killed the worker that loads it for want of memory (OOM); {oom.advice()}"
    notice.send({"event": "failed", "message": text})
    raise HaltServer("no memory to load the application", OUT_OF_MEMORY)
