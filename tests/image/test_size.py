"""Limits that may only fall: how large the images are, how much the idle box holds (docs/performance.md)."""

from __future__ import annotations

import json
import subprocess
import time
import zlib

import pytest

from .box import IMAGE, RUNTIME, Box, docker

# MB as `docker save` and gzip -6 give them; bytes of all files as Docker counts them.
COMPRESSED = {RUNTIME: 57, IMAGE: 69}
IDLE = 32  # MB of PSS of everything but gunicorn: supervisord, nginx, its two workers, its cache manager
STARTED = 16  # of that, supervisord


@pytest.mark.long
@pytest.mark.parametrize("image", COMPRESSED)
def test_images(image: str) -> None:
    found = json.loads(docker("image", "inspect", image).stdout)[0]
    assert int(found["Size"]) < 3 * COMPRESSED[image] * 10**6
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    size = 0
    with subprocess.Popen(["docker", "save", found["Id"]], stdout=subprocess.PIPE) as save:
        assert save.stdout
        while data := save.stdout.read(1 << 20):
            size += len(packer.compress(data))
    size += len(packer.flush())
    assert size < COMPRESSED[image] * 10**6


def test_idle_memory() -> None:
    """What the box costs beside gunicorn: supervisord, nginx and its cache."""
    with Box({"WEB_CONCURRENCY": "2"}) as box:
        for _ in range(20):
            box.get("/")
        time.sleep(1)
        script = (
            "for p in /proc/[0-9]*; do "
            "echo $(tr '\\0' ' ' <$p/cmdline | cut -c1-120) '|' $(grep -s '^Pss:' $p/smaps_rollup | tr -dc 0-9); done"
        )
        held = {"gunicorn": 0, "box": 0, "supervisord": 0}
        for line in box.exec("sh", "-c", script).splitlines():
            command, _, kilobytes = line.rpartition("|")
            if not kilobytes.strip() or "smaps" in command or command.startswith(("sh ", "tr ", "cut ")):
                continue
            kind = (
                "gunicorn" if "run-gunicorn" in command else "supervisord" if "__main__.py serve" in command else "box"
            )
            held[kind] += int(kilobytes)
        print(held)
        assert held["gunicorn"] > 0
        assert held["supervisord"] > 0
        assert (held["box"] + held["supervisord"]) / 1024 < IDLE
        assert held["supervisord"] / 1024 < STARTED
