"""docs/client-address.md shows the very table that drives the image's test."""

import re
from pathlib import Path

from tests.image import chains

DOCS = Path(__file__).parents[2] / "docs" / "client-address.md"


def test_the_page_shows_the_table():
    found = re.search(r"<!-- chains -->\n(.*?)<!-- /chains -->", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    assert found[1] == chains.markdown(), "python -c 'from tests.image import chains; print(chains.markdown())'"


def test_names_are_told_apart_and_settings_used():
    names = [chain.name for chain in chains.CHAINS]
    assert len(names) == len(set(names))
    assert {chain.setting for chain in chains.CHAINS} == set(chains.SETTINGS)
