"""The verbs, other commands, and the commands of old Dockerfiles."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .box import RUNTIME, Box, child_image, run_once, wait_until, write_files
from .test_old_images import own_certificate

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
    assert text.count("cannot be loaded") + text.count("no WSGI or ASGI application found") == 1


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
    assert done.stdout.split() == ["/opt/flagon/venv", "True", "sqlite:////data/app.db"]


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
            assert "2 workers" in box.wait_log("2 workers x ")


@pytest.mark.parametrize(("command", "env", "port", "why"), [
    (["python", "main.py"], {}, 5000, "app.run() in main.py"), (["flask", "run"], {}, 5000, "flask run's own port"),
    (["gunicorn", "main:app"], {}, 8000, "gunicorn's own port"),
    (["flask", "run"], {"FLASK_RUN_PORT": "5001"}, 5001, "FLASK_RUN_PORT"),
])  # fmt: skip
def test_the_port_that_a_command_means_is_there_beside_ours(
    command: list[str], env: dict[str, str], port: int, why: str
) -> None:
    with Box(env=env, command=command, files={"main.py": GUARDED}, ports=[port]) as box:
        assert box.get("/").status_code == 200
        assert box.get("/", port=port).status_code == 200
        assert f"({port}: {why})" in box.wait_log("listening on")
        assert f"0.0.0.0:{port}" in box.wait_log("listening on")


def test_gunicorns_file_by_its_option() -> None:
    """Settings, a hook with a module of the application's, the port, no old image's mark; a reload reads it again."""
    conf = "import shared\nbind = '0.0.0.0:8000'\ntimeout = 300\nthreads = 2\nuser = 'www-data'\n"
    hook = "def post_fork(server, worker):\n    print('hook', shared.WORD, {!r})\n"
    files = {"main.py": FLASK, "shared.py": "WORD = 'ran'\n", "conf/__init__.py": ""}
    files["conf/g.py"] = conf + hook.format("one")
    with Box(command=["gunicorn", "-c", "python:conf.g", "main:app"], files=files, port=8000, ports=[8080]) as box:
        assert box.get("/").status_code == box.get("/", port=8080).status_code == 200
        log = box.wait_log("listening on")
        assert "(8000: bind in python:conf.g)" in log
        assert "hook ran one" in box.wait_log("hook ran")
        assert "user is ignored: RUN_AS says who runs the application" in box.wait_log("user is ignored")
        assert "-c is ignored" not in box.logs()
        assert box.folder
        (box.folder / "conf" / "g.py").write_text(conf + hook.format("two"))
        box.exec("flagon", "reload")
        assert "hook ran two" in box.wait_log("hook ran two")
    for name, word in (("conf/none.py", "/app/conf/none.py"), ("python:conf.none", "python:conf.none")):
        done = run_once(["gunicorn", "-c", name, "main:app"], files=files)
        assert (done.returncode, word in done.stderr) == (78, True)


def test_gunicorns_own_object_in_a_module_that_lies_elsewhere() -> None:
    both = FLASK + "def application(environ, answer):\n    answer('200 OK', [])\n    return [b'wrapped']\n"
    for files, env, module in (
        ({"main.py": both}, {}, "main"),
        ({"x.txt": "", "lib/deep/run.py": both}, {"PYTHONPATH": "/app/lib/deep"}, "run"),
        ({"src/main.py": both}, {}, "--chdir=src main"),
    ):  # fmt: skip
        with Box(env=env, command=["gunicorn", *module.split()], files=files) as box:
            assert box.get("/").text == "wrapped"


def test_gunicorn_s_words_in_one_env_file_line_and_one_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "env").write_text('GUNICORN_CMD_ARGS="-w 2 --timeout 66"\n')
    done = run_once(["config"], args=["--env-file", str(tmp_path / "env")])
    assert re.search(r"WEB_CONCURRENCY +2 +GUNICORN_CMD_ARGS", done.stdout)
    assert re.search(r"TIMEOUT +66 +GUNICORN_CMD_ARGS", done.stdout)
    done = run_once(["gunicorn", "--wrokers", "main:app"], files={"main.py": FLASK}, timeout=30)
    assert done.returncode == 78
    assert "command line: gunicorn says: unrecognized arguments: --wrokers" in done.stdout + done.stderr


def test_tls_of_gunicorn_s_is_refused_until_nginx_ends_it() -> None:
    key, crt = own_certificate()
    command = ["gunicorn", "--certfile", "c.pem", "--keyfile", "k.pem", "-b", ":443", "main:app"]
    files = {"main.py": FLASK.replace("SERVER_SOFTWARE", "wsgi.url_scheme"), "k.pem": key, "c.pem": crt}
    done = run_once(command, files=files)
    assert done.returncode == 78
    assert "--certfile asks for TLS" in done.stderr
    server = "listen 443 ssl;\nssl_certificate /app/c.pem;\nssl_certificate_key /app/k.pem;\n"
    with Box(command=command, files={**files, "nginx/server.d/tls.conf": server}) as box:
        assert "your nginx file ends TLS" in box.wait_log("ends TLS")
        assert box.exec("curl", "-sk", "https://127.0.0.1:443/") == "https by the application"


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


# -- what check sees

PRESTART = b"#!/bin/sh\r\nexport THREADS=7\r\necho hooked\r\n"
ASGI = "class App:\n    async def __call__(self, scope, receive, send): pass\nglobals()['app'] = App()\n"
CHECKED = f"""FROM {RUNTIME}
WORKDIR /srv
COPY app.py asgi.py boot.sh /srv/
COPY prestart.sh /app/
RUN chmod +x boot.sh && flagon check
CMD ["gunicorn", "-k", "celery", "app:app"]
"""


@pytest.fixture(scope="module")
def checked() -> Iterator[str]:
    """An image that checks itself at its build, with a hook, and a command that no start accepts."""
    app = "import os\n" + FLASK + "@app.get('/threads')\ndef threads(): return os.environ['THREADS']\n"
    files = {"app.py": app, "asgi.py": ASGI, "boot.sh": b"#!/bin/sh\r\necho no\r\n", "prestart.sh": PRESTART}
    with child_image(CHECKED, files) as image:
        yield image


ANY_WIRE = {"WORKER_CLASS": ""}  # whichever wire the tests are run on: the command is to say the class


@pytest.mark.parametrize(("words", "env", "code", "said"), [
    (["check"], {}, 0, "not run by `check`: /app/prestart.sh"),
    ([], ANY_WIRE, 78, "'celery' is not accepted for WORKER_CLASS"),
    ([], {**ANY_WIRE, "FLAGON_CHECK": "1"}, 78, "'celery' is not accepted for WORKER_CLASS"),
    (["check", "gunicorn", "-k", "celery", "app:app"], ANY_WIRE, 78, "'celery' is not accepted"),
    (["check", "gunicorn", "-w", "2", "app:app"], {}, 0, "command line says so"),
    (["serve"], {"FLAGON_CHECK": "1"}, 0, "hooked"),
    (["sh", "-c", "exit 5"], {"FLAGON_CHECK": "on"}, 0, "is a program that is run as it is"),
    (["check", "no-such-program"], {}, 127, "no such command"),
    (["no-such-program"], {}, 127, "no such command"),
    (["./boot.sh"], {}, 127, "Windows line ends"),
    (["check", "./boot.sh"], {}, 127, "Windows line ends"),
    (["serve"], {"APP_MODULE": "none:app"}, 78, "no module named 'none'"),
    (["check"], {"APP_MODULE": "none:app"}, 78, "no module named 'none'"),
    (["serve"], {"APP_MODULE": "asgi:app"}, 78, "Set WORKER_CLASS=asgi"),
    (["check"], {"APP_MODULE": "asgi:app"}, 78, "Set WORKER_CLASS=asgi"),
    (["check"], {"APP_MODULE": "asgi:app", "WORKER_CLASS": "asgi"}, 0, "ASGI, by gunicorn's asgi worker"),
    (["serve"], {"APP_MODULE": "app:app", "WORKER_CLASS": "asgi"}, 78, "it is WSGI"),
    (["serve"], {"FLAGON_CHECK": "maybe"}, 78, "FLAGON_CHECK='maybe' is not accepted"),
])  # fmt: skip
def test_check_and_start_end_with_one_code(
    checked: str, words: list[str], env: dict[str, str], code: int, said: str
) -> None:
    done = run_once(words, env=env, image=checked)
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True)


def test_a_check_at_the_build_leaves_no_secret_in_the_image(checked: str) -> None:
    assert run_once(["-A", "/data"], image=checked, args=["--entrypoint", "ls"]).stdout == ""


def test_hooks_run_from_any_folder_with_any_line_ends_and_are_said_at_any_level(checked: str) -> None:
    with Box({"LOG_LEVEL": "error"}, image=checked, command=["serve"]) as box:
        assert box.get("/threads").text == "7"
        log = box.logs()
        assert "Checking for script in /app/prestart.sh" in log
        assert "Running script /app/prestart.sh" in log
        shown = box.exec("flagon", "config", "--fragments")
        assert "listen [::]:8080" in shown
        assert box.exec("cat", "/run/flagon/fragments/listen.conf").strip() in shown
        # A command sees what was given, not what was made of it; where no box is found, config does.
        inner = "import json, sys; found = json.load(sys.stdin); print(*(found[n]['source'] for n in sys.argv[1:]))"
        command = (
            f'RUNTIME_DIR=/dev/shm/none flagon config --json | python -c "{inner}" PORT DATABASE_URL THREADS SECRET_KEY'
        )
        assert box.exec("flagon", "sh", "-c", command).split() == ["default", "default", "default", "/data/secret_key"]


# -- more than one command, and what leads to a server

WHO = """import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = ("X", "MADE", "AGENT", "AGENT_OF_APP")
    found = [os.environ.get(name, "-") for name in names]
    return [" ".join([*found, str(os.getuid()), os.path.basename(os.getcwd())]).encode()]
