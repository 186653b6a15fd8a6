"""An inherited command: what starts a server is served, everything else is run as it is."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import os
import shlex
import sys

import pytest
import supervisor.options  # noqa: F401 - its classes keep the stderr of their import, which one test's capture closes
from fakes import put

from flagon import application, capacity, commands, ports, programs, script_port, users_nginx
from flagon.boot import Boot, BootError
from flagon.settings import SettingsError

FILES = {
    "app.py": "from flask import Flask\napp = Flask(__name__)\nif __name__ == '__main__':\n    app.run()\n",
    "web/site.py": "app = Flask(__name__)\n",
    "seed.py": "print('seeding')\n",
    # What scripts beside an application look like: they use it, they do not serve it.
    "fill.py": "from app import app, db\nwith app.app_context():\n    db.create_all()\n",
    "job.py": "from app import create_app\napp = create_app()\napp.app_context().push()\nprint(1)\n",
    "tool/__main__.py": "import sys\nprint(sys.argv)\n",
    "shop/__main__.py": "from . import create_app\nif __name__ == '__main__':\n    create_app('live').run()\n",
    "shop/web/__main__.py": "from ..site import app as site\nfrom waitress import serve\nserve(app := site)\n",
    "whole/__main__.py": "from flask import Flask\napp = Flask(__name__)\nif __name__ == '__main__':\n    app.run()\n",
    "run.py": "from shop import app\napp.run(debug=True)\n",
    "live.py": "from shop import create_app\nif __name__ == '__main__':\n    create_app('live').run()\n",
    "garden/manage.py": "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'garden.settings')\n",
    "group/manage.py": "from flask.cli import FlaskGroup\nfrom shop import app\ncli = FlaskGroup(app)\n",
    "manage.py": "from flask.cli import FlaskGroup\ncli = FlaskGroup()\nif __name__ == '__main__':\n    cli()\n",
}


@pytest.fixture
def served(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    def served(words, **environ):
        return commands.served_instead(list(words), environ, str(tmp_path))

    served.directory = str(tmp_path)
    return served


GUNICORN = "gunicorn app:app"


@pytest.mark.parametrize(("words", "given", "now"), [
    (["/start-reload.sh"], None, "1"), (["/start-reload.sh"], "", "1"), (["serve", "/start-reload.sh"], None, "1"),
    (["sh", "-c", "exec /start-reload.sh"], None, "1"), (["/bin/sh", "-c", "/start-reload.sh"], "0", "0"),
    (["/start.sh"], None, None), (["serve"], None, None), ([], None, None), (["./start-reload.sh"], None, None),
    (["sh", "-c", "/start-reload.sh &"], None, None), (["echo", "/start-reload.sh"], None, None),
])  # fmt: skip
def test_the_reloading_start_of_the_uvicorn_images(monkeypatch, words, given, now):
    monkeypatch.setattr(commands, "is_ours", lambda path: path in ("/start.sh", "/start-reload.sh"))
    environ = {} if given is None else {"FLASK_DEBUG": given}
    commands.switch_reload_on(words, environ)
    assert environ.get("FLASK_DEBUG") == now


def test_a_reloading_start_of_the_users_own_is_run(monkeypatch):
    monkeypatch.setattr(commands, "is_ours", lambda path: False)
    environ = {}
    commands.switch_reload_on(["/start-reload.sh"], environ)
    assert environ == {}
    assert commands.served_instead(["/start-reload.sh"], environ, "/app") is None


@pytest.mark.parametrize(("words", "old"), [
    (["/start.sh"], True), (["/start-reload.sh"], True), (["/usr/bin/supervisord", "-c", "own.conf"], True),
    (["/bin/sh", "-c", "/start.sh"], True), (["bash", "-c", "exec /start-reload.sh"], True), (["sh", "-c", "supervisord"], True),
    (["gunicorn", "main:app"], False), (["sh", "-c", "gunicorn main:app"], False), (["sh", "-c", "/start.sh | tee log"], False),
    (["sh", "-c", ""], False),
])  # fmt: skip
def test_before_which_commands_prestart_is_run(words, old):
    assert commands.starts_as_old(words, {}) == old


@pytest.mark.parametrize(("words", "application", "port"), [
    (["python", "app.py"], "app.py", None),
    (["python3", "app.py"], "app.py", None),
    (["python3.12", "app.py"], "app.py", None),
    (["/usr/local/bin/python", "app.py"], "app.py", None),
    (["python", "-u", "app.py"], "app.py", None),
    (["python", "-u", "-B", "./app.py"], "app.py", None),
    (["python", "web/site.py"], "web/site.py", None),
    (["flask", "run"], None, None),
    (["/opt/flagon/venv/bin/flask", "run"], None, None),
    (["flask", "run", "--host=0.0.0.0", "--port", "5000"], None, "5000"),
    (["flask", "run", "-h", "0.0.0.0", "-p", "5000"], None, "5000"),
    (["flask", "run", "--port=5000", "--debug"], None, "5000"),
    (["flask", "--app", "shop", "run"], "shop", None),
    (["flask", "--app=shop:create_app", "--debug", "run", "-p", "80"], "shop:create_app", "80"),
    (["flask", "-A", "shop.py", "run"], "shop.py", None),
    (["flask", "run", "-p5000"], None, "5000"),
    (["flask", "-Ashop", "run"], "shop", None),
    (["python", "-m", "flask", "run"], None, None),
    (["python3", "-u", "-m", "flask", "--app", "shop", "run", "--host=0.0.0.0"], "shop", None),
    (["gunicorn", "app:app"], "app:app", None),
    (["gunicorn", "-b", "0.0.0.0:5000", "app:app"], "app:app", "5000"),
    (["gunicorn", "-b0.0.0.0:5000", "app:app"], "app:app", "5000"),
    (["gunicorn", "--bind=[::]:5000", "app:app"], "app:app", "5000"),
    (["gunicorn", "--bind", ":5000", "-w", "4", "--threads=2", "shop:create_app()"], "shop:create_app()", "5000"),
    (["gunicorn", "--bind", "unix:/tmp/x.sock", "app:app"], "app:app", None),
    (["gunicorn", "-c", "gunicorn.conf.py"], None, None),
    (["gunicorn", "-c", "gunicorn.conf.py", "app:app"], "app:app", None),
    (["gunicorn", "--config", "gunicorn.conf.py"], None, None),
    (["gunicorn", "--config=gunicorn.conf.py"], None, None),
    (["gunicorn", "--preload", "app:app"], "app:app", None),
    (["python", "-m", "gunicorn", "app:app"], "app:app", None),
    (["/usr/local/bin/gunicorn", "app:app", "--workers", "3"], "app:app", None),
    (["sh", "-c", "gunicorn app:app"], "app:app", None),
    (["/bin/sh", "-c", "python app.py"], "app.py", None),
    (["/bin/sh", "-c", "flask run --host 0.0.0.0 --port $PORT"], None, "5000"),
    (["sh", "-c", "exec gunicorn app:app -b 0.0.0.0:$PORT"], "app:app", "5000"),
    (["sh", "-c", "exec gunicorn app:app -b 0.0.0.0:${PORT}"], "app:app", "5000"),
    (["bash", "-c", "gunicorn 'app:create_app()' --bind=:${PORT:-8000}"], "app:create_app()", "5000"),
    (["bash", "-lc", "gunicorn app:app --bind=:${OTHER:-8000}"], "app:app", "8000"),
    (["sh", "-c", "gunicorn -b ${BIND:-0.0.0.0:8000} app:app"], "app:app", "8000"),
    (["sh", "-c", "gunicorn -b :$UNSET app:app"], "app:app", None),
    (["sh", "-c", '  exec  gunicorn   "app:app"  '], "app:app", None),
    (["sh", "-ec", "gunicorn app:app"], "app:app", None),
    (["bash", "-euxo", "pipefail", "-c", "exec gunicorn app:app -b :81"], "app:app", "81"),
    (["python", "-m", "app"], "app.py", None),
    (["python", "-X", "dev", "-m", "web.site"], "web/site.py", None),
    (["python", "-m", "shop"], "shop:create_app('live')", None),
    (["python", "-m", "whole"], "whole.__main__", None),
    (["python", "run.py"], "shop:app", None),  # importing it would start its server
    (["python", "live.py"], "live:create_app('live')", None),
    (["./app.py"], "app.py", None),
    (["/venv/bin/python", "/venv/bin/gunicorn", "app:app"], "app:app", None),
    (["python", "garden/manage.py", "runserver", "0.0.0.0:8000"], None, "8000"),
    (["python", "garden/manage.py", "runserver", "--noreload", "[::]:8001"], None, "8001"),
    (["garden/manage.py", "runserver", "8002"], None, "8002"),
    (["python3", "group/manage.py", "run", "-h", "0.0.0.0", "-p", "5001"], "group/manage.py", "5001"),
    (["django-admin", "runserver", "--settings", "garden.settings", "*:9000"], None, "9000"),
    (["waitress-serve", "--port=8041", "--call", "shop:create_app"], "shop:create_app()", "8041"),
    (["waitress-serve", "--listen=*:8080", "--threads", "8", "app:app"], "app:app", "8080"),
    (["/venv/bin/waitress-serve", "--host", "0.0.0.0", "app:app"], "app:app", None),
    (["python", "-m", "waitress", "--port", "80", "app:app"], "app:app", "80"),
    (["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "80"], "main:app", "80"),
    (["uvicorn", "--interface", "wsgi", "--factory", "shop:create_app"], "shop:create_app()", None),
    (["hypercorn", "-b", "0.0.0.0:8000", "wsgi:shop:app"], "shop:app", "8000"),
    (["uwsgi", "--http", ":8000", "--module", "m:app"], None, None),  # read as uwsgi.ini is: test_compat
    (["python", "-m", "gunicorn", "-w", "2", "app:app"], "app:app", None),
    (["python", "-Wh", "app.py"], "app.py", None), (["python", "-WV", "-X", "h", "app.py"], "app.py", None), (["gunicorn", "--chdir", "v", "--preload", "app:app"], "app:app", None),
])  # fmt: skip
def test_served(served, words, application, port):
    found = served(words, PORT="5000")
    assert found is not None
    assert (found.application, found.port) == (application, port)


@pytest.mark.parametrize("words", [
    ["python"], ["python", "seed.py"], ["python", "-u", "seed.py"], ["python", "fill.py"], ["python", "job.py"],
    ["python", "manage.py"], ["python", "manage.py", "migrate"], ["python", "missing.py"], ["python", "app.py", "migrate"],
    ["python", "-c", "import app"], ["python", "-m", "http.server"], ["python", "-m"],
    ["python", "../app.py"], ["python", "/etc/app.py"], ["python", "--version"], ["pythonic", "app.py"],
    ["flask"], ["flask", "routes"], ["flask", "shell"], ["flask", "db", "upgrade"], ["flask", "run", "--help"], ["flask", "--version"],
    ["flask", "--app", "run", "db", "upgrade"], ["flask", "--app=run", "routes"], ["flask", "-A", "run", "shell"],
    ["flask", "jobs", "run"], ["flask", "crawl", "run", "--all"],
    ["python", "-m", "flask", "routes"],
    ["gunicorn"], ["gunicorn", "--version"], ["gunicorn", "-v"], ["gunicorn", "--help"], ["gunicorn", "--check-config", "app:app"],
    ["gunicorn", "--print-config", "app:app"],
    ["bash"], ["sh"], ["sh", "-c", ""], ["ls", "-l"], ["celery", "-A", "app", "worker"], ["rq", "worker"], ["uwsgi", "--help"], ["uwsgi"], ["waitress-serve", "--help"],
    ["gunicorn", "-h", "app:app"], ["gunicorn", "app:app", "--vers"], ["gunicorn", "--check-conf", "app:app"], ["gunicorn", "--print", "app:app"],
    ["flask", "--version", "run"], ["flask", "--app", "shop", "--help", "run"], ["python", "-m", "flask", "--version", "run"],
    ["python", "-V", "app.py"], ["python3", "-VV", "app.py"], ["python", "--version", "app.py"], ["python", "-uh", "app.py"], ["python", "-?", "app.py"],
    ["python", "--help-all", "app.py"], ["python", "-hm", "flask", "run"], ["python", "-m", "gunicorn", "-h", "app:app"],
    ["uwsgi", "--vers", "--http", ":80", "-w", "m:app"], ["uwsgi", "-h", "--ini", "u.ini"], ["waitress-serve", "--hel", "app:app"], ["uvicorn", "--version", "main:app"],
    ["hypercorn", "-h", "main:app"], ["daphne", "--vers", "main:app"], ["python", "garden/manage.py", "runserver", "-h"], ["python", "garden/manage.py", "runserver", "--help"],
    ["supervisord", "-v"], ["/usr/bin/supervisord", "--vers"],
    ["sh", "-c", "gunicorn app:app | tee log"], ["sh", "-c", "gunicorn app:app &"], ["sh", "-c", "gunicorn app:app > log"],
    ["sh", "-c", "(gunicorn app:app)"], ["sh", "-c", "gunicorn 'app:app"],
    ["sh", "-c", "gunicorn app:app", "name"], ["sh", "-x", "gunicorn app:app"], ["sh", "start.sh"],
    ["sh", "-c", "flask routes"], ["sh", "-c", "python seed.py"], ["env"], ["env", "X=1"], ["tini", "--", "celery"], ["ddtrace-run", "celery", "-A", "app"],
    ["poetry", "run", "flask", "db", "upgrade"], ["uv", "run", "python", "seed.py"], ["newrelic-admin", "generate-config"],
    ["sh", "-c", "celery -A app worker & gunicorn app:app"], ["sh", "-c", "gunicorn a:app & gunicorn app:app"], ["sh", "-c", "gunicorn a:app; gunicorn app:app"],
    ["sh", "-c", "flask db upgrade || gunicorn app:app"], ["sh", "-c", "if true; then gunicorn app:app; fi"], ["sh", "-c", "true && gunicorn app:app &"],
    ["sh", "-c", "gunicorn app:app; echo ended"], ["sh", "-c", "cat <<E\nE\ngunicorn app:app"], ["sh", "-c", "true && gunicorn app:app > log"],
    ["watchmedo", "auto-restart", "--", "gunicorn", "app:app"], ["python", "-m", "tool"], ["django-admin", "check"], ["python", "-m", "debugpy", "app.py"],
])  # fmt: skip
def test_run_as_it_is(served, words):
    assert served(words, PORT="5000") is None


def test_a_variable_cannot_smuggle_a_second_command(served):
    assert served(["sh", "-c", "gunicorn app:app -b :$PORT"], PORT="80; rm -rf x") is None


@pytest.mark.parametrize(("words", "asked"), [
    (["env", "X=1", "gunicorn", "app:app"], "env X=1"),
    (["env", "-u", "A", "X=1", "nice", "-n", "5", "gunicorn", "app:app"], "env -u A X=1"),
    (["nice", "-n", "5", "gunicorn", "app:app"], None),
    (["poetry", "run", "gunicorn", "app:app"], "poetry run"),
    (["uv", "run", "--frozen", "--with", "gunicorn", "gunicorn", "app:app"], "uv run --frozen --with gunicorn"),
    (["pipenv", "run", "gunicorn", "app:app"], "pipenv run"),
    (["pdm", "run", "gunicorn", "app:app"], "pdm run"),
    (["conda", "run", "--no-capture-output", "-n", "env", "gunicorn", "app:app"], "conda run --no-capture-output -n env"),
    (["aws-vault", "exec", "work", "--", "gunicorn", "app:app"], "aws-vault exec work --"),
    (["dumb-init", "gunicorn", "app:app"], None),
    (["/usr/bin/dumb-init", "--", "gunicorn", "app:app"], None),
    (["tini", "-g", "--", "gunicorn", "app:app"], None),
    (["gosu", "web", "gunicorn", "app:app"], None),
    (["ddtrace-run", "gunicorn", "app:app"], "ddtrace-run"),
    (["newrelic-admin", "run-program", "gunicorn", "app:app"], "newrelic-admin run-program"),
    (["opentelemetry-instrument", "--service_name", "flask", "gunicorn", "app:app"], "opentelemetry-instrument --service_name flask"),
    (["tini", "--", "poetry", "run", "ddtrace-run", "gunicorn", "app:app"], "poetry run ddtrace-run"),
    (["sh", "-c", "X=1 Y='a b' exec gunicorn app:app"], "X=1 Y='a b'"),
    (["sh", "-c", "exec ddtrace-run gunicorn app:app 2>&1"], "ddtrace-run"),
    (["exec", "gunicorn", "app:app"], None),
])  # fmt: skip
def test_wrappers_are_peeled_off(served, words, asked):
    """What makes an environment is asked for it; what is a matter of process 1 or of the user is the box's own."""
    found = served(words)
    assert found.application == "app:app"
    assert [step.asked for step in found.steps] == ([asked] if asked else [])
    assert all(
        name in ("ddtrace-run", "newrelic-admin", "opentelemetry-instrument")
        for step in found.steps
        for name in step.agents
    )


