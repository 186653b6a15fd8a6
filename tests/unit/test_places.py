"""Where the box may write."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import contextlib
import io
import os
import subprocess
import tempfile
import time
from types import SimpleNamespace

import pytest
from fakes import view_of_os

from flagon import access, database, permissions, places, secrets_store


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


def test_the_wanted_directory_comes_first():
    """A folder of our own below it: it is emptied at each start. Its name is short: sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="f") as folder:
        wanted = folder + "/mine/run"
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
    assert (tmp_path / ("one" if usable else "two")).stat().st_mode & 0o7777 == 0o700


@pytest.fixture
def uid(monkeypatch):
    """A uid for this process, as far as the module asks."""

    def uid(number):
        view_of_os(monkeypatch, places, geteuid=lambda: number)

    return uid


def test_another_users_folder_is_refused_and_left_as_it_is(tmp_path, uid):
    """Group 0 or anybody may have made /tmp/flagon before us: the image's own folder is another user's for an arbitrary uid."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one").chmod(0o770)
    assert places.take(str(tmp_path / "one")) == ""
    (tmp_path / "one").chmod(0o770)
    uid(os.geteuid() + 1)
    assert places.take(str(tmp_path / "one")) == f"belongs to uid {os.stat(tmp_path).st_uid}"
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o770
    with pytest.raises(places.NoPlace) as caught:
        places.run_directory(str(tmp_path), fresh=False)
    assert str(tmp_path / "flagon") in str(caught.value)
    assert "belongs to uid" in str(caught.value)


@pytest.mark.parametrize("wanted", [False, True])
def test_only_a_box_of_the_same_user_s_is_asked(tmp_path, uid, monkeypatch, wanted):
    """What somebody else has put where a run directory may be is neither read nor connected to."""
    asked = str(tmp_path) if wanted else ""
    folder = tmp_path / ("flagon" if wanted else "two")
    assert places.nobody_serves(asked, "purge").startswith("no box serves here")
    folder.mkdir()
    (folder / "url").write_text("http://127.0.0.1:80")
    assert places.in_run_directories(asked, "url") == [str(folder / "url")]
    assert places.in_run_directories(asked, "events.sock") == []
    uid(os.geteuid() + 1)
    assert places.in_run_directories(asked, "url") == []
    said = places.nobody_serves(asked, "purge")
    assert f"{folder} is another user's" in said
    uid(os.geteuid())
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert places.in_run_directories(asked, "url") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for files of others")
def test_what_others_have_put_into_it_is_gone_whatever_its_name(tmp_path):
    """The folder was writable for a group: a planted app.db, lock or link is none of ours."""
    run, precious = tmp_path / "one", tmp_path / "precious"
    run.mkdir()
    run.chmod(0o770)
    precious.write_text("precious")
    for name in ("app.db", "lock", "gunicorn"):
        (run / name).write_text("theirs")
        os.chown(run / name, 4711, 0)
    (run / "app.db-wal").symlink_to(precious)
    (run / "fragments").mkdir()
    os.chown(run / "fragments", 4711, 0)
    assert places.run_directory(None) == str(run)
    assert [path.name for path in run.iterdir()] == ["lock"]
    assert (run / "lock").stat().st_uid == os.geteuid()
    assert precious.read_text() == "precious"


def test_a_folder_that_cannot_be_emptied_is_no_run_directory(tmp_path, monkeypatch):
    import shutil

    (tmp_path / "one" / "theirs").mkdir(parents=True)

    def rmtree(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    assert places.run_directory(None) == str(tmp_path / "two")


def test_a_name_too_long_for_sockets_is_refused(tmp_path):
    with pytest.raises(places.NoPlace, match="too long: 73 bytes"):
        places.run_directory("/tmp/" + "x" * 80)


@pytest.mark.parametrize(
    ("mode", "is_open"),
    [(0o755, False), (0o1777, False), (0o777, True), (0o775, True), (0o757, True), (0o1775, False), (0o700, False)],
)
def test_who_may_rename_the_run_directory(tmp_path, mode, is_open):
    tmp_path.chmod(mode)
    assert places.open_to_others(str(tmp_path)) is is_open
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("owner", "group", "mode", "then"),
    [
        (0, 0, 0o770, 0o700),
        (0, 0, 0o2775, 0o2705),
        (0, 0, 0o700, 0o700),
        (0, 5, 0o770, 0o770),
        (7, 0, 0o770, 0o770),
        (0, 0, 0o777, 0o707),
    ],
)
def test_the_owner_of_the_data_takes_group_0s_rights(tmp_path, uid, owner, group, mode, then):
    data = tmp_path / "data"
    data.mkdir()
    if os.geteuid() == 0:
        os.chown(data, owner, group)
    elif owner or group != data.stat().st_gid:
        pytest.skip("needs root")
    data.chmod(mode)
    uid(0 if os.geteuid() == 0 else os.geteuid())
    assert places.keep_group_0_out(str(data)) == []
    if data.stat().st_gid == group:
        assert data.stat().st_mode & 0o7777 == then


def test_data_that_is_not_there_or_a_link_is_left_alone(tmp_path):
    assert places.keep_group_0_out(str(tmp_path / "nowhere")) == []
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o770)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert places.keep_group_0_out(str(tmp_path / "link")) == []
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o770


def test_a_place_for_bodies_that_somebody_else_has_made_is_not_used(tmp_path, monkeypatch):
    run, other = tmp_path / "run", tmp_path / "other"
    run.mkdir()
    (other / "elsewhere").mkdir(parents=True)
    monkeypatch.setattr(places, "in_memory", lambda directory: directory == str(run))
    monkeypatch.setattr(places, "ELSEWHERE", (str(other),))
    (other / ".flagon-spool").symlink_to(other / "elsewhere")
    assert places.spool(str(run), ["/data"]).folder == str(run / "spool")
    (other / ".flagon-spool").unlink()
    assert places.spool(str(run), ["/data"]).folder == str(other / ".flagon-spool")
    assert (other / ".flagon-spool").stat().st_mode & 0o777 == 0o700


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
    # the spool may be large: a process of its own removes it
    deadline = time.monotonic() + 10
    while (run / places.DISCARDED).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert {path.name for path in run.iterdir()} == {"app.db", "app.db-wal", "app.db-shm", "lock"}


def test_what_is_discarded_is_out_of_the_way_at_once(tmp_path, monkeypatch):
    """Also what an earlier start was not given the time to remove; a link is removed, not what it leads to."""
    spawned = []
    monkeypatch.setattr(os, "posix_spawnp", lambda program, words, environ: spawned.append(words))
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "file").write_text("")
    for _ in range(2):
        (tmp_path / "cache").mkdir()
        places.discard(str(tmp_path / "cache"))
        assert not (tmp_path / "cache").exists()
    (tmp_path / "cache").symlink_to(tmp_path / "away")
    places.discard(str(tmp_path / "cache"))
    assert len(list((tmp_path / places.DISCARDED).iterdir())) == 3
    assert {words[-1] for words in spawned} == {str(tmp_path / places.DISCARDED)}
    monkeypatch.undo()
    subprocess.run(spawned[0], check=True)
    assert {path.name for path in tmp_path.iterdir()} == {"away"}
    assert (tmp_path / "away" / "file").exists()
    with pytest.raises(FileNotFoundError):
        places.discard(str(tmp_path / "nowhere"))


def test_an_empty_spool_needs_no_process(tmp_path, monkeypatch):
    spawned = []
    monkeypatch.setattr(os, "posix_spawnp", lambda program, words, environ: spawned.append(words))
    places.empty_spool(str(tmp_path))
    assert spawned == []
    for name in ("cache", "client_body"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("")
    places.empty_spool(str(tmp_path))
    places.empty_spool(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [places.DISCARDED]
    assert len(spawned) == 1


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


@pytest.fixture
def disks(tmp_path, monkeypatch):
    """What is memory, what is on which volume, and how much is free."""
    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.setattr(places, "in_memory", lambda directory: directory in disks.memory)
    monkeypatch.setattr(places, "on_one_volume", lambda directory, kept: (directory, kept) in disks.same)
    monkeypatch.setattr(
        places, "take", lambda directory: "is closed" if os.path.dirname(directory) in disks.closed else ""
    )
    monkeypatch.setattr(places, "_free", lambda directory: disks.free.get(directory, 100))

    class disks:
        memory, same, closed, free, run_directory = set(), set(), set(), {}, str(run)

    return disks


def test_the_spool_lies_on_disk_where_there_is_one(disks):
    run = disks.run_directory
    assert places.spool(run, ["/data"]) == places.Spool(run + "/spool", False, 100)
    disks.memory = {run}
    assert places.spool(run, ["/data"]) == places.Spool("/tmp/.flagon-spool", False, 100)
    disks.closed = {"/tmp"}
    assert places.spool(run, ["/data"]).folder == "/var/tmp/.flagon-spool"


def test_the_spool_never_lies_on_the_database_s_volume(disks):
    run = disks.run_directory
    disks.same = {(run, "/data"), ("/tmp", "/srv/db")}
    assert places.spool(run, ["/data", "/srv/db"]).folder == "/var/tmp/.flagon-spool"
    disks.closed = {"/var/tmp"}
    disks.memory = {"/dev/shm"}
    assert places.spool(run, ["/data", "/srv/db"]) == places.Spool("/dev/shm/.flagon-spool", True, 100)
    disks.closed.add("/dev/shm")
    with pytest.raises(places.NoPlace, match="mounted at /tmp"):
        places.spool(run, ["/data", "/srv/db"])


def test_of_memory_the_roomiest_is_taken(disks):
    run = disks.run_directory
    disks.memory = {run, "/tmp", "/var/tmp", "/dev/shm"}
    assert places.spool(run, ["/data"]) == places.Spool(run + "/spool", True, 100)
    disks.free = {"/tmp": 500, "/dev/shm": 900}
    assert places.spool(run, ["/data"]) == places.Spool("/tmp/.flagon-spool", True, 500)


def test_the_spool_is_emptied_at_the_start(tmp_path):
    left = tmp_path / "spool" / "client_body" / "0000000001"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x" * 100)
    places.empty_spool(str(tmp_path / "spool"))
    deadline = time.monotonic() + 10  # a process of its own removes it
    while list((tmp_path / "spool").iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list((tmp_path / "spool").iterdir()) == []


MOUNTINFO = """330 256 0:90 / / rw,relatime - overlay overlay rw
331 330 8:1 /volumes/one /data rw - ext4 /dev/sda1 rw
332 330 8:1 /volumes/two /other rw - ext4 /dev/sda1 rw
333 330 8:1 /volumes/one /tmp rw - ext4 /dev/sda1 rw
334 330 8:1 /volumes/one/sub /var/tmp rw - ext4 /dev/sda1 rw
335 330 8:17 / /disk rw - ext4 /dev/sdb1 rw
336 330 8:1 /volumes/one-more /more rw - ext4 /dev/sda1 rw
junk
"""


@pytest.mark.parametrize(("directory", "data", "same"), [
    ("/data/run", "/data", True), ("/data/run", "/data/deep/er", True), ("/tmp", "/data", True), ("/var/tmp", "/data", True),
    ("/data", "/var/tmp", True), ("/other", "/data", False), ("/more", "/data", False), ("/disk", "/data", False),
    ("/run", "/data", False), ("/run", "/srv", False), ("/disk/a", "/disk/b", True), ("/database", "/data", False),
])  # fmt: skip
def test_on_one_volume(monkeypatch, directory, data, same):
    monkeypatch.setattr(places, "open", lambda *_, **__: io.StringIO(MOUNTINFO), raising=False)
    assert places.on_one_volume(directory, data) is same


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("sqlite:////data/shop.db", "Run with -v flagon-data:/data"),
        ("sqlite:////srv/www/shop.db", "with DATABASE_URL=sqlite:////data/shop.db"),
        ("sqlite:////vol/shop.db", ""),
        ("sqlite:////vol/below/shop.db", ""),
        ("sqlite:///shop.db", ""),
        ("sqlite://", ""),
        ("sqlite:///file:/srv/shop.db?mode=ro&uri=true", ""),
        ("postgresql://h/d", ""),
    ],
)
def test_a_database_on_the_container_s_own_disk_is_said_to_end_with_it(mounts, url, named):
    mounts("overlay / overlay rw 0 0\n/dev/sda /vol ext4 rw 0 0\n")
    boot = SimpleNamespace(
        database=database.read(url, "/app"), values={"DATA_DIR": "/data"},
        settings=SimpleNamespace(sources={"DATABASE_URL": "environment"}),
    )  # fmt: skip
    said = access._ends_with_container(boot)
    assert [named in line for line in said] == ([True] if named else [])


def test_sqlite_files_of_others_in_the_data_directory_are_named_without_any_url(tmp_path, monkeypatch):
    """`docker exec NAME python ...` as root has made it, or a file beside it; the application knows its own path."""
    for name in ("app.db", "deep/x.sqlite3", "deep/x.sqlite3-wal", ".packages/y.db", "notes.txt", "own.db"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    denied = {str(tmp_path / name) for name in ("app.db", "deep/x.sqlite3-wal", ".packages/y.db", "notes.txt")}
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) not in denied)
    boot = SimpleNamespace(
        database=database.read("postgresql://h/d", "/app"), values={"DATA_DIR": str(tmp_path)}, directory="/app"
    )
    (line,) = access._database(boot)
    assert f"cannot write {tmp_path}/app.db (" in line
    assert f"{tmp_path}/deep/x.sqlite3-wal (" in line
    assert "/ready" not in line
    assert not any(name in line for name in ("y.db", "notes.txt", "own.db", "x.sqlite3 "))
    monkeypatch.setattr(access, "DATA_LOOKED_AT", 1)
    assert access._database(boot) == [], "a large volume is not walked at each start"


def test_folders_that_applications_write_to_are_named_with_the_ones_for_static_files(tmp_path, monkeypatch):
    """In an old image, where everything ran as root: media, whoever owns it, and not each folder of sources."""
    for name in ("shop/static", "shop/media/documents", "shop/views", "instance", "node_modules/static"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "shop" / "views" / "write.py").write_text("import os\nos.makedirs('media')\n")
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    old, database = SimpleNamespace(seen="UWSGI_INI"), SimpleNamespace(path="", kind="none")
    boot = SimpleNamespace(
        directory=str(tmp_path), settings=SimpleNamespace(old=old), database=database, values={"DATA_DIR": "/data"}
    )
    (said,) = access._folder(boot)
    named = ", ".join([str(tmp_path), *(f"{tmp_path}/{name}" for name in ("instance", "shop/media", "shop/static"))])
    assert f"cannot write {named}. " in said
    assert f"RUN chown -R {os.geteuid()} {tmp_path}" in said, "that folder and the uid in force, not nginx and /app"
    old.seen = ""
    assert access._folder(boot) == []


@pytest.mark.parametrize(("mode", "owner", "group", "uid", "groups", "said"), [
    (0o770, 10001, 0, 999, {999}, "RUN chown 999 {}, or start the container with --user 999:0"), (0o770, 10001, 0, 999, {999, 0}, ""), (0o770, 10001, 0, 10001, {5}, ""),
    (0o755, 0, 0, 999, {999}, "RUN chown 999 {}"), (0o755, 0, 0, 999, {0}, "RUN chown 999 {}"), (0o777, 0, 5, 999, {999}, ""), (0o700, 7, 0, 8, {0}, "RUN chown 8 {}"), (0o770, 10001, 0, 0, {0}, ""),
])  # fmt: skip
def test_a_volume_takes_the_image_s_owner_so_a_user_line_wants_a_chown_first(
    tmp_path, monkeypatch, mode, owner, group, uid, groups, said
):
    real = os.stat(tmp_path)
    status = SimpleNamespace(st_mode=real.st_mode & ~0o777 | mode, st_uid=owner, st_gid=group)
    view_of_os(
        monkeypatch, places,
        stat=lambda path: status, geteuid=lambda: uid, getegid=lambda: max(groups), getgroups=lambda: list(groups),
    )  # fmt: skip
    monkeypatch.setattr(places, "mount_points", lambda: ["/"])
    told = places.needs(str(tmp_path))
    assert told.endswith(said.format(tmp_path)) if said else told == ""
    assert ("--user" in told) is ("--user" in said)
    assert secrets_store.load_or_make(None, wanted=str(tmp_path))[2].endswith(f"volume at {tmp_path}{told}")
    monkeypatch.setattr(places, "mount_points", lambda: [str(tmp_path)])
    assert places.needs(str(tmp_path)) == "", "a volume is there: closed_mount speaks of it"


@pytest.mark.parametrize(("closed", "line"), [
    ({"site.db", "."}, "cannot write {0}/site.db, {0}: SQLite writes into the file and its folder. In the Dockerfile, each on a line of its own: `USER 0`, `RUN chown {1} {0}/site.db {0}`, `USER {1}:"),
    ({"."}, "cannot write {0}: SQLite writes into the file and its folder. In the Dockerfile, each on a line of its own: `USER 0`, `RUN chown {1} {0}`, `USER {1}:"),
    ({"deep/x.sqlite3-wal"}, "RUN chown {1} {0}/deep/x.sqlite3-wal"), ({"own.db"}, ""), (set(), ""),
])  # fmt: skip
def test_a_sqlite_file_in_the_application_s_folder_wants_its_folder_too(tmp_path, monkeypatch, closed, line):
    """To give the file alone to the user ended the warning, and each write failed as before."""
    for name in ("site.db", "deep/x.sqlite3", "deep/x.sqlite3-wal", "own.db", "app.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    denied = {os.path.normpath(tmp_path / name) for name in closed}
    monkeypatch.setattr(os, "access", lambda path, mode: not (str(path) in denied and mode & os.W_OK))
    monkeypatch.setattr(places, "mount_points", lambda: ["/"])
    boot = SimpleNamespace(
        settings=SimpleNamespace(old=SimpleNamespace(seen="")), directory=str(tmp_path), values={"DATA_DIR": "/data"},
        database=SimpleNamespace(path=str(tmp_path / "own.db")),
    )  # fmt: skip
    said = access._folder(boot)
    assert len(said) == bool(line)
    assert not line or (line.format(tmp_path, os.geteuid()) in said[0] and "keep the file in /data" in said[0])


@pytest.mark.parametrize(
    ("root", "point", "anonymous"),
    [
        ("/var/lib/docker/volumes/" + "0f" * 32 + "/_data", "/x", True),
        ("/home/u/.local/share/containers/storage/volumes/" + "a" * 64 + "/_data", "/x", True),
        ("/var/lib/docker/volumes/named/_data", "/x", False),
        ("/home/" + "a" * 64, "/x", False),
        ("/var/lib/docker/volumes/" + "0f" * 32 + "/_data", "/x/y", False),
    ],
)
def test_a_volume_of_a_dockerfile_s_own_is_told_how_to_get_its_owner(tmp_path, monkeypatch, root, point, anonymous):
    """Nobody can give it to a user afterwards: with the next container there is another one."""
    table = tmp_path / "mountinfo"
    table.write_text(
        f"162 1 0:5 / / rw - overlay overlay rw\n179 162 254:0 {root} {point} rw master:1 - ext4 /dev/vda rw\n"
    )
    assert places.is_anonymous("/x", str(table)) is anonymous
    assert not places.is_anonymous("/x", str(tmp_path / "none"))
    monkeypatch.setattr(places, "is_anonymous", lambda mount: anonymous)
    monkeypatch.setattr(places, "mount_of", lambda path: "/x")
    line = permissions.of_one(str(tmp_path), 10001)
    assert ("before its VOLUME line and before a USER line: RUN mkdir -p /x && chown -R 10001 /x" in line) is anonymous


@pytest.mark.parametrize(("was_root", "said"), [
    (True, "In the Dockerfile, before a USER line: RUN chown 10001 {0}/a.txt"), (False, "In the Dockerfile, each on a line of its own: `USER 0`, `RUN chown 10001 {0}/a.txt`, `USER 10001:{1}`"),
])  # fmt: skip
def test_the_advised_line_works_where_the_image_has_a_user(tmp_path, monkeypatch, was_root, said):
    """`FROM flagon` ends with USER 10001:0: a bare RUN chown would be refused there."""
    from flagon import permissions

    monkeypatch.setattr(places, "mount_points", lambda: ["/"])
    (tmp_path / "a.txt").touch()
    told = permissions.of_one(str(tmp_path / "a.txt"), 10001, was_root=was_root)
    assert told.endswith(said.format(tmp_path, os.getegid()))
    assert permissions.of_several([str(tmp_path / "a.txt")], 10001, was_root).startswith(
        said.format(tmp_path, os.getegid()).replace("chown", "chown -R")
    )
    monkeypatch.setattr(places, "mount_points", lambda: ["/", str(tmp_path)])
    assert f"--entrypoint chown -v VOLUME:{tmp_path} IMAGE -R 10001 {tmp_path}" in permissions.of_one(
        str(tmp_path / "a.txt"), 10001, was_root=was_root
    )