if __name__ == "__main__":
    open("/tmp/tables", "w").close()
    from wsgiref.simple_server import make_server
    make_server("", 8080, app).serve_forever()
"""
AGENT = {
    "bin/ddtrace-run": '#!/bin/sh\nexport PYTHONPATH=/agent\nexec "$@"\n',
    "sitecustomize.py": "import os, sys\nos.environ['AGENT'] = 'early' if 'wsgi' not in sys.modules else 'late'\n",
}
BOOT = "#!/bin/sh\necho migrating as $(id -u)\nexec gunicorn -w 1 -b :8080 wsgi:app\n"


@pytest.fixture(scope="module")
def agent() -> dict[str, str]:
    """A folder as ddtrace-run's: the program beside the sitecustomize that it puts into PYTHONPATH."""
    folder = write_files(AGENT)
    os.chmod(os.path.join(folder, "bin", "ddtrace-run"), 0o755)
    return {str(folder): "/agent"}


PATH = "/agent/bin:/opt/flagon/bin:/opt/flagon/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def test_a_login_shell_has_the_programs_and_the_box_has_nginx() -> None:
    """/etc/profile sets PATH anew, without /usr/sbin and without any environment of ours."""
    line = "flask --version && gunicorn wsgi:app --bind 0.0.0.0:$PORT --workers ${WEB:-1}"
    with Box(image=RUNTIME, command=["bash", "-lc", line], env={"PORT": "8080"}, files={"wsgi.py": WHO}) as box:
        assert box.get("/").headers["Server"] == "nginx"
        assert "Werkzeug" in box.logs()
        # Beside a box, config says what that has decided: nobody else knows its command.
        assert re.search(r"^WEB_CONCURRENCY +1 +command line$", box.exec("flagon", "config"), re.MULTILINE)


