"""RATE_LIMIT and MAX_CONNECTIONS: 429 with Retry-After beyond them, client by client, health spared."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from .apps.wire import FASTCGI, WIRES, Probe


def statuses(box: Probe, count: int, client: str = "203.0.113.1", path: str = "/tell") -> Counter[int]:
    return Counter(box.ask(path, headers={"X-Forwarded-For": client}).status_code for _ in range(count))


def test_a_burst_passes_at_once_and_the_rest_is_refused() -> None:
    with Probe(FASTCGI, RATE_LIMIT="1/5", TRUSTED_PROXIES="private") as box:
        begun = time.monotonic()
        first = statuses(box, 20)
        assert time.monotonic() - begun < 2
        assert 6 <= first[200] <= 8
        assert first[200] + first[429] == 20
        assert statuses(box, 3, "203.0.113.2") == {200: 3}  # another client
        refused = box.ask("/tell", headers={"X-Forwarded-For": "203.0.113.1"})
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "1"
        assert '"GET /tell 429 (RATE_LIMIT)"' in box.wait_log("RATE_LIMIT)")
        assert "429 Too Many Requests" in refused.text
        as_json = box.ask("/tell", headers={"X-Forwarded-For": "203.0.113.1", "Accept": "application/json"})
        assert as_json.json()["error"]["status"] == 429
        for path in ("/up", "/ready", "/-/up"):
            assert statuses(box, 12, path=path) == {200: 12}
        time.sleep(1.2)
        assert statuses(box, 1)[200] == 1  # what Retry-After said
        assert box.access("/tell")["client"] == "203.0.113.1"


def test_a_customer_s_ipv6_network_is_one_client() -> None:
    with Probe(FASTCGI, RATE_LIMIT="0.1/2", TRUSTED_PROXIES="private") as box:
        seen = [statuses(box, 1, f"2001:db8:1:2::{number:x}")[200] for number in range(1, 9)]
        assert sum(seen) == 3
        assert statuses(box, 2, "2001:db8:1:3::1") == {200: 2}
        assert [statuses(box, 1, f"2001:db8::{number:x}")[200] for number in range(1, 9)].count(1) == 3
        assert box.ask("/tell", headers={"X-Forwarded-For": "2001:db8::1"}).headers["Retry-After"] == "10"


# Spellings of addresses of one client each: an IPv4 address, or a network of 64 bits.
CLIENTS = (
    ("198.51.100.9", "::ffff:198.51.100.9", "::ffff:c633:6409", "0:0:0:0:0:ffff:198.51.100.9", "::FFFF:C633:6409",
     "64:ff9b::c633:6409", "64:ff9b::198.51.100.9", "[::ffff:198.51.100.9]:4711"),
    ("2001:db8::1", "2001:db8:0:0:1::", "2001:db8::ffff:0:1",
     "2001:0db8:0000:0000:0000:0000:0000:0009", "2001:DB8::A:0:0:A"),
    ("2001:db8:0:1::", "2001:db8:0:1:1::", "2001:db8:0:1:ffff:ffff:ffff:ffff"),
    ("2001:db8:1::1", "2001:db8:1:0:8000::", "2001:db8:1:0:0:0:0:0"),
    ("2001:db8:0:a0a:a0a:a0a:a0a:a0a", "2001:db8:0:a0a:d0a::", "2001:db8:0:a0a::"),  # line feeds, as bytes
    ("2002:c633:6409::1", "2002:c633:6409:0:1::"),
    ("198.51.100.10", "::ffff:198.51.100.10"),
)  # fmt: skip


@pytest.mark.parametrize("wire", WIRES)
def test_one_client_has_one_limit_however_it_is_written(wire: str) -> None:
    with Probe(wire, RATE_LIMIT="0.1/1", TRUSTED_PROXIES="private") as box:
        for spellings in CLIENTS:
            seen = [statuses(box, 1, spelling) for spelling in (*spellings, spellings[0])]
            assert [code for one in seen for code in one] == [200, 200] + [429] * (len(seen) - 2), spellings


@pytest.mark.parametrize("wire", WIRES)
def test_connections_under_way(wire: str) -> None:
    with Probe(wire, MAX_CONNECTIONS=2, THREADS=8, TRUSTED_PROXIES="private") as box, ThreadPoolExecutor(8) as pool:

        def slow(client: str) -> int:
            return box.ask("/sleep?s=1.5", headers={"X-Forwarded-For": client}).status_code

        answers = list(pool.map(slow, ["203.0.113.1"] * 5 + ["203.0.113.2"] * 2))
        assert Counter(answers[:5]) == {200: 2, 429: 3}
        assert answers[5:] == [200, 200]
        assert box.wait_log("429 (MAX_CONNECTIONS)")
        assert statuses(box, 3) == {200: 3}


def test_the_log_names_the_setting_that_refuses_a_body_and_warns_of_no_ordinary_one() -> None:
    with Probe(FASTCGI, MAX_BODY_SIZE="300k") as box:
        assert box.ask("/take", "POST", data=bytes(250_000)).status_code == 200
        assert box.ask("/take", "POST", data=bytes(400_000)).status_code == 413
        assert '"POST /take 413 (larger than MAX_BODY_SIZE)"' in box.wait_log("413 (")
        assert "temporary file" not in box.logs()


def test_off_by_default() -> None:
    with Probe(FASTCGI) as box:
        assert statuses(box, 100) == {200: 100}
