"""The README's links lead somewhere, and nothing in it is left to be filled in."""

from __future__ import annotations

import re
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


def test_each_claim_links_to_a_test():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+) \| (.+) \|$", text.split("## What is claimed")[1].split("\n## ")[0], re.MULTILINE)[2:]
    assert len(rows) > 15
    for claim, proof in rows:
        for target in re.findall(r"\]\(([^)]+)\)", proof) or [""]:
            assert target.startswith("tests/"), claim
            assert "def test_" in (ROOT / target).read_text(encoding="utf-8"), claim
