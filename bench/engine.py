"""Containers of the bench: started on the host's network, removed at the end, their processes found by cgroup."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator

APPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "apps")
PREFIX = "flagon-bench-"
DEADLINE = 30.0


def docker(*arguments: str) -> str:
    """Run docker; its output, or an exception with what it said."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def variables(*given: str) -> list[str]:
    """NAME=value, ... -> arguments of `docker run`."""
    return [word for variable in given for word in ("--env", variable)]


def bare_gunicorn(port: int, application: str, *options: str) -> list[str]:
    """Arguments of `docker run`: gunicorn alone in Flagon's image, as the same user."""
    words = ("exec gunicorn", *options, f"--bind 127.0.0.1:{port} --chdir /app {application}:app")
    return ["--user", "10001:0", "--entrypoint", "sh", "flagon:runtime", "-c", " ".join(words)]


def wait_for(port: int, path: str = "/", pause: float = 0.02) -> None:
    """Until 200."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2):
            return
        time.sleep(pause)
    raise RuntimeError(f"nothing answers on port {port}")


def pss(pid: int) -> int:
    """Bytes of one process; pages that several share are divided among them."""
    lines = _text(f"/proc/{pid}/smaps_rollup").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0) * 1024


class Container:
    """One running container."""

    def __init__(self, name: str, port: int, *arguments: str, own_app: bool = False) -> None:
        self.name, self.port = PREFIX + name, port
        with contextlib.suppress(RuntimeError):
            docker("rm", "--force", self.name)
        common = ("--detach", "--no-healthcheck", "--network", "host", "--name", self.name)
        mount = () if own_app else ("--volume", f"{APPS}:/app:ro")
        self.identity = docker("run", *common, *mount, *arguments)

    def processes(self) -> dict[int, str]:
        """pid -> kind: nginx, supervisord, or app (gunicorn's or uWSGI's master and workers)."""
        found = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    if self.identity in _text(f"/proc/{entry}/cgroup"):
                        found[int(entry)] = _kind(int(entry))
        return found

    def cpu(self) -> dict[str, float]:
        """Microseconds on a CPU so far, by kind: the scheduler's own count of every thread, in nanoseconds."""
        total = {"app": 0.0, "nginx": 0.0, "supervisord": 0.0}
        for pid, kind in self.processes().items():
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    total[kind] += int(_text(f"/proc/{pid}/task/{task}/schedstat").split()[0]) / 1000
        return total

    def pss(self) -> int:
        """Bytes of all processes."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                total += pss(pid)
        return total

    def log(self) -> str:
        """Its last lines."""
        done = subprocess.run(["docker", "logs", "--tail", "20", self.name], capture_output=True, text=True)
        return done.stdout + done.stderr

    def remove(self) -> None:
        docker("rm", "--force", "--volumes", self.name)


@contextlib.contextmanager
def running(*containers: Container) -> Iterator[None]:
    """Removes them whatever happens."""
    try:
        yield
    finally:
        for container in containers:
            with contextlib.suppress(RuntimeError):
                container.remove()


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _kind(pid: int) -> str:
    command = _text(f"/proc/{pid}/cmdline").replace("\0", " ")
    if command.startswith("nginx"):
        return "nginx"
    return "supervisord" if "/__main__.py serve" in command else "app"
