"""One leader among a worker's threads: it polls and serves; if a request lasts, a deputy leads (DESIGN 3.4).

Threads that all poll hand the interpreter's lock around at every request: measured, 6 to 10 us of 28 a request. So one
thread holds the turn, and a quick request never pays for a switch. The watch takes the turn from a leader whose
request lasts longer than a tick. Where requests are slow on average, most of them waiting for a database, no ticks are
lost: the turn is passed on before each is served (waits of 1 ms on 2 x 4 threads: 5,600 a second, not 1,700).
"""

from __future__ import annotations

import os
import threading
import time

from flagon.inside import green
from flagon.inside.connections import Connections

TICK = 0.001  # seconds; what a request may wait behind a slow one
QUIET_TICKS = 50  # without a request the watch sleeps until there is one
QUICK = 0.0003  # seconds a request may take on average, so that one thread serves them all
WEIGHT = 1 / 64  # of one request in that average
STALL = 0.004  # seconds of one that count at most: a quick one lasts longer if the kernel gives others the processor
TRIAL = 0.5  # seconds after which slow requests may prove quick again
TRIAL_AVERAGE = 0.8 * QUICK  # what the average is then taken to be


class Leadership:
    """The turn to poll, and the watch over whoever has it."""

    def __init__(self, connections: Connections) -> None:
        self._turn = threading.Lock()
        # The connection that the leader serves. Who pops it owns the turn: the leader goes on, the watch passes it on.
        self._token: dict[int, None] = {}
        self._connections = connections
        self._deposing = threading.Lock()
        self.deputies: list[None] = []  # one item for each thread that waits for the turn
        self._average = 0.0  # seconds a request
        self._slow_until = 0.0  # the turn is passed on before each request; 0: not so
        self._served = 0
        self._minding = False  # no thread is free: the watch has the turn
        self._asleep = False
        self._wake = threading.Event()
        self._ended = False

    def take(self) -> None:
        """Wait for the turn."""
        self.deputies.append(None)
        if self._minding:
            os.eventfd_write(self._connections.relief, 1)
        self._turn.acquire()
        self.deputies.pop()
        if self._slow_until and time.monotonic() > self._slow_until:
            self._slow_until, self._average = 0.0, TRIAL_AVERAGE

    def give(self) -> None:
        """Pass the turn on."""
        self._turn.release()

    @property
    def quick(self) -> bool:
        """Whether requests are: most likely over before the next one comes on their connection."""
        return not self._slow_until

    def begin(self, descriptor: int) -> bool:
        """A request of that connection is served next; False if another leads from now on."""
        self._served += 1
        if self._slow_until and (self.deputies or not self._connections.kept):
            self._connections.forget(descriptor)
            self._turn.release()
            return False
        self._token[descriptor] = None
        if self._asleep:
            self._wake.set()
        return True

    def end(self, descriptor: int, seconds: float) -> bool:
        """The request is over, it took so long; whether this thread still leads."""
        try:
            del self._token[descriptor]
        except KeyError:
            with self._deposing:  # until the connection is ours alone
                return False
        self._count(seconds)
        return True

    def _count(self, seconds: float) -> None:
        self._average += (min(seconds, STALL) - self._average) * WEIGHT
        if self._average > QUICK and not self._slow_until:
            self._slow_until = time.monotonic() + TRIAL

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
            green.sleep(TICK)

    def _depose(self) -> None:
        with self._deposing:
            try:
                self._connections.forget(self._token.popitem()[0])  # another may lead, and not find it
            except KeyError:
                return  # it has just ended
        self._count(TICK)
        self._minding = True  # before the first look, as `take` looks the other way round
        while not self.deputies and not self._ended and self._connections.mind(TICK):
            pass
        self._minding = False
        self._turn.release()

    def _sleep(self) -> None:
        """Until a leader serves again: it puts the token, then looks at `asleep`; we do it the other way round."""
        self._asleep = True
        if not self._token and not self._ended:
            self._wake.wait()
        self._asleep = False
        self._wake.clear()
