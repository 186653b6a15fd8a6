"""SIGTERM is how a worker is told to leave: the application's own handler is called once it is done.

In gunicorn's place it would cut the requests that run, or, where it only sets a flag, keep the worker for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

_taken: list[Callable[..., Any]] = []


@contextlib.contextmanager
def kept(say: Callable[[str], None]) -> Iterator[None]:
    """While the body loads the application: the handler stays what it was, the application's is noted."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        now = signal.getsignal(signal.SIGTERM)
        if now is not before and before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
            if callable(now):
                _taken[:] = [now]
                say(
                    f"the application handles SIGTERM ({name(now)}): a worker that is told to leave calls that once it "
                    "has finished its requests"
                )


def name(handler: Any) -> str:
    """`shop.bye` for a handler."""
    return f"{getattr(handler, '__module__', '?')}.{getattr(handler, '__qualname__', type(handler).__name__)}"


def call_at_end(worker: Any) -> None:
    """In a worker, before it runs: the application's handler once it has run, if SIGTERM came meanwhile."""
    if not _taken:
        return
    before, run, told = signal.getsignal(signal.SIGTERM), worker.run, []

    def leave(number: int, frame: Any) -> None:
        told.append(number)
        if callable(before):
            before(number, frame)

    def run_then_call() -> None:
        try:
            run()
        finally:
            if told:
                _call(worker)

    signal.signal(signal.SIGTERM, leave)
    worker.run = run_then_call


def _call(worker: Any) -> None:
    try:
        _taken[0](int(signal.SIGTERM), sys._getframe())
    except SystemExit:
        pass  # it leaves anyway
    except BaseException:
        worker.log.exception("the application's handler for SIGTERM failed")


FOR_CHILDREN = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT)


def not_in_children() -> None:
    """In a worker: a process that the application forks ends by these signals, as any process does.

    Otherwise it has the worker's handlers, which end nothing there (multiprocessing's Pool.terminate() waits for ever),
    and wake the worker by descriptors that both have: it would think that it is to leave.
    """
    handlers = {number: signal.getsignal(number) for number in FOR_CHILDREN}

    def reset() -> None:
        for number, handler in handlers.items():
            if callable(handler) and signal.getsignal(number) == handler:
                signal.signal(number, signal.SIG_DFL)

    os.register_at_fork(after_in_child=reset)
