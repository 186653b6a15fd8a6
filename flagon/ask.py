"""`flagon reload`: asks the box that serves here to reload, and waits for what comes of it."""

from __future__ import annotations

import json
import os
import socket
import sys

from flagon import places
from flagon.reload import BAD, GOOD

FAILED, NOBODY = 1, 69  # EX_UNAVAILABLE of sysexits.h


def sockets(wanted: str) -> list[str]:
    """Where a serving box may listen."""
    return places.in_run_directories(wanted, "events.sock")


def reload(wanted: str) -> int:
    """Exit code: 0 all workers run the new code, 1 the old one serves on (said why), 69 no box serves here."""
    reading, writing = os.pipe()
    for path in sockets(wanted):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            try:
                channel.connect(path)
                socket.send_fds(channel, [json.dumps({"event": "reload"}).encode()], [writing])
            except PermissionError:
                print(
                    f"flagon: the box in {os.path.dirname(path)} is another user's: run this as its uid or as root",
                    file=sys.stderr,
                )
                return FAILED
            except OSError:
                continue  # left by a box that was killed
            break
    else:
        print(f"flagon: {places.nobody_serves(wanted, 'reload')}", file=sys.stderr)
        return NOBODY
    os.close(writing)
    last = b""
    while data := os.read(reading, 65536):
        last = data[-1:]
        text = data[:-1] if last in (GOOD, BAD) else data
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    return 0 if last == GOOD else FAILED
