"""`flagon static build`: digested names, rewritten style sheets and compressed copies, made once with the image.

Of each file of a static folder a copy named after its content goes to /opt/flagon/static, beside it what nginx hands to
clients that take gzip or brotli. The folder itself is left as it is. flagon/inside/static_urls.py uses the manifest.
It needs root for /opt/flagon, and has root's rights for that alone: what lies in a static folder is read with those of
the application's user, who may have put a link there (`docker exec` in a container that serves).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import sys
from typing import Any

from flagon import USAGE_ERROR, compression, counted, identity, published
from flagon.boot import HOME, STARTER
from flagon.css import references, rewrite
from flagon.statics import COPIES, DIGEST

# Named after its content already, by a bundler: `app-BX2f9c1a.js`, `main.3f2a9c1b.css`. At least a digit and a letter.
DIGESTED = re.compile(r"[.-](?=[A-Za-z_-]*[0-9])(?=[0-9_-]*[A-Za-z])[A-Za-z0-9_]{8,}(?:\.min)?\.[A-Za-z0-9]+\Z")
OTHERS = {"node_modules", "site-packages", "venv", ".venv", "env", "__pycache__"}
USAGE = "usage: flagon static build [FOLDER ...]   (every folder named static below the application, if none is given)"


def run(arguments: list[str]) -> int:
    """Exit code: 0, 64 for a wrong call or a folder that may not be public, 66 where a folder is not there, 73 where
    nothing can be written."""
    if arguments[:1] != ["build"]:
        print(USAGE, file=sys.stderr)
        return USAGE_ERROR
    given = [os.path.abspath(folder) for folder in arguments[1:]]
    lowered = identity.Lowered(os.environ)
    with lowered:
        for folder in given:
            if not os.path.isdir(folder):
                print(f"flagon: {folder}: no folder that uid {os.geteuid()} can see\n{USAGE}", file=sys.stderr)
                return 66  # EX_NOINPUT
        folders = given or static_folders(os.getcwd()) or static_folders(STARTER)
        never = {os.getcwd(): "the application's folder", os.environ.get("DATA_DIR") or "/data": "the data directory"}
        for folder in folders:
            if held := published.holds(folder, {**never, HOME: "Flagon's own folder"}):
                print(f"flagon: {folder}: {held}; its copies would be public. Name another folder", file=sys.stderr)
                return USAGE_ERROR
    try:
        report = build(folders, COPIES, lowered)
    except OSError as error:
        print(f"flagon: {error.filename}: {error.strerror}; build as root, before USER", file=sys.stderr)
        return 73  # EX_CANTCREAT
    for line in report:
        print(line)
    return 0


def static_folders(directory: str) -> list[str]:
    """Every folder named `static` below the application's, none within another."""
    found = []
    for place, names, _ in os.walk(directory):
        names[:] = sorted(name for name in names if name not in OTHERS and not name.startswith("."))
        if "static" in names:
            found.append(os.path.join(place, "static"))
            names.remove("static")
    return found


def build(folders: list[str], place: str, lowered: identity.Lowered) -> list[str]:
    """Replace what is at `place` by the copies of these folders' files, read `lowered`; a line for each folder."""
    new = place + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    sources = {folder: Source(folder, lowered) for folder in folders}
    manifest: dict[str, Any] = {}
    report = []
    for number, source in enumerate(sources.values()):
        source.digest([other for other in sources.values() if other is not source])
        size = source.write(os.path.join(new, str(number)))
        manifest[source.folder] = {"number": number, "files": source.manifest()}
        files, plain = counted(len(source.names), "file"), counted(size[0], "byte")
        report.append(f"{source.folder}: {files}, {plain}; {size[1]:,} with brotli")
        report += [f"{source.folder}: left out, as {reason}: {path}" for path, reason in source.left_out.items()]
    with open(os.path.join(new, "manifest.json"), "w", encoding="utf-8") as file:
        json.dump(manifest, file, sort_keys=True, separators=(",", ":"))
    shutil.rmtree(place, ignore_errors=True)
    os.rename(new, place)
    return report


