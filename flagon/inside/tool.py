"""The migration tool as a child process: started, waited for, and ended with everything that it started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess

PR_SET_PDEATHSIG = 1  # prctl(2)


def run(words: list[str], directory: str, environment: dict[str, str], own_session: bool) -> int:
    """The exit code; minus the number of the signal that killed it.

    Without a session of its own it stays in our process group: supervisord's plug-in ends the group when we are killed.
    """
    child = subprocess.Popen(words, cwd=directory, env=environment, start_new_session=own_session)
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            _end(child, own_session)


def _end(child: subprocess.Popen[bytes], own_session: bool) -> None:
    """We are stopped: so is whatever the tool has started."""
    if own_session:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1)
        child.kill()
    child.wait()


def die_with_parent() -> None:
    """In the child, first of all: a migration must not go on when the process that holds the lock is dead."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
