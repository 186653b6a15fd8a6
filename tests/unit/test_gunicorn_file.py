"""gunicorn's configuration file, whoever names it: which one is read, and what it says of things that are the boot's."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import json
import os
import subprocess
import sys

import pytest

from flagon import application, gunicorn_file, locate, ports, users_nginx
from flagon.boot import Boot, BootError
from flagon.inside import users_config

FLASK = "from flask import Flask\napp = Flask(__name__)\n"


@pytest.fixture
def boot(tmp_path):
    """A boot that has read gunicorn's file; files by name, the command, variables."""

    def boot(files, command=None, **environ):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        found = Boot(environ, str(tmp_path), command.split() if isinstance(command, str) else command)
        found.origin.python, found.environment = sys.executable, dict(environ)
        found.read_gunicorn_file()
        return found

    boot.folder = str(tmp_path)
    return boot


def took(found):
    found.from_gunicorn_file = gunicorn_file.take(found)
    return found.values


@pytest.mark.parametrize(("command", "environ", "more"), [
    ("gunicorn -c conf/g.py app:app", {}, {}), ("gunicorn -cconf/g.py app:app", {}, {}), ("gunicorn app:app --config=conf/g.py", {}, {}),
    ("gunicorn --conf file:conf/g.py app:app", {}, {}), ("gunicorn -c python:conf.g app:app", {}, {}), (["sh", "-c", "exec gunicorn -c conf/g.py app:app"], {}, {}),
    (["gunicorn", "-c conf/g.py", "app:app"], {}, {}), ("python -m gunicorn --config ./conf/g.py app:app", {}, {}), ("gunicorn --chdir conf -c g.py app:app", {}, {}),
    ("gunicorn --chdir deep -c python:inner app:app", {}, {"deep/inner.py": "from conf.g import *\n"}),
    ("gunicorn app:app", {"GUNICORN_CMD_ARGS": "-c conf/g.py"}, {}), (None, {"GUNICORN_CMD_ARGS": "'--config conf/g.py'"}, {}),
    (None, {}, {"Procfile": "web: gunicorn -c conf/g.py app:app\n"}), (None, {}, {"Procfile": "web: gunicorn --config python:conf.g app:app\n"}),
    (None, {"GUNICORN_CONF": "conf/g.py"}, {}), (None, {"GUNICORN_CONF": "python:conf.g"}, {}), ("flask run", {"GUNICORN_CMD_ARGS": "-c conf/g.py"}, {}),
])  # fmt: skip
def test_a_file_that_is_named_is_read(boot, command, environ, more):
    text = "import helper\ntimeout = 300\nthreads = 2\nworker_class = 'pack.Worker'\npreload_app = True\nworkers = helper.two\n"
    found = boot({"conf/g.py": text, "conf/__init__.py": "", "helper.py": "two = 2", **more}, command, **environ)
    values = took(found)
    assert (values["TIMEOUT"], values["THREADS"], values["WEB_CONCURRENCY"]) == (300, 2, 2)
    assert (values["WORKER_CLASS"], values["PRELOAD"]) == ("pack.Worker", True)
    assert not [line for line in [*found.warnings, *found.settings.warnings] if "-c" in line or "g.py" in line]
    if "GUNICORN_CONF" not in environ:
        assert not found.settings.old.seen, "no old image's file"
        assert values["MAX_BODY_SIZE"] == 32 << 20


def test_no_time_limit_in_a_file(boot):
    found = boot({"gunicorn.conf.py": "timeout = 0\ngraceful_timeout = 0\n"})
    values = took(found)
    assert (values["TIMEOUT"], values["GRACEFUL_TIMEOUT"]) == (86400, 1)
    assert not [line for line in [*found.warnings, *found.settings.warnings] if "imeout" in line]


