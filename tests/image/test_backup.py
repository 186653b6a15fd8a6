"""`flagon backup` and `flagon restore` in the image: while it serves, stopped, any uid, full and read-only disks."""

from __future__ import annotations

import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .box import IMAGE, RUNTIME, Box, docker, run_once, size, wait_until
from .sqlite_app import FILES

BIG = "test $(stat -c %s /data/app.db-wal 2>/dev/null || echo 0) -gt 8000000"  # half of what the test restores
POSTGRES = "postgresql://app:hidden@db/app"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="flagon-test-") as name:
        yield Path(name)


def rows(path: Path) -> int:
    """Of a whole database; the application always writes two at once."""
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return int(connection.execute("SELECT count(*) FROM rows").fetchone()[0])


def pipe(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["docker", *words], input=stdin, capture_output=True, timeout=60)


class Load:
    """Four clients that write until told to stop; what was acknowledged is counted."""

    def __init__(self, box: Box) -> None:
        self.acknowledged = 0
        self.refused: list[str] = []
        self._url, self._stop, self._lock = box.url("/"), threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._write) for _ in range(4)]

    def _write(self) -> None:
        import requests

        with requests.Session() as session:
            session.trust_env = False
            while not self._stop.is_set():
                answer = session.post(self._url, data=b"x" * 500, timeout=20)
                with self._lock:
                    if answer.status_code == 201:
                        self.acknowledged += 2
                    else:
                        self.refused.append(f"{answer.status_code} {answer.text}")

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self.acknowledged > 20 or self.refused)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


def test_backup_and_restore_while_serving(volume: str, folder: Path) -> None:
    with Box(files=FILES, mounts={volume: "/data"}) as box:
        with Load(box) as load:
            for number in range(size(3, 20)):
                before = load.acknowledged
                done = pipe("exec", box.name, "flagon", "backup", "--to", "-")
                assert done.returncode == 0, done.stderr
                (folder / f"{number}.db").write_bytes(done.stdout)
                count = rows(folder / f"{number}.db")
                assert count % 2 == 0
                assert count >= before, "an acknowledged row is not in a later backup"
            first = (folder / "0.db").read_bytes()
            done = pipe("exec", "-i", box.name, "flagon", "restore", "-", stdin=first)
            assert done.returncode == 0, done.stderr
            assert b"kept as /data/backups/app-before-restore-" in done.stdout
            reached = load.acknowledged
            wait_until(lambda: load.acknowledged > reached + 20)
        assert load.refused == []
        left = int(box.get("/").text)
        assert left % 2 == 0
        assert rows(folder / "0.db") <= left < load.acknowledged
        told = box.exec("flagon", "backup").split(" (")[0]
        assert told.startswith("/data/backups/app-2")
        assert box.exec("sh", "-c", f"stat -c '%a %u' {told}").strip() == "600 10001"


@pytest.mark.parametrize(
    ("image", "args"),
    [
        (IMAGE, []),
        (IMAGE, ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]),
        (IMAGE, ["--user", "0"]),
        (RUNTIME, []),
    ],
)
def test_with_the_box_stopped(volume: str, image: str, args: list[str]) -> None:
    with Box(files=FILES, mounts={volume: "/data"}) as box:
        assert box.post("/", data=b"one").status_code == 201
    mount = ["-v", f"{volume}:/data", *args]
    done = run_once(["backup", "--to", "/data/x.db"], args=mount, image=image)
    assert (done.returncode, done.stdout.startswith("/data/x.db (")) == (0, True)
    with Box(files=FILES, mounts={volume: "/data"}) as box:
        assert box.post("/", data=b"two").status_code == 201
        assert box.get("/").text == "4"
    assert run_once(["restore", "/data/x.db"], args=mount, image=image).returncode == 0
    with Box(files=FILES, mounts={volume: "/data"}) as box:
        assert box.get("/").text == "2"
        assert box.post("/", data=b"still writable").status_code == 201
    done = run_once(["backup", "--to", "/data/x.db"], args=mount, image=image)
    assert (done.returncode, "/data/x.db exists already" in done.stderr) == (1, True)


def test_an_unknown_uid(folder: Path) -> None:
    folder.chmod(0o777)
    mount = ["--user", "4242:4242", "--read-only", "-v", f"{folder}:/data"]
    with Box(files=FILES, args=mount) as box:
        box.post("/", data=b"one")
        assert box.exec("flagon", "backup", "--to", "/data/x.db").startswith("/data/x.db (")
        assert "is restored" in box.exec("flagon", "restore", "/data/x.db")
        assert box.post("/", data=b"two").status_code == 201
        assert "cannot be written by uid 4242" in box.exec("flagon", "backup", "--to", "/etc/x.db", check=False)
    assert (folder / "app.db").stat().st_uid == 4242


def test_into_a_new_volume(volume: str) -> None:
    """The move to another machine: the volume is empty, and belongs to root."""
    with Box(files=FILES) as box:
        box.post("/", data=b"one")
        made = pipe("exec", box.name, "flagon", "backup", "--to", "-").stdout
    done = pipe("run", "--rm", "-i", "-v", f"{volume}:/data", IMAGE, "restore", "-", stdin=made)
    assert done.returncode == 0, done.stderr
    with Box(files=FILES, mounts={volume: "/data"}) as box:
        assert box.get("/").text == "2"
        assert box.post("/", data=b"two").status_code == 201


