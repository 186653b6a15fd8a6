"""What all requests together may take: sums that hold for every size of box, and patterns that tell lengths apart."""

import errno
import os
import re

import pytest

from flagon import cli, room

MB, GB = 1 << 20, 1 << 30
BOXES = [
    (memory, in_memory, free)
    for memory in (64, 128, 256, 512, 1024, 4096, 65536)
    for in_memory in (True, False)
    for free in (0, MB, 4 * MB, 64 * MB, 20 * GB, 500 * GB)
]


def made(memory, in_memory, free, concurrent=40):
    return room.of(room.Spool("/spool", in_memory, free), memory, concurrent)


@pytest.mark.parametrize(("memory", "in_memory", "free"), BOXES)
@pytest.mark.parametrize("wanted", [0, 1000, 200_000, MB, 32 * MB, 10 * GB])
def test_all_bodies_together_fit(memory, in_memory, free, wanted):
    found = made(memory, in_memory, free)
    largest = min(wanted or found.largest_body, found.largest_body)
    every = room.classes(found, largest)
    assert every[-1].size == max(largest, room.IN_MEMORY)
    assert [one.size for one in every] == sorted({one.size for one in every})  # each has a zone of its name
    spooled = sum(one.size * one.slots for one in every[1:])
    # The least of each class is one, which a spool of a few MB is over by less than the largest body.
    assert spooled <= found.bodies + largest + 500_000
    assert every[0].slots * every[0].size <= max(found.small_bodies, room.IN_MEMORY)
    if in_memory and memory >= 256 and free > GB:
        assert spooled <= memory * MB // 4
    if not in_memory and free > GB:
        assert spooled + found.response * found.requests <= free


@pytest.mark.parametrize(("memory", "in_memory", "free"), BOXES)
def test_all_responses_together_fit(memory, in_memory, free):
    found = made(memory, in_memory, free)
    assert found.requests * (found.buffers * room.BUFFER + room.REQUEST_BUFFERS) <= max(
        memory * MB // 2, 80 * 113 << 10
    )
    assert found.response == 64 << 10 or found.requests * found.response <= found.responses
    assert 80 <= found.requests <= 65535
    assert 4 <= found.buffers <= 16


@pytest.mark.parametrize("memory", [64, 128, 256, 512, 1024, 4096, 65536, 10**7])
def test_all_static_texts_together_fit(memory):
    found = made(memory, False, GB)
    assert found.texts * room.TEXT <= memory * MB // 16 + room.TEXT
    assert 13 <= found.texts <= 65535
    assert room.texts(found) == [
        f"limit_conn flagon_texts {found.texts};",
        f"limit_conn flagon_texts_of_a_client {found.texts * 3 // 4};",
    ]


def test_threads_and_backlog_are_never_refused():
    assert made(256, True, GB, 3000).requests == 6000
    assert made(256, True, GB, 10**6).requests == 65535


def matching(length, found, largest):
    """The classes whose pattern takes this Content-Length, as nginx's map would look; the last if none does."""
    every = room.classes(found, largest)
    if re.search("^0*1?[0-9]{1,4}$", length):
        return None
    hits = [one for one in every if one.lengths and re.search(f"^0*{one.lengths}$", length)]
    assert len(hits) < 2
    return (hits or every[-1:])[0]


@pytest.mark.parametrize("largest", [MB, 5 * MB, 32 * MB, 700 * MB, 10 * GB])
def test_a_length_is_counted_as_no_less(largest):
    found = made(65536, False, 500 * GB)
    for exponent in range(11):
        for length in (
            10**exponent,
            2 * 10**exponent,
            3 * 10**exponent - 1,
            3 * 10**exponent,
            10 ** (exponent + 1) - 1,
        ):
            if length > largest:
                continue
            for text in (str(length), "0" * 30 + str(length)):
                one = matching(text, found, largest)
                assert (one is None and length < room.UNCOUNTED) or one.size >= length, (length, one)


@pytest.mark.parametrize("length", ["9" * 400, "-1", "0x10", "1e9", "12 ", "+5", "99999999999999999999"])
def test_an_absurd_length_is_the_largest(length):
    found = made(256, True, GB)
    assert matching(length, found, 32 * MB) == room.classes(found, 32 * MB)[-1]


@pytest.mark.parametrize(("slots", "of_one"), [(1, 1), (2, 1), (3, 2), (4, 3), (100, 75)])
def test_one_client_leaves_a_place(slots, of_one):
    assert room.of_one_client(slots) == of_one


@pytest.mark.parametrize(("memory", "in_memory", "free", "given", "words"), [
    (256, True, 12 * GB, 32 * MB, ["MEMORY, /spool", "64 MB, one 32 MB.", "more memory"]),
    (256, True, 12 * GB, 0, ["64 MB, one 32 MB, although MAX_BODY_SIZE=0"]),
    (128, True, 12 * GB, 32 * MB, ["32 MB, one 16 MB, although MAX_BODY_SIZE=32 MB", "more memory"]),
    (512, True, 40 * MB, 32 * MB, ["20 MB, one 10 MB, although", "--tmpfs /tmp:size=80m"]),
    (512, False, 40 * MB, 32 * MB, ["spooled in /spool", "10 MB, one 5 MB, although MAX_BODY_SIZE=32 MB", "free some"]),
    (512, False, 4 * GB, 0, ["one 512 MB, although MAX_BODY_SIZE=0"]),
])  # fmt: skip
def test_the_boot_line(memory, in_memory, free, given, words):
    spool = room.Spool("/spool", in_memory, free)
    line = room.explained(spool, room.of(spool, memory, 40), given)
    assert [word for word in words if word not in line] == []


@pytest.mark.parametrize("given", [32 * MB, 1 * GB, 0])
def test_a_disk_with_room_needs_no_line(given):
    spool = room.Spool("/spool", False, 100 * GB)
    assert room.explained(spool, room.of(spool, 512, 40), given) == ""
    assert room.users_own(spool, "/app/nginx.conf") == ""


@pytest.mark.parametrize("verb", [["check"], ["serve"], ["config"], ["bash"]])
@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_file_system_is_one_message(verb, kind, monkeypatch, tmp_path, capsys):
    """Wherever a verb writes: what fails in a write has no file's name."""

    def full(*_, **__):
        raise OSError(kind, os.strerror(kind))

    monkeypatch.setattr(cli, "Boot", full)
    monkeypatch.setattr("flagon.check.Boot", full)
    monkeypatch.setattr("flagon.show.run", full)
    monkeypatch.setattr("flagon.cli.serve", full)
    monkeypatch.setenv("RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert cli.main(verb) == 78
    said = capsys.readouterr().err
    assert said.count("\n") == 2
    assert os.strerror(kind) in said
    assert "make room" in said


def test_a_full_file_system_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("RUNTIME_DIR", str(tmp_path))
    view = type("Full", (), {"f_bavail": 0, "f_files": 9, "f_favail": 5})
    monkeypatch.setattr(os, "statvfs", lambda _: view)
    assert str(tmp_path) in cli.no_room(OSError(errno.ENOSPC, "No space left on device"))
    assert "/run/check-1" in cli.no_room(OSError(errno.ENOSPC, "No space left on device", "/run/check-1"))


def test_another_error_stays_one(monkeypatch, tmp_path):
    def broken(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("flagon.show.run", broken)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match="Input/output"):
        cli.main(["config"])
