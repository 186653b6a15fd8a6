"""Dockerfiles written for the deprecated images, with another FROM: the same answers on the same ports."""

# Tables, a row a line, however long.
# ruff: noqa: E501

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .authority import openssl
from .box import FULL, RUNTIME, Box, child_image, docker, raw, run_once, wait_until
from .old_images import PACKAGE, PACKAGE_MAIN, UN_MAIN, UNF_MAIN, dockerfile, nginx_conf

MAIN = {"app/main.py": UNF_MAIN}
CHECKING, RUNNING, NONE = "Checking for script in", "Running script", "There is no script"


@contextlib.contextmanager
def old(files: dict[str, str], *more: str, copy: str = "COPY ./app /app", **box: Any) -> Iterator[Box]:
    """A box of a child image: `more` are further lines of its Dockerfile."""
    box.setdefault("port", 80)
    with child_image(dockerfile(RUNTIME, *more, copy=copy), files) as image, Box(image=image, **box) as running:
        yield running


def own_certificate() -> tuple[str, str]:
    """(key, certificate), signed by itself."""
    with tempfile.TemporaryDirectory() as folder:
        key, crt = Path(folder) / "key", Path(folder) / "crt"
        openssl(*"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split(), "-keyout", key, "-out", crt)
        return key.read_text(), crt.read_text()


# Shapes (contract 2.2)


def test_a_main_py_alone() -> None:
    with old(MAIN, ports=(8080,)) as box:
        assert box.get("/").text == "Hello World from Flask"
        assert box.get("/", port=8080).text == "Hello World from Flask"
        exposed = docker("inspect", "-f", "{{.Config.ExposedPorts}}", box.name).stdout
        assert "80/tcp" in exposed


def test_a_package_with_its_uwsgi_ini() -> None:
    ini = "[uwsgi]\nmodule = app.main\ncallable = app\nprocesses = 2\n"
    with old({**PACKAGE, "app/uwsgi.ini": ini}) as box:
        assert box.get("/").text == "Hello from a package"
        assert "2 workers x 1 thread (" in box.wait_log("workers x")


def test_a_package_before_the_demo_file() -> None:
    with old({**PACKAGE, "app/main.py": "raise SystemExit('the demo')\napp = 1\n"}) as box:
        assert box.get("/").text == "Hello from a package"


def test_a_plain_wsgi_file() -> None:
    with old({"app/main.py": UN_MAIN, "app/uwsgi.ini": "[uwsgi]\nwsgi-file=/app/main.py\n"}) as box:
        assert box.get("/any/path").text == "Hello World from a default uWSGI application"


def test_another_working_directory_and_a_relative_ini() -> None:
    files = {
        "application/custom_app/main.py": UNF_MAIN.replace("app = Flask", "api = Flask").replace("@app.", "@api."),
        "application/custom_app/uwsgi.ini": "[uwsgi]\nmodule = custom_app.main:api\nthreads = 2\n",
    }
    lines = ("ENV UWSGI_INI custom_app/uwsgi.ini", "WORKDIR /application")
    with old(files, *lines, copy="COPY ./application /application") as box:
        who = box.get("/who").json()
        assert (who["cwd"], who["threads"]) == ("/application", True)


def test_app_is_served_where_the_working_directory_has_nothing() -> None:
    files = {"app/main.py": UNF_MAIN, "app/uwsgi.ini": "[uwsgi]\nmodule = main\ncallable = app\nprocesses = 2\n"}
    with child_image(dockerfile(RUNTIME, "WORKDIR /tmp"), files) as image:
        with Box(image=image) as box:
            assert box.get("/who").json()["cwd"] == "/tmp", "where its relative paths began in the old image, too"
            assert "the working directory /tmp has no application in it: /app is served" in box.logs()
            assert "2 workers x 1 thread" in box.logs()
            assert box.exec("flagon", "python", "-c", "import main; print(main.app.name)").strip() == "main"
            assert box.exec("flagon", "sh", "-c", "pwd").strip() == "/app"
        checked = run_once(["check"], image=image)
        assert "ok: main:app (uwsgi.ini=main:app)" in checked.stdout
    files = {"app/shop/__init__.py": "", "app/shop/app.py": UNF_MAIN}
    with old(files, "WORKDIR /app/shop", "ENV MODULE_NAME=shop.app") as box:
        assert box.get("/who").json()["cwd"] == "/app/shop"


@pytest.mark.parametrize("env", [
    {"MODULE_NAME": "custom_app.custom_main", "VARIABLE_NAME": "api"}, {"APP_MODULE": "custom_app.custom_main:api"},
    {"MODULE_NAME": "wrong", "APP_MODULE": "custom_app.custom_main:api"},
])  # fmt: skip
def test_module_and_variable(env: dict[str, str]) -> None:
    text = PACKAGE_MAIN.replace("from .core.text import TEXT", "TEXT = 'custom'").replace("app = F", "api = F")
    with old({"app/custom_app/custom_main.py": text.replace("@app.", "@api.")}, env=env) as box:
        assert box.get("/").text == "custom"


def test_a_factory_in_module_name_and_the_variables_of_the_gunicorn_images() -> None:
    env = {"APP_MODULE": "flaskr:create_app()", "WORKERS_PER_CORE": "0.5", "MAX_WORKERS": "1", "HOST": "127.0.0.1"}
    factory = UNF_MAIN.replace("app = Flask", "def create_app():\n    return app\n\napp = Flask")
    with old(
        {"app/flaskr/__init__.py": factory},
        env={**env, "BIND": "0.0.0.0:8000", "WORKER_CLASS": "egg:meinheld#gunicorn_worker"},
        port=8000,
    ) as box:
        assert box.get("/").text == "Hello World from Flask"
        log = box.logs()
        assert "1 worker x 1 thread (WORKERS_PER_CORE and MAX_WORKERS say so; threads: WORKERS_PER_CORE is seen)" in log
        assert "HOST=127.0.0.1 is ignored" in log
        assert "Meinheld is dead" in log


def test_a_gunicorn_conf_by_its_variable() -> None:
    conf = "workers = 2\nthreads = 3\ntimeout = 33\nbind = '0.0.0.0:9'\ndef post_fork(server, worker):\n    print('theirs')\nprint('{}')\n"
    with old({**PACKAGE, "app/custom.py": conf}, env={"GUNICORN_CONF": "/app/custom.py"}) as box:
        log = box.logs()
        assert "2 workers x 3 threads (workers in /app/custom.py says so)" in log
        assert "theirs" in log
        assert "(9: bind in /app/custom.py)" in log or "port 9 (bind in /app/custom.py) cannot be listened on" in log
    ended = run_once(env={"GUNICORN_CONF": "/app/none.py"}, files={"main.py": UNF_MAIN})
    assert (ended.returncode, "GUNICORN_CONF=/app/none.py: there is no file" in ended.stderr) == (78, True)


def test_what_the_file_says_is_below_every_variable() -> None:
    files = {"main.py": UNF_MAIN, "gunicorn_conf.py": "workers = 2\nthreads = 3\ntimeout = 33\n"}
    with Box({"THREADS": "2", "GUNICORN_CMD_ARGS": "--workers 1"}, files=files) as box:
        assert "1 worker x 2 threads" in box.wait_log("worker x")
        assert "threads in gunicorn's configuration file is ignored: THREADS says otherwise" in box.wait_log(
            "threads in"
        )


# Commands and paths (contract 2.1, 2.7)


@pytest.mark.parametrize("lines", [
    ('CMD ["/start.sh"]',), ('CMD ["/usr/bin/supervisord"]',), ('ENTRYPOINT ["/entrypoint.sh"]', 'CMD ["/start.sh"]'),
    ('COPY app/start.sh /start.sh', 'RUN chmod +x /start.sh', 'CMD ["/start.sh"]'),
    ('CMD ["flask", "run", "--host=0.0.0.0", "--port=80"]',),
])  # fmt: skip
def test_the_ways_to_start(lines: tuple[str, ...]) -> None:
    files = {**MAIN, "app/start.sh": "#! /bin/sh\necho from my own start\nexec /usr/bin/supervisord\n"}
    with old(files, *lines, env={"FLASK_APP": "main.py"}) as box:
        assert box.get("/").text == "Hello World from Flask"
        assert ("from my own start" in box.logs()) == any("COPY" in line for line in lines)
        assert box.stop()[1] == 0


def test_a_boot_script_stands_in_the_working_directory() -> None:
    files = {
        "app/uwsgi.ini": "[uwsgi]\nchdir=/app/shop\nmodule=shop.app\ncallable=app\nuid = nginx\ngid = nginx\n",
        "app/shop/app.py": UNF_MAIN, "app/here.txt": "beside the script\n",
        "app/start.sh": "#!/bin/sh\necho in $(pwd)\ncat here.txt\nexec /start.sh\n",
    }  # fmt: skip
    lines = ("RUN chmod +x /app/start.sh",)
    with child_image(dockerfile(RUNTIME, *lines), files) as image:
        with Box(image=image, command=["/app/start.sh"]) as box:
            assert box.get("/who").json()["cwd"] == "/app/shop"
            assert "in /app\nbeside the script\n" in box.logs()
            assert "RUN_AS" not in box.logs(), "nobody has set it"
        done = run_once(["/app/start.sh"], image=image, env={"FLAGON_CHECK": "1"})
        assert "at its end, `/start.sh`, Flagon serves shop.app:app (uwsgi.ini" in done.stdout
        assert "nothing of Flagon's" not in done.stdout


def test_any_other_command_runs() -> None:
    with child_image(dockerfile(RUNTIME), MAIN) as image:
        done = run_once(["bash", "-c", "pwd; id -un"], image=image)
        assert done.stdout.split() == ["/app", "flagon"]


def test_user_and_group_nginx() -> None:
    lines = ("RUN usermod -d /home/nginx -s /bin/bash nginx", "RUN chown -R nginx:nginx /app")
    text = (
        UNF_MAIN + "\n@app.route('/write')\ndef write():\n    open('/app/x.txt', 'w').close()\n    return 'written'\n"
    )
    with old({"app/main.py": text}, *lines) as box:
        assert box.get("/write").text == "written", "what was chowned to nginx can be written"


def test_supervisor_files_and_supervisorctl() -> None:
    conf = """
[supervisord]
nodaemon=true
[program:uwsgi]
command=/usr/local/bin/uwsgi --ini /etc/uwsgi/uwsgi.ini
[program:nginx]
command=/usr/sbin/nginx
[program:celery]
command=python -u /app/beat.py
user=root
stdout_logfile=/dev/stdout
stdout_logfile_maxbytes=0
"""
    files = {
        **MAIN,
        "app/beat.py": "import time\nwhile True:\n    print('beat')\n    time.sleep(0.2)\n",
        "app/s.conf": conf,
    }
    with old(files, "COPY app/s.conf /etc/supervisor/conf.d/supervisord.conf") as box:
        assert box.wait_record(lambda one: one.get("logger") == "celery" and one["message"] == "beat")
        log = box.logs()
        for section in ("supervisord", "program:uwsgi", "program:nginx"):
            assert f"[{section}] is ignored: the box has its own" in log
        assert "user=root is ignored" in log
        assert "RUNNING" in box.exec("supervisorctl", "status", "celery")
        box.exec("supervisorctl", "restart", "celery")
        assert box.stop()[1] == 0


def test_stop_and_start_of_the_same_container() -> None:
    with old({**MAIN, "app/nginx.conf": nginx_conf(), "app/prestart.sh": "export FROM_HOOK=$$\n"}) as box:
        for _ in range(3):
            assert box.get("/who").json()["hook"]
            assert box.stop()[1] == 0
            box.start()
        assert box.get("/").text == "Hello World from Flask"


# prestart (contract 2.4)


def test_prestart_is_sourced() -> None:
    script = "#! /usr/bin/env bash\nif [[ 1 == 1 ]]; then echo inside; fi\nexport FROM_HOOK='two words'\nNOT=this\numask 027\nulimit -n 1000\ncd /tmp\n"
    with old({**MAIN, "app/prestart.sh": script}, env={"UWSGI_PROCESSES": "1"}) as box:
        who = box.get("/who").json()
        assert (who["hook"], who["cwd"]) == ("two words", "/tmp")
        log = box.logs()
        order = [log.index(text) for text in (f"{CHECKING} /app/prestart.sh", f"{RUNNING} /app/prestart.sh", "inside")]
        assert order == sorted(order)
        pid = box.exec("sh", "-c", "cat /run/flagon/supervisord.pid").strip()
        assert "Umask:\t0027" in box.exec("cat", f"/proc/{pid}/status")


def test_no_prestart_is_said_to_whom_it_was_said() -> None:
    with old(MAIN, env={"PRE_START_PATH": "/app/other.sh"}) as box:
        assert f"{CHECKING} /app/other.sh" in box.logs()
        assert f"{NONE} /app/other.sh" in box.logs()
    with old(MAIN) as box:
        assert CHECKING not in box.logs()


@pytest.mark.parametrize(
    ("script", "code"), [("false\necho never\n", 1), ("exit 0\n", 0), ("exit 9\n", 9), ("no-such-command\n", 127)]
)
def test_a_prestart_that_fails_ends_the_container_with_its_code(script: str, code: int) -> None:
    done = run_once(files={"main.py": UNF_MAIN, "prestart.sh": script})
    assert done.returncode == code
    assert "/app/prestart.sh" in done.stderr
    assert "never" not in done.stdout


def test_prestart_is_not_run_for_another_command() -> None:
    with Box(files={"main.py": UNF_MAIN, "prestart.sh": "exit 5\n"}, command=["gunicorn", "main:app"]) as box:
        assert "/app/prestart.sh is not run: a command was given" in box.logs()


def test_a_stop_while_prestart_runs() -> None:
    with Box(files={"main.py": UNF_MAIN, "prestart.sh": "echo waiting\nsleep 60\n"}, wait=False) as box:
        box.wait_log("waiting")
        seconds, code = box.stop()
        assert (code, seconds < 4) == (0, True)


# Ports (contract 1.1)


@pytest.mark.parametrize(("given", "port"), [("8000", 8000), ("0.0.0.0:8000", 8000), ("8000 backlog=100", 8000)])
def test_listen_port(given: str, port: int) -> None:
    with old(MAIN, env={"LISTEN_PORT": given}, port=port) as box:
        assert box.get("/").text == "Hello World from Flask"
        assert wait_until(lambda: box.exec("/opt/flagon/healthcheck", check=False) == "", 5, "HEALTHCHECK")
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((box.ip, 8080), timeout=2)


def test_listen_port_of_ipv6_and_beside_port() -> None:
    with old(MAIN, env={"LISTEN_PORT": "[::]:8001", "PORT": "8002"}, port=8002) as box:
        assert box.get("/").status_code == 200
        assert "[::]:8001" in box.wait_log("listening on")


def test_listen_port_with_ssl() -> None:
    key, crt = own_certificate()
    conf = "ssl_certificate /etc/nginx/own.crt;\nssl_certificate_key /etc/nginx/own.key;\n"
    files = {**MAIN, "app/own.key": key, "app/own.crt": crt, "app/ssl.conf": conf}
    lines = ("RUN cp /app/own.* /etc/nginx/ && cp /app/ssl.conf /etc/nginx/conf.d/ssl.conf",)
    with old(files, *lines, env={"LISTEN_PORT": "443 ssl"}, port=443, wait=False) as box:
        box.wait_log("listening on")
        wait_until(lambda: box.exec("/opt/flagon/healthcheck", check=False) == "", 5, "HEALTHCHECK")
        reply = box.session.get(f"https://127.0.0.1:{box.host_port()}/who", verify=False, timeout=10)
        assert reply.json()["wsgi.url_scheme"] == "https"
        assert box.exec("/opt/flagon/healthcheck") == ""


# nginx (contract 2.5 to 2.7)


def test_an_nginx_conf_of_the_users_own() -> None:
    with old({**MAIN, "app/nginx.conf": nginx_conf("8080"), "app/static/a.txt": "a file\n"}, port=8080) as box:
        who = box.post("/who?a=b", data=b"x" * 100_000).json()
        host = f"127.0.0.1:{box.host_port()}"
        assert (who["size"], who["link"], who["HTTP_HOST"]) == (100_000, f"http://{host}/", host)
        assert (who["SCRIPT_NAME"], who["REQUEST_URI"], who["REMOTE_ADDR"] != "") == ("", "/who?a=b", True)
        assert box.get("/path/%2541").json() == "%41"
        assert box.get("/path/%C3%A9").json() == "é"
        assert box.get("/static/a.txt").text == "a file\n"
        assert "nginx/1." in box.get("/static/none").text
        assert box.post("/who", data=b"x" * 1_100_000).status_code == 413, "nginx's own default: nothing is generated"
        assert box.post("/who", data=iter([b"abc", b"def"])).json()["size"] == 6
        assert raw(box.host_port(), b"GET /go HTTP/1.0\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 302")
        assert "own-format" in box.wait_log("own-format")
        assert "/app/nginx.conf is taken in place of Flagon's own nginx.conf: it passes requests to" in box.logs()
        assert box.exec("/opt/flagon/healthcheck") == ""
        box.kill("HUP")
        box.wait_log(" with the new code")
        assert box.get("/").status_code == 200
        assert box.stop()[1] == 0


def test_an_nginx_conf_of_compose_is_left() -> None:
    beside = "events {} http { server { listen 8080; location / { proxy_pass http://web:5000; } } }"
    files = {"app/app.py": UNF_MAIN, "app/nginx.conf": beside, "app/nginx/server.d/own.conf": "add_header X-Own yes;"}
    with old(files, 'CMD ["gunicorn", "-b", "0.0.0.0:5000", "app:app"]', port=5000) as box:
        reply = box.get("/")
        assert (reply.text, reply.headers.get("X-Own")) == ("Hello World from Flask", "yes")
        assert (
            "/app/nginx.conf is left alone, and Flagon's own nginx.conf serves: it passes requests to web:5000"
            in box.logs()
        )
        assert box.exec("/opt/flagon/healthcheck") == ""


def test_what_theirs_listens_on_is_all(volume: str) -> None:
    with old({**MAIN, "app/nginx.conf": nginx_conf("8081")}, env={"LISTEN_PORT": "80"}, port=8081) as box:
        assert box.get("/").status_code == 200
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((box.ip, 80), timeout=2)


@pytest.mark.parametrize(("file", "text", "where"), [
    ("nginx.conf", nginx_conf(more="\n    nonsense on;"), "/app/nginx.conf:"),
    ("nginx/http.d/own.conf", "map $uri $x {\n    default 1;\n}\nnonsense on;\n", "/app/nginx/http.d/own.conf:4"),
    ("nginx/server.d/own.conf", "\nlocation /x {\n    return 200\n}\n", "/app/nginx/server.d/own.conf:4"),
    ("nginx/server.d/own.conf", "location / { return 200; }\n", "/app/nginx/server.d/own.conf:1"),
])  # fmt: skip
def test_a_mistake_is_named_with_file_and_line(file: str, text: str, where: str) -> None:
    done = run_once(files={"main.py": UNF_MAIN, file: text})
    assert done.returncode == 78
    assert where in done.stderr
    checked = run_once(["check"], files={"main.py": UNF_MAIN, file: text})
    assert (checked.returncode, where in checked.stderr) == (78, True)


def test_conf_d_is_at_http_level() -> None:
    server = """
server {
    listen 8443;
    location / { include uwsgi_params; uwsgi_pass unix:///tmp/uwsgi.sock; }
}
"""
    files = {
        **MAIN,
        "app/timeout.conf": "uwsgi_read_timeout 1200s;\nserver_tokens on;\nsend_timeout 70s;\n",
        "app/https.conf": server,
        "app/nginx_lost.conf": "nonsense;",
    }
    lines = (
        "RUN cp /app/timeout.conf /etc/nginx/conf.d/custom_timeout.conf && cp /app/https.conf /etc/nginx/conf.d/",
        "COPY app/nginx_lost.conf /etc/nginx/conf.d/nginx.conf",
    )
    with old(files, *lines, ports=(8443,)) as box:
        assert box.get("/", port=8443).text == "Hello World from Flask"
        reply = box.get("/")
        assert reply.headers["Server"].startswith("nginx/"), "theirs wins over ours"
        assert "/etc/nginx/conf.d/nginx.conf is ignored" in box.logs()


def test_a_wire_that_speaks_no_uwsgi_is_refused() -> None:
    done = run_once(env={"WORKER_CLASS": "gthread"}, files={"main.py": UNF_MAIN, "nginx.conf": nginx_conf()})
    assert (done.returncode, "set WORKER_CLASS=fastcgi" in done.stderr) == (78, True)


# Static files (contract 2.6)

STATIC = {**MAIN, "app/static/test.txt": "static\n", "app/static-private/x": "private", "app/static.py": "secret"}


def test_static_in_the_default_place() -> None:
    with old(STATIC, env={"UWSGI_CHEAPER": "0", "UWSGI_PROCESSES": "1"}) as box:
        assert box.get("/static/test.txt").text == "static\n"
        missing = box.get("/static/missing")
        assert (missing.status_code, "nginx" in missing.text) == (404, True)
        assert box.get("/static/from-flask").status_code == 404, "Flask's own route never runs there"
        moved = box.get("/static")
        assert (moved.status_code, moved.headers["Location"]) == (301, box.url("/static/"))
        assert box.get("/static/").status_code == 403
        assert box.get("/index.html").status_code == 404
        for hole in ("/static-private/x", "/static.py", "/static../main.py", "/static%2e%2e/main.py"):
            assert box.get(hole).status_code == 404, hole


def test_static_elsewhere() -> None:
    files = {**MAIN, "app/content/test.txt": "content\n", "app/content/index.html": "<p>index"}
    for path in ("/app/content", "/app/content/"):
        with old(files, env={"STATIC_URL": "/stuff", "STATIC_PATH": path}) as box:
            assert box.get("/stuff/test.txt").text == "content\n"
            assert box.get("/stuff/").text == "<p>index"
            assert box.get("/stuff/missing").status_code == 404
            assert box.get("/stuff../main.py").status_code == 404


def test_a_static_index() -> None:
    files = {**MAIN, "app/static/index.html": "<p>frontend"}
    with old(files, env={"STATIC_INDEX": "1"}) as box:
        assert box.get("/").text == "<p>frontend"
        assert box.post("/").status_code == 405
        assert box.get("/who").status_code == 200, "deep links are the application's"
        assert box.get("/other").status_code == 404
    with old(MAIN, env={"STATIC_INDEX": "1"}) as box:
        assert box.get("/").status_code == 404, "a missing index is nginx's, never Flask"
    with old(files, env={"STATIC_INDEX": "true"}) as box:
        assert box.get("/").text == "Hello World from Flask"


def test_uploads_and_headers_without_a_limit() -> None:
    with old(MAIN, env={"UWSGI_PROCESSES": "1"}) as box:
        assert box.post("/who", data=b"x" * (40 << 20), timeout=60).json()["size"] == 40 << 20
        assert box.get("/who", headers={"Cookie": "a=" + "x" * 7000}).status_code == 200
    with old(MAIN, env={"NGINX_MAX_UPLOAD": "1m"}) as box:
        assert box.post("/who", data=b"x" * (2 << 20)).status_code == 413


# Who it runs as


def test_what_its_user_cannot_read_or_write_is_named() -> None:
    lines = ("RUN chmod 600 /app/secret.ini && touch /app/app.db && mkdir /app/closed && chmod 700 /app/closed",)
    with old({**STATIC, "app/secret.ini": "x"}, *lines, env={"UWSGI_PROCESSES": "1"}) as box:
        line = box.wait_log("cannot read")
        assert "/app/closed, /app/secret.ini" in line
        assert "RUN_AS" in line
        assert "/app, /app/static, /app/app.db" in box.wait_log("cannot write")
        checked = box.exec("flagon", "check")
        assert "cannot read /app/closed, /app/secret.ini" in checked
        assert "cannot write /app, /app/static, /app/app.db" in checked
    with old({**STATIC, "app/secret.ini": "x"}, *lines, env={"UWSGI_PROCESSES": "1", "RUN_AS": "root"}) as box:
        assert "cannot" not in box.logs()


# Python of another time


@pytest.mark.parametrize(("text", "words"), [
    ("from flask import Flask\napp = Flask(__name__)\nprint 'hello'\n", "This is Python 2 code"),
    ("import urllib2\napp = 1\napp = print\n", "The module urllib2 is Python 2's"),
    ("import uwsgi\napp = print\n", "The module uwsgi exists only inside uWSGI"),
    ("import imp\napp = print\n", "The module imp was removed in Python 3.12"),
    ("from distutils.util import strtobool\napp = print\n", "The module distutils was removed in Python 3.12"),
    ("import cgi\napp = print\n", "The module cgi was removed in Python 3.13"),
    ("from collections import Mapping\napp = print\n", "collections.Mapping moved to collections.abc"),
    ("import inspect\ninspect.getargspec(print)\napp = print\n", "inspect.getargspec is gone since Python 3.11"),
    ("x = unicode('a')\napp = print\n", "unicode is a name of Python 2"),
])  # fmt: skip
def test_what_the_newer_python_breaks_is_said_as_that(text: str, words: str) -> None:
    done = run_once(files={"main.py": text})
    assert done.returncode in (3, 78)
    assert words in done.stdout + done.stderr


@pytest.mark.skipif(not FULL, reason="installs a compiler: make test-long")
@pytest.mark.timeout(900)
def test_a_full_image_compiles() -> None:
    tag = f"{RUNTIME.partition(':')[0]}:full"
    docker("build", "--network", "host", "--target", "full", "--tag", tag, ".", timeout=600)
    lines = ("RUN pip install --no-binary :all: markupsafe && git --version && gcc --version",)
    with (
        child_image("\n".join([f"FROM {tag}", *lines, "COPY app /app", ""]), MAIN) as image,
        Box(image=image, port=80) as box,
    ):
        assert box.get("/").text == "Hello World from Flask"
