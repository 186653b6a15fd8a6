"""When each phase of the start was over, in milliseconds since the first process: LOG_LEVEL=debug shows it."""

from __future__ import annotations

import os
import time

_marks: list[tuple[str, float]] = []


def mark(phase: str) -> None:
    """This phase is over."""
    _marks.append((phase, time.clock_gettime(time.CLOCK_BOOTTIME)))


def marks() -> list[tuple[str, float]]:
    """What has been marked in this process."""
    return list(_marks)


def text(others: list[tuple[str, float]]) -> str:
    """`python 12, settings 40, ...`: ours and another process's, in their order."""
    with open("/proc/1/stat", encoding="utf-8") as file:
        begin = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    rows = sorted([*_marks, *others], key=lambda row: row[1])
    return ", ".join(f"{phase} {1000 * (moment - begin):.0f}" for phase, moment in rows)
