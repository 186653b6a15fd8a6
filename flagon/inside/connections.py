"""All that a worker's leader waits for: new connections, those that nginx keeps or full siblings pass on, the stop.

nginx keeps a connection only if END_REQUEST is the last thing in its buffer, and drops an idle one that becomes
readable; an empty record does both (DESIGN 3.4). So neither an answer nor a farewell can race with the next request.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from functools import cached_property
from typing import Any

from flagon.inside import green
from flagon.inside.fastcgi import PING
from flagon.inside.siblings import Siblings

ROUND = 16  # kept connections served between two looks at the listener, and new ones at a look: neither may starve


class Connections:
    """The epoll and the connections in it. Only whoever leads waits; `keep` and `forget` are for every thread."""

    def __init__(self, limit: int = 0, siblings: Siblings | None = None) -> None:
        self.limit = limit  # of kept connections, so that the queue before the threads stays as short as BACKLOG says
        self.kept: set[int] = set()
        self._moving = threading.Lock()  # so that none is passed on, and closed, while it is being kept
        self._shared = siblings
        self.wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.relief = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)  # ends `mind`: a thread is free again
        self._listener: int | None = None
        os.register_at_fork(after_in_child=self._forget_all)
        self._epoll: Any = None  # made when it is needed

    @cached_property
    def siblings(self) -> Siblings:
        """Those of the master; else our own, made when needed, which the server for health never does."""
        return self._shared or Siblings()

    def listen(self, listener: socket.socket) -> None:
        """Wait for new connections too, and those of full siblings. Exclusive: of several processes one is woken."""
        if self._listener is None:
            self._listener = listener.fileno()
            self._epoll = green.epoll()
            self._epoll.register(self.wake, select.EPOLLIN)
            for shared in (self._listener, self.siblings.fileno()):
                self._epoll.register(shared, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def ready(self, seconds: float = -1, most: int = ROUND) -> list[int]:
        """At least one descriptor, or none if the time is over; negative: no limit.

        What was found goes to the end of the kernel's list: one at a time, all take turns.
        """
        return [descriptor for descriptor, _ in self._epoll.poll(seconds, most)]

    def keep(self, descriptor: int) -> None:
        """Wait for the next request on it."""
        with self._moving:
            self.kept.add(descriptor)
            self._epoll.register(descriptor, select.EPOLLIN)

    def forget(self, descriptor: int) -> None:
        """No longer wait for it. A descriptor that is not kept is nothing to forget."""
        if descriptor in self.kept:
            self.kept.discard(descriptor)
            with contextlib.suppress(OSError):
                self._epoll.unregister(descriptor)

    def _forget_all(self) -> None:
        """In a child that the application forks: should we die, nginx must see our connections end."""
        for descriptor in self.kept:
            os.close(descriptor)
        self.kept = set()

    def let_go(self) -> None:
        """Tell nginx to drop those that are idle; what it has just sent is still answered."""
        for descriptor in tuple(self.kept):
            with contextlib.suppress(OSError):
                os.write(descriptor, PING)

    def mind(self, seconds: float) -> bool:
        """While no thread is free: nothing waits here that another process could serve; whether any is still kept."""
        self.let_go()
        poll = green.poll()
        for descriptor in (self.relief, *self.kept):
            poll.register(descriptor, select.POLLIN)
        for descriptor, events in poll.poll(seconds * 1000):
            if descriptor == self.relief:
                os.eventfd_read(descriptor)
                continue
            with self._moving:
                moved = events & select.POLLHUP or self.siblings.give(descriptor)
                if moved:
                    self.forget(descriptor)
                    os.close(descriptor)
            if not moved:
                green.sleep(seconds)
        return bool(self.kept)

    def leave(self) -> None:
        """No new connections any more, and nginx drops the kept ones."""
        for waiter in (self._listener, self.siblings.fileno(), self.wake):
            if self._epoll is not None and waiter is not None:
                with contextlib.suppress(OSError):  # another thread has been here before
                    self._epoll.unregister(waiter)
        self.let_go()
