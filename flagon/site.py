"""What nginx serves by itself: from the settings, and from what the loaded application says of its own folders."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from flagon.statics import AT_THE_TOP, MANIFEST, Files, Static

if TYPE_CHECKING:
    from flagon.boot import Boot


class Loaded(NamedTuple):
    """What a worker says of the application once it is loaded."""

    routes: tuple[str, ...] = ()  # health paths and files at the top that it answers itself
    migrations: bool = False
    statics: tuple[Static, ...] = ()
    handed: tuple[str, ...] = ()  # folders whose files it may hand over


def loaded(message: dict[str, Any]) -> Loaded:
    """A worker's message -> what it says. Text that nginx could not take is left out."""
    try:
        statics = [Static(str(url), str(folder), str(cache)) for url, folder, cache in message.get("statics", [])]
    except (TypeError, ValueError):
        statics = []
    return Loaded(
        tuple(str(path) for path in message.get("routes", [])),
        bool(message.get("migrations")),
        tuple(static for static in statics if _plain(static.url) and _plain(static.folder)),
        tuple(folder for folder in map(str, message.get("handed", [])) if _plain(folder)),
    )


def _plain(text: str) -> bool:
    return text.startswith("/") and not any(ord(letter) < 32 for letter in text)


def _below(path: str, directory: str) -> str:
    return os.path.join(directory, path)


def numbers() -> dict[str, int]:
    """Static folder -> the number of its copies, as `flagon static build` left them."""
    try:
        with open(MANIFEST, encoding="utf-8") as file:
            return {folder: int(entry["number"]) for folder, entry in json.load(file).items()}
    except (OSError, ValueError):
        return {}


def spa_file(boot: Boot) -> str:
    """SPA_INDEX as an absolute path; empty if it is not set."""
    given = boot.values["SPA_INDEX"]
    return _below(given, boot.directory) if given else ""


def files(boot: Boot, told: Loaded) -> Files:
    """All that nginx serves by itself, for this application."""
    values = boot.values
    statics = list(told.statics) if values["STATIC_FILES"] else []
    old = bool(boot.settings.old.seen)
    given = values["STATIC_URL"] or values["STATIC_PATH"] or values["STATIC_INDEX"]
    own_folder = os.path.join(boot.directory, "static")
    url = (values["STATIC_URL"] or "/static").rstrip("/") + "/"
    named = next((static.folder for static in statics if static.url == url), own_folder)
    folder = _below(values["STATIC_PATH"] or named, boot.directory)
    root = ""
    if given and url == "/":
        root = folder
    elif given or (old and os.path.isdir(folder)):
        statics = [Static(url, folder, strict=True)] + [static for static in statics if static.url != url]
    spa = spa_file(boot)
    prefix = values["URL_PREFIX"] or ""
    if prefix:  # the proxy in front may strip it or pass it on
        statics += [static._replace(url=prefix + static.url) for static in statics]
    top = _top(told, [static.folder for static in statics])
    built = numbers()
    statics = [static._replace(copies=built.get(static.folder)) for static in statics]
    # One location for each path; at / the application is asked for what is not there.
    by_url = {static.url: static for static in reversed(statics) if not static.url.startswith("/-/")}
    at_root = by_url.pop("/", None)
    root = root or (at_root.folder if at_root else "")
    return Files(
        statics=tuple(reversed(by_url.values())),
        index_page=url + "index.html" if values["STATIC_INDEX"] else "",
        root=os.path.dirname(spa) if spa else root,
        spa=spa,
        top=top,
        handed=told.handed if values["USE_X_ACCEL"] else (),
        https_only=values["FORCE_HTTPS"],
        host=values["STATIC_HOST"] or "",
        own=boot.users.locations,
    )


def _top(told: Loaded, folders: list[str]) -> tuple[tuple[str, str], ...]:
    """robots.txt and favicon.ico of a static folder, where the application has no route for them."""
    found = []
    for name in AT_THE_TOP:
        paths = [os.path.join(folder, name) for folder in dict.fromkeys(folders)]
        file = next((path for path in paths if os.path.isfile(path)), None)
        if file and "/" + name not in told.routes:
            found.append(("/" + name, file))
    return tuple(found)
