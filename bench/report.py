"""Figures -> Markdown and JSON in bench/results/."""

from __future__ import annotations

import argparse
import json
import os
from statistics import median
from typing import TYPE_CHECKING

from bench.measure import Figures

if TYPE_CHECKING:
    from bench.cells import Cell

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")
HEAD = (
    "| server | app server | nginx | both | times Flagon's CPU | requests/s | times Flagon's p99 | p50 ms | p99 ms "
    "| PSS MB | errors |"
)


def short(figures: Figures) -> str:
    """One line while it runs."""
    errors = f", {figures.errors} ERRORS" if figures.errors else ""
    cost = f"app {figures.app:.1f} + nginx {figures.nginx:.1f} + supervisord {figures.supervisord:.1f} us"
    return f"{cost}, {figures.rate:.0f}/s, p50 {figures.p50:.2f} p99 {figures.p99:.2f} ms{errors}"


def spread(values: list[float], form: str = ".0f") -> str:
    """min / median / max."""
    return " / ".join(format(value, form) for value in (min(values), median(values), max(values)))


def ratios(ours: list[Figures], theirs: list[Figures], figure: str) -> list[float]:
    """This server divided by Flagon, repeat by repeat."""
    pairs = [(getattr(a, figure), getattr(b, figure)) for a, b in zip(ours, theirs, strict=False)]
    return [other / mine for mine, other in pairs if mine > 0]


def flagon(rows: dict[Cell, list[Figures]], load: str) -> list[Figures]:
    """What the others are divided by: Flagon's first cell of that load; none if it was not measured."""
    return next((runs for cell, runs in rows.items() if (cell.load, cell.server) == (load, "flagon")), [])


def table(rows: dict[Cell, list[Figures]], options: argparse.Namespace) -> str:
    """A table for each load."""
    text = [
        f"min / median / max of {options.repeats} runs of {options.seconds:g} s. CPU in microseconds a request, of all "
        "processes but supervisord's, whose share of Flagon's is given apart. Above 1.0 the other one needs more.",
    ]
    for load in dict.fromkeys(cell.load for cell in rows):
        text += ["", f"### {load}", "", HEAD, "|" + " --- |" * HEAD.count(" | ") + " --- |"]
        ours = flagon(rows, load)
        for cell, runs in rows.items():
            if cell.load == load:
                text.append(_row(cell, runs, ours))
    return "\n".join(text) + "\n"


def _row(cell: Cell, runs: list[Figures], ours: list[Figures]) -> str:
    cpu, late = ratios(ours, runs, "total"), ratios(ours, runs, "p99")
    app = spread([r.app for r in runs], ".1f")
    if cell.server == "flagon":
        app += f" (+ {median(r.supervisord for r in runs):.1f})"
    columns = [
        cell.variant, app, spread([r.nginx for r in runs], ".1f"), spread([r.total for r in runs], ".1f"),
        spread(cpu, ".2f") if cpu else "-", spread([r.rate for r in runs]), f"{median(late):.2f}" if late else "-",
        f"{median(r.p50 for r in runs):.2f}", spread([r.p99 for r in runs], ".2f"),
        f"{median(r.pss for r in runs):.0f}", str(sum(r.errors for r in runs)),
    ]  # fmt: skip
    return "| " + " | ".join(columns) + " |"


def save(name: str, text: str, rows: dict[Cell, list[Figures]]) -> None:
    """Print the table and keep it."""
    os.makedirs(RESULTS, exist_ok=True)
    with open(os.path.join(RESULTS, f"{name}.md"), "w", encoding="utf-8") as file:
        file.write(text)
    plain = [{**cell._asdict(), "runs": [run._asdict() for run in runs]} for cell, runs in rows.items()]
    with open(os.path.join(RESULTS, f"{name}.json"), "w", encoding="utf-8") as file:
        json.dump(plain, file, indent=1)
    print("\n" + text)
