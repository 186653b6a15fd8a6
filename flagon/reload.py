"""HUP: the application is loaded once beside the serving one; only if that works does gunicorn reload."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from flagon.channels import Pipes
from flagon.logs import Output

CHECK_TIMEOUT = 120.0  # seconds; an application that hangs at import must not disable reloads for ever


class Reload:
    """At most one check at a time; a HUP during one is remembered."""

    def __init__(self, run: str, output: Output, pipes: Pipes, go: Callable[[], None]) -> None:
        self._launcher = os.path.join(run, "gunicorn")
        self._output, self._pipes, self._go = output, pipes, go
        self._pid: int | None = None
        self._since = 0.0
        self._again = False

    def request(self) -> None:
        """A HUP has come."""
        if self._pid is not None:
            self._again = True
            self._output.record("flagon", "info", "HUP: noted, a check is running")
            return
        self._output.record("flagon", "info", "HUP: checking the application before it is reloaded")
        reading, writing = os.pipe()
        # One more child of supervisord's process: its waitpid meets it, see `ended`.
        self._pid = os.posix_spawn(
            "/bin/sh",
            ["sh", self._launcher, "--check"],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_DUP2, writing, 2)],
        )
        self._since = time.monotonic()
        os.close(writing)
        self._pipes.add(reading)

    def ended(self, pid: int, status: int) -> bool:
        """Whether the dead child `pid` was the check; if so, reload or say why not."""
        if pid != self._pid:
            return False
        self._pid = None
        self._pipes.drain()
        if os.waitstatus_to_exitcode(status):
            self._output.record("flagon", "error", "HUP: the application does not load: the old one goes on serving")
        elif not self._again:
            self._output.record("flagon", "info", "HUP: reloading the application")
            self._go()
        if self._again:
            self._again = False
            self.request()
        return True

    def look(self) -> None:
        """End a check that hangs."""
        if self._pid is not None and time.monotonic() - self._since > CHECK_TIMEOUT:
            self._output.record("flagon", "error", f"HUP: the check takes longer than {CHECK_TIMEOUT:g} s: ended")
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._since = time.monotonic()
