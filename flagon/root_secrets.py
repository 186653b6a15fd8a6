"""Secrets in files that only root can read (Docker's and compose's are 0600 root:root), read before root is dropped.

Only of names that the container's environment gives, and only where the application's user can have had no hand in
what the path leads to: each folder on the way, and behind each link, is opened from the one before it and looked at.
"""

from __future__ import annotations

import errno
import os
import stat

from flagon import text_file
from flagon.envfile import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Settings that table.py calls secret, and other people's names for them.
NAMES = (
    "SECRET_KEY", "DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL", "DATABASE_UNPOOLED_URL", "DIRECT_URL",
)  # fmt: skip
# Of a database in parts (flagon/database_sources.py, flagon/database_parts.py).
PARTS = (
    "POSTGRES_URI", "PGPASSWORD", "POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD", "MYSQL_PASSWORD", "MARIADB_PASSWORD",
    "DB_PASSWORD",
)  # fmt: skip
LONGEST = text_file.LARGEST_SECRET
MOST_LINKS = 40  # as the kernel's

kept: dict[str, str] = {}  # path -> text
refused: dict[str, str] = {}  # path -> why root does not read it


class _Refused(Exception):
    """The application's user may have written what lies there."""


def keep(environ: Mapping[str, str], uid: int, gid: int) -> None:
    """Read what is safe to be read as root; `uid` with `gid` may not be able to."""
    for name in (*NAMES, *PARTS):
        for variable in (f"FLAGON_{name}_FILE", f"{name}_FILE"):
            path = clean(environ.get(variable, ""))
            if not path:
                continue
            try:
                kept[path] = _read(path, uid, gid)
            except _Refused as error:
                refused[path] = str(error)
            except (OSError, UnicodeDecodeError):
                continue  # the final user's own try says why


def why(path: str, error: OSError | UnicodeDecodeError) -> str:
    """Why a file that <NAME>_FILE names cannot be read."""
    reason = getattr(error, "strerror", None) or str(error)
    permitted = getattr(error, "errno", None) in (None, errno.EFBIG, errno.EINVAL)  # and no rights would help
    return reason + ("" if permitted else advice(path))


def advice(path: str) -> str:
    """Why root has not read this one either, and what to do; "" where that was not the question."""
    if path not in refused:
        return ""
    why = f"and not read as root, because {refused[path]}"
    return f" for uid {os.geteuid()}, {why}: give that uid access to the file, or move it"


def _read(path: str, uid: int, gid: int) -> str:
    if not path.startswith("/"):
        raise _Refused("it is no absolute path")
    found = _open(path, uid, gid)
    try:
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode) or status.st_uid == uid:
            raise _Refused(f"it is no file, or uid {uid}'s own")
        with open(os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            data = file.read(LONGEST + 1)
    finally:
        os.close(found)
    if len(data) > LONGEST:
        raise _Refused(f"it is longer than {LONGEST} bytes")
    return data.decode()


def _open(path: str, uid: int, gid: int) -> int:
    """A descriptor (O_PATH) of what the path leads to."""
    words, links = _words(path), 0
    here = _top()
    try:
        while words:
            _look(here, uid, gid)
            there = os.open(words.pop(), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            status = os.fstat(there)
            if stat.S_ISLNK(status.st_mode):
                target, links = os.readlink("", dir_fd=there), links + 1
                os.close(there)
                if links > MOST_LINKS or status.st_uid == uid:
                    raise _Refused(f"a link on the way is uid {uid}'s, or leads in a circle")
                words += _words(target)
                there = _top() if target.startswith("/") else here
            if there != here:
                os.close(here)
                here = there
    except BaseException:
        os.close(here)
        raise
    return here


def _top() -> int:
    return os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _words(path: str) -> list[str]:
    """The parts of a path, the first one last."""
    return [word for word in path.split("/") if word not in ("", ".")][::-1]


def _look(directory: int, uid: int, gid: int) -> None:
    """Raises _Refused for a folder that the user, or anybody, can change.

    On a read-only mount a sticky folder of root's will do: that is how Kubernetes mounts a Secret.
    """
    status = os.fstat(directory)
    place = f"/proc/self/fd/{directory}"
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError
    own_group = status.st_gid == gid or "system.posix_acl_access" in os.listxattr(place)
    writable = stat.S_IWOTH | (stat.S_IWGRP if own_group else 0)
    if status.st_uid != uid and not status.st_mode & writable:
        return
    fixed = os.fstatvfs(directory).f_flag & os.ST_RDONLY
    if not (fixed and status.st_uid == 0 and status.st_mode & stat.S_ISVTX):
        raise _Refused(f"{os.readlink(place)} can be written by uid {uid}, gid {gid}")
