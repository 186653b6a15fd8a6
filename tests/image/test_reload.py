"""HUP and `flagon reload`: checked first, new workers up before old ones go, and what needs a restart is named."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from .apps.wire import FASTCGI, HTTP, PROBE, WIRES, Probe, read_answer
from .box import Box, docker, run_once, size, wait_until, write_files
from .load import Load
from .processes import parts

HUPS = size(4, 20)
# One file tells which version serves, with which worker and what it sees.
APP = """import json, os, time
VERSION = {version!r}
{more}
def app(environ, start_response):
    time.sleep(float(environ.get("QUERY_STRING") or 0))
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({{"version": VERSION, "pid": os.getpid(), "env": dict(os.environ)}}).encode()]
"""


def app(version: str, more: str = "") -> dict[str, str | bytes]:
    return {"main.py": APP.format(version=version, more=more)}


def change(box: Box, files: dict[str, str | bytes]) -> None:
    assert box.folder
    write_files(files, box.folder)


def reload(box: Box) -> tuple[int, str]:
    """`flagon reload`: its exit code and what it printed."""
    done = docker("exec", box.name, "flagon", "reload", check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def versions(box: Box, count: int = 10) -> set[str]:
    return {box.get("/").json()["version"] for _ in range(count)}


@pytest.mark.parametrize("wire", WIRES)
def test_reloading_under_load_loses_nothing(wire: str) -> None:
    workers = 2
    with Probe(wire, WEB_CONCURRENCY=workers) as box:
        with Load(box) as load:
            for number in range(HUPS):
                if number % 2:
                    assert reload(box)[0] == 0
                else:
                    box.kill("HUP")
                load.until(workers * (number + 2), 15)
        assert load.errors == []
        assert len(load.served) >= workers * (HUPS + 1)
        assert not [one for one in box.records() if one.get("logger") == "access" and one["status"] >= 400]


@pytest.mark.parametrize("wire", [FASTCGI, pytest.param(HTTP, marks=pytest.mark.long)])
def test_new_workers_are_up_before_old_ones_go(wire: str) -> None:
    """An application that loads for two seconds: somebody answers all the time, and never with many more workers."""
    env = {"WEB_CONCURRENCY": "2", "WORKER_CLASS": wire}
    with Box(env=env, files=app("one", "time.sleep(2)")) as box:
        wait_until(lambda: len(parts(box)["worker"]) == 2, 10, "two workers")
        change(box, app("two", "time.sleep(2)"))
        seen: list[str] = []
        slowest, most = 0.0, 0
        thread = threading.Thread(target=lambda: seen.append(str(reload(box))))
        thread.start()
        while thread.is_alive():
            begun = time.monotonic()
            version = box.get("/", timeout=10).json()["version"]
            slowest = max(slowest, time.monotonic() - begun)
            seen.append(version)
            most = max(most, len(parts(box)["worker"]))
        thread.join()
        assert versions(box) == {"two"}
        assert slowest < 1.5  # less than the application takes to load
        assert 3 <= most <= 4
        assert seen[0] == "one"


def test_a_request_that_runs_finishes() -> None:
    with Box(env={"WEB_CONCURRENCY": "1"}, files=app("one")) as box:
        answers: list[requests.Response] = []
        thread = threading.Thread(target=lambda: answers.append(requests.get(box.url("/?3"), timeout=20)))
        thread.start()
        time.sleep(0.5)
        change(box, app("two"))
        code, text = reload(box)
        assert code == 0, text
        assert "1 worker with the new code" in text
        assert box.get("/").json()["version"] == "two"
        thread.join(20)
        assert answers[0].json()["version"] == "one"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (app("two", "import nothere"), ["no module named 'nothere'", "does not load"]),
        ({"main.py": "def app(:\n"}, ["main.py (line 1: invalid syntax", "APP_MODULE"]),
        ({"gunicorn.conf.py": "post_request = nothing_of_this_name\n"}, ["nothing_of_this_name", "NameError"]),
        ({".env": "FLAGON_THREADS=many\n"}, ["FLAGON_THREADS='many' is not accepted", "1 to 256"]),
        # it loads where it is checked, and in no worker
        (app("two", "import sys\nif '--check' not in sys.argv: raise RuntimeError('not in a worker')"),
         ["not in a worker", "does not load in a worker"]),
    ],
    ids=["missing-module", "syntax", "gunicorn-conf", "setting", "only-in-a-worker"],
)  # fmt: skip
def test_what_is_broken_keeps_the_old_one_serving(files: dict[str, str | bytes], words: list[str]) -> None:
    with Box(env={"WEB_CONCURRENCY": "2"}, files=app("one")) as box:
        wait_until(lambda: len(parts(box)["worker"]) == 2, 10, "two workers")
        before = parts(box)
        change(box, files)
        code, text = reload(box)
        assert code == 1
        told = text + box.logs()
        for word in words:
            assert word in told
        assert "the old application goes on serving" in text
        assert versions(box) == {"one"}
        assert parts(box) == before
        box.kill("HUP")  # the same by signal
        wait_until(lambda: box.logs().count("the old application goes on serving") == 2, 20, "the second refusal")
        assert parts(box) == before
        assert box.stop()[1] == 0


@pytest.fixture
def secret() -> Iterator[Path]:
    folder = write_files({"key": "the first secret key"})
    yield folder
    (folder / "key").unlink()
    folder.rmdir()


def test_a_secret_s_file_is_read_again(secret: Path) -> None:
    env = {"SECRET_KEY_FILE": "/secrets/key", "WEB_CONCURRENCY": "1"}
    with Box(env=env, files=app("one"), mounts={secret: "/secrets"}) as box:
        assert box.get("/").json()["env"]["SECRET_KEY"] == "the first secret key"
        write_files({"key": "the second secret key"}, secret)
        code, text = reload(box)
        assert code == 0, text
        assert "SECRET_KEY=********" in text
        assert box.get("/").json()["env"]["SECRET_KEY"] == "the second secret key"
        write_files({"key": ""}, secret)
        code, text = reload(box)
        assert code == 1
        assert "SECRET_KEY_FILE: the file '/secrets/key' is empty" in text
        assert box.get("/").json()["env"]["SECRET_KEY"] == "the second secret key"
        # who starts gunicorn anew after its death hands on the same
        box.exec("sh", "-c", f"kill -9 {parts(box)['gunicorn'][0]}")
        wait_until(lambda: "restarted" in box.logs() and box.get("/up").status_code == 200, 10, "a new gunicorn")
        assert box.get("/").json()["env"]["SECRET_KEY"] == "the second secret key"
        assert "second secret" not in box.logs()


def test_what_needs_a_restart_is_named_and_not_taken() -> None:
    files = {**app("one"), ".env": "THREADS=3\nGREETING=hello\n"}
    with Box(env={"WEB_CONCURRENCY": "1"}, files=files) as box:
        change(box, {**app("two"), ".env": "THREADS=5\nPORT=9999\nGREETING=goodbye\nNEW=1\n"})
        code, text = reload(box)
        assert code == 0
        assert "needs a restart, and is not taken: PORT=9999, THREADS=5, GREETING, NEW" in text
        told = box.get("/").json()
        assert (told["version"], told["env"]["GREETING"]) == ("two", "hello")
        assert "NEW" not in told["env"]
        assert '"threads": 3' in told["env"]["FLAGON_SUMMARY"]


def test_gunicorn_s_configuration_is_taken() -> None:
    hook = "def post_request(worker, request, environ, response):\n    print('after', request.path, {!r})\n"
    with Box(files={**app("one"), "gunicorn.conf.py": hook.format("first")}) as box:
        box.get("/a")
        box.wait_log("after /a first")
        change(box, {"gunicorn.conf.py": hook.format("second")})
        assert reload(box)[0] == 0
        box.get("/b")
        box.wait_log("after /b second")


def test_nginx_conf_is_taken_if_nginx_accepts_it() -> None:
    """nginx is signalled only if its file has changed."""
    text = (Path(__file__).parents[2] / "nginx.conf").read_text(encoding="utf-8")
    folder = write_files({"nginx.conf": text})
    env = {"WEB_CONCURRENCY": "1"}
    with Box(env=env, files=app("one"), mounts={folder / "nginx.conf": "/opt/flagon/nginx.conf"}) as box:
        before = parts(box)
        assert reload(box)[0] == 0
        assert parts(box)["nginx worker"] == before["nginx worker"]
        added = "        add_header X-Added yes always;\n        error_page 413"
        (folder / "nginx.conf").write_text(text.replace("        error_page 413", added), encoding="utf-8")
        assert reload(box)[0] == 0
        own = {"Connection": "close"}  # the old nginx worker closes idle connections at some moment
        wait_until(lambda: box.get("/", headers=own).headers.get("X-Added") == "yes", 5, "the new nginx.conf")
        assert parts(box)["nginx"] == before["nginx"]
        (folder / "nginx.conf").write_text(text.replace("daemon off;", "daemon maybe;"), encoding="utf-8")
        code, told = reload(box)
        assert code == 1
        assert "nginx.conf" in told
        assert "maybe" in told
        assert box.get("/").headers["X-Added"] == "yes"


def test_a_storm_of_hups_under_load() -> None:
    with Probe(FASTCGI, WEB_CONCURRENCY=2) as box:
        with Load(box) as load:
            for _ in range(size(10, 40)):
                box.kill("HUP")
            assert box.folder
            write_files({"main.py": PROBE.replace('"probe fails"', '"new probe fails"')}, box.folder)
            assert reload(box)[0] == 0  # answered after the last of them
            load.until(4, 10)
        assert load.errors == []
        assert len(parts(box)["worker"]) == 2


def test_flagon_reload_where_nothing_serves() -> None:
    done = run_once(["reload"])
    assert done.returncode == 69
    assert "no box serves here" in done.stderr


@pytest.mark.parametrize("wire", WIRES)
def test_event_streams_of_a_leaving_worker_end_in_order(wire: str) -> None:
    """One that ends in time is whole; one without an end is ended after a whole event, when the time is over."""
    with Probe(wire, GRACEFUL_TIMEOUT=3) as box:
        told: list[tuple[str, int, bool]] = []

        def listen(name: str, count: int) -> None:
            with box.connect(30) as channel:
                channel.sendall(
                    f"GET /events?pause=0.5&count={count} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n".encode()
                )
                answer = read_answer(channel)
            told.append((name, answer.body.count(b"data: "), answer.complete))

        threads = [threading.Thread(target=listen, args=row) for row in (("short", 4), ("endless", 1000))]
        for thread in threads:
            thread.start()
        time.sleep(0.6)
        assert reload(box)[0] == 0
        for thread in threads:
            thread.join(10)
        assert told[0] == ("short", 4, True)
        assert told[1][0] == "endless"
        assert 4 <= told[1][1] < 20
        assert told[1][2]
