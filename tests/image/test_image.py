"""The image itself: what is in it, what is not, what is written on it, what a rebuild takes from the cache."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .box import RUNTIME, Box, child_image, docker, name_for, run_once, wait_until, wheel

ROOT = Path(__file__).parents[2]
WHO = """import json, os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups()}).encode()]
"""


def config_of(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", image).stdout)[0]["Config"]
    return found


@pytest.mark.parametrize("image", ["flagon", RUNTIME])
def test_what_is_written_on_it(image: str) -> None:
    config = config_of(image)
    assert sorted(config["ExposedPorts"]) == ["80/tcp", "8080/tcp"]
    assert not config.get("Volumes")
    assert config.get("StopSignal", "SIGTERM") in ("SIGTERM", "", None)
    assert config["Cmd"] == ["serve"]
    assert "LANG=C.UTF-8" in config["Env"]
    assert config["Healthcheck"]["Test"][0] in ("CMD", "CMD-SHELL")
    labels = config["Labels"]
    for key in ("title", "description", "licenses", "version", "revision", "created"):
        assert labels[f"org.opencontainers.image.{key}"], key


def test_labels_come_from_the_build() -> None:
    labels = config_of("flagon")["Labels"]
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", labels["org.opencontainers.image.version"])
    assert re.match(r"\d{4}-\d\d-\d\dT", labels["org.opencontainers.image.created"])


def test_users() -> None:
    assert config_of("flagon")["User"] == "10001:0"
    assert not config_of(RUNTIME).get("User")


def test_runtime_has_an_empty_app_folder() -> None:
    assert run_once(["ls", "-A", "/app"], image=RUNTIME).stdout == ""


@pytest.mark.parametrize("image", ["flagon", RUNTIME])
def test_no_tools_and_no_caches(image: str) -> None:
    script = """
