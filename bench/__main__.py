"""`make bench`: Flagon and what else there is to pick, cell by cell, in one interleaved run. QUICK=1: three minutes."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile

from bench import chart, report
from bench.cells import CELLS, QUICK, Cell
from bench.engine import running
from bench.loads import LOADS, loop
from bench.measure import Figures
from bench.postgres import postgres
from bench.servers import SERVERS, build_peers, start

Rows = dict[Cell, list[Figures]]


def run(cells: list[Cell], options: argparse.Namespace, work: str, database: str) -> Rows:
    """All servers of a load are up; each repeat measures them one after the other, each time beginning with another."""
    rows: Rows = {cell: [] for cell in cells}
    for name in dict.fromkeys(cell.load for cell in cells):
        load, group = LOADS[name], [cell for cell in cells if cell.load == name]
        containers = {}
        try:
            for cell in group:
                if cell.server != "loop":
                    containers[cell] = start(SERVERS[cell.server], load, cell, work, database)
            for repeat in range(options.repeats):
                shift = repeat * 3 % len(group)
                for cell in (*group[shift:], *group[:shift]):
                    found = containers.get(cell)
                    figures = load.measure(found, options.seconds, cell) if found else loop(load, options.seconds)
                    rows[cell].append(figures)
                    print(f"{cell.name}: {report.short(figures)}", flush=True)
        finally:
            with running(*containers.values()):
                pass
    return rows


def main() -> None:
    """Arguments, the run, the report."""
    quick = bool(os.environ.get("QUICK"))
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--seconds", type=float, default=2 if quick else 5)
    parser.add_argument("--repeats", type=int, default=1 if quick else 3)
    parser.add_argument("--only", default="", help="loads, with commas: " + ",".join(LOADS))
    parser.add_argument("--servers", default="", help="servers, with commas: " + ",".join(SERVERS))
    options = parser.parse_args()
    cells = [cell for cell in CELLS if not quick or cell in QUICK]
    if options.only:
        cells = [cell for cell in CELLS if cell.load in options.only.split(",")]
    if options.servers:
        cells = [cell for cell in cells if cell.server in options.servers.split(",")]
    build_peers()
    work = tempfile.mkdtemp(prefix="flagon-bench.")
    try:
        with postgres(any(cell.load == "database" for cell in cells)) as database:
            rows = run(cells, options, work, database)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    report.save("latest", report.table(rows, options), rows)
    chart.save(rows)


if __name__ == "__main__":
    main()
