"""The user's gunicorn configuration file: its hooks run after ours, its settings hold where Flagon has none.

Its first half is also read in the boot's name, by a bare interpreter: run-gunicorn-file.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

# A setting of gunicorn's that has a variable of ours: the boot has read the file and decided (flagon/gunicorn_file.py).
VARIABLES = {
    "workers": "WEB_CONCURRENCY", "threads": "THREADS", "worker_class": "WORKER_CLASS", "timeout": "TIMEOUT",
    "graceful_timeout": "GRACEFUL_TIMEOUT", "backlog": "BACKLOG", "max_requests": "MAX_REQUESTS",
    "max_requests_jitter": "MAX_REQUESTS_JITTER", "loglevel": "LOG_LEVEL", "preload_app": "PRELOAD",
}  # fmt: skip
MODULE = "python:"
NAME = "__config__"  # what gunicorn calls a file of that kind


def read(location: str, folders: Sequence[str] = ()) -> dict[str, Any]:
    """The names that a file, or the module of `python:module`, defines; {} where there is no location.

    `folders` may hold what it imports, as gunicorn has its working directory on the search path.
    """
    if not location:
        return {}
    import importlib.machinery  # not at each cold start
    import importlib.util

    sys.path += [folder for folder in folders if folder not in sys.path]
    if location.startswith(MODULE):
        name = location[len(MODULE) :]
        sys.modules.pop(name, None)  # a reload takes what is there now
        return dict(vars(importlib.import_module(name)))
    loader = importlib.machinery.SourceFileLoader(NAME, location)
    spec = importlib.util.spec_from_file_location(NAME, location, loader=loader)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type] # there is one, with a loader given
    sys.modules[NAME] = module
    loader.exec_module(module)
    return dict(vars(module))


def apply(
    cfg: Any,
    given: dict[str, Any],
    ours: dict[str, Any],
    warn: Callable[[str], None],
    taken: tuple[str, ...],
    said_by: dict[str, str],
) -> None:
    """Set what is gunicorn's own business; join hooks to ours; one line for what is not taken.

    `taken` are the settings that the boot has from this file; `said_by` tells who has said the others.
    """
    from flagon import gunicorn_options

    for name, value in given.items():
        if name not in cfg.settings or name.startswith("_") or name in gunicorn_options.SAID_AT_THE_BOOT:
            continue
        if name in VARIABLES:
            if cfg.settings[name].get() != value and name not in taken:
                warn(f"{name} in gunicorn's configuration file is ignored: {said_by[VARIABLES[name]]} says otherwise")
        elif callable(value) and callable(ours.get(name)) and name not in gunicorn_options.IGNORED:
            ours[name] = both(ours[name], value)
        elif name in ours or name in gunicorn_options.IGNORED:
            if line := gunicorn_options.line("gunicorn's configuration file", name, name, value):
                warn(line)
        else:
            cfg.set(name, value)


def both(first: Callable[..., Any], second: Callable[..., Any]) -> Callable[..., Any]:
    """One hook that calls ours, then the user's. gunicorn counts arguments: all of ours take one or two."""
    if first.__code__.co_argcount == 1:
        return lambda one: (first(one), second(one))
    return lambda one, two: (first(one, two), second(one, two))
