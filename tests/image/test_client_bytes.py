"""No request costs much more than another of its length, whatever stands in it: CPU of the whole box, on both wires."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from flagon import statics
from flagon.nginx_text import directives
from flagon.statics import Files, Static
from tests.hostile import BAD, Make, shapes, shapes_for

from .apps.wire import WIRES
from .box import RUNTIME, Box, size, write_files

ROOT = Path(__file__).parents[2]

LINE = 8000  # HEADER_SIZE is 8k, with the name
LINES = 3  # of HEADER_BUFFERS, 4, one is the request line's
JOINED = 4 * LINE  # nginx joins lines of one name
MOST = 0.005  # seconds of CPU beyond what as many bytes cost that nobody looks at
APP = """
import io

def app(environ, start_response):
    body = environ["wsgi.input"].read()
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "text/html; charset=utf-8"), ("ETag", '"a"')]
    if path.startswith("/kept"):
        headers.append(("Cache-Control", "public, max-age=60"))
    start_response("404 Not Found" if path.startswith("/missing") else "200 OK", headers)
    return [b"<p>hello, world</p>\\n" * 100]
"""
# What somebody reads: nginx, its maps, gunicorn, we. Each with what stands before the hostile text.
HEADERS = {
    "Accept": "", "Accept-Encoding": "", "Accept-Language": "", "Authorization": "Basic ", "Cache-Control": "",
    "Connection": "", "Content-Length": "", "Content-Type": "multipart/form-data; boundary=", "Cookie": "",
    "Expect": "", "Forwarded": "for=", "From": "", "Host": "", "If-Match": "", "If-Modified-Since": "",
    "If-None-Match": "", "If-Range": "", "If-Unmodified-Since": "", "Origin": "http://", "Range": "bytes=",
    "Referer": "http://", "Sec-Fetch-Site": "", "TE": "", "Trailer": "", "Transfer-Encoding": "", "Upgrade": "",
    "User-Agent": "", "Via": "", "X-Forwarded-For": "", "X-Forwarded-Host": "", "X-Forwarded-Proto": "", "X-Other": "",
    "X-Real-IP": "", "X-Request-ID": "",
}  # fmt: skip
# Where nginx itself answers, it reads these: a static file, a kept page, an error page.
ELSEWHERE = {
    "/static/a.txt": ("Accept-Encoding", "If-Match", "If-None-Match", "If-Range", "Range"),
    "/kept": ("Accept-Encoding", "Authorization", "Cookie", "If-None-Match", "Range"),
    "/large": ("Accept",),
}
MORE = {"/large": ("Content-Length: 99999999999",)}
PATHS = ("/", "/static/", "/kept/", "/missing/", "/?")


class Meter:
    """CPU time that a container has used, asked for without starting a process for it."""

    SCRIPT = """
    for file in /sys/fs/cgroup/cpuacct/cpuacct.usage /sys/fs/cgroup/cpu.stat; do [ -f $file ] && break; done
    while read -r _; do read -r first second < $file; echo ${second:-$first} ${second:+u}; done
    """

    def __init__(self, box: Box) -> None:
        words = ["docker", "exec", "-i", box.name, "sh", "-c", self.SCRIPT]
        self._shell = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self) -> float:
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.write("\n")
        self._shell.stdin.flush()
        number, *micro = self._shell.stdout.readline().split()
        return int(number) / (1e6 if micro else 1e9)

    def close(self) -> None:
        self._shell.terminate()
        self._shell.wait(10)
        for pipe in (self._shell.stdin, self._shell.stdout):
            assert pipe
            pipe.close()


class Client:
    """Requests as bytes on one connection, made anew where nginx closes it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._wire: socket.socket | None = None
        self._method = ""

    def send(self, data: bytes) -> None:
        if self._wire is None:
            self._wire = socket.create_connection(self.address, timeout=60)
        self._method = data.split(b" ", 1)[0].decode()
        with contextlib.suppress(OSError):  # the answer may be there all the same
            self._wire.sendall(data)

    def receive(self) -> int:
        """The status, 0 where the connection was closed without one."""
        assert self._wire
        answer = http.client.HTTPResponse(self._wire, method=self._method)
        try:
            answer.begin()
            answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return 0
        if answer.will_close:
            self.close()
        return answer.status

    def ask(self, data: bytes) -> int:
        self.send(data)
        return self.receive()

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
        self._wire = None


def head(target: str = "/", *lines: str, method: str = "GET") -> bytes:
    host = () if any(line.startswith("Host:") for line in lines) else ("Host: box.test",)
    return "\r\n".join([f"{method} {target} HTTP/1.1", *host, *lines, "", ""]).encode("latin-1")


