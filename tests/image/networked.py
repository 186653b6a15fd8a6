"""A server in a container, on a docker network of the test's own: started, stopped, killed, paused, removed."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from types import TracebackType

from .box import docker, name_for

DEADLINE = 20.0

open_servers: list[Server] = []


@contextlib.contextmanager
def network() -> Iterator[str]:
    """A docker network; its name. Containers on it find each other by their names."""
    name = name_for()
    docker("network", "create", name)
    try:
        yield name
    finally:
        for container in docker("ps", "-aq", "--filter", f"network={name}", check=False).stdout.split():
            docker("network", "disconnect", "-f", name, container, check=False)
        docker("network", "rm", name, check=False)


@contextlib.contextmanager
def volume() -> Iterator[str]:
    """A named volume; its name."""
    name = name_for()
    docker("volume", "create", name)
    try:
        yield name
    finally:
        docker("volume", "rm", "-f", name, check=False)


class Server:
    """A container that others connect to, on `port` inside and on a port of 127.0.0.1 outside."""

    port: int
    image: str

    def __init__(self, network: str, name: str = "", deadline: float = DEADLINE) -> None:
        self.name, self.deadline = name or name_for(), deadline
        self.words = ["run", "-d", "--name", self.name, "--network", network, "-p", f"127.0.0.1::{self.port}"]
        self.arguments: list[str] = []
        self._final_log: str | None = None

    def __enter__(self):  # type: ignore[no-untyped-def]  # a Self before Python 3.11
        open_servers.append(self)
        try:
            docker(*self.words, self.image, *self.arguments)
            self.wait_ready()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self not in open_servers:
            return
        open_servers.remove(self)
        self._final_log = self.logs()
        if error is not None:
            print(self.report())
        docker("rm", "-f", "-v", self.name, check=False)

    # -- life

    def stop(self) -> None:
        """In order: clients are disconnected, everything is written."""
        docker("stop", "-t", "15", self.name)

    def kill(self) -> None:
        docker("kill", self.name)

    def start(self, wait: bool = True) -> None:
        docker("start", self.name)
        if wait:
            self.wait_ready()

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """Frozen: its sockets still acknowledge what arrives, and nobody reads it."""
        docker("pause", self.name)

    def unpause(self) -> None:
        docker("unpause", self.name)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self.pause()
        try:
            yield
        finally:
            self.unpause()

    def running(self) -> bool:
        return docker("inspect", "-f", "{{.State.Running}}", self.name).stdout.strip() == "true"

    def answers(self) -> bool:
        raise NotImplementedError

    def wait_ready(self) -> None:
        deadline = time.monotonic() + self.deadline
        while not (self.running() and self.answers()):
            if not self.running():
                raise AssertionError(f"{self.name} ended before it was ready")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} was not ready within {self.deadline} s")
            time.sleep(0.03)

    # -- talk

    @property
    def host_port(self) -> int:
        """The port of 127.0.0.1 (another after each start)."""
        return int(docker("port", self.name, f"{self.port}/tcp").stdout.split()[0].rpartition(":")[2])

    # -- read

    def logs(self) -> str:
        if self._final_log is not None:
            return self._final_log
        done = subprocess.run(
            ["docker", "logs", self.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
        )
        return done.stdout.decode("utf-8", "replace")

    def report(self) -> str:
        return f"--- log of {self.name} ({self.image} {' '.join(self.arguments)})\n{self.logs()}"
