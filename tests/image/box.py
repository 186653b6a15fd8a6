"""Starts the image, talks to it, stops it. Every container has a deadline and is removed, whatever happens."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

Record = dict[str, Any]

IMAGE = os.environ.get("IMAGE", "flagon")
RUNTIME = os.environ.get("RUNTIME_IMAGE", "flagon:runtime")
FULL = os.environ.get("FLAGON_CAMPAIGN") == "full"
# The whole suite on the other wire: WIRE=gthread make test.
WIRE = os.environ.get("WIRE", "")
START_DEADLINE = 20.0

_numbers = itertools.count(1)
open_boxes: list[Box] = []


def size(sample: int, full: int) -> int:
    """How much of a campaign to run."""
    return full if FULL else sample


def docker(*words: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """One docker command, both outputs as text (stderr apart)."""
    done = subprocess.run(
        ["docker", *words],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.DEVNULL,
        timeout=timeout,
    )
    if check and done.returncode:
        raise RuntimeError(f"docker {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def name_for() -> str:
    return f"flagon-test-{os.getpid()}-{next(_numbers)}"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def write_files(files: Mapping[str, str | bytes], folder: Path | None = None) -> Path:
    """A folder that every user can read, with these files in it."""
    root = folder or Path(tempfile.mkdtemp(prefix="flagon-test-"))
    root.chmod(0o755)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(0o644)
        for parent in path.relative_to(root).parents:
            (root / parent).chmod(0o755)
    return root


def env_options(env: Mapping[str, str] | None, wire: bool = True) -> list[str]:
    given = dict(env or {})
    if WIRE and wire and not {"WORKER_CLASS", "FLAGON_WORKER_CLASS"} & given.keys():
        given["WORKER_CLASS"] = WIRE
    return [word for name, value in given.items() for word in ("-e", f"{name}={value}")]


def run_once(
    command: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    args: Sequence[str] = (),
    image: str = IMAGE,
    timeout: float = 60,
    files: Mapping[str, str | bytes] | None = None,
) -> subprocess.CompletedProcess[str]:
    """`docker run --rm` to its end. `stdout` and `stderr` apart; `-i` with no input."""
    name = name_for()
    folder = write_files(files) if files is not None else None
    mount = ["-v", f"{folder}:/app"] if folder else []
    try:
        done = docker(
            *("run", "--rm", "--name", name, *env_options(env), *mount, *args, image, *command),
            check=False,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as late:
        text = b"".join(part for part in (late.stdout, late.stderr) if isinstance(part, bytes))
        raise AssertionError(f"no end within {timeout} s; so far:\n{text.decode(errors='replace')}") from None
    finally:
        docker("rm", "-f", "-v", name, check=False)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"$ docker run {image} {' '.join(command)} -> {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def raw(port: int, data: bytes, host: str = "127.0.0.1", timeout: float = 5.0) -> bytes:
    """Sends these bytes and returns all that comes until the other side closes or falls silent for `timeout`."""
    received = b""
    with socket.create_connection((host, port), timeout=timeout) as wire:
        wire.settimeout(timeout)
        try:
            wire.sendall(data)
            while piece := wire.recv(65536):
                received += piece
        except (TimeoutError, ConnectionResetError, BrokenPipeError):
            pass
    return received


def wait_until(true: Callable[[], Any], seconds: float = 10.0, what: str = "") -> Any:
    """Asks until the answer is true; returns it."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := true():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or true}")
        time.sleep(0.05)


