"""The image gives nothing away: no setuid, nothing to write, no secret where somebody else could read it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .box import IMAGE, RUNTIME, Box, child_image, docker, run_once, wait_until, write_files
from .networked import network
from .servers import Postgres

# Tables, a row a line, however long.
# ruff: noqa: E501
BASE = "debian:trixie-slim"
# find, as root, and nothing of what the kernel makes up
FIND = "find / -xdev \\( -path /proc -o -path /sys -o -path /dev \\) -prune -o "
# As the application's user: what it can really write to. Run, /data and the temporary folders are meant to be.
WRITABLE = """
import os
allowed = ("/proc", "/sys", "/dev", "/data", "/tmp", "/run/flagon", "/var/tmp", "/run/lock")
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in allowed]
    for path in (folder, *(os.path.join(folder, name) for name in files)):
        if not os.path.islink(path) and os.access(path, os.W_OK):
            print(path)
"""
# Planted wherever a user can give a secret. The percent sign is in the URL as %25.
CANARIES = {"SECRET_KEY": "canary-key-5f1d", "REDIS_URL": "redis://:canary-redis-77aa@127.0.0.1:1/0"}
DATABASE = "postgresql://user:canary-db-%2591bc@127.0.0.1:9/name"
WORDS = ("canary-key-5f1d", "canary-redis-77aa", "canary-db-%2591bc", "canary-db-%91bc", "canary-db")
APP = """from flask import Flask
app = Flask(__name__)
@app.get("/")
def index():
    return "hello"
@app.get("/fail")
def fail():
    raise RuntimeError("no luck")
"""


def find(image: str, test: str) -> set[str]:
    done = docker("run", "--rm", "-u", "0", "--entrypoint", "sh", image, "-c", f"{FIND}{test} -print")
    return set(done.stdout.split())


@pytest.mark.parametrize("test", ["-type f -perm -4000", "-type f -perm -2000"], ids=["setuid", "setgid"])
@pytest.mark.parametrize("image", [IMAGE, RUNTIME])
def test_no_program_that_lends_its_rights_but_the_base_s(image: str, test: str) -> None:
    assert find(image, test) <= find(BASE, test)


def test_no_program_has_capabilities() -> None:
    script = "import os\nfor d, _, f in os.walk('/usr'):\n for n in f:\n  p = os.path.join(d, n)\n  if not os.path.islink(p) and 'security.capability' in os.listxattr(p): print(p)"
    done = docker("run", "--rm", "-u", "0", "--entrypoint", "python3", IMAGE, "-c", script)
    assert done.stdout == ""


@pytest.mark.parametrize("user", ["10001:0", "4711:4711"])
def test_the_application_can_write_only_where_it_should(user: str) -> None:
    """Not its own code, not ours, not nginx's files, not /etc: group 0 has no more than others."""
    done = docker("run", "--rm", "-u", user, "--entrypoint", "python3", IMAGE, "-c", WRITABLE)
    assert done.stdout.split() == []


def test_what_is_in_the_run_directory_is_for_this_user_only() -> None:
    with Box(files={"main.py": APP}) as box:
        rows = box.exec("find", "/run/flagon", "-mindepth", "1", "-printf", "%m %y %p\n").splitlines()
        assert len(rows) > 10
        for mode, kind, path in (row.split(" ", 2) for row in rows):
            if kind == "l" or path.endswith(("/url", ".pid")):
                continue  # links have no mode; a port and a pid are no secrets
            assert int(mode, 8) & 0o007 == 0, (mode, path)
        done = docker("exec", "-u", "4711:4711", box.name, "cat", "/run/flagon/launch.json", check=False)
        assert "Permission denied" in done.stderr
        for name in ("app.sock", "supervisor.sock", "events.sock"):
            connect = f"import socket; socket.socket(socket.AF_UNIX, socket.SOCK_{'DGRAM' if name[0] == 'e' else 'STREAM'}).connect('/run/flagon/{name}')"
            done = docker("exec", "-u", "4711:4711", box.name, "python3", "-c", connect, check=False)
            assert "PermissionError" in done.stderr


@pytest.fixture(scope="module")
def canary_image() -> Iterator[str]:
    """A user's image, built as the README says."""
    with child_image(f"FROM {RUNTIME}\nCOPY main.py /app/\nRUN pip list\n", {"main.py": APP}) as tag:
        yield tag


def leaks(text: str) -> list[str]:
    return [word for word in WORDS if word in text]


