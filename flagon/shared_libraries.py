"""Shared libraries that installed packages need and the image has not, for `flagon check`.

A package that was compiled in flagon:full finds libraries there that flagon:runtime has not. Python says so only when
it imports that very file, which may be at the thousandth request.
"""

from __future__ import annotations

import os
import struct
import subprocess

LARGEST_TABLE = 1 << 20  # bytes of a file's dynamic section, and of the names in it, that are read
PT_LOAD, PT_DYNAMIC = 1, 2
DT_NEEDED, DT_STRTAB, DT_STRSZ = 1, 5, 10  # elf(5)


def missing(folders: list[str]) -> dict[str, str]:
    """Library -> the first file below these folders that needs it, where neither the system nor a package has it."""
    files = [os.path.join(place, name) for folder in folders for place, _, names in os.walk(folder) for name in names]
    binaries = [path for path in files if ".so" in os.path.basename(path) or os.path.dirname(path) in folders]
    brought = {os.path.basename(path) for path in binaries}
    found: dict[str, str] = {}
    system: set[str] | None = None
    for path in sorted(binaries):
        for name in needed(path):
            if name in brought or name in found:
                continue
            system = _system() if system is None else system
            if name not in system:
                found[name] = path
    return found


def _system() -> set[str]:
    """Names that the loader finds without being told where: its cache, LD_LIBRARY_PATH, and itself."""
    try:
        words = ["/sbin/ldconfig", "-p"]
        told = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        told = ""
    names = {line.split()[0] for line in told.split("\n")[1:] if line.strip()}
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if os.path.isdir(folder):
            names.update(os.listdir(folder))
    return names


def needed(path: str) -> list[str]:
    """What a program or library says that it needs; [] for every other file, and for one that makes no sense."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        return _needed(descriptor)
    except (OSError, struct.error, ValueError, OverflowError):
        return []
    finally:
        os.close(descriptor)


def _needed(descriptor: int) -> list[str]:
    """Of 64 bit, as the image's own."""
    head = os.pread(descriptor, 64, 0)
    if len(head) < 64 or head[:4] != b"\x7fELF" or head[4] != 2 or head[5] not in (1, 2):
        return []
    order = "<" if head[5] == 1 else ">"
    (table,) = struct.unpack_from(order + "Q", head, 32)
    size, count = struct.unpack_from(order + "HH", head, 54)
    parts = []
    for number in range(count):
        part = struct.unpack(order + "IIQQQQ", os.pread(descriptor, 40, table + number * size))
        parts.append(part)  # type, flags, offset, address, physical address, size in the file
    dynamic = next(part for part in [*parts, (PT_DYNAMIC, 0, 0, 0, 0, 0)] if part[0] == PT_DYNAMIC)
    data = os.pread(descriptor, min(dynamic[5], LARGEST_TABLE), dynamic[2])
    entries = list(struct.iter_unpack(order + "qQ", data[: len(data) // 16 * 16]))
    places = dict(reversed(entries))
    address = places.get(DT_STRTAB, 0)
    for kind, _, offset, start, _, length in parts:
        if kind == PT_LOAD and start <= address < start + length:
            names = os.pread(descriptor, min(places.get(DT_STRSZ, 0), LARGEST_TABLE), offset + address - start)
            return [_text(names, value) for tag, value in entries if tag == DT_NEEDED]
    return []


def _text(names: bytes, start: int) -> str:
    return names[start : names.index(b"\0", start)].decode("ascii", "replace")
