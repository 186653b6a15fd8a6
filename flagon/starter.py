"""`flagon starter`: the starter application as a tar on standard output, with a Dockerfile: the way to begin."""

from __future__ import annotations

import os
import sys
import tarfile

from flagon import USAGE_ERROR
from flagon.boot import HOME, STARTER

FILES = os.path.join(HOME, "starter-files")
HINT = "flagon starter writes a tar: docker run --rm flagon starter | tar -x -C my-folder"


def run(arguments: list[str]) -> int:
    """Write it; exit code 64 where nobody could use it, 66 where this image has none."""
    if arguments or os.isatty(1):
        print(HINT, file=sys.stderr)
        return USAGE_ERROR
    if not os.path.isdir(STARTER):
        print("flagon: this image has no starter: it is built from flagon:runtime", file=sys.stderr)
        return 66  # EX_NOINPUT
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        for folder, name in ((STARTER, "app"), (STARTER, "requirements.txt")):
            archive.add(os.path.join(folder, name), name, filter=_plain)
        archive.add(os.path.join(FILES, "Dockerfile"), "Dockerfile", filter=_plain)
        archive.add(os.path.join(FILES, "dockerignore"), ".dockerignore", filter=_plain)
    return 0


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Without bytecode, and owned by whoever unpacks it."""
    if entry.name.endswith((".pyc", "__pycache__")):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.isdir() else 0o644
    return entry
