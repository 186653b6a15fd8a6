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
MOST_INCLUDED = 100
SPOOLED = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
OURS = "# nginx in Flagon."
WHOLE = os.path.join("nginx", "whole.conf")  # taken whatever it says
PASSES = frozenset("proxy_pass uwsgi_pass fastcgi_pass scgi_pass grpc_pass memcached_pass".split())
OUR_SOCKETS, OUR_FILES = ("flagon/app.sock", "unix:app.sock"), "fragments/"


class BadName(Exception):
    """A file that nginx cannot include; the message names it."""


class UsersNginx(NamedTuple):
    """Which files there are."""

    http: tuple[str, ...] = ()
    server: tuple[str, ...] = ()
    whole: str = ""  # in place of ours
    why: str = ""  # it is taken so
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
    lines = []
    for whole in (os.path.join(directory, WHOLE), os.path.join(directory, "nginx.conf")):
        if not os.path.isfile(whole) or text_file.read(whole).startswith(OURS):
            continue
        why, why_not = ("its name says so", "") if whole.endswith(WHOLE) else meant(text_file.read(whole), old_folder)
        if why:
            old_socket = OLD_SOCKET in text_file.read(whole) or _mentioned(_files(old_folder))
            return UsersNginx(whole=whole, why=why, old_socket=old_socket)
        lines.append(
            f"{whole} is left alone, and Flagon's own nginx.conf serves: {why_not}. If it is meant for this container, "
            f"call it {os.path.join(directory, WHOLE)}; else a line in .dockerignore keeps it out of the image"
        )
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


def meant(text: str, old_folder: str = OLD_FOLDER) -> tuple[str, str]:
    """(Why an nginx.conf is meant for this container, "") or ("", why it is not): many belong to an nginx beside it.

    What it includes is looked at as well, one level deep.
    """
    own = list(nginx_text.directives(text))
    paths = [path for one in own if one.words[0] == "include" for path in _included(one.words, old_folder)]
    found = own + [one for path in paths for one in nginx_text.directives(text_file.read(path))]
    for one in found:
        for word in one.words:
            if OLD_SOCKET in word or word.endswith(OUR_SOCKETS):
                return f"it passes requests to {word}", ""
            if one.words[0] == "include" and OUR_FILES in word:
                return f"it includes {word}", ""
    if elsewhere := list(dict.fromkeys(_elsewhere(found))):
        return "", (
            f"it passes requests to {', '.join(elsewhere[:3])} and none to the application, which is at "
            f"unix://{OLD_SOCKET} (uwsgi_pass)"
        )
    if not any(one.words[0] == "http" and one.depth == 0 for one in own):
        return "", "it has no http { }, so it is no whole configuration"
    if not any(one.words[0] == "server" and one.block for one in found):
        return "", "it has no server { }, and would answer nothing"
    return "it passes requests to no other server", ""


def _included(words: tuple[str, ...], old_folder: str) -> list[str]:
    """The files of an `include`. What has no path lies in /etc/nginx."""
    pattern = os.path.join(os.path.dirname(old_folder), words[-1])
    return sorted(path for path in glob.glob(pattern) if os.path.isfile(path))[:MOST_INCLUDED]


def _elsewhere(found: list[nginx_text.Directive]) -> Iterator[str]:
    """host:port of every server that requests are passed to, those of `upstream` by their own addresses."""
    upstreams: dict[str, list[str]] = {}
    inside: list[str] | None = None
    for one in found:
        if one.words[0] == "upstream" and one.block:
            inside = upstreams.setdefault(one.words[-1], [])
        elif inside is not None and one.words[0] == "server" and not one.block:
            inside += one.words[1:2]
        elif one.block:
            inside = None
    for one in found:
        if one.words[0] in PASSES and len(one.words) > 1:
            _, unix, path = one.words[1].partition("unix:")
            place = unix + path if unix else one.words[1].rpartition("://")[2].partition("/")[0]
            yield from upstreams.get(place, [place])


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
