"""Which static folders the loaded application names: nginx serves them. Flask's and every blueprint's; Django's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple


class Folder(NamedTuple):
    """One static folder, and who names it."""

    url: str  # with a slash at its end
    folder: str
    cache: str  # Cache-Control's value
    application: Any = None  # Flask's, whose url_for gives the urls of `endpoint`
    endpoint: str = ""


def find(application: Any) -> list[Folder]:
    """Every static folder that is served as its framework does by default, each path once."""
    try:
        found = list(_of(application, "", 0))
    except Exception:  # an unusual application: it serves its files itself
        return []
    return list({folder.url: folder for folder in reversed(found)}.values())[::-1]


def _of(application: Any, prefix: str, depth: int) -> Iterator[Folder]:
    """Through middleware (`app`, as werkzeug's and most others call it) and mounts, to the applications inside."""
    if depth > 5 or application is None:
        return
    if hasattr(application, "url_map") and hasattr(application, "blueprints"):
        yield from _flask(application, prefix)
    elif type(application).__module__.startswith("django.core.handlers"):
        yield from _django()
    mounts = getattr(application, "mounts", None)
    if isinstance(mounts, dict):
        for path, inner in mounts.items():
            yield from _of(inner, prefix + path.rstrip("/"), depth + 1)
    if not hasattr(application, "url_map"):
        yield from _of(getattr(application, "app", None), prefix, depth + 1)


def _flask(application: Any, prefix: str) -> Iterator[Folder]:
    """The rules that Flask itself has made: neither wrapped nor overridden, for any host."""
    cache = _cache_control(application)
    if cache is None:
        return
    for rule in application.url_map.iter_rules():
        name, _, last = rule.endpoint.rpartition(".")
        if last != "static" or rule.arguments != {"filename"} or rule.host or rule.subdomain:
            continue
        owner = application.blueprints.get(name) if name else application
        view = application.view_functions.get(rule.endpoint)
        path, _, rest = rule.rule.partition("<path:filename>")
        folder = getattr(owner, "static_folder", None)
        plain = _is_flasks(view) and _is_flasks(type(owner).send_static_file)
        if folder and plain and not rest and path.endswith("/") and "<" not in path and os.path.isdir(folder):
            yield Folder(prefix + path, os.path.abspath(folder), cache, application, rule.endpoint)


def _is_flasks(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).startswith("flask.") and not hasattr(function, "__wrapped__")


def _cache_control(application: Any) -> str | None:
    """What Flask's static route says, from SEND_FILE_MAX_AGE_DEFAULT; None if it is decided for each file."""
    if not _is_flasks(type(application).get_send_file_max_age):
        return None
    age = application.config.get("SEND_FILE_MAX_AGE_DEFAULT")
    if age is None:
        return "no-cache"
    seconds = int(age.total_seconds() if hasattr(age, "total_seconds") else age)
    return f"public, max-age={seconds}" if seconds > 0 else "no-cache"


def _django() -> Iterator[Folder]:
    """STATIC_URL and STATIC_ROOT, once collectstatic has filled it."""
    settings = sys.modules["django.conf"].settings
    url, folder = settings.STATIC_URL, settings.STATIC_ROOT
    if url and folder and str(url).startswith("/") and str(url).endswith("/") and os.path.isdir(folder):
        yield Folder(str(url), os.path.abspath(folder), "")