@pytest.mark.parametrize(("command", "environ", "words"), [
    ("gunicorn -c none.py app:app", {}, ["command line: -c none.py", "/none.py"]), ("gunicorn -c python:no.such app:app", {}, ["-c python:no.such", "No module named 'no'"]),
    (None, {"GUNICORN_CMD_ARGS": "-c none.py"}, ["GUNICORN_CMD_ARGS: -c none.py"]), (None, {"GUNICORN_CONF": "none.py"}, ["GUNICORN_CONF=none.py: there is no file"]),
    ("gunicorn -c bad.py app:app", {}, ["/bad.py: ValueError: no"]), ("gunicorn -c ends.py app:app", {}, ["/ends.py"]), ("gunicorn -c . app:app", {}, ["-c ."]),
])  # fmt: skip
def test_a_file_that_cannot_be_read_ends_the_boot_by_name(boot, command, environ, words):
    with pytest.raises(BootError) as caught:
        boot({"bad.py": "raise ValueError('no')", "ends.py": "raise SystemExit(3)"}, command, **environ)
    for word in words:
        assert word in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_of_several_that_are_named_one_is_read_and_the_others_are_said(boot):
    files = {f"{name}.py": f"timeout = {number}\n" for number, name in enumerate(("args", "conf", "command"), 11)}
    found = boot(files, "gunicorn -c command.py app:app", GUNICORN_CMD_ARGS="-c args.py", GUNICORN_CONF="conf.py")
    assert took(found)["TIMEOUT"] == 11
    assert [line for line in found.warnings if "is not read" in line] == [
        "GUNICORN_CONF=conf.py is not read: GUNICORN_CMD_ARGS: -c args.py is",
        "command line: -c command.py is not read: GUNICORN_CMD_ARGS: -c args.py is",
    ]


@pytest.mark.parametrize("line", ["command", "Procfile"])
def test_what_the_line_says_beats_its_file(boot, line):
    text = "gunicorn -c g.py --timeout 33 app:app"
    files = {"g.py": "timeout = 99\nthreads = 3\n", **({"Procfile": f"web: {text}\n"} if line == "Procfile" else {})}
    values = took(boot(files, text if line == "command" else None))
    assert (values["TIMEOUT"], values["THREADS"]) == (33, 3)


@pytest.mark.parametrize(("files", "command", "environ", "target", "folder"), [
    ({"g.py": "wsgi_app = 'shop:app'"}, "gunicorn -c g.py", {}, "shop:app", ""), ({"gunicorn.conf.py": "wsgi_app = 'shop:app'"}, "gunicorn", {}, "shop:app", ""),
    ({"gunicorn.conf.py": "wsgi_app = 'shop'"}, None, {}, "shop:application", ""), ({"g.py": "wsgi_app = 'shop'"}, None, {"GUNICORN_CONF": "g.py"}, "shop:application", ""),
    ({"g.py": "wsgi_app = 'other:app'"}, "gunicorn -c g.py shop:app", {}, "shop:app", ""), ({"g.py": "wsgi_app = 'other:app'"}, None, {"APP_MODULE": "shop:app", "GUNICORN_CMD_ARGS": "-c g.py"}, "shop:app", ""),
    ({"g.py": "wsgi_app = 'shop:app'"}, "gunicorn -c g.py", {"FLASK_APP": "other:app"}, "shop:app", ""), ({"g.py": "wsgi_app = 'web'\nchdir = 'deep'"}, "gunicorn -c g.py", {}, "web:app", "deep"),
    ({"Procfile": "web: gunicorn -c g.py", "g.py": "wsgi_app = 'shop:app'"}, None, {}, "shop:app", ""), ({}, "gunicorn shop", {}, "shop:application", ""),
    ({}, "gunicorn --chdir deep web", {}, "web:app", "deep"), ({}, "gunicorn web", {"GUNICORN_CMD_ARGS": "--chdir deep"}, "web:app", "deep"), ({}, "gunicorn pkg.run", {}, "pkg.run:application", ""),
    ({"Procfile": "web: gunicorn shop"}, None, {}, "shop:application", ""), ({}, None, {"APP_MODULE": "shop"}, "shop:app", ""), ({}, "python shop.py", {}, "shop.py", None),
])  # fmt: skip
def test_the_application_that_gunicorn_would_serve(boot, files, command, environ, target, folder):
    both = FLASK + "application = Wrapped(app)\n"
    found = boot({"shop.py": both + "app.run()\n", "other.py": both, "deep/web.py": FLASK, **files}, command, **environ)
    found.application = application.choose(found, "/nowhere")
    if folder is None:
        assert found.application.target == "shop:app", "a development server is not gunicorn"
        return
    assert found.application.target == target
    assert os.path.relpath(found.application.directory, boot.folder) == (folder or ".")
    assert bool(found.objects) is (":" not in found.application.why.partition("=")[2])
    assert found.objects[:1] in ([], ["application"], ["app"])


