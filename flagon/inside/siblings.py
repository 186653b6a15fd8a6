"""Connections whose request no thread of this worker is free for: whichever process has one takes them.

The descriptors travel as SCM_RIGHTS (unix(7)) on a socket pair of the master's: what is on it outlives each worker.
"""

from __future__ import annotations

import socket
import sys

ROOM = socket.CMSG_LEN(4)  # for one descriptor


class Siblings:
    """The way from a worker to all workers of its master; made before they are forked."""

    def __init__(self) -> None:
        # Not datagrams: of these only net.unix.max_dgram_qlen, ten by default, can be on their way.
        self._entrance, self._exit = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._entrance.setblocking(False)
        self._exit.setblocking(False)

    def fileno(self) -> int:
        """What is readable when there is one to take."""
        return self._exit.fileno()

    def give(self, descriptor: int) -> bool:
        """Pass one on, which stays open here; False if as many are on their way as the kernel allows."""
        try:
            socket.send_fds(self._entrance, [b"\0"], [descriptor])
        except OSError:
            return False
        return True

    def take(self) -> int | None:
        """The next one; None if another process was faster, or this one has no descriptor left for it."""
        try:
            # socket.recv_fds takes flags, and forgets them (Python 3.11 to 3.13): every child would inherit these
            ancillary = self._exit.recvmsg(1, ROOM, socket.MSG_CMSG_CLOEXEC)[1]
        except BlockingIOError:
            return None
        return int.from_bytes(ancillary[0][2], sys.byteorder) if ancillary else None

    def close(self) -> None:
        """Both ends, in this process."""
        self._entrance.close()
        self._exit.close()
