"""One line if a worker needs more memory than it was sized for."""

from __future__ import annotations

import os
import time
from typing import Any

from flagon.inside import oom

PAUSE = 60.0  # seconds between two looks, the first is soon after boot


class Memory:
    """Which workers there are, and when they are looked at next."""

    def __init__(self, plugin: Any) -> None:
        self.plugin = plugin
        self.workers: set[int] = set()
        self.warned, self.next_look = False, 0.0

    def look(self, _: Any = None) -> None:
        """Called every five seconds."""
        oom.more()  # a worker's, which gunicorn's master has told
        now = time.monotonic()
        if self.warned or not self.plugin.port.opened or self.plugin.stop.under_way or now < self.next_look:
            return
        if self.plugin.box.boot.settings.sources["WEB_CONCURRENCY"] != "computed":
            return  # somebody has said how many workers: WORKER_MEMORY changes nothing
        self.next_look = now + PAUSE
        expected = self.plugin.box.values["WORKER_MEMORY"]
        self.workers = {pid for pid in self.workers if os.path.exists(f"/proc/{pid}")}
        largest = max((proportional_set_size(pid) for pid in self.workers), default=0)
        if largest > expected:
            self.warned = True
            text = f"a worker uses {largest} MB, WORKER_MEMORY is {expected}: set WORKER_MEMORY={largest}"
            self.plugin.output.record("flagon", "warning", f"{text} so that the number of workers fits the memory")


def proportional_set_size(pid: int) -> int:
    """PSS of a process in MB, 0 if it cannot be read (proc(5), smaps_rollup)."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return next((int(line.split()[1]) // 1024 for line in file if line.startswith("Pss:")), 0)
    except OSError:
        return 0
