"""Which threads of an application are named, where several workers import it."""

import functools
import sys
import threading

import pytest

from flagon.inside import import_threads

CODE = """
import threading
class Own(threading.Thread):
    def run(self): event.wait()
class Worker:
    def loop(self): event.wait()
def tick(): event.wait()
"""


@pytest.fixture
def made(tmp_path):
    """Objects whose code lies below the application's folder, or elsewhere; their threads are ended."""
    event, threads = threading.Event(), []

    def make(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        space = {"event": event, "__name__": "made"}
        exec(compile(CODE, str(path), "exec"), space)  # noqa: S102
        return space

    def run(thread):
        thread.daemon = True
        thread.start()
        threads.append(thread)

    yield make, run
    event.set()
    for thread in threads:
        thread.join(5)


SHAPES = {
    "function": lambda space: threading.Thread(target=space["tick"], name="x"),
    "method": lambda space: threading.Thread(target=space["Worker"]().loop, name="x"),
    "partial": lambda space: threading.Thread(target=functools.partial(space["tick"]), name="x"),
    "subclass": lambda space: space["Own"](name="x"),
    "timer": lambda space: threading.Timer(100, space["tick"]),
}


@pytest.mark.parametrize("shape", ["function", "method", "partial", "subclass"])
@pytest.mark.parametrize(("file", "named"), [
    ("app.py", True), ("shop/jobs.py", True), (".venv/lib/python3/site-packages/lib.py", False), ("../lib.py", False),
])  # fmt: skip
def test_threads(made, tmp_path, shape, file, named):
    make, run = made
    directory = tmp_path / "app"
    run(SHAPES[shape](make(directory / file)))
    assert import_threads.found(str(directory)) == ([f"x of {file}"] if named else [])
    assert len(import_threads.lines(str(directory), 3)) == int(named)


def test_the_scheduler(made, tmp_path):
    make, run = made
    run(threading.Thread(target=make(tmp_path / "lib.py")["tick"], name="APScheduler"))
    (line,) = import_threads.lines(str(tmp_path / "app"), 4)
    assert "(APScheduler)" in line
    assert "each of the 4 workers" in line
    assert "PRELOAD=on" in line


def test_an_environment_that_is_the_application_s_folder(made, monkeypatch, tmp_path):
    make, run = made
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "app"))
    run(threading.Thread(target=make(tmp_path / "app" / "lib.py")["tick"]))
    assert import_threads.found(str(tmp_path / "app")) == []
