"""Who the box runs as and where it writes: every line of the table, on the real image."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .box import IMAGE, RUNTIME, Box, docker, run_once

WHO = """import json, os, tempfile
def app(environ, start_response):
    body = environ["wsgi.input"].read()
    home = os.environ.get("HOME", "")
    answer = {"uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(), "home": os.access(home, os.W_OK),
              "received": len(body), "database": os.environ.get("DATABASE_URL", ""), "key": os.environ["SECRET_KEY"]}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
"""
FILES = {"main.py": WHO}
BODY = b"x" * 3_000_000


def whoami(box: Box) -> dict[str, Any]:
    """What the application says of itself, after a body too big for nginx's memory."""
    answer = box.post("/", data=BODY)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    assert found["received"] == len(BODY)
    return found


def owners(box: Box) -> set[str]:
    """uid:gid of every process in the box, the probe's own left out."""
    script = (
        'for p in /proc/[0-9]*; do [ "${p#/proc/}" != $$ ] || continue; '
        'awk \'/^Uid/{u=$2":"$3} /^Gid/{g=$2} /^PPid/{x=$2} END{if (x != '
        + "'\"$$\"'"
        + ') print u" "g}\' $p/status; done 2>/dev/null'
    )
    return set(box.exec("sh", "-c", script, user="0").split("\n")) - {""}