@contextlib.contextmanager
def child_image(dockerfile: str, files: Mapping[str, str | bytes]) -> Iterator[str]:
    """An image built from these lines and files; its tag. Gone afterwards."""
    tag = name_for()
    folder = write_files({**files, "Dockerfile": dockerfile})
    try:
        docker("build", "--network", "host", "--force-rm", "--tag", tag, str(folder), timeout=240)
        yield tag
    finally:
        docker("rmi", "-f", tag, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def wheel(name: str, version: str, files: Mapping[str, str]) -> tuple[str, bytes]:
    """(file name, content) of a package that pip installs without an index."""
    info = f"{name}-{version}.dist-info"
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{info}/RECORD"
    content[record] = "".join(f"{path},,\n" for path in (*content, record))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    return f"{name}-{version}-py3-none-any.whl", buffer.getvalue()


class Box:
    """A container of the image: `with Box(env=...) as box: box.get("/")`.

    files     written to a new folder that is mounted at /app
    mounts    host folder -> container folder
    args      more options for docker run
    port      the container's port that is published (further ones: `ports`)
    wait      until /up answers 200; False: return at once
    migrated  wait, too, for the end of a migration that runs beside the start
    """

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        args: Sequence[str] = (),
        command: Sequence[str] = (),
        image: str = IMAGE,
        mounts: Mapping[str | Path, str] | None = None,
        files: Mapping[str, str | bytes] | None = None,
        port: int = 8080,
        ports: Sequence[int] = (),
        wait: bool = True,
        deadline: float = START_DEADLINE,
        migrated: bool = True,
    ) -> None:
        self.name = name_for()
        self.session = requests.Session()
        self.session.trust_env = False
        self.port = port
        self.folder: Path | None = None
        self._final_log: str | None = None
        self._wait, self._deadline, self._migrated = wait, deadline, migrated
        self._words = ["run", "-d", "--name", self.name]
        for number in dict.fromkeys((port, *ports)):
            self._words += ["-p", f"127.0.0.1::{number}"]
        self._words += env_options(env)
        for host, inside in (mounts or {}).items():
            self._words += ["-v", f"{host}:{inside}"]
        self._files, self._args, self._image, self._command = files, args, image, command

    # -- life

    def __enter__(self) -> Box:
        if self._files is not None:
            self.folder = write_files(self._files)
            self._words += ["-v", f"{self.folder}:/app"]
        open_boxes.append(self)
        try:
            docker(*self._words, *self._args, self._image, *self._command)
            if self._wait:
                self.wait_up(self._deadline)
                if self._migrated:
                    wait_until(lambda: '"migrating"' not in self.get("/ready").text, self._deadline, "the migration")
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self not in open_boxes:
            return
        open_boxes.remove(self)
        self._final_log = self.logs()
        if error is not None and not (error.args and "its log:" in str(error.args[0])):
            print(self.report())
        docker("rm", "-f", "-v", self.name, check=False)
        self.session.close()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def wait_up(self, seconds: float = START_DEADLINE, path: str = "/up") -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.running():
                raise AssertionError(f"ended with {self.exit_code()} before {path} answered; its log:\n{self.logs()}")
            try:
                if self.get(path, timeout=2).status_code == 200:
                    return
            except (requests.RequestException, RuntimeError):
                pass  # not yet; or it has just ended, which the next round says
            time.sleep(0.05)
        raise AssertionError(f"{path} did not answer 200 within {seconds} s; its log:\n{self.logs()}")

    def stop(self, timeout: float = 10) -> tuple[float, int]:
        """`docker stop`: seconds it took, exit code."""
        begun = time.monotonic()
        docker("stop", "-t", str(int(timeout)), self.name)
        return time.monotonic() - begun, self.exit_code()

    def start(self, wait: bool = True) -> None:
        """`docker start` of the stopped container."""
        docker("start", self.name)
        if wait:
            self.wait_up()

    def kill(self, signal: str = "KILL") -> None:
        docker("kill", "-s", signal, self.name)

    def running(self) -> bool:
        return self.state("Running") == "true"

    def state(self, key: str) -> str:
        return docker("inspect", "-f", f"{{{{.State.{key}}}}}", self.name).stdout.strip()

    def exit_code(self) -> int:
        return int(self.state("ExitCode"))

    def wait_exit(self, deadline: float = 20) -> int:
        """The exit code, once it has ended by itself."""
        try:
            docker("wait", self.name, timeout=deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {deadline} s; its log:\n{self.logs()}") from None
        return self.exit_code()

    # -- talk

    def host_port(self, port: int | None = None) -> int:
        """The port of 127.0.0.1 that leads to this one (another after each start)."""
        told = docker("port", self.name, f"{port or self.port}/tcp").stdout
        return int(told.split()[0].rpartition(":")[2])

    @property
    def ip(self) -> str:
        """The container's own address: without the engine's proxy, a closed port refuses."""
        return docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", self.name).stdout.strip()

    def url(self, path: str = "/", port: int | None = None) -> str:
        return f"http://127.0.0.1:{self.host_port(port)}{path}"

    def request(self, method: str, path: str = "/", port: int | None = None, **more: Any) -> requests.Response:
        more.setdefault("timeout", 15)
        more.setdefault("allow_redirects", False)
        return self.session.request(method, self.url(path, port), **more)

    def get(self, path: str = "/", **more: Any) -> requests.Response:
        return self.request("GET", path, **more)

    def post(self, path: str = "/", **more: Any) -> requests.Response:
        return self.request("POST", path, **more)

    def exec(self, *command: str, user: str = "", check: bool = True, timeout: float = 30) -> str:
        """Runs a command inside; both outputs as one text."""
        option = ["-u", user] if user else []
        done = docker("exec", *option, self.name, *command, check=check, timeout=timeout)
        return done.stdout + done.stderr

    # -- read

    def logs(self) -> str:
        if self._final_log is not None:
            return self._final_log
        done = subprocess.run(
            ["docker", "logs", self.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
        )
        return done.stdout.decode("utf-8", "replace")

    def lines(self) -> list[str]:
        return [line for line in self.logs().split("\n") if line.strip()]

    def records(self) -> list[Record]:
        """The log's lines that are JSON objects."""
        found = []
        for line in self.lines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                found.append(record)
        return found

    def wait_log(self, text: str, seconds: float = 10) -> str:
        """The log's first line with this text."""
        found = wait_until(
            lambda: [line for line in self.lines() if text in line], seconds, f"{text!r} in the log of {self.name}"
        )
        return str(found[0])

    def wait_record(self, wanted: Callable[[Record], Any], seconds: float = 10) -> Record:
        found: list[Record] = wait_until(
            lambda: [record for record in self.records() if wanted(record)], seconds, "a record in the log"
        )
        return found[0]

    def access(self, path: str, seconds: float = 10) -> Record:
        """The access log's first record for this path."""
        return self.wait_record(lambda one: one.get("logger") == "access" and one.get("path") == path, seconds)

    def report(self) -> str:
        ended = "" if self._final_log is None else " (ended)"
        return (
            f"--- log of {self.name}{ended}: docker {' '.join(self._words[1:])} {' '.join(self._args)}\n{self.logs()}"
        )
