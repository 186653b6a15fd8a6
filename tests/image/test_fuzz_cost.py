"""Random input, and what it costs: memory, disk, inodes and CPU of a small box stay bounded, on both wires.

The seed is printed, and FLAGON_SEED repeats it. What each answer must be is said elsewhere (test_fuzz, test_hurt_*).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

import pytest

from .apps.wire import WIRES
from .attack import connections
from .box import Box, raw, size, wait_until
from .processes import parts
from .test_fuzz import exchange

BATCHES = size(6, 60)
ANSWERS = size(200, 2000)
NAMES = size(40, 200)
TOGETHER = 20
LONGEST = 8000  # of a header, and of a request line: HEADER_SIZE is 8k
CPU = 0.005  # seconds a request, beyond what an ordinary one costs
MEMORY = "256m"
# Tables, a row a line, however long.
# ruff: noqa: E501
# What is read of a request: by nginx and its maps, by the worker, by Flask and werkzeug.
HEADERS = (
    "Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Authorization", "CF-Connecting-IP", "Connection",
    "Content-Disposition", "Content-Type", "Cookie", "Forwarded", "Host", "If-Match", "If-Modified-Since", "If-None-Match",
    "If-Range", "If-Unmodified-Since", "Origin", "Range", "Referer", "Sec-Fetch-Site", "TE", "Upgrade", "User-Agent",
    "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-IP", "X-Request-ID",
)  # fmt: skip
TOKENS = (
    "gzip", "br;q=0.1", "application/json", "text/html", "bytes=0-1", "for=1.2.3.4", "a=b", '"', "'", "\\", "W/", "*",
    "1.1.1.1", "[::1]", "%00", "%2e%2e", "..", "/", "//", ";", ",", "=", "=?utf-8?", "(", "[", "{", "<", "&", "+", "\t", "\xff",
)  # fmt: skip
SECRETS = ("KEY_IN_DOTENV", "THE_SOURCE", "THE_SECRET_KEY", "root:x:0:0", "SQLite format", "worker_processes")
APP = """
import json, os, random, string
from flask import Flask, Blueprint, request
app = Flask(__name__)  # THE_SOURCE

NAMES = ["Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Location", "Content-Range",
         "Content-Type", "ETag", "Expires", "Last-Modified", "Link", "Location", "Retry-After", "Server", "Set-Cookie", "Vary",
         "WWW-Authenticate", "X-Accel-Redirect", "X-Accel-Buffering", "X-Accel-Charset", "X-Accel-Expires", "X-Accel-Limit-Rate",
         "X-Cache", "X-Request-ID", "X-Sendfile", "Status", "Connection", "Transfer-Encoding", "Upgrade", "Age", "Date"]
VALUES = ["", "0", "-1", "public, max-age=60", "private", "no-store", "*", "Accept-Encoding", "text/event-stream", "text/html",
          "/-/file/0/main.py", "/-/file/0/.env", "/-/file/1/secret_key", "/-/file/1/app.db", "/%2d/file/0/main.py",
          "//-/file/0/main.py", "/x/../-/file/0/main.py", "/-/error/../../nginx.conf", "@app", "@kept", "/../../etc/passwd",
          "/etc/passwd", "/app/main.py", "/static/../main.py", "/-/digested/../../../app/.env", "bytes 0-1/2", "gzip", "br",
          "Thu, 01 Jan 1970 00:00:00 GMT", "a=b; Path=/", "no", "yes", "off", "utf-8", "keep-alive", "chunked"]
STATUSES = [200, 200, 200, 201, 204, 206, 301, 302, 304, 400, 401, 403, 404, 409, 410, 416, 418, 500, 502, 503, 504]

