"""ASGI's lifespan: an application's own start and end, run once in each worker (asgiref's specs/lifespan.rst).

gunicorn's waits 30 s for a start and then serves without it, and an application whose start fails halts the whole
container, also where other workers serve. Here a start takes the time that it takes, and a worker is ready after it.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable
from typing import Any

LOOK = 1.0  # seconds between two heartbeats while the application starts
SLOW = 10.0  # seconds between two lines about a start that goes on
TRACEBACK = "Traceback (most recent call last)"
LEAST = 0.5  # seconds for an end, however little is left


class Failed(Exception):
    """The application says that it cannot start, or with `on` has no lifespan; the message is its own."""


class Lifespan:
    """One worker's. `state` is what the application keeps for its requests."""

    def __init__(self, application: Any, state: dict[str, Any], log: Any) -> None:
        self.application, self.state, self.log = application, state, log
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None
        self.asked = "startup"
        self.is_leaving = False
        self.until = 0.0  # when a worker that leaves must be gone

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        await self.application(scope, self.told.get, self._send)

    async def _send(self, message: Any) -> None:
        """What the application answers. Raises RuntimeError at anything else: it takes the lifespan for a request."""
        kind = message.get("type") if isinstance(message, dict) else message
        if kind not in (f"lifespan.{self.asked}.complete", f"lifespan.{self.asked}.failed"):
            raise RuntimeError(f"{kind!r:.100} does not answer lifespan.{self.asked}")
        self.asked = "shutdown"
        await self.answers.put(message)

    async def start(self, needed: bool, heartbeat: Callable[[], bool], say: Callable[[str], None]) -> bool:
        """Whether the application has a lifespan, and has started. Raises Failed.

        `needed`: an application without one has failed. `heartbeat` is called each second, and says whether to go on.
        """
        self.task = asyncio.create_task(self._run())
        await self.told.put({"type": "lifespan.startup"})
        answer, began = asyncio.create_task(self.answers.get()), time.monotonic()
        due = SLOW
        while heartbeat():
            await asyncio.wait({answer, self.task}, timeout=LOOK, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return await self._answered(answer.result())
            if self.task.done():
                return self._without(needed)
            if time.monotonic() - began >= due:
                due += SLOW
                say(f"the application's lifespan startup is still running, for {time.monotonic() - began:.0f} s")
        raise Failed("the worker was told to leave while it started")

    async def _answered(self, answer: dict[str, Any]) -> bool:
        if answer["type"] == "lifespan.startup.complete":
            if self.task is not None:
                self.task.add_done_callback(self._ended)
            return True
        if self.task is not None:  # it may have more to say: Starlette raises what it has reported
            await asyncio.wait({self.task}, timeout=LEAST)
        raise Failed(_with_traceback(answer.get("message"), _error_of(self.task)) or "without a word of why")

    def _without(self, needed: bool) -> bool:
        """It has ended before it said anything: as the specification has it, it has no lifespan."""
        error = _error_of(self.task)
        why = f"{type(error).__name__}: {error}" if error else "it returned"
        if needed or (error is not None and not isinstance(error, Exception)):
            raise Failed(_with_traceback(f"{why} (asgi_lifespan is on)" if needed else why, error))
        self.log.info("the application has no lifespan (%.200s)", why)
        self.task = None
        return False

    def _ended(self, task: asyncio.Task[None]) -> None:
        """It has ended; said where it raised something while the worker serves, at once."""
        if not self.is_leaving and (error := _error_of(task)):
            self.log.error("the lifespan ended after the startup, so it has no shutdown: %r", error, exc_info=error)

    async def shutdown(self) -> None:
        """The application's end, within the time that the worker still has."""
        if self.task is None or self.task.done():
            return
        self.is_leaving = True
        await self.told.put({"type": "lifespan.shutdown"})
        answer = asyncio.create_task(self.answers.get())
        seconds = max(LEAST, self.until - time.monotonic())
        await asyncio.wait({answer, self.task}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if answer.done() and answer.result()["type"] == "lifespan.shutdown.failed":
            await asyncio.wait({self.task}, timeout=LEAST)
            message = _with_traceback(answer.result().get("message"), _error_of(self.task))
            self.log.error("lifespan shutdown failed: %s", message)
        elif not answer.done() and not self.task.done():
            self.log.warning("lifespan shutdown is not done after %.1f s, and is cut (GRACEFUL_TIMEOUT)", seconds)
        elif not answer.done() and (error := _error_of(self.task)):
            self.log.error("lifespan shutdown failed: %r", error, exc_info=error)


def _error_of(task: asyncio.Task[None] | None) -> BaseException | None:
    """What a task that may be done has raised."""
    return task.exception() if task is not None and task.done() and not task.cancelled() else None


def _with_traceback(message: Any, error: BaseException | None) -> str:
    """What an application says of its failure, with where it was, unless that is in its words: Starlette's have it."""
    text = str(message or "").strip()
    if error is None or TRACEBACK in text:
        return text
    return f"{text}\n{''.join(traceback.format_exception(error))}".strip()
