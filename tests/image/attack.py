"""Many slow clients in one thread: each sends or takes a byte now and then."""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

EVERY = 1.0  # seconds between two bytes of one client


def allow_open_files(count: int) -> None:
    """Raise this process's limit, which a test that holds many connections needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))


def connections(address: tuple[str, int], count: int) -> list[socket.socket]:
    """So many connections, made without waiting for each."""
    made = []
    for _ in range(count):
        wire = socket.socket()
        wire.setblocking(False)
        code = wire.connect_ex(address)
        assert code in (0, errno.EINPROGRESS), os.strerror(code)
        made.append(wire)
        if len(made) % 200 == 0:
            time.sleep(0.02)  # the queue of the listening socket is not endless
    deadline = time.monotonic() + 20
    for wire in made:
        poller = select.poll()
        poller.register(wire, select.POLLOUT)
        assert poller.poll(max(0, deadline - time.monotonic()) * 1000), "a connection was not accepted"
        assert not wire.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return made


class Attack:
    """`count` clients, each of which first sends `begin` and then trickles `rest`, or reads a byte at a time."""

    def __init__(self, address: tuple[str, int], count: int, begin: bytes, rest: Callable[[], Iterator[bytes]]) -> None:
        self.address, self.count, self.begin, self.rest = address, count, begin, rest
        self.closed = 0  # by the server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.begun = threading.Event()

    def __enter__(self) -> Attack:
        self._thread.start()
        assert self.begun.wait(30), "the slow clients did not get through"
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _run(self) -> None:
        clients = {wire: self.rest() for wire in connections(self.address, self.count)}
        for wire in clients:
            wire.send(self.begin)
        self.begun.set()
        while clients and not self._over.wait(EVERY):
            for wire, rest in list(clients.items()):
                piece = next(rest, b"")
                if not self._step(wire, piece):
                    self.closed += 1
                    wire.close()
                    del clients[wire]
        for wire in clients:
            wire.close()

    @staticmethod
    def _step(wire: socket.socket, piece: bytes) -> bool:
        """Send a piece, or read a byte where there is none; False once the server has closed."""
        try:
            if piece:
                wire.send(piece)
                return bool(wire.recv(1, socket.MSG_PEEK))
            return bool(wire.recv(1))
        except BlockingIOError:
            return True
        except OSError:
            return False
