"""Which ports, which addresses, and from when on."""

from __future__ import annotations

import socket
import time

import pytest

from .box import Box, free_port, run_once

HELLO = """def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


def test_the_port_that_is_given() -> None:
    with Box(env={"PORT": "5000"}, port=5000, args=["--sysctl", "net.ipv4.ip_unprivileged_port_start=0"]) as box:
        assert box.get("/").status_code == 200
        for other in (80, 8080):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((box.ip, other), timeout=2)


def test_port_5000_of_the_host_on_the_default_port() -> None:
    port = free_port()
    with Box(args=["-p", f"127.0.0.1:{port}:8080"]) as box:
        assert box.session.get(f"http://127.0.0.1:{port}/up", timeout=5).status_code == 200


def test_8080_and_80_where_nothing_is_given() -> None:
    with Box(ports=[80], args=["--sysctl", "net.ipv4.ip_unprivileged_port_start=0"]) as box:
        assert box.get("/").status_code == 200
        assert box.get("/", port=80).status_code == 200
        assert [record for record in box.records() if record["logger"] == "nginx"] == [], "nothing of nginx's own"


def test_only_8080_where_80_may_not_be_bound() -> None:
    with Box(args=["--sysctl", "net.ipv4.ip_unprivileged_port_start=1024"]) as box:
        assert box.get("/").status_code == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((box.ip, 80), timeout=2)
        assert [r for r in box.records() if r["level"] in ("error", "critical")] == []


def test_port_80_given_where_it_may_not_be_bound() -> None:
    done = run_once(env={"PORT": "80"}, args=["--sysctl", "net.ipv4.ip_unprivileged_port_start=1024"])
    assert done.returncode == 78
    assert "port 80" in done.stderr
    assert "8080" in done.stderr


def test_a_foreign_flagon_port_of_kubernetes_is_no_setting() -> None:
    with Box(env={"FLAGON_PORT": "tcp://10.0.0.1:80", "FLAGON_SERVICE_PORT": "80"}) as box:
        assert box.get("/").status_code == 200


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_ipv4_and_ipv6(starter: Box, address: str) -> None:
    if address == "[::1]" and starter.exec("cat", "/proc/sys/net/ipv6/conf/lo/disable_ipv6").strip() != "0":
        pytest.skip("this engine gives containers no IPv6, not even on the loopback")
    assert "Flagon" in starter.exec("curl", "-fsS", "-g", f"http://{address}:8080/")


def test_without_ipv6() -> None:
    with Box(
        args=["--sysctl", "net.ipv6.conf.all.disable_ipv6=1", "--sysctl", "net.ipv6.conf.lo.disable_ipv6=1"]
    ) as box:
        assert box.get("/").status_code == 200
        assert box.running()


def test_the_port_opens_only_when_the_application_answers() -> None:
    slow = "import time\ntime.sleep(3)\n" + HELLO
    with Box(files={"main.py": slow}, wait=False) as box:
        begun, answers = time.monotonic(), []
        while time.monotonic() - begun < 15:
            try:
                with socket.create_connection((box.ip, 8080), timeout=5) as wire:
                    wire.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    answers.append(wire.recv(100).split(b"\r\n")[0])
                    break
            except ConnectionRefusedError:
                time.sleep(0.02)
        assert time.monotonic() - begun > 2
        assert answers
        assert answers[0].endswith(b" 200 OK")


def test_the_ready_line_names_the_addresses(starter: Box) -> None:
    assert "0.0.0.0:8080" in starter.wait_log("listening on")
