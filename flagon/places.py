"""Where the box may write: the run directory, the data directory, and disk for request bodies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable

from flagon.room import Spool

RUN_CANDIDATES = ("/run/flagon", "/tmp/flagon", "/dev/shm/flagon")
ELSEWHERE = ("/tmp", "/var/tmp", "/dev/shm")  # than in the run directory
SPOOLS = ("spool", ".flagon-spool")  # in the run directory; elsewhere
DISCARDED = ".discarded"  # a folder beside what was in it
ANONYMOUS = re.compile(r"/volumes/[0-9a-f]{64}/_data\Z")
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})
KEPT = ("lock", "app.db", "app.db-wal", "app.db-shm")  # what a start leaves of the one before
LONGEST_RUN = 80  # bytes: a socket's path has 107 (unix(7)), and supervisord makes its own under a longer name


class NoPlace(Exception):
    """Nothing is writable; the message says what to mount."""


def site_packages(home: str) -> list[str]:
    """The package folders of a virtual environment; none if it is none."""
    import glob  # not for every user of this module

    return glob.glob(os.path.join(glob.escape(home), "lib", "python3*", "site-packages"))


def writable(directory: str) -> bool:
    """Whether this uid can really create a file there: access() lies on read-only and some network file systems."""
    probe = os.path.join(directory, f".flagon-probe-{os.getpid()}")
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        os.unlink(probe)
    except OSError:
        return False
    return True


def open_to_others(directory: str) -> bool:
    """Whether other users may rename what lies in a directory, whoever owns that."""
    mode = os.stat(directory).st_mode
    return bool(mode & 0o022) and not mode & stat.S_ISVTX


def is_ours(path: str, kind: Callable[[int], bool] = stat.S_ISREG) -> bool:
    """A plain file of this user's, and no link; `kind` is stat.S_ISDIR for a folder."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return kind(status.st_mode) and status.st_uid == os.geteuid()


def take(directory: str) -> str:
    """Make it if need be, and keep everybody else out (0700). Why it cannot be used; empty if it can.

    In /tmp somebody else may have made it before us, or a link: the open folder is asked whose it is, not its name.
    """
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        return "is a link" if os.path.islink(directory) else f"{error.strerror}"
    try:
        status = os.fstat(folder)
        if status.st_uid != os.geteuid():
            return f"belongs to uid {status.st_uid}"
        if status.st_mode & 0o002:
            return "everybody may write there"
        if status.st_mode & 0o777 != 0o700:
            os.fchmod(folder, 0o700)
    except OSError as error:
        return f"{error.strerror}"
    finally:
        os.close(folder)
    return "" if writable(directory) else "cannot be written"


def keep_group_0_out(data: str) -> list[str]:
    """The owner of the data directory takes the rights of group 0, which any other uid here may have. Warnings.

    It is in the image for an arbitrary uid with gid 0 (OpenShift). Who owns the directory does not need it, and with it
    another uid could read the database, and put a secret_key of its own in the place of the box's.
    """
    try:
        status = os.lstat(data)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_gid:
            return []
        if status.st_mode & 0o070:
            os.chmod(data, stat.S_IMODE(status.st_mode) & ~0o070)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EROFS):
            return []
        return [f"{data} stays open for every uid with gid 0: {error.strerror}"]
    return []


def run_directory(wanted: str | None, fresh: bool = True) -> str:
    """RUNTIME_DIR, else the first usable candidate; `fresh` empties it of an earlier run. Raises NoPlace."""
    reasons = []
    for directory in _candidates(wanted):
        if fresh and len(os.fsencode(directory)) > LONGEST_RUN:
            raise NoPlace(f"RUNTIME_DIR={wanted} is too long: {LONGEST_RUN - len('/flagon')} bytes, for sockets' names")
        reason = take(directory) or (_claimed_and_emptied(directory) if fresh else "")
        if not reason:
            return directory
        reasons.append(f"{directory}: {reason}")
    if wanted:
        raise NoPlace(f"RUNTIME_DIR={wanted} cannot be used by uid {os.geteuid()}: {reasons[0]}")
    raise NoPlace(
        f"no writable directory for uid {os.geteuid()}: tried {'; '.join(reasons)}. "
        "Give one: --tmpfs /tmp, or RUNTIME_DIR=/some/writable/directory."
    )


def _candidates(wanted: str | None) -> tuple[str, ...]:
    # A folder of our own below what was given: it is emptied, and RUNTIME_DIR=/tmp is a likely thing to say.
    return (os.path.join(wanted, "flagon"),) if wanted else RUN_CANDIDATES


def _is_our_folder(directory: str) -> bool:
    """A run directory belongs to its box, and /tmp/flagon may be anybody's."""
    return is_ours(directory, stat.S_ISDIR)


def in_run_directories(wanted: str, name: str) -> list[str]:
    """What is there by this name where a box of this user's may serve: the first directory that was usable for it."""
    paths = (os.path.join(folder, name) for folder in _candidates(wanted) if _is_our_folder(folder))
    return [path for path in paths if os.path.exists(path)]


