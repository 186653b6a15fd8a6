"""PIP_INSTALL=1: what the mounted folder asks for, said, kept in /data, never without being asked."""

# Tables, a row a line, however long.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from .box import Box, run_once, wheel

APP = """
from flask import Flask
import greeting
app = Flask(__name__)
@app.get("/")
def index(): return greeting.TEXT
"""


def package(text: str, version: str = "1.0") -> dict[str, str | bytes]:
    name, content = wheel("greeting", version, {"greeting.py": f"TEXT = {text!r}\n"})
    return {"app.py": APP, name: content, "requirements.txt": f"./{name}\n"}


def test_without_it_nothing_is_installed_and_the_message_names_it() -> None:
    done = run_once(files=package("hello"))
    assert done.returncode == 78
    assert "set PIP_INSTALL=1" in done.stdout + done.stderr


def test_it_is_kept_until_the_requirements_change(volume: str) -> None:
    args = ["-v", f"{volume}:/data"]
    with Box({"PIP_INSTALL": "1"}, args=args, files=package("hello")) as box:
        assert box.get("/").text == "hello"
        log = box.logs()
        assert "PIP_INSTALL: installing what /app/requirements.txt asks for into /data/.packages/" in log
        assert "PIP_INSTALL: installed after" in log
        assert "Successfully installed greeting-1.0" in log
        assert "greeting" in box.exec("flagon", "python", "-c", "import greeting; print(greeting.__file__)")
        box.stop()
        box.start()
        assert box.get("/").text == "hello"
        assert box.logs().count("PIP_INSTALL: installing") == 1
    with Box({"PIP_INSTALL": "1"}, args=args, files=package("again", "2.0")) as box:
        assert box.get("/").text == "again"
        box.kill("HUP")
        box.wait_log(" with the new code")


def test_a_pyproject_and_old_pins(volume: str) -> None:
    name, content = wheel("greeting", "1.0", {"greeting.py": "TEXT = 'from a project'\n"})
    project = (
        f'[project]\nname = "x"\nversion = "1"\ndependencies = ["greeting @ file:///app/{name}", "gunicorn==21.2.0"]\n'
    )
    with Box(
        {"PIP_INSTALL": "on"},
        args=["-v", f"{volume}:/data"],
        files={"app.py": APP, name: content, "pyproject.toml": project},
    ) as box:
        assert box.get("/").text == "from a project"
        assert "Starting gunicorn 21.2.0" in box.logs()


@pytest.mark.parametrize(("files", "words"), [
    ({"poetry.lock": ""}, "poetry export -f requirements.txt"), ({"uv.lock": ""}, "uv export --format requirements-txt"),
    ({"Pipfile.lock": ""}, "pipenv requirements >"), ({"pdm.lock": ""}, "pdm export"), ({}, "there is no requirements.txt in /app"),
    ({"pyproject.toml": "[tool.poetry]\nname = 'x'\n", "poetry.lock": ""}, "poetry export"), ({"pyproject.toml": "what"}, "/app/pyproject.toml"),
    ({"requirements.txt": "no-such-package-of-flagons==9\n"}, "ended with code 1"),
])  # fmt: skip
def test_what_pip_cannot_take_is_said(files: dict[str, str], words: str) -> None:
    done = run_once(env={"PIP_INSTALL": "1", "PIP_RETRIES": "0"}, files={"app.py": "app = print\n", **files})
    assert (done.returncode, words in done.stderr) == (78, True)


def test_an_interrupted_installation_is_begun_anew(volume: str) -> None:
    files = package("hello")
    args = ["-v", f"{volume}:/data"]
    with Box({"PIP_INSTALL": "1"}, args=args, files=files, wait=False) as box:
        box.wait_log("PIP_INSTALL: installing")
        box.kill()
    with Box({"PIP_INSTALL": "1"}, args=args, files=files) as box:
        assert box.get("/").text == "hello"


def test_a_stop_meanwhile() -> None:
    files = {
        "app.py": APP,
        "requirements.txt": "./slow\n",
        "slow/pyproject.toml": "",
        "slow/setup.py": "import time; time.sleep(60)\n",
    }
    with Box({"PIP_INSTALL": "1"}, files=files, wait=False) as box:
        box.wait_log("PIP_INSTALL: installing")
        seconds, code = box.stop()
        assert (code, seconds < 8) == (0, True)
