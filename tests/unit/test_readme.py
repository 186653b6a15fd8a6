"""The README's links lead somewhere, and nothing in it is left to be filled in."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


def test_nothing_is_left_open():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not re.findall(r"^(?:[A-Z]{4,}|TODO.*)$", text, re.MULTILINE)


def test_the_volume_has_one_name():
    """Who follows the README and then the log, or the welcome page, must not get a second, empty one."""
    code = [path for folder in ("flagon", "app") for path in ROOT.glob(f"{folder}/**/*")]
    told = [ROOT / "README.md", ROOT / "Makefile", *(path for path in code if path.suffix in (".py", ".html"))]
    text = "".join(path.read_text(encoding="utf-8") for path in told)
    names = set(re.findall(r"-v ([\w.-]+):/data\b", text))
    assert {name for name in names if not name.isupper()} == {"flagon-data"}


def claims(page: str, heading: str) -> list[tuple[str, str]]:
    """The rows below a heading: (claim, proof)."""
    text = (ROOT / page).read_text(encoding="utf-8").split(heading)[1].split("\n## ")[0]
    return re.findall(r"^\| (.+) \| (.+) \|$", text, re.MULTILINE)[2:]


README_CLAIMS = claims("README.md", "## What is claimed")
ALL_CLAIMS = claims("docs/tested-behaviour.md", "# Tested behaviour")


@pytest.mark.parametrize(("folder", "rows"), [("tests/", README_CLAIMS), ("../tests/", ALL_CLAIMS)])
def test_each_claim_links_to_a_test(folder, rows):
    assert len(rows) > 15
    for claim, proof in rows:
        for target in re.findall(r"\]\(([^)]+)\)", proof) or [""]:
            assert target.startswith(folder), claim
            assert "def test_" in (ROOT / target.removeprefix("../")).read_text(encoding="utf-8"), claim


def test_the_readme_s_claims_stand_in_the_whole_table():
    assert {(claim, proof.replace("](", "](../")) for claim, proof in README_CLAIMS} < set(ALL_CLAIMS)
    assert f"has {len(ALL_CLAIMS)} rows" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_server_page_starts_each_image_the_same_way():
    """Its first start and its script differ in name, port, image, and in when the restart policy is set."""
    text = (ROOT / "docs/server.md").read_text(encoding="utf-8").replace("\\\n", " ")
    first, next_one = (set(line.split()) for line in text.splitlines() if line.startswith("docker run -d"))
    assert first ^ next_one == {
        "shop", "--restart", "unless-stopped", "127.0.0.1:8081:8080", "shop:1",
        "shop-next", '"127.0.0.1:$new:8080"', '"$1"',
    }  # fmt: skip


@pytest.mark.parametrize("block", re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs/server.md").read_text(), re.M | re.S))
def test_the_server_page_s_shell_parses(block):
    subprocess.run(["sh", "-n"], input=block, text=True, check=True)
