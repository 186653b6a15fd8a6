"""The start: gunicorn's interpreter begins before anything is decided, and is used only where that changes nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from .box import RUNTIME, Box, run_once, wait_until

APP = """
import json, os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"environ": dict(os.environ), "uid": os.getuid(), "cwd": os.getcwd()}).encode()]
"""
FILES = {"main.py": APP}


def phases(box: Box) -> dict[str, int]:
    """What LOG_LEVEL=debug says of the start."""
    line = box.wait_log("milliseconds since the first process: ")
    found = re.search(r"first process: ([^\"]*)", line)
    assert found
    return {name.strip(): int(value) for name, value in re.findall(r"([a-z' ]+?) (\d+)", found[1])}


@pytest.mark.parametrize(
    ("args", "uid"),
    [
        ([], 10001), (["--user", "10001:0"], 10001), (["--user", "54321:0"], 54321), (["-e", "RUN_AS=54321:0"], 54321),
        (["-e", "RUN_AS=root"], 0),
    ],
)  # fmt: skip
def test_the_timeline(args: list[str], uid: int) -> None:
    with Box({"LOG_LEVEL": "debug"}, image=RUNTIME, args=args, files=FILES) as box:
        found = phases(box)
        seen = box.get("/").json()
    order = ["python", "settings", "decided", "supervisord imported", "supervisord ready", "nginx started"]
    assert [name for name in found if name in order] == order
    assert (
        found["gunicorn's python"]
        <= found["gunicorn imported"]
        <= found["application loaded"]
        <= found["nginx started"]
    )
    assert seen["uid"] == uid
    assert seen["cwd"] == "/app"
    assert seen["environ"]["SUPERVISOR_PROCESS_NAME"] == "gunicorn"
    assert "PYTHONPATH" not in seen["environ"]


def test_the_environment_is_that_of_every_later_start() -> None:
    with Box(
        {"SECRET_KEY": " 'quoted and long' ", "MINE": "1"}, image=RUNTIME, files={**FILES, ".env": "THEIRS=2\n"}
    ) as box:
        first = box.get("/").json()["environ"]
        script = "for p in /proc/[0-9]*; do grep -qs 'run-gunico[r]n.py' $p/cmdline && kill -9 ${p#/proc/}; done; true"
        box.exec("sh", "-c", script, user="0")
        wait_until(lambda: box.logs().count("Starting gunicorn") == 2, 10, "it starts again")
        box.wait_up()
        later = box.get("/").json()["environ"]
    assert first == later
    assert first["THEIRS"] == "2"


@pytest.mark.parametrize(
    ("env", "files", "args"),
    [
        ({}, {"prestart.sh": "export MINE=1"}, []),
        ({}, {".env": "PYTHONHASHSEED=7\n"}, []),
    ],
)
def test_it_is_not_used_where_something_has_changed_since(
    env: Mapping[str, str], files: Mapping[str, str], args: list[str]
) -> None:
    with Box({"LOG_LEVEL": "debug", **env}, image=RUNTIME, args=args, files={**FILES, **files}) as box:
        assert "gunicorn imported" not in phases(box)
        assert box.get("/").status_code == 200


OWN_KEY = """from flask import Flask
app = Flask(__name__)
app.secret_key = {key}
"""


def test_what_is_said_of_the_key_and_of_an_empty_mount() -> None:
    """Of the generated key only to who uses it; a folder that is mounted and empty is named, and is no silence."""
    for key, said in (("'of its own'", False), ("__import__('os').environ['SECRET_KEY']", True)):
        with Box(files={"app.py": OWN_KEY.format(key=key)}) as box:
            assert ("SECRET_KEY" in box.logs()) is said, key
            assert ("/data is not a volume" in box.logs()) is said, key
    with Box(files={}) as box:
        assert "The starter is served in its place" in box.wait_log("/app is mounted (/app), and the folder is empty")
        assert box.get("/up").status_code == 200
    bare = run_once(image=RUNTIME, files={})
    assert bare.returncode == 78
    assert "/app is mounted (/app), and the folder is empty" in bare.stdout + bare.stderr
