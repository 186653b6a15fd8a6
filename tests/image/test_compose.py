"""`docker compose up`, the second way to run: what is written stays until its volume is removed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from .box import IMAGE, RUNTIME, Box, docker, free_port, name_for, wait_until
from .servers import PASSWORD, POSTGRES, volume

ROOT = Path(__file__).parents[2]
NOTE = {"title": "kept", "body": "word for word: é %s 'x'"}


class Project:
    """compose.yaml in a folder and a project of its own, so that neither the checkout's .env nor its volumes matter."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.name, self.env = folder, name_for(), env
        for name in ("compose.yaml", "compose.dev.yaml"):
            shutil.copy(ROOT / name, folder)

    def compose(self, *words: str, check: bool = True, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """With nothing from this process's environment that compose.yaml would read."""
        env = {key: os.environ[key] for key in ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG") if key in os.environ}
        done = subprocess.run(
            ["docker", "compose", "-p", self.name, *words],
            cwd=self.folder,
            env={**env, **self.env},
            capture_output=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )
        if check and done.returncode:
            raise AssertionError(f"docker compose {' '.join(words)}: {done.returncode}\n{done.stderr}\n{self.logs()}")
        return done

    def logs(self) -> str:
        return self.compose("logs", "--no-color", check=False).stdout

    def up(self) -> None:
        self.compose("up", "--detach", "--no-build")
        wait_until(self.ready, 30, "/ready")

    def ready(self) -> bool:
        try:
            return requests.get(self.url("/ready"), timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.env['PORT'].rpartition(':')[2]}{path}"

    def leftovers(self) -> str:
        mine = ("--filter", f"label=com.docker.compose.project={self.name}")
        return "".join(
            docker(*what, "-q", *mine).stdout for what in (("ps", "-a"), ("volume", "ls"), ("network", "ls"))
        )


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    # compose.yaml alone takes an address as well: the tests publish nothing to the outside.
    env = {"PORT": f"127.0.0.1:{free_port()}", "FLAGON_IMAGE": IMAGE, "POSTGRES_IMAGE": POSTGRES}
    project = Project(tmp_path, env)
    try:
        yield project
    finally:
        project.env.setdefault("POSTGRES_PASSWORD", "any")
        print(project.logs())
        project.compose("down", "--volumes", "--timeout", "3", check=False)
    assert project.leftovers() == ""


def titles(url: str) -> list[str]:
    return [note["title"] for note in requests.get(url, timeout=10).json()["notes"]]


def write(url: str) -> None:
    assert requests.post(url, json=NOTE, timeout=10).status_code == 201


def test_written_stays(project: Project) -> None:
    """Through `down`, not through `down -v`; the password comes from .env and holds every awkward character."""
    quoted = PASSWORD.replace("'", "")
    (project.folder / ".env").write_text(f"POSTGRES_PASSWORD='{quoted}'\n", encoding="utf-8")
    project.up()
    write(project.url("/api/notes"))
    project.compose("down")
    project.up()
    assert requests.get(project.url("/api/notes"), timeout=10).json()["notes"][0].items() >= NOTE.items()
    query = ("psql", "-U", "flagon", "flagon", "-Atc", f"SELECT count(*) FROM notes WHERE title = '{NOTE['title']}'")
    assert project.compose("exec", "-T", "db", *query).stdout.strip() == "1", "not in Postgres"
    project.compose("down", "--volumes")
    project.up()
    assert titles(project.url("/api/notes")) == []


def test_order(project: Project) -> None:
    """web starts after the database's first start, whose temporary server answers on its socket for a while."""
    slow = "services: {db: {volumes: ['./slow.sh:/docker-entrypoint-initdb.d/slow.sh:ro']}}"
    (project.folder / "slow.yaml").write_text(slow, encoding="utf-8")
    (project.folder / "slow.sh").write_text("sleep 7\n", encoding="utf-8")
    project.env |= {"POSTGRES_PASSWORD": "any", "COMPOSE_FILE": "compose.yaml:slow.yaml"}
    project.up()
    database, web = (project.compose("ps", "-q", name).stdout.strip() for name in ("db", "web"))
    done = docker("logs", "-t", database)
    initialized = next(line.split()[0] for line in done.stderr.splitlines() if line.endswith("initialized"))
    assert docker("inspect", "-f", "{{.State.StartedAt}}", web).stdout > initialized


@pytest.mark.parametrize("given", [None, ""])
def test_no_password(project: Project, given: str | None) -> None:
    if given is not None:
        (project.folder / ".env").write_text(f"POSTGRES_PASSWORD={given}\n", encoding="utf-8")
    refused = project.compose("up", "--detach", "--no-build", check=False)
    assert refused.returncode != 0
    assert "POSTGRES_PASSWORD is missing a value: set it in .env" in refused.stderr
    assert project.leftovers() == ""


def configuration(project: Project, *files: str) -> dict[str, Any]:
    words = [word for name in files for word in ("-f", name)]
    return dict(json.loads(project.compose(*words, "config", "--format", "json").stdout))


def test_configuration(project: Project) -> None:
    """What is published where, with and without the override for development."""
    project.env |= {"POSTGRES_PASSWORD": PASSWORD, "PORT": "8123"}
    usual = configuration(project, "compose.yaml")["services"]
    assert [(port.get("host_ip"), port["published"], port["target"]) for port in usual["web"]["ports"]] == [
        (None, "8123", 8080)
    ]
    assert "ports" not in usual["db"]
    assert usual["web"]["environment"]["PGPASSWORD"].replace("$$", "$") == PASSWORD
    assert not {"PORT", "FLASK_DEBUG"} & usual["web"]["environment"].keys()

    edited = configuration(project, "compose.yaml", "compose.dev.yaml")["services"]["web"]
    assert [(port["host_ip"], port["published"]) for port in edited["ports"]] == [("127.0.0.1", "8123")]
    assert edited["environment"]["FLASK_DEBUG"] == "1"
    binds = [one for one in edited["volumes"] if one["type"] == "bind"]
    assert [(bind["source"], bind["target"], bind["read_only"]) for bind in binds] == [
        (str(project.folder / "app"), "/app/app", True)
    ]


def test_example_names_every_variable() -> None:
    """.env.example and compose.yaml speak of the same variables."""
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    asked = {part.split("}")[0].split(":")[0] for part in text.split("${")[1:]}
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    offered = {line.lstrip("#").partition("=")[0] for line in lines if "=" in line and " " not in line}
    assert offered == asked


def test_sqlite_volume() -> None:
    """Without compose: `docker rm` and `docker run` again on the same volume."""
    with volume() as data:
        for written in ([], [NOTE["title"]]):
            with Box(args=["-v", f"{data}:/data"]) as box:
                box.wait_up(path="/ready")
                assert titles(box.url("/api/notes")) == written
                if not written:
                    write(box.url("/api/notes"))
                docker("rm", "-f", box.name)


QUICKSTART = """FROM python:3.12-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
EXPOSE 5000
"""
STARTED = (
    "",
    'CMD ["python", "app.py"]\n',
    'CMD ["flask", "run", "--host=0.0.0.0"]\n',
    'CMD ["gunicorn", "--bind", "0.0.0.0:5000", "app:app"]\n',
    "ENV FLASK_APP=app.py FLASK_RUN_HOST=0.0.0.0\nCMD flask run\n",
)
HELLO = """import os
from flask import Flask
app = Flask(__name__)

@app.route("/")
def hello():
    return os.environ["GREETING"]

if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000, debug=True)
"""


def test_a_quickstart_with_nothing_changed_but_from(tmp_path: Path) -> None:
    """Its `docker run -p 5000:5000` and its compose file, word for word but the address outside."""
    port = free_port()
    tmp_path.chmod(0o755)
    (tmp_path / "app.py").write_text(HELLO)
    (tmp_path / "requirements.txt").write_text("flask\n")
    compose = f"""version: "3"
services:
  web:
    build:
      context: .
      network: host
    ports:
      - "127.0.0.1:{port}:5000"
    volumes:
      - .:/app
    environment:
      GREETING: "hello"
"""
    (tmp_path / "docker-compose.yml").write_text(compose)
    project = Project(tmp_path, {"PORT": str(port)})
    for name in ("compose.yaml", "compose.dev.yaml"):
        (tmp_path / name).unlink()
    lines = QUICKSTART.replace("python:3.12-slim", RUNTIME)
    tag = name_for()
    try:
        for end in STARTED:
            (tmp_path / "Dockerfile").write_text(lines + end)
            docker("build", "--network", "host", "--force-rm", "--tag", tag, str(tmp_path), timeout=240)
            with Box(image=tag, env={"GREETING": "hello"}, port=5000) as box:
                assert box.get("/").text == "hello", end
                assert box.get("/up").status_code == 200
        project.compose("up", "--detach", "--build", timeout=240)
        wait_until(project.ready, 30, "/ready")
        assert requests.get(project.url("/"), timeout=5).text == "hello"
        with Box(port=5000) as box:  # `docker run -p 5000:5000 flagon`: the starter
            assert "(5000: Flask's own port)" in box.wait_log("listening on")
            assert box.get("/").status_code == 200
    finally:
        print(project.logs())
        project.compose("down", "--volumes", "--rmi", "local", "--timeout", "3", check=False)
        docker("rmi", "-f", tag, check=False)
