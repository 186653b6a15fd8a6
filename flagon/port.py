"""When nginx starts and what it is told: once the application is loaded and the schema looked at; anew on a change."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

HOLD = 3.0  # seconds for which a running migration may keep the port shut: most are over by then, and nobody sees a 503


class Port:
    """What the plug-in has heard of the application and of its schema, and what nginx was last told."""

    def __init__(self, box: Any, nginx: Callable[[], Any]) -> None:
        self.box, self.nginx = box, nginx
        self.routes: list[str] | None = None  # health paths that the application answers itself, once it is loaded
        self.schema = "unknown" if box.migrate else "done"  # or "migrating", "waiting"
        self.migrating_pid = 0
        self.loaded_at = 0.0
        self.told: tuple[list[str], bool] | None = None

    @property
    def opened(self) -> bool:
        """nginx was started once."""
        return self.told is not None

    def loaded(self, routes: list[str]) -> None:
        """A worker has loaded the application."""
        self.routes = routes
        self.loaded_at = self.loaded_at or time.monotonic()
        self._apply()

    def migration(self, state: str, pid: int) -> None:
        """The migrate program, or `flagon migrate` beside us, says where it stands."""
        self.schema = state if state in ("done", "migrating") else "waiting"
        self.migrating_pid = 0 if state == "done" else pid
        # The file is the gate and what /ready says, so both change in the same moment, whatever nginx is doing.
        gate = os.path.join(self.box.run, "migration")
        if state == "done":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(gate)
        else:
            with open(gate, "w", encoding="ascii") as file:
                file.write(self.schema)
        self._apply()

    def look(self) -> None:
        """Now and then: has a migration held the port long enough; was a `flagon migrate` beside us killed."""
        if self.schema == "done":
            return
        if self.box.migrate:
            self._apply()
        elif not os.path.exists(f"/proc/{self.migrating_pid}"):
            self.migration("done", 0)

    def _apply(self) -> None:
        if self.routes is None or self.schema == "unknown":
            return
        wanted = (self.routes, self.schema != "done")
        held = self.schema == "migrating" and not self.opened and time.monotonic() - self.loaded_at < HOLD
        if wanted == self.told or held:
            return
        first, self.told = not self.opened, wanted
        self.box.write_fragments(*wanted)
        nginx = self.nginx()
        if first:
            nginx.spawn()
            self.box.output.record("flagon", "info", self.box.ready_line())
        elif nginx.pid:
            os.kill(nginx.pid, signal.SIGHUP)
