"""The stop: /ready turns 503, DRAIN_DELAY, event streams closed, and what is late is answered before STOP_TIMEOUT."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any

from supervisor.states import SupervisorStates

from flagon import text_file
from flagon.deaths import CORE, STOPS
from flagon.migration import PROGRAM

LATE = 1.0  # seconds before STOP_TIMEOUT at which what still runs is answered with 503


class Stop:
    """When it began, and what is due since."""

    def __init__(self, plugin: Any) -> None:
        self.plugin, self.box = plugin, plugin.box
        self.began: float | None = None
        self._late = False
        self._held: tuple[int, float] | None = None  # a stop signal held back for DRAIN_DELAY
        # Workers read it: they come to its end when we close ours, or are gone (flagon/inside/closing.py).
        self._closing: int | None = self.box.closing

    @property
    def under_way(self) -> bool:
        """By a signal, or because a program died too often."""
        return self.began is not None or bool(self.plugin.options.mood < SupervisorStates.RUNNING)

    def signal(self, received: int | None) -> int | None:
        """What supervisord is to see of a signal: a stop takes effect after DRAIN_DELAY, a second changes nothing."""
        self._answer_late_requests()
        self._hurry()
        if self._held is not None:
            number, until = self._held
            if time.monotonic() < until:
                return None
            self._held = None
            return self._close_streams(number)
        return self._begin(received) if received in STOPS else received

    def _begin(self, number: int) -> int | None:
        if self.began is not None:
            return number
        self.began = time.monotonic()
        self._tell_others()
        text_file.write(os.path.join(self.box.run, "draining"), "")
        delay = self.box.values["DRAIN_DELAY"]
        draining = f" after draining for {delay:g} s" if delay else ""
        self.plugin.output.record("flagon", "info", f"{signal.Signals(number).name}: stopping{draining}")
        self.plugin.wake_up.at(self.began + self._late_after())
        if delay and self.plugin.port.opened:
            self._held = (number, self.began + delay)
            self.plugin.wake_up.at(self.began + delay)
            return None
        return self._close_streams(number)

    def _close_streams(self, number: int) -> int:
        """Event streams and WebSockets are asked to end: they would last until the budget is over."""
        if self._closing is not None:
            os.close(self._closing)
            self._closing = None
        return number

    def _tell_others(self) -> None:
        """The user's own programs begin to stop now: supervisord stops one after another."""
        for group in self.plugin.supervisord.process_groups.values():
            for process in group.processes.values():
                if process.pid and process.config.name not in (*CORE, PROGRAM):
                    number = process.config.stopsignal
                    with contextlib.suppress(OSError):
                        os.killpg(process.pid, number) if process.config.stopasgroup else os.kill(process.pid, number)

    def _late_after(self) -> float:
        """Seconds from the signal to that point: a second before the end, or half of what the drain leaves."""
        delay, budget = self.box.values["DRAIN_DELAY"], self.box.values["STOP_TIMEOUT"]
        return float(max(budget - LATE, delay + (budget - delay) / 2))

    def _answer_late_requests(self) -> None:
        """The budget is nearly over: end gunicorn, so that nginx, still living, answers what waits with our page."""
        if self.began is None or time.monotonic() - self.began < self._late_after():
            return
        nginx, gunicorn = self.plugin.process("nginx"), self.plugin.process("gunicorn")
        if nginx.pid and gunicorn.pid:
            if not self._late:
                self._late = True
                text = "STOP_TIMEOUT is nearly over and gunicorn has not ended: it is killed, and what waits gets 503"
                self.plugin.output.record("flagon", "warning", text)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(gunicorn.pid, signal.SIGKILL)

    def _hurry(self) -> None:
        """supervisord stops one group a round: a group that has nothing to stop must not cost a round's second."""
        groups = getattr(self.plugin.supervisord, "stop_groups", None)
        ending = self.plugin.options.mood < SupervisorStates.RUNNING
        if ending and groups and not groups[-1].get_unstopped_processes():
            self.plugin.wake_up.now()

    def give_budget(self, event: Any) -> None:
        """What is left of STOP_TIMEOUT is this program's; then supervisord kills its group."""
        if self.began is not None:
            left = self.began + self.box.values["STOP_TIMEOUT"] - time.monotonic()
            event.process.delay = time.time() + max(0.5, left)
