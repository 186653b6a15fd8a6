"""`python -m bench.preload`: what PRELOAD and gc.freeze save, on the starter and on a Django project, in one run.

gc.freeze is part of PRELOAD; a gunicorn file of the user's takes it back, or does it without PRELOAD, for comparison.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from bench.engine import APPS, Container, docker, free_port, pss, running, wait_for
from bench.measure import measure
from bench.report import RESULTS

WORKERS = 4
DJANGO = "flagon-bench:django"
FREEZE = "import gc\ndef post_worker_init(worker):\n    gc.collect()\n    gc.freeze()\n"
THAW = "import gc\ndef post_fork(server, worker):\n    gc.unfreeze()\n"
CASES = {
    "off": ("off", ""),
    "off, gc.freeze in each worker": ("off", FREEZE),
    "on": ("on", ""),
    "on, no gc.freeze": ("on", THAW),
}
Row = tuple[float, float, float]


def build_django() -> None:
    """The runtime with Django and the project of bench/apps."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(APPS, "garden.py"), encoding="utf-8") as source:
            text = source.read()
        for name, content in (
            ("app.py", text),
            ("Dockerfile", "FROM flagon:runtime\nRUN pip install --no-cache-dir django\nCOPY app.py /app/\n"),
        ):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(content)
        docker("build", "--network", "host", "--tag", DJANGO, folder)


def one(image: str, preload: str, conf: str, name: str) -> Row:
    """(MB of all gunicorn processes, seconds to the open port, CPU microseconds a request)."""
    port = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(conf)
        file.flush()
        os.chmod(file.name, 0o644)
        mount = ("--volume", f"{file.name}:/gunicorn_conf.py:ro") if conf else ()
        variables = (
            f"PORT={port}",
            f"WEB_CONCURRENCY={WORKERS}",
            f"PRELOAD={preload}",
            "MIGRATE=off",
            "ACCESS_LOG=off",
        )
        options = [word for variable in variables for word in ("--env", variable)]
        container = Container(f"preload-{name}", port, *options, *mount, image, own_app=True)
        with running(container):
            wait_for(port)
            while list(container.processes().values()).count("app") < WORKERS + 1:
                time.sleep(0.05)
            seconds = float(re.search(r"after ([0-9.]+) s", docker("logs", container.name))[1])  # type: ignore[index]
            with ThreadPoolExecutor(16) as clients:
                list(clients.map(lambda _: wait_for(port), range(50 * WORKERS)))
            figures = measure(container, 3, 16)
            time.sleep(1)
            memory = sum(pss(pid) for pid, kind in container.processes().items() if kind == "app") / 1e6
            return memory, seconds, figures.app


def main() -> None:
    """Both tables."""
    build_django()
    lines = [f"{WORKERS} workers, 4 threads: PSS of all gunicorn processes after the same load; median of 3 runs."]
    for title, image in (("starter", "flagon:latest"), ("Django with its admin", DJANGO)):
        rows: dict[str, list[Row]] = {case: [] for case in CASES}
        for _ in range(3):
            for number, (case, (preload, conf)) in enumerate(CASES.items()):
                rows[case].append(one(image, preload, conf, str(number)))
                print(title, case, rows[case][-1], flush=True)
        lines += ["", f"| {title}, PRELOAD | MB | s to the open port | CPU us a request |", "| --- | --- | --- | --- |"]
        for case, found in rows.items():
            memory, seconds, cpu = (sorted(column)[1] for column in zip(*found, strict=True))
            lines.append(f"| {case} | {memory:.0f} | {seconds:.2f} | {cpu:.0f} |")
    os.makedirs(RESULTS, exist_ok=True)
    with open(os.path.join(RESULTS, "preload.md"), "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
