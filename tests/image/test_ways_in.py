"""How people bring their application: mounted or copied, under any usual name; the starter only if there is none."""

from __future__ import annotations

import pytest

from .box import RUNTIME, Box, child_image

FLASK = """from flask import Flask
app = Flask(__name__)
@app.get("/")
def index():
    return "mine"
"""
FACTORY = """from flask import Flask
def create_app():
    app = Flask(__name__)
    @app.get("/")
    def index():
        return "mine"
    return app
"""
PLAIN = """def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"mine"]
"""


@pytest.mark.parametrize(
    ("files", "env"),
    [
        ({"app.py": FLASK}, {}),
        ({"main.py": FLASK}, {}),
        ({"wsgi.py": PLAIN}, {}),
        ({"application.py": PLAIN}, {}),
        ({"app/__init__.py": FACTORY}, {}),
        ({"src/app.py": FLASK}, {}),
        ({"wsgi.py": "from shop import create_app\napp = create_app()\n", "shop/__init__.py": FACTORY}, {}),
        ({"shop/__init__.py": FACTORY}, {"APP_MODULE": "shop:create_app()"}),
        ({"shop/web.py": FLASK.replace("app", "site")}, {"APP_MODULE": "shop.web:site"}),
        ({"shop.py": FLASK}, {"APP_MODULE": "shop"}),
        ({"shop.py": FLASK}, {"FLASK_APP": "shop.py"}),
        ({"shop.py": FACTORY}, {"FLASK_APP": "shop:create_app"}),
        ({"main.py": FLASK, "shop.py": PLAIN.replace("mine", "shop")}, {}),
    ],
)  # fmt: skip
def test_it_is_found(files: dict[str, str], env: dict[str, str]) -> None:
    with Box(files=files, env=env) as box:
        assert box.get("/").text == "mine"


@pytest.mark.parametrize("image", ["flagon", RUNTIME])
def test_copied_into_a_child_image(image: str) -> None:
    user = "USER root\n" if image == "flagon" else ""
    with child_image(f"FROM {image}\n{user}COPY . /app\n", {"app.py": FLASK}) as tag, Box(image=tag) as box:
        assert box.get("/").text == "mine"


def test_read_only_and_unwritable() -> None:
    with Box(files={"main.py": FLASK}) as box:
        assert box.get("/").text == "mine"
    with Box(files={"main.py": FLASK}, args=["--read-only", "--tmpfs", "/tmp", "--user", "4242:4242"]) as box:
        assert box.get("/").text == "mine"


def test_the_boot_line_says_what_was_found_and_where() -> None:
    with Box(files={"main.py": FLASK}) as box:
        line = box.wait_log("serves main:app")
        assert "/app/main.py" in line


@pytest.mark.parametrize("empty", [{}, {".keep": ""}])
def test_an_empty_folder_gets_the_starter(empty: dict[str, str]) -> None:
    with Box(files=empty) as box:
        assert "Flagon" in box.get("/").text


def test_something_that_is_no_application_never_gets_the_starter() -> None:
    with Box(files={"notes.txt": "hello"}, wait=False) as box:
        assert box.wait_exit(10) == 78


def test_the_working_directory_is_the_application_s() -> None:
    source = "import os\nHERE = os.getcwd()\nTEXT = open('words.txt').read()\n" + FLASK.replace('"mine"', "HERE + TEXT")
    with Box(files={"main.py": source, "words.txt": " read"}) as box:
        assert box.get("/").text == "/app read"


def test_any_wsgi_framework() -> None:
    with Box(files={"main.py": PLAIN.replace("application", "app")}) as box:
        assert box.get("/").text == "mine"
        assert box.get("/ready").status_code == 200
