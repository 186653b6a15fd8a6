"""Who the client is: each chain of the table (chains.py) on the image, and chains of real proxies."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .apps.wire import read_answer
from .box import IMAGE, Box, docker, name_for, wait_until, write_files
from .chains import CHAINS, PEER, SETTINGS, Chain
from .networked import network

# Both what WSGI says and what Flask makes of it.
TELL = """from flask import Flask, request, url_for
app = Flask(__name__)
@app.get("/tell")
def tell():
    environ = {name: value for name, value in request.environ.items() if isinstance(value, str)}
    return {"environ": environ, "url": url_for("tell", _external=True), "address": request.remote_addr}
"""
PROXY = """events {{}}
pid /tmp/nginx.pid;
error_log stderr;
http {{
    access_log off;
    client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
    uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
    server {{
        listen 8000;
        location / {{
            proxy_pass http://{following};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto {scheme};
        }}
    }}
}}
"""


@pytest.fixture(scope="module")
def boxes() -> Iterator[dict[str, Box]]:
    """A box for each setting, made when it is first asked for."""
    made: dict[str, Box] = {}
    yield made
    for box in made.values():
        box.__exit__(None, None, None)


def tell(box: Box, chain: Chain) -> dict[str, object]:
    """Ask over a connection of its own, with these header lines byte for byte."""
    import socket

    lines = ["GET /tell HTTP/1.1", f"Host: {chain.host}", *chain.headers, "Connection: close", "", ""]
    with socket.create_connection(("127.0.0.1", box.host_port()), timeout=10) as wire:
        wire.sendall("\r\n".join(lines).encode())
        answer = read_answer(wire)
    assert answer.status == 200, answer
    told: dict[str, object] = json.loads(answer.body)
    return told


@pytest.mark.parametrize("chain", CHAINS, ids=[chain.name for chain in CHAINS])
def test_chain(boxes: dict[str, Box], chain: Chain) -> None:
    if chain.setting not in boxes:
        boxes[chain.setting] = Box(env={"WEB_CONCURRENCY": "1", **SETTINGS[chain.setting]}, files={"main.py": TELL})
        boxes[chain.setting].__enter__()
    box = boxes[chain.setting]
    told = tell(box, chain)
    environ = told["environ"]
    assert isinstance(environ, dict)
    peer = docker("inspect", "-f", "{{.NetworkSettings.Gateway}}", box.name).stdout.strip()
    address = peer if chain.address == PEER else chain.address
    scheme, _, host = chain.base.partition("://")
    port = host.rpartition("]")[2].partition(":")[2] or {"http": "80", "https": "443"}[scheme]
    assert told["address"] == environ["REMOTE_ADDR"] == address
    assert environ["HTTP_X_FORWARDED_FOR"] == environ["HTTP_X_REAL_IP"] == address
    assert environ["wsgi.url_scheme"] == environ["HTTP_X_FORWARDED_PROTO"] == scheme
    assert (environ["HTTP_HOST"], environ["SERVER_PORT"]) == (host, port)
    assert told["url"] == chain.base + "/tell"
    lies = [name for name, value in environ.items() if "6.6.6.6" in value or "evil" in value or value == "444"]
    assert not lies


class Chained:
    """A client and so many real proxies before a box. The client's network looks public, the others are private."""

    def __init__(self, box: Box, inner: str, outer: str, count: int) -> None:
        self.names = [name_for() for _ in range(count)]
        self.folders = []
        for number, name in enumerate(self.names):
            last, first = number == count - 1, number == 0
            following = f"{box.name}:8080" if last else f"{self.names[number + 1]}:8000"
            scheme = "https" if first else "$http_x_forwarded_proto"
            folder = write_files({"proxy.conf": PROXY.format(following=following, scheme=scheme)})
            self.folders.append(folder)
            words = ["run", "-d", "--name", name, "--network", outer if first else inner, "-v", f"{folder}:/proxy"]
            docker("create", *words[2:], "--entrypoint", "nginx", IMAGE, "-c", "/proxy/proxy.conf", "-g", "daemon off;")
            if first:
                docker("network", "connect", inner, name)
        for name in reversed(self.names):
            docker("start", name)
            wait_until(lambda: docker("inspect", "-f", "{{.State.Running}}", name).stdout.strip() == "true", 5)  # noqa: B023

    def ask(self, outer: str, *headers: str) -> dict[str, object]:
        """curl from a container of the outer network: what the application was told, and the client's address."""
        options = " ".join(f"-H '{line}'" for line in headers)
        url = f"http://{self.names[0]}:8000/tell"
        script = f"hostname -i; curl -sS --retry 5 --retry-connrefused -m 10 -H 'Host: shop.test' {options} {url}"
        done = docker("run", "--rm", "--network", outer, "--entrypoint", "sh", IMAGE, "-c", script)
        address, _, body = done.stdout.partition("\n")
        return {**json.loads(body), "client": address.strip()}

    def remove(self) -> None:
        docker("rm", "-f", *self.names, check=False)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_real_proxies(count: int) -> None:
    outer = name_for()
    docker("network", "create", "--subnet", f"198.51.100.{count * 64}/26", outer)
    try:
        trust = {"TRUSTED_PROXIES": "private"}
        with network() as inner, Box(env=trust, args=["--network", inner], files={"main.py": TELL}) as box:
            chained = Chained(box, inner, outer, count)
            try:
                for headers in ((), ("X-Forwarded-For: 6.6.6.6", "X-Real-IP: 6.6.6.6", "X-Forwarded-Proto: gopher")):
                    told = chained.ask(outer, *headers)
                    assert str(told["client"]).startswith("198.51.100.")
                    assert told["address"] == told["client"]
                    assert told["url"] == "https://shop.test/tell"
            finally:
                chained.remove()
    finally:
        docker("network", "rm", outer, check=False)


def test_a_peer_over_ipv6() -> None:
    ipv6 = ["--sysctl", "net.ipv6.conf.all.disable_ipv6=0", "--sysctl", "net.ipv6.conf.lo.disable_ipv6=0"]
    with Box(env={"TRUSTED_PROXIES": "none"}, args=ipv6, files={"main.py": TELL}) as box:
        told = json.loads(box.exec("curl", "-sg6", "-H", "X-Forwarded-For: 6.6.6.6", "http://[::1]:8080/tell"))
        assert told["address"] == "::1"
        assert told["url"] == "http://[::1]:8080/tell"
