"""Whether the kernel has killed a process of this container for want of memory. Used on both sides."""

from __future__ import annotations

import contextlib

# cgroup v2 and v1; both have a line `oom_kill N` (kernel documentation: cgroup-v2.rst, memory.rst)
FILES = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
OWN_GROUP = "/proc/self/cgroup"
KILLED = (-9, 137)  # as a parent sees it, and as a shell says it of its child
MORE = "Give it more: docker run -m, `mem_limit` in a compose file, the platform's memory setting"


def count() -> int:
    """Kills so far; 0 where the kernel does not say."""
    for path in FILES:
        if (found := _count(path)) is not None:
            return found
    with contextlib.suppress(OSError, ValueError), open(OWN_GROUP, encoding="utf-8") as file:  # the host's namespace
        for line in file:
            _, controllers, group = line.rstrip("\n").split(":", 2)
            if not controllers or "memory" in controllers.split(","):
                root, _, name = FILES["memory" in controllers].rpartition("/")
                if (found := _count(f"{root}{group}/{name}")) is not None:
                    return found
    return 0


def _count(path: str) -> int | None:
    with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return None


_seen = count()


def more() -> bool:
    """Whether there was one since the last call, or since this process began."""
    global _seen
    before, _seen = _seen, count()
    return _seen > before


def why(code: int) -> str:
    """Of a program that ended with this code: that the memory was the reason, the limit and what to do; else empty."""
    return f"the kernel killed it for want of memory (OOM): {advice()}" if code in KILLED and more() else ""


def advice() -> str:
    """The limit, which file says it, and the next step."""
    from flagon import sizing  # only for this end

    found = sizing.machine()
    if "/" in found.memory_source and "meminfo" not in found.memory_source:
        return f"the container's limit is {found.memory} MB ({found.memory_source}). {MORE}"
    return f"the machine has {found.memory} MB, and the container no limit of its own. It needs a larger machine"
