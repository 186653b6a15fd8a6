"""A worker that leaves is gone in time, whatever threads the application has started."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

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


# Its request threads die as soon as they have something to do.
DYING = """import ctypes, threading, time
from flask import Flask
app = Flask(__name__)
@app.get("/")
def index():
    return "hello"
@app.get("/kill")
def kill():
    for thread in threading.enumerate():
        if thread.name.startswith("request-") and thread is not threading.current_thread():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
    time.sleep(0.2)
    return "done"
"""


def test_workers_whose_threads_die_count_for_the_restart_limit() -> None:
    """A box whose workers are replaced for ever is not healthy."""
    with Box(env={"WEB_CONCURRENCY": "1", "RESTART_LIMIT": "2"}, files={"main.py": DYING}) as box:
        for _ in range(3):
            wait_until(lambda: box.get("/").text == "hello", 5, "the worker's successor")
            assert box.get("/kill").text == "done"
            box.wait_log("request thread died")
        assert box.wait_exit(10) == 70
        assert "could not serve any more, 3 times in 60 s" in box.logs()


# Applications that take SIGTERM for themselves.
HANDLES = """import signal, sys, time
from flask import Flask
def bye(*_):
    print("cleanup", flush=True)
    BODY
signal.signal(signal.SIGTERM, bye)
app = Flask(__name__)
@app.get("/")
def index():
    time.sleep(2)
    return "done"
"""


@pytest.mark.parametrize("wire", ["fastcgi", "gthread"])
@pytest.mark.parametrize("body", ["sys.exit(0)", "pass"])
def test_an_own_handler_for_sigterm_cuts_nothing_and_holds_nothing_up(body: str, wire: str) -> None:
    env = {"WEB_CONCURRENCY": "1", "WORKER_CLASS": wire}
    with Box(env=env, files={"main.py": HANDLES.replace("BODY", body)}) as box, ThreadPoolExecutor() as pool:
        assert "handles SIGTERM (main.bye)" in box.wait_log("handles SIGTERM")
        answer = pool.submit(box.get, "/")
        time.sleep(0.5)
        started = time.monotonic()
        box.exec("flagon", "reload")
        assert answer.result().text == "done"
        assert time.monotonic() - started < 60, "it was eight minutes"
        wait_until(lambda: box.logs().count("cleanup") == 1, 10, "the handler of the old worker")
        answer = pool.submit(box.get, "/")
        time.sleep(0.5)
        _, code = box.stop()
        assert answer.result().text == "done"
        assert code == 0
        assert box.logs().count("cleanup") == 2
        assert "SIGKILL" not in box.logs()
