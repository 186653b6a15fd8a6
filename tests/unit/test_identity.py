"""Who the box becomes. The system calls are recorded, not made."""

import errno
import os

import pytest
from fakes import view_of_os

from flagon import identity, kinds, places, root_secrets, settings
from flagon.table import SETTINGS

OTHER = 54321


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """What is called; in a working directory of its own, where the run directory is not the machine's."""
    found = []
    view_of_os(monkeypatch, identity, geteuid=lambda: 0)
    for name in ("setgroups", "setgid", "setuid", "setegid", "seteuid", "fchown"):
        view_of_os(monkeypatch, identity, **{name: lambda *arguments, name=name: found.append((name, *arguments))})
    monkeypatch.setattr(identity, "_shares_terminal", lambda: False)  # pytest's own
    monkeypatch.setattr(identity, "RUN", str(tmp_path / "no-run"))
    monkeypatch.setattr(identity, "DATA", str(tmp_path / "no-data"))
    monkeypatch.setattr(identity, "lines", [])
    monkeypatch.setattr(identity, "was_root", False)
    monkeypatch.setattr(root_secrets, "kept", {})
    monkeypatch.setattr(root_secrets, "refused", {})
    monkeypatch.chdir(tmp_path)
    return found


def drops(uid, gid):
    return [("setgroups", []), ("setgid", gid), ("setuid", uid)]


@pytest.mark.parametrize(
    ("environ", "uid", "gid"),
    [
        ({}, 10001, 0), ({"RUN_AS": ""}, 10001, 0), ({"RUN_AS": "1000"}, 1000, 1000), ({"RUN_AS": "1000:50"}, 1000, 50),
        ({"RUN_AS": ' "1000:50" '}, 1000, 50), ({"RUN_AS": "1000", "FLAGON_RUN_AS": "2000"}, 2000, 2000),
        # not accepted: settings.py says so later, and nobody stays root meanwhile
        ({"RUN_AS": "nobody"}, 10001, 0), ({"FLAGON_RUN_AS": "Root"}, 10001, 0), ({"RUN_AS": "root "}, None, None),
        ({"RUN_AS": "1:2:3"}, 10001, 0), ({"RUN_AS": "\u0661"}, 10001, 0), ({"RUN_AS": "-1"}, 10001, 0),
    ],
)  # fmt: skip
def test_root_becomes_somebody_in_the_only_right_order(calls, environ, uid, gid):
    identity.become(environ)
    assert calls == ([] if uid is None else drops(uid, gid))
    assert identity.was_root


@pytest.mark.parametrize("run_as", ["root", "0", "0:0", "0:5"])
def test_staying_root_is_said_loudly(calls, run_as):
    identity.become({"RUN_AS": run_as})
    (line,) = identity.lines
    assert "RUNNING AS ROOT" in line
    assert calls == []


@pytest.mark.parametrize("text", ["owner", "root", "1", "1:2", "nobody", "1:", ":1", "-1", "1:2:3", "", "1" * 10, "١"])
def test_what_is_accepted_is_the_setting_s_own(text):
    row = SETTINGS["RUN_AS"]
    if identity.is_run_as(text):
        assert kinds.run_as(text, row) == text
    else:
        with pytest.raises(ValueError, match="uid:gid"):
            kinds.run_as(text, row)


def test_owner(calls, monkeypatch):
    class Status:
        st_uid, st_gid, st_mode = 1234, 56, 0o775

    view_of_os(monkeypatch, identity, stat=lambda path: Status if path == "." else os.stat(path))
    identity.become({"RUN_AS": "owner"})
    assert calls == drops(1234, 56)
    assert identity.lines == []


def test_owner_never_means_root(calls, monkeypatch):
    """The application may have removed a working directory below its own; the engine makes it anew, as root's."""

    class Status:
        st_uid, st_gid, st_mode = 0, 0, 0o755

    view_of_os(monkeypatch, identity, stat=lambda path: Status)
    identity.become({"RUN_AS": "owner"})
    assert calls == drops(10001, 0)
    (line,) = identity.lines
    assert "RUN_AS=owner" in line
    assert "RUN_AS=root if root is meant" in line


def test_not_root(calls, monkeypatch):
    view_of_os(monkeypatch, identity, geteuid=lambda: 1000)
    identity.become({"RUN_AS": "2000"})
    assert (calls, identity.lines, identity.was_root) == ([], [], False)


