"""Bodies and slow readers of all clients together: memory and disk are bounded, health and the database are spared."""

from __future__ import annotations

import contextlib
import os
import random
import select
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from .apps.wire import FASTCGI, WIRES, Answer, Probe, read_answer
from .box import Box, wait_until
from .processes import parts

MB = 1 << 20
SMALL = ["-m", "256m", "--memory-swap", "256m"]
HARDENED = [*SMALL, "--read-only", "--tmpfs", "/tmp"]
OWN = """import os
from flask import Flask, request
app = Flask(__name__)
@app.route("/health", methods=["GET", "POST"])
@app.route("/static/new/<name>", methods=["PUT", "POST"])
@app.post("/take")
def take(name=""):
    return str(len(request.get_data()))
"""
SLOW = """import time
from flask import Flask
app = Flask(__name__)
@app.errorhandler(404)
def missing(error):
    time.sleep(1)
    return "not here", 404
"""


def memory(box: Box, what: str = "usage") -> int:
    """MB of the container's cgroup, v1 or v2: `usage` now, or the `peak`."""
    files = {"usage": ("memory.usage_in_bytes", "memory.current"), "peak": ("memory.max_usage_in_bytes", "memory.peak")}
    first, second = files[what]
    text = box.exec("sh", "-c", f"cat /sys/fs/cgroup/memory/{first} 2>/dev/null || cat /sys/fs/cgroup/{second}")
    return int(text.split()[0]) // MB


def kilobytes(box: Box, folder: str) -> int:
    """What the files in a folder take."""
    return int(box.exec("du", "-sk", folder, check=False).split()[0])


def emptied(box: Box) -> None:
    """nginx has noticed that the clients of HARDENED's box are gone."""
    wait_until(lambda: not box.exec("find", "/tmp/flagon/spool/client_body", "-type", "f"), 10, "an empty spool")


class Uploads:
    """`count` clients at once send a body but for its end; `statuses` is what they were answered.

    None are those that were not, as their bodies are taken; `held` of them are expected, so many are not waited for.
    """

    def __init__(
        self, box: Box, path: str, count: int, size: int, held: int, chunked: bool = False, clients: int = 1
    ) -> None:
        self.path, self.size, self.chunked, self.clients = path, size, chunked, clients
        self.wires = [socket.create_connection((box.ip, 8080), timeout=20) for _ in range(count)]
        with ThreadPoolExecutor(min(count, 16)) as pool:
            list(pool.map(self._send, range(count)))
        poller, waiting = select.poll(), {wire.fileno(): wire for wire in self.wires}
        for number in waiting:
            poller.register(number, select.POLLIN)
        self.answers: list[Answer] = []
        deadline = time.monotonic() + 10
        while waiting and (
            events := poller.poll(max(0, deadline - time.monotonic()) * 1000 if len(waiting) > held else 300)
        ):
            for number, _ in events:
                poller.unregister(number)
                self.answers.append(read_answer(waiting.pop(number)))
        self.statuses = Counter([answer.status for answer in self.answers] + [None] * len(waiting))

    def _send(self, number: int) -> None:
        head = f"POST {self.path} HTTP/1.1\r\nHost: box.test\r\nX-Forwarded-For: 203.0.113.{number % self.clients}\r\n"
        if self.chunked:
            head += f"Transfer-Encoding: chunked\r\n\r\n{self.size:x}\r\n"
        else:
            head += f"Content-Length: {self.size}\r\n\r\n"
        with contextlib.suppress(OSError):  # refused in the middle
            self.wires[number].sendall(head.encode())
            for _ in range(0, self.size - 65536, 65536):
                self.wires[number].sendall(bytes(65536))

    def __enter__(self) -> Uploads:
        return self

    def __exit__(self, *_: object) -> None:
        for wire in self.wires:
            wire.close()


@pytest.fixture(scope="module", params=WIRES)
def hardened(request: pytest.FixtureRequest) -> Iterator[Probe]:
    """As docs/security.md advises: the only place for a body is memory."""
    with Probe(request.param, HARDENED, CLIENT_TIMEOUT=30, TRUSTED_PROXIES="private") as box:
        yield box


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="flagon-test-volume-"))
    os.chown(path, 10001, 0)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize("chunked", [False, True], ids=["counted", "chunked"])
