"""An application that loads for long says so: a line every ten seconds, with the place in its code."""

from __future__ import annotations

import _thread
import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from time import sleep  # by name: an application's patches do not reach it
from types import FrameType
from typing import Any

PERIOD = 10.0  # seconds between two lines
BEAT = 0.5  # seconds: half of gunicorn's shortest timeout
TIMES_OUT_IN_LOADING = (22,)  # before it, gunicorn's master ended a worker that loads for longer than its timeout


@contextlib.contextmanager
def told(options: dict[str, Any], say: Callable[[str], None]) -> Iterator[None]:
    """In the body the application is loaded, by this thread. The thread that watches it is a real one: made before."""
    over = _thread.allocate_lock()
    over.acquire()
    _thread.start_new_thread(_watch, (over, _thread.get_ident(), options, say))
    try:
        yield
    finally:
        over.release()


def _watch(over: Any, loader: int, options: dict[str, Any], say: Callable[[str], None]) -> None:
    began = time.monotonic()
    speaker = -1
    while not over.acquire(timeout=PERIOD):
        with contextlib.suppress(OSError):  # another worker says it, until it is done or dead
            speaker = speaker if speaker >= 0 else _claimed(os.path.join(options["run"], "loading.lock"))
            place = where(sys._current_frames().get(loader), options["directory"])
            say(f"{options['target']} is still being loaded, for {time.monotonic() - began:.0f} s{place}")
    if speaker >= 0:
        os.close(speaker)


def keep_alive(worker: Any, version: tuple[int, ...]) -> None:
    """Until a worker has loaded the application its master hears from it, where gunicorn is so old that it needs to."""
    if version < TIMES_OUT_IN_LOADING:
        _thread.start_new_thread(_beat, (worker,))


def _beat(worker: Any) -> None:
    while not worker.flagon_loaded[0]:
        worker.tmp.notify()
        sleep(BEAT)


def _claimed(path: str) -> int:
    """The right to speak for all workers, as a descriptor that holds a lock. Raises OSError if another has it."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def where(frame: FrameType | None, directory: str) -> str:
    """`: at app.py line 3 in load, in requests/api.py line 59`: the innermost line of the application's, and of all."""
    inner, own = "", ""
    while frame is not None and not own:
        file = frame.f_code.co_filename
        if file.startswith(directory.rstrip("/") + "/") and "site-packages" not in file:
            own = f"{os.path.relpath(file, directory)} line {frame.f_lineno} in {frame.f_code.co_name}"
        elif not inner and not file.startswith("<") and "importlib" not in file:
            inner = f"{'/'.join(file.split('/')[-2:])} line {frame.f_lineno}"
        frame = frame.f_back
    found = ", in ".join(filter(None, (own, inner)))
    return f": at {found}" if own else ""
