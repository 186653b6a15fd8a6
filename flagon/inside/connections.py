"""All that a worker's leader waits for: new connections, those that nginx keeps, and the stop. One epoll.

nginx keeps a connection only if END_REQUEST is the last thing in its buffer, and drops an idle one that becomes
readable; an empty record does both (DESIGN 3.4). So neither an answer nor a farewell can race with the next request.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from typing import Any

from flagon.inside import fastcgi
from flagon.inside.fastcgi import LAST, PING

ROUND = 16  # connections served between two looks at the listener
ACCEPTED_AT_ONCE = 4  # a look takes this many, so that new connections do not starve beside kept ones
# nginx asks again, on a new connection that any process may take (nginx.conf).
AGAIN = fastcgi.stdout(b"Status: 503 Service Unavailable\r\nX-Accel-Redirect: @again\r\n\r\n") + LAST


class Connections:
    """The epoll and the connections in it. Only whoever leads waits; `keep` and `forget` are for every thread."""

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit  # of kept connections, so that the queue before the threads stays as short as BACKLOG says
        self.kept: set[int] = set()
        self._moving = threading.Lock()  # so that none is given back, and closed, while it is being kept
        # Requests that came when no thread was free, and could not be given back.
        self.read_ahead: dict[int, bytes] = {}
        self.wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._listener: int | None = None
        os.register_at_fork(after_in_child=self._forget_all)
        self._epoll: Any = None  # made when it is needed: where gevent has patched the module there is none

    def listen(self, listener: socket.socket) -> None:
        """Wait for new connections too. Exclusive: of several processes one is woken."""
        if self._listener is None:
            self._listener = listener.fileno()
            self._epoll = select.epoll()
            self._epoll.register(self.wake, select.EPOLLIN)
            self._epoll.register(self._listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def ready(self, seconds: float = -1) -> list[tuple[int, int]]:
        """(descriptor, events) of at least one, or of none if the time is over; negative: no limit."""
        found: list[tuple[int, int]] = self._epoll.poll(seconds, ROUND)
        return found

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
        poll = select.poll()
        for descriptor in tuple(self.kept):
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(seconds * 1000):
            with self._moving:
                self.forget(descriptor)
                self._give_back(descriptor)
        return bool(self.kept)

    def _give_back(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, fastcgi.READ_SIZE)
            quick = fastcgi.quick_params(data)
            if data and not (quick and fastcgi.has_no_body(data, quick[1])):
                self.read_ahead[descriptor] = data
                return
            if data:
                os.write(descriptor, AGAIN)
        except OSError:
            pass  # nginx is gone
        os.close(descriptor)

    def leave(self) -> None:
        """No new connections any more, and nginx drops the kept ones."""
        for waiter in (self._listener, self.wake):
            if self._epoll is not None and waiter is not None:
                with contextlib.suppress(OSError):  # another thread has been here before
                    self._epoll.unregister(waiter)
        self.let_go()
