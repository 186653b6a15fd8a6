"""Who the box runs as: whatever of ours is started as root becomes an ordinary user before it reads a thing.

serve, every verb of `docker exec NAME flagon`, HEALTHCHECK and supervisorctl begin with `become`. Until then the
container's own environment decides alone: files in /app, /data and the run directory are the application's to write.
No imports here but of what costs nothing: gunicorn's interpreter is started after this (flagon/early.py).
"""

from __future__ import annotations

import errno
import os

from flagon import places
from flagon.envfile import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

USER, GROUP = 10001, 0
DATA, RUN = "/data", "/run/flagon"  # the image's own folders, as table.py and places.py name them
ENVIRONMENT = ("FLAGON_RUN_AS", "RUN_AS")
# No capability, or a user namespace without that uid: nothing that an application can bring about.
CANNOT = (errno.EPERM, errno.EINVAL)

was_root = False
lines: list[str] = []  # what `become` has to say, for the boot


class CannotDrop(Exception):
    """Root stays root where somebody else is wanted; nothing may be read then."""


def is_run_as(text: str) -> bool:
    """`owner`, `root`, or numbers as `uid` or `uid:gid`."""
    numbers = text.split(":")
    return text in ("owner", "root") or (
        len(numbers) < 3 and all(word.isascii() and word.isdigit() and len(word) < 10 for word in numbers)
    )


def is_folder(text: str) -> bool:
    """An absolute path of letters that mean nothing to nginx, supervisord, a shell, PATH or a database's URL."""
    return text.startswith("/") and all(letter.isalnum() or letter in "/._-+@=,~" for letter in text)


def _given(environ: Mapping[str, str], name: str, accepted: Callable[[str], bool]) -> str:
    """A setting as settings.py reads it, in the environment alone; what is not accepted becomes its error later."""
    found = (clean(environ.get(key, "")) for key in ("FLAGON_" + name, name))
    return next((text for text in found if text and accepted(text)), "")


def wanted(run_as: str, application: str) -> tuple[int, int] | None:
    """(uid, gid) to become, or None to stay. `owner` is the owner of the application's directory, never root.

    The application may remove a working directory below its own; the engine makes it anew, as root's.
    """
    if run_as == "owner":
        status = os.stat(application)
        # Where everybody may write, somebody may have led us: a folder of the application's may have become a link.
        return (status.st_uid, status.st_gid) if status.st_uid and not status.st_mode & 0o002 else (USER, GROUP)
    if run_as == "root":
        return None
    if run_as:
        uid, _, gid = run_as.partition(":")
        return (int(uid), int(gid or uid)) if int(uid) else None
    return USER, GROUP


