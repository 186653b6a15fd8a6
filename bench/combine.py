"""`python -m bench.combine RESULT.json...`: several runs of `make bench` as one table, that of docs/performance.md."""

from __future__ import annotations

import argparse
import json
from statistics import median

from bench import chart
from bench.cells import Cell
from bench.measure import Figures
from bench.report import flagon, ratios, spread

HEAD = "| load | server | CPU us a request, both | times Flagon's CPU | requests/s | p99 ms | PSS MB | errors |"


def read(paths: list[str]) -> dict[Cell, list[Figures]]:
    """All runs of each cell, in order."""
    rows: dict[Cell, list[Figures]] = {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for entry in json.load(file):
                runs = [Figures(**run) for run in entry.pop("runs")]
                rows.setdefault(Cell(**entry), []).extend(runs)
    return rows


def _row(cell: Cell, runs: list[Figures], ours: list[Figures]) -> str:
    cpu = ratios(ours, runs, "total")
    columns = [
        cell.load, f"**{cell.variant}**" if cell.server == "flagon" else cell.variant,
        spread([r.total for r in runs], ".1f"), "1" if runs is ours else spread(cpu, ".2f") if cpu else "-",
        f"{median(r.rate for r in runs):.0f}", spread([r.p99 for r in runs], ".2f"),
        f"{median(r.pss for r in runs):.0f}", str(sum(r.errors for r in runs)),
    ]  # fmt: skip
    return "| " + " | ".join(columns) + " |"


def main() -> None:
    """Print the table; the chart goes to bench/results/."""
    parser = argparse.ArgumentParser(prog="bench.combine")
    parser.add_argument("results", nargs="+", help="latest.json of one run each")
    rows = read(parser.parse_args().results)
    text = [HEAD, "|" + " --- |" * 8]
    text += [_row(cell, runs, flagon(rows, cell.load)) for cell, runs in rows.items()]
    chart.save(rows)
    print("\n".join(text))


if __name__ == "__main__":
    main()
