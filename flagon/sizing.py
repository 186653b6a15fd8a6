"""How large the box is: cgroup, affinity and memory -> workers, connections. Reads files, decides, explains."""

from __future__ import annotations

import math
import os
import resource
from typing import NamedTuple

from flagon import counted

MEGABYTE = 1 << 20
# A cgroup v1 without a limit says a number near 2**63; more than this is none.
NO_LIMIT = 1 << 50
# Measured on the image, see docs/decisions.md: supervisord, gunicorn's master and nginx together.
BOX_MEMORY = 48
WORKERS_MAX = 8
CONNECTIONS, CONNECTIONS_EACH = 12288, 4096  # of all nginx workers together, of each at least: 0.42 KB each, unused
CONNECTIONS_PER_MB = 4  # of the machine, each nginx worker's: busy ones hold buffers


class Machine(NamedTuple):
    """What the container may use, and which file or variable said so."""

    cpu: float  # processors, a fraction where a quota says so
    cpu_source: str
    memory: int  # MB
    memory_source: str


class Size(NamedTuple):
    """What follows from a Machine."""

    workers: int
    nginx_workers: int
    reason: str


def _read(root: str, path: str) -> str:
    try:
        with open(root + path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _own_groups(root: str) -> dict[str, str]:
    """controller -> this process's cgroup path ("" is the v2 key), for containers that share the host's namespace."""
    groups = {}
    for line in _read(root, "/proc/self/cgroup").splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            for controller in fields[1].split(","):
                groups[controller] = fields[2].rstrip("/")
    return groups


def _cgroup_files(root: str, controller: str, name_v2: str, name_v1: str) -> list[str]:
    """Candidate files for a limit: the mounted root first, then the own group below it, v2 and v1."""
    own = _own_groups(root)
    v2, v1 = "/sys/fs/cgroup", f"/sys/fs/cgroup/{controller}"
    return [
        f"{v2}/{name_v2}",
        f"{v2}{own.get('', '')}/{name_v2}",
        f"{v1}/{name_v1}",
        f"{v1}{own.get(controller, '')}/{name_v1}",
    ]


def _quota(root: str, path: str) -> float | None:
    text = _read(root, path)
    try:
        if path.endswith("cpu.max"):
            quota, period = text.split()
            return None if quota == "max" else int(quota) / int(period)
        period_v1 = int(_read(root, path.replace("cfs_quota_us", "cfs_period_us")))
        return int(text) / period_v1 if int(text) > 0 else None
    except (ValueError, ZeroDivisionError):
        return None


def machine(root: str = "", affinity: int | None = None, fly_memory: str = "") -> Machine:
    """Measure. `root` is put before every path, for tests with made-up trees."""
    cpu: float = affinity or len(os.sched_getaffinity(0))
    cpu_source = "affinity"
    for path in _cgroup_files(root, "cpu", "cpu.max", "cpu.cfs_quota_us"):
        quota = _quota(root, path)
        if quota and quota < cpu:
            cpu, cpu_source = quota, path
    memory, memory_source = 0, ""
    for line in _read(root, "/proc/meminfo").splitlines():
        fields = line.split()
        if line.startswith("MemTotal:") and len(fields) > 1 and fields[1].isdigit():
            memory, memory_source = int(fields[1]) * 1024, "MemTotal"
    for path in _cgroup_files(root, "memory", "memory.max", "memory.limit_in_bytes"):
        text = _read(root, path)
        if text.isdigit() and 0 < int(text) < (memory or NO_LIMIT):
            memory, memory_source = int(text), path
    if not memory:
        memory, memory_source = 512 * MEGABYTE, "a guess: /proc/meminfo is not readable"
    if fly_memory.isdigit() and 0 < int(fly_memory) * MEGABYTE < memory:
        memory, memory_source = int(fly_memory) * MEGABYTE, "FLY_VM_MEMORY_MB"
    return Machine(cpu, cpu_source, memory // MEGABYTE, memory_source)


def size(found: Machine, worker_memory: int) -> Size:
    """workers = clamp(min(ceil(cpu) + 1, (memory - box) / worker_memory), 1, 8).

    n + 1 and not 2n + 1, because threads already hide waiting; the cap bounds database connections and boot time.
    """
    by_cpu = math.ceil(found.cpu) + 1
    by_memory = max(0, found.memory - BOX_MEMORY) // worker_memory
    workers = max(1, min(by_cpu, by_memory, WORKERS_MAX))
    if workers == WORKERS_MAX and by_cpu > WORKERS_MAX:
        limit = f"the cap of {WORKERS_MAX}"
    elif by_cpu <= by_memory:
        limit = "CPU + 1"
    else:
        limit = f"memory at {worker_memory} MB a worker"
    reason = (
        f"{found.cpu:g} CPU from {found.cpu_source}, {found.memory} MB from {found.memory_source}: "
        f"{counted(workers, 'worker')} by {limit}"
    )
    return Size(workers, max(1, min(4, int(found.cpu))), reason)


def open_files() -> int:
    """Raise the soft limit of open files to the hard one and return it; unlimited counts as a million."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = 1_000_000 if hard == resource.RLIM_INFINITY else min(hard, 1_000_000)
    if soft != resource.RLIM_INFINITY and soft < target:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        except (OSError, ValueError):
            return soft
    return target


def connections(files: int, nginx_workers: int, memory: int) -> int:
    """nginx's worker_connections, at `memory` MB: a proxied request needs two descriptors; a few are files and logs."""
    wanted = min(max(CONNECTIONS // nginx_workers, CONNECTIONS_EACH), memory * CONNECTIONS_PER_MB)
    return max(64, min(wanted, (files - 64) // 2))
