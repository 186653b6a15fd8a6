"""supervisorctl for the supervisord of the box that serves in this container, as its user."""

from __future__ import annotations

import os
import sys

from flagon import identity, printable, serving

SOCKET = "supervisor.sock"


def main() -> int:
    """Exit code of supervisor's own program; 1 where root cannot become the box's user."""
    printable.install()
    try:
        identity.become(os.environ, only_drop=True)
    except identity.CannotDrop as error:
        print(f"supervisorctl: {error}", file=sys.stderr)
        return 1
    found = [*serving.paths(SOCKET), os.path.join(identity.RUN, SOCKET)]
    from supervisor import supervisorctl  # type: ignore[import-untyped,unused-ignore]

    # Without a file of ours it would take /app/supervisord.conf, and the plug-ins that one names.
    supervisorctl.main(["-c", "/opt/flagon/supervisord.conf", "-s", f"unix://{found[0]}", *sys.argv[1:]])
    return 0