def test_first_steps_wrappers_and_an_agent(agent: dict[str, str]) -> None:
    """A runs first as the application's user; its exports and cd count; the agent is there before the application."""
    line = "echo first as $(id -u) && export MADE=1 D=src && cd $D && "
    line += "X=7 exec ddtrace-run gunicorn -w $((1 + 0)) wsgi:app"
    files = {"src/wsgi.py": WHO, "sitecustomize.py": "import os\nos.environ['AGENT_OF_APP'] = 'harm'\n"}
    with Box(image=RUNTIME, command=["sh", "-c", line], env={"PATH": PATH}, files=files, mounts=agent) as box:
        answer = box.get("/")
        assert answer.text == "7 1 early - 10001 src"
        assert answer.headers["Server"] == "nginx"
        log = box.logs()
        assert "first as 10001" in log
        assert "1 worker" in log
        assert log.count("SERVE_CMD=off") == 1
        assert "no such" not in box.exec("flagon", "reload")
        assert box.get("/").text == "7 1 early - 10001 src"


def test_an_agent_of_an_operator(agent: dict[str, str]) -> None:
    """PYTHONPATH alone, as Kubernetes' operators inject it; the application's own file of that name does no harm."""
    files = {"wsgi.py": WHO, "sitecustomize.py": "import os\nos.environ['AGENT_OF_APP'] = 'harm'\n"}
    with Box(image=RUNTIME, env={"PYTHONPATH": "/app:/agent"}, files=files, mounts=agent) as box:
        assert box.get("/").text.split()[2:4] == ["early", "-"]


