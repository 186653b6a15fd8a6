"""Whose packages: which environment is taken, what is said of one that cannot be, and what comes with it."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import os
import sys
from pathlib import Path

import pytest

from flagon import environments
from flagon.environments import HERE, Unusable
from flagon.inside import own_packages, packages


@pytest.fixture(autouse=True)
def image(tmp_path, monkeypatch):
    """The folders that an image has, below tmp_path: the application's is /app."""
    own = make(tmp_path / "own")
    monkeypatch.setattr(environments, "OWN", own)
    monkeypatch.setattr(environments, "SHIPPED", str(tmp_path / "shipped"))
    monkeypatch.setattr(environments, "IN_IMAGE", (str(tmp_path / "venv"), str(tmp_path / "opt/venv")))
    monkeypatch.setattr(environments, "PREFIX", str(tmp_path / "local"))
    monkeypatch.setattr(environments, "_is_mounted", lambda home: False)
    (tmp_path / "app").mkdir()
    install(own, "flask-3.1.3")
    (tmp_path / "shipped").write_text("flask-3.1.3.dist-info\n")


def make(home, version=HERE, python=sys.executable, system="false", command=""):
    """An environment, as `python -m venv` leaves it; its path."""
    (home / "lib" / f"python{version}" / "site-packages").mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin/python").symlink_to(python)
    lines = f"home = /usr/bin\ninclude-system-site-packages = {system}\n"
    (home / "pyvenv.cfg").write_text(lines + (f"command = /usr/bin/python3 -m venv {command}\n" if command else ""))
    return str(home)


def install(home, name, version=HERE):
    (Path(home) / "lib" / f"python{version}" / "site-packages" / f"{name}.dist-info").mkdir(parents=True)


def find(tmp_path, environ=(), words=(), given=""):
    """The environment's folder below tmp_path, and why."""
    path = {"PATH": f"{environments.OWN}/bin:/usr/local/bin:/usr/bin"}
    found = environments.find({**path, **dict(environ)}, str(tmp_path / "app"), words, given)
    return os.path.relpath(found.home, tmp_path), found.why


def test_the_image_s_own_where_there_is_no_other(tmp_path):
    assert find(tmp_path) == ("own", "default")
    assert find(tmp_path, {"VIRTUAL_ENV": environments.OWN, "PATH": ""}) == ("own", "default")
    assert environments.own().variables("/bin") == {}


def test_the_order(tmp_path):
    """Each is the more particular one, down to what nobody has named."""
    for name in ("command", "ini", "variable", "path", "uv", "app/.venv", "venv", "opt/venv", "app/venv"):
        make(tmp_path / name)
    for base in ("base", "home/.local"):
        install(tmp_path / base, "shoplib-1.0")
    (tmp_path / "home/.local/bin").mkdir()
    at = str(tmp_path)
    environ = {
        "VIRTUAL_ENV": f"{at}/variable", "PATH": f"/nowhere:{at}/path/bin/:{environments.OWN}/bin:{at}/home/.local/bin",
        "UV_PROJECT_ENVIRONMENT": "../uv", "PYTHONUSERBASE": f"{at}/base",
    }  # fmt: skip
    words = [f"{at}/command/bin/gunicorn", "app:app"]
    assert find(tmp_path, environ, words, f"{at}/ini") == ("command", "the start command names it")
    assert find(tmp_path, environ, ["gunicorn", "app:app"], f"{at}/ini") == ("ini", environments.INI)
    assert find(tmp_path, environ) == ("variable", "VIRTUAL_ENV names it")
    del environ["VIRTUAL_ENV"]
    assert find(tmp_path, environ) == ("path", "first on PATH")
    environ["PATH"] = environ["PATH"].replace(f"{at}/path/bin/:", "")
    assert find(tmp_path, environ) == ("uv", "UV_PROJECT_ENVIRONMENT names it")
    del environ["UV_PROJECT_ENVIRONMENT"]
    assert find(tmp_path, environ) == ("base", environments.BASE)
    del environ["PYTHONUSERBASE"]
    assert find(tmp_path, environ) == ("home/.local", environments.BASE)
    for name in ("app/.venv", "venv", "opt/venv", "app/venv"):
        assert find(tmp_path) == (name, "found there")
        (tmp_path / name / "pyvenv.cfg").unlink()
    assert find(tmp_path, {"HOME": f"{at}/home"}) == ("home/.local", "found there")
    install(tmp_path / "local", "shoplib-1.0")
    assert find(tmp_path) == ("local", "found there")