def test_a_read_only_volume_is_backed_up_and_not_restored(volume: str, folder: Path) -> None:
    with Box(files=FILES, mounts={volume: "/data"}) as box:
        box.post("/", data=b"one")
        made = box.exec("flagon", "backup", "--to", "/data/x.db")
        assert made.startswith("/data/x.db")
    mount = ["-v", f"{volume}:/data:ro"]
    done = pipe("run", "--rm", *mount, IMAGE, "backup", "--to", "-")
    (folder / "x.db").write_bytes(done.stdout)
    assert rows(folder / "x.db") == 2
    done = pipe("run", "--rm", *mount, IMAGE, "backup")
    assert (done.returncode, b"/data/backups cannot be made" in done.stderr) == (1, True)
    done = pipe("run", "--rm", *mount, IMAGE, "restore", "/data/x.db")
    assert (done.returncode, b"/data does not exist or cannot be written" in done.stderr) == (1, True)


def test_a_full_disk_leaves_nothing_half_written(folder: Path) -> None:
    args = ["--mount", "type=tmpfs,tmpfs-size=8m,destination=/data"]
    with Box(files=FILES, args=args) as box:
        for _ in range(10):
            assert box.post("/", data=b"x" * 60_000).status_code == 201
        made = box.exec("flagon", "backup", "--to", "/tmp/x.db")
        assert made.startswith("/tmp/x.db")
        box.exec("sh", "-c", "head -c 8m /dev/zero >/data/ballast 2>/dev/null; true")
        before = set(box.exec("sh", "-c", "ls -A /data").split())
        for verb in (["backup", "--to", "/data/y.db"], ["restore", "/tmp/x.db"]):
            done = docker("exec", box.name, "flagon", *verb, check=False)
            assert done.returncode == 1
            assert "full" in done.stderr or "No space left" in done.stderr, done.stderr
        after = set(box.exec("sh", "-c", "ls -A /data").split())
        assert after - before <= {"app.db.migration-lock", "app.db-shm"}
        done = pipe("exec", box.name, "flagon", "backup", "--to", "-")
        assert done.returncode == 0, "standard output needs no room on the full disk"
        (folder / "y.db").write_bytes(done.stdout)
        assert rows(folder / "y.db") == 20
        box.exec("rm", "/data/ballast")
        assert box.exec("flagon", "restore", "/tmp/x.db").endswith("bytes)\n")
        assert box.get("/").text == "20"


def test_killed_with_the_container_in_the_middle(volume: str, folder: Path) -> None:
    """docker kill while a restore writes: the next start has the old content or the new."""
    with Box(files=FILES, mounts={volume: "/data"}) as box:
        box.exec("sh", "-c", "head -c 1000000 /dev/urandom >/tmp/body")
        for _ in range(20):
            box.exec("curl", "-sf", "--data-binary", "@/tmp/body", "http://127.0.0.1:8080/")
        box.exec("flagon", "backup", "--to", "/data/x.db")
        assert box.post("/", data=b"later").status_code == 201
        for _ in range(size(3, 12)):
            subprocess.Popen(["docker", "exec", box.name, "flagon", "restore", "/data/x.db"])
            wait_until(lambda: not docker("exec", box.name, "sh", "-c", BIG, check=False).returncode, 20)
            box.kill()
            box.start()
            assert box.get("/").text in ("40", "42")
            assert box.exec("flagon", "backup", "--to", "-", check=False)[:6] == "SQLite"
            if box.get("/").text == "40":
                box.post("/", data=b"later")


@pytest.mark.parametrize("verb", [["backup"], ["restore", "x"]])
def test_postgres_is_told_its_own_tools(verb: list[str]) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "backup.md").read_text()
    recipe = docs.split("```text\n")[1].split("```")[0]
    done = run_once(verb, env={"DATABASE_URL": POSTGRES})
    assert done.returncode == 1
    assert done.stderr.endswith(recipe)
    assert "hidden" not in done.stderr


LITERAL = """import sqlite3
from flask import Flask
app = Flask(__name__)
app.config["DATABASE"] = "/data/shop.sqlite"
for name in ("shop.sqlite", "other.sqlite"):
    sqlite3.connect(f"/data/{name}").execute("CREATE TABLE IF NOT EXISTS rows (x)")
"""


def test_a_database_that_only_the_application_s_code_names(volume: str) -> None:
    """The serving application's settings say which one; without them both are named, with the command for each."""
    files, data = {"app.py": LITERAL}, ["-v", f"{volume}:/data"]
    with Box(files=files, args=data) as box:
        box.wait_log("Booting worker")
        done = docker("exec", box.name, "flagon", "backup")
        assert done.stdout.startswith("/data/backups/shop-")
        assert "/data/shop.sqlite is the SQLite file that is there" in done.stderr
    stopped = run_once(["backup"], args=data, files=files)
    assert stopped.returncode == 1
    for name in ("shop", "other"):
        assert f"-e DATABASE_URL=sqlite:////data/{name}.sqlite -v VOLUME:/data IMAGE flagon backup" in stopped.stderr