@pytest.mark.parametrize(("words", "application", "asked"), [
    ("uv run app.py", "app.py", "uv run"),
    ("uv run -- app.py", "app.py", "uv run --"),
    ("uv run --with flask app.py", "app.py", "uv run --with flask"),
    ("uv run --frozen --no-dev --extra web -p 3.13 ./app.py", "./app.py", "uv run --frozen --no-dev --extra web -p 3.13"),
    ("uv --directory . run --group=web --script app.py", "app.py", "uv --directory . run --group=web"),
    ("/bin/uv run -m whole", "whole.__main__", "/bin/uv run"),
    ("uv run -m flask --app shop run", "shop", "uv run"),
    ("poetry run ./app.py", "./app.py", "poetry run"), ("poetry -C . run app.py", "app.py", "poetry -C . run"),
    ("pipenv run app.py", "app.py", "pipenv run"), ("pdm run app.py", "app.py", "pdm run"), ("hatch run app.py", "app.py", "hatch run"),
    ("rye run web/site.py", "web/site.py", "rye run"), ("uv run manage.py runserver", None, "uv run"),
    ("uv run ddtrace-run python app.py", "app.py", "uv run ddtrace-run"), ("sh -c 'exec uv run app.py'", "app.py", "uv run"),
    ("tini -- uv run live.py", "live:create_app('live')", "uv run"),
])  # fmt: skip
def test_a_python_file_behind_a_runner_is_run_by_python(served, words, application, asked):
    found = served(shlex.split(words))
    assert (found.application and os.path.normpath(found.application)) == (
        application and os.path.normpath(application)
    )
    assert [step.asked for step in found.steps] == [asked]
    assert found.steps[0].words[0] in ("python", "flask")


