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


# Every way in for another uid: list, read, put something in place, connect to each socket that root has found.
INTRUDER = """
import os, socket, sys
run, *sockets = sys.argv[1:]
def tried(name, call):
    try:
        call()
    except OSError as error:
        return
    print("could", name)
tried("list", lambda: os.listdir(run))
tried("read", lambda: open(run + "/launch.json").read())
tried("make", lambda: open(run + "/planted", "w"))
tried("rename", lambda: os.rename(run + "/gunicorn", run + "/gunicorn.old"))
tried("replace", lambda: os.rename(run, run + ".old"))
for path in sockets:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        tried("connect " + path, lambda: socket.socket(socket.AF_UNIX, kind).connect(path))
print("tried", len(sockets))
"""


def is_closed(box: Box, run: str, uid: int, others: tuple[str, ...]) -> None:
    """The run directory and all that is in it is for its owner; other users can do nothing with it."""
    health = ("stat", "-c", "%a", f"{run}/up.sock")  # nginx makes it for everybody
    wait_until(lambda: box.exec(*health, user="0").strip() == "600", 5, "up.sock at 600")
    rows = [row.split(" ", 3) for row in box.exec("find", run, "-printf", "%m %U %y %p\n", user="0").splitlines()]
    assert len(rows) > 10
    assert {owner for _, owner, _, _ in rows} == {str(uid)}
    assert rows[0][0] == "700"
    sockets = [path for mode, _, kind, path in rows if kind == "s"]
    names = {path.rpartition("/")[2] for path in sockets}
    assert names == {"app.sock", "health.sock", "ready.sock", "supervisor.sock", "events.sock", "up.sock"}
    for mode, _, kind, path in rows:
        if kind == "l" or path.endswith(".pid"):
            continue  # links have no mode; supervisord and nginx write their pids with a mode of their own
        assert int(mode, 8) & 0o077 == 0, (mode, path)
        assert kind != "s" or mode == "600", (mode, path)
    for other in others:
        done = docker("exec", "-u", other, box.name, "python3", "-c", INTRUDER, run, *sockets, check=False)
        assert (done.stdout.split("\n"), done.stderr) == ([f"tried {len(sockets)}", ""], ""), other


@pytest.mark.parametrize("image", [IMAGE, RUNTIME])
def test_the_run_directory_is_for_this_user_only(image: str) -> None:
    """Group 0 is what `docker exec -u 4711` has, and every uid of OpenShift: it gets the port, and nothing else."""
    with Box(image=image, files={"main.py": APP, "prestart.sh": "umask 000\n"}) as box:
        is_closed(box, "/run/flagon", 10001, ("4711", "4711:4711", "4711:10001"))
        mode = box.exec("stat", "-c", "%a %U:%G", "/data", user="0").strip()
        assert mode == "700 flagon:root"
        planted = docker(
            "exec",
            "-u",
            "4711",
            box.name,
            "sh",
            "-c",
            "ls /data || mv /data/secret_key /data/x; echo x > /data/y",
            check=False,
        )
        assert planted.stderr.count("Permission denied") == 3
        for verb in ("reload", "purge"):
            done = docker("exec", "-u", "4711", box.name, "flagon", verb, check=False)
            assert done.returncode != 0
            assert "/run/flagon is another user's" in done.stderr
        docker("exec", "-u", "0", box.name, "chmod", "770", "/run/flagon", "/data")
        box.stop()
        box.start()  # a container that an earlier release has made
        is_closed(box, "/run/flagon", 10001, ("4711",))


def test_any_uid_keeps_its_run_directory_to_itself() -> None:
    """OpenShift's: a uid nobody knows, gid 0, and a /data that the image lets gid 0 use."""
    with Box(args=["--user", "4711"], files={"main.py": APP}) as box:
        is_closed(box, "/tmp/flagon", 4711, ("4712", "10001"))
        assert box.exec("stat", "-c", "%a", "/data").strip() == "770"
        assert box.exec("test", "-f", "/data/secret_key") == ""
        assert box.get("/").text == "hello"


