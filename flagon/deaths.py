"""A program ended that nobody stopped: it is restarted, with back-off, or the container ends with its code."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import time
from collections import deque
from typing import Any, NamedTuple

from supervisor.datatypes import RestartWhenExitUnexpected
from supervisor.states import ProcessStates

from flagon import CONFIGURATION_ERROR, counted, serving
from flagon.inside import oom
from flagon.logs import RECENT, last_words, nginx_line, says_little

WINDOW = 60.0  # seconds in which RESTART_LIMIT counts
FIRST_PAUSE = 0.5  # seconds before the second restart; it doubles, and all pauses together stay below half the window
DOUBT = 0.3  # seconds for our own stop signal to arrive, where every process was sent one
COULD_NOT_START = 127  # what a shell says of a command that it cannot find
AT_ITS_END = 5.0  # seconds before its death: what a program said earlier is not why it died
DENIED = re.compile(r"(?:Permission denied|EACCES)[^'\"]{0,20}['\"]([^'\"]{1,400})['\"]")
OF_A_SHELL = ": Permission denied"  # behind the path, as shells and their commands say it
OF_SQLITE = ("unable to open database file", "attempt to write a readonly database")  # without the path
NOT_EXECUTABLE = 126  # what a shell says of a file that may not be run
CORE = ("nginx", "gunicorn")
WORKER = "a worker of gunicorn"
BOOT_ERROR = 3  # gunicorn's WORKER_BOOT_ERROR: the application cannot be loaded
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Death(NamedTuple):
    """How a program ended."""

    name: str
    status: int  # exit code, or minus the signal

    @property
    def how(self) -> str:
        """Said of the program."""
        return f"was killed by {signal_name(-self.status)}" if self.status < 0 else f"ended with code {self.status}"

    @property
    def code(self) -> int:
        """What the container ends with: 128 + signal as a shell has it, and never 0."""
        return 128 - self.status if self.status < 0 else self.status or 1

    @property
    def like_a_stop(self) -> bool:
        """What a program does that was told to stop."""
        return self.status == 0 or -self.status in STOPS


def signal_name(number: int) -> str:
    """SIGKILL for 9; a real-time signal has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def pause(earlier: int, limit: int) -> float:
    """Seconds before a restart after so many earlier deaths within WINDOW: the first is at once."""
    return min(FIRST_PAUSE * 2.0 ** min(earlier - 1, 16), WINDOW / 2 / limit) if earlier else 0.0


class Heard(NamedTuple):
    """A line of a program's."""

    at: float
    of_child: bool
    line: bytes