class Source:
    """One static folder: its files and the names that they get."""

    def __init__(self, folder: str, lowered: identity.Lowered) -> None:
        self.folder, self.lowered = folder, lowered
        with lowered:
            self.files = {path: os.path.join(folder, path) for path in _files(folder)}
        self.left_out: dict[str, str] = {}  # path -> why
        self.names: dict[str, str] = {}  # path -> path with its digest
        self.contents: dict[str, bytes] = {}  # style sheets, rewritten
        self.digests: dict[str, str] = {}  # path -> SHA-256 of the file as it is
        self.facts: dict[str, os.stat_result] = {}

    def digest(self, others: list[Source]) -> None:
        """Name every file. A style sheet after those that it names, for its content holds their names."""
        for path in sorted(self.files, key=lambda path: (path.endswith(".css"), path)):
            self._name(path, others, ())

    def _name(self, path: str, others: list[Source], on_the_way: tuple[str, ...]) -> str:
        """The name with the digest; the plain one for what is not ours, named already, or in a circle of imports."""
        if path in self.names:
            return self.names[path]
        if path not in self.files or path in on_the_way or DIGESTED.search(path):
            return path
        try:
            content, self.facts[path] = self._read(path)
        except PermissionError:
            who = self.lowered.uid()
            self.left_out[path] = f"uid {who} cannot read it (chmod a+r, or ENV RUN_AS before this)"
            return path
        self.digests[path] = hashlib.sha256(content).hexdigest()
        if path.endswith(".css"):
            found = {}
            for url in references(content):
                target = self._target(path, url, others)
                if target:
                    name = self._name(target, others, (*on_the_way, path))
                    found[url] = _relative(name, path) if name != target else url
            content = self.contents[path] = rewrite(content, found)
        stem, extension = os.path.splitext(path)
        self.names[path] = f"{stem}.{hashlib.sha256(content).hexdigest()[:DIGEST]}{extension}"
        return self.names[path]

    def _read(self, path: str) -> tuple[bytes, os.stat_result]:
        """A file's content, and the facts of what was read. Raises OSError."""
        with self.lowered:
            descriptor = os.open(self.files[path], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise OSError(errno.EINVAL, "is no file any more", self.files[path])
            return file.read(), facts

    def _target(self, sheet: str, url: str, others: list[Source]) -> str:
        """The file of this folder that a style sheet means; "" for everything else."""
        if url.startswith("/static/"):
            path = url[len("/static/") :]
            return path if not any(path in other.files for other in others) else ""
        if url.startswith("/") or ":" in url.split("/", 1)[0]:
            return ""
        path = os.path.normpath(os.path.join(os.path.dirname(sheet), url))
        return path if path in self.files else ""

    def write(self, place: str) -> tuple[int, int]:
        """The copies; (bytes plain, bytes as a client that takes brotli gets them)."""
        plain = packed = 0
        for path, name in self.names.items():
            content = self.contents.get(path) or self._read(path)[0]
            target = os.path.join(place, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            copies = {"": content, **(compression.copies(content) if path.endswith(compression.EXTENSIONS) else {})}
            for suffix, data in copies.items():
                with open(target + suffix, "wb") as file:
                    file.write(data)
                date = self.facts[path].st_mtime_ns  # one date, whenever the image is built
                os.utime(target + suffix, ns=(date, date))
                os.chmod(target + suffix, 0o644)
            plain += len(content)
            packed += len(copies.get(".br", content))
        return plain, packed

    def manifest(self) -> dict[str, list[Any]]:
        """path -> name, and the size, date and SHA-256 by which the file is known again."""
        rows = {}
        for path, name in self.names.items():
            facts = self.facts[path]
            rows[path] = [name, facts.st_size, int(facts.st_mtime), self.digests[path]]
        return rows


def _files(folder: str) -> list[str]:
    """Paths below a folder, without hidden files and links that leave it."""
    found = []
    inside = os.path.realpath(folder) + os.sep
    for place, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(place, name)
            real = os.path.realpath(path)
            if not name.startswith(".") and real.startswith(inside) and os.path.isfile(real):
                found.append(os.path.relpath(path, folder))
    return found


def _relative(name: str, sheet: str) -> str:
    return os.path.relpath(name, os.path.dirname(sheet) or ".")