def test_an_object_in_a_module_that_nobody_can_see_is_not_said(boot):
    found = boot({}, "gunicorn pkg.run")
    found.application = application.choose(found, "/nowhere")
    assert application.shown(found) == "pkg.run"
    assert found.objects[:2] == ["application", "app"]


def test_a_folder_that_is_not_there(boot):
    found = boot({"shop.py": FLASK}, "gunicorn --chdir nowhere shop:app")
    with pytest.raises(locate.NotFound, match="command line: --chdir nowhere: there is no folder"):
        application.choose(found, "/nowhere")


@pytest.mark.parametrize(("bind", "command", "expected"), [
    ("'0.0.0.0:9000'", "gunicorn -c g.py app:app", [9000]), ("['0.0.0.0:9000', '[::]:9001']", "gunicorn -c g.py app:app", [9000, 9001]),
    ("'0.0.0.0:9000,0.0.0.0:9001'", "gunicorn -c g.py app:app", [9000, 9001]), ("'unix:/x'", "gunicorn -c g.py app:app", [8000]), ("None", "gunicorn -c g.py app:app", [8000]),
    ("'0.0.0.0'", "gunicorn -c g.py app:app", [8000]), ("'0.0.0.0:9000'", "gunicorn -c g.py -b :7000 app:app", []), ("'0.0.0.0:99999'", "gunicorn -c g.py app:app", [8000]),
])  # fmt: skip
def test_the_ports_of_bind(boot, bind, command, expected):
    found = boot({"app.py": FLASK, "g.py": f"bind = {bind}\n"}, command)
    assert [one.port for one in ports.beside(found)] == expected
    assert ("unix" in bind) == bool(ports.sockets(found))


def test_the_port_of_a_file_that_nobody_names(boot):
    """The old images' own place for it, with the port that their users publish."""
    found = boot({"app.py": FLASK, "gunicorn_conf.py": "bind = '0.0.0.0:8000'\nloglevel = 'warning'\n"})
    (beside,) = ports.beside(found)
    assert (beside.port, "bind in " in beside.why, found.values["PORT"]) == (8000, True, None)


def test_a_bind_that_a_given_port_beats_is_named(boot):
    found = boot({"gunicorn_conf.py": "bind = '0.0.0.0:8000'\n"}, None, PORT="9000")
    assert ports.beside(found) == []
    assert "port 8000 (bind in " in found.warnings[-1]
    assert "PORT=9000 says otherwise" in found.warnings[-1]
    same = boot({"gunicorn_conf.py": "import os\nbind = '0.0.0.0:' + os.environ['PORT']\n"}, None, PORT="9000")
    assert (ports.beside(same), [line for line in same.warnings if "9000" in line]) == ([], [])


@pytest.mark.parametrize(("files", "command", "environ"), [
    ({}, "gunicorn --certfile c.pem --keyfile k.pem -b :443 app:app", {}), ({}, "gunicorn --keyfile=k.pem app:app", {}), ({"g.py": "certfile = 'c.pem'"}, "gunicorn -c g.py app:app", {}),
    ({"gunicorn_conf.py": "keyfile = 'c.pem'"}, None, {}), ({"Procfile": "web: gunicorn --certfile c.pem app:app"}, None, {}), ({}, None, {"GUNICORN_CMD_ARGS": "--certfile c.pem"}), ({"Procfile": "web: flask run --cert adhoc\n"}, None, {}),
    ({}, "flask run --cert adhoc", {}), ({}, "flask run -p 443 --cert=c.pem --key=k.pem", {}), ({}, "flask run", {"FLASK_RUN_CERT": "adhoc"}), ({".flaskenv": "FLASK_RUN_CERT=adhoc\n"}, "flask run", {}),
    ({"run.py": FLASK + "app.run(ssl_context='adhoc')"}, "python run.py", {}), ({"run.py": FLASK + "C = ('a', 'b')\napp.run(port=443, ssl_context=C)"}, "python run.py", {}),
])  # fmt: skip
def test_tls_is_not_left_out_without_a_word(boot, files, command, environ):
    found = boot({"app.py": FLASK, **files}, command, **environ)
    found.users = users_nginx.find(boot.folder)
    with pytest.raises(BootError, match=r"asks for TLS.*a proxy in front.*listen 443 ssl"):
        found.refuse_tls()
    assert found.values["PORT"] is None, "the port that meant TLS"
    server = os.path.join(boot.folder, "nginx", "server.d")
    os.makedirs(server)
    with open(os.path.join(server, "tls.conf"), "w") as file:
        file.write("listen 443 ssl;\nssl_certificate /c.pem;\n")
    found.users = users_nginx.find(boot.folder)
    found.refuse_tls()
    assert "your nginx file ends TLS" in found.warnings[-1]
    assert ports.beside(found) == []


