"""One measurement: wrk or h2load for a few seconds, and what it cost on the CPU and in memory."""

from __future__ import annotations

import re
import subprocess
import tempfile
from typing import NamedTuple

from bench.engine import Container

UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}


class Figures(NamedTuple):
    """CPU in microseconds a request; latencies in milliseconds, seen on the same machine; PSS in MB."""

    app: float
    nginx: float
    supervisord: float
    rate: float
    p50: float
    p99: float
    requests: int
    errors: int
    pss: float

    @property
    def total(self) -> float:
        """Application server and nginx."""
        return self.app + self.nginx


def wrk(
    port: int, seconds: float, connections: int, path: str = "/", script: str = "", headers: tuple[str, ...] = ()
) -> tuple[int, float, float, float, int]:
    """(requests, requests a second, p50, p99, errors)."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "--latency"]
    command += ["-s", script] if script else []
    command += [word for header in headers for word in ("-H", header)]
    command += [f"http://127.0.0.1:{port}{path}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def number(pattern: str) -> float:
        found = re.search(pattern, text)
        return float(found[1]) if found else 0.0

    def milliseconds(percent: str) -> float:
        found = re.search(rf"{percent}%\s+([\d.]+)([a-z]+)", text)
        return float(found[1]) * UNITS[found[2]] if found else 0.0

    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = int(number(r"Non-2xx or 3xx responses: (\d+)"))
    errors += sum(map(int, socket_errors.groups())) if socket_errors else 0
    requests = int(number(r"(\d+) requests in"))
    return requests, number(r"Requests/sec:\s+([\d.]+)"), milliseconds("50"), milliseconds("99"), errors


def paced(port: int, seconds: float, connections: int, path: str, rate: int) -> tuple[int, float, float, float, int]:
    """The same at `rate` requests a second, whatever the server could do: only so are latencies comparable.

    h2load does not send more than some 200 a second on one connection.
    """
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
        command = ["h2load", "--h1", "-t1", f"-c{connections}", f"--rps={rate / connections:g}", f"-D{seconds:g}"]
        command += [f"--log-file={log.name}", f"http://127.0.0.1:{port}{path}"]
        subprocess.run(command, capture_output=True, check=True, timeout=seconds + 30)
        rows = [line.split("\t") for line in log]
    taken = sorted(int(row[2]) / 1000 for row in rows) or [0.0]
    errors = sum(row[1] != "200" for row in rows)
    return len(rows), len(rows) / seconds, taken[len(taken) // 2], taken[len(taken) * 99 // 100], errors


def measure(
    container: Container,
    seconds: float,
    connections: int,
    path: str = "/",
    script: str = "",
    headers: tuple[str, ...] = (),
    rate: int = 0,
) -> Figures:
    """A short warm-up, then the run: as fast as it goes, or at `rate` requests a second."""

    def run(so_long: float) -> tuple[int, float, float, float, int]:
        if rate:
            return paced(container.port, so_long, connections, path, rate)
        return wrk(container.port, so_long, connections, path, script, headers)

    run(1)
    before = container.cpu()
    requests, reached, p50, p99, errors = run(seconds)
    after = container.cpu()
    cost = {kind: (after[kind] - before.get(kind, 0)) / max(1, requests) for kind in after}
    return Figures(
        cost["app"], cost["nginx"], cost["supervisord"], reached, p50, p99, requests, errors, container.pss() / 2**20
    )  # fmt: skip