def test_a_first_step_that_fails_ends_the_container() -> None:
    done = run_once(["sh", "-c", "echo before; (exit 9) && gunicorn wsgi:app"], image=RUNTIME, files={"wsgi.py": WHO})
    assert done.returncode == 9
    assert "ended with code 9" in done.stderr
    files = {"wsgi.py": WHO, "Procfile": "web: sh -c 'exit 7' && gunicorn wsgi:app\n"}
    assert run_once(image=RUNTIME, files=files).returncode == 7


def test_a_procfile_s_line_is_run_as_a_command_is() -> None:
    line = "D=src; cd $D; echo mine; false; X=3 gunicorn -w $(echo 1) wsgi:app"
    files = {"src/wsgi.py": WHO, "Procfile": f"web: {line}\nrelease: db up\n"}
    with Box(image=RUNTIME, files=files) as box:
        assert box.get("/").text == "3 - - - 10001 src"
        log = box.logs()
        for words in ("mine", "ended with code 1, and `;` goes on", "1 worker", "`release: db up` is not run"):
            assert words in log


def test_a_procfile_s_script_is_run_once_where_nothing_else_is_found() -> None:
    """As the same CMD would be: `exec gunicorn` at its end is the box. A check says so, commands have a SECRET_KEY."""
    files: dict[str, str | bytes] = {"pkg/web.py": WHO, "Procfile": "web: sh boot.sh\n"}
    files["boot.sh"] = "echo before the server\nexport X=4\nexec gunicorn -w 1 pkg.web:app\n"
    with Box(image=RUNTIME, files=files) as box:
        assert (box.get("/").headers["Server"], box.get("/").text.split()[0]) == ("nginx", "4")
        log = box.logs()
        assert (log.count("before the server"), "1 worker" in log) == (1, True)
        assert box.stop()[1] == 0
    for command, env in ((["check"], {}), ([], {"FLAGON_CHECK": "1"})):
        done = run_once(command, env=env, image=RUNTIME, files=files)
        assert (done.returncode, "`gunicorn -w 1 pkg.web:app`, Flagon serves pkg.web:app" in done.stdout) == (0, True)
    assert len(run_once(["sh", "-c", "echo $SECRET_KEY"], image=RUNTIME, files=files).stdout.strip()) > 30
    again = run_once(image=RUNTIME, files={**files, "boot.sh": "exec flagon serve\n"})
    assert (again.returncode, again.stderr.count("line is run")) == (78, 1)
    unknown = run_once(image=RUNTIME, files={**files, "Procfile": "web: kinto start\n"})
    assert (unknown.returncode, 'CMD ["kinto", "start"]' in unknown.stderr) == (78, True)