@pytest.mark.parametrize("words", [
    ["{}/bin/gunicorn", "app:app"],
    ["{}/bin/python", "-m", "flask", "run"],
    ["sh", "-c", "exec {}/bin/gunicorn app:app"],
    ["sh", "-c", ". {}/bin/activate && exec gunicorn app:app"],
    ["env", "X=1", "{}/bin/uwsgi"],
    ["../other/bin/gunicorn"],
])  # fmt: skip
def test_of_the_command(tmp_path, words):
    home = make(tmp_path / "other")
    assert find(tmp_path, words=[word.format(home) for word in words]) == ("other", "the start command names it")


def test_what_is_no_environment(tmp_path):
    """The system's python first on PATH, a folder that is not there, a PATH of other things."""
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/python3").symlink_to(sys.executable)
    make(tmp_path / "later")
    at = tmp_path
    assert find(tmp_path, {"PATH": f"{at}/usr/bin:{at}/later/bin"}) == ("own", "default")
    assert find(tmp_path, {"PATH": "relative/bin::.:bin"}) == ("own", "default")
    found = environments.find({"VIRTUAL_ENV": "/nowhere/venv"}, str(at / "app"), ["/usr/bin/env", "x"], "gone")
    assert found.is_own
    gone = f"there is no virtual environment {at}/app/gone (home in uwsgi.ini): it is not used"
    assert found.lines == [gone, "there is no virtual environment /nowhere/venv (VIRTUAL_ENV names it): it is not used"]


def refused(tmp_path, home, **environ):
    with pytest.raises(Unusable) as caught:
        find(tmp_path, {"VIRTUAL_ENV": str(home), **environ})
    assert str(home) in str(caught.value)
    return str(caught.value)


def test_an_interpreter_that_is_not_there(tmp_path):
    """It was made with another base, and copied."""
    text = refused(tmp_path, make(tmp_path / "other", "3.99", "/usr/local/bin/python3.99"))
    assert f"{tmp_path}/other/bin/python leads to /usr/local/bin/python3.99, which is not in this image" in text
    assert f"packages of Python 3.99; this image has Python {HERE}" in text
    assert "BASE_IMAGE=python:3.99-slim-trixie" in text
    same = refused(tmp_path, make(tmp_path / "same", HERE, "/gone/python"))
    assert "leads to /gone/python" in same
    assert "BASE_IMAGE" not in same
    assert "remove" in same
    loop = tmp_path / "loop"
    make(loop, HERE, "python")
    assert "is not in this image" in refused(tmp_path, loop)