class Deaths:
    """Counts them by program, and decides."""

    def __init__(self, plugin: Any) -> None:
        self.plugin = plugin
        self.limit: int = plugin.box.values["RESTART_LIMIT"]
        self._heard: dict[str, deque[Heard]] = {}
        self._at: dict[str, list[float]] = {}
        self._due: list[tuple[float, Any]] = []
        self._doubtful: list[tuple[float, Any, Death]] = []
        self._one_shots: dict[str, list[int]] = {}  # program -> exit codes with which it is done

    def heard(self, name: str, lines: list[bytes], of_child: bool = False) -> None:
        """What a program, or a process that it has forked, has said that may be why it dies."""
        now = time.monotonic()
        heard = self._heard.setdefault(name, deque(maxlen=RECENT))
        heard.extend(Heard(now, of_child, line) for line in lines if not says_little(line))

    def _last_words(self, name: str, killed: bool = False) -> str:
        """What it said at its end, and nothing from before: that is not why it died.

        `killed`: by a signal. What its children said (requests, in gunicorn's workers) is no word of its own then.
        """
        since = time.monotonic() - AT_ITS_END
        heard = self._heard.pop(name, ())
        return last_words([one.line for one in heard if one.at > since and not (killed and one.of_child)])

    def take_over(self) -> None:
        """Every death is counted here: supervisord restarts nothing by itself."""
        for group in self.plugin.supervisord.process_groups.values():
            for process in group.processes.values():
                config = process.config
                if config.name not in CORE and config.autorestart is RestartWhenExitUnexpected:
                    self._one_shots[config.name] = list(config.exitcodes)
                elif config.name not in CORE and not config.autorestart:
                    self._one_shots[config.name] = [0]
                config.autorestart, config.startsecs = False, 0

    def ended(self, process: Any, status: int) -> None:
        """A program ended, and no stop is under way. `status` as waitpid gives it."""
        death = Death(process.config.name, os.waitstatus_to_exitcode(status))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # A killed nginx master leaves workers that hold the port.
            os.killpg(process.pid, signal.SIGKILL)
        if self.plugin.migration.ended(death):
            self._heard.pop(death.name, None)
        elif death.name not in CORE and death.status in self._one_shots.get(death.name, ()):
            self._heard.pop(death.name, None)
            self.plugin.output.record("flagon", "info", f"{death.name} is done")
        elif death.like_a_stop and self.plugin.port.opened:
            until = time.monotonic() + DOUBT
            self._doubtful.append((until, process, death))
            self.plugin.wake_up.at(until)
        else:
            self._judge(process, death)

    def worker_lost(self, code: object) -> None:
        """A worker of gunicorn's lost its threads and is replaced: as often as RESTART_LIMIT says, as any program."""
        status = code if isinstance(code, int) and 0 < code < 256 else 1
        now = time.monotonic()
        recent = [at for at in self._at.get(WORKER, []) if now - at < WINDOW]
        self._at[WORKER] = [*recent, now]
        if len(recent) >= self.limit:
            times = f"{counted(len(recent) + 1, 'time')} in {WINDOW:g} s"
            self.plugin.end(
                status, f"{WORKER} could not serve any more, {times}: the container ends with code {status}"
            )

    def could_not_start(self, event: Any) -> None:
        """supervisord could not even start the program."""
        name = event.process.config.name
        self.plugin.end(COULD_NOT_START, f"{name} could not be started: {event.process.spawnerr}")

    def look(self) -> None:
        """In each round of supervisord's: what is due."""
        now = time.monotonic()
        doubtful = [entry for entry in self._doubtful if entry[0] <= now]
        self._doubtful = [entry for entry in self._doubtful if entry[0] > now]
        for _, process, death in doubtful:
            self._judge(process, death)
        for entry in [entry for entry in self._due if entry[0] <= now]:
            self._due.remove(entry)
            self._start(entry[1])

    def _judge(self, process: Any, death: Death) -> None:
        """Restart, or end."""
        plugin, name = self.plugin, death.name
        now = time.monotonic()
        first_life = name not in self._at
        recent = [at for at in self._at.get(name, []) if now - at < WINDOW]
        self._at[name] = [*recent, now]
        plugin.reload.gunicorn_died(name)
        said = self._last_words(name, death.status < 0)
        if name == "nginx" and first_life and "[emerg]" in said:  # another start would end in the same way
            reason = nginx_line(said)[1]
            plugin.end(CONFIGURATION_ERROR, f"nginx cannot start: {reason}: the container ends with code 78")
            return
        words = f"; its last line: {said}" if said and not plugin.failure else ""
        if why := "" if plugin.failure and death.status > 0 else oom.why(death.status):
            words = f"; {why}"
        again = plugin.port.opened or plugin.migration.may_be_tried_again(death)
        if again and len(recent) < self.limit:
            wait = pause(len(recent), self.limit)
            when = f" in {wait:g} s" if wait else ""
            plugin.output.record("flagon", "error", f"{name} {death.how}: restarted{when}{words}")
            self._due.append((now + wait, process))
            plugin.wake_up.at(now + wait)
            return
        if plugin.migration.lived_with(death):
            return
        times = f" {counted(len(recent) + 1, 'time')} in {WINDOW:g} s" if again and recent else ""
        when = times if plugin.port.opened or plugin.migration.is_it(name) else " before it served"
        code = death.code
        if name == "gunicorn" and code == BOOT_ERROR and not plugin.port.opened:  # as `flagon check` has it
            code = CONFIGURATION_ERROR
        advice = self._of_files(said, death.status) if words and not why else ""
        plugin.end(code, f"{name} {death.how}{when}: the container ends with code {code}{words}{advice}")

    def _of_files(self, said: str, status: int = 1) -> str:
        """Whose the file is that a program was denied, and what mends it."""
        denied = DENIED.search(said)
        path = denied[1] if denied else _of_a_shell(said)
        data, uid = self.plugin.box.values["DATA_DIR"], os.geteuid()
        if not path:
            if not any(words in said for words in OF_SQLITE):
                return ""
            return f". uid {uid} runs it: SQLite writes into the file and into its folder. Keep the file in {data}"
        from flagon import identity, permissions  # only for this end

        path = os.path.join(os.getcwd(), path)
        if status == NOT_EXECUTABLE and os.path.isfile(path):
            return f". It may not be run: in the Dockerfile, RUN chmod +x {shlex.quote(path)}"
        return (
            f". uid {uid} runs it; {permissions.of_one(path, uid, True, identity.was_root)}. Or keep the file in {data}"
        )

    def _start(self, process: Any) -> None:
        """Have supervisord start it in its next round: now it may still finish the old one."""
        if process.config.name == "nginx":  # that was killed has left it, and the next one could not listen there
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.plugin.box.run, serving.HEALTHCHECK))
        process.config.autostart = True
        process.laststart = 0
        process.state = ProcessStates.STOPPED
        self.plugin.wake_up.now()


def _of_a_shell(said: str) -> str:
    """The path of `mkdir: cannot create directory 'logs': Permission denied`, `sh: 1: cannot create a.log: ...`."""
    head, found, _ = said.partition(OF_A_SHELL)
    if not found:
        return ""
    quote = {"'": "'", '"': '"', "\u2019": "\u2018"}.get(head[-1:])
    if quote:
        return head[:-1].rpartition(quote)[2]
    rest, blank, word = head.rpartition(" ")
    return word if blank and ("cannot create" in rest or "/" in word or "." in word) else ""