def test_a_boot_script_in_place_of_our_entrypoint() -> None:
    """`exec gunicorn` as process 1: the box, as uid 10001; its own words hold. SERVE_CMD=off: the real one."""
    files: dict[str, str | bytes] = {"wsgi.py": WHO, "boot.sh": BOOT}
    options = ["--entrypoint", "sh"]
    with Box(image=RUNTIME, command=["sh", "./boot.sh"], files=files) as box:
        answer = box.get("/")
        assert (answer.headers["Server"], answer.text.split()[4]) == ("nginx", "10001")
        assert "migrating as 10001" in box.logs(), "as the image's command it is no root's"
        assert "1 worker" in box.logs()
    with Box(image=RUNTIME, args=options, command=["boot.sh"], files=files) as box:
        answer = box.get("/")
        assert (answer.headers["Server"], answer.text.split()[4]) == ("nginx", "10001")
        assert "migrating as 0" in box.logs()
        assert "1 worker" in box.logs()
        assert box.exec("/opt/flagon/healthcheck") == ""
        # Not process 1: the real ones, and no loop.
        assert re.match(r"gunicorn \(version", box.exec("gunicorn", "--version"))
        assert re.match(r"gunicorn", box.exec("python", "-m", "gunicorn", "--version"))
        box.exec("gunicorn", "--check-config", "wsgi:app")
        assert "RUN pip install uwsgi" in box.exec("uwsgi", "--version", check=False)
        assert "version" in box.exec("flagon", "gunicorn", "--version")
    off = {"SERVE_CMD": "off"}
    with Box(image=RUNTIME, args=options, command=["boot.sh"], env=off, files=files, wait=False) as box:
        box.wait_up(path="/")
        assert box.get("/").headers["Server"] == "gunicorn"
    done = run_once(["--version"], image=RUNTIME, args=["--entrypoint", "gunicorn"])
    assert done.stdout.startswith("gunicorn (version")


def test_a_server_past_nginx_is_named_and_nothing_is_asked_of_it() -> None:
    files = {"wsgi.py": WHO, "boot.sh": "#!/bin/sh\ngunicorn -b :8080 wsgi:app\n"}
    with Box(image=RUNTIME, command=["sh", "boot.sh"], files=files, wait=False) as box:
        box.wait_up(path="/")
        assert box.get("/").headers["Server"] == "gunicorn"
        assert "let boot.sh end in `exec flagon serve gunicorn ...`" in box.logs()
        assert "another command runs here" in box.exec("/opt/flagon/healthcheck")


def test_a_script_of_the_working_directory_beside_an_application_in_src() -> None:
    files = {
        "src/app.py": WHO,
        "worker.sh": "#!/bin/sh\necho worker in $PWD\n",
        "jobs.py": "print('a job')\n",
        "more/x.py": "1\n",
    }
    assert run_once(["sh", "worker.sh"], image=RUNTIME, files=files).stdout == "worker in /app\n"
    assert run_once(["python", "jobs.py"], image=RUNTIME, files=files).stdout == "a job\n"
    done = run_once(["more/x.py"], image=RUNTIME, files=files)
    assert (done.returncode, 'CMD ["python", "more/x.py"]' in done.stderr) == (126, True)


