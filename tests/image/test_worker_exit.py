"""A worker that leaves is gone in time, whatever threads the application has started."""

from __future__ import annotations

import time

import pytest

from .box import Box, wait_until

# A thread that is no daemon: the interpreter would wait for it for ever.
LOOPING = """import threading, time
def loop():
    while True:
        time.sleep(1)
threading.Thread(target=loop).start()
from flask import Flask
app = Flask(__name__)
@app.get("/")
def index():
    return "hello"
@app.get("/stuck")
def stuck():
    time.sleep(60)
"""


@pytest.fixture
def looping():
    env = {"WEB_CONCURRENCY": "1", "MAX_REQUESTS": "5", "TIMEOUT": "4", "GRACEFUL_TIMEOUT": "1"}
    with Box(env=env, files={"main.py": LOOPING}) as box:
        yield box


def test_recycled_with_a_thread_of_its_own(looping: Box) -> None:
    started = time.monotonic()
    assert [looping.get("/").status_code for _ in range(12)] == [200] * 12
    assert time.monotonic() - started < 8  # two recycles of about 1 s; the heartbeat would take 9 s each


def test_replaced_when_stuck_with_a_thread_of_its_own(looping: Box) -> None:
    assert looping.get("/stuck", timeout=20).status_code == 504
    started = time.monotonic()
    assert looping.get("/", timeout=20).status_code == 200
    assert time.monotonic() - started < 6


def test_stopped_with_a_thread_of_its_own(looping: Box) -> None:
    seconds, code = looping.stop()
    assert code == 0
    assert seconds < 4


# A library that closes descriptors which are not its own; the thread that served finds its connection gone.
CLOSING = """import os, stat
from flask import Flask
app = Flask(__name__)
@app.get("/")
def index():
    return str(os.getpid())
@app.get("/close")
def close():
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        try:
            if descriptor > 2 and stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.close(descriptor)
        except OSError:
            pass
    return "closed"
"""


@pytest.mark.parametrize("threads", [1, 4])
def test_a_worker_without_a_thread_is_replaced(threads: int) -> None:
    env = {"WEB_CONCURRENCY": "1", "THREADS": str(threads)}
    with Box(env=env, files={"main.py": CLOSING}) as box:
        first = box.get("/").text
        assert box.get("/close", timeout=10).status_code == 502
        wait_until(lambda: box.get("/", timeout=10).text not in ("", first), 10, "another worker")
        assert f"A request thread died: this worker (pid {first}) is replaced" in box.logs()
