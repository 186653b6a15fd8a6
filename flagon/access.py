"""Files of the application that its user cannot read or write: named at the boot, before something fails for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flagon.dangers import SKIPPED

if TYPE_CHECKING:
    from flagon.boot import Boot

LOOKED_AT = 5000  # files and folders: it is paid at each cold start
DATABASES = (".db", ".sqlite", ".sqlite3")
ADVICE = "RUN chown -R nginx /app in the Dockerfile, or set RUN_AS=owner, uid:gid, or root as in the old images"


def lines(boot: Boot) -> list[str]:
    """Warnings. What cannot be written is named for databases, and all of it where an old image's name is seen."""
    if not os.geteuid():
        return []
    everything = bool(boot.settings.old.seen)
    closed: list[str] = []
    fixed: list[str] = [boot.directory] if everything and not os.access(boot.directory, os.W_OK) else []
    looked = 0
    for folder, folders, files in os.walk(boot.directory):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        looked += len(folders) + len(files)
        if looked > LOOKED_AT:
            break
        for name in [*folders, *sorted(files)]:
            path = os.path.join(folder, name)
            if not os.access(path, os.R_OK | (os.X_OK if name in folders else 0)):
                closed.append(path)
            elif not os.access(path, os.W_OK) and (
                (name.endswith(DATABASES) and name in files) or (everything and name == "static" and name in folders)
            ):
                fixed.append(path)
    who = f"uid {os.geteuid()}, gid {os.getegid()}"
    found = [f"{who} cannot read {', '.join(closed)}: {ADVICE}"] if closed else []
    return found + ([f"{who} cannot write {', '.join(fixed)}: {ADVICE}"] if fixed else [])
