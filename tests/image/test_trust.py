"""Who is believed when nobody has said whom to believe: no neighbour, no host, nobody whom the engine relays."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from .apps.wire import FASTCGI, PROBE, WIRES, Probe
from .box import IMAGE, Box, docker, run_once
from .chains import FORGED
from .networked import network

LIES = re.compile(r"6\.6\.6\.6|evil|\b444\b|^named$")  # a port of the host's may have 444 in it
# Those of the report that reached the application from a peer that nobody trusts, and others of their kind.
CLAIMS = """
Fastly-Client-IP Proxy-Client-IP WL-Proxy-Client-IP X-Forwarded-By X-Forwarded-User X-Forwarded-Email X-Forwarded-Uri
X-Forwarded-Client-IP X-Forwarded-Client-Cert X-Host X-Original-Host X-Originating-IP X-Remote-IP X-Remote-Addr
X-Remote-User X-Azure-ClientIP X-Appengine-User-IP CF-Connecting-IPv6 CF-Visitor CloudFront-Viewer-Address
Tailscale-User-Login Remote-User X-Auth-Request-Email X-MS-CLIENT-PRINCIPAL X-Goog-Authenticated-User-Email
X-Amzn-Oidc-Identity Cf-Access-Authenticated-User-Email X-authentik-username X-SSL-Client-Cert X-Real-Host
X-Brand-New-Client-IP X-Forwarded-Brand-New X-Flagon-Peer X-Flagon-Server-Name Proxy X-Visitor
""".split()
USERS = ("X-Forwarded-User", "X-Remote-User", "X-SSL-Client-Cert", "Tailscale-User-Login")


def lies(environ: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if LIES.search(value)}


def from_neighbour(address: str, where: list[str], *headers: str) -> dict[str, Any]:
    """What the box is told by a container beside it."""
    options = [word for line in headers for word in ("-H", line)]
    words = ["-sS", "--retry", "5", "--retry-connrefused", "-m", "10", "-H", "Host: box.test", *options]
    done = docker("run", "--rm", *where, "--entrypoint", "curl", IMAGE, *words, f"http://{address}:8080/tell")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module", params=WIRES)
def default(request: pytest.FixtureRequest) -> Iterator[Probe]:
    """As the README's first line starts it, on the default bridge, with a custom name for the address's header."""
    with Probe(request.param, REAL_IP_HEADER="X-Visitor") as box:
        yield box


def test_the_host_through_the_engine_is_not_believed(default: Probe) -> None:
    """Whoever the engine relays, such as IPv6 to a container without it, comes with the gateway's address."""
    honest = default.told().environ
    told = default.told("/tell", *FORGED).environ
    assert honest["REMOTE_ADDR"] == told["REMOTE_ADDR"]
    assert not lies(told)
    assert set(told) == set(honest)
    assert told["wsgi.url_scheme"] == told["HTTP_X_FORWARDED_PROTO"] == "http"


