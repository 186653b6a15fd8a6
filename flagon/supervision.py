"""Supervisor's plug-in: start order, restarts, stop budget, logs, honest exit code.

supervisord calls make() with the live supervisord object. It relies on names that are not a public API
(options.mood, options.waitpid, options.get_signal, process.spawn), so supervisor is pinned, and tests/image drives it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any

from supervisor import events
from supervisor.states import ProcessStates, SupervisorStates

from flagon.channels import Messages, Pipes, WakeUp
from flagon.inside.sqlite_lock import cut_off
from flagon.logs import Lines, Output, message_of
from flagon.port import Port
from flagon.reload import Reload

ONE_SHOT = "migrate"  # the program that is meant to end
RESTART_LIMIT, RESTART_WINDOW = 5, 60.0  # deaths within seconds before the container ends
COULD_NOT_START = 127  # what a shell says of a command that it cannot find
SAME_FAILURE = 10.0  # seconds within which several workers say the same
LATE = 1.0  # seconds before STOP_TIMEOUT at which what still runs is answered with 503
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
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
        self.port = Port(box, lambda: self._process("nginx"))
        self.failure: str | None = None  # what the launcher or a worker said before it gave up
        self.failed_at = 0.0
        self.lines: dict[str, Lines] = {}
        self.last_words: dict[str, str] = {}
        self.deaths: dict[str, list[float]] = {}
        self.statuses: dict[int, int] = {}
        self.workers: set[int] = set()
        self.reloading = False  # a HUP waits for the migrate program
        self.memory_warned, self.next_look = False, 0.0
        self.stop_at: float | None = None
        self.held: tuple[int, float] | None = None  # a stop signal held back for DRAIN_DELAY

    def install(self) -> None:
        """Hook into the live supervisord."""
        options = self.options
        sockets = options.get_socket_map()
        options.get_socket_map = lambda: sockets
        self.wake_up = WakeUp(sockets)
        self.messages = Messages(os.path.join(self.box.run, "events.sock"), self._on_message, sockets)
        self.pipes = Pipes(lambda: self._lines_of("gunicorn"), sockets)
        self.reload = Reload(self.box.run, self.output, self.pipes, self._reload_gunicorn)
        options.logger.log = self._on_own_line
        self._real_waitpid, options.waitpid = options.waitpid, self._waitpid
        self._real_get_signal, options.get_signal = options.get_signal, self._get_signal
        events.subscribe(events.ProcessLogEvent, self._on_output)
        events.subscribe(events.ProcessStateExitedEvent, self._on_exit)
        events.subscribe(events.ProcessStateBackoffEvent, self._on_no_start)
        events.subscribe(events.ProcessStateStoppingEvent, self._on_stopping)
        events.subscribe(events.Tick5Event, self._look_at_memory)
        self._process(ONE_SHOT).config.autostart = self.box.migrate
        self.wake_up.now()

    def _process(self, name: str) -> Any:
        return next(
            group.processes[name] for group in self.supervisord.process_groups.values() if name in group.processes
        )

    @property
    def stopping(self) -> bool:
        return self.stop_at is not None or bool(self.options.mood < SupervisorStates.RUNNING)

    # Start order: nginx once the first worker has loaded the application.

    def _on_message(self, message: dict[str, Any], descriptors: list[int]) -> None:
        kind = message.get("event")
        if kind == "output" and descriptors:
            self.pipes.add(descriptors[0])
        elif kind == "ready" and isinstance(message.get("pid"), int):
            self.workers.add(message["pid"])
            if not self.stopping:
                self.port.loaded(message.get("routes", []), bool(message.get("migrations")))
        elif kind == "migration" and isinstance(message.get("pid"), int):
            if not self.stopping:
                self.port.migration(str(message.get("state")))
        elif kind == "failed":
            self._tell_failure(str(message.get("message")))

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

    def _lines_of(self, name: str) -> Lines:
        def tap(line: bytes) -> None:
            self.last_words[name] = message_of(line)[:500]

        return Lines(self.output, name, tap)

    def _on_output(self, event: Any) -> None:
        name = event.process.config.name
        if name not in self.lines:
            self.lines[name] = self._lines_of(name)
        data = event.data
        self.lines[name].feed(data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape"))

    def finish_logs(self) -> None:
        """The last lines of all programs, at the very end."""
        self.messages.read()
        self.pipes.drain()
        self.pipes.close()
        for lines in self.lines.values():
            lines.close()

    # Deaths.

    def _waitpid(self) -> tuple[int | None, int]:
        pid, status = self._real_waitpid()
        if pid and not self.reload.ended(pid, status):
            self.statuses[pid] = status
        return pid, status

    def _on_exit(self, event: Any) -> None:
        """A program ended that nobody stopped: restart it, or end with its code."""
        if self.stopping:
            return
        process = event.process
        name = process.config.name
        self.messages.read()  # what it said before it died comes first
        self.pipes.drain()
        code = os.waitstatus_to_exitcode(self.statuses.pop(process.pid, 0))
        if name == ONE_SHOT and code == 0:
            self.port.migration("done")
            self._reload_after_migration()
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        killed = code < 0
        code = 128 - code if killed else code or 1
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # A killed nginx master leaves workers that hold the port.
            os.killpg(process.pid, signal.SIGKILL)
        recent = [at for at in self.deaths.get(name, []) if time.monotonic() - at < RESTART_WINDOW]
        self.deaths[name] = [*recent, time.monotonic()]
        words = f"; its last line: {self.last_words[name]}" if name in self.last_words and not self.failure else ""
        again = self.port.opened if name != ONE_SHOT else killed  # a migration that fails is not tried once more
        if again and len(recent) < RESTART_LIMIT:
            self.output.record("flagon", "error", f"{name} {how}: restarted{words}")
            self._restart(process)
            return
        if name == ONE_SHOT and self.reloading:
            self.reloading = False
            self.output.record("flagon", "error", f"HUP: {name} {how}: the old application goes on serving")
            self.port.migration("done")
            return
        if name == ONE_SHOT and self.box.boot.debug:
            self.output.record("flagon", "error", f"{name} {how}: it goes on, FLASK_DEBUG is on. Then: flagon migrate")
            self.port.migration("done")
            self._reload_after_migration()
            return
        when = f" {len(recent) + 1} times in {RESTART_WINDOW:g} s" if again else ""
        when = " before it served" if name != ONE_SHOT and not self.port.opened else when
        self.end(code, f"{name} {how}{when}: the container ends with code {code}{words}")

    def _on_no_start(self, event: Any) -> None:
        """supervisord could not even start the program."""
        name = event.process.config.name
        self.end(COULD_NOT_START, f"{name} could not be started: {event.process.spawnerr}")

    def _restart(self, process: Any) -> None:
        """Have supervisord start it in its next round: now it still finishes the old one."""
        process.config.autostart = True
        process.laststart = 0
        process.state = ProcessStates.STOPPED
        self.wake_up.now()

    def end(self, code: int, message: str) -> None:
        """Stop everything, and leave with this code."""
        self.exit_code = code
        self.output.record("flagon", "critical", message)
        self.options.mood = SupervisorStates.SHUTDOWN
        self.wake_up.now()

    # Signals.

    def _get_signal(self) -> int | None:
        self._answer_late_requests()
        self._hurry_stop()
        self.reload.look()
        if not self.stopping:
            self.port.look()
            self._settle_cut_off()
        if self.held is not None:
            number, until = self.held
            if time.monotonic() < until:
                return None
            self.held = None
            return number
        received: int | None = self._real_get_signal()
        if received == signal.SIGHUP:
            if not self.stopping and self._process("gunicorn").pid:
                self.reload.request()
            return None
        return self._begin_stop(received) if received in STOP_SIGNALS else received

    def _hurry_stop(self) -> None:
        """supervisord stops one group a round: a group that has nothing to stop must not cost a round's second."""
        groups = getattr(self.supervisord, "stop_groups", None)
        if self.options.mood < SupervisorStates.RUNNING and groups and not groups[-1].get_unstopped_processes():
            self.wake_up.now()

    def _begin_stop(self, number: int) -> int | None:
        """/ready turns 503; the signal takes effect after DRAIN_DELAY."""
        if self.stop_at is not None:
            return number
        self.stop_at = time.monotonic()
        self._alarms()
        with open(os.path.join(self.box.run, "draining"), "w", encoding="ascii"):
            pass
        delay = self.box.values["DRAIN_DELAY"]
        draining = f" after draining for {delay:g} s" if delay else ""
        self.output.record("flagon", "info", f"{signal.Signals(number).name}: stopping{draining}")
        if delay and self.port.opened:
            self.held = (number, time.monotonic() + delay)
            return None
        return number

    def _alarms(self) -> None:
        """Have supervisord's loop wake when the delay and the budget are over: it sleeps up to a second."""
        signal.signal(signal.SIGALRM, lambda *_: None)
        delay = self.box.values["DRAIN_DELAY"]
        signal.setitimer(signal.ITIMER_REAL, max(0.001, delay), max(0.05, (self._late_after() - delay) / 4))

    def _late_after(self) -> float:
        """Seconds from the signal to that point: a second before the end, or half of what the drain leaves."""
        delay, budget = self.box.values["DRAIN_DELAY"], self.box.values["STOP_TIMEOUT"]
        return float(max(budget - LATE, delay + (budget - delay) / 2))

    def _answer_late_requests(self) -> None:
        """The budget is nearly over: end gunicorn, so that nginx, still living, answers what waits with our page."""
        if self.stop_at is None or time.monotonic() - self.stop_at < self._late_after():
            return
        nginx, gunicorn = self._process("nginx"), self._process("gunicorn")
        if nginx.pid and gunicorn.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(gunicorn.pid, signal.SIGKILL)

    def _on_stopping(self, event: Any) -> None:
        """What is left of STOP_TIMEOUT is this program's; then supervisord kills its group."""
        if self.stop_at is not None:
            left = self.stop_at + self.box.values["STOP_TIMEOUT"] - time.monotonic()
            event.process.delay = time.time() + max(0.5, left)

    def _settle_cut_off(self) -> None:
        """A migration of our SQLite file was killed: the gate is shut until the migrate program has undone it."""
        if self.port.opened and self.box.sqlite and cut_off(self.box.sqlite) and not self._process(ONE_SHOT).pid:
            self._process(ONE_SHOT).spawn()

    def _reload_gunicorn(self) -> None:
        """New code may want a new schema: the migrate program first, where it is ours to run."""
        if self.box.migrate:
            self.reloading = True
            if not self._process(ONE_SHOT).pid:
                self._process(ONE_SHOT).spawn()
            return
        self._signal_gunicorn()

    def _reload_after_migration(self) -> None:
        if self.reloading:
            self.reloading = False
            self._signal_gunicorn()

    def _signal_gunicorn(self) -> None:
        gunicorn = self._process("gunicorn")
        if gunicorn.pid and not self.stopping:
            os.kill(gunicorn.pid, signal.SIGHUP)

    # After boot.

    def _look_at_memory(self, _: Any) -> None:
        """One line if a worker needs more memory than it was sized for. Soon after boot, then once a minute."""
        now = time.monotonic()
        if self.memory_warned or not self.port.opened or now < self.next_look:
            return
        self.next_look = now + 60
        expected = self.box.values["WORKER_MEMORY"]
        self.workers = {pid for pid in self.workers if os.path.exists(f"/proc/{pid}")}
        largest = max((proportional_set_size(pid) for pid in self.workers), default=0)
        if largest > expected:
            self.memory_warned = True
            text = f"a worker uses {largest} MB, WORKER_MEMORY is {expected}: set WORKER_MEMORY={largest}"
            self.output.record("flagon", "warning", f"{text} so that the number of workers fits the memory")


def proportional_set_size(pid: int) -> int:
    """PSS of a process in MB, 0 if it cannot be read (proc(5), smaps_rollup)."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return next((int(line.split()[1]) // 1024 for line in file if line.startswith("Pss:")), 0)
    except OSError:
        return 0


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