def nobody_serves(wanted: str, verb: str) -> str:
    """What to say where no box is found; another user's run directory is not looked into."""
    closed = [folder for folder in _candidates(wanted) if os.path.isdir(folder) and not _is_our_folder(folder)]
    if closed:
        uid = os.geteuid()
        return f"no box of uid {uid} serves here, and {closed[0]} is another user's: run this as its uid or as root"
    return f"no box serves here; run this in its container: docker exec NAME flagon {verb}"


def _claim(directory: str) -> None:
    """One box serves from a run directory: the lock is held until this process ends. Raises NoPlace."""
    path = os.path.join(directory, "lock")
    if os.path.lexists(path) and not is_ours(path):
        os.unlink(path)
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise NoPlace(f"a box serves already from {directory}: end it first, or give another RUNTIME_DIR") from None


def _claimed_and_emptied(directory: str) -> str:
    """Ours, and without what is not: why that cannot be; empty if it is. Raises NoPlace where a box serves."""
    try:
        _claim(directory)
        _empty(directory)
    except OSError as error:
        return f"{error.filename or 'a file in it'}: {error.strerror}"
    return ""


def _empty(directory: str) -> None:
    """Sockets, flags and fragments of an earlier start of the same container would lie; so would another user's files.

    Raises OSError.
    """
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if os.path.isdir(path) and not os.path.islink(path):
            if name == "spool":
                discard(path)
            elif name != DISCARDED:  # an earlier start's: it goes with the next spool
                import shutil  # not at each cold start: there is nothing to remove then

                shutil.rmtree(path)
        elif name not in KEPT or not is_ours(path):
            os.unlink(path)


def discard(*paths: str) -> None:
    """Put what lies in one folder aside, for a process of its own to remove: a start does not wait, however much it is.

    Raises OSError if it cannot be put aside.
    """
    if not paths:
        return
    aside = os.path.join(os.path.dirname(paths[0]), DISCARDED)
    os.makedirs(aside, mode=0o700, exist_ok=True)
    for path in paths:
        os.rename(path, os.path.join(aside, f"{time.time_ns()}-{os.path.basename(path)}"))
    with contextlib.suppress(OSError):  # no process to be had: it goes with the next one
        os.posix_spawnp("nice", ["nice", "rm", "-rf", "--", aside], os.environ)


def _mounts() -> list[tuple[str, str]]:
    """(mount point, file system type), the longest mount point first."""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
            rows = [line.split() for line in file][::-1]  # of two mounts on one point the later one is on top
    except OSError:
        return []
    return sorted(((row[1], row[2]) for row in rows if len(row) > 2), key=lambda row: -len(row[0]))


def in_memory(directory: str) -> bool:
    """Whether a directory lies on a RAM file system."""
    real = os.path.realpath(directory)
    for point, kind in _mounts():
        if real == point or real.startswith(point.rstrip("/") + "/"):
            return kind in MEMORY_FILE_SYSTEMS
    return False


def is_mount(directory: str) -> bool:
    """Whether something is mounted exactly there."""
    return os.path.realpath(directory) in mount_points()


def mount_points() -> list[str]:
    """Where something is mounted."""
    return [point for point, _ in _mounts()]


def is_anonymous(point: str, table: str = "/proc/self/mountinfo") -> bool:
    """Whether a volume without a name is mounted there, as VOLUME in a Dockerfile makes it: Docker's and Podman's are
    folders that are named by 64 hex digits."""
    try:
        with open(table, encoding="utf-8", errors="replace") as file:
            rows = [line.split() for line in file][::-1]
    except OSError:
        return False
    root = next((row[3] for row in rows if len(row) > 4 and row[4] == point), "")
    return ANONYMOUS.search(root) is not None


def mount_of(path: str) -> str:
    """The mount point that a path lies on; `/` for the container's own disk."""
    real = os.path.realpath(path)
    return max(
        (point for point in mount_points() if f"{real}/".startswith(f"{point.rstrip('/')}/")), key=len, default="/"
    )


