"""Supervisor's plug-in: start order, logs, and the hooks to which deaths, the stop and the reload are tied.

supervisord calls make() with the live supervisord object. It relies on names that are not a public API
(options.mood, options.waitpid, options.get_signal, process.spawn), so supervisor is pinned, and tests/image drives it.
"""

from __future__ import annotations

import signal
import time
from typing import Any

from supervisor import events
from supervisor.states import SupervisorStates

from flagon import early, site, timeline
from flagon.channels import Messages, Pipes, WakeUp
from flagon.deaths import Deaths
from flagon.logs import Lines, Output
from flagon.memory import Memory
from flagon.migration import PROGRAM, Migration
from flagon.port import Port
from flagon.reload import Reload
from flagon.stopping import Stop

SAME_FAILURE = 10.0  # seconds within which several workers say the same
# supervisord's own lines that say nothing, or what ours say better
QUIET = ("HTTP authentication", "SIGCHLD", "RPC interface", "indicating exit request", "exited: ", "reaped unknown pid")
LEVELS = {10: "debug", 20: "debug", 30: "warning", 40: "error", 50: "critical"}


class Nothing:
    """An RPC namespace without methods: supervisor wants one."""


class Plugin:
    """What Flagon adds to supervisord."""

    def __init__(self, supervisord: Any, box: Any) -> None:
        self.supervisord, self.options, self.box = supervisord, supervisord.options, box
        self.output: Output = box.output
        self.exit_code: int | None = None
        self.port = Port(box, lambda: self.process("nginx"))
        self.failure: str | None = None  # what the launcher or a worker said before it gave up
        self.failed_at = 0.0
        self.lines: dict[str, Lines] = {}
        self.statuses: dict[int, int] = {}
        self.deaths, self.stop = Deaths(self), Stop(self)
        self.migration, self.memory = Migration(self), Memory(self)

    def install(self) -> None:
        """Hook into the live supervisord."""
        options = self.options
        sockets = options.get_socket_map()
        options.get_socket_map = lambda: sockets
        self.wake_up = WakeUp(sockets)
        self.messages = Messages(self.box.events, self._on_message, sockets)
        self.pipes = Pipes(lambda: self.lines_of("gunicorn", of_child=True), sockets)
        self.reload = Reload(self)
        options.logger.log = self._on_own_line
        self._real_waitpid, options.waitpid = options.waitpid, self._waitpid
        self._real_get_signal, options.get_signal = options.get_signal, self._get_signal
        events.subscribe(events.ProcessLogEvent, self._on_output)
        events.subscribe(events.ProcessStateExitedEvent, self._on_exit)
        events.subscribe(events.ProcessStateBackoffEvent, self.deaths.could_not_start)
        events.subscribe(events.ProcessStateStoppingEvent, self.stop.give_budget)
        events.subscribe(events.Tick5Event, self.memory.look)
        self.deaths.take_over()
        self.process(PROGRAM).config.autostart = self.box.migrate
        if early.started is not None:
            early.started.be_adopted(self.process("gunicorn"), options)
        timeline.mark("supervisord ready")
        self.wake_up.now()

    def process(self, name: str) -> Any:
        """supervisord's object of a program."""
        return next(
            group.processes[name] for group in self.supervisord.process_groups.values() if name in group.processes
        )

    # Start order: nginx once the first worker has loaded the application.

    def _on_message(self, message: dict[str, Any], descriptors: list[int]) -> None:
        kind = message.get("event")
        if kind == "output" and descriptors:
            self.pipes.add(descriptors[0])
        elif kind == "ready" and isinstance(message.get("pid"), int):
            self.memory.workers.add(message["pid"])
            if not self.stop.under_way:
                before = self.port.opened
                self.port.loaded(site.loaded(message))
                if self.port.opened and not before:
                    self._tell_timeline(message)
        elif kind == "migration" and isinstance(message.get("pid"), int):
            if not self.stop.under_way:
                self.port.migration(str(message.get("state")))
        elif kind == "failed":
            self._tell_failure(str(message.get("message")))
        elif kind == "worker lost" and not self.stop.under_way:
            self.deaths.worker_lost(message.get("code"))
        elif kind == "reload" and descriptors:
            self.reload.request(descriptors[0])
        elif kind == "rolling":
            self.reload.rolls(message)
        elif kind == "reloaded":
            self.reload.gunicorn_says(message)

    def _tell_timeline(self, message: dict[str, Any]) -> None:
        timeline.mark("nginx started")
        rows = [(str(phase), float(moment)) for phase, moment in message.get("timeline", [])]
        self.output.record("flagon", "debug", "milliseconds since the first process: " + timeline.text(rows))

    def _tell_failure(self, text: str) -> None:
        """What the launcher or a worker said before it gave up: once for all workers, again on a later retry."""
        now = time.monotonic()
        if text != self.failure or now - self.failed_at > SAME_FAILURE:
            self.output.record("flagon", "critical", text)
            self.failed_at = now
        self.failure = text

    # Logs.

    def _on_own_line(self, level: int, message: str, *_: Any, **fields: Any) -> None:
        text = (message % fields if fields else message).strip()
        if not any(word in text for word in QUIET):
            self.output.record("supervisord", LEVELS.get(level, "debug"), text)

    def lines_of(self, name: str, of_child: bool = False) -> Lines:
        """A joiner of lines for one pipe of a program, or of its child; the last ones are kept for its obituary."""

        def tap(lines: list[bytes]) -> None:
            self.deaths.heard(name, lines, of_child)

        return Lines(self.output, name, tap)

    def _on_output(self, event: Any) -> None:
        name = event.process.config.name
        if name not in self.lines:
            self.lines[name] = self.lines_of(name)
        data = event.data
        self.lines[name].feed(data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape"))

    def finish_logs(self) -> None:
        """The last lines of all programs, at the very end."""
        self.messages.read()
        self.pipes.drain()
        self.pipes.close()
        for lines in self.lines.values():
            lines.close()

    # Ends and signals.

    def _waitpid(self) -> tuple[int | None, int]:
        pid, status = self._real_waitpid()
        if pid and not self.reload.check_ended(pid, status):
            self.statuses[pid] = status
        return pid, status

    def _on_exit(self, event: Any) -> None:
        status = self.statuses.pop(event.process.pid, 0)
        if self.stop.under_way:
            return
        self.messages.read()  # what it said before it died comes first
        self.pipes.drain()
        self.deaths.ended(event.process, status)

    def end(self, code: int, message: str) -> None:
        """Stop everything, and leave with this code."""
        self.exit_code = code
        self.output.record("flagon", "critical", message)
        self.options.mood = SupervisorStates.SHUTDOWN
        self.wake_up.now()

    def _get_signal(self) -> int | None:
        """Called in each of supervisord's rounds."""
        received = self.stop.signal(self._real_get_signal())
        if not self.stop.under_way:
            self.deaths.look()
            self.reload.look()
            self.port.look()
            self.migration.settle_cut_off()
        if received != signal.SIGHUP:
            return received
        if not self.stop.under_way and self.process("gunicorn").pid:
            self.reload.request()
        return None


current: Plugin | None = None
_box: Any = None


def prepare(box: Any) -> None:
    """Called by the boot before supervisord's main(): what the plug-in needs to know."""
    global _box
    _box = box


def make(supervisord: Any, **_: str) -> Nothing:
    """The rpcinterface factory that supervisord.conf names."""
    global current
    current = Plugin(supervisord, _box)
    current.install()
    return Nothing()