@pytest.mark.parametrize("words", [
    "uv run pytest app.py", "uv run --no-sync pytest ./app.py", "uv run seed.py", "uv run app.py --import", "uv pip app.py", "poetry run fill.py",
    "uv run inline.py", "uv run ruff check ./app.py", "uv run --with app.py", "uv run manage.py migrate", "uv add --script app.py flask",
])  # fmt: skip
def test_another_python_file_behind_a_runner_is_no_server(served, words):
    """Another program's argument, a script that serves nothing, one with arguments, one with packages of its own."""
    from flagon import past_nginx

    with open(f"{served.directory}/inline.py", "w", encoding="utf-8") as file:
        file.write("# /// script\n# dependencies = ['flask']\n# ///\n" + FILES["app.py"])
    assert served(shlex.split(words)) is None
    said = past_nginx.line(shlex.split(words), {}, served.directory)
    assert ("inline.py names its own packages" in said) is ("inline" in words)


@pytest.mark.parametrize(("text", "runs"), [
    ("#!{0}/bin/python\nimport x\n", True), ("#!{0}/bin/python3.13\n", True), ("#! {0}/bin/python3 -sE\n", True),
    ("\x7fELF\2\1\1\0\0", False), ("#!/bin/sh\nexec x\n", False), ("#!/usr/bin/env node\n", False), ("#!/usr/local/bin/python\n", False),
    ("#!{0}/bin/node\n", False), ("#!\n", False), ("", False), (None, False),
])  # fmt: skip
def test_what_pip_puts_beside_python_is_run_by_python_only_if_it_is_a_script(tmp_path, monkeypatch, text, runs):
    from flagon import past_nginx

    monkeypatch.setattr(past_nginx, "OWN", str(tmp_path))
    program = tmp_path / "bin" / "uv"
    program.parent.mkdir()
    if text is not None:
        program.write_text(text.format(tmp_path))
    assert past_nginx.runs_on_ours(str(program)) is runs
    elsewhere = tmp_path / "uv"
    elsewhere.write_text(f"#!{tmp_path}/bin/python\n")
    assert not past_nginx.runs_on_ours(str(elsewhere))


@pytest.mark.parametrize(("line", "before", "ends", "application"), [
    ("flask db upgrade && gunicorn app:app", "flask db upgrade", True, "app:app"),
    ("flask db upgrade; flask --app shop run", "flask db upgrade", False, "shop"),
    ("python seed.py\nexec python app.py\n", "python seed.py", False, "app.py"),
    ("a || true && b; exec gunicorn 'shop:create_app()'", "a || true && b", False, "shop:create_app()"),
    ("while ! nc -z db 5432; do sleep 1; done; waitress-serve app:app", "while ! nc -z db 5432; do sleep 1; done", False, "app:app"),
    ("(a; b) && X=1 gunicorn app:app", "(a; b)", True, "app:app"),
    ("echo 'x; gunicorn no:app' \"$(echo ')')\" # c\nset -e; gunicorn app:app;", "echo 'x; gunicorn no:app' \"$(echo ')')\" # c\nset -e", False, "app:app"),
    ("cd web && gunicorn site:app", "cd web", True, "site:app"),
])  # fmt: skip
def test_what_comes_before_the_server(served, line, before, ends, application):
    found = served(["sh", "-c", line])
    assert (found.application, found.steps[0].before, found.steps[0].ends) == (application, before, ends)
    assert found.directory == (f"{served.directory}/web" if line.startswith("cd") else "")


@pytest.mark.parametrize("line", [
    "gunicorn -w $(nproc) app:app", "gunicorn -w $((2 * $(nproc) + 1)) app:app", "true && gunicorn -w `nproc` -b :$PORT app:app",
])  # fmt: skip
def test_what_only_a_shell_can_tell(served, line):
    """No word of it is taken before a shell has read it: `-w $(nproc)` is no number."""
    found = served(["sh", "-c", line])
    assert (found.application, found.port, found.gunicorn) == ("app:app", None, [])
    assert found.steps[0].words[0] == "gunicorn"
    Boot({}, served.directory, ["sh", "-c", line])


def test_steps_in_each_other(served):
    found = served(["tini", "--", "ddtrace-run", "sh", "-c", "flask db upgrade && gunicorn app:app"])
    assert [(step.asked, step.before) for step in found.steps] == [("ddtrace-run", ""), ("", "flask db upgrade")]


@pytest.mark.parametrize(("text", "before"), [
    ("service nginx start && gunicorn app:app", ""), ("gunicorn app:app & nginx -g 'daemon off;'", ""), ("gunicorn -D app:app && exec nginx -g 'daemon off;'", ""), ("nginx & gunicorn app:app", ""),
    ("flask db upgrade && service nginx restart; exec gunicorn app:app", "flask db upgrade"), ("sudo systemctl start nginx\n\ngunicorn app:app\n", ""), ("/etc/init.d/nginx start ; flask run", ""),
    ("mkdir -p /run/nginx && /usr/sbin/nginx && cd . && uwsgi --http :5000 -w app:app", "mkdir -p /run/nginx && cd ."),
])  # fmt: skip
def test_an_nginx_of_the_command_is_the_box_s(served, text, before):
    """It could not start, as an ordinary user, and would stand before nothing."""
    found = served(["sh", "-c", text])
    assert [step.before for step in found.steps] == [before] * bool(before)
    (line,) = found.lines
    assert "nginx" in line.partition("is left out: the box has its own nginx")[0]


@pytest.mark.parametrize(
    "text", ["nginx -t && gunicorn app:app", "sudo nginx -qt; exec gunicorn app:app", "/usr/sbin/nginx -T && flask run"]
)
def test_a_check_of_the_command_s_nginx_is_left_out(served, text):
    """It would fail, as an ordinary user, and end the container."""
    found = served(["sh", "-c", text])
    assert found.steps == ()
    (line,) = found.lines
    assert "is left out: the box checks its nginx configuration" in line


@pytest.mark.parametrize("server", ["gunicorn", "uwsgi", "uvicorn", "hypercorn", "daphne", "waitress-serve", "flask"])
@pytest.mark.parametrize("asked", ["--version", "--help"])
def test_a_server_that_is_only_asked_is_no_start(served, server, asked):
    found = served(["sh", "-c", f"{server} {asked} && gunicorn app:app"])
    assert (found.program, found.steps[0].before) == ("gunicorn", f"{server} {asked}")
    assert served([server, asked]) is None


@pytest.mark.parametrize(
    "text",
    [
        "mkdir -p /var/log/nginx && gunicorn app:app",
        "echo nginx && gunicorn app:app",
        "if true; then nginx; fi; gunicorn app:app",
        "nginx -v && gunicorn app:app",
        "/usr/sbin/nginx -V 2>&1; exec gunicorn app:app",
        "nginx -h; gunicorn app:app",
        "which nginx || nginx; gunicorn app:app",
    ],
)
def test_what_only_speaks_of_nginx_stays(served, text):
    found = served(["sh", "-c", text])
    assert found is None or (found.lines, found.steps[0].before) == (
        (),
        text.rpartition(" &&")[0] or text.rpartition(";")[0],
    )


