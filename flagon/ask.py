"""`flagon reload`: asks the box that serves here to reload, and waits for what comes of it."""

from __future__ import annotations

import json
import os
import socket
import sys

from flagon import UNAVAILABLE, serving
from flagon.reload import BAD, GOOD

LONGEST_LINE = 1 << 16  # bytes at once
FAILED = 1


def reload() -> int:
    """Exit code: 0 all workers run the new code, 1 the old one serves on (said why), 69 no box serves here."""
    reading, writing = os.pipe()
    for path in serving.paths("events.sock"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            try:
                channel.connect(path)
                socket.send_fds(channel, [json.dumps({"event": "reload"}).encode()], [writing])
            except PermissionError:
                print(
                    f"flagon: the box in {os.path.dirname(path)} is another user's than uid {os.geteuid()}: "
                    "run this as its uid, docker exec -u UID NAME flagon reload",
                    file=sys.stderr,
                )
                return FAILED
            except OSError:
                continue  # left by a box that was killed
            break
    else:
        print(f"flagon: {serving.nobody('reload')}", file=sys.stderr)
        return UNAVAILABLE
    os.close(writing)
    last = b""
    with os.fdopen(reading, "rb") as said:
        while line := said.readline(LONGEST_LINE):
            last = line[-1:]
            print(line.removesuffix(GOOD).removesuffix(BAD).decode("utf-8", "backslashreplace"), end="", flush=True)
    return 0 if last == GOOD else FAILED
