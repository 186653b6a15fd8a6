"""A worker that leaves is gone in time, whatever threads the application has started."""

from __future__ import annotations

import time

import pytest

from .box import Box

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
