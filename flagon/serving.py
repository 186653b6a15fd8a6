"""Where the box that serves in this container has its files: what HEALTHCHECK and the verbs ask for beside it."""

from __future__ import annotations

import os

from flagon import places

HEALTHCHECK = "up.sock"  # in the run directory: nginx's own server for it, where nginx.conf is ours
LOADING = "loading"  # a file in the run directory, until the port opens


def _wanted() -> str:
    """RUNTIME_DIR as the box may have it; empty where nobody has given one."""
    if "RUNTIME_DIR" in os.environ or "FLAGON_RUNTIME_DIR" in os.environ or os.path.exists(".env"):
        from flagon import settings  # not at each health check

        return settings.one("RUNTIME_DIR", os.environ, os.getcwd()) or ""
    return ""


def paths(name: str) -> list[str]:
    """What is there by this name in the run directory that RUNTIME_DIR means, or in those that may have been chosen."""
    return places.in_run_directories(_wanted(), name)


def nobody(verb: str) -> str:
    """What to say where no box is found."""
    return places.nobody_serves(_wanted(), verb)
