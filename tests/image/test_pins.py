"""A user's own versions in the application's environment, old ones too: the box goes on as it is."""

# Tables, a row a line, however long.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from .box import FULL, IMAGE, RUNTIME, Box, child_image, size

OLD_FLASK = """
from flask import Flask, send_from_directory
app = Flask(__name__)
@app.get("/")
def index():
    import flask, werkzeug
    from importlib.metadata import version
    return " ".join(version(name) for name in ("flask", "werkzeug"))
@app.get("/file")
def file(): return send_from_directory("/app", "app.py")
"""
OLD_SQLALCHEMY = """
import os
from flask import Flask
import sqlalchemy
app = Flask(__name__)
engine = sqlalchemy.create_engine(os.environ["FLAGON_SQLITE_URL"])
@app.get("/")
def index():
    with engine.connect() as connection:
        return f"{sqlalchemy.__version__} {connection.execute(sqlalchemy.text('select 1')).scalar()}"
"""
PINS = [
    ("flask==2.2.5 werkzeug==2.2.3", OLD_FLASK, "2.2.5 2.2.3"),
    ("flask==2.0.3 werkzeug==2.0.3 jinja2==3.0.3 itsdangerous==2.0.1 markupsafe==2.0.1", OLD_FLASK, "2.0.3 2.0.3"),
    ("gunicorn==21.2.0", "import time\ntime.sleep(8)  # longer than its heartbeat's time\n" + OLD_FLASK, "3."),
    ("gunicorn==23.0.0", OLD_FLASK, "3."),
    ("sqlalchemy==1.4.54", OLD_SQLALCHEMY, "1.4.54 1"),
    ("gunicorn==22.0.0", "import time\ntime.sleep(8)\n" + OLD_FLASK, "3."),
]  # fmt: skip


@pytest.mark.parametrize(("packages", "text", "answer"), PINS if FULL else [PINS[0], PINS[2]])
def test_pins(packages: str, text: str, answer: str) -> None:
    lines = f"FROM {RUNTIME}\nRUN pip install {packages}\nCOPY app.py /app/\n"
    files = {"app.py": text, "static/x.txt": "x"}
    env = {"TIMEOUT": "1", "WEB_CONCURRENCY": "1"}  # a reload loads once for each worker
    with child_image(lines, files) as image, Box(image=image, env=env) as box:
        assert box.get("/").text.startswith(answer)
        if OLD_FLASK in text:
            assert box.get("/file").text == text
            assert box.get("/file", headers={"Range": "bytes=1-4"}).text == text[1:5]
        assert box.get("/ready").status_code == 200
        box.kill("HUP")
        box.wait_log(" with the new code", 40)
        assert box.stop()[1] == 0


@pytest.mark.long
def test_pins_upon_the_starters_packages() -> None:
    """FROM the default image, where other versions lie already."""
    lines = f"FROM {IMAGE}\nUSER root\nRUN pip install sqlalchemy==1.4.54 flask==2.2.5 werkzeug==2.2.3\nUSER 10001:0\nCOPY app.py /app/\n"
    with child_image(lines, {"app.py": OLD_SQLALCHEMY}) as image, Box(image=image) as box:
        assert box.get("/").text == "1.4.54 1"


NAMES = ["my-app.py", "app.main.py", "2fast.py", "ünïcode.py", "with space.py"]


@pytest.mark.parametrize("name", NAMES[: size(3, 5)])
def test_odd_file_names(name: str) -> None:
    """Beside an application, or as it: they are found, or a message says what to set; nothing of the box breaks."""
    with Box(files={"app.py": OLD_FLASK, name: "raise SystemExit('not for the box')\n"}) as box:
        assert box.get("/").status_code == 200
    if name == "my-app.py":
        with Box({"APP_MODULE": "my-app:app"}, files={name: OLD_FLASK}) as box:
            assert box.get("/").status_code == 200
        with Box(files={name: OLD_FLASK}) as box:
            assert "serves my-app:app" in box.wait_log(" serves ")