def test_a_boot_script_where_another_gunicorn_is_first_on_path() -> None:
    """Our stand-in is not found there. `exec flagon serve` with its words is the way: port and workers hold."""
    script = "#!/bin/sh\nexport PATH=/opt/flagon/venv/bin:$PATH\nexec %s gunicorn -w 2 -b :5050 wsgi:app\n"
    files: dict[str, str | bytes] = {"wsgi.py": WHO, "past.sh": script % "env", "boot.sh": script % "flagon serve"}
    options = ["--entrypoint", "sh"]
    with Box(image=RUNTIME, args=options, command=["past.sh"], files=files, port=5050, wait=False) as box:
        box.wait_up(path="/")
        assert "gunicorn runs here past the box, nothing to ask" in box.exec("/opt/flagon/healthcheck")
    with Box(image=RUNTIME, args=options, command=["boot.sh"], files=files, port=5050) as box:
        answer = box.get("/")
        assert (answer.headers["Server"], answer.text.split()[4]) == ("nginx", "10001")
        assert "2 workers" in box.logs()
        assert box.exec("/opt/flagon/healthcheck") == ""
    done = run_once(["serve", "sleep", "1"], image=RUNTIME, files=files)
    assert (done.returncode, "`flagon sleep 1` runs the command" in done.stderr) == (64, True)
    done = run_once(["serve", "gunicorn", "wsgi:app"], image=RUNTIME, files=files, env={"FLAGON_CHECK": "1"})
    assert (done.returncode, "ok: wsgi:app" in done.stdout) == (0, True)


def test_healthcheck_where_another_command_runs() -> None:
    with Box(image=RUNTIME, args=["--health-interval", "1s"], command=["sleep", "60"], wait=False) as box:
        wait_until(lambda: box.exec("cat", "/proc/1/cmdline").startswith("sleep"), 10, "sleep")
        assert box.exec("/opt/flagon/healthcheck") == "another command runs here, nothing to ask\n"
        wait_until(lambda: box.state("Health.Status") == "healthy", 15, "for who waits for it, as compose does")
    # A box that has not come up is no other command.
    files = {"wsgi.py": WHO, "prestart.sh": "sleep 60\n"}
    with Box(image=RUNTIME, files=files, wait=False) as box:
        box.wait_log("Running script")
        assert "not serving" in box.exec("/opt/flagon/healthcheck", check=False)


OWN = """[supervisord]
nodaemon=true
[program:nginx]
command=nginx -g "daemon off;"
[program:web]
command=gunicorn -w 1 wsgi:app
environment=X="5"
[program:mine]
command=sh -c "echo mine runs; sleep 600"
"""


def test_supervisord_with_a_file_of_its_own() -> None:
    files = {"wsgi.py": WHO, "own.conf": OWN}
    with Box(image=RUNTIME, command=["/usr/bin/supervisord", "-n", "-c", "/app/own.conf"], files=files) as box:
        assert box.get("/").text.split()[0] == "5"
        assert box.get("/").headers["Server"] == "nginx"
        log = box.wait_log("mine runs") + box.logs()
        assert "[program:web] is left out" in log
        assert "SERVE_CMD" not in log
    done = run_once(["supervisord", "-c", "none.conf"], image=RUNTIME, files=files)
    assert done.returncode == 78
    assert "/app/none.conf: there is no such file" in done.stderr


def test_what_is_below_the_main_guard_is_named() -> None:
    with Box(image=RUNTIME, command=["python", "wsgi.py"], files={"wsgi.py": WHO}) as box:
        (line,) = [line for line in box.lines() if "is not run, as the application is imported" in line]
        assert "wsgi.py line 8" in line


@pytest.mark.parametrize(("command", "code", "words"), [
    (["uvicorn", "main:app"], None, ["it is a FastAPI, not an ASGI callable"]),
    (["hypercorn", "wsgi:other:app"], 78, ["it is ASGI", "WORKER_CLASS=asgi"]),
    (["main.py"], 127, ['CMD ["python", "main.py"]']),
    (["uwsgi", "--help"], 127, ["it is not installed: leave it out"]),
])  # fmt: skip
def test_a_command_that_cannot_be_has_a_next_step(command: list[str], code: int | None, words: list[str]) -> None:
    files = {
        "main.py": "class FastAPI: ...\napp = FastAPI()\n",
        "other.py": "async def one(scope, receive, send): ...\nglobals()['app'] = one\n",
    }
    done = run_once(command, env=ANY_WIRE, image=RUNTIME, files=files, timeout=30)
    assert done.returncode == code if code else done.returncode not in (0, 137)
    for word in words:
        assert word in done.stdout + done.stderr
