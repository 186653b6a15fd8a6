"""A part that dies: restarted with back-off, and a container that ends with that part's code after one line."""

from __future__ import annotations

import datetime
import re
import time

import pytest
import requests

from .apps.wire import FASTCGI, WIRES, Probe
from .box import RUNTIME, Box, child_image, docker, run_once, wait_until, write_files
from .processes import parts, processes, send

MARKED = """import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
# A program of the user's; how it ends is decided by a file.
EXTRA = """FROM {runtime}
COPY extra.conf extra.sh main.py /
RUN cat /extra.conf >> /opt/flagon/supervisord.conf && mv /main.py /app/
"""
EXTRA_CONF = """
[program:extra]
command=sh /extra.sh
redirect_stderr=true
stdout_logfile=NONE
stdout_events_enabled=true
"""
EXTRA_SH = """echo extra begins
while [ ! -e /tmp/end ]; do sleep 0.1; done
echo "extra: out of luck" >&2
exit "$(cat /tmp/end)"
"""


def serves(box: Box) -> bool:
    try:
        return box.get("/", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def kill(box: Box, part: str) -> None:
    """Kill a part that is there, by then or soon."""
    (pid,) = wait_until(lambda: parts(box)[part], 10, part)
    send(box, "KILL", pid)


@pytest.mark.parametrize("part", ["nginx", "gunicorn"])
def test_a_killed_master_is_restarted_at_once_with_its_whole_group(part: str) -> None:
    with Box(files={"main.py": MARKED}) as box:
        before = parts(box)
        kill(box, part)
        assert "SIGKILL: restarted" in box.wait_log("SIGKILL")
        wait_until(lambda: serves(box), 10, "serving again")
        after = parts(box)
        assert after[part] != before[part]
        child = "nginx worker" if part == "nginx" else "worker"
        assert not set(after[child]) & set(before[child])
        for _ in range(20):
            assert box.get("/").status_code == 200
            assert box.get("/up").status_code == 200
        assert box.stop()[1] == 0


@pytest.mark.parametrize("part", ["nginx", "gunicorn"])
def test_one_that_keeps_dying_ends_the_container_with_its_code(part: str) -> None:
    with Box(env={"RESTART_LIMIT": "2"}, files={"main.py": MARKED}) as box:
        for _ in range(3):
            kill(box, part)
            time.sleep(0.2)
        assert box.wait_exit(10) == 137
        assert "restarted in 0.5 s" in box.logs()
        (critical,) = [r["message"] for r in box.records() if r["level"] == "critical"]
        assert f"{part} was killed by SIGKILL 3 times in 60 s: the container ends with code 137" in critical


@pytest.mark.parametrize("init", [[], ["--init"]])
def test_restart_limit_0_is_the_end_at_the_first_death(init: list[str]) -> None:
    with Box(env={"RESTART_LIMIT": "0"}, args=init, files={"main.py": MARKED}) as box:
        kill(box, "gunicorn")
        assert box.wait_exit(10) == 137
        (critical,) = [r["message"] for r in box.records() if r["level"] == "critical"]
        assert critical.startswith("gunicorn was killed by SIGKILL: the container ends with code 137")


def test_the_pauses_between_restarts_grow() -> None:
    with Box(env={"RESTART_LIMIT": "4"}, files={"main.py": MARKED}) as box:
        for _ in range(4):
            kill(box, "nginx")
        wait_until(lambda: "restarted in 2 s" in box.logs(), 10, "the fourth restart")
        told = re.findall(r"nginx was killed by SIGKILL: restarted( in [0-9.]+ s)?", box.logs())
        assert told == ["", " in 0.5 s", " in 1 s", " in 2 s"]
        wait_until(lambda: serves(box), 10, "serving again")


def test_a_program_that_leaves_by_itself_is_restarted_too() -> None:
    """Code 0 is no reason to stay away; it takes a moment, in which our own stop signal would have come."""
    with Box(files={"main.py": MARKED}) as box:
        send(box, "QUIT", *parts(box)["nginx"])
        box.wait_log("nginx ended with code 0: restarted")
        wait_until(lambda: serves(box), 10, "serving again")


def test_a_program_of_the_user_s_has_the_same_death(volume: str) -> None:
    files = {"extra.conf": EXTRA_CONF, "extra.sh": EXTRA_SH, "main.py": MARKED}
    with (
        child_image(EXTRA.format(runtime=RUNTIME), files) as image,
        Box(image=image, env={"RESTART_LIMIT": "1"}) as box,
    ):
        box.wait_log("extra begins")
        box.exec("sh", "-c", "echo 23 > /tmp/end")
        assert box.wait_exit(10) == 23
        messages = [r["message"] for r in box.records()]
        assert "extra ended with code 23: restarted; its last line: extra: out of luck" in messages
        end = "extra ended with code 23 2 times in 60 s: the container ends with code 23; its last line: extra: out of luck"
        assert [r["message"] for r in box.records() if r["level"] == "critical"] == [end]


def test_supervisord_itself_killed_ends_the_container() -> None:
    with Box(args=["--init"], files={"main.py": MARKED}) as box:
        (pid,) = parts(box)["supervisord"]
        send(box, "KILL", pid)
        assert box.wait_exit(10) == 137


def test_supervisord_killed_under_a_shell_leaves_nothing_running() -> None:
    script = "/opt/flagon/entrypoint.sh serve; echo it has ended with $?; sleep 60"
    with Box(args=["--entrypoint", "/bin/sh"], command=["-c", script], files={"main.py": MARKED}) as box:
        (pid,) = parts(box)["supervisord"]
        send(box, "KILL", pid)
        box.wait_log("it has ended with 137")
        wait_until(
            lambda: not [one for one in processes(box) if "nginx" in one.words or "gunicorn" in one.words],
            10,
            "the end of nginx and gunicorn",
        )


# Tables, a row a line, however long.
# ruff: noqa: E501
FAILS_AT_IMPORT = "import time\nprint('began', time.time(), flush=True)\n"


@pytest.mark.parametrize(
    ("files", "env", "words"),
    [
        ({"main.py": FAILS_AT_IMPORT + "import nothere\napp = nothere.make()\n"}, {},
         ["main:app", "main.py", "nothere", "requirements.txt"]),
        ({"main.py": FAILS_AT_IMPORT + "from flask import Flask\napp = Flask(__name__)\nraise RuntimeError('no luck')\n"}, {},
         ["RuntimeError: no luck", "main.py", "line 5"]),
        ({"main.py": FAILS_AT_IMPORT + "import sys\nsys.exit(3)\napp = make()\n"}, {}, ["main", "SystemExit"]),
        ({"main.py": FAILS_AT_IMPORT + "app = 5\n"}, {"APP_MODULE": "main:application"},
         ["main:application", "no attribute 'application'", "APP_MODULE"]),
        ({"main.py": FAILS_AT_IMPORT + "def create_app():\n    return helper()\ndef helper():\n    raise KeyError('SMTP_HOST')\n"}, {},
         ["create_app", "KeyError: 'SMTP_HOST'", "in helper"]),
        ({"main.py": FAILS_AT_IMPORT + "app = 5\n"}, {"APP_MODULE": "main:app"}, ["int, not a WSGI callable", "APP_MODULE"]),
    ],
    ids=["missing-package", "raises", "exits", "no-such-object", "factory-raises", "not-callable"],
)  # fmt: skip
@pytest.mark.parametrize("wire", WIRES)
def test_an_application_that_cannot_be_imported(
    files: dict[str, str], env: dict[str, str], words: list[str], wire: str
) -> None:
    """One message, and the container has ended within a second of the error (the shortest of three)."""
    taken = []
    for _ in range(3):
        with Box(files=files, env={"WEB_CONCURRENCY": "4", "WORKER_CLASS": wire, **env}, wait=False) as box:
            assert box.wait_exit(10) not in (0, 137)
            told = [
                r["message"] for r in box.records() if r["level"] == "critical" and "cannot be loaded" in r["message"]
            ]
            assert len(told) == 1
            for word in words:
                assert word in told[0]
            assert ("APP_MODULE" in told[0]) == ("APP_MODULE" in words), "advice only where it is the object"
            assert "Traceback" not in box.logs()
            began = max(float(found) for found in re.findall(r"began ([0-9.]+)", box.logs()))
            ended = datetime.datetime.fromisoformat(box.state("FinishedAt")[:26].rstrip("Z") + "+00:00").timestamp()
        taken.append(ended - began)
        if taken[-1] < 1:
            break
    assert min(taken) < 1, taken


@pytest.mark.parametrize("how", ["os._exit(7)", "os.kill(os.getpid(), 11)", "os.kill(os.getpid(), 9)"])
def test_an_application_that_kills_its_worker_at_import(how: str) -> None:
    done = run_once(files={"main.py": f"import os\n{how}\napp = make()\n"}, timeout=20)
    assert done.returncode not in (0, 1)


def test_a_worker_that_fails_to_load_later_does_not_take_the_others_down() -> None:
    """It is tried again, with pauses that grow, until it loads."""
    with Box(env={"WEB_CONCURRENCY": "2"}, files={"main.py": MARKED}) as box:
        gone, stays = wait_until(lambda: len(pids := parts(box)["worker"]) == 2 and pids, 10, "two workers")
        assert box.folder
        write_files({"main.py": "import nothere\n" + MARKED}, box.folder)
        send(box, "KILL", gone)
        box.wait_log("nothere")
        until = time.monotonic() + 4
        while time.monotonic() < until:
            assert box.get("/").text == str(stays)
        assert box.logs().count("exited with code 1.") <= 3
        write_files({"main.py": MARKED}, box.folder)
        send(box, "KILL", stays)
        wait_until(lambda: serves(box) and box.get("/").text != str(stays), 15, "the repaired application")
        assert box.stop()[1] == 0


def test_a_killed_worker_is_replaced_and_its_request_named() -> None:
    with Probe(FASTCGI) as box:
        assert box.ask("/kill?s=0.1").status_code == 502
        assert "GET /kill" in box.wait_log("died with the request")
        wait_until(lambda: box.ask("/tell").status_code == 200, 10, "another worker")
        assert box.running()


@pytest.mark.parametrize("wire", WIRES)
def test_a_worker_that_runs_out_of_memory_is_replaced_and_said_to_have(wire: str) -> None:
    with Probe(wire, args=["-m", "220m", "--memory-swap", "220m"]) as box:
        status = box.ask("/hog", timeout=60).status_code
        assert status in (502, 503)
        box.wait_log("for want of memory")
        assert "GET /hog" in box.wait_log("died with the request")
        wait_until(lambda: box.ask("/tell").status_code == 200, 10, "another worker")
        assert docker("inspect", "-f", "{{.RestartCount}}", box.name).stdout.strip() == "0"
        assert box.stop()[1] == 0


HOG = "kept = []\nfor _ in range(400):\n    kept.append(bytearray(b'x' * 1_000_000))\n"
WSGI = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'ok']\n"
SMALL = ["-m", "120m", "--memory-swap", "120m"]
# What needs more memory than there is: files, environment, command, and what the end says of it.
HUNGRY = [
    ({"main.py": HOG + WSGI}, {}, [], "the application main:app (found in /app/main.py) cannot be loaded: the kernel killed the worker"),
    ({"main.py": HOG + WSGI}, {"PRELOAD": "on"}, [], "gunicorn was killed by SIGKILL before it served"),
    ({"main.py": HOG + WSGI}, {}, ["check"], "the application main:app cannot be loaded: the kernel killed it"),
    ({"main.py": WSGI, "prestart.sh": "python hog.py\n", "hog.py": HOG}, {}, [], "/app/prestart.sh ended with code 137"),
    ({"main.py": WSGI, "hog.py": HOG}, {"MIGRATE": "auto", "MIGRATE_COMMAND": "python hog.py"}, [], "the migration ended with code 137: the kernel killed it"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "env", "command", "words"), HUNGRY, ids=["load", "preload", "check", "prestart", "migrate"])  # fmt: skip
def test_what_needs_more_memory_than_there_is_ends_with_137_and_is_told(
    files: dict[str, str], env: dict[str, str], command: list[str], words: str
) -> None:
    done = run_once(command, env, SMALL, files=files)
    said = done.stdout + done.stderr
    assert done.returncode == 137
    assert words in said
    assert "(OOM)" in said
    assert "the container's limit is 120 MB (/sys/fs/cgroup/" in said
    assert "docker run -m" in said


def test_the_last_line_is_of_the_end_and_of_the_program_itself() -> None:
    """A print of a worker's, and one of long ago, are not why gunicorn's master was killed."""
    files = {"main.py": MARKED + "print('KeyError: a line of the application', flush=True)\n"}
    with Box(env={"RESTART_LIMIT": "0"}, files=files) as box:
        kill(box, "gunicorn")
        assert box.wait_exit(10) == 137
        (critical,) = [r["message"] for r in box.records() if r["level"] == "critical"]
        assert critical == "gunicorn was killed by SIGKILL: the container ends with code 137"


def test_a_failed_prestart_says_its_last_line() -> None:
    files = {"main.py": MARKED, "prestart.sh": "echo waiting\necho 'no database at db:5432' >&2\nexit 3\n"}
    done = run_once(files=files)
    assert done.returncode == 3
    assert (
        "/app/prestart.sh ended with code 3: the container ends with it; its last line: no database at db:5432"
        in done.stderr
    )