@pytest.mark.parametrize(("words", "verb", "code"), [
    (["serve", "gunicorn", "-w", "2", "-b", ":5000", "app:app"], ["gunicorn", "-w", "2", "-b", ":5000", "app:app"], 0),
    (["serve", "sh", "-c", "exec /venv/bin/gunicorn app:app"], ["sh", "-c", "exec /venv/bin/gunicorn app:app"], 0),
    (["serve", "python", "-m", "flask", "run", "-p", "7000"], ["python", "-m", "flask", "run", "-p", "7000"], 0),
    (["flagon", "serve", "uwsgi", "--ini", "u.ini"], ["uwsgi", "--ini", "u.ini"], 0), (["flagon", "gunicorn", "app:app"], ["gunicorn", "app:app"], 0),
    (["serve"], None, 0), ([], None, 0), (["flagon"], None, 0), (["flagon", "serve"], None, 0),
    (["serve", "sleep", "600"], "`flagon sleep 600` runs the command", 64), (["serve", "gunicorn", "--version"], "start no server", 64),
    (["serve", "--help"], "usage: flagon", 0), (["check", "-h"], "usage: flagon", 0), (["migrate", "--help"], "usage: flagon", 0), (["reload", "now"], "usage: flagon", 64),
])  # fmt: skip
def test_serve_takes_the_words_of_a_server(served, monkeypatch, capsys, words, verb, code):
    from flagon import cli

    taken = []
    monkeypatch.chdir(served.directory)
    monkeypatch.setattr(cli, "serve", lambda command=None: taken.append(command) or 0)
    monkeypatch.setattr(cli, "run_command", lambda *_: pytest.fail("run, not served"))
    assert cli.main(words) == code
    said = capsys.readouterr()
    if isinstance(verb, str):
        assert taken == []
        assert verb in said.out + said.err
    else:
        assert taken == [verb]


@pytest.mark.parametrize(("words", "text", "code"), [
    (["-v"], "4.3.0", 0), (["--version"], "4.3.0", 0), (["-nv"], "4.3.0", 0), (["-c", "x.conf", "--vers"], "4.3.0", 0), (["-h"], "run a set of applications as daemons", 0),
    (["-?"], "Usage: supervisord [options]", 0), (["--help", "-n"], "Usage: supervisord [options]", 0), (["--nonesuch"], "supervisord: option --nonesuch not recognized", 2),
    ([], "", 0), (["-n"], "", 0), (["-n", "-c", "v.conf"], "", 0), (["-cv"], "", 0), (["--configuration=-v"], "", 0), (["-u", "-v"], "", 0), (["-s", "-c", "x.conf"], "", 0),
])  # fmt: skip
def test_our_supervisord_answers_what_only_asks(monkeypatch, capsys, words, text, code):
    """`supervisord -v` in a script started the whole box, and what followed never ran."""
    from flagon import cli

    started = []
    monkeypatch.setattr(commands, "is_ours", lambda _: True)
    monkeypatch.setattr(cli, "serve", lambda command=None: started.append(command) or 0)
    monkeypatch.setattr(cli, "run_command", lambda *_: pytest.fail("a loop: supervisord is flagon"))
    assert cli.main(["supervisord", *words]) == code
    said = capsys.readouterr()
    assert text in (said.err if code else said.out)
    assert bool(started) is not bool(text)
    assert code or not text or text != "4.3.0" or said.out == "4.3.0\n"


@pytest.mark.parametrize(("words", "path"), [
    (["-c", "a.conf"], "a.conf"), (["-ca.conf"], "a.conf"), (["-nc", "a.conf"], "a.conf"), (["-snca.conf"], "a.conf"), (["-s", "-c", "a.conf"], "a.conf"), (["--conf", "a.conf"], "a.conf"),
    (["--configuration=a.conf", "-e", "debug"], "a.conf"), (["-u", "root", "-c", "a.conf"], "a.conf"), (["-n"], ""), ([], ""),
])  # fmt: skip
def test_the_file_of_a_supervisord_s_command_line(words, path):
    from flagon import foreign_supervisord

    assert foreign_supervisord._file(words) == path


@pytest.mark.parametrize(("status", "pid", "told"), [
    ("Name:\tsh\nSigCgt:\t0000000000000002\n", 7, True), ("Name:\tbash\nSigCgt:\t0000000000010002\n", 7, True), ("Name:\tmy: x\nSigCgt:\t0\n", 7, True),
    ("Name:\ttini\nSigCgt:\t0000000000004002\n", 7, False), ("Name:\tsh\nSigCgt:\t0000000000000002\n", 1, False), ("", 7, False), ("SigCgt:\tx\n", 7, False), (None, 7, False),
])  # fmt: skip
def test_a_shell_that_keeps_the_stop_signal_from_the_box_is_named(tmp_path, status, pid, told):
    from flagon import process_one

    path = tmp_path / "status"
    if status is not None:
        path.write_text(status)
    line = process_one.line(str(path), pid)
    assert bool(line) is told
    assert not told or "exec flagon serve" in line


@pytest.mark.parametrize(("first", "text"), [
    (b"/app/.venv/bin/python\0/app/.venv/bin/gunicorn\0-w\0002\0", "`exec flagon serve gunicorn ...`"), (b"gunicorn: master [app:app]\0", "gunicorn runs here past"),
    (b"python3\0-m\0flask\0run\0", "flask runs here past"), (b"/usr/bin/python3\0/usr/bin/supervisord\0-n\0", "supervisord runs here past"),
    (b"sleep\00060\0", "another command runs here, nothing to ask"), (b"python\0seed.py\0--server\0gunicorn\0", "another command"), (b"", "another command"), (None, "another command"),
])  # fmt: skip
def test_the_health_check_names_a_server_past_the_box(tmp_path, first, text):
    from flagon import healthcheck

    path = tmp_path / "cmdline"
    if first is not None:
        path.write_bytes(first)
    said = healthcheck._what_runs(str(path))
    assert text in said
    assert "nothing to ask" in said


@pytest.mark.parametrize(("line", "settings", "python_path"), [
    ("python manage.py runserver --settings=garden.live", "garden.live", ""), ("python manage.py runserver 0.0.0.0:80 --settings garden.live --pythonpath ../lib", "garden.live", "../lib"),
    ("uv run manage.py runserver --pythonpath=lib --settings=garden.live", "garden.live", "lib"), ("django-admin runserver --settings garden.live --pythonpath .", "garden.live", "."), ("python manage.py runserver --settings= 80", "", ""),
])  # fmt: skip
def test_what_runserver_is_told_of_settings(tmp_path, line, settings, python_path):
    from flagon.boot import Boot
    from flagon.launch_options import gunicorns_path

    (tmp_path / "manage.py").write_text("from django.core.management import execute_from_command_line\n")
    boot = Boot({"DJANGO_SETTINGS_MODULE": "garden.settings", "RUN_AS": "root"}, str(tmp_path), line.split())
    assert boot.settings.environment["DJANGO_SETTINGS_MODULE"] == (settings or "garden.settings")
    boot.application = boot.application._replace(directory=str(tmp_path))
    assert gunicorns_path(boot) == ([os.path.normpath(tmp_path / python_path)] if python_path else [])


@pytest.mark.parametrize(("line", "left", "said"), [
    ("uv run ./well.sh", "./well.sh", False), ("poetry run ./well.sh", "./well.sh", False), ("pipenv run bash well.sh", "bash well.sh", False), ("uv run --frozen -- ./well.sh", "./well.sh", False),
    ("uv run --with rich ./well.sh", "", True), ("uv run ./bare.sh", "", True), ("poetry run sh bare.sh", "", True), ("uv run ./own.sh", "./own.sh", False), ("uv run --with rich ./own.sh", "", False),
    ("uv sync", "", False), ("uv run ./none.sh", "", False), ("pipenv run", "", False), ("./well.sh", "", False), ("uv run pytest", "", False),
])  # fmt: skip
def test_a_script_behind_a_runner_is_looked_into(served, monkeypatch, line, left, said):
    from flagon import past_nginx

    for name, end in (
        ("well.sh", "exec gunicorn app:app"),
        ("bare.sh", "gunicorn app:app"),
        ("own.sh", "exec flagon serve"),
    ):
        with open(f"{served.directory}/{name}", "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nflask db upgrade\n{end}\n")
    monkeypatch.setattr(past_nginx.shutil, "which", lambda name, path=None: f"{past_nginx.STAND_INS}/{name}")
    words = line.split()
    assert past_nginx.without_runner(words, {}, served.directory) == (left.split() or words)
    if not left:
        told = past_nginx.line(words, {}, served.directory)
        assert ("serves past nginx" in told) is said


@pytest.mark.parametrize(("words", "text"), [
    (["sh", "-c", "celery -A app worker & gunicorn app:app"], "`gunicorn app:app` serves past nginx"),
    (["sh", "-c", "celery -A app worker & gunicorn app:app"], "PROCESSES"),
    (["sh", "-c", "if true; then exec gunicorn app:app; fi"], "let the last command be `exec flagon serve gunicorn ...`"),
    (["./boot.sh"], "let ./boot.sh end in `exec flagon serve python ...`, with the same words"),
    (["sh", "boot.sh"], "let boot.sh end in"),
    (["bash", "-x", "./boot.sh"], "let ./boot.sh end in"),
    (["watchmedo", "auto-restart", "--", "gunicorn", "app:app"], "serves past nginx"),
    (["sleep", "600"], None), (["celery", "-A", "app", "worker"], None), (["sh", "-c", "flask db upgrade"], None),
    (["./none.sh"], None), (["sh", "-c", "flask db upgrade; exec flagon serve"], None), (["./ends-well.sh"], None),
    (["sh", "-c", "x; exec flagon serve gunicorn -w 2 app:app"], None), (["sh", "-c", "x; tini -- flagon serve gunicorn app:app"], None),
    (["sh", "-c", "true | /opt/flagon/entrypoint.sh gunicorn app:app"], None),
])  # fmt: skip
def test_a_server_past_nginx_is_named(served, words, text):
    from flagon import past_nginx

    for name, end in (("boot.sh", "python app.py"), ("ends-well.sh", "exec flagon serve")):
        with open(f"{served.directory}/{name}", "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n# gunicorn here\nflask db upgrade\n{end}\n")
    line = past_nginx.line(words, {}, served.directory)
    assert line == "" if text is None else text in line


