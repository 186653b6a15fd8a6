"""Request threads: whoever leads takes the next request from nginx and serves it (exchange.py)."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from flagon.inside import fastcgi
from flagon.inside.connections import ROUND, Connections
from flagon.inside.exchange import Exchange
from flagon.inside.fastcgi import ProtocolError
from flagon.inside.leader import Leadership
from flagon.inside.response import Response
from flagon.inside.siblings import Siblings
from flagon.inside.slots import Slot

FASTCGI = bytes([fastcgi.VERSION])
NO_LISTENER = {errno.EBADF, errno.ENOTSOCK, errno.EINVAL}  # the application has closed it: no use to wait
FAREWELL = 2.0  # seconds for nginx to drop the kept connections of a process that leaves
STREAMS_PAUSE = 60.0  # seconds between two lines that there are too many streams
Application = Callable[[dict[str, Any], Callable[..., Any]], Any]


class Server:
    """What all threads of a worker share."""

    def __init__(
        self,
        application: Application,
        base_environ: dict[str, Any],
        log: Any,
        streams_max: int,
        spool_directory: str | None = None,
        before: Callable[[dict[str, Any]], None] | None = None,
        after: Callable[[dict[str, Any], Response], None] | None = None,
        on_request: Callable[[], None] | None = None,
        hand_over: Any = None,
        pages: Any = None,
        compression: Any = None,
        kept: int = 0,
        siblings: Siblings | None = None,
        named_locations: Sequence[str] | None = (),
    ) -> None:
        self.application = application
        self.base_environ = base_environ
        self.log = log
        self.streams_max = streams_max
        self.spool_directory = spool_directory
        self.before, self.after, self.on_request = before, after, on_request
        self.hand_over = hand_over
        self.named_locations = named_locations  # of the user's own nginx files; None: there is nothing of ours in nginx
        self.compression = compression  # flagon.inside.compress.Compression, or None
        self.pages = pages  # flagon.inside.pages.Pages, or None
        self.health: Application | None = None  # where requests for health come this way too, and which they are
        self.health_paths: frozenset[str] = frozenset()
        self.streams = 0
        self.streams_told = 0.0  # when it may be said again that there are too many
        self.streams_lock = threading.Lock()
        self.accepting = True
        self.warned: set[str] = set()
        self.connections = Connections(kept, siblings)
        self.leadership = Leadership(self.connections)

    def stop(self) -> None:
        """No more accepting; every idle thread ends."""
        self.accepting = False
        os.eventfd_write(self.connections.wake, 1)

    def loop(self, listener: socket.socket, slot: Slot) -> None:
        """A request thread's life: lead while requests are quick, else serve on while another leads."""
        leadership, connections = self.leadership, self.connections
        while self.accepting or connections.kept:
            leadership.take()
            connections.listen(listener)
            # Whoever led serves a slow request: what nginx sends next may go to a process that is free.
            connections.let_go()
            if self._lead(listener, slot) and self._take_leave(slot):
                leadership.give()
        # the others that wait for the turn find that there is nothing to serve any more, and nothing to watch
        leadership.stop()

    def _lead(self, listener: socket.socket, slot: Slot) -> bool:
        """Serve until the end or until the watch has passed the turn on; whether we still have it."""
        connections, new, passed_on = self.connections, listener.fileno(), self.connections.siblings.fileno()
        others = {new, passed_on, connections.wake}
        while self.accepting:
            found = connections.ready(most=ROUND if self.leadership.quick else 1)
            # First: no other process is woken for them, while kept connections can be passed on.
            if passed_on in found and not self._serve_some(self._take_over, slot):
                return False
            if new in found and not self._serve_some(lambda: self._accept(listener), slot):
                return False
            for descriptor in found:
                if descriptor not in others and not self._serve_one(descriptor, slot):
                    return False
        return True

    def _take_leave(self, slot: Slot) -> bool:
        """Until nginx has dropped every kept connection; what it has sent in time is served. As _lead."""
        connections = self.connections
        connections.leave()
        deadline = time.monotonic() + FAREWELL
        while connections.kept and time.monotonic() < deadline:
            for descriptor in connections.ready(deadline - time.monotonic()):
                if not self._serve_one(descriptor, slot):
                    return False
        for descriptor in tuple(connections.kept):
            self._close(descriptor)
        return True

    def _serve_some(self, take: Callable[[], int | None], slot: Slot) -> bool:
        """Take and serve a few. What was taken is always served. Whether we still have the turn."""
        for _ in range(ROUND):
            descriptor = take()
            if descriptor is None:
                return True
            if not self._serve_one(descriptor, slot):
                return False
        return True

    def _take_over(self) -> int | None:
        """A connection of a full process; None if there is none."""
        descriptor = self.connections.siblings.take()
        if descriptor is not None:
            self.log.debug("serving a request that a full process has passed on")
        return descriptor

    def _accept(self, listener: socket.socket) -> int | None:
        """A new connection; None if there is none. Raises OSError if there can be none any more."""
        try:
            # The bare descriptor; the public accept() builds a socket object for each connection (4 us).
            descriptor: int = listener._accept()[0]  # type: ignore[attr-defined]
        except BlockingIOError:
            return None
        except OSError as error:
            self.log.error("accept: %s", error)
            if error.errno in NO_LISTENER:
                raise
            time.sleep(0.1)  # out of descriptors: do not spin
            return None
        return descriptor

    def _serve_one(self, descriptor: int, slot: Slot) -> bool:
        """One request of a new or a kept connection; whether we still have the turn."""
        leadership, connections = self.leadership, self.connections
        leads = leadership.begin(descriptor)
        started = time.monotonic()
        keep = self.serve(descriptor, slot)
        leads = leads and leadership.end(descriptor, time.monotonic() - started)
        if not keep:
            self._close(descriptor)
        elif descriptor not in connections.kept:
            connections.keep(descriptor)
        return leads

    def _close(self, descriptor: int) -> None:
        self.connections.forget(descriptor)  # first: a child process may hold the socket open, and epoll with it
        os.close(descriptor)

    def may_keep(self) -> bool:
        """Whether nginx may send its next request on the same connection: else that is for any process to take."""
        connections = self.connections
        return self.accepting and self.leadership.quick and len(connections.kept) < connections.limit

    def serve(self, descriptor: int, slot: Slot) -> bool:
        """One request and its response; whether the connection stays open, else it is the caller's to close."""
        keep, data = False, b""
        try:
            data = os.read(descriptor, fastcgi.READ_SIZE)
            kind = Exchange if data[:1] == FASTCGI or not data else _other_protocol(data)
            keep = kind(self, descriptor, slot, data).run()
        except (ProtocolError, OSError) as error:
            self.log.debug("connection from nginx ended: %s", error)
        except BaseException:
            self.log.exception("Error in the request thread")
        finally:
            with slot.lock:  # so that nothing of the watchdog's goes to a closed and reused descriptor
                slot.end()
            if data and self.on_request is not None:
                self.on_request()
        return keep

    def serve_once(self, descriptor: int, slot: Slot) -> None:
        """One request of a connection that is not kept."""
        self.serve(descriptor, slot)
        os.close(descriptor)

    def tell_streams(self) -> None:
        """One line a minute that streams are refused, with the setting."""
        now = time.monotonic()
        if now < self.streams_told:
            return
        self.streams_told = now + STREAMS_PAUSE
        self.log.warning(
            "a stream is answered 503: STREAMS_MAX=%s unbuffered responses (event streams, X-Accel-Buffering: no) run "
            "in this worker already. Each holds a thread: STREAMS_MAX up to THREADS, more THREADS; WORKER_CLASS=gevent",
            self.streams_max,
        )

    def warn_once(self, message: str) -> None:
        """A warning worth one line in a worker's life."""
        if message not in self.warned:
            self.warned.add(message)
            self.log.warning(message)


def _other_protocol(data: bytes) -> type[Exchange]:
    """A user's own nginx file says uwsgi_pass. Raises ProtocolError."""
    from flagon.inside import uwsgi  # only the migrated need it

    if data[:1] not in uwsgi.FIRST_BYTES:
        raise ProtocolError("neither FastCGI nor uwsgi")
    return uwsgi.UwsgiExchange
