"""Which directory is served where the working directory is not /app, and when /app is on the path."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import os

import pytest
from fakes import put

from flagon import application, compat, launch_options, workdir
from flagon.boot import Boot

APP = "from flask import Flask\napp = Flask(__name__)\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(workdir, "APPLICATION", str(tmp_path / "app"))
    monkeypatch.setattr(workdir, "origin", "")
    monkeypatch.setattr(workdir, "lines", [])
    (tmp_path / "app").mkdir()
    (tmp_path / "tmp").mkdir()
    return tmp_path


@pytest.mark.parametrize(("files", "command", "environ", "where"), [
    ({"app/main.py": APP}, "", {}, "app"), ({"app/main.py": APP}, "", {"APP_MODULE": "main:app"}, "app"), ({"app/shop/web.py": APP}, "", {"MODULE_NAME": "shop.web"}, "app"),
    ({"app/main.py": APP}, "gunicorn -b :80 main:app", {}, "app"), ({"app/main.py": APP}, "bash", {}, "app"), ({"app/uwsgi.ini": "[uwsgi]\nmodule=x\n"}, "", {}, "app"),
    ({"app/main.py": APP, "tmp/requirements.txt": "flask\n", "tmp/get-pip.py": "print(1)\n", "tmp/junk/x": ""}, "", {}, "app"), ({"app/Procfile": "web: gunicorn shop:app\n"}, "", {}, "app"),
    # an application in the working directory wins
    ({"app/main.py": APP, "tmp/main.py": APP}, "", {}, "tmp"), ({"app/main.py": APP, "tmp/shop.py": APP}, "", {}, "tmp"), ({"app/main.py": APP, "tmp/app.py": "broken("}, "", {}, "tmp"),
    ({"app/main.py": APP, "tmp/uwsgi.ini": ""}, "", {}, "tmp"), ({"app/main.py": APP, "tmp/c/own.ini": ""}, "", {"UWSGI_INI": "c/own.ini"}, "tmp"),
    ({"app/main.py": APP, "tmp/shop/deep/web.py": APP}, "", {"APP_MODULE": "shop.deep.web:app"}, "tmp"), ({"app/main.py": APP, "tmp/shop/deep/web.py": APP}, "gunicorn -w 2 shop.deep.web:make()", {}, "tmp"),
    ({"app/main.py": APP, "tmp/shop/deep/web.py": APP}, "flask --app shop/deep/web.py run", {}, "tmp"), ({"app/main.py": APP, "tmp/run.sh": ""}, "./run.sh", {}, "tmp"),
    ({"app/main.py": APP, "tmp/one.py": APP, "tmp/two.py": APP}, "", {}, "tmp"), ({"app/main.py": APP, "tmp/src/app.py": APP}, "", {}, "tmp"),
    # nothing in either
    ({}, "", {}, "tmp"), ({"app/static/x.css": ""}, "", {}, "tmp"), ({"app/notes.txt": ""}, "bash", {"APP_MODULE": "main:app"}, "tmp"),
])  # fmt: skip
def test_which_directory_is_served(place, monkeypatch, files, command, environ, where):
    """WORKDIR /tmp and COPY ./app /app ended with 78, though the image says PYTHONPATH=/app."""
    put(place, files)
    monkeypatch.chdir(place / "tmp")
    workdir.enter(command.split(), environ)
    assert os.getcwd() == str(place / where)
    assert bool(workdir.lines) is (where == "app")
    assert workdir.origin == (str(place / "tmp") if where == "app" else "")
    lines = Boot(environ, os.getcwd()).warnings
    assert any(
        f"the working directory {place}/tmp has no application in it: {place}/app is served" in line for line in lines
    ) is (where == "app")


@pytest.mark.parametrize("folder", ["app", "app/shop", "app/shop/deep"])
def test_below_app_the_working_directory_is_served(place, monkeypatch, folder):
    put(place, {"app/main.py": APP, "app/shop/deep/x": ""})
    monkeypatch.chdir(place / folder)
    workdir.enter([], {})
    assert os.getcwd() == str(place / folder)


@pytest.mark.parametrize(("environ", "path"), [
    ({"MODULE_NAME": "shop.app"}, True), ({"APP_MODULE": "shop.app:app"}, True), ({"FLASK_APP": "shop.app"}, True), ({"MODULE_NAME": "shop.app", "VARIABLE_NAME": "app"}, True),
    ({"APP_MODULE": "app:app"}, False), ({}, False), ({"APP_MODULE": "elsewhere.app:app"}, False),
])  # fmt: skip
def test_app_is_on_the_path_for_a_module_that_lies_there(place, environ, path):
    """WORKDIR /app/shop with MODULE_NAME=shop.app: No module named 'shop'."""
    put(place, {"app/shop/__init__.py": "", "app/shop/app.py": APP})
    boot = Boot(environ, str(place / "app/shop"))
    boot.application = application.choose(boot, "/nowhere")
    assert (str(place / "app") in launch_options.old_path(boot)) is path
    if path:
        assert (boot.application.target, boot.application.directory) == ("shop.app:app", str(place / "app/shop"))
        assert f"found in {place}/app/shop/app.py" in boot.application.why


def test_an_old_image_s_application_elsewhere_has_app_on_the_path(place):
    put(place, {"application/main.py": APP, "app/lib.py": ""})
    boot = Boot({"UWSGI_PROCESSES": "1"}, str(place / "application"))
    boot.application = application.choose(boot, "/nowhere")
    assert launch_options.old_path(boot) == [str(place / "app")]


def test_module_name_is_theirs_where_the_module_lies_in_app(place):
    put(place, {"app/shop/app.py": APP})
    found = compat.read({"MODULE_NAME": "shop.app", "VARIABLE_NAME": "app"}, str(place / "app/shop"))
    assert (found.seen, found.left) == ("MODULE_NAME with VARIABLE_NAME", frozenset())
