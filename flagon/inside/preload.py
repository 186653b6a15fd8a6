"""PRELOAD: the application is loaded once, in gunicorn's master; what does not survive a fork is settled or named."""

from __future__ import annotations

import _socket
import contextlib
import gc
import os
import stat
import sys
import threading
from typing import Any, NamedTuple

engines: list[Any] = []  # SQLAlchemy's, made before the fork
shared: list[Connection] = []


class Connection(NamedTuple):
    """A connection of the master's: its descriptor, what tells it from a later one there, and the other end."""

    descriptor: int
    inode: int
    peer: str


def settle(log: Any, workers: int) -> None:
    """In the master, once the application is loaded."""
    left = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if left:
        log.warning(
            "PRELOAD: the application has started threads while it was loaded (%s): they run once, in the master, and "
            "not in the workers: right for a scheduler. What a request needs of them has to be started at the first "
            "request, or set PRELOAD=off",
            ", ".join(left),
        )
    base = sys.modules.get("sqlalchemy.engine.base")
    if base is not None:
        engines[:] = [thing for thing in gc.get_objects() if type(thing) is base.Engine and not _in_memory(thing)]
    for engine in engines:
        engine.dispose()  # the master asks no database
    shared[:] = connections() if workers > 1 else []
    if shared:
        log.warning(
            "PRELOAD: the application has opened connections while it was loaded (%s). Shared by %s workers, their "
            "answers would be mixed up, so every worker finds them closed. Open them at the first request or in "
            "gunicorn's post_fork, or set PRELOAD=off",
            ", ".join(dict.fromkeys(connection.peer for connection in shared)),
            workers,
        )
    freeze()


def _in_memory(engine: Any) -> bool:
    """SQLite in memory: there is no connection that could be shared, and what it holds would be lost with it."""
    return engine.dialect.name == "sqlite" and engine.url.database in (None, "", ":memory:")


def connections() -> list[Connection]:
    """Open streams to somebody else. A pair of sockets that this process has made for itself has no name."""
    found = []
    timeout = _socket.getdefaulttimeout()
    _socket.setdefaulttimeout(None)  # with one, looking at a socket would change its mode
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            status = os.fstat(number)
            if stat.S_ISSOCK(status.st_mode) and (peer := _peer(number)):
                found.append(Connection(number, status.st_ino, peer))
    _socket.setdefaulttimeout(timeout)
    return found


def _peer(descriptor: int) -> str:
    """Who is at the other end of a stream; empty if nobody."""
    view = _socket.socket(fileno=descriptor)
    try:
        peer = view.getpeername() if view.type == _socket.SOCK_STREAM else ""
    finally:
        view.detach()
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else os.fsdecode(peer)


def cut(connection: Connection) -> None:
    """In a worker: the descriptor is that of a connection whose other end has closed. The master's own stays."""
    with contextlib.suppress(OSError):
        if os.fstat(connection.descriptor).st_ino == connection.inode:
            for end in (pair := _socket.socketpair()):
                end.setblocking(True)
            os.dup2(pair[0].fileno(), connection.descriptor, inheritable=False)
            for end in pair:
                end.close()


def forked() -> None:
    """In a new worker: a connection opened before the fork is the master's, and shared it would mix answers."""
    for connection in shared:
        cut(connection)
    for engine in engines:
        try:
            engine.dispose(close=False)
        except TypeError:  # SQLAlchemy before 1.4.33
            engine.pool = engine.pool.recreate()


def freeze() -> None:
    """What is loaded stays for good: the collector need not look at it again, nor write to pages that workers share."""
    gc.collect()
    gc.freeze()