def loud(box: Box, text: str) -> bool:
    return any(r["level"] in ("warning", "error") and text in r["message"] for r in box.records())


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder of root's, for a volume."""
    path = Path(tempfile.mkdtemp(prefix="flagon-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize(
    ("image", "args", "env", "uid", "gid"),
    [
        (IMAGE, [], {}, 10001, 0),
        (IMAGE, ["--user", "12345:0"], {}, 12345, 0),
        (IMAGE, ["--user", "4242:4242"], {}, 4242, 4242),
        (IMAGE, ["--user", "0"], {}, 10001, 0),
        (RUNTIME, [], {}, 10001, 0),
        (RUNTIME, [], {"RUN_AS": "12345:12345"}, 12345, 12345),
        (RUNTIME, [], {"RUN_AS": "12345"}, 12345, 12345),
        (RUNTIME, ["--user", "12345"], {}, 12345, 0),
        (IMAGE, ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"], {}, 10001, 0),
        (IMAGE, ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "4242:4242"], {}, 4242, 4242),
        (IMAGE, ["--read-only", "--tmpfs", "/tmp"], {}, 10001, 0),
        (IMAGE, ["--read-only", "--tmpfs", "/tmp", "--user", "4242:4242", "--cap-drop", "ALL"], {}, 4242, 4242),
        (IMAGE, ["--read-only"], {}, 10001, 0),
        (IMAGE, ["--read-only", "--user", "4242:4242"], {"HOME": "/nonexistent"}, 4242, 4242),
        (RUNTIME, ["--read-only", "--tmpfs", "/tmp"], {}, 10001, 0),
        (IMAGE, [], {"HOME": ""}, 10001, 0),
    ],
)  # fmt: skip
def test_serves_as(image: str, args: list[str], env: dict[str, str], uid: int, gid: int) -> None:
    with Box(image=image, args=args, env=env, files=FILES) as box:
        found = whoami(box)
        assert (found["uid"], found["gid"]) == (uid, gid)
        assert set(found["groups"]) <= {gid}
        assert found["home"], "HOME is not writable"
        # of a container that started as root nobody stays root
        assert {line.split()[0] for line in owners(box)} == {f"{uid}:{uid}"}
        assert box.exec("/opt/flagon/healthcheck", user=str(uid)) == ""
        assert not [r for r in box.records() if r["level"] in ("error", "critical")]
        seconds, code = box.stop()
        assert code == 0


def test_run_as_owner() -> None:
    with Box(image=RUNTIME, env={"RUN_AS": "owner"}, files=FILES, wait=False) as box:
        assert box.folder
        os.chown(box.folder, 4321, 4322)
        box.stop()
        box.start()
        found = whoami(box)
        assert (found["uid"], found["gid"]) == (4321, 4322)


def test_run_as_root_is_loud() -> None:
    with Box(image=RUNTIME, env={"RUN_AS": "root"}, files=FILES) as box:
        assert whoami(box)["uid"] == 0
        assert loud(box, "RUNNING AS ROOT")


def test_run_as_without_root_has_no_effect() -> None:
    with Box(env={"RUN_AS": "12345:12345"}, files=FILES) as box:
        assert whoami(box)["uid"] == 10001
        assert loud(box, "RUN_AS")


def test_root_without_the_capability_to_drop_says_so() -> None:
    with Box(image=RUNTIME, args=["--cap-drop", "ALL"], files=FILES, wait=False) as box:
        try:
            box.wait_up()
        except AssertionError:
            assert box.exit_code() == 78
        assert "uid 10001" in box.logs()
        assert "ROOT" in box.logs()


def test_run_as_that_cannot_be() -> None:
    done = run_once(image=RUNTIME, env={"RUN_AS": "777:777"}, args=["--cap-drop", "ALL"], files=FILES)
    assert done.returncode == 78
    assert "RUN_AS" in done.stderr


def test_commands_run_as_the_application_s_user() -> None:
    assert run_once(["id", "-u"], image=RUNTIME).stdout.strip() == "10001"
    assert run_once(["id", "-u"], image=RUNTIME, env={"RUN_AS": "77:77"}).stdout.strip() == "77"


# -- places


def test_nothing_writable_at_all() -> None:
    done = run_once(args=["--read-only", "--ipc", "none"])
    assert done.returncode == 78
    assert "--tmpfs" in done.stderr


def test_runtime_dir() -> None:
    with Box(env={"RUNTIME_DIR": "/tmp/mine"}) as box:
        assert "nginx.conf" in box.exec("find", "/tmp/mine")
        assert box.exec("find", "/run/flagon", "-type", "f") == ""
        assert box.get("/").status_code == 200


def test_no_data_directory() -> None:
    with Box(env={"DATA_DIR": "/nowhere"}, files=FILES) as box:
        assert "/nowhere" not in whoami(box)["database"]
        assert loud(box, "/nowhere")


def test_data_is_kept_in_a_volume(folder: Path) -> None:
    os.chown(folder, 10001, 0)
    keys = []
    for _ in range(2):
        with Box(mounts={folder: "/data"}, files=FILES) as box:
            found = whoami(box)
            keys.append(found["key"])
            assert found["database"] == ""
            assert not loud(box, "not a volume")
    assert keys[0] == keys[1]
    assert len(keys[0]) >= 32
    secret = folder / "secret_key"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert secret.stat().st_uid == 10001


def test_data_that_is_no_volume_is_said() -> None:
    with Box() as box:
        assert loud(box, "not a volume")


def test_an_empty_volume_of_root_is_handed_over(folder: Path) -> None:
    with Box(image=RUNTIME, mounts={folder: "/data"}, files=FILES) as box:
        assert box.exec("sh", "-c", "test -O /data && test -s /data/secret_key && echo ours", user="10001") == "ours\n"
        assert folder.stat().st_uid == 10001
        assert not loud(box, "not writable")


MEND = "docker run --rm --user 0 --entrypoint chown -v VOLUME:/data IMAGE -R 10001 /data"


@pytest.mark.parametrize("files", [FILES, None])
def test_a_mounted_folder_that_cannot_be_written_ends_with_78(folder: Path, files: dict[str, str] | None) -> None:
    """Data in a folder that ends with the container is what a volume was mounted against."""
    (folder / "theirs").write_text("x")
    done = run_once(args=["-v", f"{folder}:/data"], files=files)
    assert (done.returncode, folder.stat().st_uid) == (78, 0)
    assert "/data is mounted and cannot be written by uid 10001: it belongs to uid 0" in done.stderr
    assert MEND in done.stderr
    docker(*MEND.replace("VOLUME", str(folder)).replace("IMAGE", RUNTIME).split()[1:])
    with Box(mounts={folder: "/data"}, files=files) as box:
        assert not loud(box, "not writable")


def test_a_stranger_that_was_given_both_may_read_a_folder_of_others(folder: Path) -> None:
    with Box(mounts={folder: "/data"}, files=FILES, env={"SECRET_KEY": "s" * 40}) as box:
        assert loud(box, "/data is not writable")
        assert loud(box, MEND)


def test_a_read_only_volume_without_data_ends_with_78(folder: Path) -> None:
    os.chown(folder, 10001, 0)
    done = run_once(args=["-v", f"{folder}:/data:ro"], files=FILES)
    assert done.returncode == 78
    assert "mounted read-only" in done.stderr


def test_a_command_of_another_user_needs_no_secret_of_the_volume(folder: Path) -> None:
    """`docker run -u $(id -u) -v ... flask db init` writes files of the right owner."""
    os.chown(folder, 10001, 0)
    with Box(mounts={folder: "/data"}, files=FILES):
        pass
    files = {**FILES, "app.py": FILES["main.py"]} if "main.py" in FILES else FILES
    script = "import os; print(os.environ['SECRET_KEY'][:5])"
    for user in ("4242", "4242:4242"):
        done = run_once(["python", "-c", script], args=["--user", user, "-v", f"{folder}:/data"], files=files)
        assert (done.returncode, len(done.stdout)) == (0, 6)
    assert run_once(args=["--user", "4242", "-v", f"{folder}:/data"], files=files).returncode == 78


def test_an_application_that_cannot_be_read_is_no_empty_folder(folder: Path) -> None:
    (folder / "main.py").write_text(FILES["main.py"])
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").write_text("")
    mount = ["-v", f"{folder}:/app"]
    os.chown(folder / "main.py", 1234, 1234)
    (folder / "main.py").chmod(0o600)
    for env in ({}, {"APP_MODULE": "main:app"}):
        done = run_once(args=mount, env=env)
        assert done.returncode == 78
        assert "uid 10001" in done.stderr + done.stdout
        assert "belongs to uid 1234, mode 600" in done.stderr + done.stdout
    (folder / "main.py").write_text("import shop.web\n" + FILES["main.py"])
    (folder / "main.py").chmod(0o644)
    (folder / "shop").chmod(0o700)
    done = run_once(args=mount)
    assert done.returncode == 78
    assert "/app/shop" in done.stderr + done.stdout
    folder.chmod(0o700)
    done = run_once(args=mount)
    assert done.returncode == 78
    assert "uid 10001 cannot read /app: it belongs to uid 0, mode 700" in done.stderr


def test_a_secret_in_a_read_only_volume_is_the_secret(folder: Path) -> None:
    os.chown(folder, 10001, 0)
    (folder / "secret_key").write_text("k" * 40 + "\n")
    with Box(args=["-v", f"{folder}:/data:ro"], files=FILES) as box:
        assert whoami(box)["key"] == "k" * 40


@pytest.mark.parametrize("owner", [0, 10001])
@pytest.mark.parametrize("name", ["secret_key", "app.db"])
def test_an_unreadable_file_is_an_error_and_never_replaced(folder: Path, name: str, owner: int) -> None:
    os.chown(folder, owner, 0)
    file = folder / name
    file.write_text("k" * 40)
    file.chmod(0o600)
    done = run_once(args=["-v", f"{folder}:/data"], timeout=20)
    assert done.returncode == 78
    whole = "/data is mounted and cannot be written by uid 10001: it belongs to uid 0" if owner == 0 else ""
    assert f"/data/{name}" in done.stderr or (whole and whole in done.stderr)
    assert file.read_text() == "k" * 40
    assert file.stat().st_uid == 0


def test_the_secret_outlives_a_restart_where_data_is_not_writable() -> None:
    with Box(args=["--user", "4242:4242"], files=FILES) as box:
        assert loud(box, "/data is not writable")
        assert box.get("/").status_code == 200
        box.stop()
        box.start()
        assert box.get("/").status_code == 200


def test_no_passwd_entry_breaks_nothing() -> None:
    script = "import os, tempfile; print(os.path.expanduser('~')); open(os.path.expanduser('~/x'), 'w').close()"
    done = run_once(["python", "-c", script], args=["--user", "4242:4242"])
    assert done.returncode == 0


def test_large_bodies_go_to_disk_and_not_to_a_small_tmpfs(folder: Path) -> None:
    """The disk is not that of the data: it could be filled (test_body_limits)."""
    for name in ("data", "disk"):
        (folder / name).mkdir()
        os.chown(folder / name, 10001, 0)
    args = ["--read-only", "--tmpfs", "/tmp:size=4m", "--tmpfs", "/run/flagon:size=4m,uid=10001"]
    mounts = {folder / "data": "/data", folder / "disk": "/var/tmp"}
    with Box(args=args, mounts=mounts, files=FILES) as box:
        answer = box.post("/", data=b"y" * 20_000_000)
        assert answer.status_code == 200
        assert answer.json()["received"] == 20_000_000
        assert (folder / "disk" / ".flagon-spool").exists()