@pytest.mark.parametrize(("files", "command"), [
    ({"gunicorn_conf.py": "certfile = None\nkeyfile = ''"}, None), ({"run.py": FLASK + "app.run(ssl_context=None)"}, "python run.py"), ({}, "gunicorn app:app"),
])  # fmt: skip
def test_no_tls(boot, files, command):
    found = boot({"app.py": FLASK, **files}, command)
    found.users = users_nginx.find(boot.folder)
    found.refuse_tls()
    assert not found.asks_tls


# In the application's interpreter


class Settings(dict):
    """Just enough of gunicorn's configuration."""

    def __init__(self):
        from gunicorn.config import Config

        self.settings, self.set_by_us = Config().settings, {}

    def set(self, name, value):
        self.set_by_us[name] = value


@pytest.mark.parametrize(("given", "line"), [
    ({"user": "www-data"}, "RUN_AS"), ({"group": "x"}, "RUN_AS"), ({"forwarded_allow_ips": "*"}, "TRUSTED_PROXIES"), ({"proxy_protocol": True}, "PROXY protocol"),
    ({"errorlog": "/var/log/x"}, "container's log"), ({"accesslog": "/x"}, "ACCESS_LOG=off"), ({"logger_class": Settings}, "LOG_FORMAT"), ({"logconfig_dict": {"a": 1}}, "set up in the application"),
    ({"statsd_host": "x:1"}, "no metrics"), ({"daemon": True}, "background"), ({"pidfile": "/x"}, "pid file"), ({"worker_tmp_dir": "/x"}, "in memory"), ({"limit_request_field_size": 32768}, "HEADER_SIZE"), ({"limit_request_line": 16380}, "HEADER_SIZE"), ({"threads": 9}, "THREADS in .env says"),
])  # fmt: skip
def test_what_a_file_cannot_decide_is_named_with_its_consequence(given, line):
    cfg, lines = Settings(), []
    users_config.apply(
        cfg, given, {"accesslog": None, "daemon": False}, lines.append, (), {"THREADS": "THREADS in .env"}
    )
    assert cfg.set_by_us == {}
    (said,) = lines
    assert line in said


@pytest.mark.parametrize("given", [
    {"bind": "0.0.0.0:1"}, {"wsgi_app": "x:y"}, {"chdir": "/x"}, {"certfile": "c"}, {"accesslog": "-", "errorlog": "-"}, {"worker_tmp_dir": "/dev/shm"},
    {"daemon": False, "umask": 0, "pidfile": None, "user": None, "reuse_port": False, "proxy_protocol": False}, {"threads": 1}, {"own_name": 5},
])  # fmt: skip
def test_what_is_taken_or_done_anyway_is_not(given):
    cfg, lines = Settings(), []
    users_config.apply(cfg, given, {"daemon": False, "umask": 0o177}, lines.append, (), {})
    assert (cfg.set_by_us, lines) == ({}, [])


def test_the_reader_has_the_users_modules_and_none_of_ours(tmp_path):
    """Its script lies beside modules of ours: a `hooks` or `files` of the user's is theirs."""
    (tmp_path / "hooks.py").write_text("number = 7\n")
    (tmp_path / "users_config.py").write_text("more = 1\n")
    (tmp_path / "g.py").write_text(
        "import hooks, users_config\nworkers = hooks.number + users_config.more\nprint('hello')\n"
    )
    words = [sys.executable, gunicorn_file.READER, str(tmp_path / "g.py"), str(tmp_path), "workers", "bind"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd="/")
    assert json.loads(done.stdout) == {"workers": 8}
