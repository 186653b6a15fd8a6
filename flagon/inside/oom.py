"""Whether the kernel has killed a process of this container for want of memory."""

from __future__ import annotations

import contextlib

# cgroup v2 and v1; both have a line `oom_kill N` (kernel documentation: cgroup-v2.rst, memory.rst)
FILES = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")

_seen = 0


def count() -> int:
    """Kills so far; 0 where the kernel does not say."""
    for path in FILES:
        with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            for line in file:
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return 0


def more() -> bool:
    """Whether there was one since the last call."""
    global _seen
    before, _seen = _seen, count()
    return _seen > before
