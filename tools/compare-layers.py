"""Compares two saved images layer by layer: paths, types, modes, owners, links, contents. Dates are counted apart."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tarfile
from typing import NamedTuple

# What may differ, and why: docs/supply-chain.md says it in full.
EXPECTED = ((r"etc/shadow", "the day on which the user was made"),)


class Entry(NamedTuple):
    """One path in a layer."""

    kind: bytes
    mode: int
    owner: tuple[int, int]
    link: str
    content: str


def layers(image: str) -> list[tuple[dict[str, Entry], dict[str, float]]]:
    """For each layer: what is in it, and its dates."""
    found = []
    with tarfile.open(image) as saved:
        manifest = json.load(saved.extractfile("manifest.json"))  # type: ignore[arg-type]
        for name in manifest[0]["Layers"]:
            entries: dict[str, Entry] = {}
            dates: dict[str, float] = {}
            with tarfile.open(fileobj=saved.extractfile(name)) as layer:
                for member in layer:
                    file = layer.extractfile(member) if member.isreg() else None
                    digest = hashlib.sha256(file.read()).hexdigest() if file else ""
                    owner = (member.uid, member.gid)
                    entries[member.name] = Entry(member.type, member.mode, owner, member.linkname, digest)
                    dates[member.name] = member.mtime
            found.append((entries, dates))
    return found


def main(first: str, second: str) -> int:
    """Print what differs; 1 if that is not expected."""
    ours, theirs = layers(first), layers(second)
    if len(ours) != len(theirs):
        print(f"{len(ours)} layers against {len(theirs)}")
        return 1
    unexpected = total = dated = 0
    for number, ((left, left_dates), (right, right_dates)) in enumerate(zip(ours, theirs, strict=True), 1):
        total += len(left)
        dated += sum(left_dates[path] != right_dates.get(path) for path in left)
        for path in sorted(left.keys() | right.keys()):
            if left.get(path) == right.get(path):
                continue
            reason = next((why for pattern, why in EXPECTED if re.fullmatch(pattern, path)), "")
            unexpected += not reason
            print(f"layer {number}: {path}: {reason or 'NOT EXPECTED'}\n  {left.get(path)}\n  {right.get(path)}")
    print(f"{total} paths in {len(ours)} layers compared; {unexpected} unexpected differences; {dated} dates differ")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