def test_packages_of_another_python(tmp_path):
    text = refused(tmp_path, make(tmp_path / "other", "3.99"))
    assert f"holds packages of Python 3.99, and {tmp_path}/other/bin/python is Python {HERE}" in text
    assert "2.7" in refused(tmp_path, make(tmp_path / "old", "2.7"))
    assert "BASE_IMAGE" not in refused(tmp_path, make(tmp_path / "older", "3.9"))
    for odd in ("python3", "python3.1.2", "python3.\u00b2", "pythonic"):  # no version, or not one of ours
        (tmp_path / "other/lib" / odd / "site-packages").mkdir(parents=True)
    assert "holds packages of Python 3.99, and" in refused(tmp_path, tmp_path / "other")
    both = make(tmp_path / "both", "3.99")
    (Path(both) / "lib" / f"python{HERE}" / "site-packages").mkdir(parents=True)
    assert find(tmp_path, {"VIRTUAL_ENV": both})[0] == "both"


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_an_interpreter_of_its_own_is_asked(tmp_path, monkeypatch):
    other = script(tmp_path / "pythons/python3.14", "#!/bin/sh\necho 3.14\n")
    found = environments.find({"VIRTUAL_ENV": make(tmp_path / "uv", "3.14", other)}, str(tmp_path))
    assert (found.version, found.python) == ("3.14", f"{tmp_path}/uv/bin/python")
    old = script(tmp_path / "pythons/python3.9", "#!/bin/sh\necho 3.9\n")
    assert "is Python 3.9; 3.10 or newer works" in refused(tmp_path, make(tmp_path / "old", "3.9", old))
    broken = script(tmp_path / "pythons/broken", "#!/bin/sh\necho 'libpython3.12.so.1.0: cannot open' >&2\nexit 127\n")
    text = refused(tmp_path, make(tmp_path / "broken", "3.12", broken))
    assert "does not start: libpython3.12.so.1.0: cannot open" in text
    monkeypatch.setattr(environments, "ANSWER_LIMIT", 0.2)
    slow = script(tmp_path / "pythons/slow", "#!/bin/sh\nsleep 60\n")
    assert "no answer within" in refused(tmp_path, make(tmp_path / "slow", "3.12", slow))
    plain = make(tmp_path / "plain", python=str(tmp_path / "shipped"))
    assert "may not run" in refused(tmp_path, plain)


def test_no_interpreter_at_all(tmp_path):
    home = Path(make(tmp_path / "empty"))
    (home / "bin/python").unlink()
    assert "has no bin/python" in refused(tmp_path, home)


def test_broken_where_only_an_author_puts_it(tmp_path):
    """The same with what nobody has named."""
    make(tmp_path / "opt/venv", "3.99", "/gone/python3.99")
    with pytest.raises(Unusable, match=r"opt/venv/bin/python leads to /gone/python3\.99"):
        find(tmp_path)


def test_a_leftover_in_the_application_s_folder(tmp_path, monkeypatch):
    """The .venv of somebody's own machine, which came along with the code: no reason not to serve."""
    home = make(tmp_path / "app/.venv", "3.99", "/opt/homebrew/bin/python3.99", command="/Users/me/shop/.venv")
    found = environments.find({}, str(tmp_path / "app"))
    assert found.is_own
    assert "not used: the environment " + home in found.lines[0]
    (Path(home) / "pyvenv.cfg").write_text("home = /opt\n")  # uv says it in another file
    (Path(home) / "bin/activate").write_text("export VIRTUAL_ENV='/Users/me/shop/.venv'\n")
    assert environments.find({}, str(tmp_path / "app")).is_own
    (Path(home) / "bin/activate").write_text(f"VIRTUAL_ENV={home}\n")
    with pytest.raises(Unusable):
        environments.find({}, str(tmp_path / "app"))
    monkeypatch.setattr(environments, "_is_mounted", lambda home: True)
    assert environments.find({}, str(tmp_path / "app")).is_own


def test_a_leftover_that_works_beside_what_pip_has_installed(tmp_path):
    home = make(tmp_path / "app/.venv", command="/home/me/shop/.venv")
    assert find(tmp_path) == ("app/.venv", "found there")
    install(environments.OWN, "markdown-3.0")
    found = environments.find({}, str(tmp_path / "app"))
    assert found.is_own
    assert f"ENV VIRTUAL_ENV={home} uses it" in found.lines[0]
    assert find(tmp_path, {"VIRTUAL_ENV": ".venv"}) == ("app/.venv", "VIRTUAL_ENV names it")
    (Path(home) / "pyvenv.cfg").write_text("")  # a tool such as uv is in the image's own, the packages are here
    assert find(tmp_path) == ("app/.venv", "found there")


def test_a_folder_that_this_user_may_not_look_into(tmp_path, monkeypatch):
    """`COPY --from=build /root/.local /root/.local`: /root is root's alone."""
    (tmp_path / "root/.local/bin").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, mode: path != f"{tmp_path}/root")
    found = environments.find({"PATH": f"{tmp_path}/root/.local/bin"}, str(tmp_path / "app"))
    assert found.is_own
    assert f"cannot look into {tmp_path}/root: RUN chmod a+x {tmp_path}/root" in found.lines[0]