def test_a_neighbour_on_the_bridge_is_not_believed(default: Probe) -> None:
    told = from_neighbour(default.ip, [], *FORGED)["environ"]
    assert not lies(told)
    assert told["REMOTE_ADDR"] == told["HTTP_X_FORWARDED_FOR"] == told["HTTP_X_REAL_IP"]
    assert told["HTTP_HOST"] == "box.test"
    assert told["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize("case", ["as it is", "lower", "UPPER", "under_scores", "twice"])
def test_no_claim_of_a_stranger_arrives(default: Probe, case: str) -> None:
    names = [{"lower": name.lower(), "UPPER": name.upper()}.get(case, name) for name in CLAIMS]
    names = [name.replace("-", "_") for name in names] if case == "under_scores" else names * (1 + (case == "twice"))
    told = default.told("/tell", *(f"{name}: 6.6.6.6" for name in names)).environ
    assert not lies(told)
    assert set(told) == set(default.told().environ)


def test_ordinary_headers_arrive(default: Probe) -> None:
    names = ("X-Requested-With", "X-CSRF-Token", "X-Api-Key", "X-User-Agent", "Origin", "Referer", "traceparent", "Via")
    told = default.told("/tell", *(f"{name}: mine" for name in names)).environ
    assert {told.get("HTTP_" + name.upper().replace("-", "_")) for name in names} == {"mine"}


def test_it_is_said_which_peer_is_ignored_and_what_to_set(default: Probe) -> None:
    for _ in range(3):
        default.told("/tell", "X-Forwarded-For: 203.0.113.9", "X-Remote-User: me")
    default.wait_log("sends forwarding headers")
    lines = [record["message"] for record in default.records() if record.get("level") == "warning"]
    for what in ("sends forwarding headers", "claims a user, and was DROPPED"):
        found = [line for line in lines if what in line]
        assert found
        assert len(found) == len(set(found)), "once of each neighbour"
    for ignored in [line for line in lines if "sends forwarding headers" in line]:
        assert f"set TRUSTED_PROXIES={ignored.split()[0]}, or its network" in ignored
    assert len([line for line in lines if "REAL_IP_HEADER=X-Visitor has no effect" in line]) == 1
    assert "trusted proxies: none (default); behind a proxy" in default.logs()


@pytest.mark.parametrize("wire", WIRES)
def test_a_neighbour_on_a_network_of_one_s_own(wire: str) -> None:
    """Not believed; what the log advises then makes it a proxy, and nobody else; and says what a proxy may say."""
    chain = (
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: www.test",
        "X-Remote-User: me",
    )
    with network() as net:
        with Probe(wire, args=["--network", net]) as box:
            told = from_neighbour(box.name, ["--network", net], *FORGED)["environ"]
            assert not lies(told)
            advised = told["REMOTE_ADDR"]
            assert f"set TRUSTED_PROXIES={advised}, or its network" in box.wait_log(
                f"{advised} sends forwarding headers"
            )
        with Probe(wire, args=["--network", net], TRUSTED_PROXIES=advised) as box:
            told = from_neighbour(box.name, ["--network", net], *chain)["environ"]
            assert told["REMOTE_ADDR"] == "203.0.113.9", "the engine gives the next container the same address"
            assert (told["wsgi.url_scheme"], told["HTTP_HOST"]) == ("https", "www.test")
            assert told["HTTP_X_REMOTE_USER"] == "me"
            told = box.told("/tell", *chain).environ  # from the gateway
            assert (told["wsgi.url_scheme"], told["HTTP_HOST"]) == ("http", "box.test")
            assert "HTTP_X_REMOTE_USER" not in told
            assert "203.0.113.9" not in told.values()


@pytest.mark.parametrize("wire", WIRES)
def test_a_named_peer_says_who_the_user_is_and_nothing_of_addresses(wire: str) -> None:
    with Probe(wire, TRUSTED_PROXIES="private", REAL_IP_HEADER="X-Visitor") as box:
        told = box.told(
            "/tell", "X-Visitor: 203.0.113.9", *(f"{name}: {'me' if name in USERS else '6.6.6.6'}" for name in CLAIMS)
        ).environ
        assert told["REMOTE_ADDR"] == "203.0.113.9"
        assert [told["HTTP_" + name.upper().replace("-", "_")] for name in USERS] == ["me"] * len(USERS)
        assert "HTTP_X_ORIGINAL_HOST" not in told
        assert "HTTP_X_VISITOR" not in told
        assert "IGNORED" not in box.logs()


def test_a_named_peer_is_not_said_by_a_header() -> None:
    for wire in WIRES:
        with Probe(wire) as box:
            forged = ("X-Flagon-Peer: named", "Flagon-Peer: named", "FLAGON_PEER: named", "X_Flagon_Peer: named")
            assert "HTTP_X_REMOTE_USER" not in box.told("/tell", *forged, "X-Remote-User: me").environ


@pytest.mark.parametrize("wire", WIRES)
def test_underscores_that_a_user_s_file_lets_in(wire: str) -> None:
    files = {"main.py": PROBE, "nginx/http.d/under.conf": "underscores_in_headers on;\n"}
    env = {"WORKER_CLASS": wire, "WEB_CONCURRENCY": "1", "REAL_IP_HEADER": "X-Visitor"}
    with Box(env=env, files=files) as box:
        claimed = {name.replace("-", "_"): "6.6.6.6" for name in (*CLAIMS, "X-Forwarded-For", "X-Real-IP")}
        claimed |= {"X_Forwarded_Proto": "https", "SCRIPT_NAME": "/evil", "X_Flagon_Server_Port": "444"}
        environ = box.get("/tell", headers=claimed).json()["environ"]
        assert not lies(environ)
        assert environ["wsgi.url_scheme"] == "http"


def test_a_user_s_own_uwsgi_pass() -> None:
    """What a client says passes no better there, and the file may say who is to be believed."""
    to_us = "include uwsgi_params; uwsgi_pass unix:///tmp/uwsgi.sock;"
    named = "uwsgi_param FLAGON_PEER named; uwsgi_param UWSGI_SCHEME https; set_real_ip_from 0.0.0.0/0;"
    server = (
        f"location = /tell {{ {to_us} }}\n"
        f"location = /tell/named {{ {to_us} {named} real_ip_header X-Forwarded-For; }}\n"
    )
    files = {"main.py": PROBE, "nginx/server.d/uwsgi.conf": server}
    with Box(env={"WORKER_CLASS": FASTCGI, "WEB_CONCURRENCY": "1"}, files=files) as box:
        claimed = dict.fromkeys((*CLAIMS, "X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto"), "6.6.6.6")
        del claimed["X-Visitor"]
        environ = box.get("/tell", headers=claimed).json()["environ"]
        assert not lies(environ)
        assert environ["HTTP_X_FORWARDED_FOR"] == environ["REMOTE_ADDR"]
        assert "real_ip_header" in box.wait_log("comes through uwsgi_pass, and is IGNORED")
        headers = {"X-Forwarded-For": "203.0.113.9", "X-Remote-User": "me", "X-Host": "evil"}
        environ = box.get("/tell/named", headers=headers).json()["environ"]
        assert environ["REMOTE_ADDR"] == environ["HTTP_X_FORWARDED_FOR"] == "203.0.113.9"
        assert environ["HTTP_X_FORWARDED_PROTO"] == environ["wsgi.url_scheme"] == "https"
        assert environ["HTTP_X_REMOTE_USER"] == "me"
        assert not lies(environ)


@pytest.mark.parametrize("wire", WIRES)
def test_headers_that_clients_send_and_the_application_checks(wire: str) -> None:
    named = ("X-Auth-User", "X-Agent-IP")
    with Probe(wire, PASS_HEADERS="x-auth-user, X-Agent-IP", REAL_IP_HEADER="X-Visitor") as box:
        honest = set(box.told().environ)
        for header in (*named, *(name.upper() for name in named)):
            told = box.told(
                "/tell", f"{header}: mine", *(f"{name}: 6.6.6.6" for name in CLAIMS), "X-Hostname: evil"
            ).environ
            assert not lies(told)
            assert set(told) - honest == {"HTTP_" + header.upper().replace("-", "_")}
            assert "mine" in told.values()
        assert "PASS_HEADERS=X-Hostname" in box.wait_log("X-Hostname claims a scheme, host, port or path")


def test_no_header_passes_of_which_nginx_has_the_last_word() -> None:
    done = run_once(["check"], env={"PASS_HEADERS": "X-Auth-User,X-Forwarded-For"})
    assert done.returncode == 78
    assert "of X-Forwarded-For nginx has the last word" in done.stdout + done.stderr


def test_force_https_says_why_it_goes_round_in_circles() -> None:
    with Probe(FASTCGI, FORCE_HTTPS="on") as box:
        assert "FOR EVER" in box.wait_log("FORCE_HTTPS is on and no proxy is trusted")
    for wire in WIRES:
        with Probe(wire, FORCE_HTTPS="on", TRUSTED_PROXIES="203.0.113.0/24") as box:
            answer = box.ask("/round", headers={"X-Forwarded-Proto": "https"}, allow_redirects=False)
            assert answer.status_code == 308
            assert box.ask("/plain", allow_redirects=False).status_code == 308
            assert "TRUSTED_PROXIES does not name" in box.access("/round")["message"]
            assert "TRUSTED_PROXIES" not in box.access("/plain")["message"]
            assert "FOR EVER" not in box.logs()


def test_config_says_where_trust_comes_from() -> None:
    def row(**env: str) -> tuple[str, str]:
        done = run_once(["config", "--json"], env=env)
        found = json.loads(done.stdout)["TRUSTED_PROXIES"]
        return found["value"], found["source"]

    assert row() == ("none", "default")
    assert row(RAILWAY_PROJECT_ID="0c1d") == ("private", "RAILWAY_PROJECT_ID is set")
    assert row(DYNO="web.1", TRUSTED_PROXIES="10.0.0.7") == ("10.0.0.7", "TRUSTED_PROXIES")
