"""Which ports: PORT if given, else 8080 and, where it can be bound, 80; IPv4 and IPv6, each tried with a real bind."""

from __future__ import annotations

import errno
import os
import socket

DEFAULT_PORT, SECOND_PORT = 8080, 80


class CannotListen(Exception):
    """A port that must be had cannot be bound; the message names it."""


def try_bind(family: socket.AddressFamily, port: int) -> int:
    """0 if this process can bind the port on all addresses of the family, else the errno."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def port_of(text: str) -> int:
    """The port of LISTEN_PORT: 8080, `443 ssl`, [::]:80, 127.0.0.1:80."""
    return int(text.split()[0].rpartition(":")[2])


def own_url(listens: list[str], port: int) -> str:
    """Where the box itself is asked from inside, for HEALTHCHECK."""
    words = listens[0].split() if listens else [str(port)]
    host = words[0].rpartition(":")[0]
    if host in ("", "*", "0.0.0.0", "[::]"):
        host = "[::1]" if host == "[::]" else "127.0.0.1"
    return f"http{'s' if 'ssl' in words else ''}://{host}:{port}"


def more(found: list[str], port: int, taken: bool = False) -> list[str]:
    """nginx `listen` values of a port that is wanted beside those found; those that can be had, maybe none."""
    lived_with = (0, errno.EADDRINUSE) if taken else (0,)
    kinds = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "[::]"))
    wanted = [(family, f"{address}:{port}") for family, address in kinds]
    return [text for family, text in wanted if text not in found and try_bind(family, port) in lived_with]


def addresses(port: int | None, old: str = "", taken: bool = False) -> list[str]:
    """nginx `listen` values, the main port first. Raises CannotListen if the main port cannot be had.

    `old` is LISTEN_PORT of the deprecated images, the arguments of `listen` as they are: beside PORT, or alone.
    `taken`: a port that is listened on counts, too; `flagon check` may be run beside the box.
    """
    if old and port is not None and port != port_of(old):
        return [*addresses(port, taken=taken), *addresses(None, old, taken)]
    if old.isdigit():
        return addresses(int(old), taken=taken)
    if old:
        return [old]
    return _of_port(port, (errno.EADDRINUSE,) if taken else ())


def _of_port(port: int | None, lived_with: tuple[int, ...]) -> list[str]:
    main = port or DEFAULT_PORT
    found = []
    failure = try_bind(socket.AF_INET, main)
    if not failure or failure in lived_with:
        found.append(f"0.0.0.0:{main}")
    if try_bind(socket.AF_INET6, main) in (0, *lived_with):
        found.append(f"[::]:{main}")
    if not found or (failure == errno.EADDRINUSE and failure not in lived_with):
        hint = (
            "; ports below 1024 need root or a sysctl here: publish it instead, -p 80:8080"
            if failure == errno.EACCES
            else ""
        )
        raise CannotListen(f"cannot listen on port {main}: {os.strerror(failure)}{hint}")
    if port is None:
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "[::]")):
            if try_bind(family, SECOND_PORT) in (0, *lived_with):
                found.append(f"{address}:{SECOND_PORT}")
    return found