def in_headers(client: Client, name: str, path: str = "/") -> Callable[[Make], bytes]:
    """In as many lines as nginx takes of that name: of some only one."""
    before, more = HEADERS[name], MORE.get(path, ())
    many = LINES if client.ask(head(path, *more, *[f"{name}: {before}1"] * LINES)) != 400 else 1
    method = "HEAD" if more else "GET"  # of an answer that closes, the body comes late

    def made(make: Make) -> bytes:
        return head(path, *more, *[f"{name}: {before}{make(LINE - len(name) - len(before))}"] * many, method=method)

    return made


def in_target(before: str) -> Callable[[Make], bytes]:
    def made(make: Make) -> bytes:
        text = make(LINE - 200)
        return head(before + "".join(letter for letter in text if letter > " "))

    return made


def in_a_multipart_name(make: Make) -> bytes:
    body = f'--x\r\nContent-Disposition: form-data; name="{make(LINE)}"\r\n\r\na\r\n--x--\r\n'.encode("latin-1")
    lines = ("Content-Type: multipart/form-data; boundary=x", f"Content-Length: {len(body)}")
    return head("/", *lines, method="POST") + body


def many_lines(make: Make) -> bytes:
    """As many as HEADERS_MAX lets through, of one name."""
    return head("/", *[f"Accept-Encoding: {make(200)}"] * 90)


def places(client: Client) -> dict[str, Callable[[Make], bytes]]:
    return {
        **{name: in_headers(client, name) for name in HEADERS},
        **{f"{name} at {path}": in_headers(client, name, path) for path, names in ELSEWHERE.items() for name in names},
        **{f"path {path}": in_target(path) for path in PATHS},
        "a name in multipart": in_a_multipart_name,
        "90 lines": many_lines,
    }


SHAPES = list(shapes(size(("",), ("", "!", BAD))))
GROUP = 20
AGAIN = 5  # at once, so that what the box does by itself meanwhile does not count much
ENOUGH = 5  # of those that are too dear: a fault of this kind takes its time to show


class Costs:
    """CPU of requests, a group at once; of a group that is too dear each one again, and the least of three counts."""

    def __init__(self, box: Box, most: float = MOST) -> None:
        self._meter, self.most = Meter(box), most
        self._clients = [Client((box.ip, 8080)) for _ in range(GROUP)]
        self.usual = 0.0
        self.dear: dict[str, str] = {}

    def __enter__(self) -> Costs:
        return self

    def __exit__(self, *_: object) -> None:
        self._meter.close()
        for client in self._clients:
            client.close()

    def of(self, requests: Sequence[bytes]) -> float:
        """At most GROUP of them."""
        begun = self._meter.seconds()
        for client, request in zip(self._clients, requests, strict=False):
            client.send(request)
        for client, _ in zip(self._clients, requests, strict=False):
            client.receive()
        return self._meter.seconds() - begun

    def compare(self, usual: bytes) -> None:
        """What follows may cost `most` more than this."""
        for _ in range(6):  # warm at the end
            self.usual = self.of([usual] * GROUP) / GROUP

    def look(self, named: Iterable[tuple[str, bytes]]) -> None:
        waiting = list(named)
        for start in range(0, len(waiting), GROUP):
            if len(self.dear) >= ENOUGH:
                return
            group = waiting[start : start + GROUP]
            if self.of([request for _, request in group]) < len(group) * self.usual + self.most:
                continue
            for name, request in group:
                seconds = min(self.of([request] * AGAIN) for _ in range(3)) / AGAIN - self.usual
                if seconds > self.most:
                    self.dear[name] = f"{seconds * 1000:.1f} ms, where {self.usual * 1000:.1f} ms are usual"


@pytest.fixture(scope="module", params=WIRES)
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    env = {
        "WORKER_CLASS": request.param,
        "WEB_CONCURRENCY": "1",
        "TRUSTED_PROXIES": "any",  # so that all that they may say is read
        "RATE_LIMIT": "100000/100000",
        "MAX_CONNECTIONS": "1000",
        "LOG_LEVEL": "critical",
        "STATIC_PATH": "static",
    }
    with Box(env=env, files={"main.py": APP, "static/a.txt": "a" * 2000}) as box:
        yield box


def test_no_place_and_no_shape_costs_more(box: Box) -> None:
    client = Client((box.ip, 8080))
    with Costs(box) as costs:
        costs.compare(head("/", *[f"X-Other: {'a' * LINE}"] * LINES))
        for place, put in places(client).items():
            costs.look((f"{place}: {what}", put(make)) for what, make in SHAPES)
    assert not costs.dear
    assert box.get("/").status_code == 200


