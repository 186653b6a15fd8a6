"""Where the box may write."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import contextlib
import io
import os

import pytest

from flagon import places


@pytest.fixture(autouse=True)
def no_candidates(monkeypatch, tmp_path):
    """The real candidates belong to a real box."""
    monkeypatch.setattr(places, "RUN_CANDIDATES", (str(tmp_path / "one"), str(tmp_path / "two")))


@pytest.fixture
def mounts(monkeypatch):
    def mounts(text):
        monkeypatch.setattr(places, "open", lambda *_, **__: io.StringIO(text), raising=False)

    return mounts


def test_writable(tmp_path):
    assert places.writable(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert not places.writable(str(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("")
    assert not places.writable(str(tmp_path / "file"))


def test_the_wanted_directory_comes_first(tmp_path):
    """A folder of our own below it: it is emptied at each start."""
    wanted = str(tmp_path / "mine" / "run")
    assert places.run_directory(wanted) == wanted + "/flagon"
    assert os.stat(wanted + "/flagon").st_mode & 0o777 == 0o700


def test_the_first_usable_candidate(tmp_path):
    assert places.run_directory(None, fresh=False) == str(tmp_path / "one")
    (tmp_path / "one").rmdir()
    (tmp_path / "one").write_text("a file")
    assert places.run_directory(None, fresh=False) == str(tmp_path / "two")
    with pytest.raises(
        places.NoPlace, match="RUNTIME_DIR"
    ):  # what was asked for and cannot be is no silent other place
        places.run_directory(str(tmp_path / "one" / "below a file"), fresh=False)


def test_links_are_refused(tmp_path):
    """In /tmp anybody may have put one there before us."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "one").symlink_to(tmp_path / "elsewhere")
    assert places.run_directory(None, fresh=False) == str(tmp_path / "two")
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "flagon").symlink_to(tmp_path / "nothing")
    with pytest.raises(places.NoPlace, match="RUNTIME_DIR"):
        places.run_directory(str(tmp_path / "given"), fresh=False)


@pytest.mark.parametrize(
    ("mode", "usable"), [(0o700, True), (0o755, True), (0o775, True), (0o777, False), (0o1777, False), (0o702, False)]
)
def test_world_writable_is_refused(tmp_path, mode, usable):
    (tmp_path / "one").mkdir()
    (tmp_path / "one").chmod(mode)
    assert places.run_directory(None) == str(tmp_path / ("one" if usable else "two"))


def test_nothing_is_writable(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text("")
    with pytest.raises(places.NoPlace) as caught:
        places.run_directory(None)
    text = str(caught.value)
    assert str(tmp_path / "two") in text
    assert "--tmpfs" in text
    assert "RUNTIME_DIR" in text


def test_what_an_earlier_start_left_is_removed(tmp_path):
    run = tmp_path / "one"
    for name in ("fragments/main.conf", "programs/x.conf", "spool/client_body/1"):
        (run / name).parent.mkdir(parents=True)
        (run / name).write_text("")
    for name in ("app.sock", "health.sock", "events.sock", "draining", "nginx.pid", "launch.json", "port"):
        (run / name).write_text("")
    (run / "nginx.conf").symlink_to("/nowhere")
    for name in ("app.db", "app.db-wal", "app.db-shm"):
        (run / name).write_text("kept")
    run.chmod(0o700)
    assert places.run_directory(None, fresh=False) == str(run)
    assert (run / "draining").exists()
    places.run_directory(None, fresh=True)
    assert {path.name for path in run.iterdir()} == {"app.db", "app.db-wal", "app.db-shm", "lock"}


def test_one_box_serves_from_a_run_directory(tmp_path):
    """`docker exec BOX flagon serve` must not empty the directory of the box that serves."""
    places.run_directory(None)
    (tmp_path / "one" / "app.sock").write_text("")
    with pytest.raises(places.NoPlace, match="serves already"):
        places.run_directory(None)
    assert (tmp_path / "one" / "app.sock").exists()


def test_a_link_in_the_run_directory_is_removed_and_not_followed(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("")
    (tmp_path / "one").mkdir(mode=0o700)
    (tmp_path / "one" / "link").symlink_to(tmp_path / "precious")
    places.run_directory(None)
    assert (tmp_path / "precious" / "file").exists()


def test_files_of_the_users_are_never_removed(tmp_path):
    """RUNTIME_DIR=/data, or /app: what the box did not make is not the box's to delete."""
    wanted = tmp_path / "data"
    (wanted / "uploads").mkdir(parents=True)
    (wanted / "uploads" / "photo.jpg").write_text("precious")
    (wanted / "customers.db").write_text("precious")
    wanted.chmod(0o700)
    with contextlib.suppress(places.NoPlace):
        places.run_directory(str(wanted))
    assert (wanted / "uploads" / "photo.jpg").exists()
    assert (wanted / "customers.db").exists()


MOUNTS = """overlay / overlay rw,relatime 0 0
proc /proc proc rw 0 0
tmpfs /dev tmpfs rw 0 0
shm /dev/shm tmpfs rw 0 0
tmpfs /run tmpfs rw 0 0
ramfs /ram ramfs rw 0 0
/dev/sda1 /run/disk ext4 rw 0 0
/dev/sdb /data ext4 rw 0 0
junk
"""


@pytest.mark.parametrize(("directory", "memory"), [
    ("/", False), ("/tmp", False), ("/run", True), ("/run/flagon", True), ("/run/disk/x", False), ("/dev/shm/flagon", True),
    ("/ram/x", True), ("/running", False), ("/data", False),
])  # fmt: skip
def test_in_memory(mounts, directory, memory):
    mounts(MOUNTS)
    assert places.in_memory(directory) is memory


@pytest.mark.parametrize(
    ("directory", "mounted"),
    [("/data", True), ("/data/", True), ("/data/x", False), ("/dat", False), ("/srv", False), ("/", True)],
)
def test_is_mount(mounts, directory, mounted):
    mounts(MOUNTS)
    assert places.is_mount(directory) is mounted


def test_of_two_mounts_on_one_point_the_last_counts(mounts):
    mounts("overlay / overlay rw 0 0\n/dev/sda /srv ext4 rw 0 0\ntmpfs /srv tmpfs rw 0 0\n")
    assert places.in_memory("/srv/x")


def test_without_a_mount_table(monkeypatch):
    def fail(*_, **__):
        raise OSError

    monkeypatch.setattr(places, "open", fail, raising=False)
    assert places.in_memory("/run") is False
    assert places.is_mount("/data") is False


def test_spool_lies_on_disk_where_there_is_one(tmp_path, monkeypatch):
    run, data = tmp_path / "run", tmp_path / "data"
    run.mkdir()
    data.mkdir()
    in_memory = {str(run), "/tmp", "/var/tmp"}
    monkeypatch.setattr(places, "in_memory", lambda directory: directory in in_memory)
    assert places.spool_directory(str(run), str(data)) == str(data / ".flagon-spool")
    in_memory.add(str(data))
    assert places.spool_directory(str(run), str(data)) == str(run / "spool")
    assert places.spool_directory(str(run), None) == str(run / "spool")
    in_memory.clear()
    assert places.spool_directory(str(run), str(data)) == str(run / "spool")
    assert (run / "spool").stat().st_mode & 0o777 == 0o700
