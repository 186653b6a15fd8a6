"""A SQLite URL -> what SQLAlchemy opens, and the file's absolute path (empty: a database in memory)."""

from __future__ import annotations

import os
import re

from flagon.percent import decoded, encoded, in_path


def parse(text: str, directory: str) -> tuple[str, str]:
    """What follows `sqlite://`: /relative, //absolute, nothing, or /file:name?uri=true."""
    path, mark, query = text.partition("?")
    if path in ("", "/", "/:memory:", ":memory:"):
        return f"sqlite://{mark}{query}", ""
    if not path.startswith("/"):
        host = path.partition("/")[0].rpartition("@")[2]
        raise ValueError(f"two slashes make {host!r} a host, and SQLite has none")
    name = decoded(path[1:])
    if name.startswith("file:") and re.search(r"(^|&)uri=(true|1|yes|on)(&|$)", query, re.IGNORECASE):
        return parse_uri(name[5:] + mark + query, directory)
    path = _absolute(name, directory)
    return f"sqlite:///{in_path(path)}{mark}{query}", path


def parse_uri(text: str, directory: str) -> tuple[str, str]:
    """SQLite's own form, what follows `file:`: name?mode=ro."""
    name, _, query = text.partition("?")
    if name.startswith("//"):
        host, slash, name = name[2:].partition("/")
        if host not in ("", "localhost") or not slash:
            raise ValueError(f"two slashes make {host!r} a host, and SQLite has none")
        name = slash + name
    options = [part for part in query.split("&") if part and not part.startswith("uri=")]
    name = decoded(name)
    memory = name in ("", ":memory:") or "mode=memory" in options
    path = "" if memory else _absolute(name, directory)
    # Escaped twice: once for the URL, once for the URI in it.
    uri = in_path(encoded(path or name, "/:"))
    return f"sqlite:///file:{uri}?{'&'.join([*options, 'uri=true'])}", path


def _absolute(name: str, directory: str) -> str:
    path = os.path.normpath(name if os.path.isabs(name) else os.path.join(directory or os.getcwd(), name))
    if name.endswith("/") or os.path.isdir(path):
        raise ValueError(f"{path!r} is a directory")
    return path