for tool in gcc cc c++ make pytest ruff mypy git; do command -v $tool && echo "tool: $tool"; done
for path in /root/.cache /app/.cache /var/cache/apt/archives/*.deb /var/lib/apt/lists/*_Packages* /build /tests; do
    [ -e "$path" ] && echo "left: $path"
done
find / -xdev -type d -name 'pip*' -path '*/.cache/*'
/opt/flagon/venv/bin/python -c 'import pytest' 2>/dev/null && echo pytest
/opt/flagon/venv/bin/python -c 'import supervisor' 2>/dev/null && echo "supervisor in the application's environment"
true"""
    done = run_once(["-c", script], args=["--entrypoint", "sh", "--user", "0"], image=image)
    assert done.returncode == 0
    assert done.stdout == ""


@pytest.mark.parametrize("tool", ["curl", "pip", "flask", "gunicorn", "python", "python3", "flagon"])
def test_tools_that_are_there(tool: str) -> None:
    assert run_once(["-c", f"command -v {tool}"], args=["--entrypoint", "sh"]).returncode == 0


def test_bytecode_is_there() -> None:
    script = """
import importlib.util, os, sys
for top in ("/opt/flagon", "/opt/flagon/venv/lib"):
    count = missing = 0
    for folder, _, names in os.walk(top):
        # pip is not on any start; its bytecode was 6 MB
        if "/pip/" in folder + "/" or "__pycache__" in folder:
            continue
        for name in names:
            if name.endswith(".py"):
                count += 1
                if not os.path.exists(importlib.util.cache_from_source(os.path.join(folder, name))):
                    missing += 1
                    print("no bytecode:", os.path.join(folder, name), file=sys.stderr)
    assert count > 10, top
    assert missing == 0, (top, missing, count)
"""
    done = run_once(["-c", script], args=["--entrypoint", "python3"])
    assert done.returncode == 0, done.stderr[-1500:]


def test_text_is_utf8() -> None:
    script = "import sys; print(sys.getfilesystemencoding(), sys.stdout.encoding, '\\u00e4')"
    done = run_once(["python", "-c", script])
    assert done.stdout.split() == ["utf-8", "utf-8", "ä"]


def test_time_zone() -> None:
    script = "import time; print(time.strftime('%Z %z', time.localtime(1752500000)))"
    done = run_once(["python", "-c", script], env={"TZ": "Europe/Berlin"})
    assert done.stdout.split() == ["CEST", "+0200"]


def test_time_zone_in_every_program_s_lines() -> None:
    with Box(env={"TZ": "Asia/Kolkata"}) as box:
        box.get("/")
        box.access("/")
        times = [record["time"] for record in box.records()]
        assert len(times) > 3
        assert [time for time in times if not time.endswith("+05:30")] == []


def test_healthcheck_turns_healthy() -> None:
    with Box(args=["--health-interval", "1s"]) as box:
        wait_until(lambda: box.state("Health.Status") == "healthy", 15, "healthy")


@pytest.mark.parametrize("env", [{"PORT": "5000"}, {"RUNTIME_DIR": "/tmp/elsewhere"}, {"URL_PREFIX": "/shop"}])
def test_healthcheck_follows_the_settings(env: dict[str, str]) -> None:
    port = int(env.get("PORT", 8080))
    with Box(env=env, port=port) as box:
        assert box.exec("/opt/flagon/healthcheck") == ""


def test_healthcheck_fails_where_nothing_serves() -> None:
    assert run_once(args=["--entrypoint", "/opt/flagon/healthcheck"]).returncode == 1


# -- child images


@pytest.fixture(scope="module")
def child() -> Iterator[str]:
    """What owners of an application write: FROM, COPY, RUN pip install; with things in it that should not be there."""
    name, content = wheel("shoplib", "1.0", {"shoplib.py": "WORD = 'from the package'\n"})
    files: dict[str, str | bytes] = {
        name: content,
        "app/main.py": "import shoplib\n" + WHO,
        "app/.env": "GREETING=hello\n",
        "app/.git/HEAD": "ref: refs/heads/main\n",
        "app/server.pem": "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n",
        "app/deploy/id_rsa": "-----BEGIN OPENSSH PRIVATE KEY-----\nMC4=\n-----END OPENSSH PRIVATE KEY-----\n",
        "app/public.pem": "-----BEGIN CERTIFICATE-----\nMC4=\n-----END CERTIFICATE-----\n",
    }
    lines = (
        f"FROM {RUNTIME}\nCOPY {name} /tmp/\nRUN id -u > /built-by && pip install --no-deps --no-index /tmp/{name}\n"
        "COPY app /app\n"
    )
    with child_image(lines, files) as tag:
        yield tag


def test_child_image(child: str) -> None:
    with Box(image=child) as box:
        assert box.get("/").json() == {"uid": 10001, "gid": 0, "groups": []}
        assert box.exec("cat", "/built-by", user="0").strip() == "0"
        assert box.exec("python", "-c", "import shoplib; print(shoplib.WORD)").strip() == "from the package"


@pytest.mark.parametrize("name", [".env", ".git", "server.pem", "id_rsa"])
def test_boot_warns_of_what_should_not_be_in_an_image(child: str, name: str) -> None:
    done = run_once(["check"], image=child)
    assert done.returncode == 0
    with Box(image=child) as box:
        warnings = [r for r in box.records() if r["level"] == "warning" and f"/{name}" in r["message"]]
        assert len(warnings) == 1
        assert ".dockerignore" in warnings[0]["message"]
        assert "public.pem" not in box.logs()


def test_no_such_warning_for_a_mounted_folder() -> None:
    with Box(files={"main.py": WHO, ".env": "A=b\n", "server.pem": "-----BEGIN PRIVATE KEY-----\n"}) as box:
        assert ".dockerignore" not in box.logs()


# -- the cache


def build(folder: Path, tag: str) -> str:
    words = ["docker", "build", "--network", "host", "-t", tag]
    if base := os.environ.get("BASE_IMAGE"):
        words += ["--build-arg", f"BASE_IMAGE={base}"]
    done = subprocess.run(
        [*words, str(folder)],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def steps(output: str) -> dict[str, bool]:
    """Instruction -> whether it came from the cache (the classic builder's words)."""
    found = {}
    for part in re.split(r"(?m)^Step \d+/\d+ : ", output)[1:]:
        found[part.split("\n", 1)[0]] = "Using cache" in part
    return found


@pytest.mark.long  # it builds the whole image
def test_an_edit_of_the_application_reinstalls_nothing(tmp_path: Path) -> None:
    copy, tag = tmp_path / "copy", name_for()
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv*", ".*_cache", "__pycache__"))
    try:
        build(copy, tag)
        page = copy / "app" / "__init__.py"
        page.write_text(page.read_text() + "\n# edited\n")
        done = steps(build(copy, tag))
        installs = {step: cached for step, cached in done.items() if "pip install" in step or "apt-get" in step}
        assert len(installs) >= 2
        assert all(installs.values()), installs
        copied = {step: cached for step, cached in done.items() if step.startswith("COPY app ")}
        assert copied
        assert not any(copied.values()), copied
    finally:
        docker("rmi", "-f", tag, check=False)