def test_what_comes_with_it(tmp_path):
    found = environments.find({"VIRTUAL_ENV": make(tmp_path / "venv", system=" True ")}, str(tmp_path))
    assert found.variables(f"/bin:{tmp_path}/venv/bin") == {
        "PATH": f"{tmp_path}/venv/bin:/bin", "VIRTUAL_ENV": f"{tmp_path}/venv",
    }  # fmt: skip
    homes = (str(tmp_path / "venv"), environments.OWN)
    assert found.folders() == [environments.packages(home, HERE) for home in homes]
    assert found.runs("seed.py")[-2:] == [environments.RUN_PROGRAM, "seed.py"]
    alone = environments.find({"VIRTUAL_ENV": make(tmp_path / "alone")}, str(tmp_path))
    assert alone.folders() == [environments.packages(str(tmp_path / "alone"), HERE)]
    assert alone.runs("seed.py") == [f"{tmp_path}/alone/bin/python", "seed.py"]
    install(tmp_path / "base", "shoplib-1.0")
    base = environments.find({"PYTHONUSERBASE": str(tmp_path / "base")}, str(tmp_path))
    assert base.variables("/bin") == {"PATH": f"{tmp_path}/base/bin:/usr/local/bin:/bin", "PYTHONUSERBASE": base.home}
    assert base.python == os.path.realpath(sys.executable)


@pytest.mark.parametrize(("files", "asked", "unused", "said"), [
    ([], "", [], "Add pyyaml to requirements.txt and install it in your image."),
    (["requirements.txt"], "", [], "or set PIP_INSTALL=1"),
    ([], "/venv (VIRTUAL_ENV names it)", [], "It is not in /venv (VIRTUAL_ENV names it). Add it there: /venv/bin/pip install pyyaml."),
    (["uv.lock", "requirements.txt"], "/app/.venv (found there)", [], "Add it there: uv add pyyaml."),
    (["requirements.txt"], "", ["/app/.venv is of Python 3.9"], "not in the image's own environment.\n/app/.venv is of"),
])  # fmt: skip
def test_what_is_missing(tmp_path, monkeypatch, files, asked, unused, said):
    monkeypatch.chdir(tmp_path)
    for name in files:
        (tmp_path / name).write_text("")
    monkeypatch.setattr(packages, "origin", {"asked": asked, "add": "/venv/bin/pip install", "unused": unused})
    text = packages.missing("yaml")
    assert said in text
    assert ("requirements.txt" in text) == (not asked and not unused)


def test_gunicorn_of_the_image_s_own_in_an_interpreter_without(tmp_path, monkeypatch):
    """That, and nothing else of it: their Flask beside our Werkzeug would be two trees."""
    own = Path(environments.packages(environments.OWN, HERE))
    for name in ("gunicorn", "werkzeug_of_ours"):
        (own / f"{name}.py").write_text("WHOSE = 'ours'\n")
    theirs = tmp_path / "theirs/site-packages"
    theirs.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(theirs)])
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "theirs"))
    monkeypatch.delitem(sys.modules, "gunicorn", raising=False)
    own_packages.provide()
    found = {name: own_packages.PathFinder.find_spec(name) for name in ("werkzeug_of_ours", "gunicorn")}
    assert found == {"werkzeug_of_ours": None, "gunicorn": None}
    assert sys.meta_path[0].find_spec("gunicorn").origin == str(own / "gunicorn.py")
    assert sys.meta_path[0].find_spec("werkzeug_of_ours") is None
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[1:])
    (theirs / "gunicorn.py").write_text("WHOSE = 'theirs'\n")
    (tmp_path / "theirs/pyvenv.cfg").write_text("include-system-site-packages = true\n")
    sys.path_importer_cache.clear()
    own_packages.provide()
    assert not isinstance(sys.meta_path[0], own_packages.Gunicorn)
    assert sys.path[-1] == str(own)