def _hand_over(directory: str, uid: int, gid: int) -> None:
    """An empty directory that the new user cannot write to becomes theirs (a fresh volume belongs to root).

    Only what the engine has put there, and no link on the way: what lies in a volume, the application may have made.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if os.readlink(f"/proc/self/fd/{descriptor}") != directory:
            return
        if directory not in (DATA, RUN) and directory not in places.mount_points():
            return
        if os.fstat(descriptor).st_uid != uid and not set(os.listdir(descriptor)) - {"lost+found"}:
            os.fchown(descriptor, uid, gid)
    except OSError:
        return
    finally:
        os.close(descriptor)


def become(environ: Mapping[str, str], only_drop: bool = False) -> None:
    """Become the user that the container's environment names, if this is root. Raises CannotDrop.

    Before that, if not `only_drop`, what needs root: an empty data directory is handed over, and those files are read
    that `<NAME>_FILE` names and only root can read (flagon/root_secrets.py). Where a root shell may read from the same
    terminal, it returns in a child process with a terminal of its own (flagon/terminal.py). `only_drop` is for programs
    that run no code of the application's and replace themselves by no other: nobody can reach into such a process.
    """
    global was_root
    if os.geteuid() != 0:
        return
    was_root = True
    run_as = _given(environ, "RUN_AS", is_run_as)
    target = wanted(run_as, ".")
    if target is None:
        lines.append("RUNNING AS ROOT because RUN_AS says so: a hole in the application is a hole in the container")
        return
    uid, gid = target
    if run_as == "owner" and target == (USER, GROUP):
        lines.append(
            f"RUN_AS=owner: {os.getcwd()} belongs to root, or everybody may write there, so it is uid {uid} that runs; "
            "RUN_AS=root if root is meant"
        )
    if not only_drop:
        _prepare(environ, uid, gid)
        if _shares_terminal():
            _leave_terminal(uid)
    # What root had open stays its own: no program that comes after this gets it (a root shell's `exec 8</etc/shadow`).
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2:
            try:  # noqa: SIM105 - contextlib would cost a start
                os.set_inheritable(number, False)
            except OSError:
                pass  # the list's own
    try:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        if run_as or error.errno not in CANNOT:
            named = f"RUN_AS={run_as}: " if run_as else ""
            raise CannotDrop(f"{named}cannot become uid {uid}, gid {gid}: {error.strerror}") from None
        lines.append(
            f"RUNNING AS ROOT: cannot become uid {uid} ({error.strerror}); give CAP_SETUID and CAP_SETGID, or --user"
        )


def _prepare(environ: Mapping[str, str], uid: int, gid: int) -> None:
    for directory in (_given(environ, "DATA_DIR", is_folder).rstrip("/") or DATA, RUN):
        _hand_over(directory, uid, gid)
    if any(name.endswith("_FILE") for name in environ):
        from flagon import root_secrets

        root_secrets.keep(environ, uid, gid)


def _shares_terminal() -> bool:
    """Whether somebody else may read from a terminal of this process: it has not begun the terminal's session."""
    terminals = [number for number in (0, 1, 2) if os.isatty(number)]
    if os.getsid(0) == os.getpid():
        return not all(map(_is_controlling, terminals))
    if terminals:
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _is_controlling(terminal: int) -> bool:
    try:
        os.tcgetpgrp(terminal)
    except OSError:
        return False
    return True


def _leave_terminal(uid: int) -> None:
    from flagon import terminal

    try:
        terminal.leave(uid)
    except OSError as error:
        raise CannotDrop(f"no terminal of its own for uid {uid}: {error.strerror}") from None


class Lowered:
    """`with Lowered(environ):` files are opened with the rights of the user that root would become."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._target = wanted(_given(environ, "RUN_AS", is_run_as), ".") if os.geteuid() == 0 else None

    def uid(self) -> int:
        """Whose rights those are."""
        return self._target[0] if self._target else os.geteuid()

    def __enter__(self) -> None:
        self._groups, self._gid = os.getgroups(), os.getegid()
        if self._target is None:
            return
        uid, gid = self._target
        try:
            os.setgroups([])
            os.setegid(gid)
            os.seteuid(uid)
        except OSError as error:
            self.__exit__()
            if error.errno not in CANNOT:
                raise CannotDrop(f"cannot become uid {uid}, gid {gid}: {error.strerror}") from None
            self._target = None

    def __exit__(self, *_: object) -> None:
        if self._target is None:
            return
        os.seteuid(0)
        os.setegid(self._gid)
        try:
            os.setgroups(self._groups)
        except OSError as error:
            if error.errno not in CANNOT:
                raise


def remark(run_as: str | None, source: str) -> str:
    """What to say of RUN_AS, given by `source`; "" if it is what happened.

    A boot script's `exec flagon` is not root any more: the `flagon` that ran the script has become what RUN_AS says.
    """
    if not run_as:
        return ""
    named = source in ENVIRONMENT
    if (named and was_root) or _runs_as(run_as, named):
        return ""
    if named:
        return "RUN_AS has no effect: the container was not started as root"
    where = "" if was_root else ", and start it as root (no --user, no USER line)"
    return (
        f"{source} ({run_as}) is ignored: a file that the application may write does not decide who it runs as. "
        f"If it is meant, say so where the container is started: docker run -e RUN_AS={run_as}{where}"
    )


def _runs_as(run_as: str, with_group: bool) -> bool:
    """Whether this process is who `run_as` names; a file's group is not asked for."""
    uid, gid = wanted(run_as, ".") or (0, os.getegid())
    return uid == os.geteuid() and (not with_group or gid == os.getegid())
