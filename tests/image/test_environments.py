"""Virtual environments of an image's author: their packages are used everywhere, and a broken one is named."""

# Tables, a row a line, however long.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from .box import IMAGE, RUNTIME, Box, child_image, docker, run_once, wheel

APP = """
import sys
import flask, shoplib

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{flask.VERSION} {shoplib.WORD} {sys.prefix} {'/extra' in sys.path} {'werkzeug' in sys.modules}".encode()]
"""
# A Flask of theirs that says so, without a Werkzeug: ours must not be beside it.
FLASK = """
VERSION = "their flask"
try:
    import werkzeug
except ImportError:
    pass
"""
HOOK = "import shoplib; print('hook', shoplib.WORD)\n"
GUNICORN = "import shoplib\nworkers = 1\nprint('gunicorn file', shoplib.WORD)\n"
PYTHON_OF = "/opt/flagon/venv/bin/python"


def two_wheels() -> dict[str, str | bytes]:
    packages = {"shoplib.py": "WORD = 'found'\n", "shoplib.pth": "/extra\n"}
    return dict([wheel("shoplib", "1.0", packages), wheel("flask", "0.1", {"flask/__init__.py": FLASK})])


def test_an_environment_of_a_build_stage() -> None:
    """`python -m venv /opt/venv`, and COPY of it: where everybody's lies, and where ours lay."""
    wheels = two_wheels()
    lines = f"""
FROM {RUNTIME} AS build
COPY *.whl /wheels/
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-index /wheels/*.whl
FROM {RUNTIME}
COPY --from=build /opt/venv /opt/venv
RUN mkdir /extra
COPY app.py gunicorn.conf.py Procfile /app/
COPY hook.py /docker-entrypoint.d/hook.py
RUN cp /usr/bin/env /opt/flagon/venv/bin/elf
ENV MIGRATE=auto MIGRATE_COMMAND="python -c 'import shoplib; print(1, shoplib.WORD)'" PROCESSES=clock
"""
    procfile = "clock: python -uc 'import shoplib, time; print(2, shoplib.WORD); time.sleep(3600)'\n"
    files = {**wheels, "app.py": APP, "gunicorn.conf.py": GUNICORN, "hook.py": HOOK, "Procfile": procfile}
    with child_image(lines, files) as image, Box(image=image) as box:
        served = "their flask found /opt/venv True False"
        assert box.get("/").text == served
        box.wait_log("packages: /opt/venv (found there), Python 3")
        for said in ("hook found", "gunicorn file found", "1 found", "2 found"):
            box.wait_log(said)
        assert "packages: /opt/venv (found there)" in box.exec("flagon", "check")
        words = "import sys, shoplib; print(sys.prefix, shoplib.WORD)"
        assert box.exec("flagon", "python", "-c", words).strip() == "/opt/venv found"
        # A binary that pip has put into ours is no script for their interpreter.
        assert box.exec("flagon", "elf", "echo", "a binary").strip() == "a binary"
        box.kill("HUP")
        box.wait_log(" with the new code")
        assert box.get("/").text == served
        assert box.stop()[1] == 0


def test_broken_ones_end_the_start_and_the_check() -> None:
    """Of another Python, and copied to where ours once lay; with a gunicorn file beside it, which is read by it."""
    lines = f"""
FROM {RUNTIME} AS build
RUN mkdir -p /other/bin /other/lib/python3.9/site-packages && ln -s /usr/local/bin/python3.9 /other/bin/python \\
    && echo 'home = /usr/local/bin' > /other/pyvenv.cfg
FROM {RUNTIME}
COPY --from=build /other /opt/venv
COPY --from=build /other /other
RUN ln -sf {PYTHON_OF} /other/bin/python
COPY app.py gunicorn.conf.py /app/
"""
    with child_image(lines, {"app.py": "app = print\n", "gunicorn.conf.py": "workers = 1\n"}) as image:
        for env, says in [
            ({}, "/opt/venv/bin/python leads to /usr/local/bin/python3.9, which is not in this image"),
            (
                {"VIRTUAL_ENV": "/other"},
                "/other (VIRTUAL_ENV names it) cannot be used: it holds packages of Python 3.9",
            ),
        ]:
            for command in ([], ["check"], ["flask", "run"], ["python", "-V"]):
                done = run_once(command, env=env, image=image)
                assert done.returncode == 78
                assert says in done.stderr
                assert len(done.stderr.strip().splitlines()) == 2
                assert "requirements.txt" not in done.stderr
                assert not done.stdout  # nothing was started
        done = run_once(["bash", "-c", "echo a shell"], image=image)  # to look at it
        assert (done.returncode, done.stdout) == (0, "a shell\n")


