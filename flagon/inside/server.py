"""Request threads: accept a connection from nginx, serve one request on it (exchange.py), close."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from flagon.inside import fastcgi
from flagon.inside.exchange import Exchange
from flagon.inside.fastcgi import ProtocolError
from flagon.inside.leader import Leadership
from flagon.inside.response import Response
from flagon.inside.slots import Slot

FASTCGI = bytes([fastcgi.VERSION])
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
    ) -> None:
        self.application = application
        self.base_environ = base_environ
        self.log = log
        self.streams_max = streams_max
        self.spool_directory = spool_directory
        self.before, self.after, self.on_request = before, after, on_request
        self.hand_over = hand_over
        self.health: Application | None = None  # where requests for health come this way too, and which they are
        self.health_paths: frozenset[str] = frozenset()
        self.streams = 0
        self.streams_lock = threading.Lock()
        self.accepting = True
        self.warned: set[str] = set()
        self.leadership = Leadership()
        self._waiter: select.epoll | None = None
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def stop(self) -> None:
        """No more accepting; every idle thread ends."""
        self.accepting = False
        os.eventfd_write(self._stop, 1)
        self.leadership.stop()

    def loop(self, listener: socket.socket, slot: Slot) -> None:
        """A request thread's life: lead while requests are quick, else serve on while another leads."""
        leadership = self.leadership
        while self.accepting:
            leadership.take()
            if self._lead(listener, slot):
                leadership.give()
        # the others that wait for the turn find that there is nothing to accept any more

    def _lead(self, listener: socket.socket, slot: Slot) -> bool:
        """Accept and serve until the end or until the watch has passed the turn on; whether we still have it.

        What accept returned is always served.
        """
        # _accept gives the bare descriptor; the public accept() builds a socket object for each request (4 us).
        accept = listener._accept  # type: ignore[attr-defined]
        leadership = self.leadership
        while self.accepting:
            try:
                descriptor, _ = accept()
            except BlockingIOError:
                self._wait(listener)
                continue
            except OSError as error:
                self.log.error("accept: %s", error)
                time.sleep(0.1)  # out of descriptors: do not spin
                continue
            leadership.begin()
            self.serve(descriptor, slot)
            if not leadership.end():
                return False
        return True

    def _wait(self, listener: socket.socket) -> None:
        """Until a connection or the stop. Exclusive: of several processes one is woken."""
        if self._waiter is None:
            self._waiter = select.epoll()
            self._waiter.register(listener.fileno(), select.EPOLLIN | select.EPOLLEXCLUSIVE)
            self._waiter.register(self._stop, select.EPOLLIN)
        self._waiter.poll()

    def serve(self, descriptor: int, slot: Slot) -> None:
        """One connection: one request, one response, closed."""
        try:
            data = os.read(descriptor, fastcgi.READ_SIZE)
            kind = Exchange if data[:1] == FASTCGI or not data else _other_protocol(data)
            kind(self, descriptor, slot, data).run()
        except (ProtocolError, OSError) as error:
            self.log.debug("connection from nginx ended: %s", error)
        except BaseException:
            self.log.exception("Error in the request thread")
        finally:
            with slot.lock:  # so that nothing of the watchdog's goes to a closed and reused descriptor
                slot.end()
            os.close(descriptor)
            if self.on_request is not None:
                self.on_request()

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
