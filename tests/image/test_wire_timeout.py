"""A stuck request: the client gets a page, the log says where it hangs, the worker is replaced, the rest goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from .apps.wire import FASTCGI, HTTP, PROBE, WIRES, Background, Probe
from .box import wait_until

STUCK_LINE = 1 + next(number for number, line in enumerate(PROBE.split("\n")) if "# the stuck line" in line)
NAMED = [FASTCGI]  # gunicorn's own classes cannot tell which request they had


@pytest.fixture(scope="module", params=WIRES)
def box(request: pytest.FixtureRequest) -> Iterator[Probe]:
    with Probe(request.param, TIMEOUT=2, THREADS=4, TRUSTED_PROXIES="private") as box:
        yield box


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_the_client_gets_a_504_page(box: Probe, accept: str) -> None:
    begun = time.monotonic()
    answer = box.ask("/stuck", headers={"Accept": accept})
    assert 1.9 < time.monotonic() - begun < 9
    assert answer.status_code == 504
    assert answer.headers["Content-Type"].startswith(accept)
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["X-Request-ID"]
    assert "504" in answer.text
    box.wait_up()


def test_service_goes_on(box: Probe) -> None:
    """While a request is stuck, while its worker leaves, and after it: no other request fails."""
    call = Background(box.ask, "/stuck")
    deadline, statuses = time.monotonic() + (4 if box.wire == FASTCGI else 8), []
    while time.monotonic() < deadline:
        statuses.append(box.ask("/tell").status_code)
        time.sleep(0.05)
    assert set(statuses) == {200}
    assert call.result().status_code in (502, 504)


@pytest.mark.parametrize("box", NAMED, indirect=True)
def test_the_log_says_which_request_and_where_it_hangs(box: Probe) -> None:
    answer = box.ask("/stuck?private=query", "POST", data=b"x", headers={"X-Request-ID": "stuck-request-1"})
    assert answer.headers["X-Request-ID"] == "stuck-request-1"
    record = box.wait_record(lambda one: "stuck-request-1" in str(one.get("message")) and one["logger"] != "access")
    message = record["message"]
    assert record["level"] in ("error", "critical")
    assert "POST /stuck" in message
    assert "private" not in message
    assert f'main.py", line {STUCK_LINE}, in stuck' in message
    assert "time.sleep(30)  # the stuck line" in message


@pytest.mark.parametrize("box", NAMED, indirect=True)
def test_the_worker_is_replaced_and_its_other_requests_finish(box: Probe) -> None:
    before = json.loads(box.ask("/process").text)["pid"]
    stuck = Background(box.ask, "/stuck")
    time.sleep(1.2)
    others = [Background(box.ask, f"/sleep?s=1.7&mark={number}") for number in range(2)]
    stream = Background(box.ask, "/events?pause=0.5&count=6")
    for number, other in enumerate(others):
        answer = other.result()
        assert answer.status_code == 200
        assert json.loads(answer.text) == {"pid": before, "mark": str(number)}
    assert stream.result().text.count("data:") == 6
    assert stuck.result().status_code == 504
    wait_until(lambda: json.loads(box.ask("/process").text)["pid"] != before, 10, "another worker")


def test_a_request_below_timeout_is_not_stuck(box: Probe) -> None:
    assert box.ask("/sleep?s=1.2").status_code == 200


@pytest.mark.parametrize("box", [HTTP], indirect=True)
def test_on_the_http_wire_nginx_gives_up_after_timeout_and_five(box: Probe) -> None:
    begun = time.monotonic()
    assert box.ask("/stuck").status_code == 504
    assert 6 < time.monotonic() - begun < 9


@pytest.mark.parametrize("box", NAMED, indirect=True)
def test_after_kill_9_the_log_names_the_requests(box: Probe) -> None:
    other = Background(box.ask, "/sleep?s=1&mark=other", headers={"X-Request-ID": "beside-the-kill"})
    time.sleep(0.3)
    answer = box.ask("/kill?private=query", headers={"X-Request-ID": "request-that-kills"})
    assert answer.status_code == 502
    assert other.result().status_code == 502
    for number, path in (("request-that-kills", "GET /kill"), ("beside-the-kill", "GET /sleep")):
        record = box.wait_record(
            lambda one, number=number: number in str(one.get("message")) and one["logger"] != "access"
        )
        assert path in record["message"]
        assert "private" not in record["message"]
    wait_until(lambda: box.ask("/tell").status_code == 200, 5)


@pytest.mark.parametrize("box", NAMED, indirect=True)
def test_kill_9_from_outside_names_the_request(box: Probe) -> None:
    pid = json.loads(box.ask("/process").text)["pid"]
    call = Background(box.ask, "/sleep?s=1.5", "PUT", headers={"X-Request-ID": "killed-from-outside"})
    time.sleep(0.4)
    box.exec("sh", "-c", f"kill -9 {pid}")
    assert call.result().status_code == 502
    record = box.wait_record(lambda one: "killed-from-outside" in str(one.get("message")) and one["logger"] != "access")
    assert "PUT /sleep" in record["message"]
