"""SECRET_KEY: made once, read ever after, never replaced."""

import os
import stat
import threading

import pytest
from fakes import view_of_os

from flagon import secrets_store
from flagon.kinds import secret_key
from flagon.table import SETTINGS


def test_made_once_and_kept(tmp_path):
    first, source, warning = secrets_store.load_or_make(str(tmp_path))
    assert source == str(tmp_path / "secret_key")
    assert warning is None
    assert secret_key(first, SETTINGS["SECRET_KEY"]) == first
    assert len(first) >= 43
    assert secrets_store.load_or_make(str(tmp_path))[0] == first
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_only_its_user_reads_it(tmp_path, mask):
    before = os.umask(mask)
    try:
        secrets_store.load_or_make(str(tmp_path))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_without_a_place_it_is_random_and_said(tmp_path):
    first, source, warning = secrets_store.load_or_make(None)
    assert first != secrets_store.load_or_make(None)[0]
    assert "random" in source
    assert "SECRET_KEY" in warning
    assert "/data" in warning


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n", b"\xff\xfe\n"])
def test_an_empty_or_unreadable_one_is_refused_and_stays(tmp_path, content):
    path = tmp_path / "secret_key"
    path.write_bytes(content)
    with pytest.raises(secrets_store.Unreadable) as caught:
        secrets_store.load_or_make(str(tmp_path))
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_one_that_cannot_be_opened_is_refused(tmp_path):
    (tmp_path / "secret_key").mkdir()
    with pytest.raises(secrets_store.Unreadable, match="cannot be read"):
        secrets_store.load_or_make(str(tmp_path))


def test_the_key_is_never_in_a_message(tmp_path):
    (tmp_path / "secret_key").write_bytes(b"hunter2-\xff\n")
    with pytest.raises(secrets_store.Unreadable) as caught:
        secrets_store.load_or_make(str(tmp_path))
    assert "hunter2" not in str(caught.value)


def test_a_key_in_a_read_only_directory_is_read(tmp_path, monkeypatch):
    (tmp_path / "secret_key").write_text("of an earlier start\n")
    view_of_os(monkeypatch, secrets_store, open=None)
    assert secrets_store.load_or_make(str(tmp_path))[0] == "of an earlier start"


def test_concurrent_makers_agree(tmp_path):
    barrier = threading.Barrier(8, timeout=10)
    found = []

    def make():
        barrier.wait()
        found.append(secrets_store.load_or_make(str(tmp_path))[0])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


@pytest.mark.parametrize("links", [True, False])
def test_of_two_makers_the_first_wins(tmp_path, monkeypatch, links):
    """Another replica finishes between our look and our write; some network file systems have no hard links."""
    real = os.link

    def link(source, target):
        (tmp_path / "secret_key").write_text("the key of the other replica\n")
        if not links:
            raise PermissionError(1, "Operation not permitted")
        real(source, target)

    view_of_os(monkeypatch, secrets_store, link=link)
    assert secrets_store.load_or_make(str(tmp_path))[0] == "the key of the other replica"
    assert (tmp_path / "secret_key").read_text() == "the key of the other replica\n"


def test_without_hard_links_a_key_is_made_all_the_same(tmp_path, monkeypatch):
    def link(source, target):
        raise PermissionError(1, "Operation not permitted")

    view_of_os(monkeypatch, secrets_store, link=link)
    key = secrets_store.load_or_make(str(tmp_path))[0]
    assert secrets_store.load_or_make(str(tmp_path))[0] == key
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
