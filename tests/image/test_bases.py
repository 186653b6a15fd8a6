"""A base that brings its own Python, as `python:3.x-slim` does; a stand-in is built from a Python found here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .box import Box, child_image, docker, name_for, run_once, wheel, write_files

LIBRARIES = "ca-certificates libbz2-1.0 libexpat1 libffi8 liblzma5 libsqlite3-0 libssl3t64 zlib1g"
# PIP_CERT: the pip of an old Python trusts no authority but its own list, whatever the base's certificates say.
BASE = f"""FROM debian:trixie-slim
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt
COPY local /usr/local
RUN apt-get update && apt-get install -y --no-install-recommends {LIBRARIES} && ldconfig
"""
LEFT_OUT = shutil.ignore_patterns("site-packages", "dist-packages", "test*", "config-*", "tkinter", "__pycache__")
SAY = """import sys, shoplib
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{sys.version_info[1]} {sys.base_prefix} {shoplib.WORD}".encode()]
"""


def pythons() -> dict[int, Path]:
    """Minor version -> prefix, of the oldest and the newest Python from 3.10 on that could be a base's /usr/local."""
    found = {}
    for prefix in (Path("/usr/local"), *Path.home().glob(".pyenv/versions/3.*")):
        for library in prefix.glob("lib/python3.[1-9][0-9]"):
            if (prefix / "bin" / library.name).is_file() and (library / "ensurepip").is_dir():
                found[int(library.name[8:])] = prefix
    return {minor: found[minor] for minor in sorted(found) if minor in (min(found), max(found))}


NONE = pytest.param(0, marks=pytest.mark.skip("no Python >= 3.10 with ensurepip in /usr/local or ~/.pyenv/versions"))
EACH = pytest.mark.parametrize("tags", list(pythons()) or [NONE], indirect=True, scope="module")
pytestmark = [pytest.mark.long, EACH]


@pytest.fixture(scope="module")
def tags(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The tag of each target, built on that Python; "python" is the program's name."""
    program, prefix = f"python3.{request.param}", pythons()[request.param]
    tags = {target: name_for() for target in ("base", "build", "runtime", "app")}
    context = write_files({"Dockerfile": BASE})
    shutil.copytree(prefix / "lib" / program, context / "local/lib" / program, symlinks=True, ignore=LEFT_OUT)
    for library in prefix.glob(f"lib/lib{program.replace('3.', '3*.')}*.so*"):
        shutil.copy2(library, context / "local/lib", follow_symlinks=False)
    (context / "local/bin").mkdir()
    shutil.copy2(prefix / "bin" / program, context / "local/bin/python3")
    try:
        docker("build", "--network", "host", "--tag", tags["base"], str(context), timeout=120)
        tried = run_once(["-c", "import ensurepip, ssl"], args=["--entrypoint", "python3"], image=tags["base"])
        if tried.returncode:
            pytest.skip(f"{program} of this machine does not run on Debian 13: {tried.stderr[-300:]}")
        for target in ("build", "runtime", "app"):
            words = ("--build-arg", f"BASE_IMAGE={tags['base']}", "--target", target, "--tag", tags[target])
            docker("build", "--network", "host", *words, str(Path(__file__).parents[2]), timeout=240)
        yield {**tags, "python": program}
    finally:
        for tag in reversed(tags.values()):
            docker("rmi", "-f", tag, check=False)
        shutil.rmtree(context)


@pytest.mark.parametrize("target", ["runtime", "app"])
def test_no_second_python(tags: dict[str, str], target: str) -> None:
    script = "dpkg -l | grep '^ii.*python'; cd /opt/flagon; realpath python venv/bin/python; ls venv/lib"
    done = run_once(["-c", script], args=["--entrypoint", "sh"], image=tags[target])
    assert done.stdout.split() == ["/usr/local/bin/python3"] * 2 + [tags["python"]]


def test_starter(tags: dict[str, str]) -> None:
    with Box(image=tags["app"]) as box:
        assert "Welcome" in box.get("/").text
        assert "ok: " in box.exec("flagon", "check")
        programs = set(box.exec("sh", "-c", "readlink /proc/[0-9]*/exe").split())
        assert {name for name in programs if "python" in name} == {"/usr/local/bin/python3"}
        assert box.stop()[1] == 0


def test_child_image(tags: dict[str, str]) -> None:
    name, content = wheel("shoplib", "1.0", {"shoplib.py": "WORD = 'installed'\n"})
    lines = f"FROM {tags['runtime']}\nCOPY {name} /tmp/\nRUN pip install --no-index /tmp/{name}\nCOPY main.py /app/\n"
    with child_image(lines, {name: content, "main.py": SAY}) as image, Box(image=image) as box:
        assert box.get("/").text == f"{tags['python'][8:]} /usr/local installed"