def test_nothing_in_the_image_s_configuration_history_and_labels(canary_image: str) -> None:
    """Of ours: the names are there for nobody to fill in a Dockerfile, and nothing is."""
    for image in (IMAGE, RUNTIME, canary_image):
        inspected = docker("inspect", image).stdout
        history = docker("history", "--no-trunc", image).stdout
        configuration = json.loads(inspected)[0]["Config"]
        names = {entry.partition("=")[0] for entry in configuration["Env"]}
        assert names <= {"PATH", "LANG", "PIP_NO_CACHE_DIR", "PIP_DISABLE_PIP_VERSION_CHECK"}
        for word in ("SECRET", "PASSWORD", "TOKEN", "://user:"):
            assert word not in inspected.upper().replace("PASSWD", "")
            assert word not in history.upper().replace("PASSWD", "")


@pytest.fixture(scope="module")
def given() -> dict[str, str]:
    return {**CANARIES, "DATABASE_URL": DATABASE, "LOG_LEVEL": "debug", "WEB_CONCURRENCY": "1"}


@pytest.mark.parametrize(
    "command",
    [["config"], ["config", "--json"], ["config", "--fragments"], ["check"]],
    ids=lambda words: "-".join(words),
)
def test_nothing_in_what_the_verbs_print(canary_image: str, given: dict[str, str], command: list[str]) -> None:
    done = run_once(command, env=given, image=canary_image)
    assert done.returncode == 0
    assert leaks(done.stdout + done.stderr) == []


def test_nothing_in_logs_process_lists_and_pages(canary_image: str, given: dict[str, str]) -> None:
    with Box(image=canary_image, env=given) as box:
        pages = [box.get(path).text for path in ("/", "/fail", "/ready", "/nowhere", "/up", "/" + "x" * 9000)]
        box.exec("sh", "-c", "kill -9 $(pgrep -f 'nginx: master' || echo 0)", check=False)
        box.exec("flagon", "reload", check=False)
        commands = box.exec("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        pages.append(commands)
        nginx = "for p in /proc/[0-9]*; do grep -q '^nginx: ' $p/cmdline 2>/dev/null && cat $p/environ; done; true"
        assert leaks(box.exec("sh", "-c", nginx)) == [], "nginx has no use for the application's secrets"
        assert box.stop()[1] == 0
        for text in (*pages, box.logs()):
            assert leaks(text) == []


@pytest.mark.parametrize(
    ("env", "code"),
    [
        ({"DATABASE_URL": "postgresql://user:canary-db-%2591bc@bad host/name"}, 78),
        ({"DATABASE_URL": "postgresql://user:canary-db-%2591bc@h:port/name"}, 78),
        ({"FLAGON_REDIS_URL": "canary-redis-77aa"}, 78),
        ({"SECRET_KEY": "canary"}, 78),
        ({"MIGRATE": "auto", "MIGRATE_COMMAND": "exit 3", "DATABASE_URL": "sqlite:////data/app.db"}, 3),
        ({"APP_MODULE": "nothere:app"}, None),
    ],
    ids=["bad-host", "bad-port", "bad-redis", "short-key", "migration-fails", "no-module"],
)
def test_nothing_in_the_message_of_a_start_that_fails(
    given: dict[str, str], env: dict[str, str], code: int | None
) -> None:
    done = run_once(env={**given, **env}, files={"main.py": APP}, timeout=40)
    assert done.returncode == code if code is not None else done.returncode != 0
    assert leaks(done.stdout + done.stderr) == []
    assert "canary" not in (done.stdout + done.stderr).replace("canary-less", "")


def test_nothing_from_a_secret_s_file() -> None:
    folder = write_files({"key": CANARIES["SECRET_KEY"], "url": DATABASE})
    env = {"SECRET_KEY_FILE": "/secrets/key", "DATABASE_URL_FILE": "/secrets/url", "LOG_LEVEL": "debug"}
    with Box(env=env, files={"main.py": APP}, mounts={folder: "/secrets"}) as box:
        texts = [box.get("/ready").text, box.exec("flagon", "config"), box.exec("flagon", "check"), box.logs()]
        assert [leaks(text) for text in texts] == [[], [], [], []]


def test_nothing_in_the_log_of_a_database_that_refuses() -> None:
    """A wrong password for a real server: neither it nor the right one is told."""
    with network() as net, Postgres(net) as postgres:
        url = postgres.url().replace("://", "://canary-user:canary-db-x@", 1)
        url = "postgresql://canary-user:canary-db-x@" + postgres.url().rpartition("@")[2]
        with Box(env={"DATABASE_URL": url, "LOG_LEVEL": "debug"}, args=["--network", net], migrated=False) as box:
            wait_until(lambda: box.get("/ready").status_code == 503, 10, "/ready at 503")
            texts = [box.get("/ready").text, box.get("/notes").text, box.logs()]
            assert not [text for text in texts if "canary-db-x" in text]