def test_a_wrapper_that_may_hand_over_is_not_said_to_be_past_nginx(served, tmp_path, monkeypatch):
    """`my-trace gunicorn app:app` that ends in exec is served by our stand-in: both lines at once were one too many."""
    from flagon import past_nginx

    (tmp_path / "gunicorn").write_text("#!/bin/sh\n")
    (tmp_path / "gunicorn").chmod(0o755)
    monkeypatch.setattr(past_nginx, "STAND_INS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    line = past_nginx.line(["my-trace", "-v", "gunicorn", "app:app"], {}, served.directory)
    assert line.startswith("`gunicorn app:app` is served through nginx if `my-trace -v` hands over to it")
    assert "past nginx, " in past_nginx.line(["sh", "-c", "worker & gunicorn app:app"], {}, served.directory)


@pytest.mark.parametrize(("words", "here"), [
    (["./worker.sh"], True), (["worker.sh"], False), (["sh", "worker.sh"], True), (["python", "jobs/run.py"], True), (["python", "-m", "jobs.run"], True), (["python", "-m", "pack"], True),
    (["bash", "-c", "set -e; python jobs/run.py --all"], True), (["flask", "--app", "shop", "routes"], False), (["bash"], False), (["python", "-m", "other"], False), (["cat", "/etc/passwd"], False), (["celery", "-A", "jobs"], False),
])  # fmt: skip
def test_a_path_of_the_working_directory_is_meant_there(tmp_path, monkeypatch, words, here):
    """CMD ["./worker.sh"] beside an application in src/ was looked for in src/."""
    for name in ("worker.sh", "jobs/run.py", "pack/__main__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert commands.names_what_is_here(words) is here


@pytest.mark.parametrize(("words", "here"), [
    ("{0}/start.sh", True), ("sh {0}/start.sh", True), ("tini -- {0}/start.sh", True), ("boot.sh", True), ("python {0}/work.py", True), ("{0}/bare", True),
    ("{0}/venv/bin/celery -A shop worker", False), ("celery -A shop worker", False), ("{0}/data.txt", False), ("python {0}/none.py", False), ("ls", False), ("{0}/tool", False),
])  # fmt: skip
def test_a_script_by_its_full_path_stands_in_the_working_directory(tmp_path, monkeypatch, words, here):
    """/app/start.sh ran in uwsgi.ini's chdir, and did not find what lies beside it."""
    files = {
        "start.sh": "", "work.py": "", "bare": "#!/usr/bin/env bash\n", "data.txt": "", "tool": "#!/usr/bin/python3\n", "path/boot.sh": "",
        "venv/pyvenv.cfg": "", "venv/bin/celery": "#!/bin/sh\n", "path/celery": "#!/opt/python\n",
    }  # fmt: skip
    put(tmp_path, files)
    for name in ("bare", "tool", "start.sh", "path/boot.sh", "path/celery", "venv/bin/celery"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/path:/usr/bin:/bin")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert commands.names_what_is_here(words.format(tmp_path).split()) is here


@pytest.mark.parametrize(("word", "text"), [
    ("app.py", 'CMD ["python", "app.py"]'), ("app:app", "APP_MODULE=app:app"), ("isso.run:make_app()", 'CMD ["gunicorn"'),
    ("-w", "before them stands the server"), ("uwsgi", "leave it out"), ("celery", "install it"), ("boot", 'CMD ["./boot"]'),
    ("./dos.sh", "CRLF"), ("./boot", "/bin/nothing"),
])  # fmt: skip
def test_what_is_no_program_has_a_next_step(served, word, text):
    from flagon import past_nginx

    for name, first in (("boot", "#!/bin/nothing\n"), ("dos.sh", "#!/bin/sh\r\n")):
        with open(f"{served.directory}/{name}", "w", encoding="utf-8", newline="") as file:
            file.write(first)
    assert text in past_nginx.no_program([word], served.directory)


def test_a_procfile_is_read_as_a_command_is(served):
    """web: a chain, a wrapper, another server; what is not understood is said; release is named."""
    from flagon import procfile

    rows = [
        ("flask db upgrade && gunicorn -w 2 shop:app", "Procfile=shop:app", 0),
        ("newrelic-admin run-program gunicorn app:app", "Procfile=app:app", 0),
        ("waitress-serve --threads=7 --call shop:create_app", "Procfile=shop:create_app()", 0),
        ("python web/site.py", "Procfile=web/site.py", 0),
        ("./boot.sh", "found in", 1),
        ("celery worker & gunicorn shop:app", "Procfile=shop:app", 0),
    ]
    for line, why, said in rows:
        with open(f"{served.directory}/Procfile", "w", encoding="utf-8") as file:
            file.write(f"web: {line}\nrelease: flask db upgrade\n")
        boot = Boot({"RUNTIME_DIR": served.directory}, served.directory)
        boot.settings.set("MIGRATE", "off", "default")
        from flagon import application

        found = application.choose(boot, "")
        assert why in found.why, line
        lines = procfile.lines(boot, command=False)
        assert [one for one in lines if "release" in one], line
        assert len(lines) == 1 + said, lines
        assert ["prestart.sh" in one for one in lines if "release" in one] == [True], "there is nothing to migrate"
        os.mkdir(f"{served.directory}/migrations")
        assert any("is not run: MIGRATE=auto" in one for one in procfile.lines(boot, command=False))
        os.rmdir(f"{served.directory}/migrations")
        if "threads" in line:
            assert (boot.values["THREADS"], boot.settings.sources["THREADS"]) == (7, "Procfile")


def test_gunicorns_arguments_are_kept(served):
    found = served(["gunicorn", "-b", ":80", "-w", "4", "app:app"])
    assert found.gunicorn == ["-b", ":80", "-w", "4", "app:app"]
    assert served(["flask", "run"]).gunicorn == []


@pytest.mark.parametrize(("words", "name", "value", "source"), [
    (["gunicorn", "-w", "3", "-b", ":5000", "shop:app"], "WEB_CONCURRENCY", 3, "command line"),
    (["gunicorn", "-w", "3", "-b", ":5000", "shop:app"], "PORT", 5000, "command line"),
    (["gunicorn", "-w", "3", "-b", ":5000", "shop:app"], "APP_MODULE", "shop:app", "command line"),
    (["flask", "--app", "shop", "run", "-p", "5000"], "PORT", 5000, "command line"),
    (["flask", "run", "--port", "$PORT"], "PORT", None, "default"),
    (["flask", "run", "--port", "http"], "PORT", None, "default"),
    (["sh", "-c", "flask run -p $UNSET"], "PORT", None, "default"),
])  # fmt: skip
def test_the_boot_takes_from_the_command(served, words, name, value, source):
    """An array form `CMD ["flask", "run", "--port", "$PORT"]` is never expanded: it must not crash the boot."""
    boot = Boot({}, served.directory, words)
    assert (boot.values[name], boot.settings.sources[name]) == (value, source)


def test_variables_win_over_the_command(served):
    environ = {"PORT": "7000", "APP_MODULE": "other:app", "THREADS": "9"}
    boot = Boot(environ, served.directory, ["gunicorn", "-b", ":5000", "--threads", "2", "shop:app"])
    assert (boot.values["PORT"], boot.values["APP_MODULE"], boot.values["THREADS"]) == (7000, "other:app", 9)


@pytest.mark.parametrize("port", ["0", "99999"])
def test_an_impossible_port_of_the_command_does_not_reach_nginx(served, port):
    from flagon.settings import SettingsError

    try:
        boot = Boot({}, served.directory, ["flask", "run", "--port", port])
    except SettingsError:
        return
    assert boot.values["PORT"] is None


# what a command was given is taken back by a `flagon` in it


def test_what_was_added_is_taken_back_and_what_was_taken_away_comes_back(monkeypatch):
    container = {"KEPT": "1", "CHANGED": "before", "GUNICORN_CMD_ARGS": "-w 2", "DATABASE_URL": ""}
    command = {"KEPT": "1", "CHANGED": "after", "SECRET_KEY": "made", "THEIRS": "made"}
    monkeypatch.setattr(os, "environ", dict(container))
    told = commands.added(command)
    monkeypatch.setattr(os, "environ", {**command, "THEIRS": "changed since", "FLAGON_ADDED": told})
    commands.take_back_added()
    assert os.environ == {**container, "THEIRS": "changed since"}


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "3", "null", '{"A": 1}', '{"A": ["x"]}', '{"A": [["x"], {}]}'])
def test_what_somebody_else_says_there_is_no_error(monkeypatch, text):
    monkeypatch.setattr(os, "environ", {"A": "x", "FLAGON_ADDED": text})
    commands.take_back_added()
    assert os.environ == {"A": "x"}


@pytest.mark.parametrize(("text", "checks"), [("", False), ("0", False), ("off", False), ("1", True), (" 'ON' ", True)])
def test_a_start_that_is_to_check(monkeypatch, text, checks):
    monkeypatch.setenv("FLAGON_CHECK", text)
    assert commands.checks_instead() is checks
    monkeypatch.setenv("FLAGON_CHECK", "maybe")
    with pytest.raises(SettingsError, match="FLAGON_CHECK='maybe' is not accepted"):
        commands.checks_instead()


# The port that a command means without naming one

START = "from flask import Flask\nimport os\napp = Flask(__name__)\n"


@pytest.mark.parametrize(("words", "port", "why"), [
    (["flask", "run"], "5000", "flask run's own port"), (["python", "-m", "flask", "run", "--host=0.0.0.0"], "5000", "flask run's own port"),
    (["gunicorn", "app:app"], "8000", "gunicorn's own port"), (["sh", "-c", "exec gunicorn -w 2 app:app"], "8000", "gunicorn's own port"),
    (["gunicorn", "-b", "unix:/x", "app:app"], None, ""), (["python", "app.py"], "5000", "app.run() in app.py"),
])  # fmt: skip
def test_the_port_that_a_command_means(served, words, port, why):
    found = served(words)
    assert (found.port, found.implied_port, found.implied_why) == (None, port, why)


@pytest.mark.parametrize(("environ", "files", "port", "why"), [
    ({"FLASK_RUN_PORT": "5001"}, {}, "5001", "FLASK_RUN_PORT"), ({}, {".env": "FLASK_RUN_PORT=5002\n"}, "5002", "FLASK_RUN_PORT in .env"),
    ({}, {".flaskenv": "FLASK_RUN_PORT=5003\n"}, "5003", "FLASK_RUN_PORT in .flaskenv"), ({}, {".env": "X=1\n", ".flaskenv": "FLASK_RUN_PORT='5004'\n"}, "5004", "FLASK_RUN_PORT in .flaskenv"),
    ({"FLASK_RUN_PORT": "5001"}, {".flaskenv": "FLASK_RUN_PORT=5003\n"}, "5001", "FLASK_RUN_PORT"),
])  # fmt: skip
def test_the_port_of_flask_run(served, tmp_path, environ, files, port, why):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = served(["flask", "run"], **environ)
    assert (found.implied_port, found.implied_why) == (port, why)


@pytest.mark.parametrize(("text", "port"), [
    ("app.run()", "5000"), ("app.run(port=8000)", "8000"), ("app.run('0.0.0.0', 8001)", "8001"), ("app.run(host='0.0.0.0', debug=True, port='8002')", "8002"),
    ("app.run(port=int(os.environ.get('PORT', 5001)))", "5001"), ("app.run(port=os.getenv('PORT', '5002'))", "5002"), ("app.run(port=int(os.environ.get('PORT') or 5003))", "5003"),
    ("app.run(port=int(os.environ.get('SHOP_PORT', 5001)))", "7777"), ("app.run(port=int(os.environ['SHOP_PORT']))", "7777"), ("app.run(port=int(os.environ['NONE']))", ""),
    ("PORT = 5004\napp.run(port=PORT)", "5004"), ("PORT = 1\nPORT = 2\napp.run(port=PORT)", ""), ("port = int(os.getenv('PORT', default=5005))\nif 1:\n    app.run('::', port)", "5005"),
    ("def main():\n    app.run(port=5006)\nmain()", "5006"), ("app.run(port=choose())", ""), ("app.run(**options)", ""), ("app.run(*options)", ""), ("app.run(port=None)", "5000"),
    ("if 1:\n    app.run(port=1)\nelse:\n    app.run(port=2)", ""), ("if 1:\n    app.run(port=1)\nelse:\n    app.run('x', 1)", "1"), ("app.run(port=99999)", ""), ("app.run(port=-1)", ""), ("app.run(port=True)", ""),
    ("import subprocess\nsubprocess.run(['x', 9])\napp.run(port=5007)", "5007"), ("asyncio.run(x())", ""), ("run_simple('0.0.0.0', 4000, app)", "4000"),
    ("from werkzeug import serving\nserving.run_simple(hostname='x', port=4001, application=app)", "4001"), ("serve(app, port=4002)", "4002"), ("serve(app)", "8080"),
    ("waitress.serve(app, listen='*:4003')", "4003"), ("make_server('', 4004, app).serve_forever()", "4004"), ("WSGIServer(('0.0.0.0', 4005), app).serve_forever()", "4005"),
    ("socketio.run(app)", "5000"), ("socketio.run(app, '0.0.0.0', 4006)", "4006"), ("socketio.run(app, port=4007)", "4007"), ("print(1)", ""), ("app.run(", ""), ("\0", ""),
])  # fmt: skip
def test_the_port_of_a_script(tmp_path, text, port):
    assert script(tmp_path, START + text).port == port


CONFIG = """
PORT = 7001
class Config:
    PORT: int = int(os.environ.get("NONE", 7002))
class Production(Config):
    pass
"""
PARSER = "import argparse\np = argparse.ArgumentParser()\np.add_argument('-p', '--web-port', type=int, default=7003)\na = p.parse_args()\n"


@pytest.mark.parametrize(("text", "port", "unread"), [
    ("from config import Config\napp.run(Config.HOST, Config.PORT)", "7002", ""), ("from config import PORT\napp.run(port=PORT)", "7001", ""),
    ("import config\napp.run(host=config.HOST, port=config.PORT)", "7001", ""), ("import config as c\napp.run('x', c.Production.PORT)", "7002", ""),
    (PARSER + "app.run(port=a.web_port)", "7003", ""), (PARSER.replace(", default=7003", "") + "app.run(port=a.web_port)", "", "a.web_port"),
    ("o = {'host': 'x', 'port': 7004}\napp.run(**o)", "7004", ""), ("o = dict(port=7005)\napp.run(debug=1, **o)", "7005", ""), ("app.run(**o)", "", "app.run(**o)"),
    ("class S:\n    port = 7006\napp.run(port=S.port)", "7006", ""), ("app.run(HOST)", "5000", ""), ("app.run(host(), pick())", "", "pick()"), ("app.run(HOST, pick())", "", "pick()"),
    ("socketio.run(app, HOST, 7007)", "7007", ""), ("socketio.run(self.app, HOST)", "5000", ""), ("import none\napp.run(port=none.PORT)", "", "none.PORT"), ("class A(A):\n    pass\napp.run(port=A.x)", "", "A.x"),
])  # fmt: skip
def test_a_port_that_is_written_elsewhere(tmp_path, text, port, unread):
    """A port that cannot be read is no 5000, and is said."""
    (tmp_path / "config.py").write_text("import os\n" + CONFIG)
    found = script(tmp_path, START + text)
    assert (found.port, found.unread) == (port, unread)
    told = script_port.unread(found, "script.py", {})
    assert bool(told) is bool(unread)
    assert all(
        f"app.run() in script.py asks for a port that cannot be read without running it ({unread})" in one
        for one in told
    )
    assert not script_port.unread(found, "script.py", {"PORT": "1"})


def script(folder, text):
    (folder / "script.py").write_text(text)
    return script_port.asked(str(folder / "script.py"), {"SHOP_PORT": "7777"})


def test_a_long_script_is_read_at_once(tmp_path):
    deep = "app.run(port=" + "int(" * 90 + "1" + ")" * 90 + ")\n"
    names = "".join(f"n{number} = n{number + 1}\n" for number in range(2000)) + "app.run(port=n0)\n"
    assert script(tmp_path, START + deep + names).port == ""


@pytest.mark.parametrize(("command", "environ", "expected"), [
    (["flask", "run"], {}, [5000]), (["flask", "run", "-p", "5002"], {}, []), (["flask", "run"], {"PORT": "7000"}, []), (["gunicorn", "app:app"], {}, [8000]),
    (["gunicorn", "-b", ":9000", "-b", ":9001", "app:app"], {}, [9001]), (["gunicorn", "app:app"], {"GUNICORN_CMD_ARGS": "-b :9000"}, []), (["python", "app.py"], {}, [5000]),
    (["gunicorn", "app:app"], {"LISTEN_PORT": "81", "UWSGI_PROCESSES": "1"}, []), (["gunicorn", "app:app"], {"BIND": "0.0.0.0:81"}, []), ([], {}, [8000]), ([], {"PORT": "5000"}, []), ([], {"LISTEN_PORT": "81", "UWSGI_PROCESSES": "1"}, []), (["flask", "run"], {"FLASK_RUN_PORT": "http"}, []),
])  # fmt: skip
def test_what_is_listened_on_beside(served, command, environ, expected):
    boot = Boot(environ, served.directory, command)
    assert [one.port for one in ports.beside(boot)] == expected


def test_a_framework_s_own_port(served, tmp_path):
    """`docker run -p 5000:5000` with nothing but FROM. It is left to a program beside the box that names it."""
    assert [(one.port, one.why) for one in ports.beside(Boot({}, served.directory))] == [(8000, "Django's own port")]
    (tmp_path / "manage.py").unlink()
    boot = Boot({}, served.directory)
    assert [(one.port, one.why) for one in ports.beside(boot)] == [(5000, "Flask's own port")]
    for kind, port in (("FastAPI()", 8000), ("Quart()", 5000)):
        boot.asgi = kind
        assert [one.port for one in ports.beside(boot)] == [port]
    assert [one.port for one in ports.beside(Boot({"FLASK_RUN_PORT": "5005"}, served.directory))] == [5005]
    for text, expected in (("flower --port=5000", []), ("redis -p 15000", [5000]), ("x http://localhost:5000/", [])):
        boot.programs = programs.Programs(scripts=(("x", text),))
        assert [one.port for one in ports.beside(boot)] == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("web: gunicorn app:app\n", [8000]), ("web: gunicorn -b 0.0.0.0:5001 app:app\n", [5001]), ("web: gunicorn -b :$PORT app:app\n", []), ("worker: x\n", [8000]),
    ("web: flask run\n", [5000]), ("web: flask run -p 5002\n", [5002]), ("web: python app.py\n", [5000]), ("web: python seed.py\n", [8000]),
])  # fmt: skip
def test_the_port_of_a_procfile(served, tmp_path, text, expected):
    """Beside 8080: it is no command of the container's, and 8080 is what the README publishes."""
    (tmp_path / "Procfile").write_text(text)
    boot = Boot({}, served.directory)
    assert (boot.values["PORT"], [one.port for one in ports.beside(boot)]) == (None, expected)
    (tmp_path / "Procfile").unlink()


