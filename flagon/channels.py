"""Descriptors in supervisord's poll loop: the wake-up pipe, messages of the application's side, workers' own pipes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from flagon.logs import Lines

Sockets = dict[int, Any]  # supervisord's: descriptor -> an object with what Watch has
READ_SIZE = 1 << 17


class Watch:
    """A descriptor in supervisord's poll loop: has what that loop asks of a dispatcher."""

    def __init__(self, descriptor: int, read: Callable[[], object], sockets: Sockets) -> None:
        self.descriptor, self.read = descriptor, read
        self.sockets = sockets
        sockets[descriptor] = self

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        self.read()

    def handle_write_event(self) -> None:
        """Never called: nothing is written here."""

    def handle_error(self) -> None:
        raise  # noqa: PLE0704 supervisord calls this in its except block: a bug of ours must be seen

    def close(self) -> None:
        self.sockets.pop(self.descriptor, None)
        os.close(self.descriptor)


class WakeUp:
    """supervisord polls for up to a second; a signal, and the very start, must not wait for that."""

    def __init__(self, sockets: Sockets) -> None:
        self._moments: list[float] = []
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGALRM, lambda *_: None)
        Watch(self._reading, self._empty, sockets)

    def now(self) -> None:
        """End the poll that runs or the next one at once."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._writing, b"\0")

    def at(self, moment: float) -> None:
        """End the poll that runs at that moment (time.monotonic)."""
        self._moments.append(moment)
        self._arm()

    def _arm(self) -> None:
        now = time.monotonic()
        self._moments = [moment for moment in self._moments if moment > now]
        if self._moments:
            signal.setitimer(signal.ITIMER_REAL, min(self._moments) - now + 0.001)

    def _empty(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._reading, 4096)
        self._arm()


def listen(path: str) -> socket.socket:
    """Where messages come in, before anybody reads them."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.bind(path)
    os.chmod(path, 0o600)
    channel.setblocking(False)
    return channel


def fifo(path: str) -> int:
    """A new one, held open: its readers come to the end when this descriptor is closed, or this process gone."""
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


class Messages:
    """One datagram is one message, maybe with descriptors (flagon/inside/notice.py sends them)."""

    def __init__(
        self, channel: socket.socket, handle: Callable[[dict[str, Any], list[int]], None], sockets: Sockets
    ) -> None:
        self._handle = handle
        self._channel = channel
        Watch(self._channel.fileno(), self.read, sockets)

    def read(self) -> None:
        """Handle all that has arrived."""
        while True:
            try:
                text, descriptors, _, _ = socket.recv_fds(self._channel, 65536, 4)
            except BlockingIOError:
                return
            try:
                message = json.loads(text)
            except (ValueError, RecursionError):
                message = None
            if isinstance(message, dict):
                self._handle(message, descriptors)


class Pipes:
    """Reading ends of pipes that worker processes made for their own output."""

    def __init__(self, lines: Callable[[], Lines], sockets: Sockets) -> None:
        self._make_lines = lines
        self._sockets = sockets
        self._open: dict[int, tuple[Watch, Lines]] = {}

    def add(self, descriptor: int, lines: Lines | None = None) -> None:
        """Watch a pipe until its end."""
        os.set_blocking(descriptor, False)
        watch = Watch(descriptor, lambda: self.read(descriptor), self._sockets)
        self._open[descriptor] = (watch, lines or self._make_lines())

    def read(self, descriptor: int) -> bool:
        """Read once; False at the end of the pipe or if there is nothing."""
        watch, lines = self._open[descriptor]
        try:
            data = os.read(descriptor, READ_SIZE)
        except BlockingIOError:
            return False
        if data:
            lines.feed(data)
            return True
        lines.close()
        del self._open[descriptor]
        watch.close()
        return False

    def drain(self) -> None:
        """The last words of all, at the very end or when a program died."""
        for descriptor in list(self._open):
            while descriptor in self._open and self.read(descriptor):
                pass

    def close(self) -> None:
        """What has no newline is a line too."""
        for _, lines in self._open.values():
            lines.close()
