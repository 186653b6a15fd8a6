"""When nginx starts and what it is told: once the application is loaded and the schema looked at; anew on a change."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from flagon import serving, text_file
from flagon.site import Loaded

HOLD = 3.0  # seconds for which a running migration may keep the port shut: most are over by then, and nobody sees a 503


def stamp(boot: Any) -> Any:
    """What changes when a file does that nginx reads."""
    try:
        status = os.stat(os.path.join(boot.home, "nginx.conf"))
    except FileNotFoundError:
        return boot.users.stamp()
    return boot.users.stamp(), status.st_ino, status.st_size, status.st_mtime_ns


class Port:
    """What the plug-in has heard of the application and of its schema, and what nginx was last told."""

    def __init__(self, box: Any, nginx: Callable[[], Any]) -> None:
        self.box, self.nginx = box, nginx
        self.application: Loaded | None = None  # what it says of itself, once it is loaded
        self.schema = "unknown" if box.migrate else "done"  # or "migrating", "waiting"
        self.loaded_at = 0.0
        self.told: tuple[Loaded, bool] | None = None
        self.refused: Loaded | None = None  # what a later worker said of it, and nginx did not take
        self.said: set[str] = set()  # warnings about the application, each once
        self._seen = stamp(box.boot)

    @property
    def opened(self) -> bool:
        """nginx was started once."""
        return self.told is not None

    def loaded(self, application: Loaded) -> None:
        """A worker has loaded the application."""
        lines, application = application.lines, application._replace(lines=())  # nothing of them is nginx's
        if application == self.refused:
            return
        for line in lines:
            if line not in self.said:
                self.box.output.record("flagon", "warning", line)
        self.said.update(lines)
        self.application = application
        self.loaded_at = self.loaded_at or time.monotonic()
        self._apply()

    def migration(self, state: str) -> None:
        """Our migrate program says where it stands."""
        if state == "waiting" and self.opened and not self.shut:
            return  # a reload asks while the database is away: what is loaded serves on
        self.schema = state if state in ("done", "migrating") else "waiting"
        # The file is the gate and what /ready says, so both change in the same moment, whatever nginx is doing.
        gate = os.path.join(self.box.run, "migration")
        if self.shut:
            text_file.write(gate, self.schema)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(gate)
        self._apply()

    @property
    def shut(self) -> bool:
        """Whether requests are answered 503."""
        return self.schema != "done"

    def look(self) -> None:
        """Now and then: has a migration, or a database that says nothing, held the port for long enough."""
        if self.shut:
            self._apply()
        if self.opened:
            self._close_health()

    def _close_health(self) -> None:
        """nginx makes each socket anew for everybody (0666, ngx_open_listening_sockets), and has no setting for it."""
        path = os.path.join(self.box.run, serving.HEALTHCHECK)
        with contextlib.suppress(FileNotFoundError):
            if os.lstat(path).st_mode & 0o077:
                os.chmod(path, 0o600)

    def _apply(self) -> None:
        if self.application is None or (self.shut and not self.opened and self._may_hold()):
            return
        wanted = (self.application, self.shut)
        if wanted == self.told:
            return
        if self.told and self.application != self.told[0] and (errors := self.box.objections(*wanted)):
            # What nginx has on disk is what it starts with, should it die.
            text = f"{errors[0]}: nginx goes on as it is, new static folders are left to the application"
            self.box.output.record("flagon", "error", text)
            self.refused, self.application = self.application, self.told[0]
            self._apply()
            return
        first, self.told = not self.opened, wanted
        self.box.write_fragments(*wanted)
        nginx = self.nginx()
        if first:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.box.run, serving.LOADING))
            nginx.spawn()
            self.box.output.record("flagon", "info", self.box.ready_line())
        else:
            self.signal_nginx()

    def files_changed(self, boot: Any) -> bool:
        """Whether nginx.conf and the user's nginx files are others than nginx has read. They may be mounted."""
        return bool(stamp(boot) != self._seen)

    def read_again(self) -> None:
        """nginx's files are new: have them written and read."""
        self._seen, self.refused = stamp(self.box.boot), None
        self.box.write_nginx()
        if self.told:
            self.box.write_fragments(*self.told)
        self.signal_nginx()

    def signal_nginx(self) -> None:
        """Have nginx read its files again."""
        pid = self.nginx().pid
        if pid:
            os.kill(pid, signal.SIGHUP)

    def _may_hold(self) -> bool:
        """A database that is away opens the port at once."""
        return self.schema != "waiting" and time.monotonic() - self.loaded_at < HOLD
