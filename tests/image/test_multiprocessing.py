"""Child processes that the application starts: they are its own, and no second gunicorn."""

from __future__ import annotations

import pytest

from .box import Box

APP = """
import concurrent.futures as futures, multiprocessing, os, sys, time
from flask import Flask
app = Flask(__name__)
worker = 0
@app.get("/worker")
def pid():
    global worker
    worker = worker or os.getpid()
    return str(worker)
def double(number): return 2 * number
def put(queue, number): queue.put((double(number), os.environ.get("WORD"), __name__))
@app.get("/pool/<method>")
def pool(method):
    with futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        return str(list(pool.map(double, range(5), timeout=20)))
@app.get("/builtin/<method>")
def builtin(method):
    with multiprocessing.get_context(method).Pool(1) as pool:
        return str(pool.apply_async(abs, (-7,)).get(20))
@app.get("/process/<method>")
def process(method):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=put, args=(queue, 21))
    child.start()
    answer = queue.get(timeout=20)
    child.join(20)
    return str((*answer, child.exitcode))
@app.get("/terminate/<method>")
def terminate(method):
    child = multiprocessing.get_context(method).Process(target=time.sleep, args=(60,))
    child.start()
    time.sleep(1)
    child.terminate()
    child.join(5)
    return f"{child.exitcode} {worker == os.getpid()}"
@app.get("/default")
def default():
    multiprocessing.set_start_method("spawn", force=True)
    with multiprocessing.Pool(1) as pool: return str(pool.map(double, [4]))
@app.get("/manager")
def manager():
    with multiprocessing.get_context("spawn").Manager() as manager:
        kept = manager.dict(a=1)
        kept["b"] = 2
        return str(sorted(kept.items()))
"""
ANSWERS = {
    "/pool/{}": "[0, 2, 4, 6, 8]", "/builtin/{}": "7", "/process/{}": "(42, 'given', 'app', 0)",
    "/terminate/{}": "-15 True", "/default": "[8]", "/manager": "[('a', 1), ('b', 2)]",
}  # fmt: skip


@pytest.mark.parametrize(
    "env", [{}, {"WORKER_CLASS": "gthread"}, {"PRELOAD": "on"}], ids=["fastcgi", "gthread", "preload"]
)
def test_children_by_every_start_method(env: dict[str, str]) -> None:
    with Box({"WEB_CONCURRENCY": "1", "WORD": "given", **env}, files={"app.py": APP}) as box:
        first = box.get("/worker").text
        for path, answer in ANSWERS.items():
            for method in ("spawn", "forkserver", "fork"):
                reply = box.get(path.format(method), timeout=30)
                assert (reply.status_code, reply.text) == (200, answer), (path, method)
        assert box.get("/worker").text == first, "the same one serves on"
        assert "Traceback" not in box.logs()
        assert box.stop()[1] == 0
