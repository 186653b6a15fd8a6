"""`python -m bench.coldstart`: from `docker run` to the first 200, Flagon against bare gunicorn in the same image."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import time
from statistics import median

from bench.engine import APPS, PREFIX, bare_gunicorn, docker, free_port, variables
from bench.report import RESULTS, spread

POLL = 0.005
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def answers(port: int) -> bool:
    """One poll."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(REQUEST)
        return connection.recv(64).startswith(b"HTTP/1.1 200")
    return False


def boot_time(pid: int) -> float:
    """CLOCK_BOOTTIME at which a process was made, to 10 ms."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return ticks / os.sysconf("SC_CLK_TCK")


def start(kind: str) -> tuple[float, float]:
    """(seconds since `docker run`, seconds since the container's first process) at the first 200."""
    port, name = free_port(), f"{PREFIX}cold-{kind}"
    command = ["docker", "run", "--detach", "--no-healthcheck", "--network", "host", "--name", name]
    command += ["--volume", f"{APPS}:/app:ro"]
    if kind == "flagon":
        command += [*variables(f"PORT={port}", "WEB_CONCURRENCY=2", "APP_MODULE=plain:app"), "flagon:runtime"]
    else:
        command += bare_gunicorn(port, "plain", "--workers 2")
    with contextlib.suppress(RuntimeError):
        docker("rm", "--force", name)
    began = time.monotonic()
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not answers(port):
            if time.monotonic() - began > 30:
                raise RuntimeError(f"{name} does not answer")
            time.sleep(POLL)
        answered, booted = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
        run.wait()
        pid = int(docker("inspect", "--format", "{{.State.Pid}}", name))
        return answered - began, booted - boot_time(pid)
    finally:
        run.wait()
        docker("rm", "--force", "--volumes", name)


def main() -> None:
    """Pairs, the first of each pair taking turns."""
    parser = argparse.ArgumentParser(prog="bench.coldstart")
    parser.add_argument("--pairs", type=int, default=2 if os.environ.get("QUICK") else 10)
    pairs = parser.parse_args().pairs
    times: dict[str, list[tuple[float, float]]] = {"flagon": [], "gunicorn": []}
    start("flagon"), start("gunicorn")  # the page cache is warm for both
    for number in range(pairs):
        for kind in sorted(times, reverse=bool(number % 2)):
            times[kind].append(start(kind))
    text = ["Seconds to the first 200, min / median / max.", ""]
    text += ["| | from `docker run` | from the container's first process |", "| --- | --- | --- |"]
    for kind, values in times.items():
        text.append(f"| {kind} | {spread([v[0] for v in values], '.2f')} | {spread([v[1] for v in values], '.2f')} |")
    ratios = [
        [ours[part] / theirs[part] for ours, theirs in zip(times["flagon"], times["gunicorn"], strict=True)]
        for part in (0, 1)
    ]
    text.append(f"| ratio of a pair | {spread(ratios[0], '.2f')} | {spread(ratios[1], '.2f')} |")
    medians = [median(v[part] for v in times["flagon"]) / median(v[part] for v in times["gunicorn"]) for part in (0, 1)]
    text.append(f"| ratio of the medians | {medians[0]:.2f} | {medians[1]:.2f} |")
    os.makedirs(RESULTS, exist_ok=True)
    with open(os.path.join(RESULTS, "coldstart.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
