"""HUP and `flagon reload`: all is checked beside the serving application, then gunicorn takes it worker by worker."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from flagon.boot import BootError
from flagon.inside import oom
from flagon.logs import Lines

if TYPE_CHECKING:
    from flagon.prepare import Next

CHECK_TIMEOUT = 120.0  # seconds; an application that hangs at import must not disable reloads for ever
OLD_SERVES = "the old application goes on serving"
GOOD, BAD = b"\0", b"\1"  # the last byte that an asker gets


class Reload:
    """At most one at a time; a request during one is remembered.

    idle -> checking (a process of its own loads the new application) -> migrating -> rolling (gunicorn) -> idle
    """

    def __init__(self, plugin: Any) -> None:
        self.plugin, self.box = plugin, plugin.box
        self.state = "idle"
        self._next: Next | None = None
        self._pid = 0
        self._deadline = 0.0
        self._rolled = ""  # how far gunicorn has come
        self._again = False
        self._askers: list[int] = []  # pipes of `flagon reload`
        self._later: list[int] = []

    def request(self, asker: int | None = None) -> None:
        """A HUP, or somebody who waits at the other end of a pipe for what comes of it."""
        waiting = self._askers if self.state == "idle" else self._later
        if asker is not None:
            os.set_blocking(asker, False)
            waiting.append(asker)
        if self.state != "idle":
            self._again = True
            self._say("info", "noted, a reload is under way")
            return
        if not self.plugin.port.opened:
            self._finish(False, "the application has not served yet")
            return
        if self.box.values["PRELOAD"]:
            self._finish(False, "PRELOAD=on: the code was loaded before the fork, new code needs a restart")
            return
        self._say("info", "checking the application and its settings")
        from flagon.prepare import Next  # not at each cold start

        try:
            self._next = Next(self.box)
            self._check(self._next)
        except (BootError, OSError) as error:
            self._finish(False, f"{error}")

    def _say(self, level: str, text: str) -> None:
        self.plugin.output.record("flagon", level, f"reload: {text}")
        self._tell(text)

    def _tell(self, text: str) -> None:
        for asker in self._askers:
            with contextlib.suppress(OSError):
                os.write(asker, text.encode("utf-8", "replace") + b"\n")

    def _check(self, following: Next) -> None:
        """Load the new application in a process of its own, with what gunicorn would be told."""
        reading, writing = os.pipe()
        # One more child of supervisord's process: its waitpid meets it, see `check_ended`.
        self._pid = os.posix_spawn(
            "/bin/sh",
            ["sh", os.path.join(following.folder, "gunicorn"), "--check"],
            {**os.environ, **following.changes},
            file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_DUP2, writing, 2)],
        )
        self.state, self._deadline = "checking", time.monotonic() + CHECK_TIMEOUT
        self.plugin.wake_up.at(self._deadline)
        os.close(writing)
        self.plugin.pipes.add(reading, Lines(self.plugin.output, "gunicorn", self._tap))

    def _tap(self, lines: list[bytes]) -> None:
        self._tell(b"\n".join(lines).decode("utf-8", "replace"))

    def check_ended(self, pid: int, status: int) -> bool:
        """Whether the dead child `pid` was the check; if so, go on or say why not."""
        if pid != self._pid or not pid:
            return False
        self._pid = 0
        self.plugin.pipes.drain()
        if self.plugin.stop.under_way:
            self._finish(False, "the box is stopping")
        elif code := os.waitstatus_to_exitcode(status):
            why = oom.why(code)
            self._finish(False, f"the application does not load{why and '; '}{why}")
        elif self._again:
            self._askers += self._later
            self._later, self._again, self.state = [], False, "idle"
            self.request()  # what was checked is out of date
        else:
            self._go()
        return True

    def _go(self) -> None:
        """All is well: take the new files, bring the schema to head where that is ours to do, then gunicorn's turn."""
        following = self._next
        assert following is not None
        port = self.plugin.port
        # gunicorn_conf.py may have another timeout
        nginx_too = port.files_changed(following.boot) or following.boot.values["TIMEOUT"] != self.box.values["TIMEOUT"]
        from flagon import check  # not at each cold start

        told = check.said(following.folder)._replace(migrations=port.application.migrations)
        if (nginx_too or told != port.application) and (errors := check.nginx(following.boot, told, port.shut)):
            self._finish(False, errors[0])
            return
        taken = ", ".join(following.taken())
        try:
            following.commit()
        except OSError as error:
            self._finish(False, f"{error}")
            return
        if taken:
            self._say("info", f"taken: {taken}")
        for line in following.warnings:
            self._say("warning", line)
        if following.needs_restart:
            self._say("warning", f"needs a restart, and is not taken: {', '.join(following.needs_restart)}")
        if nginx_too:
            self._say("info", "nginx's files have changed: nginx reads them again")
            port.read_again()
        if self.box.migrate:
            self.state = "migrating"
            self.plugin.migration.run(self._migrated)
        else:
            self._migrated(True)

    def _migrated(self, good: bool) -> None:
        gunicorn = self.plugin.process("gunicorn")
        if not good or not gunicorn.pid:
            self._take_back("the migration failed" if not good else "gunicorn is not running")
            return
        self.state, self._deadline, self._rolled = "rolling", time.monotonic() + CHECK_TIMEOUT, ""
        os.kill(gunicorn.pid, signal.SIGHUP)

    def rolls(self, message: dict[str, Any]) -> None:
        """One more worker has the new code: the next one has as long."""
        if self.state == "rolling":
            self._rolled = f": {message.get('loaded')} of {message.get('wanted')} have loaded the new code"
            self._deadline = time.monotonic() + CHECK_TIMEOUT

    def gunicorn_says(self, message: dict[str, Any]) -> None:
        """The end of the roll: all workers are new, or the new ones do not load."""
        if self.state == "rolling":
            if message.get("good") is True:
                self._finish(True, str(message.get("message")))
            else:
                self._take_back(str(message.get("message")))

    def gunicorn_died(self, name: str) -> None:
        """Its successor starts with what is committed: there is nothing to wait for."""
        if name == "gunicorn" and self.state == "rolling":
            self._finish(False, "gunicorn ended meanwhile")

    def _take_back(self, why: str) -> None:
        if self._next is not None:
            self._next.restore()
        self._finish(False, why)

    def _finish(self, good: bool, text: str) -> None:
        serving = "" if good or not self.plugin.port.opened else f": {OLD_SERVES}"
        self._say("info" if good else "error", text + serving)
        for asker in self._askers:
            with contextlib.suppress(OSError):
                os.write(asker, GOOD if good else BAD)
            os.close(asker)
        self._askers, self._later = self._later, []
        self._next, self.state = None, "idle"
        if self._again:
            self._again = False
            if not self.plugin.stop.under_way:
                self.request()

    def look(self) -> None:
        """In each round of supervisord's: end what hangs."""
        if self.state in ("checking", "rolling") and time.monotonic() > self._deadline:
            if self._pid:
                self._say("error", f"the check takes longer than {CHECK_TIMEOUT:g} s: ended")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
                self._deadline = time.monotonic() + CHECK_TIMEOUT
            else:
                self._take_back(f"the new workers take too long{self._rolled}")
