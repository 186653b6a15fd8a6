"""gunicorn's master with a reload that loses nothing: an old worker leaves once a new one has loaded the code."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any

from gunicorn.arbiter import Arbiter as GunicornArbiter

from flagon import counted
from flagon.inside import notice, secret_keys

# Alive above the number of workers: one that loads, one that leaves. The box is sized for little more.
ABOVE = 2
LATE = 2.0  # seconds above GRACEFUL_TIMEOUT for a worker to leave
TRIES = 3  # workers that fail to load before a reload that has begun well is given up


class CannotReload(Exception):
    """The configuration is not accepted: what was read before goes on."""


class Roll:
    """One reload: new workers come up one at a time, and for each that has loaded an old one is told to leave."""

    def __init__(self, arbiter: Arbiter, leaving: set[int]) -> None:
        self.arbiter = arbiter
        self.mark: int = arbiter.worker_age
        self.leaving = leaving
        self.due: dict[int, float] = {}  # when a worker that was told to leave is killed
        self.loaded = -1
        self.began = time.monotonic()
        self.failures = 0
        self.told = False

    def step(self) -> bool:
        """Called in each round of gunicorn's; False once it is over."""
        arbiter, wanted = self.arbiter, self.arbiter.num_workers
        workers = arbiter.WORKERS
        self.leaving &= workers.keys()
        self._end_late()
        new = [worker for worker in workers.values() if worker.age > self.mark]
        loaded = sum(worker.flagon_loaded[0] for worker in new)
        if loaded != self.loaded:
            self.loaded = loaded
            notice.send({"event": "rolling", "loaded": loaded, "wanted": wanted})
        self._retire(wanted - loaded)
        if loaded >= wanted:
            took = time.monotonic() - self.began
            self._tell(True, f"{counted(loaded, 'worker')} with the new code after {took:.1f} s")
            return bool(self.leaving)
        if loaded == len(new) and len(workers) < wanted + ABOVE:
            arbiter.spawn_worker()
        return True

    def _retire(self, kept: int) -> None:
        """Of the old workers, all but `kept` leave; first those that have not loaded yet."""
        old = [
            (worker.flagon_loaded[0], worker.age, pid)
            for pid, worker in self.arbiter.WORKERS.items()
            if worker.age <= self.mark and pid not in self.leaving
        ]
        for loaded, _, pid in sorted(old)[: max(0, len(old) - max(0, kept))]:
            self.leaving.add(pid)
            self.due[pid] = time.monotonic() + self._patience
            self.arbiter.kill_worker(pid, signal.SIGTERM if loaded else signal.SIGKILL)

    def _end_late(self) -> None:
        """A worker that does not leave, whatever keeps it, would hold up the reload for ever."""
        for pid in self.leaving:
            if time.monotonic() > self.due.setdefault(pid, time.monotonic() + self._patience):
                self.arbiter.log.warning("worker %s has not left %g s after SIGTERM: it is killed", pid, self._patience)
                self.arbiter.kill_worker(pid, signal.SIGKILL)
                self.due[pid] += self._patience

    @property
    def _patience(self) -> float:
        return float(self.arbiter.cfg.graceful_timeout) + LATE

    def failed(self, worker: Any) -> bool:
        """A worker died before it had loaded the application; whether the reload is given up for that."""
        if worker.age <= self.mark or self.told:
            return False
        self.failures += 1
        loaded = sum(other.age > self.mark for other in self.arbiter.WORKERS.values())
        if loaded and self.failures < TRIES:
            return False
        of_all = f"{loaded} of {counted(self.arbiter.num_workers, 'worker')}"
        self._tell(False, f"the application does not load in a worker; {of_all} loaded the new code")
        return True

    def _tell(self, good: bool, message: str) -> None:
        if not self.told:
            self.told = True
            notice.send({"event": "reloaded", "good": good, "message": message})


class Arbiter(GunicornArbiter):  # type: ignore[misc]
    """gunicorn's own spawns all new workers and at once ends the old ones, whether or not the new ones load."""

    roll: Roll | None = None

    def reload(self) -> None:
        """HUP: options, gunicorn's configuration and code anew; the listeners stay."""
        before = dict(self.cfg.env)
        try:
            self.app.reload()
        except CannotReload as error:
            notice.send({"event": "reloaded", "good": False, "message": str(error)})
            return
        for name in before:  # what the user's raw_env had set
            original = self.cfg.env_orig.get(name)
            if original is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = original
        secret_keys.forget()
        self.setup(self.app)
        self.log.reopen_files()
        self.cfg.on_reload(self)
        self.roll = Roll(self, self.roll.leaving if self.roll else set())
        self.manage_workers()

    def manage_workers(self) -> None:
        """As many workers as wanted; while a reload rolls, its way."""
        if self.roll is not None and not self.roll.step():
            self.roll = None
        if self.roll is None:
            super().manage_workers()

    def spawn_workers(self) -> None:
        """The first alone, until it has loaded the application: what that does once (`create_all()` and a first row) is
        done then, and does not fail for two that do it at the same moment."""
        if self.cfg.preload_app or any(worker.flagon_loaded[0] for worker in self.WORKERS.values()):
            super().spawn_workers()
        elif not self.WORKERS and self.num_workers:
            self.spawn_worker()

    def worker_did_not_load(self, worker: Any) -> None:
        """A worker died before it had loaded the application."""
        if self.roll is not None and self.roll.failed(worker):
            self.roll = None
            self.app.take_back()
            self.setup(self.app)

    def reap_workers(self) -> None:
        """Before they are buried: how workers ended, which gunicorn does not tell its hooks."""
        for pid, worker in list(self.WORKERS.items()):
            with contextlib.suppress(ChildProcessError):
                end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                worker.flagon_killed = end is not None and end.si_code == os.CLD_KILLED and end.si_status == 9
                worker.flagon_code = end.si_status if end is not None and end.si_code == os.CLD_EXITED else 0
        super().reap_workers()


def worker_has_loaded(worker: Any) -> None:
    """In a worker: wake the master, which may wait for it. SIGCHLD is what it looks around at."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.ppid, signal.SIGCHLD)
