"""What to do about a file that the application's user may not read or write: whose it is, and the line that mends it.

Used on both sides.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable

from flagon import places

NAMED = 5  # paths in one line of advice; more are their folder


def nearest(path: str) -> str:
    """The path, or the nearest folder above it that is there."""
    while not os.path.lexists(path):
        path = os.path.dirname(path) or "/"
    return path


def dockerfile(command: str, uid: int, was_root: bool) -> str:
    """Where the command goes. Without root at the start (`FROM flagon`, a USER line) a bare RUN would be refused."""
    if was_root:
        return f"In the Dockerfile, before a USER line: RUN {command}"
    return f"In the Dockerfile, each on a line of its own: `USER 0`, `RUN {command}`, `USER {uid}:{os.getegid()}`"


def of_one(path: str, uid: int, file: bool = False, was_root: bool = True) -> str:
    """Whose it is, and the line that mends it. `file`: what is not there yet is to be a file, so its folder matters."""
    path = os.path.abspath(path)
    there = nearest(path)
    status = os.lstat(there)
    whose = f"{there if there != path else 'it'} belongs to uid {status.st_uid}, mode {status.st_mode & 0o7777:o}"
    if (mount := places.mount_of(there)) != "/":
        return f"{whose}. {_of_mount(mount, status.st_uid, uid)}"
    if os.path.isfile(there):
        return f"{whose}. {dockerfile(f'chown {uid} {shlex.quote(there)}', uid, was_root)}"
    if file and there != path:
        return f"{whose}. {dockerfile(f'chown {uid} {shlex.quote(there)}', uid, was_root)}"
    quoted = shlex.quote(path)
    return (
        f"{whose}. {dockerfile(f'mkdir -p {quoted} && chown -R {uid} {quoted}', uid, was_root)}, and a "
        f"volume there, or what is kept in it ends with the container: docker run -v NAME:{quoted}"
    )


def of_several(paths: Iterable[str], uid: int, was_root: bool) -> str:
    """The same for many. `was_root`: the container was started as root, so RUN_AS has an effect."""
    wanted = list(paths)
    mounts = {mount: path for path in wanted if (mount := places.mount_of(path)) != "/"}
    lines = [_of_mount(mount, os.lstat(path).st_uid, uid) for mount, path in sorted(mounts.items())]
    inside = _tops([path for path in wanted if places.mount_of(path) == "/"])
    if inside:
        names = " ".join(map(shlex.quote, inside))
        how = f", or start the container with {_run_as(inside[0])}" if was_root else ""
        lines.append(dockerfile(f"chown -R {uid} {names}", uid, was_root) + how)
    return ". ".join(lines)


def of_database(closed: Iterable[str], uid: int, was_root: bool = False, run_as: bool = True) -> str:
    """The line for SQLite's files and their folder: of the folder itself and not of all that is in it."""
    paths = list(closed)
    mount = next((mount for path in paths if (mount := places.mount_of(path)) != "/"), "")
    if mount:
        return _of_mount(mount, os.lstat(paths[0]).st_uid, uid)
    line = dockerfile(f"chown {uid} {' '.join(map(shlex.quote, paths))}", uid, was_root)
    return line + (f", or start the container with {_run_as(paths[0])}" if was_root and run_as else "")


def _run_as(path: str) -> str:
    owner = os.lstat(path).st_uid
    return f"-e RUN_AS={owner}" if owner else "-e RUN_AS=root, as in the old images"


def _of_mount(mount: str, owner: int, uid: int) -> str:
    if places.is_anonymous(mount):
        quoted = shlex.quote(mount)
        return (
            f"{mount} is a volume without a name, which takes its owner from the image. In the Dockerfile, before its "
            f"VOLUME line and before a USER line: RUN mkdir -p {quoted} && chown -R {uid} {quoted}"
        )
    if owner:
        return f"{mount} is mounted: start the container with --user {owner}:0, or give it to uid {uid}"
    return (
        f"{mount} is mounted, so no Dockerfile changes it. Once: "
        f"docker run --rm --user 0 --entrypoint chown -v VOLUME:{mount} IMAGE -R {uid} {mount}"
    )


def _tops(paths: list[str]) -> list[str]:
    """Without what lies below another of them; the folder of all where they are many."""
    tops = [path for path in paths if not any(path.startswith(f"{other}/") for other in paths)]
    return tops if len(tops) <= NAMED else [os.path.commonpath(tops)]
