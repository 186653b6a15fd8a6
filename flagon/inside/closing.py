"""Event streams end after a whole event, WebSockets with a close frame: when the box stops, or a worker's time is over.

Both would last for ever, and without a word they would be cut. A worker that leaves while the box goes on gives them
the time that it gives every request.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from flagon.inside import green

LAST_WORDS = 1.0  # seconds before a leaving worker's time is over

closing = threading.Event()
since = [0.0]
_actions: list[Callable[[], None]] = []


def when_closing(action: Callable[[], None]) -> None:
    """Have this called once, at the moment."""
    _actions.append(action)


def now() -> None:
    """The moment has come."""
    if not closing.is_set():
        since[0] = time.monotonic()
        closing.set()
        for action in _actions:
            action()


def watch(run: str, worker: Any, fastcgi: bool) -> None:
    """In a worker: wait for the stop of the box, and on the HTTP wire for the end of this worker.

    The pipe's other end is held by supervisord's plug-in (flagon/stopping.py): its end is the moment.
    """
    try:
        pipe = os.open(os.path.join(run, "closing"), os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return  # gunicorn without the box
    leaving = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    patience = max(0.0, worker.cfg.graceful_timeout - LAST_WORDS)
    threading.Thread(target=_wait, args=(pipe, leaving, patience), name="closing", daemon=True).start()
    if not fastcgi:
        before = signal.getsignal(signal.SIGTERM)

        def leave(number: int, frame: Any) -> None:
            os.eventfd_write(leaving, 1)
            if callable(before):
                before(number, frame)

        signal.signal(signal.SIGTERM, leave)


def _wait(pipe: int, leaving: int, patience: float) -> None:
    poller = green.poller()
    poller.register(pipe, select.POLLIN)
    poller.register(leaving, select.POLLIN)
    if all(descriptor == leaving for descriptor, _ in poller.poll()):
        poller.unregister(leaving)
        poller.poll(patience * 1000)
    now()
    os.close(pipe)