@app.get("/headers/<int:seed>")
def headers(seed):
    dice = random.Random(seed)
    found = []
    for _ in range(dice.randrange(1, 12)):
        name = dice.choice(NAMES) if dice.random() < 0.85 else "X-" + "".join(dice.choices(string.ascii_letters, k=dice.randrange(1, 40)))
        value = dice.choice(VALUES) if dice.random() < 0.8 else dice.choice(" a,;=/\\xe4") * dice.randrange(1, 2000)
        found.append((name, value.strip()))
    body = dice.choice(["", "x", "y" * 5000, "z" * 100000])
    if dice.random() < 0.2: found.append(("Content-Length", str(max(0, len(body) + dice.choice([-1, 0, 0, 1])))))
    return app.response_class(body, dice.choice(STATUSES), found)

@app.route("/public/<path:p>", methods=["GET", "POST"])
def public(p):
    return "page " * 10, {"Cache-Control": "public, max-age=600"}

@app.get("/")
def index(): return "hello " * 400
"""
FILES = {
    "main.py": APP,
    ".env": "GREETING=KEY_IN_DOTENV\n",
    "static/ok.txt": "static\n",
    "static/robots.txt": "robots\n",
}
USAGE = """
cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null || awk '/^usage_usec/{print $2 * 1000}' /sys/fs/cgroup/cpu.stat
find /tmp /run /dev/shm /var/tmp /data -xdev 2>/dev/null | wc -l
du -skx /tmp /run /dev/shm /data 2>/dev/null | awk '{sum += $1} END {print sum + 0}'
awk '/^(total_rss|total_shmem|anon|shmem) /{sum += $2} END {print sum / 1024}' /sys/fs/cgroup/memory/memory.stat 2>/dev/null \
    || awk '/^(anon|shmem) /{sum += $2} END {print sum / 1024}' /sys/fs/cgroup/memory.stat
