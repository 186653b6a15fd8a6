"""HEALTHCHECK: through nginx and gunicorn, where the running box wrote down that it listens.

A user's own nginx.conf may not lead /-/up to the application: then any answer that is no 5xx will do.
By hand and with few imports: it runs every 30 seconds, and http.client alone takes longer than all of this (measured).
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import _socket
import os
import stat
import sys

from flagon import identity, serving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TIMEOUT = 4.0  # seconds for all of it; the image's HEALTHCHECK has 5
LONGEST_URL = 300
STATUS_LINE = 15  # bytes: `HTTP/1.1 200 OK`
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
HEX = frozenset("0123456789abcdefABCDEF:.")


class Sick(Exception):
    """Why the box is not healthy."""


def main() -> int:
    """0 where a box serves; else 1, and why on standard error."""
    signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT)
    why = "flagon is not serving: there is no url in its run directory"
    try:
        identity.become(os.environ, only_drop=True)
        for path in serving.paths("url")[:1]:  # another one would be somebody else's word for a box that is dead
            _ask(_url(path), os.path.islink(os.path.join(os.path.dirname(path), "nginx.conf")))
            return 0
    except (identity.CannotDrop, Sick, OSError) as error:
        why = str(error)
    from flagon import printable

    printable.install()
    print(why, file=sys.stderr)
    return 1


def _late(*_: object) -> None:
    os.write(2, f"flagon: no answer within {TIMEOUT:g} s\n".encode())
    os._exit(1)


def _url(path: str) -> tuple[bool, str, int]:
    """(https, host, port) of a file that says exactly `http(s)://host:port`. Raises Sick, OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Sick(f"{path} is no file")
        if status.st_uid != os.geteuid():
            raise Sick(f"{path} belongs to uid {status.st_uid}")
        text = os.read(descriptor, LONGEST_URL).decode("utf-8", "replace").removesuffix("\n")
    finally:
        os.close(descriptor)
    scheme, _, rest = text.partition("://")
    host, _, port = rest.rpartition(":")
    bare = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
    if (
        scheme not in ("http", "https")
        or not (bare and set(bare) <= (LETTERS if bare == host else HEX))
        or not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536)
    ):
        raise Sick(f"{path} does not say http://host:port but {text!r}")
    return scheme == "https", bare, int(port)


def _ask(where: tuple[bool, str, int], ours: bool) -> None:
    """`ours`: nginx.conf is the image's own. Raises Sick, OSError."""
    https, host, port = where
    name = f"[{host}]" if ":" in host else host
    request = (
        f"GET /-/up HTTP/1.1\r\nHost: {name}:{port}\r\nUser-Agent: flagon-healthcheck\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    )
    try:
        wire = _connect(https, host, port)
        try:
            wire.sendall(request.encode())
            status = _status(wire)
        finally:
            wire.close()
    except OSError as error:
        raise Sick(f"no answer from {name}:{port}: {error}") from None
    if status >= 500 or (ours and status != 200):
        raise Sick(f"/-/up answers {status}")


def _connect(https: bool, host: str, port: int) -> Any:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the resolver would not let a handler run
    family, kind, protocol, _, address = _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM)[0]
    signal.signal(signal.SIGALRM, _late)
    wire = _socket.socket(family, kind, protocol)
    try:
        wire.connect(address)
        if not https:
            return wire
        import socket
        import ssl  # only where the box has no plain port

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(socket.socket(fileno=wire.detach()), server_hostname=None)
    except BaseException:
        wire.close()
        raise


def _status(wire: Any) -> int:
    """The status that the answer begins with. Raises Sick, OSError."""
    start = b""
    while len(start) < STATUS_LINE:
        piece = wire.recv(STATUS_LINE - len(start))
        if not piece:
            break
        start += piece
    words = start.split(b" ")
    if words[0] not in (b"HTTP/1.1", b"HTTP/1.0") or len(words) < 2 or not (len(words[1]) == 3 and words[1].isdigit()):
        raise Sick(f"/-/up answers {start!r}, which is no HTTP")
    return int(words[1])
