"""Stopping, dying, reloading: exit codes, and that no request is lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import requests

from .box import Box, run_once, wait_until, write_files

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


def master(box: Box, program: str) -> int:
    """The pid, inside, of a child of supervisord's."""
    script = """
import os, sys
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open(f"/proc/{pid}/cmdline").read().replace("\\0", " ")
        parent = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
        above = open(f"/proc/{parent}/cmdline").read().replace("\\0", " ")
    except OSError:
        continue
    if sys.argv[1] in words and "/opt/flagon/code/flagon serve" in above:
        print(pid)
"""
    found = box.exec("python3", "-c", script, program).split()
    assert len(found) == 1, found
    return int(found[0])


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


@pytest.mark.parametrize("program", ["nginx", "run-gunicorn.py"])
def test_a_killed_master_is_restarted(program: str) -> None:
    with Box(files={"main.py": SLOW}) as box:
        pid = master(box, program)
        box.exec("sh", "-c", f"kill -9 {pid}")
        wait_until(lambda: "SIGKILL" in box.logs(), 5, "the line that says who died")

        def serves() -> bool:
            try:
                return box.get("/", timeout=2).status_code == 200
            except requests.RequestException:
                return False

        wait_until(serves, 10, "serving again")
        assert master(box, program) != pid
        for _ in range(20):
            assert box.get("/").status_code == 200
            assert box.get("/up").status_code == 200
        seconds, code = box.stop()
        assert code == 0


def test_a_worker_that_is_killed_is_replaced() -> None:
    with Box(
        env={"WEB_CONCURRENCY": "1"},
        files={"main.py": SLOW.replace('b"VERSION 1"', "str(__import__('os').getpid()).encode()")},
    ) as box:
        pid = box.get("/").text
        box.exec("sh", "-c", f"kill -9 {pid}")
        wait_until(lambda: box.get("/").status_code == 200 and box.get("/").text != pid, 10, "another worker")
        assert box.running()


@pytest.mark.parametrize(("program", "code"), [("nginx", 137), ("run-gunicorn.py", 137)])
def test_a_program_that_keeps_dying_ends_the_container_with_its_code(program: str, code: int) -> None:
    with Box(files={"main.py": SLOW}) as box:
        for _ in range(12):
            if not box.running():
                break
            box.exec(
                "sh", "-c",
                f"for p in /proc/[0-9]*; do grep -q '{program}' $p/cmdline 2>/dev/null && "
                "[ $(awk '/^PPid/{print $2}' $p/status) = 1 ] && kill -9 ${p#/proc/}; done; true",
                check=False,
            )  # fmt: skip
            time.sleep(0.7)
        assert box.wait_exit(10) == code
        critical = [r["message"] for r in box.records() if r["level"] == "critical"]
        assert len(critical) == 1
        assert "SIGKILL" in critical[0]
        assert ("nginx" if program == "nginx" else "gunicorn") in critical[0]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nothere\napp = nothere.make()\n", ["main", "app", "nothere", "APP_MODULE"]),
        ("from flask import Flask\napp = Flask(__name__)\nraise RuntimeError('no luck')\n", ["no luck", "main.py"]),
        ("import sys\nsys.exit(3)\napp = make()\n", ["main", "SystemExit", "APP_MODULE"]),
    ],
)
def test_an_application_that_cannot_be_imported(source: str, words: list[str]) -> None:
    begun = time.monotonic()
    with Box(files={"main.py": source}, env={"WEB_CONCURRENCY": "4"}, wait=False) as box:
        assert box.wait_exit(10) != 0
        assert time.monotonic() - begun < 5
        critical = [r["message"] for r in box.records() if r["level"] == "critical"]
        told = [message for message in critical if "cannot be loaded" in message]
        assert len(told) == 1
        for word in words:
            assert word in told[0]
        assert box.logs().count("Traceback") == 0


@pytest.mark.parametrize("how", ["os._exit(7)", "os.kill(os.getpid(), 11)", "os.kill(os.getpid(), 9)"])
def test_an_application_that_kills_its_worker_at_import(how: str) -> None:
    done = run_once(files={"main.py": f"import os\n{how}\napp = make()\n"}, timeout=20)
    assert done.returncode not in (0, 1)


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


def test_hup_takes_changed_code_and_loses_nothing() -> None:
    with Box(files={"main.py": SLOW}) as box:
        address, stop = box.url("/"), threading.Event()
        seen: list[tuple[int, str]] = []

        def load() -> None:
            while not stop.is_set():
                answer = requests.get(address, timeout=10)
                seen.append((answer.status_code, answer.text))

        thread = threading.Thread(target=load)
        thread.start()
        time.sleep(0.3)
        assert box.folder
        write_files({"main.py": SLOW.replace("VERSION 1", "VERSION TWO")}, box.folder)
        box.kill("HUP")
        try:
            wait_until(lambda: seen[-1][1] == "VERSION TWO", 10, "the new code")
            time.sleep(0.5)
        finally:
            stop.set()
            thread.join()
        assert {status for status, _ in seen} == {200}
        assert {box.get("/").text for _ in range(10)} == {"VERSION TWO"}
        assert box.stop()[1] == 0


def test_hup_with_broken_code_keeps_the_old_serving() -> None:
    with Box(files={"main.py": SLOW}) as box:
        assert box.folder
        write_files({"main.py": "import nothere\n" + SLOW}, box.folder)
        box.kill("HUP")
        box.wait_log("nothere")
        time.sleep(1.5)
        assert box.running()
        assert box.get("/").text == "VERSION 1"