"""


class Usage(NamedTuple):
    """What the container has used or holds."""

    cpu: float  # seconds
    inodes: int
    disk: int  # KiB
    memory: int  # KiB, of processes and of files in memory


def usage(box: Box) -> Usage:
    cpu, inodes, disk, memory = (float(line) for line in box.exec("sh", "-c", USAGE).split())
    return Usage(cpu / 1e9, int(inodes), int(disk), int(memory))


@pytest.fixture(scope="module")
def seed() -> int:
    found = int(os.environ.get("FLAGON_SEED", "0")) or random.randrange(1, 10**6)
    print(f"FLAGON_SEED={found}")
    return found


@pytest.fixture(scope="module", params=WIRES)
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    """Small, and its disk is memory."""
    env = {
        "WORKER_CLASS": request.param, "WEB_CONCURRENCY": "1", "ACCESS_LOG": "off", "BACKLOG": "200",
        "SECRET_KEY": "THE_SECRET_KEY-and-more", "CLIENT_TIMEOUT": "3",
    }  # fmt: skip
    args = ["-m", MEMORY, "--memory-swap", MEMORY, "--read-only", "--tmpfs", "/tmp"]
    with Box(env=env, files=FILES, args=args) as box:
        yield box


def token(dice: random.Random) -> str:
    """What is repeated: blanks, a character, a word that some parser looks for."""
    return dice.choice((" ", "\t", chr(dice.randrange(33, 127)), dice.choice(TOKENS), dice.choice(TOKENS)))


def run(dice: random.Random, repeated: str, longest: int = LONGEST - 40) -> str:
    """One token, very often, and an end that may not fit."""
    start, end = (dice.choice(("", "a", *TOKENS)) for _ in range(2))
    return (start + repeated * (longest // len(repeated)))[: longest - len(end)] + end


def path(dice: random.Random) -> str:
    """Long, deep, or odd; often below the route whose pages may be kept."""
    kind = dice.randrange(5)
    name = f"{dice.randrange(10**9):x}"
    if kind == 0:
        return "/public/" + "a/" * dice.randrange(1, 390) + name
    if kind == 1:
        return "/public/" + name * (dice.randrange(1, 700) // len(name) + 1)
    if kind == 2:
        return f"/public/{name}?" + "q=" * dice.randrange(1, 2000)
    if kind == 3:
        return "/" + dice.choice(("%C3%BC", "%2e%2e/", "a//", "%25", ";a", "..%2f")) * dice.randrange(1, 300) + name
    return "/static/" + dice.choice(("", ".", "../", "%00")) + name


def request_of(dice: random.Random, place: str, repeated: str) -> bytes:
    """A request that is meant to cost more than it brings: the run is in one header, in the path or in the body."""
    method, target, body, headers = "GET", "/", "", []
    if place == "path":
        target = path(dice)[:LONGEST]
    elif place == "body":
        kind = dice.choice(("application/x-www-form-urlencoded", "multipart/form-data; boundary=x"))
        method, body = "POST", dice.choice(("", "x=", "--x\r\n")) + run(dice, repeated, 3000)
        headers = [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    else:
        headers = [f"{place}: {run(dice, repeated)}" for _ in range(dice.choice((1, 3)))]
    if place != "Host":
        headers.insert(0, "Host: box.test")
    return "\r\n".join([f"{method} {target} HTTP/1.1", *headers, "Connection: close", "", body]).encode("latin-1")


def same(box: Box, before: dict[str, list[int]]) -> None:
    """Nobody was replaced, and an ordinary client is served."""
    assert parts(box) == before, box.logs()[-3000:]
    assert box.state("OOMKilled") == "false"
    assert box.get("/").status_code == 200
    assert box.get("/up").status_code == 200
    assert "Traceback" not in "".join(line for line in box.lines() if '"flagon"' in line or '"supervisord"' in line)


def test_requests_cost_no_more_than_they_bring(box: Box, seed: int) -> None:
    """A batch is of one place and one token, so that nothing dear hides among what is cheap."""
    dice = random.Random(seed)
    plain = b"GET / HTTP/1.1\r\nHost: box.test\r\nConnection: close\r\n\r\n"
    exchange(box, [plain] * TOGETHER, patience=3)
    who, last = parts(box), usage(box)
    start = last
    ordinary = 0.0
    # The places that have been dear once are always among them.
    places = ["", "Accept-Encoding", "path", *dice.choices((*HEADERS, "path", "path", "body"), k=BATCHES - 3)]
    for place in places:
        repeated = " " if place == "Accept-Encoding" else token(dice)
        exchange(box, [request_of(dice, place, repeated) if place else plain for _ in range(TOGETHER)], patience=3)
        now = usage(box)
        each = (now.cpu - last.cpu) / TOGETHER
        print(f"{place or 'ordinary'} {repeated!r}: {each * 1000:.2f} ms a request")
        ordinary = ordinary or each
        assert each - ordinary < CPU, f"FLAGON_SEED={seed}: {place} {repeated!r}: {each * 1000:.1f} ms of CPU a request"
        last = now
    sent = len(places) * TOGETHER
    print(f"{start}\n{last}")
    # A kept page is a file, and no request may leave more than one.
    assert last.inodes - start.inodes < sent + 300
    assert last.disk - start.disk < sent * 8 + 1024
    assert last.memory - start.memory < 48 * 1024
    same(box, who)


def test_unfinished_bodies_to_every_location(box: Box, seed: int) -> None:
    dice, who = random.Random(seed + 1), parts(box)
    before = usage(box)
    locations = (
        "/", "/nowhere", "/up", "/health", "/ready", "/-/up", "/static/ok.txt", "/static/none", "/static/", "/robots.txt",
        "/public/x", "/-/error/503.html", "/-/file/0/main.py", "/headers/1",
    )  # fmt: skip
    wires = connections((box.ip, 8080), 3 * len(locations))
    most = 0
    piece = b"x" * 65536
    try:
        for wire, location in zip(wires, locations * 3, strict=True):
            wire.setblocking(True)
            wire.settimeout(0.3)
            method = dice.choice(("POST", "PUT", "GET", "PATCH"))
            length = dice.choice((100_000, 1_000_000, 8_000_000, 31_000_000))
            how = dice.choice((f"Content-Length: {length}", "Transfer-Encoding: chunked"))
            head = f"{method} {location} HTTP/1.1\r\nHost: box.test\r\n{how}\r\n\r\n".encode()
            body = piece if how.startswith("Content") else b"10000\r\n" + piece + b"\r\n"
            with contextlib.suppress(OSError):
                wire.sendall(head)
                for _ in range(length // 65536 - 1):
                    wire.sendall(body)
        for _ in range(5):
            assert box.get("/up").status_code == 200
            most = max(most, usage(box).memory)
    finally:
        for wire in wires:
            wire.close()
    print(f"FLAGON_SEED={seed}: {before.memory} KiB before, {most} at most")
    assert most - before.memory < 128 * 1024, "half of the box's memory went into bodies that nobody has asked for"
    wait_until(lambda: usage(box).disk < before.disk + 2048, 10, "the spool is empty again")
    same(box, who)


def test_response_headers_of_any_kind(box: Box, seed: int) -> None:
    """An application that passes on what it has fetched: nothing comes back that it has not sent."""
    dice, who, before = random.Random(seed + 2), parts(box), usage(box)
    port = box.host_port()
    for _ in range(ANSWERS):
        number = dice.randrange(10**9)
        request = (
            f"GET /headers/{number} HTTP/1.1\r\nHost: box.test\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        )
        answer = raw(port, request.encode(), timeout=3)
        found = [secret for secret in SECRETS if secret.encode() in answer]
        assert not found, f"/headers/{number}: {found} in {answer[:500]!r}"
        assert answer.count(b"HTTP/1.1 ") <= 1, f"/headers/{number}: {answer[:500]!r}"
    after = usage(box)
    assert after.inodes - before.inodes < ANSWERS + 300
    assert after.memory - before.memory < 48 * 1024
    same(box, who)


ODD = "abcXYZ019 -_.~!$&'()*+,;=:@%#?[]{}\"\\|^`<>äß\u2028\x7f\t"
NAMED = """
import json, os
from flask import Blueprint, Flask
app = Flask(__name__)
made = []
for number, (folder, url) in enumerate(json.load(open(os.path.join(os.path.dirname(__file__), "names.json")))):
    try:
        app.register_blueprint(Blueprint(f"b{number}", __name__, static_folder=os.path.join("folders", folder), static_url_path=url))
        made.append(number)
    except Exception as error:
        print("refused by Flask:", number, repr(error))
