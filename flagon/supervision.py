"""Supervisor's plug-in: wake-ups, start order, restarts, stop budget, logs, honest exit code.

supervisord calls make() with the live supervisord object. It relies on names that are not a public API
(options.mood, options.waitpid, options.get_signal, process.spawn), so supervisor is pinned, and tests/image drives it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from typing import Any

from supervisor import events
from supervisor.states import ProcessStates, SupervisorStates

from flagon.logs import Lines, Output

RESTART_LIMIT, RESTART_WINDOW = 5, 60.0  # deaths within seconds before the container ends
FIRST_BOOT = "gunicorn"


class Nothing:
    """An RPC namespace without methods: supervisor wants one."""


class Watch:
    """A descriptor in supervisord's poll loop: has what that loop asks of a dispatcher."""

    def __init__(self, descriptor: int, read: Any, sockets: dict[int, Any]) -> None:
        self.descriptor, self.read = descriptor, read
        self.sockets = sockets
        sockets[descriptor] = self

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_write_event(self) -> None:
        """Never called: nothing is written here."""

    def handle_read_event(self) -> None:
        self.read()

    def handle_error(self) -> None:
        raise  # noqa: PLE0704 supervisord calls this in its except block: a bug of ours must be seen

    def close(self) -> None:
        self.sockets.pop(self.descriptor, None)
        os.close(self.descriptor)