def test_unfinished_uploads_do_not_fill_the_memory(hardened: Probe, chunked: bool) -> None:
    emptied(hardened)
    quiet = memory(hardened)
    with Uploads(hardened, "/nowhere", 8, 31 * MB, 1, chunked, clients=8) as uploads:
        assert hardened.running()
        assert uploads.statuses == {503: 7, None: 1}
        assert {answer.header("Retry-After") for answer in uploads.answers} == {"5"}
        assert memory(hardened) - quiet < 64
        assert hardened.ask("/up").status_code == 200
        assert hardened.ask("/take", "POST", data=b"x" * 100).json()["size"] == 100  # small ones go on
    emptied(hardened)
    assert hardened.ask("/take", "POST", data=bytes(30 * MB)).json()["size"] == 30 * MB


@pytest.mark.parametrize("size", [90_000, 250_000, 900_000, 2_900_000, 9_000_000])
def test_no_size_of_bodies_fills_the_memory(hardened: Probe, size: int) -> None:
    """A size each that is just below the border of its class."""
    emptied(hardened)
    quiet, most = memory(hardened), min(64, 34 * MB // size)
    with Uploads(hardened, "/take", min(100, 256 * MB // size), size, most, clients=250) as uploads:
        assert set(uploads.statuses) <= {None, 503}
        assert 1 <= uploads.statuses[None] <= most
        assert memory(hardened) - quiet < 64
        assert hardened.ask("/up").status_code == 200


def test_many_honest_uploads_in_little_memory(hardened: Probe) -> None:
    """They are short, so few places are enough for whoever asks again as Retry-After says."""

    def send(number: int) -> int:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            answer = hardened.ask("/take", "POST", data=bytes(MB))
            if answer.status_code != 503:
                return int(answer.json()["size"])
            time.sleep(0.1)
        return 0

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(24))) == {MB}


def test_slow_readers_do_not_fill_the_memory(hardened: Probe) -> None:
    emptied(hardened)
    quiet, wires = memory(hardened), []
    try:
        for _ in range(20):
            wires.append(hardened.connect())
            wires[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            wires[-1].sendall(b"GET /big?mb=15 HTTP/1.1\r\nHost: box.test\r\n\r\n")
        time.sleep(3)
        assert hardened.running()
        assert memory(hardened) - quiet < 100
        assert hardened.ask("/-/up").status_code == 200
    finally:
        for wire in wires:
            wire.close()
    assert hardened.ask("/tell").status_code == 200


class Readers:
    """`count` clients ask for a static text, compressed, and read nothing; returned once all of them are answered."""

    def __init__(self, box: Box, count: int, clients: int, headers: str = "") -> None:
        self.wires = []
        for number in range(count):
            wire = socket.socket()
            self.wires.append(wire)
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            wire.connect((box.ip, 8080))
            wire.sendall(text("big.js", f"203.0.113.{number % clients}", headers))
        deadline = time.monotonic() + 20
        for wire in self.wires:
            wire.settimeout(max(0.1, deadline - time.monotonic()))
            wire.recv(1, socket.MSG_PEEK)

    def packed(self) -> int:
        """How many of them get it compressed. All get it, and caches are told in either case."""
        heads = [wire.recv(2000) for wire in self.wires]
        assert all(head.startswith(b"HTTP/1.1 200") and b"\r\nVary: Accept-Encoding\r\n" in head for head in heads)
        return sum(b"\r\nContent-Encoding: gzip\r\n" in head for head in heads)

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *_: object) -> None:
        for wire in self.wires:
            wire.close()


def nginx(box: Box) -> dict[int, int]:
    """nginx's workers: pid -> kB of memory of its own. The kernel's for their sockets is not theirs."""
    pids = parts(box)["nginx worker"]
    words = box.exec("grep", "-h", "RssAnon", *(f"/proc/{pid}/status" for pid in pids)).split()
    return dict(zip(pids, map(int, words[1::3]), strict=True))


def text(name: str, client: str, headers: str = "") -> bytes:
    return (
        f"GET /static/{name} HTTP/1.1\r\nHost: box.test\r\nAccept-Encoding: gzip\r\nX-Forwarded-For: {client}\r\n"
        f"{headers}\r\n"
    ).encode()


def test_static_texts_that_nobody_reads_do_not_fill_the_memory() -> None:
    """26 are compressed at a time where there are 128 MB, 19 of them one client's; the others are sent as they are."""
    big, odd = random.Random(1).randbytes(MB).hex(), "a?b %41.css"
    files = {
        "app.py": SLOW,
        "static/big.js": big,
        f"static/{odd}": "a { color: red }\n" * 200,
    }
    env = {"MAX_CONNECTIONS": "1", "TRUSTED_PROXIES": "private", "WORKER_CLASS": FASTCGI}
    with Box(files=files, env=env, args=["-m", "128m", "--memory-swap", "128m"]) as box:

        def encoding(path: str = "big.js") -> str:
            answer = box.get(f"/static/{path}", headers={"X-Forwarded-For": "198.51.100.7", "Accept-Encoding": "gzip"})
            assert (answer.status_code, answer.headers["Vary"]) == (200, "Accept-Encoding")
            assert answer.text == files["static/" + unquote(path)]
            return answer.headers.get("Content-Encoding", "none")

        assert {encoding(), encoding(quote(odd))} == {"gzip"}
        quiet = nginx(box)
        with Readers(box, 300, clients=50) as readers:
            crowded = nginx(box)
            assert crowded.keys() == quiet.keys()
            assert sum(crowded.values()) - sum(quiet.values()) < 128 * 1024 // 8
            assert {encoding(), encoding(quote(odd))} == {"none"}
            assert box.get("/up").status_code == 200
            # What is not there is the application's, as before, and within MAX_CONNECTIONS.
            asked = [socket.create_connection((box.ip, 8080), timeout=10) for _ in range(3)]
            for wire in asked:
                wire.sendall(text("missing.css", "198.51.100.8"))
            assert sorted(read_answer(wire).status for wire in asked) == [404, 429, 429]
            assert readers.packed() == 26
        wait_until(lambda: encoding() == "gzip", 10, "the places")
        with Readers(box, 60, clients=1) as readers:
            assert encoding() == "gzip"  # another client
            assert readers.packed() == 19
        assert nginx(box).keys() == quiet.keys()


def test_many_ranges_of_a_static_file_do_not_fill_the_memory() -> None:
    """nginx makes a part of each, and holds it until the client has read it."""
    many = "Range: bytes=" + ",".join(["0-0"] * 1900) + "\r\n"
    files = {"app.py": SLOW, "static/big.js": random.Random(1).randbytes(MB).hex()}
    with Box(files=files, args=["-m", "128m", "--memory-swap", "128m"]) as box:
        quiet = nginx(box)
        with Readers(box, 300, clients=50, headers=many):
            crowded = nginx(box)
            assert crowded.keys() == quiet.keys()
            assert sum(crowded.values()) - sum(quiet.values()) < 128 * 1024 // 8
        few = box.get("/static/big.js", headers={"Range": "bytes=0-3,9-12", "Accept-Encoding": "identity"})
        assert (few.status_code, few.headers["Content-Type"].split(";")[0]) == (206, "multipart/byteranges")


def test_the_boot_says_where_bodies_go(hardened: Probe) -> None:
    assert "request bodies are spooled in MEMORY, /tmp/flagon/spool" in hardened.logs()
    assert "all together may take 64 MB, one 32 MB" in hardened.logs()


def test_a_small_tmpfs_is_not_filled() -> None:
    args = ["-m", "512m", "--read-only", "--tmpfs", "/tmp:size=64m", "--tmpfs", "/run/flagon:size=1m,uid=10001"]
    with Probe(FASTCGI, args, TRUSTED_PROXIES="private") as box:
        line = box.wait_log("request bodies are spooled in MEMORY, /tmp/.flagon-spool: all together may take 32 MB")
        assert "one 16 MB, although MAX_BODY_SIZE=32 MB. For more: give that tmpfs a larger size" in str(line)
        with Uploads(box, "/take", 20, 12 * MB, 1, clients=20) as uploads:
            assert uploads.statuses == {503: 19, None: 1}
            assert kilobytes(box, "/tmp") < 32 << 10
        assert box.ask("/take", "POST", data=bytes(20 * MB)).status_code == 413


@pytest.mark.parametrize(
    ("mounts", "env"),
    [
        (["/data"], {}),
        (["/srv"], {"DATA_DIR": "/srv/data", "RUNTIME_DIR": "/srv/run"}),  # one volume for both
        (["/data", "/var/tmp"], {}),  # mounted twice
        (["/data", "/srv"], {"DATABASE_URL": "sqlite:////srv/db/x.db", "RUNTIME_DIR": "/srv/run"}),
    ],
    ids=["data", "both", "twice", "sqlite-elsewhere"],
)
def test_no_body_is_spooled_where_the_database_is(folder: Path, mounts: list[str], env: dict[str, str]) -> None:
    for name in ("data", "db", "run"):
        (folder / name).mkdir()
        os.chown(folder / name, 10001, 0)
    args = [*HARDENED, *(word for mount in mounts for word in ("-v", f"{folder}:{mount}"))]
    with (
        Probe(FASTCGI, args, TRUSTED_PROXIES="private", **env) as box,
        Uploads(box, "/nowhere", 3, 31 * MB, 1, clients=3),
    ):
        written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert written < MB, [str(path) for path in folder.rglob("*")]
        assert not list(folder.rglob("*spool*"))


def test_health_takes_no_bodies_and_an_own_route_has_limits() -> None:
    files = {"app.py": OWN, "static/here.css": "a{}", "requirements.txt": "flask"}
    env = {"MAX_CONNECTIONS": "1", "TRUSTED_PROXIES": "private", "WORKER_CLASS": FASTCGI}
    with Box(files=files, env=env, args=HARDENED) as box:
        quiet = memory(box)
        for path in ("/up", "/-/up", "/ready", "/readyz", "/livez", "/healthz"):
            for chunked in (False, True):
                with Uploads(box, path, 2, 31 * MB, 0, chunked) as uploads:
                    assert uploads.statuses == {413: 2}, (path, chunked)
        assert memory(box) - quiet < 16
        # one client's own limit is 429, all clients' is 503
        for path in ("/health", "/take", "/nowhere", "/static/missing", "/static/new/x"):
            with Uploads(box, path, 4, 31 * MB, 1) as uploads:
                assert uploads.statuses == {429: 3, None: 1}, path
                assert box.get("/up").status_code == 200
            emptied(box)
        with Uploads(box, "/health", 4, 31 * MB, 1, clients=4) as uploads:
            assert uploads.statuses == {503: 3, None: 1}
        # nginx answers for files that are there, and keeps nothing of a body
        with Uploads(box, "/static/here.css", 4, 31 * MB, 0) as uploads:
            assert uploads.statuses == {405: 4}
            assert memory(box) - quiet < 32
        for method in ("PUT", "POST"):
            assert box.request(method, "/static/new/a.css", data=b"x" * 300_000).text == "300000"
        assert box.request("GET", "/static/here.css", data=b"x" * 300_000).text == "a{}"


def test_one_client_does_not_have_all_places() -> None:
    args = ["-m", "1g", "--read-only", "--tmpfs", "/tmp"]
    with Probe(FASTCGI, args, TRUSTED_PROXIES="private") as box, Uploads(box, "/take", 6, 31 * MB, 3) as uploads:
        assert uploads.statuses == {503: 3, None: 3}
        other = {"X-Forwarded-For": "198.51.100.7"}
        assert box.ask("/take", "POST", data=bytes(30 * MB), headers=other).json()["size"] == 30 * MB


def test_where_there_is_a_disk_uploads_have_room() -> None:
    with Probe(FASTCGI, SMALL) as box:
        with Uploads(box, "/take", 8, 31 * MB, 8) as uploads:
            assert uploads.statuses == {None: 8}
            assert box.ask("/take", "POST", data=bytes(30 * MB)).json()["size"] == 30 * MB
        assert "MEMORY" not in box.logs()
