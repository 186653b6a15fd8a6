"""The verbs, other commands, and the commands of old Dockerfiles."""

from __future__ import annotations

import re
import time

import pytest

from .box import RUNTIME, Box, free_port, run_once

FLASK = """from flask import Flask
app = Flask(__name__)
@app.get("/")
def index():
    from flask import request
    return request.environ["SERVER_SOFTWARE"] + " by the application"
"""
GUARDED = FLASK + '\nif __name__ == "__main__":\n    app.run(host="0.0.0.0", port=5000)\n'
UNGUARDED = FLASK + '\napp.run(host="0.0.0.0", port=5000)\n'


# -- verbs


def test_check_of_the_starter() -> None:
    done = run_once(["check"])
    assert done.returncode == 0
    assert done.stdout.startswith("ok: ")


@pytest.mark.parametrize(
    ("files", "env", "words"),
    [
        ({"main.py": "from flask import Flask\napp = Flask(\n"}, {"APP_MODULE": "main:app"}, ["main.py", "line 2"]),
        ({"main.py": "app = Flask(\n"}, {}, ["main.py", "APP_MODULE"]),
        ({"main.py": "import nothere\n" + FLASK}, {}, ["nothere", "requirements.txt", "main:app"]),
        ({"main.py": FLASK}, {"APP_MODULE": "main:shop"}, ["main:shop", "APP_MODULE", "shop"]),
        ({"main.py": FLASK}, {"APP_MODULE": "shop:app"}, ["shop", "APP_MODULE"]),
        ({"main.py": FLASK + "\nraise ValueError('no database')\n"}, {}, ["no database", "main.py"]),
        ({"main.py": "app = object()\n"}, {}, ["not a WSGI", "main:app"]),
        ({"readme.txt": "no application here"}, {}, ["APP_MODULE=", "/app"]),
    ],
)
@pytest.mark.parametrize("verb", ["check", "serve"])
def test_a_broken_application(files: dict[str, str], env: dict[str, str], words: list[str], verb: str) -> None:
    begun = time.monotonic()
    done = run_once([verb], env=env, files=files, timeout=20)
    assert time.monotonic() - begun < 8
    assert done.returncode == 78 if verb == "check" else done.returncode not in (0, 137)
    text = done.stdout + done.stderr
    for word in words:
        assert word in text, word
    # said once, not by every worker
    assert text.count("cannot be loaded") + text.count("no WSGI application found") == 1


def test_check_finds_bad_settings_too() -> None:
    assert run_once(["check"], env={"PORT": "x"}).returncode == 78


def test_runtime_without_an_application_says_what_to_do() -> None:
    done = run_once(image=RUNTIME, timeout=20)
    assert done.returncode == 78
    assert "APP_MODULE" in done.stderr


def test_config_is_a_table() -> None:
    done = run_once(["config"])
    assert done.returncode == 0
    assert re.search(r"(?m)^WEB_CONCURRENCY +\d+ +computed$", done.stdout)
    assert re.search(r"(?m)^SECRET_KEY +\*{8} ", done.stdout)


def test_config_of_the_fragments() -> None:
    done = run_once(["config", "--fragments"])
    listen = done.stdout.partition("# fragments/listen.conf\n")[2].partition("\n\n")[0]
    assert "listen 0.0.0.0:8080 default_server" in listen


def test_config_with_a_wrong_option() -> None:
    assert run_once(["config", "--yaml"]).returncode == 64


def test_secret() -> None:
    first, second = (run_once(["secret"]).stdout.strip() for _ in range(2))
    assert len(first) >= 43
    assert first != second
    assert run_once(["config"], env={"SECRET_KEY": first}).returncode == 0


def test_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", run_once(["version"]).stdout)


def test_verbs_work_inside_a_running_box(starter: Box) -> None:
    assert "WEB_CONCURRENCY" in starter.exec("flagon", "config")
    assert starter.exec("flagon", "check").startswith("ok: ") or "ok: " in starter.exec("flagon", "check")
    assert starter.get("/").status_code == 200


def test_output_that_nobody_reads_to_its_end_is_no_error(starter: Box) -> None:
    script = "for n in 1 2 3 4 5 6 7 8; do flagon config 2>>/tmp/said | head -1 >/dev/null; echo ${PIPESTATUS[0]}; done"
    assert set(starter.exec("bash", "-c", script).split()) <= {"0", "141"}
    assert starter.exec("cat", "/tmp/said") == ""


