"""A box that somebody's shell has started and waits for: the stop signal goes to the shell, which drops it."""

from __future__ import annotations

import os
import signal


def line(status: str = "/proc/1/status", pid: int = 0) -> str:
    """A warning where process 1 is not this one and has no handler for SIGTERM (proc(5), SigCgt); else empty.

    The kernel gives process 1 no signal that it does not catch. An init and a script with a `trap` catch it.
    """
    if (pid or os.getpid()) == 1:
        return ""
    try:
        with open(status, encoding="utf-8", errors="replace") as file:
            fields = dict(row.rstrip("\n").split(":", 1) for row in file if ":" in row)
        caught = int(fields["SigCgt"].strip(), 16)
    except (OSError, ValueError, KeyError):
        return ""
    if caught >> (signal.SIGTERM - 1) & 1:
        return ""
    name = fields.get("Name", "").strip()
    return (
        f"process 1 is {name}, which waits for this box and takes no stop signal: `docker stop` reaches nobody, and "
        "kills everything after its 10 s. Start the box with exec: `exec flagon serve`"
    )
