"""`python -m bench.memory`: what the idle box holds in memory (PSS), and how large the images are compressed."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

from bench.engine import Container, bare_gunicorn, docker, free_port, pss, running, variables, wait_for
from bench.report import RESULTS

IMAGES = ("flagon:runtime", "flagon:latest")
REQUESTS_PER_WORKER = 20


def parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def by_kind(container: Container) -> dict[str, list[int]]:
    """PSS of each process. A child of a process of its own kind is a worker."""
    found: dict[str, list[int]] = {}
    processes = container.processes()
    names = {"app": "gunicorn", "nginx": "nginx"}
    for pid, kind in processes.items():
        name = kind
        if kind in names:
            name = f"{names[kind]} {'worker' if processes.get(parent(pid)) == kind else 'master'}"
        found.setdefault(name, []).append(pss(pid))
    return found


def settled(container: Container, workers: int) -> dict[str, list[int]]:
    """After some requests, idle. Ends the container."""
    with running(container):
        wait_for(container.port)
        while len(by_kind(container).get("gunicorn worker", [])) < workers:
            time.sleep(0.05)
        with ThreadPoolExecutor(4 * workers) as clients:  # several at once, so that every worker gets its share
            list(clients.map(lambda _: wait_for(container.port), range(REQUESTS_PER_WORKER * workers)))
        time.sleep(1)
        return by_kind(container)


def total(column: dict[str, list[int]]) -> float:
    """MB."""
    return sum(sum(sizes) for sizes in column.values()) / 1e6


def hello(workers: int, bare: bool) -> float:
    """MB of a container of 512 MB with Flask hello and four threads: Flagon's, or gunicorn's alone in its image."""
    port = free_port()
    if bare:
        arguments = bare_gunicorn(port, "hello", f"--workers {workers} --threads 4")
    else:
        arguments = [*variables(f"PORT={port}", f"WEB_CONCURRENCY={workers}", "APP_MODULE=hello:app"), "flagon:runtime"]
    return total(settled(Container("memory-hello", port, "--memory", "512m", *arguments), workers))


def starter(workers: int) -> dict[str, list[int]]:
    """The default image with its starter application, after some requests, idle."""
    port = free_port()
    given = variables(f"PORT={port}", f"WEB_CONCURRENCY={workers}")
    return settled(Container(f"memory-{workers}", port, *given, "flagon:latest", own_app=True), workers)


def compressed(image: str) -> tuple[int, int]:
    """(bytes of all layers as a registry keeps them, gzip -6; bytes unpacked)."""
    with tempfile.TemporaryFile() as archive:
        subprocess.run(["docker", "save", image], stdout=archive, check=True)
        archive.seek(0)
        packed = 0
        with tarfile.open(fileobj=archive) as outer:
            member = outer.extractfile("manifest.json")
            assert member is not None
            for name in json.load(member)[0]["Layers"]:
                layer = outer.extractfile(name)
                assert layer is not None
                gzip = zlib.compressobj(6, zlib.DEFLATED, 31)
                while block := layer.read(1 << 20):
                    packed += len(gzip.compress(block))
                packed += len(gzip.flush())
    return packed, int(docker("image", "inspect", "--format", "{{.Size}}", image))


def main() -> None:
    """The three tables."""
    counts = (1, 3)
    columns = [starter(workers) for workers in counts]
    text = [
        f"Idle PSS in MB, starter application, 4 threads, after {REQUESTS_PER_WORKER} requests a worker. Other "
        "containers of these images on the machine would share pages and make it look smaller.",
        "",
    ]
    text += ["| process | " + " | ".join(f"{count} worker(s)" for count in counts) + " |", "|" + " --- |" * 3]
    for kind in sorted({kind for column in columns for kind in column}):
        cells = [" + ".join(f"{size / 1e6:.1f}" for size in column.get(kind, [])) for column in columns]
        text.append(f"| {kind} | " + " | ".join(cells) + " |")
    totals = [total(column) for column in columns]
    text.append("| all | " + " | ".join(f"{size:.1f}" for size in totals) + " |")
    step = (totals[1] - totals[0]) / (counts[1] - counts[0])
    text += ["", f"One more worker: {step:.1f} MB. Without workers' own: {totals[0] - step:.1f} MB.", ""]
    text += ["| Flask hello, 512 MB | Flagon | bare gunicorn | difference |", "| --- | --- | --- | --- |"]
    for count in counts:
        ours, theirs = hello(count, bare=False), hello(count, bare=True)
        text.append(f"| {count} worker(s) | {ours:.1f} | {theirs:.1f} | {ours - theirs:.1f} |")
    text += ["", "| image | compressed MB | unpacked MB |", "| --- | --- | --- |"]
    for image in IMAGES:
        packed, unpacked = compressed(image)
        text.append(f"| {image} | {packed / 1e6:.1f} | {unpacked / 1e6:.1f} |")
    os.makedirs(RESULTS, exist_ok=True)
    with open(os.path.join(RESULTS, "memory.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