# What another user has made before the box starts, and where the run directory then is.
SQUATTED = [
    ("mkdir -m 777 /tmp/flagon; chown 5555 /tmp/flagon", "/dev/shm/flagon"),
    ("mkdir -m 770 /tmp/flagon; chown 5555:0 /tmp/flagon; echo theirs >/tmp/flagon/gunicorn", "/dev/shm/flagon"),
    ("mkdir -m 700 /tmp/mine; chown 4711 /tmp/mine; ln -s /tmp/mine /tmp/flagon", "/dev/shm/flagon"),
    ("touch /tmp/flagon", "/dev/shm/flagon"),
    ("mkdir -m 770 /tmp/flagon; echo theirs >/tmp/flagon/app.db; chown 4711:0 /tmp/flagon", "/tmp/flagon"),
]


@pytest.mark.parametrize(("before", "run"), SQUATTED)
def test_a_folder_that_was_there_before(before: str, run: str) -> None:
    start = "exec setpriv --reuid 4711 --regid 0 --clear-groups /opt/flagon/entrypoint.sh serve"
    args = ["--user", "0", "--entrypoint", "sh"]
    with Box(args=args, command=["-c", f"{before}; {start}"], files={"main.py": APP}) as box:
        assert f'run directory {run}"' in box.wait_log("run directory ")
        assert "theirs" not in box.exec("sh", "-c", f"cat {run}/app.db {run}/gunicorn 2>&1; true")
        is_closed(box, run, 4711, ("5555", "10001"))


@pytest.mark.parametrize(
    ("args", "run"),
    [
        (["--read-only", "--tmpfs", "/tmp", "--user", "4711"], "/tmp/flagon"),
        (["--read-only", "--tmpfs", "/run:uid=4711", "--user", "4711"], "/run/flagon"),
        (["--read-only", "--tmpfs", "/run"], "/dev/shm/flagon"),  # root's, and 0755 as the image's
        (["--read-only", "-v", "/run", "--user", "4711", "--tmpfs", "/tmp"], "/tmp/flagon"),
        (["-v", "/run"], "/run/flagon"),
    ],
)
def test_where_it_lies(args: list[str], run: str) -> None:
    with Box(args=args, files={"main.py": APP}) as box:
        assert f'run directory {run}"' in box.wait_log("run directory ")
        assert box.exec("stat", "-c", "%a", run).strip() == "700"
        assert box.exec("/opt/flagon/healthcheck") == ""


def test_a_place_where_others_may_rename_it_is_said() -> None:
    """A volume of 0777, as an emptyDir is: used, because nothing else may be there."""
    with Box(args=["--tmpfs", "/work:mode=0777"], env={"RUNTIME_DIR": "/work"}, files={"main.py": APP}) as box:
        assert "/work is writable for others" in box.wait_log("writable for others")


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
        assert names <= {"PATH", "LANG", "PIP_NO_CACHE_DIR", "PYTHON_VERSION", "PIP_DISABLE_PIP_VERSION_CHECK"}
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


def test_a_start_that_ends_over_an_unreadable_secret_leaves_the_volume_as_it_was(volume: str) -> None:
    """An arbitrary uid of group 0 has used it; the image's own uid is tried once, and changes nothing by that."""
    mount = ["-v", f"{volume}:/data"]
    with Box(files={"main.py": APP}, args=["--user", "4711:0", *mount]):
        pass
    done = run_once(files={"main.py": APP}, args=mount)
    assert done.returncode == 78
    assert "/data/secret_key exists and cannot be read" in done.stderr
    look = docker("run", "--rm", *mount, "--entrypoint", "stat", IMAGE, "-c", "%a", "/data")
    assert look.stdout.strip() == "770"
    with Box(files={"main.py": APP}, args=["--user", "4711:0", *mount]) as box:
        assert "READ-ONLY" not in box.logs()
