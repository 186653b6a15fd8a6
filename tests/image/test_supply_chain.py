"""What the image is made of is written down in it, and nothing more is in it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .box import IMAGE, RUNTIME, docker

ROOT = Path(__file__).parents[2]


def sh(image: str, command: str) -> str:
    return docker("run", "--rm", "--entrypoint", "sh", image, "-c", command).stdout


def bill(image: str, name: str) -> dict[str, Any]:
    """A CycloneDX document from the image."""
    found: dict[str, Any] = json.loads(sh(image, f"cat /opt/flagon/sbom/{name}.cdx.json"))
    assert found["bomFormat"] == "CycloneDX"
    return found


def versions(document: dict[str, Any]) -> dict[str, str]:
    return {re.sub("[-_.]+", "-", one["name"]).lower(): one["version"] for one in document["components"]}


def installed(image: str, *options: str) -> dict[str, str]:
    listed = json.loads(sh(image, f"/opt/flagon/venv/bin/python -m pip list --format json {' '.join(options)}"))
    return {re.sub("[-_.]+", "-", one["name"]).lower(): one["version"] for one in listed}


def test_python_packages_of_the_runtime_image() -> None:
    assert versions(bill(RUNTIME, "application")) == installed(RUNTIME)
    assert versions(bill(RUNTIME, "runtime")) == installed(RUNTIME, "--path", "/opt/flagon/lib")


def test_python_packages_of_the_starter() -> None:
    """Its lock names packages for other systems and Pythons, too: those that are here are all in it."""
    written = {**versions(bill(IMAGE, "application")), **versions(bill(IMAGE, "starter"))}
    here = installed(IMAGE)
    assert {name: written.get(name) for name in here} == here
    hashes = [one for one in bill(IMAGE, "starter")["components"] if "hashes" not in json.dumps(one)]
    assert not hashes


@pytest.mark.parametrize("image", [RUNTIME, IMAGE])
def test_debian_packages(image: str) -> None:
    """All that dpkg knows, with versions; licences where Debian has them in a form that programs read (DEP-5)."""
    rows = sh(image, "dpkg-query -W -f '${Package} ${Version}\\n'").split("\n")
    here = {tuple(row.split()) for row in rows if row}
    document = bill(image, "debian")
    written = {
        (one["name"], one["version"]) for one in document["components"] if "arch=source" not in one.get("purl", "")
    }
    assert here == written
    assert sum("licenses" in one for one in document["components"]) > 20


def test_no_tool_of_the_build_is_left() -> None:
    for image in (RUNTIME, IMAGE):
        assert sh(image, "ls -d /opt/bom /build /system 2>/dev/null; command -v gcc cc make git; true") == ""


def test_every_lock_has_hashes_and_no_address() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text
        requirements = re.findall(r"^[a-zA-Z0-9].*?(?=^[a-zA-Z0-9]|\Z)", text, re.MULTILINE | re.DOTALL)
        assert requirements
        assert not [one for one in requirements if "--hash=sha256:" not in one]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_builds_are_equal() -> None:
    """But for dates, and what docs/supply-chain.md names."""
    done = subprocess.run(["tools/reproduce.sh"], cwd=ROOT, capture_output=True, text=True, timeout=880)
    print(done.stdout[-3000:], done.stderr[-3000:])
    assert done.returncode == 0
    assert "0 unexpected differences" in done.stdout
