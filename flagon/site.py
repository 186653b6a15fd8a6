"""What nginx serves by itself: from the settings, and from what the loaded application says of its own folders."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from flagon import published
from flagon.nginx_text import unfit
from flagon.statics import AT_THE_TOP, HIDDEN, MANIFEST, Files, Static

if TYPE_CHECKING:
    from flagon.boot import Boot


STATIC_SETTINGS = ("STATIC_PATH", "STATIC_URL", "STATIC_INDEX")


class Loaded(NamedTuple):
    """What a worker says of the application once it is loaded."""

    routes: tuple[str, ...] = ()  # health paths and files at the top that it answers itself
    migrations: bool = False
    statics: tuple[Static, ...] = ()
    handed: tuple[str, ...] = ()  # folders whose files it may hand over
    lines: tuple[str, ...] = ()  # warnings: static folders left to the application, threads in each worker


def loaded(message: dict[str, Any]) -> Loaded:
    """A worker's message -> what it says. What nginx cannot serve is left to the application, with a line."""
    statics, left = [], []
    for row in _list(message.get("statics")):
        if not isinstance(row, list) or len(row) != 3:
            continue
        url, folder, cache = map(str, row)
        static = Static(url, folder, cache)
        if why := _left(static):
            left.append(f"static files below {static.url!r:.200} are left to the application: {why}")
        else:
            statics.append(static)
    return Loaded(
        tuple(map(str, _list(message.get("routes")))),
        bool(message.get("migrations")),
        tuple(statics),
        tuple(folder for folder in map(str, _list(message.get("handed"))) if _is_folder(folder)),
        (*left, *map(str, _list(message.get("lines")))),
    )


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _is_folder(path: str) -> bool:
    return path.startswith("/") and not unfit(path)


def _left(static: Static) -> str:
    """Why nginx is not to serve it; empty if it is."""
    for what, text in (("url", static.url), ("folder", static.folder), ("Cache-Control", static.cache)):
        if why := unfit(text):
            return f"its {what} {why}"
    if not static.url.startswith("/") or not static.folder.startswith("/"):
        return "its url and its folder do not both begin with /"
    if {"", ".", ".."} & set(static.url.split("/")[1:-1]):
        return "nginx asks for no path with an empty segment, with . or .."
    return "/-/ is Flagon's own" if static.url.startswith("/-/") else ""


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


def protected(boot: Boot) -> dict[str, str]:
    """path -> what it is, of all that may not be published as a folder of files."""
    application = boot.application.directory
    found = {
        boot.directory: "the application's folder",
        application: "the application's folder",
        **({boot.working_directory: "the working directory"} if boot.working_directory else {}),
        boot.values["DATA_DIR"]: "the data directory",
        boot.run: "the run directory",
        boot.home: "Flagon's own folder",
    }
    if boot.database.kind == "sqlite" and boot.database.path:
        found[boot.database.path] = "the database"
    package = application
    for name in boot.application.target.partition(":")[0].split("."):
        package = os.path.join(package, name)
        if name and os.path.isdir(package):
            found.setdefault(package, "the application's package")
    return found


def refused(boot: Boot) -> list[str]:
    """Why what the settings name cannot be served; none, if it can."""
    values = boot.values
    found, never = files(boot, Loaded()), protected(boot)
    by_settings = [name for name in STATIC_SETTINGS if values[name]]
    folders = [(static.folder, by_settings) for static in found.statics]
    if found.root:
        folders.append((found.root, ["SPA_INDEX"] if found.spa else by_settings))
    errors = [
        f"{_given(boot, names)}: nginx would hand out every file of {folder}, which {held}. Put what browsers may have "
        f"into a folder of its own, such as {_below('dist', boot.directory)}, and name that"
        for folder, names in folders
        if (held := published.holds(folder, never))
    ]
    if re.search(HIDDEN, _url(values)):
        errors.append(f"{_given(boot, ['STATIC_URL'])}: hidden paths (/.name) are not served; name another path")
    return errors


def _given(boot: Boot, names: list[str]) -> str:
    """NAME=value and where it came from, of the settings that chose a folder; else the old images' way."""
    settings = boot.settings
    told = []
    for name in names:
        source = settings.sources[name]
        told.append(
            f"{name}={settings.raw.get(name) or settings.shown(name)}" + (f" ({source})" if source != name else "")
        )
    return ", ".join(told) or f"static files ({settings.by_mark})"


def served_anyway(boot: Boot) -> dict[str, Any]:
    """For the worker: who has said that nginx is to serve static folders, whatever lies around the application.

    `off`, `on`: the setting's words, `given`: the path that settings name, `old`: the one that the old images served,
    `old_folder`: from where, if it is there.
    """
    values = boot.values
    url = _url(values)
    given = any(values[name] for name in STATIC_SETTINGS)
    own_folder = _below("static", boot.directory)
    return {
        "off": not values["STATIC_FILES"],
        "on": values["STATIC_FILES"] and boot.settings.sources["STATIC_FILES"] != "default",
        "given": url if given else "",
        "old": url if boot.settings.old.seen else "",
        "old_folder": own_folder if boot.settings.old.seen and not given and os.path.isdir(own_folder) else "",
    }


def _url(values: Mapping[str, Any]) -> str:
    return str(values["STATIC_URL"] or "/static").rstrip("/") + "/"


def files(boot: Boot, told: Loaded, token: str = "") -> Files:
    """All that nginx serves by itself, for this application. `token`: see Files."""
    values = boot.values
    statics = list(told.statics) if values["STATIC_FILES"] else []
    old = bool(boot.settings.old.seen) and values["STATIC_FILES"]
    given = any(values[name] for name in STATIC_SETTINGS)
    own_folder = os.path.join(boot.directory, "static")
    url = _url(values)
    named = next((static.folder for static in statics if static.url == url), own_folder)
    folder = _below(values["STATIC_PATH"] or named, boot.directory)
    root = ""
    if given and url == "/":
        root = folder
    elif given or (old and os.path.isdir(folder)):
        statics = [Static(url, folder, strict=True)] + [static for static in statics if static.url != url]
    further = boot.settings.old.statics if values["STATIC_FILES"] else []
    urls = {url + "/" for url, _ in further}
    statics = [static for static in statics if static.url not in urls]
    statics += [Static(url + "/", folder) for url, folder in further]  # uWSGI asks the application for what is missing
    spa = spa_file(boot)
    prefix = values["URL_PREFIX"] or ""
    if prefix:  # the proxy in front may strip it or pass it on
        statics += [static._replace(url=prefix + static.url) for static in statics]
    top = _top(told, [static.folder for static in statics])
    built = numbers()
    statics = [static._replace(copies=built.get(static.folder)) for static in statics]
    # One location for each path; at / the application is asked for what is not there.
    by_url = {static.url: static for static in reversed(statics)}
    at_root = by_url.pop("/", None)
    root = root or (at_root.folder if at_root else "")
    return Files(
        statics=tuple(reversed(by_url.values())),
        index_page=url + "index.html" if values["STATIC_INDEX"] else "",
        root=os.path.dirname(spa) if spa else root,
        spa=spa,
        top=tuple(row for row in top if row[0] + "/" not in by_url),
        handed=told.handed if values["USE_X_ACCEL"] else (),
        token=token,
        database=os.path.realpath(boot.database.path) if boot.database.path else "",
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
