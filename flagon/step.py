"""A step of the boot that is a program, a hook or pip: its output as log lines, a stop signal ends it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from flagon.inside import oom
from flagon.logs import RECENT, Lines, Output, last_words

STOPS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
TICK = 0.1  # seconds between two looks for a stop signal: they are held back until supervisord has its handlers
PATIENCE = 5.0  # seconds for the program to end by itself once it is told to


def words_of() -> deque[bytes]:
    """Where `run` puts what a program says, for `why`."""
    return deque(maxlen=RECENT)


class Stopped(Exception):
    """The container was told to stop while the step ran."""


def run(
    words: list[str],
    environment: Mapping[str, str],
    output: Output,
    logger: str,
    paused: Callable[[int], None] | None = None,
    heard: deque[bytes] | None = None,
) -> int:
    """Run to the end; its exit code, 128 + signal if one ended it. Raises Stopped, OSError if it cannot be started.

    `paused` is called with the pid when the program has stopped itself (SIGSTOP): it may then be looked at.
    `heard` is given the lines that it says.
    """
    reading, writing = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    copied = [(os.POSIX_SPAWN_DUP2, mine, its) for mine, its in ((null, 0), (writing, 1), (writing, 2))]
    try:
        pid = os.posix_spawn(
            words[0],
            words,
            environment,
            file_actions=copied,
            setpgroup=0,
            setsigmask=[],
        )
    finally:
        os.close(writing)
        os.close(null)
    lines = Lines(output, logger, heard.extend if heard is not None else None)
    try:
        return _wait(pid, reading, lines, paused)
    finally:
        lines.close()
        os.close(reading)


def why(code: int, heard: Iterable[bytes]) -> str:
    """Why a program ended with this code, to follow what says so: the kernel's reason, else its error or last line."""
    if of_kernel := oom.why(code):
        return f"; {of_kernel}"
    said = last_words(heard) if code else ""
    return f"; its last line: {said}" if said else ""


def _wait(pid: int, reading: int, lines: Lines, paused: Callable[[int], None] | None) -> int:
    poller = select.poll()
    poller.register(reading, select.POLLIN)
    while True:
        for _ in poller.poll(TICK * 1000):
            data = os.read(reading, 65536)
            lines.feed(data)
            if not data:  # a program of its own may live on, and hold no output
                poller.unregister(reading)
        ended, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if ended and os.WIFSTOPPED(status):
            if paused is not None:
                paused(pid)
            os.kill(pid, signal.SIGCONT)
        elif ended:
            _drain(reading, lines)
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if signal.sigpending() & STOPS:
            _end(pid)
            raise Stopped


def _drain(reading: int, lines: Lines) -> None:
    """What it has written before it ended."""
    os.set_blocking(reading, False)
    with contextlib.suppress(BlockingIOError):
        while data := os.read(reading, 65536):
            lines.feed(data)


def _end(pid: int) -> None:
    """TERM to the program and its children, KILL to what does not care."""
    deadline = time.monotonic() + PATIENCE
    os.killpg(pid, signal.SIGTERM)
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
        time.sleep(TICK / 2)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