@pytest.mark.parametrize(("command", "environ", "port", "line"), [
    (["gunicorn", "-b", ":5000", "app:app"], {"GUNICORN_CMD_ARGS": "-b :9000"}, 9000, ""), ([], {"GUNICORN_CMD_ARGS": "-b :9000"}, 9000, ""),
    (["gunicorn", "-b", ":5000", "app:app"], {"PORT": "7000"}, 7000, "port 5000 (command line) is not listened on: PORT=7000 says otherwise"),
    ([], {"GUNICORN_CMD_ARGS": "--bind=0.0.0.0:9000", "PORT": "7000"}, 7000, "port 9000 (GUNICORN_CMD_ARGS) is not listened on: PORT=7000 says otherwise"),
    (["gunicorn", "-b", "0.0.0.0:$PORT", "app:app"], {}, None, "command line: port '$PORT' is no number"), (["gunicorn", "-b", ":7000", "app:app"], {"PORT": "7000"}, 7000, ""),
    (["gunicorn", "-b", "unix:/tmp/x.sock", "app:app"], {}, None, "command line: unix:/tmp/x.sock is not listened on"),
])  # fmt: skip
def test_an_address_is_taken_or_named(served, command, environ, port, line):
    boot = Boot(environ, served.directory, command)
    assert boot.values["PORT"] == port
    ports.beside(boot)
    lines = [one for one in [*boot.warnings, *ports.sockets(boot)] if "port" in one]
    assert bool(lines) is bool(line), lines
    assert line in "\n".join(lines)


