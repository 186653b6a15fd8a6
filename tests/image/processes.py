"""Who runs in a box, by part, and signals to them."""

from __future__ import annotations

from typing import NamedTuple

from .box import Box

LIST = """
import os
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = " ".join(open(f"/proc/{pid}/cmdline").read().replace("\\0", " ").split())
        parent = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1]
    except OSError:
        continue
    if words:
        print(pid, parent, words)
"""
PARTS = ("supervisord", "nginx", "nginx worker", "gunicorn", "worker")


class Process(NamedTuple):
    """One process inside."""

    pid: int
    parent: int
    words: str


def processes(box: Box) -> list[Process]:
    """All of them, but for the one that looks."""
    rows = [line.split(" ", 2) for line in box.exec("python3", "-c", LIST).splitlines()]
    return [Process(int(pid), int(parent), words) for pid, parent, words in rows if "os.listdir" not in words]


def parts(box: Box) -> dict[str, list[int]]:
    """Pids by part."""
    found: dict[str, list[int]] = {name: [] for name in PARTS}
    running = processes(box)
    serving = {one.pid for one in running if "/opt/flagon/code/flagon/__main__.py serve" in one.words}
    masters = {one.pid for one in running if one.parent in serving and "run-gunicorn.py" in one.words}
    for one in running:
        if one.pid in serving:
            found["supervisord"].append(one.pid)
        elif "nginx: master" in one.words:
            found["nginx"].append(one.pid)
        elif "nginx: worker" in one.words:
            found["nginx worker"].append(one.pid)
        elif one.pid in masters:
            found["gunicorn"].append(one.pid)
        elif one.parent in masters:
            found["worker"].append(one.pid)
    return found


def send(box: Box, signal: str, *pids: int) -> None:
    """A signal from inside; a process that is gone is no error."""
    box.exec("sh", "-c", f"kill -{signal} {' '.join(map(str, pids))}; true", check=False)
