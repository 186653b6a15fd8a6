"""url_for('static', ...) gives the names that `flagon static build` made, for files that have not changed since."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from flagon import statics

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
DIGEST = re.compile(rf"\.[0-9a-f]{{{statics.DIGEST}}}(?=(?:\.[^./]*)?\Z)")
# Extensions that name files after their content themselves.
OTHERS = ("flask_static_digest", "static_digest", "cdn", "flask_cdn")
POLICIES = ("content-security-policy", "content-security-policy-report-only")
SOURCES = re.compile(r"((?:default|script|style|img|font|media|connect|manifest|worker)-src(?:-elem|-attr)?\s[^;]*)")


class Manifest:
    """What was built, and whether a file is still the one that it was built from."""

    def __init__(self, path: str) -> None:
        try:
            with open(path, encoding="utf-8") as file:
                self.folders: dict[str, dict[str, Any]] = json.load(file)
        except (OSError, ValueError):
            self.folders = {}
        self._same: dict[str, tuple[int, int]] = {}  # files whose date is another, whose content is the same

    def name(self, folder: str, path: str) -> str | None:
        """The digested name; None for a file that is not there or has changed since, a bind mount's for example."""
        row = self.folders.get(folder, {}).get("files", {}).get(path)
        if row is None:
            return None
        file = os.path.join(folder, path)
        try:
            facts = os.stat(file)
        except OSError:
            return None
        if facts.st_size != row[1]:
            return None
        if int(facts.st_mtime) != row[2] and self._same.get(file) != (facts.st_mtime_ns, facts.st_size):
            import hashlib  # not at the start

            with open(file, "rb") as opened:
                if hashlib.sha256(opened.read()).hexdigest() != row[3]:
                    return None
            self._same[file] = (facts.st_mtime_ns, facts.st_size)
        return str(row[0])


def teach_all(folders: Iterable[Any], manifest: Manifest, host: str) -> dict[str, str]:
    """teach() every application that names a folder; url -> folder of those whose names are digested."""
    done = {}
    owners = {id(found.application): found.application for found in folders if found.application is not None}
    for owner in owners.values():
        own = [found for found in folders if found.application is owner]
        if teach(owner, {found.endpoint: found.folder for found in own}, manifest, host):
            done.update({found.url: found.folder for found in own if found.folder in manifest.folders})
    return done


def teach(application: Any, endpoints: dict[str, str], manifest: Manifest, host: str) -> bool:
    """Have a Flask application's url_for name digested files. `endpoints`: endpoint -> folder. Whether any is ours."""
    known = {endpoint: folder for endpoint, folder in endpoints.items() if folder in manifest.folders}
    if not known or any(name in getattr(application, "extensions", {}) for name in OTHERS):
        return False

    def digested(endpoint: str, values: dict[str, Any]) -> None:
        folder = known.get(endpoint)
        if folder is not None and "filename" in values:
            values["filename"] = manifest.name(folder, values["filename"]) or values["filename"]

    # url_defaults() itself may be called only before the first request, and some applications make one while they load.
    application.url_default_functions.setdefault(None, []).append(digested)
    if host:
        _prefix(application, known, manifest, host)
    return True


def _prefix(application: Any, known: dict[str, str], manifest: Manifest, host: str) -> None:
    """url_for of Flask 2.2 and later is the application's method: digested urls get the CDN's host."""
    plain = application.url_for

    def url_for(endpoint: str, **values: Any) -> Any:
        url = plain(endpoint, **values)
        name = endpoint
        if endpoint.startswith("."):
            from flask import request

            name = f"{request.blueprint}{endpoint}" if request and request.blueprint else endpoint[1:]
        folder = known.get(name)
        digested = folder and manifest.name(folder, values.get("filename", ""))
        if not digested or quote(digested) not in url:
            return url
        return host + re.sub(r"\A(?:[a-z][a-z0-9+.-]*:)?//[^/]*", "", url)

    application.url_for = url_for
    application.jinja_env.globals["url_for"] = url_for


def behind(application: WSGI, folders: dict[str, str], host: str) -> WSGI:
    """A digested name that nginx does not have, of another release for example, is the plain one; and the application's
    Content-Security-Policy allows the CDN wherever it allows 'self'. `folders`: url -> folder."""
    prefixes = tuple(folders)

    def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(prefixes) and DIGEST.search(path):
            environ["PATH_INFO"] = _undigested(path, folders)
        if not host:
            return application(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, [_allowing(host, *header) for header in headers], exc_info)

        return application(environ, start)

    return wrapped


def _undigested(path: str, folders: dict[str, str]) -> str:
    """Without the digest, unless a file has it in its own name."""
    own = any(
        os.path.isfile(os.path.join(folder, path[len(url) :]))
        for url, folder in folders.items()
        if path.startswith(url)
    )
    return path if own else DIGEST.sub("", path)


def _allowing(host: str, name: str, value: str) -> tuple[str, str]:
    if name.lower() not in POLICIES:
        return name, value
    return name, SOURCES.sub(lambda found: found[0].replace("'self'", f"'self' {host}"), value)