@app.get("/")
def index(): return {"made": made}
"""


def odd_name(dice: random.Random, longest: int = 12) -> str:
    return "".join(dice.choice(ODD) for _ in range(dice.randrange(1, longest)))


def test_names_of_folders_files_and_url_rules(seed: int) -> None:
    """Each name is served as what it is, or left to the application; none becomes configuration."""
    dice = random.Random(seed + 3)
    rows, files = [], {"main.py": NAMED}  # type: list[tuple[str, str]], dict[str, str | bytes]
    for number in range(NAMES):
        folder = f"{number} {odd_name(dice)}".rstrip(". ")
        url = f"/u{number}/" + odd_name(dice).strip("/")
        rows.append((folder, url))
        files[f"folders/{folder}/a file {number}.txt"] = f"content {number}\n"
    files["names.json"] = json.dumps(rows)
    with Box(files=files, env={"WEB_CONCURRENCY": "1"}) as box:
        who = parts(box)
        made = box.get("/").json()["made"]
        assert len(made) > NAMES // 4
        served = 0
        for number in made:
            folder, url = rows[number]
            target = quote(f"{url.rstrip('/')}/a file {number}.txt", safe="/")
            answer = raw(
                box.host_port(), f"GET {target} HTTP/1.1\r\nHost: box.test\r\nConnection: close\r\n\r\n".encode()
            )
            status = int(answer[9:12])
            print(number, repr(folder), repr(url), status)
            assert status in (200, 308, 400, 404), (rows[number], answer[:300])
            if status == 200:
                served += 1
                assert answer.endswith(f"content {number}\n".encode())
        assert served > len(made) // 2, "most odd names are ordinary to nginx"
        assert box.exec("flagon", "check").startswith(("ok:", "warning:"))
        assert parts(box) == who
