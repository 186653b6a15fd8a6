"""The user's gunicorn configuration file: its hooks run after ours, its settings hold where Flagon has none."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

FILES = ("gunicorn.conf.py", "gunicorn_conf.py")
# A setting of gunicorn's that has a variable of ours: nginx and the sizing must know it too, so the variable decides.
VARIABLES = {
    "workers": "WEB_CONCURRENCY", "threads": "THREADS", "worker_class": "WORKER_CLASS", "timeout": "TIMEOUT",
    "graceful_timeout": "GRACEFUL_TIMEOUT", "backlog": "BACKLOG", "max_requests": "MAX_REQUESTS",
    "max_requests_jitter": "MAX_REQUESTS_JITTER", "loglevel": "LOG_LEVEL",
}  # fmt: skip


def read(directory: str) -> dict[str, Any]:
    """The names that gunicorn.conf.py or gunicorn_conf.py in the application's folder defines; {} if there is none."""
    for name in FILES:
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            import runpy  # not at each cold start

            return runpy.run_path(path)
    return {}


def apply(cfg: Any, given: dict[str, Any], ours: dict[str, Any], warn: Callable[[str], None]) -> None:
    """Set what is gunicorn's own business; join hooks to ours; one line for what is not taken."""
    for name, value in given.items():
        if name not in cfg.settings or name.startswith("_"):
            continue
        if name in VARIABLES:
            warn(f"{name} in gunicorn's configuration file is ignored: set {VARIABLES[name]}")
        elif callable(value) and callable(ours.get(name)):
            ours[name] = both(ours[name], value)
        elif name in ours:
            warn(f"{name} in gunicorn's configuration file is ignored, Flagon sets it")
        else:
            cfg.set(name, value)


def both(first: Callable[..., Any], second: Callable[..., Any]) -> Callable[..., Any]:
    """One hook that calls ours, then the user's. gunicorn counts arguments: all of ours take one or two."""
    if first.__code__.co_argcount == 1:
        return lambda one: (first(one), second(one))
    return lambda one, two: (first(one, two), second(one, two))