def read_only(path: str) -> bool:
    """Whether its file system is mounted so: nobody can write there, and somebody has meant it."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def owned(path: str) -> str:
    """Whose it is, and its mode."""
    try:
        status = os.stat(path)
    except OSError as error:
        return f"{error.strerror}"
    return f"belongs to uid {status.st_uid}, mode {status.st_mode & 0o7777:o}"


def chown_once(mount: str, uid: int) -> str:
    """The command that gives a volume to a user; no Dockerfile can, and our entrypoint drops root."""
    return f"docker run --rm --user 0 --entrypoint chown -v VOLUME:{mount} IMAGE -R {uid} {mount}"


def needs(directory: str) -> str:
    """What a new volume at `directory` wants first, where it would be closed to this user; empty if it would be open.

    It takes owner and mode of the folder in the image, so a Dockerfile's own USER may not write it.
    """
    uid, groups = os.geteuid(), {os.getegid(), *os.getgroups()}
    try:
        status = os.stat(directory)
    except OSError:
        return ""
    shift = 6 if status.st_uid == uid else 3 if status.st_gid in groups else 0
    if not uid or is_mount(directory) or status.st_mode >> shift & 3 == 3:
        return ""
    by_group = (
        f", or start the container with --user {uid}:0" if status.st_mode & 0o30 == 0o30 and not status.st_gid else ""
    )
    return f". For uid {uid} first, in the Dockerfile before its USER line: RUN chown {uid} {directory}{by_group}"


def closed_mount(directory: str) -> str:
    """Why a mounted directory cannot be written, and what mends it; empty where it can, or nothing is mounted there."""
    mount, uid = mount_of(directory), os.geteuid()
    if mount == "/" or not os.path.isdir(directory):
        return ""
    if read_only(directory):
        return f"{directory} is mounted read-only, and what is kept there would end with this container: leave out :ro"
    probe = os.path.join(directory, f".flagon-probe-{os.getpid()}")
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        os.unlink(probe)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM):  # full, say
            return ""
    else:
        return ""
    owner = os.stat(directory).st_uid
    status = os.stat(directory)
    other = f", or start the container with --user {owner}" if owner else ""
    if not status.st_gid and status.st_mode & 0o30 == 0o30:
        other += f", or with --user {uid}:0, as group 0 may write it"
    other += f". A new volume takes the owner of the image's folder: RUN chown {uid} {directory} before the USER line"
    return (
        f"{directory} is mounted and cannot be written by uid {uid}: it {owned(directory)}. What is kept there would "
        f"end with this container. Once: {chown_once(mount, uid)}{other}"
    )


def unwritable(database: str) -> list[str]:
    """What keeps SQLite from writing: the file, those beside it, their folder (a new file is made in it).

    None where the file system is mounted read-only: then it is meant to be read.
    """
    folder = os.path.dirname(database)
    if not os.path.isdir(folder) or read_only(folder):
        return []
    files = [path for path in (database + end for end in ("", "-wal", "-shm", "-journal")) if os.path.exists(path)]
    closed = [path for path in files if not os.access(path, os.R_OK | os.W_OK)]
    return closed + ([] if os.access(folder, os.W_OK | os.X_OK) else [folder])


def is_spool(directory: str) -> bool:
    """Whether it may be one of those that `spool` makes."""
    return os.path.basename(directory) in SPOOLS


def volume(directory: str) -> tuple[str, str] | None:
    """(device, folder of its file system) of the mount that holds a directory; None for the container's own disk."""
    real = os.path.realpath(directory)
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            rows = [fields for fields in map(str.split, file) if len(fields) > 4]
    except OSError:
        return None
    found = ("/", "", "")
    for _, _, device, inner, point, *_ in rows:  # of two mounts on one point the later one is on top
        if len(point) >= len(found[0]) and (real == point or real.startswith(point.rstrip("/") + "/")):
            found = (point, device, inner)
    return None if found[0] == "/" else found[1:]


def on_one_volume(directory: str, data: str) -> bool:
    """Whether filling a directory fills the mounted volume that `data` lies on, mounted once or twice."""
    one, other = volume(directory), volume(data)
    if one is None or other is None or one[0] != other[0]:
        return False
    inner, outer = sorted((one[1].rstrip("/") + "/", other[1].rstrip("/") + "/"), key=len, reverse=True)
    return inner.startswith(outer)


def spool(run: str, kept: list[str]) -> Spool:
    """Where nginx may put large bodies: on disk if there is any, else in the roomiest memory. Raises NoPlace.

    Never on a volume that `kept` lies on, the data directory and the database: whoever may send a body could fill it.
    """
    found: list[Spool] = []
    for parent in (run, *ELSEWHERE):
        if found and parent == "/dev/shm":
            break  # programs share it for other ends
        folder = os.path.join(parent, SPOOLS[parent != run])
        memory = in_memory(parent)
        if not memory and any(on_one_volume(parent, directory) for directory in kept):
            continue
        if not take(folder):
            found.append(Spool(folder, memory, _free(parent)))
            if not memory:
                return found[-1]
    if not found:
        raise NoPlace(
            f"request bodies have no place: {run}, /tmp, /var/tmp and /dev/shm cannot be written, or lie on one volume "
            f"with {' or '.join(kept)}. Give one: --tmpfs /tmp, or a disk mounted at /tmp."
        )
    return max(found, key=lambda spool: spool.free)


def empty_spool(folder: str) -> None:
    """Without the bodies that an earlier start was killed over, and its pages, which may be of another release."""
    with contextlib.suppress(OSError):
        discard(*(os.path.join(folder, name) for name in os.listdir(folder) if name != DISCARDED))


def _free(directory: str) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize
