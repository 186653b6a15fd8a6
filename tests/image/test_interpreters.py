"""Two interpreters: what lies in /app or in the application's environment cannot break the box."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .box import RUNTIME, START_DEADLINE, Box, child_image, run_once, wheel

FLASK = """from flask import Flask
app = Flask(__name__)
@app.get("/")
def index():
    return "served"
"""
TRAP = "raise RuntimeError('this file of the application was imported by the box')\n"
NAMES = (
    "supervisor logging flagon gunicorn json health middleware worker settings logs cli server inside boot loading "
    "notice hooks response body launch render signal socket select struct sitecustomize usercustomize meld3"
).split()


@pytest.fixture(scope="module")
def trapped() -> Iterator[Box]:
    files = {f"{name}.py": TRAP for name in NAMES} | {"supervisor/__init__.py": TRAP, "flagon/__init__.py": TRAP}
    with Box(files={**files, "main.py": FLASK}) as box:
        yield box


def test_names_of_ours_in_the_application_s_folder(trapped: Box) -> None:
    assert trapped.get("/").text == "served"
    assert trapped.get("/ready").status_code == 200
    assert "was imported by the box" not in trapped.logs()


def test_the_verbs_beside_them(trapped: Box) -> None:
    assert "WEB_CONCURRENCY" in trapped.exec("flagon", "config")
    assert "ok: " in trapped.exec("flagon", "check")
    assert trapped.exec("/opt/flagon/healthcheck") == ""


def test_reload_beside_them(trapped: Box) -> None:
    trapped.kill("HUP")
    trapped.wait_log(" with the new code")
    assert trapped.get("/").text == "served"
    assert "was imported by the box" not in trapped.logs()


def test_the_application_s_own_module_of_such_a_name_is_its_own() -> None:
    files = {
        "main.py": FLASK.replace('"served"', "settings.WORD + health.WORD"),
        "settings.py": "WORD = 'my '\n",
        "health.py": "WORD = 'own'\n",
    }
    files["main.py"] = "import settings, health\n" + files["main.py"]
    with Box(files=files) as box:
        assert box.get("/").text == "my own"


def test_an_application_in_a_file_of_such_a_name() -> None:
    with Box(files={"server.py": FLASK}) as box:
        assert box.get("/").text == "served"


@pytest.mark.parametrize("module", ["flagon", "gunicorn", "supervisor"])
def test_an_application_named_like_the_box(module: str) -> None:
    """It is served, or the boot says that the name is taken: never something else in silence."""
    with Box(files={f"{module}.py": FLASK}, env={"APP_MODULE": f"{module}:app"}, wait=False) as box:
        try:
            box.wait_up()
        except AssertionError:
            assert module in box.logs()
            assert box.exit_code() not in (0, 137)
        else:
            assert box.get("/").text == "served"


def test_the_user_s_pythonpath_reaches_the_application_only() -> None:
    files = {f"lib/{name}.py": TRAP for name in NAMES} | {"lib/shoplib.py": "WORD = 'found'\n"}
    files["main.py"] = "import shoplib\n" + FLASK.replace('"served"', "shoplib.WORD")
    with Box(files=files, env={"PYTHONPATH": "/app/lib"}) as box:
        assert box.get("/").text == "found"
        assert "was imported by the box" not in box.logs()
        assert box.exec("/opt/flagon/healthcheck") == ""
        assert "ok: " in box.exec("flagon", "check")
        assert box.stop()[1] == 0


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONHOME": "/nowhere"},
        {"PYTHONSTARTUP": "/app/main.py"},
        {"PYTHONSAFEPATH": "1"},
        {"PYTHONOPTIMIZE": "2"},
        {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"},
        {"PYTHONWARNINGS": "error::DeprecationWarning"},
    ],
)
def test_python_s_own_variables_do_not_break_the_box(env: dict[str, str]) -> None:
    # With PYTHONOPTIMIZE no byte code that the image brings counts: every module of every process is compiled first.
    deadline = 60 if "PYTHONOPTIMIZE" in env else START_DEADLINE
    with Box(files={"main.py": FLASK}, env=env, deadline=deadline) as box:
        assert box.get("/").text == "served"


def test_the_application_sees_its_own_environment_and_not_the_runtime_s() -> None:
    source = FLASK.replace('return "served"', "import importlib.util as u; return str(u.find_spec('supervisor'))")
    with Box(files={"main.py": source}) as box:
        assert box.get("/").text == "None"


@pytest.mark.parametrize("version", ["20.1.0", "28.0.0"])
def test_another_gunicorn_ends_the_boot_with_its_version(version: str) -> None:
    files = {
        "gunicorn/__init__.py": f"__version__ = '{version}'\n",
        "gunicorn/app/__init__.py": "",
        "gunicorn/app/base.py": "class BaseApplication:\n    pass\n",
        "gunicorn/arbiter.py": "",
        "gunicorn/glogging.py": "import logging\nclass Logger:\n    pass\n",
    }
    name, content = wheel("gunicorn", version, files)
    lines = f"FROM {RUNTIME}\nCOPY {name} /tmp/\nRUN pip install --no-deps --no-index /tmp/{name}\nCOPY main.py /app/\n"
    with child_image(lines, {name: content, "main.py": FLASK}) as tag:
        done = run_once(image=tag, timeout=20)
        assert done.returncode == 78
        assert done.stdout.count(f"gunicorn {version}") == 1
        assert "21" in done.stdout
        assert run_once(["check"], image=tag, timeout=20).returncode == 78


def test_without_gunicorn_the_boot_says_so() -> None:
    lines = f"FROM {RUNTIME}\nRUN pip uninstall -y gunicorn\nCOPY main.py /app/\n"
    with child_image(lines, {"main.py": FLASK}) as tag:
        done = run_once(image=tag, timeout=20)
        assert done.returncode == 78
        assert "gunicorn cannot be imported" in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("version", ["21.2.0", "23.0.0"])
def test_an_old_gunicorn_serves_reloads_and_stops(version: str) -> None:
    """Its own gthread worker drops a connection that it takes while it leaves: docs/decisions.md."""
    dockerfile = f"FROM {RUNTIME}\nRUN pip install gunicorn=={version}\nCOPY main.py /app/\n"
    with child_image(dockerfile, {"main.py": FLASK}) as image:
        for wire in ("fastcgi", "gthread"):
            with Box(image=image, env={"WEB_CONCURRENCY": "2", "WORKER_CLASS": wire}) as box:
                assert f"Starting gunicorn {version}" in box.logs()
                assert "2 workers with the new code" in box.exec("flagon", "reload")
                tries = 1 if wire == "fastcgi" else 10
                assert "served" in [box.get("/").text for _ in range(tries)][-1]
                assert box.stop()[1] == 0
