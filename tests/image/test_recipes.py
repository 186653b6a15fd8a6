"""The lines of docs/your-app.md for each way to say what is needed, built as they stand there."""

# Tables, a row a line, however long.
# ruff: noqa: E501

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .box import RUNTIME, Box, child_image, wheel

pytestmark = pytest.mark.long
PAGE = Path(__file__).parents[2] / "docs/your-app.md"
ROWS = re.findall(r"^\| (.+) \| ((?:`(?:COPY|RUN|ENV) .+)) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
APP = """
import sys, shoplib
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{shoplib.WORD} {sys.prefix}".encode()]
"""
NAME, WHEEL = wheel("shoplib", "1.0", {"shoplib.py": "WORD = 'found'\n"})
# What the lock files are made by: they are the user's, and are in the folder already.
LOCKED = {"uv.lock": "uv lock", "poetry.lock": "poetry lock", "pdm.lock": "pdm lock", "Pipfile.lock": "pipenv lock"}
PROJECT = f'[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["shoplib @ file:///app/{NAME}"]\n'
FILES = {
    "requirements.txt": "-r requirements/prod.txt\n",
    "requirements/prod.txt": f"./{NAME}\n",
    "pyproject.toml": PROJECT + '[tool.setuptools]\npy-modules = ["app"]\n',
    "Pipfile": f'[[source]]\nurl = "https://pypi.org/simple"\nverify_ssl = true\nname = "pypi"\n[packages]\nshoplib = {{path = "./{NAME}"}}\n',
}


def test_every_row_is_read() -> None:
    assert len(ROWS) == 7


@pytest.mark.parametrize("row", ROWS, ids=lambda row: re.sub(r"\W+", "-", row[0])[:30])
def test_lines(row: tuple[str, str]) -> None:
    lines = [f"FROM {RUNTIME}", "ENV UV_SYSTEM_CERTS=1", "COPY *.whl ./"]
    for line in re.findall(r"`([^`]+)`", row[1]):
        lock = next((name for name in LOCKED if name in line), "")
        lines += [line.replace(" " + lock, ""), f"RUN {LOCKED[lock]}"] if lock else [line]
    lines.append("COPY . /app")
    # Two of them would be two ways: setuptools alone reads the project.
    files = FILES if "Pipfile" in row[1] else {name: text for name, text in FILES.items() if name != "Pipfile"}
    with child_image("\n".join(lines) + "\n", {**files, NAME: WHEEL, "app.py": APP}) as image, Box(image=image) as box:
        own = "/opt/flagon/venv" if "RUN pip install -r" in row[1] or "install ." in row[1] else "/app/.venv"
        assert box.get("/").text == f"found {own}"
