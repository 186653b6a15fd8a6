"""An inherited command: what starts a server is served, everything else is run as it is."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import pytest

from flagon import commands
from flagon.boot import Boot

FILES = {
    "app.py": "from flask import Flask\napp = Flask(__name__)\nif __name__ == '__main__':\n    app.run()\n",
    "web/site.py": "app = Flask(__name__)\n",
    "seed.py": "print('seeding')\n",
    # What scripts beside an application look like: they use it, they do not serve it.
    "fill.py": "from app import app, db\nwith app.app_context():\n    db.create_all()\n",
    "job.py": "from app import create_app\napp = create_app()\napp.app_context().push()\nprint(1)\n",
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


@pytest.mark.parametrize(("words", "application", "port"), [
    (["python", "app.py"], "app.py", None),
    (["python3", "app.py"], "app.py", None),
    (["python3.12", "app.py"], "app.py", None),
    (["/usr/local/bin/python", "app.py"], "app.py", None),
    (["python", "-u", "app.py"], "app.py", None),
    (["python", "-u", "-B", "./app.py"], "app.py", None),
    (["python", "web/site.py"], "web/site.py", None),
    (["flask", "run"], None, None),
    (["/opt/venv/bin/flask", "run"], None, None),
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
])  # fmt: skip
def test_served(served, words, application, port):
    found = served(words, PORT="5000")
    assert found is not None
    assert (found.application, found.port) == (application, port)


@pytest.mark.parametrize("words", [
    ["python"], ["python", "seed.py"], ["python", "-u", "seed.py"], ["python", "fill.py"], ["python", "job.py"],
    ["python", "manage.py"], ["python", "manage.py", "migrate"], ["python", "missing.py"], ["python", "app.py", "migrate"],
    ["python", "-c", "import app"], ["python", "-m", "http.server"], ["python", "-m"], ["python", "-m", "app"],
    ["python", "../app.py"], ["python", "/etc/app.py"], ["python", "--version"], ["pythonic", "app.py"],
    ["flask"], ["flask", "routes"], ["flask", "shell"], ["flask", "db", "upgrade"], ["flask", "run", "--help"], ["flask", "--version"],
    ["flask", "--app", "run", "db", "upgrade"], ["flask", "--app=run", "routes"], ["flask", "-A", "run", "shell"],
    ["flask", "jobs", "run"], ["flask", "crawl", "run", "--all"],
    ["python", "-m", "flask", "routes"],
    ["gunicorn"], ["gunicorn", "--version"], ["gunicorn", "-v"], ["gunicorn", "--help"], ["gunicorn", "--check-config", "app:app"],
    ["gunicorn", "--print-config", "app:app"],
    ["bash"], ["sh"], ["sh", "-c", ""], ["ls", "-l"], ["celery", "-A", "app", "worker"], ["rq", "worker"], ["uwsgi", "--ini", "x.ini"],
    ["sh", "-c", "flask db upgrade && gunicorn app:app"], ["sh", "-c", "flask db upgrade; flask run"],
    ["sh", "-c", "gunicorn app:app | tee log"], ["sh", "-c", "gunicorn app:app &"], ["sh", "-c", "gunicorn app:app > log"],
    ["sh", "-c", "gunicorn app:app -b :$(cat port)"], ["sh", "-c", "gunicorn app:app -b :`cat port`"],
    ["sh", "-c", "python seed.py\nflask run"], ["sh", "-c", "(gunicorn app:app)"], ["sh", "-c", "gunicorn 'app:app"],
    ["sh", "-c", "gunicorn app:app", "name"], ["sh", "-x", "gunicorn app:app"], ["sh", "start.sh"],
    ["sh", "-c", "flask routes"], ["sh", "-c", "python seed.py"],
])  # fmt: skip
def test_run_as_it_is(served, words):
    assert served(words, PORT="5000") is None


def test_a_variable_cannot_smuggle_a_second_command(served):
    assert served(["sh", "-c", "gunicorn app:app -b :$PORT"], PORT="80; rm -rf x") is None


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
