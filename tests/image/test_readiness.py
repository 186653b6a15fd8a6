"""/ready: the application's own checks, a limit for all of them, and /up that none of them touches."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import requests

from .box import Box, wait_until

APP = """
import os, threading, time
from flask import Flask
app = Flask(__name__)
asked = []

def slow():
    asked.append(1)
    while os.path.exists("/tmp/hang"):
        time.sleep(0.05)

def told():
    return open("/tmp/word").read() if os.path.exists("/tmp/word") else None

def broken():
    if os.path.exists("/tmp/break"):
        raise ValueError("c4nary: host db.internal, password s3cret")

app.ready_checks = {"slow": slow, "told": told, "broken": broken}

@app.get("/asked")
def asked_so_far():
    return str(len(asked))
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Box(files={"app.py": APP}, env={"WEB_CONCURRENCY": "1", "DATABASE_URL": "sqlite:////data/app.db"}) as running:
        yield running


@pytest.fixture(autouse=True)
def well_again(box: Box) -> Iterator[None]:
    yield
    box.exec("rm", "-f", "/tmp/hang", "/tmp/word", "/tmp/break")
    wait_until(lambda: box.get("/ready").status_code == 200, 10, "ready again")


def test_the_applications_checks_are_asked(box: Box) -> None:
    assert box.get("/ready").json() == {
        "status": "ok",
        "checks": {"serving": "ok", "slow": "ok", "told": "ok", "broken": "ok", "database": "skipped",
                   "migrations": "skipped"},
    }  # fmt: skip


def test_a_word_of_the_check_and_a_503(box: Box) -> None:
    box.exec("sh", "-c", "echo 'queue full' > /tmp/word")
    time.sleep(0.6)
    answer = box.get("/ready")
    assert (answer.status_code, answer.json()["checks"]["told"]) == (503, "queue full")
    assert answer.headers["Retry-After"] == "5"
    assert box.get("/up").status_code == 200


def test_an_exception_is_a_word_and_never_its_text(box: Box) -> None:
    box.exec("touch", "/tmp/break")
    time.sleep(0.6)
    answer = box.get("/ready")
    assert (answer.status_code, answer.json()["checks"]["broken"]) == (503, "failed")
    assert "c4nary" not in answer.text


def test_a_check_that_hangs_holds_neither_ready_nor_up(box: Box) -> None:
    box.exec("touch", "/tmp/hang")
    time.sleep(0.6)
    before = int(box.get("/asked").text)
    slowest_live = [0.0]
    end, url = threading.Event(), box.url("/up")

    def live() -> None:
        while not end.is_set():
            begun = time.monotonic()
            assert requests.get(url, timeout=5).status_code == 200
            slowest_live[0] = max(slowest_live[0], time.monotonic() - begun)

    poller = threading.Thread(target=live)
    poller.start()
    try:
        for _ in range(4):
            begun = time.monotonic()
            answer = box.get("/ready")
            assert time.monotonic() - begun < 3.5
            assert (answer.status_code, answer.json()["checks"]["slow"]) == (503, "timeout")
    finally:
        end.set()
        poller.join()
    assert slowest_live[0] < 1
    # One probe in flight, however often /ready is asked.
    assert int(box.get("/asked").text) == before + 1


def test_many_at_once_ask_once(box: Box) -> None:
    time.sleep(0.6)
    before = int(box.get("/asked").text)
    callers = [threading.Thread(target=lambda: box.get("/ready")) for _ in range(30)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert int(box.get("/asked").text) - before <= 5