# The starter's own readers, and those of its libraries: linear too, in Python (24 kB of semicolons are 24,000 cookies)


def test_the_starter() -> None:
    def form(make: Make) -> bytes:
        body = f"{make(LINE)}&title={make(LINE)}".encode("latin-1")
        kind = "Content-Type: application/x-www-form-urlencoded"
        return head("/notes/new", kind, f"Content-Length: {len(body)}", method="POST") + body

    def as_json(make: Make) -> bytes:
        body = f'{{"title": "a", "body": "{make(LINE)}"}}'.encode("latin-1")
        return head("/api/notes", "Content-Type: application/json", f"Content-Length: {len(body)}", method="PUT") + body

    def cookies(make: Make) -> bytes:
        return head("/notes/", *[f"Cookie: {make(LINE - 10)}"] * LINES)

    def multipart(make: Make) -> bytes:
        return in_a_multipart_name(make).replace(b"POST / ", b"POST /notes/new ")

    places = {"form": form, "JSON": as_json, "Cookie": cookies, "multipart": multipart, "q": in_target("/notes/?q=")}
    with Box({"WEB_CONCURRENCY": "1"}, deadline=60) as starter, Costs(starter, most=4 * MOST) as costs:
        for place, put in places.items():
            costs.compare(put(lambda length: "a" * length))
            costs.look((f"{place}: {what}", put(make)) for what, make in SHAPES)
    assert not costs.dear


# nginx's own regular expressions, by nginx's own engine


def nginx_patterns() -> Iterator[str]:
    """Each one of nginx.conf and of all that is rendered, as it is written, with its ~ or ~*."""
    texts = [(ROOT / "nginx.conf").read_text(encoding="utf-8")]
    texts += [path.read_text(encoding="utf-8") for path in (ROOT / "tests/unit/golden").glob("*.conf")]
    texts.append(statics.maps(Files(statics=(Static("/static/", "/app/static", copies=0),))))
    for text in texts:
        for directive in directives(text):
            if directive.words[:2] == ("if", "($status"):
                continue  # three digits of nginx's own
            assert not {"~", "~*", "!~", "!~*"} & set(directive.words), "a kind of pattern that is not looked at here"
            yield from (word for word in directive.words if word[0:1] == "~")
            yield from ("~" + word for word in directive.words[1:2] if directive.words[0] == "rewrite")


def in_python(pattern: str) -> re.Pattern[str]:
    flags = re.IGNORECASE if pattern[:2] == "~*" else 0
    text = pattern.removeprefix("~").removeprefix("*").replace(r"\z", r"\Z")
    return re.compile(re.sub(r"\(\?<(?=\w)", "(?P<", text), flags)


def test_patterns_of_nginx() -> None:
    patterns = sorted(set(nginx_patterns()))
    assert len(patterns) > 30
    maps = "".join(
        f'map $http_x_probe $probe_{number} {{ default 0; "{pattern}" 1; }}\n'
        for number, pattern in enumerate(patterns)
    )
    answers = "".join(f"location = /{number} {{ return 200 $probe_{number}; }}\n" for number in range(len(patterns)))
    conf = f"""daemon off; pcre_jit on; error_log stderr; pid /tmp/nginx.pid; events {{ }}
    http {{ access_log off; large_client_header_buffers 4 32k; client_body_temp_path /tmp/a; proxy_temp_path /tmp/a;
    fastcgi_temp_path /tmp/a; uwsgi_temp_path /tmp/a; scgi_temp_path /tmp/a; keepalive_requests 1000000;
    {maps} server {{ listen 8080; location = /up {{ return 200 1; }} location = /ready {{ return 200 1; }}
    {answers} }} }}"""
    folder = write_files({"probe.conf": conf})
    command = ["-c", "/probe/probe.conf"]
    with Box(image=RUNTIME, args=["--entrypoint", "nginx"], command=command, mounts={folder: "/probe"}) as box:
        client = Client((box.ip, 8080))
        with Costs(box) as costs:
            costs.compare(head("/up", f"X-Probe: {'a' * JOINED}"))
            for number, pattern in enumerate(patterns):
                made = {what: make(JOINED) for what, make in shapes_for(in_python(pattern))}
                made |= {what: make(JOINED) for what, make in SHAPES}
                costs.look(
                    (f"{pattern}: {what}", head(f"/{number}", f"X-Probe: {text}"))
                    for what, text in made.items()
                    if "\n" not in text
                )
        assert client.ask(head("/0", "X-Probe: a")) == 200
    assert not costs.dear
