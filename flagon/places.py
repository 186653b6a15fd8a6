"""Where the box may write: the run directory, the data directory, and disk for request bodies."""

from __future__ import annotations

import fcntl
import os

APPLICATION_PYTHON = "/opt/venv/bin/python"
RUN_CANDIDATES = ("/run/flagon", "/tmp/flagon", "/dev/shm/flagon")
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})


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


def _usable(directory: str) -> bool:
    """Make it if need be; it must be ours alone, or the image's own folder, and no link of somebody else's."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        status = os.lstat(directory)
    except OSError:
        return False
    return not os.path.islink(directory) and not status.st_mode & 0o002 and writable(directory)


def run_directory(wanted: str | None, fresh: bool = True) -> str:
    """RUNTIME_DIR, else the first usable candidate; `fresh` empties it of an earlier run. Raises NoPlace."""
    # A folder of our own below what was given: it is emptied, and RUNTIME_DIR=/tmp is a likely thing to say.
    candidates = (os.path.join(wanted, "flagon"),) if wanted else RUN_CANDIDATES
    for directory in candidates:
        if _usable(directory):
            if fresh:
                _claim(directory)
                _empty(directory)
            return directory
    if wanted:
        raise NoPlace(f"RUNTIME_DIR={wanted} cannot be written by uid {os.geteuid()}")
    raise NoPlace(
        f"no writable directory: tried {', '.join(candidates)}. "
        "Give one: --tmpfs /tmp, or RUNTIME_DIR=/some/writable/directory."
    )


def in_run_directories(wanted: str, name: str) -> list[str]:
    """What is there by this name where a box may serve: its run directory was the first that was usable for it."""
    folders = (os.path.join(wanted, "flagon"),) if wanted else RUN_CANDIDATES
    return [path for path in (os.path.join(folder, name) for folder in folders) if os.path.exists(path)]


def _claim(directory: str) -> None:
    """One box serves from a run directory: the lock is held until this process ends. Raises NoPlace."""
    lock = os.open(os.path.join(directory, "lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise NoPlace(f"a box serves already from {directory}: end it first, or give another RUNTIME_DIR") from None


def _empty(directory: str) -> None:
    """Sockets, flags and fragments of an earlier start of the same container would lie."""
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if os.path.isdir(path) and not os.path.islink(path):
            import shutil  # not at each cold start: there is nothing to remove then

            shutil.rmtree(path, ignore_errors=True)
        elif name not in ("lock", "app.db", "app.db-wal", "app.db-shm"):
            os.unlink(path)


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
    return any(point == os.path.realpath(directory) for point, _ in _mounts())


def spool_directory(run: str, data: str | None) -> str:
    """Where nginx may put large bodies: on disk if there is any, else in the run directory."""
    for parent in (run, "/tmp", "/var/tmp", data):
        if parent and not in_memory(parent) and writable(parent):
            spool = os.path.join(parent, "spool" if parent == run else ".flagon-spool")
            try:
                os.makedirs(spool, mode=0o700, exist_ok=True)
            except OSError:
                continue
            if writable(spool):
                return spool
    spool = os.path.join(run, "spool")
    os.makedirs(spool, mode=0o700, exist_ok=True)
    return spool
