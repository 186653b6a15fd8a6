"""HEALTHCHECK: through nginx and gunicorn, by a server of nginx's that no file of the user's has a say in.

A user's own nginx.conf has none, and may not lead /-/up to the application: there the port is asked, and any answer
that is no 5xx will do.
By hand and with few imports: it runs every 30 seconds, and http.client alone takes longer than all of this (measured).
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import _socket
import os
import stat
import sys
import time

from flagon import identity, serving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TIMEOUT = 4.0  # seconds for all of it; the image's HEALTHCHECK has 5
LONGEST_URL = 300
STATUS_LINE = 15  # bytes: `HTTP/1.1 200 OK`
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
PROGRAM = b"/opt/flagon/code/flagon/__main__.py"
OTHER_VERBS = frozenset(b"check config reload migrate backup restore purge secret starter static version help".split())
SERVERS = frozenset("gunicorn flask uwsgi waitress-serve uvicorn hypercorn daphne granian supervisord".split())
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
        paths = serving.paths("url")
        if not paths and _another_command():
            print(_what_runs())
            return 0
        for path in paths[:1]:  # another one would be somebody else's word for a box that is dead
            folder = os.path.dirname(path)
            ours = os.path.islink(os.path.join(folder, "nginx.conf"))
            _ask(_url(path), os.path.join(folder, serving.HEALTHCHECK) if ours else "")
            return 0
    except (identity.CannotDrop, Sick, OSError) as error:
        why = _loading() or str(error)
    from flagon import printable

    printable.install()
    print(why, file=sys.stderr)
    return 1


def _loading() -> str:
    """Where the port is not open yet: that, and for how long."""
    for path in serving.paths(serving.LOADING)[:1]:
        seconds = time.time() - os.lstat(path).st_mtime
        return f"the application is loading, for {seconds:.0f} s: the port opens when it has loaded (docker logs)"
    return ""


def _another_command() -> bool:
    """Whether this container's main command is another program: then there is no box that could be sick.

    A box is seen by its process from the moment it starts, long before it has a url. What `docker exec` has started
    (its line of parents does not end at process 1) is neither.
    """
    if os.getpid() == 1:
        return False
    return not any(_is_box(pid) for pid in os.listdir("/proc") if pid.isdigit())


def _what_runs(first: str = "/proc/1/cmdline") -> str:
    """What runs in place of the box: a server by its name, as PATH may lead past our stand-in for it."""
    try:
        with open(first, "rb") as file:
            words = file.read(4096).split(b"\0")
    except OSError:
        words = []
    names = [word.rpartition(b"/")[2].partition(b":")[0].decode("ascii", "replace") for word in words[:3]]
    server = next((name for name in names if name in SERVERS), "")
    if not server:
        return "another command runs here, nothing to ask"
    return (
        f"{server} runs here past the box, nothing to ask: no nginx, no health paths. Delete the ENTRYPOINT "
        f"that starts it, or let it end in `exec flagon serve {server} ...`"
    )


def _is_box(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(4096).split(b"\0")
        if PROGRAM not in words or words[words.index(PROGRAM) + 1] in OTHER_VERBS:
            return False
        while pid not in ("0", "1"):
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = file.read(1000).rpartition(b")")[2].split()[1].decode()
    except (OSError, IndexError):
        return False  # it has ended
    return pid == "1"


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


def _ask(where: tuple[bool, str, int], own: str) -> None:
    """`own`: the socket of nginx's server for this, where nginx.conf is the image's own. Raises Sick, OSError."""
    https, host, port = where
    name = f"[{host}]" if ":" in host else host
    request = (
        f"GET /-/up HTTP/1.1\r\nHost: {name}:{port}\r\nUser-Agent: flagon-healthcheck\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    )
    try:
        wire = _local(own) if own else _connect(https, host, port)
        try:
            wire.sendall(request.encode())
            status = _status(wire)
        finally:
            wire.close()
    except OSError as error:
        raise Sick(f"no answer from {own or f'{name}:{port}'}: {error}") from None
    if status >= 500 or (own and status != 200):
        raise Sick(f"/-/up answers {status}")


def _local(path: str) -> Any:
    wire = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        wire.connect(path)
    except BaseException:
        wire.close()
        raise
    return wire


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
