"""Figures -> one picture: CPU a request of every server, for the plain application and Flask's hello."""

from __future__ import annotations

import os
from statistics import median
from typing import TYPE_CHECKING

from bench.measure import Figures
from bench.report import RESULTS

if TYPE_CHECKING:
    from bench.cells import Cell

LOADS = {"plain": "plain WSGI application", "hello": "Flask hello"}
WIDTH, BAR, LABEL = 720, 18, 150
COLORS = {"app": "#3b6ea5", "nginx": "#8fb8de", "flagon": "#c2410c"}


def svg(rows: dict[Cell, list[Figures]]) -> str:
    """Horizontal bars, application server and nginx stacked; the longest fills the width."""
    bars = [(cell, runs) for cell, runs in rows.items() if cell.load in LOADS and cell.variant == cell.server]
    if not bars:
        return ""
    longest = max(median(run.total for run in runs) for _, runs in bars)
    parts, top = [], 10
    for load, title in LOADS.items():
        parts.append(f'<text x="0" y="{top + 12}" font-weight="bold">{title}, CPU microseconds a request</text>')
        top += 22
        for cell, runs in sorted((b for b in bars if b[0].load == load), key=lambda b: median(r.total for r in b[1])):
            parts.append(_bar(cell, runs, top, (WIDTH - LABEL - 60) / longest))
            top += BAR + 4
        top += 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" font-family="sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>' + "".join(parts) + "</svg>\n"
    )


def _bar(cell: Cell, runs: list[Figures], top: int, scale: float) -> str:
    app, nginx = median(run.app for run in runs) * scale, median(run.nginx for run in runs) * scale
    color = COLORS["flagon"] if cell.server == "flagon" else COLORS["app"]
    return (
        f'<text x="{LABEL - 8}" y="{top + 13}" text-anchor="end">{cell.server}</text>'
        f'<rect x="{LABEL}" y="{top}" width="{app:.1f}" height="{BAR}" fill="{color}"/>'
        f'<rect x="{LABEL + app:.1f}" y="{top}" width="{nginx:.1f}" height="{BAR}" fill="{COLORS["nginx"]}"/>'
        f'<text x="{LABEL + app + nginx + 6:.1f}" y="{top + 13}">{median(run.total for run in runs):.0f}</text>'
    )


def save(rows: dict[Cell, list[Figures]]) -> None:
    """bench/results/latest.svg."""
    with open(os.path.join(RESULTS, "latest.svg"), "w", encoding="utf-8") as file:
        file.write(svg(rows))
