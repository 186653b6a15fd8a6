"""What the wire's tests share: the probe in a box on either wire, and requests that no client library would send."""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import requests

from ..box import Box

FASTCGI, HTTP = "fastcgi", "gthread"
WIRES = (FASTCGI, HTTP)
PROBE = (Path(__file__).parent / "probe" / "main.py").read_text(encoding="utf-8")
BLOCK = bytes(range(256)) * 256  # the probe's


class Probe(Box):
    """The probe application in a box; one worker unless told otherwise."""

    def __init__(self, wire: str, args: Sequence[str] = (), **env: Any) -> None:
        self.wire = wire
        given = {"WORKER_CLASS": wire, "WEB_CONCURRENCY": "1", **{name: str(value) for name, value in env.items()}}
        super().__init__(env=given, files={"main.py": PROBE}, args=args)

    @cached_property
    def outside(self) -> int:
        """The published port; asking docker for it at each request would cost more than the request."""
        return self.host_port()

    def ask(self, path: str, method: str = "GET", **more: Any) -> requests.Response:
        """A request on a connection of its own, so that threads do not share one."""
        more.setdefault("timeout", 30)
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, f"http://127.0.0.1:{self.outside}{path}", **more)

    def connect(self, timeout: float = 15) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.outside), timeout=timeout)

    def raw(self, data: bytes, timeout: float = 15) -> Answer:
        """Send these bytes, read one answer."""
        with self.connect(timeout) as wire:
            with suppress(BrokenPipeError, ConnectionResetError):  # the answer may be there all the same
                wire.sendall(data)
            return read_answer(wire, head=data.startswith(b"HEAD "))

    def told(self, target: str = "/tell", *headers: str, version: str = "1.1", host: str | None = "box.test") -> Told:
        """What the application is told of a request with this target and these header lines, byte for byte."""
        lines = [f"GET {target} HTTP/{version}"]
        lines += [f"Host: {host}"] if host is not None else []
        lines += [*headers, "Connection: close", "", ""]
        answer = self.raw("\r\n".join(lines).encode("latin-1"))
        assert answer.status == 200, answer
        found = json.loads(answer.body)
        return Told(found["environ"], found["types"], found["values"], answer)


class Answer(NamedTuple):
    """A response as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    complete: bool

    def header(self, name: str) -> str | None:
        """The one value of a header; more than one is a failure."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


class Told(NamedTuple):
    """What the application was told, and the answer that said so."""

    environ: dict[str, str]
    types: dict[str, str]
    values: dict[str, Any]
    answer: Answer


def read_answer(wire: socket.socket, head: bool = False) -> Answer:
    """One response from a connection, and whether it came to its end."""
    response = http.client.HTTPResponse(wire, method="HEAD" if head else "GET")
    response.begin()
    complete, body = True, b""
    try:
        body = response.read()
    except http.client.IncompleteRead as short:
        complete, body = False, short.partial
    except (ConnectionResetError, TimeoutError):
        complete = False
    return Answer(response.status, response.getheaders(), body, complete)


class Background(threading.Thread):
    """A call in a thread; `result()` gives its value or raises what it raised."""

    def __init__(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        super().__init__(daemon=True)
        self._call = lambda: call(*arguments, **named)
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:
            self._error = error

    def result(self, timeout: float = 60) -> Any:
        self.join(timeout)
        assert not self.is_alive(), f"no answer within {timeout} s"
        if self._error is not None:
            raise self._error
        return self._value


class Zeros(io.RawIOBase):
    """A body of so many bytes that nobody holds in memory."""

    def __init__(self, size: int) -> None:
        self._left = self.len = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        count = self._left if size < 0 else min(size, self._left)
        self._left -= count
        return bytes(count)


def blocks(count: int) -> Iterator[bytes]:
    """A body of unknown length: requests sends it chunked."""
    for _ in range(count):
        yield BLOCK


@contextmanager
def stream(box: Probe, path: str, timeout: float = 15) -> Iterator[requests.Response]:
    """A response whose body is read piece by piece."""
    with (
        requests.Session() as session,
        session.get(f"http://127.0.0.1:{box.outside}{path}", stream=True, timeout=timeout) as response,
    ):
        yield response


def curl_code(box: Probe, path: str) -> int:
    """curl's exit code: 18 is a transfer that broke off, 0 a complete one."""
    words = ["curl", "-s", "--noproxy", "*", "--max-time", "30", "-o", os.devnull]
    return subprocess.run([*words, f"http://127.0.0.1:{box.outside}{path}"], timeout=60).returncode
