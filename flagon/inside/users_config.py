"""The user's gunicorn configuration file: its hooks run after ours, its settings hold where Flagon has none."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

# A setting of gunicorn's that has a variable of ours: the boot has read the file and decided (flagon/gunicorn_file.py).
VARIABLES = {
    "workers": "WEB_CONCURRENCY", "threads": "THREADS", "worker_class": "WORKER_CLASS", "timeout": "TIMEOUT",
    "graceful_timeout": "GRACEFUL_TIMEOUT", "backlog": "BACKLOG", "max_requests": "MAX_REQUESTS",
    "max_requests_jitter": "MAX_REQUESTS_JITTER", "loglevel": "LOG_LEVEL", "preload_app": "PRELOAD",
}  # fmt: skip


def read(path: str) -> dict[str, Any]:
    """The names that the file defines; {} if there is none."""
    if not os.path.isfile(path):
        return {}
    import runpy  # not at each cold start

    return runpy.run_path(path)


def apply(
    cfg: Any, given: dict[str, Any], ours: dict[str, Any], warn: Callable[[str], None], taken: tuple[str, ...] = ()
) -> None:
    """Set what is gunicorn's own business; join hooks to ours; one line for what is not taken.

    `taken` are the settings that the boot has from this file.
    """
    for name, value in given.items():
        if name not in cfg.settings or name.startswith("_"):
            continue
        if name in VARIABLES:
            if cfg.settings[name].get() != value and name not in taken:
                warn(f"{name} in gunicorn's configuration file is ignored: {VARIABLES[name]} says otherwise")
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