# How many: gunicorn's own meaning

LINE = "gunicorn's own default, as its command names none"


@pytest.mark.parametrize(("command", "environ", "workers", "threads", "why"), [
    (["gunicorn", "app:app"], {}, 1, 1, f"{LINE}; WEB_CONCURRENCY sets more"), (["gunicorn", "-w", "2", "app:app"], {}, 2, 1, f"command line says so; threads: {LINE}"),
    (["gunicorn", "-w", "2", "--threads", "3", "app:app"], {}, 2, 3, "command line says so"), (["gunicorn", "--threads", "3", "app:app"], {}, 1, 3, f"{LINE}; WEB_CONCURRENCY sets more; threads: command line"),
    (["gunicorn", "app:app"], {"THREADS": "5", "WEB_CONCURRENCY": "2"}, 2, 5, "WEB_CONCURRENCY says so; threads: THREADS"), (["gunicorn", "-k", "gthread", "-w", "2", "app:app"], {}, 2, 4, "command line says so; threads: default"),
    (["gunicorn", "-k", "sync", "-w", "2", "app:app"], {}, 2, 1, f"command line says so; threads: {LINE}"), (["gunicorn", "app:app"], {"GUNICORN_CMD_ARGS": "-k gthread -w 2"}, 2, 4, "GUNICORN_CMD_ARGS says so; threads: default"),
    ([], {"GUNICORN_CMD_ARGS": "-w 2"}, 2, 4, "GUNICORN_CMD_ARGS says so; threads: default"), (["flask", "run"], {"WEB_CONCURRENCY": "2"}, 2, 4, "WEB_CONCURRENCY says so; threads: default"),
    (["gunicorn", "app:app"], {"MAX_WORKERS": "5", "WORKERS_PER_CORE": "0.1"}, 2, 1, f"WORKERS_PER_CORE and MAX_WORKERS say so; threads: {LINE}"),
])  # fmt: skip
def test_workers_and_threads(served, command, environ, workers, threads, why):
    boot = sized(served, command, environ)
    assert (boot.values["WEB_CONCURRENCY"], boot.values["THREADS"], boot.size_reason) == (workers, threads, why)


def sized(served, command, environ):
    boot = Boot(environ, served.directory, command)
    boot.users = users_nginx.UsersNginx()
    boot.size, boot.size_reason, *_ = capacity.decide(boot)
    return boot


@pytest.mark.parametrize(("command", "who"), [
    (["flask", "run"], "flask run"), (["python", "app.py"], "the script"), (["python", "manage.py", "runserver"], "runserver"),
    (["waitress-serve", "app:app"], "waitress"),
])  # fmt: skip
def test_a_server_of_one_process_stays_one(served, command, who):
    """What it makes at random while it is imported, and keeps in memory, is there for each request; threads make up for it."""
    boot = sized(served, command, {})
    why = f"{who} is one process; WEB_CONCURRENCY sets more"
    threads = min(64, 4 * boot.size.workers)
    assert (boot.values["WEB_CONCURRENCY"], boot.values["THREADS"], boot.size_reason) == (1, threads, why)
    assert sized(served, command, {"THREADS": "3"}).values["THREADS"] == 3
    boot = sized(served, command, {"WEB_CONCURRENCY": "2"})
    assert (boot.values["WEB_CONCURRENCY"], boot.values["THREADS"]) == (2, 4)


def test_a_procfile_leaves_the_workers_to_the_box(served, tmp_path):
    """Its platform computes WEB_CONCURRENCY; threads it does not."""
    (tmp_path / "Procfile").write_text("web: gunicorn app:app\n")
    boot = sized(served, None, {})
    (tmp_path / "Procfile").unlink()
    assert (boot.values["THREADS"], boot.values["WEB_CONCURRENCY"]) == (1, boot.size.workers)
    assert boot.size_reason == f"{boot.size.reason}; threads: {LINE}"


@pytest.mark.parametrize(("command", "procfile", "arguments"), [
    ("exec gunicorn --bind :$PORT --workers 1 --threads 8 --timeout 0 app:app", "", ""), ("", "gunicorn --bind :$PORT --workers 1 --threads 8 --timeout 0 app:app", ""),
    ("exec gunicorn --bind :$PORT --workers 1 --threads 8 app:app", "", "--timeout 0"),
])  # fmt: skip
def test_a_command_without_a_time_limit(served, tmp_path, command, procfile, arguments):
    """As a well known sample for Cloud Run has it, and copies of it: 0 is no limit, and the rest is what it says."""
    if procfile:
        (tmp_path / "Procfile").write_text(f"web: {procfile}\n")
    environ = {"PORT": "8081", **({"GUNICORN_CMD_ARGS": arguments} if arguments else {})}
    boot = sized(served, ["/bin/sh", "-c", command] if command else None, environ)
    (tmp_path / "Procfile").unlink(missing_ok=True)
    values = boot.values
    assert (values["WEB_CONCURRENCY"], values["THREADS"], values["TIMEOUT"], values["PORT"]) == (1, 8, 86400, 8081)
    assert not [line for line in [*boot.warnings, *boot.settings.warnings] if "imeout" in line]


