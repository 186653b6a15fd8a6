"""Who the box runs as: a container started as root becomes an ordinary user before anything of the user's runs."""

from __future__ import annotations

import os

USER, GROUP = 10001, 0


class CannotDrop(Exception):
    """RUN_AS names somebody that this process may not become."""


def wanted(run_as: str | None, application: str) -> tuple[int, int] | None:
    """(uid, gid) to become, or None to stay. `owner` is the owner of the application's directory."""
    if run_as == "root":
        return None
    if run_as == "owner":
        status = os.stat(application)
        return (status.st_uid, status.st_gid) if status.st_uid else None
    if run_as:
        uid, _, gid = run_as.partition(":")
        return (int(uid), int(gid or uid)) if int(uid) else None
    return USER, GROUP


def _hand_over(directory: str, uid: int, gid: int) -> None:
    """An empty directory that the new user cannot write to becomes theirs (a fresh volume belongs to root)."""
    try:
        status = os.stat(directory)
        if set(os.listdir(directory)) - {"lost+found"} or status.st_uid == uid:
            return
        os.chown(directory, uid, gid)
    except OSError:
        return


def drop(run_as: str | None, application: str, data: str) -> list[str]:
    """Become the wanted user if this is root. Returns warning lines. Raises CannotDrop."""
    if os.geteuid() != 0:
        return [] if not run_as else ["RUN_AS has no effect: the container was not started as root"]
    target = wanted(run_as, application)
    if target is None:
        return ["RUNNING AS ROOT because RUN_AS says so: a hole in the application is a hole in the container"]
    uid, gid = target
    for directory in (data, "/run/flagon"):
        if directory:
            _hand_over(directory, uid, gid)
    try:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        if run_as:
            raise CannotDrop(f"RUN_AS={run_as}: cannot become uid {uid}, gid {gid}: {error.strerror}") from None
        return [
            f"RUNNING AS ROOT: cannot become uid {uid} ({error.strerror}); give CAP_SETUID and CAP_SETGID, or --user"
        ]
    return []