class Plugin:
    """What Flagon adds to supervisord. One instance, `current`."""

    def __init__(self, supervisord: Any, box: Any) -> None:
        self.supervisord, self.options, self.box = supervisord, supervisord.options, box
        self.output: Output = box.output
        self.exit_code: int | None = None
        self.lines: dict[str, Lines] = {}
        self.last_words: dict[str, str] = {}
        self.deaths: dict[str, list[float]] = {}
        self.statuses: dict[int, int] = {}
        self.failure: str | None = None  # what the launcher or a worker said before it gave up
        self.served = False  # nginx was started once
        self.held: tuple[int, float] | None = None  # a stop signal held back for DRAIN_DELAY
        self.pipes: dict[int, tuple[Watch, Lines]] = {}
        self.workers: set[int] = set()
        self.stop_at: float | None = None
        self.memory_warned = False

    def install(self) -> None:
        """Hook into the live supervisord."""
        options = self.options
        self.sockets = options.get_socket_map()
        options.get_socket_map = lambda: self.sockets
        self._wake_up_on_signals()
        self._listen()
        self._take_log()
        self._real_waitpid, options.waitpid = options.waitpid, self._waitpid
        self._real_get_signal, options.get_signal = options.get_signal, self._get_signal
        events.subscribe(events.ProcessLogEvent, self._on_output)
        events.subscribe(events.ProcessStateExitedEvent, self._on_exit)
        events.subscribe(events.ProcessStateStoppingEvent, self._on_stopping)
        events.subscribe(events.Tick60Event, self._on_minute)

    # wake-ups: supervisord polls for up to a second; a signal, and the very start, must not wait for that.

    def _wake_up_on_signals(self) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self.wake_up = writing
        Watch(reading, lambda: self._drop_bytes(reading), self.sockets)
        os.write(writing, b"\0")

    @staticmethod
    def _drop_bytes(descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(descriptor, 4096)

    # messages of the application's side

    def _listen(self) -> None:
        path = os.path.join(self.box.run, "events.sock")
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.channel.bind(path)
        os.chmod(path, 0o600)
        self.channel.setblocking(False)
        Watch(self.channel.fileno(), self._on_message, self.sockets)

    def _on_message(self) -> None:
        while True:
            try:
                text, descriptors, _, _ = socket.recv_fds(self.channel, 65536, 4)
            except BlockingIOError:
                return
            try:
                message = json.loads(text)
            except ValueError:
                continue
            self._handle(message, descriptors)

    def _handle(self, message: dict[str, Any], descriptors: list[int]) -> None:
        kind = message.get("event")
        if kind == "output" and descriptors:
            self._watch_pipe(descriptors[0])
        elif kind == "ready":
            self.workers.add(int(message["pid"]))
            self._on_ready(message.get("routes", []))
        elif kind == "failed" and message.get("message") != self.failure:
            self.failure = str(message.get("message"))
            self.output.record("flagon", "critical", self.failure)

    def _watch_pipe(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        lines = Lines(self.output, "gunicorn", lambda line: self._tap("gunicorn", line))
        watch = Watch(descriptor, lambda: self._read_pipe(descriptor), self.sockets)
        self.pipes[descriptor] = (watch, lines)

    def _read_pipe(self, descriptor: int) -> bool:
        """Read once; False at the end of the pipe or if there is nothing."""
        watch, lines = self.pipes[descriptor]
        try:
            data = os.read(descriptor, 1 << 17)
        except BlockingIOError:
            return False
        if data:
            lines.feed(data)
            return True
        lines.close()
        del self.pipes[descriptor]
        watch.close()
        return False

    # start order: nginx once the first worker has loaded the application

    def _on_ready(self, routes: list[str]) -> None:
        if self.served or self.options.mood < SupervisorStates.RUNNING:
            return
        self.served = True
        self.box.write_fragments(routes)
        self._process("nginx").spawn()
        self.output.record("flagon", "info", self.box.ready_line())

    def _process(self, name: str) -> Any:
        for group in self.supervisord.process_groups.values():
            if name in group.processes:
                return group.processes[name]
        raise LookupError(name)

    # logs

    def _take_log(self) -> None:
        """supervisord's own lines through our output."""
        levels = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}
        quiet = ("without any HTTP authentication", "received SIGCHLD", "RPC interface")

        def log(level: int, message: str, *_: Any, **fields: Any) -> None:
            text = (message % fields if fields else message).strip()
            if level >= 20 and not any(word in text for word in quiet):
                # supervisord's everyday lines are ours to tell in better words
                self.output.record("supervisord", "debug" if level == 20 else levels.get(level, "debug"), text)

        self.options.logger.log = log

    def _on_output(self, event: Any) -> None:
        name = event.process.config.name
        if name not in self.lines:
            self.lines[name] = Lines(self.output, name, lambda line: self._tap(name, line))
        data = event.data
        self.lines[name].feed(data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape"))

    def _tap(self, name: str, line: bytes) -> None:
        self.last_words[name] = line.decode("utf-8", "replace")[:500]

    # deaths

    def _waitpid(self) -> tuple[int | None, int]:
        pid, status = self._real_waitpid()
        if pid:
            self.statuses[pid] = status
        return pid, status

    def _on_exit(self, event: Any) -> None:
        """A program ended that nobody stopped."""
        if self.options.mood < SupervisorStates.RUNNING:
            return
        process = event.process
        name = process.config.name
        self.lines[name].close() if name in self.lines else None
        code = os.waitstatus_to_exitcode(self.statuses.pop(process.pid, 0))
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        code = 128 - code if code < 0 else code
        deaths = [at for at in self.deaths.get(name, []) if time.monotonic() - at < RESTART_WINDOW]
        self.deaths[name] = [*deaths, time.monotonic()]
        self._end_group(process.pid)
        if not self.served or len(deaths) >= RESTART_LIMIT:
            when = "before it served" if not self.served else f"{len(deaths) + 1} times in {RESTART_WINDOW:g} s"
            self.end(code or 1, f"{name} {how} {when}: the container ends with code {code or 1}{self._last(name)}")
            return
        self.output.record("flagon", "error", f"{name} {how}: restarted{self._last(name)}")
        self.restart_at = time.monotonic()
        process.backoff = 0
        self._spawn_later(process)

    def _spawn_later(self, process: Any) -> None:
        """Restart in the next round: now the process object is still being finished."""
        process.config.autostart = True
        process.laststart = 0
        process.pid = 0
        process.state = ProcessStates.STOPPED
        os.write(self.wake_up, b"\0")

    def _last(self, name: str) -> str:
        if self.failure or name not in self.last_words:
            return ""
        return f"; its last line: {self.last_words[name]}"

    @staticmethod
    def _end_group(pid: int) -> None:
        """A killed nginx master leaves workers that hold the port: end its whole process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)

    def end(self, code: int, message: str) -> None:
        """Stop everything, and leave with this code."""
        if self.exit_code is None:
            self.exit_code = code
            self.output.record("flagon", "critical", message)
        self.options.mood = SupervisorStates.SHUTDOWN
        os.write(self.wake_up, b"\0")

    # signals

    def _get_signal(self) -> int | None:
        if self.held is not None:
            number, until = self.held
            if time.monotonic() < until:
                return None
            self.held = None
            return number
        received: int | None = self._real_get_signal()
        if received == signal.SIGHUP:
            self.reload()
            return None
        if received in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            return self._begin_stop(received)
        return received

    def _begin_stop(self, number: int) -> int | None:
        """/ready turns 503; the signal takes effect after DRAIN_DELAY."""
        if self.stop_at is not None:
            return number
        self.stop_at = time.monotonic()
        with open(os.path.join(self.box.run, "draining"), "w", encoding="ascii"):
            pass
        delay = self.box.values["DRAIN_DELAY"]
        name = signal.Signals(number).name
        self.output.record(
            "flagon", "info", f"{name}: stopping" + (f" after draining for {delay:g} s" if delay else "")
        )
        if delay and self.served:
            self.held = (number, time.monotonic() + delay)
            return None
        return number

    def _on_stopping(self, event: Any) -> None:
        """What is left of STOP_TIMEOUT is this program's; then supervisord kills its group."""
        if self.stop_at is not None:
            left = self.stop_at + self.box.values["STOP_TIMEOUT"] - time.monotonic()
            share = left - 1 if event.process.config.name == "nginx" else left
            event.process.delay = time.time() + max(0.5, share)
            event.process.config.stopwaitsecs = max(0.5, share)

    def reload(self) -> None:
        """HUP: gunicorn loads the application anew, old workers finish."""
        gunicorn = self._process("gunicorn")
        if gunicorn.pid and self.options.mood >= SupervisorStates.RUNNING:
            self.output.record("flagon", "info", "HUP: reloading the application")
            os.kill(gunicorn.pid, signal.SIGHUP)

    # after boot

    def _on_minute(self, _: Any) -> None:
        """One line if a worker needs more memory than it was sized for."""
        expected = self.box.values["WORKER_MEMORY"]
        self.workers = {pid for pid in self.workers if os.path.exists(f"/proc/{pid}")}
        largest = max((proportional_set_size(pid) for pid in self.workers), default=0)
        if largest > expected and not self.memory_warned:
            self.memory_warned = True
            self.output.record(
                "flagon", "warning",
                f"a worker uses {largest} MB, WORKER_MEMORY is {expected}: set WORKER_MEMORY={largest} so that "
                "the number of workers fits the memory",
            )  # fmt: skip

    def drain_pipes(self) -> None:
        """The last lines of all programs, at the very end."""
        for descriptor in list(self.pipes):
            while descriptor in self.pipes and self._read_pipe(descriptor):
                pass
        for _, lines in self.pipes.values():
            lines.close()
        for lines in self.lines.values():
            lines.close()


def proportional_set_size(pid: int) -> int:
    """PSS of a process in MB, 0 if it cannot be read (proc(5), smaps_rollup)."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) // 1024
    except OSError:
        pass
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