def test_one_thread_has_a_queue(served):
    assert sized(served, ["gunicorn", "app:app"], {}).values["BACKLOG"] == 64
    assert sized(served, ["gunicorn", "--backlog", "0", "app:app"], {}).values["BACKLOG"] == 1
    assert sized(served, ["gunicorn", "-w", "8", "--threads", "8", "app:app"], {}).values["BACKLOG"] == 256


def test_more_streams_than_the_one_thread_is_refused(served):
    with pytest.raises(capacity.Conflict, match="STREAMS_MAX=2 is more than THREADS=1"):
        sized(served, ["gunicorn", "app:app"], {"STREAMS_MAX": "2"})


@pytest.mark.parametrize(("words", "environ", "files", "is_served"), [
    (["gunicorn"], {}, {"gunicorn.conf.py": "wsgi_app = 'app:app'"}, True), (["gunicorn"], {}, {}, False), (["gunicorn"], {"GUNICORN_CMD_ARGS": "-c g.py"}, {}, True),
    (["gunicorn", "-w", "2"], {}, {"gunicorn.conf.py": ""}, True), (["gunicorn"], {"GUNICORN_CMD_ARGS": "-w 2"}, {}, False),
])  # fmt: skip
def test_gunicorn_whose_file_names_the_application(served, tmp_path, words, environ, files, is_served):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert (served(words, **environ) is not None) is is_served
    for name in files:
        (tmp_path / name).unlink()


# What a server's words mean is the same however it is started

STARTS = ["{}", "tini -- {}", "true && {}", "env X=1 {}", "nice -n 5 sh -c '{}'", "exec {}"]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(("line", "port", "implied", "tls", "program"), [
    ("gunicorn app", None, "8000", "", "gunicorn"), ("gunicorn -b :81 app", "81", None, "", "gunicorn"), ("gunicorn -b unix:/x app", None, None, "", "gunicorn"),
    ("flask run", None, "5000", "", "flask"), ("flask run -p 82", "82", None, "", "flask"), ("flask run --cert adhoc", None, "5000", "--cert", "flask"),
    ("python app.py", None, "5000", "", "python"), ("python -m app", None, "5000", "", "python"),
    ("python -m whole", None, "5000", "", "python"), ("uvicorn app:app", None, "8000", "", "uvicorn"), ("uvicorn --port 83 app:app", "83", None, "", "uvicorn"),
    ("hypercorn -b unix:/x app:app", None, None, "", "hypercorn"), ("uvicorn --ssl-certfile c --port 443 app:app", None, None, "--ssl-certfile", "uvicorn"),
    ("uwsgi --https :443,c,k --module app:app", None, None, "--https", "uwsgi"), ("django-admin runserver", None, "8000", "", "django-admin"),
    ("python garden/manage.py runserver", None, "8000", "", "manage.py"), ("python group/manage.py run", None, "5000", "", "manage.py"),
])  # fmt: skip
def test_a_port_and_tls_whatever_starts_the_server(served, start, line, port, implied, tls, program):
    found = served(["sh", "-c", start.format(line)])
    assert (found.port, found.implied_port, found.tls, found.program) == (port, implied, tls, program)


@pytest.mark.parametrize("line", [
    "gunicorn app", "newrelic-admin run-program gunicorn app", "true && exec gunicorn app", "cd . && gunicorn app", "X=1 gunicorn app", "celery worker & gunicorn app",
])  # fmt: skip
@pytest.mark.parametrize("by", [commands.COMMAND, commands.PROCFILE])
def test_gunicorn_s_own_meaning_whatever_starts_it(served, tmp_path, line, by):
    """One thread, its port, its object, of a command and of a Procfile's line; one worker of a command only."""
    (tmp_path / "Procfile").write_text(f"web: {line}\n")
    command = ["sh", "-c", line] if by == commands.COMMAND else None
    if command and "&" in line.replace("&&", ""):
        pytest.skip("run as it is")
    boot = sized(served, command, {"RUNTIME_DIR": str(tmp_path)})
    (tmp_path / "Procfile").unlink()
    assert (boot.settings.line, boot.values["THREADS"], boot.values["BACKLOG"] >= 64) == (by, 1, True)
    assert (boot.settings.sources["WEB_CONCURRENCY"] == LINE) == (by == commands.COMMAND)
    assert [one.port for one in ports.beside(boot)] == [8000]
    boot.application = application.choose(boot, "")
    assert (boot.objects[0], boot.application.why) == ("application", f"{by}=app")


@pytest.mark.parametrize("by", [commands.COMMAND, commands.PROCFILE])
@pytest.mark.parametrize(
    "line",
    ["true && gunicorn --certfile c app:app", "tini flask run --cert adhoc", "gunicorn --certfile=$(pwd)/c app:app"],
)
def test_tls_is_refused_whatever_starts_the_server(served, tmp_path, line, by):
    (tmp_path / "Procfile").write_text(f"web: {line}\n")
    boot = Boot({}, served.directory, ["sh", "-c", line] if by == commands.COMMAND else None)
    (tmp_path / "Procfile").unlink()
    boot.users = users_nginx.UsersNginx()
    with pytest.raises(BootError, match=rf"{by}: --cert.* asks for TLS"):
        boot.refuse_tls()


def test_a_procfile_s_line_that_a_shell_has_read_is_still_the_procfile_s(served, tmp_path):
    """`gunicorn -w $(nproc)`: its words become the command, and neither its port nor its workers a command's."""
    (tmp_path / "Procfile").write_text("web: gunicorn -b :$X -w $(echo 2) app\n")
    before = Boot({}, served.directory)
    assert (before.settings.line, before.served.gunicorn) == ("", [])
    words = ["gunicorn", "-b", ":7001", "-w", "2", "app"]
    boot = Boot({}, served.directory, words, was=before.served)
    (tmp_path / "Procfile").unlink()
    assert (boot.settings.line, boot.values["PORT"], boot.settings.sources["WEB_CONCURRENCY"]) == (
        "Procfile",
        None,
        "Procfile",
    )
    assert [(one.port, one.why) for one in ports.beside(boot)] == [(7001, "-b in the Procfile")]
    assert application.choose(boot, "").why == "Procfile=app"
    again = Boot({}, served.directory, words, was=boot.served)  # a reload
    assert again.settings.line == "Procfile"


def test_a_procfile_s_uwsgi_is_listened_on_beside(served, tmp_path):
    for text, command, expected in (
        ("web: uwsgi --http :7002 --module app:app\n", None, (None, [7002])),
        ("", ["uwsgi", "--http", ":7002", "--module", "app:app"], (7002, [])),
    ):
        (tmp_path / "Procfile").write_text(text)
        boot = Boot({}, served.directory, command)
        assert (boot.values["PORT"], [one.port for one in ports.beside(boot)]) == expected
    (tmp_path / "Procfile").unlink()


@pytest.mark.parametrize(("words", "target", "folder", "file"), [
    (["sh", "-c", "cd web && gunicorn -c g.py site"], "site:app", "web", "web/g.py"), (["sh", "-c", "cd web && gunicorn --chdir .. app:app"], "app:app", "", ""),
    (["sh", "-c", "cd web && FLASK_APP=site flask run"], "site:app", "web", ""), (["sh", "-c", "cd web && flask run"], "app:app", "web", ""), (["sh", "-c", "cd web && uvicorn --app-dir .. app:app"], "app:app", "", ""), (["gunicorn", "--chdir", "web", "-c", "g.py", "site"], "site:app", "web", "web/g.py"),
])  # fmt: skip
def test_a_folder_that_the_command_changes_to(served, tmp_path, words, target, folder, file):
    """Where its names, its gunicorn file and its --chdir begin."""
    (tmp_path / "web" / "g.py").write_text("bind = ':7003'\n")
    (tmp_path / "web" / "app.py").write_text(FILES["app.py"])
    environ = {"FLASK_APP": "site"} if "FLASK_APP" in words[-1] else {}  # its first step has given that
    boot = Boot(environ, served.directory, words)
    boot.environment, boot.origin.python = dict(boot.settings.environment), sys.executable
    boot.read_gunicorn_file()
    found = application.choose(boot, "")
    assert (found.target, found.directory) == (target, str(tmp_path / folder))
    assert boot.gunicorn_file == (str(tmp_path / file) if file else "")


def test_the_flaskenv_of_the_folder_that_flask_is_started_in(served, tmp_path):
    (tmp_path / "web" / ".flaskenv").write_text("FLASK_APP=site\n")
    (tmp_path / ".flaskenv").write_text("FLASK_APP=run\n")
    boot = Boot({}, served.directory, ["sh", "-c", "cd web && flask run"])
    found = application.choose(boot, "")
    assert (found.target, found.directory) == ("site:app", str(tmp_path / "web"))
    assert application.choose(Boot({}, served.directory, ["flask", "run"]), "").target.startswith("run:")
