"""The user's nginx files: additions at http and at server level, or a configuration of their own as a whole."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from flagon import nginx_text, text_file
from flagon.nginx_text import Location

if TYPE_CHECKING:
    from flagon.users_parameters import Found

OLD_FOLDER = "/etc/nginx/conf.d"
# The deprecated images wrote these two anew at each start.
OVERWRITTEN = ("nginx.conf", "upload.conf")
OLD_SOCKET = "/tmp/uwsgi.sock"
# nginx takes these more than once: theirs stand beside ours.
REPEATABLE = frozenset({"set_real_ip_from", "limit_req_zone", "limit_conn_zone"})
SPOOLED = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
OURS = "# nginx in Flagon."


class BadName(Exception):
    """A file that nginx cannot include; the message names it."""


class UsersNginx(NamedTuple):
    """Which files there are."""

    http: tuple[str, ...] = ()
    server: tuple[str, ...] = ()
    whole: str = ""  # in place of ours
    lines: tuple[str, ...] = ()  # for the boot
    http_directives: frozenset[str] = frozenset()  # of ours these give way
    locations: frozenset[Location] = frozenset()  # of ours these give way
    named: tuple[str, ...] = ()  # where an answer of the application's may lead to: @name, or the beginning of a path
    old_socket: bool = False  # some file passes requests to /tmp/uwsgi.sock
    said: Found | None = None  # what they say of the application for all of the site

    @property
    def any(self) -> bool:
        """Whether there is anything for nginx to check."""
        return bool(self.http or self.server or self.whole)

    def stamp(self) -> tuple[tuple[str, int, int, int], ...]:
        """What changes when one of the files does."""
        found = []
        for path in (*self.http, *self.server, self.whole):
            try:
                status = os.stat(path)
            except OSError:
                continue
            found.append((path, status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)


def _files(*parts: str) -> list[str]:
    return sorted(glob.glob(os.path.join(glob.escape(os.path.join(*parts)), "*.conf")))


def find(directory: str, old_folder: str = OLD_FOLDER) -> UsersNginx:
    """What lies in /app/nginx/http.d, /app/nginx/server.d, /app/nginx.conf and /etc/nginx/conf.d. Raises BadName."""
    whole = os.path.join(directory, "nginx.conf")
    if os.path.isfile(whole) and not text_file.read(whole).startswith(OURS):
        text = text_file.read(whole)
        return UsersNginx(whole=whole, old_socket=OLD_SOCKET in text or _mentioned(_files(old_folder)))
    lines = []
    http = _files(directory, "nginx", "http.d")
    for path in _files(old_folder):
        if os.path.basename(path) in OVERWRITTEN:
            lines.append(f"{path} is ignored, as the old images overwrote it: put yours in {directory}/nginx/server.d")
        else:
            http.append(path)
    server = _files(directory, "nginx", "server.d")
    if not http and not server:
        return UsersNginx(lines=tuple(lines))
    for path in (*http, *server):
        if why := nginx_text.unfit(path):
            raise BadName(f"{path!r}: nginx cannot include it, as its name {why}: give it another one")
    from flagon import users_parameters  # for who has such files

    given = [one for path in http for one in nginx_text.directives(text_file.read(path))]
    top = [one.words[0] for one in given if one.depth == 0 and not one.block]
    inner = [one.words for path in server for one in nginx_text.directives(text_file.read(path)) if one.depth == 0]
    return UsersNginx(
        tuple(http),
        tuple(server),
        lines=tuple(lines),
        http_directives=(frozenset(top) | _measured({*top, *(one[0] for one in inner)})) - REPEATABLE,
        locations=frozenset(filter(None, (nginx_text.location(one[1:]) for one in inner if one[0] == "location"))),
        named=tuple(dict.fromkeys(_target(one) for one in inner if one[0] == "location")),
        old_socket=_mentioned([*http, *server]),
        said=users_parameters.find((path, text_file.read(path)) for path in (*http, *server)),
    )


def _measured(given: set[str]) -> set[str]:
    """Ours that nginx measures by a size of theirs, and refuses with it: without ours it computes its own."""
    return {
        f"{wire}_busy_buffers_size"
        for wire in ("fastcgi", "proxy")
        if {f"{wire}_buffer_size", f"{wire}_buffers"} & given
    }


def _target(words: tuple[str, ...]) -> str:
    """What an answer of the application's may name to get to a location: @name, or the beginning of its path."""
    found = nginx_text.location(words[1:])
    if found is not None:
        return found.name
    return words[-1] if words[-1].startswith("@") else "/"  # a regular expression: any path may be meant


def _mentioned(paths: list[str]) -> bool:
    return any(OLD_SOCKET in text_file.read(path) for path in paths)


def listens(whole: str) -> Iterator[str]:
    """What the user's nginx.conf listens on, plain http first."""
    found = [one.words[1:] for one in nginx_text.directives(text_file.read(whole)) if one.words[0] == "listen"]
    for words in sorted(found, key=lambda words: "ssl" in words):
        if words and words[0].rpartition(":")[2].isdigit():
            yield " ".join(word for word in words if word != "default_server")


def link_old_socket(socket: str, path: str = OLD_SOCKET) -> None:
    """The name that users' files pass requests to leads to our socket. Raises OSError."""
    temporary = f"{path}.{os.getpid()}"
    os.symlink(socket, temporary)
    try:
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def adapted(whole: str, run: str, spool: str, as_root: bool) -> str:
    """The user's nginx.conf as it is started here: in the foreground, its files where they can be written.

    Everything else, and every line's number, stays. Who is not root may not become the `user` that it names.
    """
    text = text_file.read(whole)
    daemon = False
    for one in reversed(list(nginx_text.directives(text))):
        name = one.words[0] if one.depth == 0 else ""
        if name == "http" and one.block:
            folders = [f"{kind}_temp_path" for kind in SPOOLED if f"{kind}_temp_path" not in text]
            added = "".join(f" {folder} {spool}/{folder.removesuffix('_temp_path')};" for folder in folders)
            text = text[: one.end] + added + text[one.end :]
        kept = {"pid": f"pid {run}/nginx.pid;", "daemon": "daemon off;", "user": None if as_root else ""}.get(name)
        daemon = daemon or name == "daemon"
        if kept is not None:
            breaks = "\n" * text.count("\n", one.start, one.end)
            text = text[: one.start] + kept + breaks + text[one.end :]
    if not daemon:
        text = text.rstrip("\n") + "\ndaemon off;\n"
    if not any(one.depth == 0 and one.words[0] == "pid" for one in nginx_text.directives(text)):
        text += f"pid {run}/nginx.pid;\n"
    return text
