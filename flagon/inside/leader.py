"""One leader among a worker's threads: it polls and serves; if a request lasts, a deputy leads (DESIGN 3.4).

Threads that all poll hand the interpreter's lock around at every request: measured, 6 to 10 us of 28 a request. So one
thread holds the turn, and a quick request never pays for a switch. The watch takes the turn from a leader whose
request lasts longer than a tick.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

TICK = 0.002  # seconds; what a request may wait behind a slow one
QUIET_TICKS = 25  # without a request the watch sleeps until there is one


class Leadership:
    """The turn to poll, and the watch over whoever has it."""

    def __init__(self, deposed: Callable[[int], None]) -> None:
        self._turn = threading.Lock()
        # The connection that a leader serves. Who pops it owns the turn: the leader goes on, the watch passes it on.
        self._token: list[int] = []
        self._deposed = deposed  # is told that connection before another leads
        self._deposing = threading.Lock()
        self.deputies: list[None] = []  # one item for each thread that waits for the turn
        self._served = 0
        self._asleep = False
        self._wake = threading.Event()
        self._ended = False

    def take(self) -> None:
        """Wait for the turn."""
        self.deputies.append(None)
        self._turn.acquire()
        self.deputies.pop()

    def give(self) -> None:
        """Pass the turn on."""
        self._turn.release()

    def begin(self, descriptor: int) -> None:
        """The leader serves a request of that connection."""
        self._served += 1
        self._token.append(descriptor)
        if self._asleep:
            self._wake.set()

    def end(self) -> bool:
        """The request is over; whether this thread still leads."""
        try:
            self._token.pop()
        except IndexError:
            with self._deposing:  # until the connection is ours alone
                return False
        return True

    def stop(self) -> None:
        """End the watch."""
        self._ended = True
        self._wake.set()

    def watch(self) -> None:
        """The watch's life, in a thread of its own."""
        seen, quiet = 0, 0
        while not self._ended:
            if self._served != seen:
                seen, quiet = self._served, 0
            elif self._token:
                self._depose()
            else:
                quiet += 1
            if quiet >= QUIET_TICKS:
                self._sleep()
                quiet = 0
            time.sleep(TICK)

    def _depose(self) -> None:
        with self._deposing:
            try:
                self._deposed(self._token.pop())
            except IndexError:
                return  # it has just ended
        self._turn.release()

    def _sleep(self) -> None:
        """Until a leader serves again: it puts the token, then looks at `asleep`; we do it the other way round."""
        self._asleep = True
        if not self._token and not self._ended:
            self._wake.wait()
        self._asleep = False
        self._wake.clear()
