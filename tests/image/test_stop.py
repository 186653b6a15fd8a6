"""Stopping: exit code 0 inside the budget, and no request that nginx has begun to read is lost."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from flagon import slim

from .apps.wire import FASTCGI, WIRES, Probe, read_answer
from .box import Box, size, wait_until
from .load import CLIENTS, Drained, Load
from .processes import parts

SLOW = """import time
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/sleep/"):
        time.sleep(float(path[7:]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"VERSION 1"]
"""


def later(address: str) -> Future[requests.Response]:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(requests.get, address, timeout=30)
    pool.shutdown(wait=False)
    return future


def test_an_idle_stop_is_quick_and_clean() -> None:
    """The best of three: a busy machine makes a stop slower, never quicker."""
    with Box() as box:
        taken = []
        for _ in range(3):
            box.get("/")
            seconds, code = box.stop()
            assert code == 0
            taken.append(seconds)
            if seconds < 1.0:
                break
            box.start()
        assert min(taken) < 1.0
        assert not [r for r in box.records() if r["level"] in ("error", "critical")]


@pytest.mark.parametrize("signal", ["TERM", "INT", "QUIT"])
def test_all_stop_signals_mean_the_same(signal: str) -> None:
    with Box(files={"main.py": SLOW}) as box:
        answer = later(box.url("/sleep/2"))
        time.sleep(0.5)
        box.kill(signal)
        assert box.wait_exit(10) == 0
        assert answer.result().status_code == 200


def test_a_second_signal_changes_nothing() -> None:
    with Box(files={"main.py": SLOW}) as box:
        answer = later(box.url("/sleep/2"))
        time.sleep(0.5)
        box.kill("TERM")
        time.sleep(0.2)
        box.kill("TERM")
        box.kill("INT")
        assert box.wait_exit(10) == 0
        assert answer.result().status_code == 200


def test_not_as_process_1() -> None:
    with Box(args=["--init"], files={"main.py": SLOW}) as box:
        answer = later(box.url("/sleep/2"))
        time.sleep(0.5)
        seconds, code = box.stop()
        assert (answer.result().status_code, code) == (200, 0)
        assert seconds < 5


@pytest.mark.parametrize("after", [0.0, 0.1, 0.2])
def test_a_stop_in_the_first_moment(after: float) -> None:
    """Process 1 has no default action for signals: until it handles them, a stop waits for the engine's kill."""
    with Box(wait=False) as box:
        time.sleep(after)
        seconds, code = box.stop()
        assert code != 137
        assert seconds < 5


def test_a_stop_while_booting() -> None:
    with Box(files={"main.py": "import time\ntime.sleep(30)\n" + SLOW}, wait=False) as box:
        time.sleep(1)
        seconds, code = box.stop()
        assert code == 0
        assert seconds < 9


def test_a_request_longer_than_the_stop_budget_gets_our_page() -> None:
    with Box(env={"STOP_TIMEOUT": "4"}, files={"main.py": SLOW}) as box:
        answer = later(box.url("/sleep/60"))
        time.sleep(0.5)
        seconds, code = box.stop(20)
        assert seconds < 6
        assert code == 0
        assert answer.result().status_code == 503


def test_many_requests_in_flight_across_docker_stop() -> None:
    with Box(env={"WEB_CONCURRENCY": "2"}, files={"main.py": SLOW}) as box:
        answers = [later(box.url("/sleep/2")) for _ in range(8)]
        time.sleep(1)
        seconds, code = box.stop()
        assert [answer.result().status_code for answer in answers] == [200] * 8
        assert code == 0
        assert seconds < 6


def test_drain_delay_serves_on_while_not_ready() -> None:
    with Box(env={"DRAIN_DELAY": "3"}, files={"main.py": SLOW}) as box:
        assert box.get("/ready").status_code == 200
        begun = time.monotonic()
        box.kill("TERM")
        wait_until(lambda: box.get("/ready").status_code == 503, 1, "/ready at 503")
        assert box.get("/ready").json()["checks"]["serving"] == "draining"
        assert box.get("/up").status_code == 200
        while time.monotonic() - begun < 2.2:
            assert box.get("/").status_code == 200
            time.sleep(0.1)
        assert box.wait_exit(10) == 0
        assert 2.8 < time.monotonic() - begun < 5


def test_stop_and_start_of_the_same_container() -> None:
    with Box() as box:
        for _ in range(2):
            assert box.stop()[1] == 0
            box.start()
            assert box.get("/").status_code == 200
        box.kill("KILL")
        assert box.wait_exit(5) == 137
        box.start()
        assert box.get("/").status_code == 200


def test_restart_as_another_run_of_root() -> None:
    with Box(image="flagon:runtime", files={"main.py": SLOW}) as box:
        box.stop()
        box.start()
        assert box.get("/").text == "VERSION 1"


def listen(box: Probe, path: str, told: list[tuple[float, int, bool]]) -> None:
    """Take a stream to its end: when that was, how much came, and whether it was whole."""
    with box.connect(30) as wire:
        wire.sendall(f"GET {path} HTTP/1.1\r\nHost: box.test\r\nConnection: close\r\n\r\n".encode())
        answer = read_answer(wire)
    told.append((time.monotonic(), len(answer.body), answer.complete))


@pytest.mark.parametrize("pause", [20, 0.2], ids=["silent", "busy"])
@pytest.mark.parametrize("wire", WIRES)
def test_event_streams_end_after_a_whole_event(wire: str, pause: float) -> None:
    """The client's library connects again, to whoever serves then; the stop does not wait for streams."""
    with Probe(wire, WEB_CONCURRENCY=2) as box:
        told: list[tuple[float, int, bool]] = []
        threads = [
            threading.Thread(target=listen, args=(box, f"/events?pause={pause}&count=100", told)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        time.sleep(1)
        begun = time.monotonic()
        seconds, code = box.stop()
        for thread in threads:
            thread.join(5)
        assert (len(told), code) == (2, 0)
        assert all(complete for _, _, complete in told)
        assert all(length > 0 and moment < begun + 3 for moment, length, _ in told)
        assert seconds < (4 if wire == FASTCGI else 9)  # gunicorn's own workers wait for the silent application
        assert "Traceback" not in box.logs()


@pytest.mark.parametrize("wire", WIRES)
def test_event_streams_end_where_gunicorn_was_there_before_supervisord(wire: str, tmp_path: Path) -> None:
    """Both start side by side, and on a busy machine either may be first: here supervisord takes a second longer."""
    module = tmp_path / "slim.py"
    module.write_text(Path(slim.__file__).read_text(encoding="utf-8") + "\nimport time\n\ntime.sleep(1)\n")
    module.chmod(0o644)
    with Probe(wire, args=["-v", f"{module}:/opt/flagon/code/flagon/slim.py:ro"]) as box:
        assert float(re.findall(r"listening on .* after ([\d.]+) s", box.logs())[0]) > 1
        told: list[tuple[float, int, bool]] = []
        thread = threading.Thread(target=listen, args=(box, "/events?pause=0.2&count=100", told))
        thread.start()
        time.sleep(1)
        assert box.stop()[1] == 0
        thread.join(5)
        assert told[0][2]


def test_a_download_is_finished_and_no_stream_is_cut_for_it() -> None:
    """What is no event stream is not ended: a report that comes in pieces is finished."""
    with Probe(FASTCGI) as box:
        told: list[tuple[float, int, bool]] = []
        path = "/events?type=text/csv&pause=0.5&count=6"
        thread = threading.Thread(target=listen, args=(box, path, told))
        thread.start()
        time.sleep(0.7)
        assert box.stop()[1] == 0
        thread.join(5)
        assert told[0][1:] == (len("data: 0\n\n") * 6, True)


@pytest.mark.parametrize("signal", ["TERM", "INT", "QUIT"])
@pytest.mark.parametrize("init", [[], ["--init"]], ids=["process-1", "init"])
def test_a_signal_to_every_process(signal: str, init: list[str]) -> None:
    """Some platforms do that. nginx leaves at once at TERM and INT and cuts what it holds (docs/life-and-death.md)."""
    with Probe(FASTCGI, args=init, WEB_CONCURRENCY=2) as box:
        with Load(box, direct=True) as load:
            time.sleep(0.5)
            begun = time.monotonic()
            box.exec("python3", "-c", f"import os, signal; os.kill(-1, signal.SIG{signal})", check=False)
            box.kill(signal)  # kill(-1) spares process 1, and whoever calls it
            assert box.wait_exit(10) == 0
            assert time.monotonic() - begun < 9
            load.stop.set()
        cut = [error for error in load.errors if "NewConnectionError" not in error]
        print(f"{signal}: {sum(load.served.values())} served, {len(cut)} cut: {cut}")
        assert sum(load.served.values()) > 10
        # each client's request of that moment, and one more that the kernel had queued
        assert len(cut) <= 2 * CLIENTS
        assert "restarted" not in box.logs()
        assert not [r for r in box.records() if r["level"] == "critical" and r["logger"] == "flagon"]


@pytest.mark.parametrize("part", ["nginx", "gunicorn"])
def test_the_signal_reaches_a_part_first(part: str) -> None:
    """It leaves, and is not taken for dead: our own signal comes a moment later."""
    with Box(files={"main.py": SLOW}) as box:
        pid = parts(box)[part][0]
        box.exec("sh", "-c", f"kill -TERM {pid}; sleep 0.1; kill -TERM 1")
        assert box.wait_exit(10) == 0
        assert "restarted" not in box.logs()


def test_stops_under_load_behind_a_balancer_that_drains() -> None:
    """Clients that try nothing twice; the balancer sees /ready turn 503 and sends nothing more."""
    with Probe(FASTCGI, WEB_CONCURRENCY=2, DRAIN_DELAY=1) as box:
        served = 0
        for number in range(size(3, 20)):
            if number:
                box.start()
            with Drained(box) as load:
                time.sleep(0.5)
                seconds, code = box.stop()
            assert (load.errors, code) == ([], 0)
            assert 1 <= seconds < 4
            served += sum(load.served.values())
        print(f"{served} requests served, none failed")
