"""PRELOAD: the application is loaded once, in gunicorn's master; what does not survive a fork is settled or named."""

from __future__ import annotations

import gc
import sys
import threading
from typing import Any

engines: list[Any] = []  # SQLAlchemy's, made before the fork


def settle(log: Any) -> None:
    """In the master, once the application is loaded."""
    left = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if left:
        log.warning(
            "PRELOAD: the application has started threads while it was loaded (%s): they live in the master alone and "
            "not in the workers. Start them at the first request, or set PRELOAD=off",
            ", ".join(left),
        )
    base = sys.modules.get("sqlalchemy.engine.base")
    if base is not None:
        engines[:] = [thing for thing in gc.get_objects() if type(thing) is base.Engine]
    freeze()


def forked() -> None:
    """In a new worker: a connection opened before the fork is the master's, and shared it would mix answers."""
    for engine in engines:
        try:
            engine.dispose(close=False)
        except TypeError:  # SQLAlchemy before 1.4.33
            engine.pool = engine.pool.recreate()


def freeze() -> None:
    """What is loaded stays for good: the collector need not look at it again, nor write to pages that workers share."""
    gc.collect()
    gc.freeze()
