"""SQLite's bad days: no volume, a read-only one, a full disk. The box serves, errors are clear, no data is lost."""

from __future__ import annotations

from typing import Any

import pytest

from .box import IMAGE, RUNTIME, Box, docker, run_once, wait_until
from .sqlite_app import FILES

TMPFS = ["--mount", "type=tmpfs,tmpfs-size=6m,destination=/data"]
BODY = "x" * 9_000
CHECK = "import sqlite3; print(sqlite3.connect('/data/app.db').execute('PRAGMA integrity_check').fetchone()[0])"


def warned(box: Box, text: str) -> bool:
    return any(record["level"] == "warning" and text in record["message"] for record in box.records())


def ready(box: Box) -> None:
    """The starter opens its pages once its schema is there."""
    wait_until(lambda: box.get("/api/notes").status_code == 200, 30, "the notes")


def add(box: Box, title: str, body: str = BODY) -> Any:
    return box.post("/api/notes", json={"title": title, "body": body})


def titles(box: Box) -> set[str]:
    found: set[str] = set()
    page = 1
    while True:
        answer = box.get(f"/api/notes?page={page}").json()
        found |= {note["title"] for note in answer["notes"]}
        if page >= answer["pages"]:
            return found
        page += 1


OWN = """def app(environ, start_response):
    start_response("200 OK", [])
    return [b"fine"]
"""


def fill(box: Box) -> None:
    box.exec("sh", "-c", "head -c 6m /dev/zero >/data/ballast 2>/dev/null; true")


def test_without_a_volume_it_says_so(volume: str) -> None:
    with Box(files=FILES) as box:
        assert warned(box, "/data/app.db lies on no volume: this SQLite database ends with the container")
        assert box.post("/", data=b"x").status_code == 201
    with Box(files=FILES, mounts={volume: "/data"}) as box:
        assert not warned(box, "/data")


def test_read_only_data_is_read_and_not_written(volume: str) -> None:
    with Box(mounts={volume: "/data"}) as box:
        ready(box)
        assert add(box, "kept").status_code == 201
        box.stop()
    before = digest(volume)
    with Box(args=["-v", f"{volume}:/data:ro"]) as box:
        assert warned(box, "/data is READ-ONLY for uid 10001")
        ready(box)
        assert titles(box) == {"kept"}
        answer = add(box, "refused")
        assert (answer.status_code, "read-only" in answer.text) == (503, True)
        assert (box.get("/up").status_code, box.get("/api/notes").status_code) == (200, 200)
    assert digest(volume) == before


def test_empty_read_only_data_is_no_place_for_data(volume: str) -> None:
    run_once(["true"], args=["-v", f"{volume}:/data"])
    docker("run", "--rm", "-u", "0", "-v", f"{volume}:/data", "--entrypoint", "rm", IMAGE, "-f", "/data/secret_key")
    done = run_once(args=["-v", f"{volume}:/data:ro"])
    assert done.returncode == 78
    assert "/data is mounted read-only" in done.stderr


def test_a_file_of_roots_is_not_ready_and_named_at_the_boot(volume: str) -> None:
    """`docker exec` as root has made it: all can be read, and no write succeeds."""
    make = "import sqlite3; d = sqlite3.connect('/data/app.db'); d.execute('create table t (x)'); d.commit()"
    env = {"DATABASE_URL": "sqlite:////data/app.db"}
    with Box(files={"main.py": OWN}, mounts={volume: "/data"}, image=RUNTIME, env=env) as box:
        assert box.get("/ready").status_code == 200
        box.exec("python3", "-c", make, user="0")
        wait_until(lambda: box.get("/ready").json()["checks"]["database"] == "not writable", 5, "no write")
        wait_until(lambda: box.get("/ready").status_code == 503, 5, "/ready at 503")
        box.stop()
        box.start()
        line = box.wait_log("attempt to write a readonly database")
        assert "uid 10001 cannot write /data/app.db (belongs to uid 0, mode 644)" in line
        mend = line.partition("docker exec --user 0 NAME sh -c '")[2].partition("'")[0]
        box.exec("sh", "-c", mend, user="0")
        wait_until(lambda: box.get("/ready").status_code == 200, 5, "/ready at 200")


def digest(volume: str) -> str:
    """Of the database's file, by somebody else's eyes."""
    done = run_once(["sha256sum", "/data/app.db"], args=["-v", f"{volume}:/data:ro"])
    assert done.returncode == 0
    return done.stdout


def test_a_full_disk_in_any_application() -> None:
    with Box(files=FILES, args=TMPFS) as box:
        assert int(box.get("/").text) == 0
        written = 0
        while (answer := box.post("/", data=BODY)).status_code == 201:
            written += 2
            assert written < 2000, "the disk never got full"
        assert (answer.status_code, "full" in answer.text or "I/O" in answer.text) == (503, True)
        assert box.get("/up").status_code == 200
        assert int(box.get("/").text) == written
        box.kill("KILL")  # a tmpfs ends with its container: what is seen is that the box stood until now
        assert "restarted" not in box.logs()


@pytest.mark.parametrize("how", ["notes", "ballast"])
def test_a_full_disk_and_then_room_again(how: str) -> None:
    with Box(args=TMPFS) as box:
        ready(box)
        box.exec("sh", "-c", "head -c 1m /dev/zero >/data/reserve")
        kept = set()
        for number in range(30):
            assert add(box, f"before {number}").status_code == 201
            kept.add(f"before {number}")
        if how == "ballast":
            fill(box)
        refused = None
        for number in range(1000):
            answer = add(box, f"note {number}")
            if answer.status_code != 201:
                refused = answer
                break
            kept.add(f"note {number}")
        assert refused is not None, "the disk never got full"
        assert (refused.status_code, "full" in refused.text) == (503, True), refused.text
        assert refused.headers["Retry-After"]
        assert add(box, "again").status_code == 503
        assert box.get("/up").status_code == 200
        assert titles(box) == kept
        box.exec("rm", "-f", "/data/reserve", "/data/ballast")
        wait_until(lambda: add(box, "healed").status_code == 201, 10, "a note after there is room again")
        assert titles(box) == kept | {"healed"}
        assert box.exec("python", "-c", CHECK).strip() == "ok"
        assert "restarted" not in box.logs()


def test_a_disk_that_is_full_at_the_start() -> None:
    """The schema cannot be made: the migration fails, and the container ends and says why."""
    with Box(args=["--mount", "type=tmpfs,tmpfs-size=8k,destination=/data"], wait=False) as box:
        assert box.wait_exit() != 0
        said = [record["message"] for record in box.records() if record["level"] in ("error", "critical")]
        assert any("disk is full" in text for text in said)
