"""Which shared libraries a package needs, by its own word, and which of them nobody has."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import os
import struct

import pytest

from flagon import shared_libraries
from flagon.inside import packages


def elf(*names, order="<", **changed):
    """A shared library that needs these, and nothing else in it."""
    table = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    starts = [table.index(b"\0" + name.encode() + b"\0") + 1 for name in names]
    tags = [*((1, start) for start in starts), (5, 0x1000 + 64 + 112), (10, len(table)), (0, 0)]
    dynamic = b"".join(struct.pack(order + "qQ", *tag) for tag in tags)
    head = b"\x7fELF" + bytes([2, 1 if order == "<" else 2, 1]) + bytes(9)
    head += struct.pack(order + "HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, changed.get("count", 2), 0, 0, 0)
    names_at, end = 64 + 112, 64 + 112 + len(table) + len(dynamic)
    load = struct.pack(order + "IIQQQQQQ", 1, 4, 0, 0x1000, 0, end, end, 1)
    place = names_at + len(table)
    held = struct.pack(order + "IIQQQQQQ", 2, 4, place, 0x1000 + place, 0, len(dynamic), len(dynamic), 1)
    return head + load + held + table + dynamic


@pytest.mark.parametrize("order", ["<", ">"])
def test_what_a_library_needs(tmp_path, order):
    path = tmp_path / "made.so"
    path.write_bytes(elf("libc.so.6", "libxml2.so.2", order=order))
    assert shared_libraries.needed(str(path)) == ["libc.so.6", "libxml2.so.2"]


def test_a_real_one():
    assert any(name.startswith("libc.") for name in shared_libraries.needed(os.path.realpath("/bin/ls")))


@pytest.mark.parametrize("length", [0, 3, 4, 20, 63, 64, 100, 150, 180, 200, 215])
def test_cut_short(tmp_path, length):
    path = tmp_path / "cut.so"
    path.write_bytes(elf("libc.so.6")[:length])
    assert shared_libraries.needed(str(path)) == []


def test_what_makes_no_sense(tmp_path):
    """Any byte of it changed: nothing but a list of names comes out, or none."""
    path, whole = tmp_path / "odd.so", elf("libc.so.6", "libz.so.1")
    for place in range(len(whole)):
        for byte in (0, 1, 0x7F, 0xFF):
            path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            assert all(isinstance(name, str) for name in shared_libraries.needed(str(path)))
    os.mkfifo(tmp_path / "fifo.so")
    for name in ("fifo.so", "gone.so", "."):
        assert shared_libraries.needed(str(tmp_path / name)) == []


def test_what_nobody_has(tmp_path, monkeypatch):
    """Not what a wheel brings in a folder of its own, nor what the system has or LD_LIBRARY_PATH names."""
    for name, content in {
        "site/shop/_shop.so": elf("libc.so.6", "libown-1a2b.so.3", "libgone.so.2", "libelse.so"),
        "site/shop.libs/libown-1a2b.so.3": elf("libalso-gone.so.1"),
        "site/shop/data.so.txt": b"no library",
        "site/other/_other.so": elf("libgone.so.2"),
        "bin/uwsgi": elf("libxml2.so.2"),
        "else/libelse.so": b"",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(shared_libraries, "_system", lambda: {"libc.so.6", "libelse.so"})
    found = shared_libraries.missing([str(tmp_path / "site"), str(tmp_path / "bin")])
    assert found == {
        "libalso-gone.so.1": f"{tmp_path}/site/shop.libs/libown-1a2b.so.3",
        "libgone.so.2": f"{tmp_path}/site/other/_other.so",
        "libxml2.so.2": f"{tmp_path}/bin/uwsgi",
    }


def test_of_the_system(tmp_path, monkeypatch):
    (tmp_path / "libelse.so").write_bytes(b"")
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{tmp_path}")
    assert {"libelse.so", "libc.so.6"} <= shared_libraries._system()


def test_the_line():
    assert packages.of_library("libxml2.so.2").endswith(
        "RUN apt-get update && apt-get install -y --no-install-recommends libxml2."
    )
    assert "built for Alpine" in packages.of_library("libc.musl-x86_64.so.1")
    error = ImportError("libpq.so.5: cannot open shared object file: No such file or directory")
    assert packages.of_import(error).startswith("libpq.so.5 is not in the image. In the Dockerfile: RUN apt-get")
