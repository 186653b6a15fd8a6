"""Threads that the application starts while it is imported: where several workers import it, each has its own.

A scheduler then runs each job once a worker. Threads of libraries that only send (traces, metrics, errors) are meant to
be in every process, so what counts is APScheduler and code of the application's own.
"""

from __future__ import annotations

import os
import sys
import threading

SCHEDULER = "APScheduler"  # the name that APScheduler 3 gives the thread of its BackgroundScheduler


def _file_of(thread: threading.Thread) -> str:
    """Where the code of a running thread is defined; empty if it cannot be said."""
    run = getattr(thread, "_target", None) or type(thread).run
    run = getattr(run, "func", run)  # functools.partial
    code = getattr(getattr(run, "__func__", run), "__code__", None)
    return getattr(code, "co_filename", "")


def found(directory: str) -> list[str]:
    """Names of the scheduler's thread and of threads whose code lies below `directory`, with its file."""
    names = []
    for thread in threading.enumerate():
        path = os.path.abspath(_file_of(thread) or os.sep)
        inside = os.path.relpath(path, directory)
        if thread.name == SCHEDULER:
            names.append(thread.name)
        elif thread is not threading.main_thread() and not inside.startswith("..") and not _is_installed(path):
            names.append(f"{thread.name} of {inside}")
    return names


def _is_installed(path: str) -> bool:
    """An environment below /app holds other people's code."""
    return "/site-packages/" in path or path.startswith(sys.prefix + os.sep)


def lines(directory: str, workers: int) -> list[str]:
    """A warning with the ways out, or nothing."""
    names = found(directory)
    if not names:
        return []
    return [
        f"the application starts threads while it is imported ({', '.join(names)}), and each of the {workers} workers "
        "imports it: what they do is done once a worker. PRELOAD=on runs them once, beside the workers; so does a line "
        "of their own in a Procfile with PROCESSES, or WEB_CONCURRENCY=1"
    ]