def test_what_is_missing_is_said_of_the_one_that_was_asked() -> None:
    lines = f"""
FROM {RUNTIME}
RUN python -m venv --without-pip /venv && python -m venv --system-site-packages --without-pip /both
COPY app.py /app/
ENV VIRTUAL_ENV=/venv
"""
    app = "import flask\nimport markdown_of_nobody\n"
    with child_image(lines, {"app.py": app, "requirements.txt": ""}) as image:
        done = run_once(["check"], env={"APP_MODULE": "app:app"}, image=image)
        assert done.returncode == 78
        assert "no module named 'flask'" in done.stderr  # ours has one: the two are not mixed
        assert (
            "It is not in /venv (VIRTUAL_ENV names it). Add it there: uv pip install --python /venv flask."
            in done.stderr
        )
        assert "requirements.txt" not in done.stderr
        done = run_once(["check"], env={"APP_MODULE": "app:app", "VIRTUAL_ENV": "/both"}, image=image)
        assert "no module named 'markdown_of_nobody'" in done.stderr  # --system-site-packages: ours is behind it
        done = run_once(["flask", "--version"], env={"VIRTUAL_ENV": "/both"}, image=image)
        assert "Flask 3" in done.stdout


def test_folders_of_pip_and_of_the_system() -> None:
    """`pip install --user`, `--prefix` with COPY to /usr/local, and Debian's own packages."""
    wheels = two_wheels()
    lines = f"""
FROM {RUNTIME}
COPY *.whl /wheels/
RUN pip install --no-index --ignore-installed --prefix=/user /wheels/*.whl && mkdir /extra && cp -r /user /prefix
RUN mkdir -p /usr/lib/python3/dist-packages && echo "WORD = 'Debian'" > /usr/lib/python3/dist-packages/shoplib.py
COPY app.py /app/
"""
    with child_image(
        lines, {**wheels, "app.py": APP.replace("flask.VERSION", "getattr(flask, 'VERSION', 'ours')")}
    ) as image:
        with Box(image=image) as box:
            assert box.get("/").text == "ours Debian /opt/flagon/venv False True"
        with Box(image=image, env={"PYTHONUSERBASE": "/user"}) as box:
            assert box.get("/").text == "their flask found /usr True True"
            words = "import flask, shoplib; print(flask.VERSION, shoplib.WORD)"
            assert box.exec("flagon", "python", "-c", words).strip() == "their flask found"
        copied = f"FROM {image}\nRUN cp -r /prefix/. /usr/local/\n"
        with child_image(copied, {}) as installed, Box(image=installed) as box:
            assert box.get("/").text == "their flask found /usr True True"


@pytest.mark.parametrize("image", [RUNTIME, IMAGE])
def test_python_version_in_the_environment(image: str) -> None:
    """As the official Python images have it; applications read it."""
    script = "import os, platform; print(platform.python_version() == os.environ['PYTHON_VERSION'])"
    done = run_once(["-c", script], args=["--entrypoint", "python3"], image=image)
    assert done.stdout.strip() == "True", "ARG DEBIAN_PYTHON in the Dockerfile"


USERS = """
mkdir /data /new && mkdir -m 755 /data/ && [ -d /new ] && ! mkdir /new 2>/dev/null
adduser -D one && adduser -D -H -u 2001 -s /bin/sh -g 'A name' two && addgroup -g 3001 -S staff2
adduser -SDH -G staff2 three && adduser -h /home/four -u2004 -D four
useradd --uid 10001 --create-home seven && useradd -mu 10001 eight && ! useradd -u 2001 nine
adduser --disabled-password --gecos '' five && adduser --system --group six && adduser five staff2
id -u two three four five; id -gn one three six; id -Gn five; getent passwd two four | cut -d: -f5-
"""


def test_users_as_debian_and_alpine_make_them() -> None:
    done = run_once(["-ec", USERS], args=["--entrypoint", "sh", "--user", "0"], image=RUNTIME)
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if line]
    assert lines[-10:] == [
        "2001", lines[-9], "2004", lines[-7], "one", "staff2", "six", "five users staff2",
        "A name:/home/two:/bin/sh", ":/home/four:/bin/bash",
    ]  # fmt: skip
    wrong = run_once(["-x", "name"], args=["--entrypoint", "adduser", "--user", "0"], image=RUNTIME)
    assert wrong.returncode != 0
    assert docker("run", "--rm", "--entrypoint", "addgroup", "--user", "0", RUNTIME, "plain").returncode == 0
