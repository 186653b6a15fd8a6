"""X-Accel-Redirect: nginx answers with another location. Only what we say ourselves reaches our internal ones.

An application may pass on headers of somebody else's response, so what it says is not trusted: it may name locations
that the user's own nginx files have. Anything else would be another page of the application's, in the place of the one
asked for.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

NAME = "x-accel-redirect"
OURS = re.compile(r"/*-(?:/|\Z)")  # below /-/ is what nginx serves for us
Headers = list[tuple[str, str]]
WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Internal(str):
    """A location that this side names itself: no text of the application's becomes one."""

    __slots__ = ()


def refusal(value: str, named: Iterable[str]) -> str:
    """Why an X-Accel-Redirect of the application's is dropped; "" if it may pass.

    `named`: the user's own locations, @names and beginnings of paths.

    A short list of constant texts: they are said once each.
    """
    target = value.strip()
    if target.startswith("@"):
        return "" if target in named else "it names a location that the user's nginx files do not have"
    if not target.startswith("/"):
        return "it is no absolute path"
    # More than nginx resolves: a path that only looks like one of ours is not worth an argument.
    path = unquote(target.partition("?")[0], "latin-1")
    resolved = posixpath.normpath(re.sub("//+", "/", path))
    if OURS.match(path) or OURS.match(resolved):
        return "/-/ is Flagon's own"
    beginnings = tuple(one for one in named if one.startswith("/"))
    if not (resolved.startswith(beginnings) or (resolved + "/").startswith(beginnings)):
        return "the user's nginx files have no location for it"
    return ""


def guarded(application: WSGI, named: Iterable[str], warn: Callable[[str], None]) -> WSGI:
    """On the HTTP wire: the response without what may not pass (the FastCGI wire's Response does so itself)."""

    def refused(name: Any, value: Any) -> bool:
        if not isinstance(name, str) or name.lower() != NAME or not isinstance(value, str) or type(value) is Internal:
            return False
        why = refusal(value, named)
        if why:
            warn(dropped(why))
        return bool(why)

    def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: Headers, *more: Any) -> Any:
            return start_response(status, [one for one in headers if not refused(*one)], *more)

        return application(environ, start)

    return wrapped


def dropped(why: str) -> str:
    """What is said of it."""
    return f"the application's header X-Accel-Redirect is dropped: {why}"
