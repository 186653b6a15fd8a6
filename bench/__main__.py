"""`python -m bench`: CPU a request, Flagon and its peers in one run; `python -m bench access`: CPU a log line."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile

from bench import report
from bench.engine import running
from bench.measure import Figures, measure
from bench.servers import SERVERS, answering, build_peers, flagon, start

APPLICATIONS = ("plain", "hello")


def compare(options: argparse.Namespace) -> None:
    """Servers x applications. All servers of an application are up; each repeat measures them one after the other."""
    chosen = [server for server in SERVERS if not options.only or server.name in options.only.split(",")]
    build_peers()
    work = tempfile.mkdtemp(prefix="flagon-bench.")
    cells: dict[str, dict[str, list[Figures]]] = {}
    try:
        for application in options.apps.split(","):
            containers = {}
            rows = cells[application] = {server.name: [] for server in chosen}
            try:
                for server in chosen:
                    containers[server.name] = start(server, application, work)
                for repeat in range(options.repeats):
                    # Each repeat begins with another server, so that none always follows the same neighbour.
                    shift = repeat * 3 % len(chosen)
                    for server in (*chosen[shift:], *chosen[:shift]):
                        figures = measure(containers[server.name], options.seconds, options.connections)
                        rows[server.name].append(figures)
                        print(f"{application} {server.name}: {report.short(figures)}", flush=True)
            finally:
                with running(*containers.values()):
                    pass
    finally:
        shutil.rmtree(work, ignore_errors=True)
    report.save("latest", report.comparison(cells, options), cells)


def access(options: argparse.Namespace) -> None:
    """What an access line costs: the same load without lines, with them, and with them but kept by nobody."""
    kinds = {
        "off": ("ACCESS_LOG=off", "json-file"),
        "on, json-file": ("ACCESS_LOG=on", "json-file"),
        "on, none": ("ACCESS_LOG=on", "none"),
    }
    containers = {}
    rows: dict[str, list[Figures]] = {kind: [] for kind in kinds}
    try:
        for number, (kind, (variable, driver)) in enumerate(kinds.items()):
            containers[kind] = answering(
                flagon(f"access-{number}", "plain", variable, options=("--log-driver", driver))
            )
        for _ in range(options.repeats):
            for kind in kinds:
                rows[kind].append(measure(containers[kind], options.seconds, options.connections))
                print(f"{kind}: {report.short(rows[kind][-1])}", flush=True)
    finally:
        with running(*containers.values()):
            pass
    report.save("access", report.access(rows), {"access": rows})


def main() -> None:
    """Arguments, and which of the two."""
    quick = bool(os.environ.get("QUICK"))
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("mode", nargs="?", default="compare", choices=("compare", "access"))
    parser.add_argument("--seconds", type=float, default=1 if quick else 5)
    parser.add_argument("--repeats", type=int, default=1 if quick else 3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", default="", help="servers, with commas: " + ",".join(s.name for s in SERVERS))
    parser.add_argument("--apps", default=",".join(APPLICATIONS))
    options = parser.parse_args()
    {"compare": compare, "access": access}[options.mode](options)


if __name__ == "__main__":
    main()
