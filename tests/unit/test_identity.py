"""Who the box becomes. The system calls are recorded, not made."""

import os

import pytest
from fakes import view_of_os

from flagon import identity


@pytest.fixture
def calls(monkeypatch):
    found = []
    view_of_os(monkeypatch, identity, geteuid=lambda: 0)
    for name in ("setgroups", "setgid", "setuid", "chown"):
        view_of_os(monkeypatch, identity, **{name: lambda *arguments, name=name: found.append((name, *arguments))})
    return found


def dropped(calls):
    return [call for call in calls if call[0] != "chown"]


@pytest.mark.parametrize(
    ("run_as", "uid", "gid"), [(None, 10001, 0), ("", 10001, 0), ("1000", 1000, 1000), ("1000:50", 1000, 50)]
)
def test_root_becomes_somebody_in_the_only_right_order(calls, tmp_path, run_as, uid, gid):
    assert identity.drop(run_as, str(tmp_path), str(tmp_path / "none")) == []
    assert dropped(calls) == [("setgroups", []), ("setgid", gid), ("setuid", uid)]


@pytest.mark.parametrize("run_as", ["root", "0", "0:0"])
def test_staying_root_is_said_loudly(calls, tmp_path, run_as):
    (line,) = identity.drop(run_as, str(tmp_path), "/nowhere")
    assert "ROOT" in line


def test_owner(calls, tmp_path, monkeypatch):
    real = os.stat

    class Status:
        st_uid, st_gid = 1234, 56

    view_of_os(monkeypatch, identity, stat=lambda path: Status if path == "/application" else real(path))
    assert identity.drop("owner", "/application", "/nowhere") == []
    assert dropped(calls)[1:] == [("setgid", 56), ("setuid", 1234)]
    Status.st_uid = 0
    calls.clear()
    assert "ROOT" in identity.drop("owner", "/application", "/nowhere")[0]
    assert calls == []


def test_not_root(monkeypatch):
    view_of_os(monkeypatch, identity, geteuid=lambda: 1000)
    assert identity.drop(None, "/app", "/data") == []
    (line,) = identity.drop("2000", "/app", "/data")
    assert "RUN_AS has no effect" in line


@pytest.mark.parametrize("failing", ["setgroups", "setgid", "setuid"])
def test_without_the_capabilities(calls, tmp_path, monkeypatch, failing):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    view_of_os(monkeypatch, identity, **{failing: refuse})
    (line,) = identity.drop(None, str(tmp_path), "/nowhere")
    assert "RUNNING AS ROOT" in line
    assert "Operation not permitted" in line
    with pytest.raises(identity.CannotDrop, match="RUN_AS=1000"):
        identity.drop("1000", str(tmp_path), "/nowhere")


@pytest.mark.parametrize(
    ("content", "handed"), [([], True), (["file"], False), (["lost+found"], True), (["lost+found", "app.db"], False)]
)
def test_an_empty_data_directory_is_handed_over(calls, tmp_path, content, handed):
    """A fresh ext4 volume belongs to root and holds lost+found."""
    data = tmp_path / "data"
    data.mkdir()
    for name in content:
        (data / name).mkdir()
    identity.drop("54321:7", str(tmp_path), str(data))
    assert ("chown" in [call[0] for call in calls]) is handed
    if handed:
        assert ("chown", str(data), 54321, 7) in calls
        assert calls.index(("chown", str(data), 54321, 7)) < calls.index(("setuid", 54321))


def test_a_directory_of_the_new_user_is_left_alone(calls, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    identity.drop(f"{os.stat(data).st_uid or 54321}", str(tmp_path), str(tmp_path / "absent"))
    assert not [call for call in calls if call[0] == "chown" and call[1] == str(data)]