@pytest.mark.parametrize("failing", ["setgroups", "setgid", "setuid"])
@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL])
def test_without_the_capabilities(calls, monkeypatch, failing, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    view_of_os(monkeypatch, identity, **{failing: refuse})
    identity.become({})
    (line,) = identity.lines
    assert "RUNNING AS ROOT" in line
    assert os.strerror(number) in line
    with pytest.raises(identity.CannotDrop, match="RUN_AS=1000"):
        identity.become({"RUN_AS": "1000"})


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_what_the_application_may_have_brought_about_does_not_leave_root(calls, monkeypatch, number):
    """Processes and memory that it has used up: setuid() may fail for want of them."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    view_of_os(monkeypatch, identity, setuid=refuse)
    with pytest.raises(identity.CannotDrop, match="10001"):
        identity.become({})


# -- a data directory


@pytest.fixture
def data(calls, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setattr(places, "mount_points", lambda: [str(folder), str(tmp_path / "link")])
    return folder


@pytest.mark.parametrize(
    ("content", "handed"), [([], True), (["file"], False), (["lost+found"], True), (["lost+found", "app.db"], False)]
)
def test_an_empty_data_directory_is_handed_over(calls, data, content, handed):
    """A fresh ext4 volume belongs to root and holds lost+found."""
    for name in content:
        (data / name).mkdir()
    identity.become({"RUN_AS": f"{OTHER}:7", "DATA_DIR": f"{data}/"})
    assert calls[-3:] == drops(OTHER, 7)
    assert [call[0] for call in calls[:-3]] == (["fchown"] if handed else [])
    if handed:
        assert calls[0][2:] == (OTHER, 7)


@pytest.mark.parametrize("kind", ["no mount", "link", "link on the way", "not there", "a file", "dots", "of the user"])
def test_what_the_application_may_have_put_there_is_not(calls, data, tmp_path, monkeypatch, kind):
    """It replaces what is its own: a folder in a volume by a link to one of root's."""
    wanted, uid = str(data), OTHER
    if kind == "no mount":
        monkeypatch.setattr(places, "mount_points", lambda: ["/"])
    elif kind == "link":
        (tmp_path / "link").symlink_to(data)
        wanted = str(tmp_path / "link")
    elif kind == "link on the way":
        (tmp_path / "way").symlink_to(tmp_path)
        wanted = str(tmp_path / "way" / "data")
        monkeypatch.setattr(places, "mount_points", lambda: [wanted, str(data)])
    elif kind == "not there":
        data.rmdir()
    elif kind == "a file":
        data.rmdir()
        data.write_text("")
    elif kind == "dots":
        wanted = f"{data}/../data"
    else:
        uid = os.geteuid() or OTHER
        os.chown(data, uid, -1)
    identity.become({"RUN_AS": str(uid), "DATA_DIR": wanted})
    assert calls == drops(uid, uid)


def test_nothing_is_handed_to_root(calls, data):
    identity.become({"RUN_AS": "root", "DATA_DIR": str(data)})
    assert calls == []


# -- RUN_AS in a file


@pytest.mark.parametrize(
    ("was_root", "source", "run_as", "words"),
    [
        (True, "RUN_AS", "1000", ""), (True, "FLAGON_RUN_AS", "root", ""), (True, "default", None, ""),
        (True, "RUN_AS in .env", "root", "RUN_AS in .env (root) is ignored"),
        (True, "uid in uwsgi.ini", "0", "uid in uwsgi.ini (0) is ignored"),
        (True, "uid in uwsgi.ini", "10001", ""),  # nginx's name in this image
        (False, "RUN_AS in .env", "1000", "RUN_AS in .env (1000) is ignored"),
        (False, "RUN_AS", "1000", "RUN_AS has no effect"), (False, "RUN_AS", "owner", ""),
        (False, "RUN_AS", "root", "RUN_AS has no effect"), (False, "RUN_AS", "10001:7", "RUN_AS has no effect"),
        # at the end of a boot script: the first `flagon` has dropped root
        (False, "gid in uwsgi.ini", "10001:999", ""), (False, "RUN_AS", "10001:0", ""),
        (False, "FLAGON_RUN_AS", "10001:0", ""),
        (False, "gid in uwsgi.ini", "33:33", "gid in uwsgi.ini (33:33) is ignored"),
        (False, "default", None, ""),
    ],
)  # fmt: skip
def test_a_file_does_not_decide(monkeypatch, was_root, source, run_as, words):
    monkeypatch.setattr(identity, "was_root", was_root)
    view_of_os(monkeypatch, identity, geteuid=lambda: 10001, getegid=lambda: 0, stat=lambda _: os.stat("/etc/passwd"))
    line = identity.remark(run_as, source)
    assert words in line
    assert bool(line) is bool(words)
    if "is ignored" in words:
        assert f"docker run -e RUN_AS={run_as}" in line


# -- secrets that only root can read


def test_every_secret_of_the_table_has_its_name_here():
    rows = {name for name, row in SETTINGS.items() if row.secret}
    rows |= {other for name in rows for other in settings.ALIASES.get(name, ())}
    assert set(root_secrets.NAMES) == rows


@pytest.fixture
def secret(calls, tmp_path, monkeypatch):
    """A file in a folder of root's; what lies above pytest's own folder, everybody's /tmp, is not looked at."""
    above, real = {"/", *map(str, tmp_path.parents)}, root_secrets._look

    def look(directory, *who):
        if os.readlink(f"/proc/self/fd/{directory}") not in above:
            real(directory, *who)

    monkeypatch.setattr(root_secrets, "_look", look)
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    file = folder / "key"
    file.write_text("of root alone\n")
    file.chmod(0o600)
    return file


def keep(path, uid=OTHER, gid=OTHER, name="SECRET_KEY_FILE"):
    """What root reads of `path`; None where it does not."""
    root_secrets.kept.clear()
    root_secrets.refused.clear()
    root_secrets.keep({name: path}, uid, gid)
    assert not (path in root_secrets.kept and path in root_secrets.refused)
    return root_secrets.kept.get(path)


def give(path, uid=-1, gid=-1):
    if os.geteuid():
        pytest.skip("only root gives files away")
    os.chown(path, uid, gid, follow_symlinks=False)


@pytest.mark.parametrize("name", ["SECRET_KEY_FILE", "FLAGON_DATABASE_URL_FILE", "DIRECT_URL_FILE"])
def test_root_reads_what_only_root_could_have_written(secret, name):
    assert keep(str(secret), name=name) == "of root alone\n"
    (secret.parent / "link").symlink_to("../secrets/./key")
    assert keep(f"{secret.parent}/link", name=name) == "of root alone\n"


@pytest.mark.parametrize(
    "kind",
    [
        "folder of the user", "folder of everybody", "folder of the group", "folder above", "sticky folder",
        "file of the user", "link of the user", "link into a folder of the user", "relative", "circle", "fifo",
        "folder", "too long", "not text", "device", "no secret",
    ],
)  # fmt: skip
def test_root_does_not_read_where_the_user_had_a_hand(secret, tmp_path, monkeypatch, kind):
    folder, path, name = secret.parent, str(secret), "SECRET_KEY_FILE"
    if kind == "folder of the user":
        give(folder, OTHER)
    elif kind == "folder of everybody":
        folder.chmod(0o777)
    elif kind == "folder of the group":
        give(folder, gid=OTHER)
        folder.chmod(0o775)
    elif kind == "folder above":
        tmp_path.chmod(0o757)
    elif kind == "sticky folder":
        folder.chmod(0o1777)
    elif kind == "file of the user":
        give(secret, OTHER)
    elif kind == "link of the user":
        (folder / "link").symlink_to(secret)
        give(folder / "link", OTHER)
        path = f"{folder}/link"
    elif kind == "link into a folder of the user":
        other = tmp_path / "theirs"
        other.mkdir()
        (other / "onward").symlink_to(secret)
        give(other, OTHER)
        (folder / "link").symlink_to(other / "onward")
        path = f"{folder}/link"
    elif kind == "relative":
        monkeypatch.chdir(folder)
        path = "key"
    elif kind == "circle":
        (folder / "a").symlink_to("b")
        (folder / "b").symlink_to("a")
        path = f"{folder}/a"
    elif kind == "fifo":
        os.mkfifo(folder / "pipe")
        path = f"{folder}/pipe"
    elif kind == "folder":
        path = str(folder)
    elif kind == "too long":
        secret.write_bytes(b"x" * (root_secrets.LONGEST + 1))
    elif kind == "not text":
        secret.write_bytes(b"\xff\xfe")
    elif kind == "device":
        path = "/dev/zero"
    else:
        name = "OTHER_FILE"
    assert keep(path, name=name) is None


def test_a_group_of_others_may_write_to_the_folder(secret):
    give(secret.parent, gid=4321)
    secret.parent.chmod(0o775)
    assert keep(str(secret)) == "of root alone\n"
    assert keep(str(secret), gid=4321) is None


def test_what_root_has_read_counts_for_the_environment_alone(monkeypatch, tmp_path):
    (tmp_path / "unreadable").mkdir()
    path = str(tmp_path / "unreadable")
    monkeypatch.setattr(root_secrets, "kept", {path: "sqlite:////data/of-root.db\n"})
    found = settings.resolve({"DATABASE_URL_FILE": path}, str(tmp_path))
    assert found["DATABASE_URL"] == "sqlite:////data/of-root.db"
    (tmp_path / ".env").write_text(f"DATABASE_URL_FILE={path}\n")
    with pytest.raises(settings.SettingsError, match="DATABASE_URL_FILE: cannot read"):
        settings.resolve({}, str(tmp_path))


def test_why_root_has_not_read_it_is_said(monkeypatch, tmp_path):
    path = str(tmp_path)
    monkeypatch.setattr(root_secrets, "refused", {path: "/app can be written by uid 10001, gid 0"})
    with pytest.raises(settings.SettingsError, match="not read as root, because /app can be written by uid 10001"):
        settings.resolve({"SECRET_KEY_FILE": path}, str(tmp_path))


def test_an_owner_is_nobody_whose_folder_everybody_may_write(monkeypatch):
    """A working directory below a folder of the application's may have become a link to it."""

    class Status:
        st_uid, st_gid, st_mode = 2000, 2000, 0o777

    view_of_os(monkeypatch, identity, stat=lambda path: Status)
    assert identity.wanted("owner", ".") == (identity.USER, identity.GROUP)
