"""gunicorn's worker class for the FastCGI wire: threads that serve, a main thread that watches."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
import traceback
from typing import Any

from gunicorn.workers.base import Worker

from flagon import counted
from flagon.inside import closing, compress, fastcgi, files, green, health, hooks, pages
from flagon.inside.response import FileWrapper
from flagon.inside.server import Server
from flagon.inside.siblings import Siblings
from flagon.inside.slots import Board, Slot

TICK = 0.5  # seconds between two looks of the watchdog
CLOSED_STREAM_PATIENCE = 0.5  # seconds for the application to notice that its event stream was ended
PING_PAUSE = 15.0  # seconds of silence after which a begun response is kept alive towards nginx


class FastCGIWorker(Worker):  # type: ignore[misc]
    """N request threads on the listener; heartbeat, stuck requests, recycling and leaving in the main thread."""

    siblings: Siblings | None = None  # shared by all workers of a master

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        FastCGIWorker.siblings = self.siblings or Siblings()  # we are still in the master
        self.board = Board(self.cfg.threads)
        self.alive: bool
        self.slots: list[Slot] = []
        self.counted = 0
        self.broken = False  # a request thread is gone, and with it perhaps the turn to lead
        self.count_lock = threading.Lock()

    def run(self) -> None:
        """Serve until told to leave, the parent is gone, max_requests is reached, or a request is stuck."""
        closing.when_closing(self._close_streams)
        listener = self.sockets[0].sock
        listener.setblocking(False)
        self.server = self._make_server()
        own = frozenset(self.cfg.flagon.get("loaded", {}).get("routes", ())) - {"/-/up"}
        self.server.health = getattr(self, "flagon_health", None)
        self.server.health_paths = (health.LIVE | health.READY) - own
        for row in range(self.cfg.threads):
            slot = Slot(self.board.memory, row)
            slot.thread = threading.Thread(
                target=self._serve, args=(listener, slot), name=f"request-{row + 1}", daemon=True
            )
            self.slots.append(slot)
            slot.thread.start()
        threading.Thread(target=self._lead_watch, name="leader-watch", daemon=True).start()
        self._watch()
        self.server.stop()
        self._leave()
        if self.broken:
            sys.exit(health.LOST_THREAD)

    def _make_server(self) -> Server:
        options = self.cfg.flagon
        pre, post = hooks.users_hook(self.cfg, "pre_request"), hooks.users_hook(self.cfg, "post_request")
        return Server(
            self.wsgi,
            {
                "wsgi.version": (1, 0),
                "wsgi.errors": sys.stderr,
                "wsgi.multithread": self.cfg.threads > 1,
                "wsgi.multiprocess": self.cfg.workers > 1,
                "wsgi.run_once": False,
                "wsgi.file_wrapper": FileWrapper,
                "wsgi.input_terminated": True,
                "SERVER_SOFTWARE": "flagon",
                "SCRIPT_NAME": "",
            },
            self.log,
            options["streams_max"],
            options["spool"],
            before=(lambda environ: pre(self, hooks.Request(environ))) if pre else None,
            after=(lambda environ, response: post(self, hooks.Request(environ), environ, response)) if post else None,
            on_request=self._count if self.cfg.max_requests or self.cfg.max_requests_jitter else None,
            # All that may wait on kept connections of all workers is BACKLOG, the length of the queue for new ones.
            kept=self.cfg.backlog // self.cfg.workers,
            siblings=self.siblings,
            pages=pages.Pages(**options["pages"]) if options.get("pages") else None,
            compression=compress.Compression(options["compression"] == "safe") if options.get("compression") else None,
            hand_over=files.hand_over(options),
            named_locations=options.get("named_locations", ()),
        )

    def _serve(self, listener: Any, slot: Slot) -> None:
        """A request thread. What it does not survive, the worker does not: requests would wait in it for ever."""
        try:
            self.server.loop(listener, slot)
        except BaseException:
            self._lost("A request thread")

    def _lead_watch(self) -> None:
        """Without the watch, requests would wait behind slow ones."""
        try:
            self.server.leadership.watch()
        except BaseException:
            self._lost("The watch over the leader")

    def _lost(self, thread: str) -> None:
        """In a thread that dies: the worker is not up any more, and leaves."""
        self.broken = True
        self.log.critical("%s died: this worker (pid %s) is replaced", thread, os.getpid(), exc_info=True)
        health.end()
        self._end()

    def _end(self) -> None:
        """Have the main thread leave."""
        self.alive = False
        with contextlib.suppress(OSError):
            os.write(self.PIPE[1], b"1")

    def _count(self) -> None:
        with self.count_lock:
            self.counted += 1
        if self.counted >= self.max_requests and self.alive:
            self.log.info("Recycling after %s", counted(self.counted, "request"))
            self._end()

    def _watch(self) -> None:
        """The main thread's life: heartbeat, and a look at every slot."""
        poller = green.poll()
        poller.register(self.PIPE[0], select.POLLIN)
        while self.alive:
            self.notify()
            if os.getppid() != self.ppid:
                self.log.info("Parent changed, shutting down: %s", self)
                return
            if poller.poll(TICK * 1000):
                with contextlib.suppress(OSError):
                    os.read(self.PIPE[0], 4096)
            if self._look():
                return

    def _look(self) -> bool:
        """Ping quiet streams; report a stuck request. True if there was one: this worker must be replaced."""
        now = time.monotonic()
        stuck = False
        for slot in self.slots:
            if slot.stream >= 0:
                self._ping(slot, now)
            elif slot.waiting(now) > self.timeout_seconds and not slot.reported and self._answer_for(slot):
                slot.reported = stuck = True
                self._report(slot)
        return stuck

    @property
    def timeout_seconds(self) -> float:
        """TIMEOUT: until the first response byte."""
        return float(self.cfg.flagon["timeout"])

    def _ping(self, slot: Slot, now: float) -> None:
        """An empty STDERR record resets nginx's read timer: a begun response may be quiet for as long as it likes."""
        quiet = now - slot.last_byte >= min(PING_PAUSE, self.timeout_seconds / 2)
        if not quiet or slot.abandoned or not slot.lock.acquire(blocking=False):
            return
        try:
            ready = green.poll()
            if slot.stream >= 0:
                ready.register(slot.stream, select.POLLOUT)
                if any(event & select.POLLOUT for _, event in ready.poll(0)):
                    with contextlib.suppress(OSError):
                        os.write(slot.stream, fastcgi.PING)
            slot.last_byte = now
        finally:
            slot.lock.release()

    def _close_streams(self) -> None:
        for slot in self.slots:
            slot.close_events()

    def _answer_for(self, slot: Slot) -> bool:
        """504 in place of the stuck thread; False if it has begun to answer, or ended, just now."""
        with slot.lock:
            if slot.waiting(time.monotonic()) <= self.timeout_seconds:
                return False
            slot.abandoned = True
            with contextlib.suppress(OSError):
                os.write(slot.descriptor, slot.stuck_answer)
            return True

    def _report(self, slot: Slot) -> None:
        frame = sys._current_frames().get(slot.thread.ident or 0) if slot.thread else None
        stack = "".join(traceback.format_stack(frame)) if frame else "the thread is gone"
        self.log.critical(
            "STUCK REQUEST: no response byte within %gs: %s; this worker (pid %s) is replaced\n%s",
            self.timeout_seconds, slot.describe(), os.getpid(), stack,
        )  # fmt: skip

    def _running(self, slots: list[Slot]) -> list[threading.Thread]:
        """Threads that have an end to wait for: one that waits for a lost turn has none."""
        return [
            slot.thread
            for slot in slots
            if slot.thread and slot.thread.is_alive() and (slot.started or not self.broken)
        ]

    def _leave(self) -> None:
        """Let running requests finish, within graceful_timeout; then event streams end, and what is stuck is cut."""
        deadline = time.monotonic() + self.cfg.graceful_timeout
        waiting = [slot for slot in self.slots if not slot.reported]
        while time.monotonic() < deadline and (running := self._running(waiting)):
            self.notify()
            running[0].join(0.05)
            now = time.monotonic()
            for slot in self.slots:
                if slot.stream >= 0:
                    self._ping(slot, now)
            if now > deadline - closing.LAST_WORDS:
                closing.now()
            if closing.closing.is_set() and now > closing.since[0] + CLOSED_STREAM_PATIENCE:
                waiting = [slot for slot in waiting if not slot.abandoned]
        left = [slot.describe() for slot in self.slots if slot.started]
        if left:
            self.log.warning("Leaving with requests unfinished: %s", "; ".join(left))
