"""Figures -> Markdown and JSON in bench/results/."""

from __future__ import annotations

import argparse
import json
import os
from statistics import median

from bench.measure import Figures

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")
Rows = dict[str, list[Figures]]


def short(figures: Figures) -> str:
    """One line while it runs."""
    errors = f", {figures.errors} ERRORS" if figures.errors else ""
    cost = f"app {figures.app:.1f} + nginx {figures.nginx:.1f} us"
    return f"{cost}, {figures.rate:.0f}/s, p50 {figures.p50:.2f} p99 {figures.p99:.2f} ms{errors}"


def spread(values: list[float], form: str = ".0f") -> str:
    """min / median / max."""
    return " / ".join(format(value, form) for value in (min(values), median(values), max(values)))


def twin(name: str) -> str:
    """The Flagon row a server is compared with: the same number of threads a process."""
    return "flagon-4" if "-4" in name else "flagon-1"


def comparison(cells: dict[str, Rows], options: argparse.Namespace) -> str:
    """A table for each application."""
    text = [
        f"CPU microseconds a request, min / median / max of {options.repeats} runs of {options.seconds:g} s with "
        f"{options.connections} connections. Ratio: Flagon with the same threads, divided by this server, run by run."
    ]
    head = "| server | app server | nginx | total | Flagon / this | requests/s | p50 ms | p99 ms | errors |"
    for application, rows in cells.items():
        text += ["", f"### {application}", "", head, "|" + " --- |" * 9]
        for name, runs in rows.items():
            ours = rows.get(twin(name), [])
            ratios = [mine.total / theirs.total for mine, theirs in zip(ours, runs, strict=False)]
            text.append(
                f"| {name} | {spread([r.app for r in runs], '.1f')} | {spread([r.nginx for r in runs], '.1f')} "
                f"| {spread([r.total for r in runs], '.1f')} | {spread(ratios, '.2f') if ratios else '-'} "
                f"| {spread([r.rate for r in runs])} | {median(r.p50 for r in runs):.2f} "
                f"| {median(r.p99 for r in runs):.2f} | {sum(r.errors for r in runs)} |"
            )
    return "\n".join(text) + "\n"


def access(rows: Rows) -> str:
    """What each kind of log costs more than none."""
    head = "| access log, driver | app server | nginx | supervisord | a line costs: nginx | supervisord | both |"
    text = ["CPU microseconds a request, min / median / max.", "", head, "|" + " --- |" * 7]
    for kind, runs in rows.items():
        pairs = list(zip(runs, rows["off"], strict=True))
        nginx = [run.nginx - base.nginx for run, base in pairs]
        supervisord = [run.supervisord - base.supervisord for run, base in pairs]
        both = [one + other for one, other in zip(nginx, supervisord, strict=True)]
        columns = [[r.app for r in runs], [r.nginx for r in runs], [r.supervisord for r in runs]]
        columns += [nginx, supervisord, both]
        text.append(f"| {kind} | " + " | ".join(spread(column, ".1f") for column in columns) + " |")
    return "\n".join(text) + "\n"


def save(name: str, text: str, cells: dict[str, Rows]) -> None:
    """Print the table and keep it."""
    os.makedirs(RESULTS, exist_ok=True)
    with open(os.path.join(RESULTS, f"{name}.md"), "w", encoding="utf-8") as file:
        file.write(text)
    plain = {app: {who: [run._asdict() for run in runs] for who, runs in rows.items()} for app, rows in cells.items()}
    with open(os.path.join(RESULTS, f"{name}.json"), "w", encoding="utf-8") as file:
        json.dump(plain, file, indent=1)
    print("\n" + text)