# -- any other command


def test_a_command_in_the_application_s_environment() -> None:
    script = "import sys, flask, os; print(sys.prefix, bool(os.environ['SECRET_KEY']), os.environ['DATABASE_URL'])"
    done = run_once(["python", "-c", script])
    assert done.stdout.split() == ["/opt/venv", "True", "sqlite:////data/app.db"]


def test_flask_routes_of_the_starter() -> None:
    done = run_once(["flask", "routes"])
    assert done.returncode == 0
    assert "/static/<path:filename>" in done.stdout


def test_flask_routes_of_an_application() -> None:
    done = run_once(["flask", "routes"], files={"main.py": FLASK})
    assert "index" in done.stdout


@pytest.mark.parametrize("code", [0, 1, 3, 42, 255])
def test_exit_codes_pass_through(code: int) -> None:
    assert run_once(["python", "-c", f"import sys; sys.exit({code})"]).returncode == code


def test_an_unknown_command_is_127() -> None:
    done = run_once(["no-such-command"])
    assert done.returncode == 127
    assert "no-such-command" in done.stderr


def test_a_file_that_is_no_program_is_126() -> None:
    assert run_once(["/etc/passwd"]).returncode == 126


def test_a_command_works_while_the_application_is_broken() -> None:
    done = run_once(["python", "-c", "print('still here')"], files={"main.py": "app = Flask(\n"})
    assert done.stdout == "still here\n"


# -- commands of old Dockerfiles


@pytest.mark.parametrize(
    "command",
    [
        ["python", "main.py"],
        ["python3", "-u", "main.py"],
        ["flask", "run"],
        ["flask", "--app", "main", "run", "--host=0.0.0.0"],
        ["python", "-m", "flask", "run", "--host", "0.0.0.0"],
        ["gunicorn", "main:app"],
        ["sh", "-c", "exec gunicorn -w 2 main:app"],
    ],
)
def test_served_instead(command: list[str]) -> None:
    with Box(command=command, files={"main.py": GUARDED}) as box:
        answer = box.get("/")
        assert answer.status_code == 200
        assert "Werkzeug" not in answer.text
        assert answer.headers["Server"] == "nginx"
        lines = [line for line in box.lines() if "SERVE_CMD=off" in line]
        assert len(lines) == 1
        assert command[0] in lines[0]


@pytest.mark.parametrize(
    "command",
    [
        ["gunicorn", "-w", "2", "-b", "0.0.0.0:5000", "main:app"],
        ["flask", "run", "--port", "5000"],
        ["flask", "run", "-p5000"],
    ],
)
def test_the_port_of_an_old_command(command: list[str]) -> None:
    with Box(command=command, files={"main.py": GUARDED}, port=5000) as box:
        assert box.get("/").status_code == 200
        if "-w" in command:
            assert "2 workers" in box.wait_log("threads (")


def test_the_port_of_app_run_is_not_needed() -> None:
    port = free_port()
    with Box(command=["python", "main.py"], files={"main.py": GUARDED}, args=["-p", f"127.0.0.1:{port}:8080"]) as box:
        assert box.session.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 200


def test_the_port_variable_beats_an_old_command() -> None:
    command = ["gunicorn", "-b", "0.0.0.0:5000", "main:app"]
    with Box(command=command, env={"PORT": "7000"}, files={"main.py": GUARDED}, port=7000) as box:
        assert box.get("/").status_code == 200


def test_serve_cmd_off_runs_it_as_it_is() -> None:
    env = {"SERVE_CMD": "off"}
    with Box(command=["python", "main.py"], env=env, files={"main.py": GUARDED}, port=5000, wait=False) as box:
        box.wait_up(path="/")
        assert "Werkzeug" in box.get("/").text


def test_a_script_that_is_no_application_is_run() -> None:
    done = run_once(["python", "seed.py"], files={"main.py": FLASK, "seed.py": "print('seeded')\n"})
    assert (done.returncode, done.stdout) == (0, "seeded\n")


@pytest.mark.parametrize("verb", [[], ["python", "main.py"], ["check"]])
def test_an_unguarded_app_run_ends_with_a_message(verb: list[str]) -> None:
    begun = time.monotonic()
    done = run_once(verb, files={"main.py": UNGUARDED}, timeout=20)
    assert time.monotonic() - begun < 8
    assert done.returncode not in (0, 137)
    text = done.stdout + done.stderr
    assert "__main__" in text
    assert "main.py" in text
