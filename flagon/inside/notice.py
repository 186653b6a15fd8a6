"""Messages from the application's side to supervisord's plug-in: one datagram each."""

from __future__ import annotations

import json
import os
import sys
from socket import AF_UNIX, SOCK_DGRAM, send_fds, socket  # as they are before the application can patch them
from typing import Any, NoReturn

from flagon import CONFIGURATION_ERROR

_path: str | None = None


def set_up(run: str) -> None:
    """Where the plug-in listens."""
    global _path
    _path = os.path.join(run, "events.sock")


def send(message: dict[str, Any], descriptors: list[int] | None = None) -> bool:
    """Send; False if nobody listens (gunicorn run without the box)."""
    if _path is None:
        return False
    text = json.dumps({"pid": os.getpid(), **message}).encode()
    try:
        with socket(AF_UNIX, SOCK_DGRAM) as channel:
            channel.connect(_path)
            send_fds(channel, [text], descriptors or [])
    except OSError:
        return False
    return True


def fail(message: str, code: int = CONFIGURATION_ERROR) -> NoReturn:
    """Say why, once for all workers, and end."""
    if not send({"event": "failed", "message": message}):
        print(message, file=sys.stderr)
    sys.stderr.flush()
    os._exit(code)
