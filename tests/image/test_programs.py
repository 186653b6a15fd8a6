"""Programs beside the application, hooks before it, nginx files and gunicorn files of the user's own."""

# Tables, a row a line, however long.
# ruff: noqa: E501

from __future__ import annotations

import pytest
import requests

from .box import Box, child_image, run_once, wait_until
from .old_images import dockerfile

APP = """
import os
from flask import Flask
app = Flask(__name__)
@app.get("/")
def index(): return "index"
@app.get("/hooks")
def hooks(): return {name: text for name, text in os.environ.items() if name.startswith("HOOK_")}
"""
WORKER = """
import os, signal, sys, time
print(sys.argv[1], "begins", os.environ["FLAGON_SQLITE_URL"], flush=True)
def end(*_):
    print(sys.argv[1], "was told to stop", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, end)
while True:
    if os.path.exists("/data/die"): sys.exit(int(open("/data/die").read()))
    time.sleep(0.05)
"""
PROCFILE = """
# a comment
web: gunicorn app:app
worker: python worker.py worker
clock: FOO=1 python worker.py clock && true
beat: FOO=1 python worker.py beat
release: python worker.py release
"""
FILES = {"app.py": APP, "worker.py": WORKER, "Procfile": PROCFILE}


@pytest.mark.parametrize(("given", "running", "idle"), [
    ("worker,clock", ["worker", "clock"], []), ("all", ["worker", "clock", "beat"], ["release"]), ("clock", ["clock"], ["worker"]), ("", [], ["worker"]),
])  # fmt: skip
def test_processes_of_the_procfile(given: str, running: list[str], idle: list[str]) -> None:
    with Box({"PROCESSES": given}, files=FILES) as box:
        for name in running:
            record = box.wait_record(lambda one, name=name: one.get("logger") == name and "begins" in one["message"])
            assert "sqlite:////data/app.db" in record["message"]
        assert box.get("/").text == "index"
        seconds, code = box.stop()
        assert (code, seconds < 5) == (0, True)
        for name in running:
            assert f"{name} was told to stop" in box.logs()
        for name in idle:
            assert f"{name} begins" not in box.logs()


def test_a_process_that_dies_is_restarted_and_at_last_ends_the_box_with_its_code() -> None:
    with Box({"PROCESSES": "worker", "RESTART_LIMIT": "2"}, files=FILES) as box:
        box.wait_log("worker begins")
        box.exec("sh", "-c", "echo 7 > /data/die")
        assert box.wait_exit() == 7
        log = box.logs()
        assert "worker ended with code 7: restarted" in log
        assert "worker ended with code 7 3 times in 60 s: the container ends with code 7" in log


def test_a_reload_leaves_them_alone_and_says_what_it_did_not_take() -> None:
    with Box({"PROCESSES": "worker"}, files=FILES) as box:
        box.wait_log("worker begins")
        assert box.folder
        assert "programs of" not in box.exec("flagon", "reload")
        (box.folder / "Procfile").write_text(PROCFILE.replace("worker.py worker", "worker.py other"))
        assert "needs a restart, and is not taken: programs of the Procfile" in box.exec("flagon", "reload")
        assert len([one for one in box.records() if one.get("logger") == "worker"]) == 1


def test_a_killed_process_is_restarted() -> None:
    with Box({"PROCESSES": "clock"}, files=FILES) as box:
        box.wait_log("clock begins")
        box.exec("sh", "-c", "kill -9 $(supervisorctl pid clock)")
        # Its obituary quotes its last line, so records are counted and not words.
        wait_until(lambda: len([one for one in box.records() if one.get("logger") == "clock"]) == 2, 10, "the restart")
        assert box.get("/").status_code == 200


@pytest.mark.parametrize(("env", "files", "words"), [
    ({"PROCESSES": "wroker"}, {}, "the Procfile has no line 'wroker'; it has: worker, clock, beat"),
    ({"PROCESSES": "nginx"}, {"Procfile": "nginx: x\n"}, "'nginx' is the name of a program of the box"),
    ({}, {"supervisor.d/a.conf": "[program:x]\nautostart=true\n"}, "/app/supervisor.d/a.conf: [program:x] has no command"),
    ({}, {"supervisor.d/a.conf": "what\n"}, "/app/supervisor.d/a.conf"),
    ({"PROCESSES": "worker"}, {"supervisor.d/a.conf": "[program:worker]\ncommand=true\n"}, "keep one"),
])  # fmt: skip
def test_mistakes_are_named(env: dict[str, str], files: dict[str, str], words: str) -> None:
    done = run_once(env=env, files={**FILES, **files})
    assert (done.returncode, words in done.stderr) == (78, True)


def test_supervisor_files() -> None:
    conf = """
[program:beat]
command=python worker.py beat
autorestart=true
stdout_logfile=/tmp/elsewhere.log
[program:once]
command=sh -c "echo done once"
autorestart=false
[group:both]
programs=beat,once
"""
    with Box(files={**FILES, "supervisor.d/own.conf": conf}) as box:
        assert box.wait_record(lambda one: one.get("logger") == "beat")
        assert box.wait_record(lambda one: one.get("logger") == "once" and one["message"] == "done once")
        box.wait_log("once is done")
        assert box.get("/").status_code == 200
        assert box.stop()[1] == 0


# Hooks

HOOKS = {
    "hooks/10-first.sh": 'echo first as $(id -u); test -n "$FLAGON_SQLITE_URL"; export HOOK_LOST=1\n',
    "hooks/20-second.envsh": "export HOOK_ENVSH=from-envsh\n",
    "hooks/30-third.py": "import os, flask\nprint('third sees', os.environ['HOOK_ENVSH'])\n",
    "hooks/README": "is no hook",
}
INTO = ("COPY app/hooks /docker-entrypoint.d/",)


def test_hooks_in_their_order() -> None:
    files = {
        "app/app.py": APP,
        "app/prestart.sh": "export HOOK_PRESTART=$HOOK_ENVSH.too\n",
        **{f"app/{name}": text for name, text in HOOKS.items()},
    }
    from .box import RUNTIME

    with child_image(dockerfile(RUNTIME, *INTO), files) as image, Box(image=image) as box:
        assert box.get("/hooks").json() == {"HOOK_ENVSH": "from-envsh", "HOOK_PRESTART": "from-envsh.too"}
        log = box.logs()
        places = [
            log.index(text)
            for text in (
                "first as 10001",
                "running /docker-entrypoint.d/20-second.envsh",
                "third sees from-envsh",
                "Running script /app/prestart.sh",
            )
        ]
        assert places == sorted(places)
        assert box.exec("flask", "--version")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("10-a.sh", "echo before; exit 3\n"),
        ("10-a.envsh", "echo before; (exit 3)\n"),
        ("10-a.py", "print('before'); raise SystemExit(3)\n"),
    ],
)
def test_a_hook_that_fails_is_named(tmp_path: object, name: str, text: str) -> None:
    from .box import write_files

    folder = write_files({name: text, "20-b.sh": "echo never\n"})
    done = run_once(files={"app.py": APP}, args=["-v", f"{folder}:/docker-entrypoint.d"])
    assert done.returncode == 3
    assert f"/docker-entrypoint.d/{name} ended with code 3" in done.stderr
    assert "before" in done.stdout
    assert "never" not in done.stdout


def test_a_hook_may_change_settings() -> None:
    with Box(
        files={"app.py": APP, "prestart.sh": "export WEB_CONCURRENCY=1\nexport THREADS=7\nunset HOOK_GONE\n"},
        env={"HOOK_GONE": "1"},
    ) as box:
        assert "1 worker x 7 threads" in box.wait_log("worker x")
        assert box.get("/hooks").json() == {}


# nginx

NGINX = {
    "nginx/http.d/maps.conf": "map $uri $mine {\n    default none;\n    /teapot short;\n}\nclient_body_timeout 7s;\n",
    "nginx/server.d/teapot.conf": "location = /teapot { return 418 $mine; }\nlocation ^~ /static/ { return 410; }\n",
}


def test_nginx_additions_and_their_reload() -> None:
    with Box(files={"app.py": APP, "static/x.txt": "x", **NGINX}) as box:
        assert (box.get("/teapot").status_code, box.get("/teapot").text) == (418, "short")
        assert box.get("/static/x.txt").status_code == 410, "a location of the user's own wins"
        assert box.folder
        own = box.folder / "nginx/server.d/teapot.conf"
        own.write_text("location = /teapot { return 419; }\nlocation = /pot { return 418; }\n")
        box.exec("flagon", "reload")
        wait_until(lambda: box.get("/teapot").status_code == 419, 5, "the new file")
        assert box.get("/pot").status_code == 418
        own.write_text("location = /teapot { retrun 420; }\n")
        said = box.exec("flagon", "reload", check=False)
        assert "/app/nginx/server.d/teapot.conf:1" in said
        assert box.get("/teapot").status_code == 419
        (box.folder / "nginx/server.d/more.conf").write_text("location = /more { return 204; }\n")
        own.unlink()
        box.exec("flagon", "reload")
        wait_until(lambda: box.get("/more").status_code == 204, 5, "a further file")
        assert box.get("/teapot").status_code == 404


HEALTH = ("/up", "/health", "/healthz", "/livez", "/ready", "/readyz", "/-/up")
# What a user's file says for the whole server -> what / answers then; 0: the connection is closed.
CLOSED = {
    'auth_basic "staging"; auth_basic_user_file /app/passwords;': 401,
    "deny all;": 403,
    "satisfy any; deny all; auth_basic x; auth_basic_user_file /app/passwords;": 401,
    "return 301 https://example.com$request_uri;": 301,
    'if ($host != "staging.example.com") { return 444; }': 0,
    "rewrite ^ https://example.com/ redirect;": 302,
    "auth_request /ask; location = /ask { internal; return 403; }": 403,
    "limit_req zone=mine; limit_conn one 1;": 503,
    "if (-f /app/passwords) { return 503; }": 503,
    "return 503; error_page 503 = @mine; location @mine { return 418; }": 418,
    "error_page 404 503 =200 /ours.html; fastcgi_intercept_errors on; location = /ours.html { return 200; }": 200,
}


def test_nothing_that_a_users_file_says_for_all_reaches_health() -> None:
    """A box that serves everybody and is called dead is restarted for ever."""
    zones = "limit_req_zone $server_name zone=mine:1m rate=1r/m;\nlimit_conn_zone $server_name zone=one:1m;\n"
    files = {"app.py": APP, "passwords": "a:{PLAIN}b", "nginx/http.d/a.conf": zones, "nginx/server.d/a.conf": ""}
    with Box(files=files) as box:
        assert box.folder

        def status(path: str) -> int:
            try:
                return box.get(path).status_code
            except requests.ConnectionError:
                return 0

        def settle(file: str, text: str, wanted: int) -> None:
            (box.folder / file).write_text(text)  # type: ignore[operator]
            box.exec("flagon", "reload")
            wait_until(lambda: status("/nowhere") == wanted, 5, f"{wanted} by {text}")
            assert {path: status(path) for path in HEALTH} == dict.fromkeys(HEALTH, 200), text
            assert box.exec("/opt/flagon/healthcheck") == "", text

        for text, wanted in CLOSED.items():
            settle("nginx/server.d/a.conf", text, wanted)
        assert status("/UP") != 301
        settle("nginx/server.d/a.conf", "return 403;", 403)
        assert status("/UP") == 403, "only health's own paths are spared"
        settle("nginx/server.d/a.conf", "", 404)
        settle("nginx/http.d/a.conf", "deny all;", 403)
        box.exec("sh", "-c", "kill -9 $(cat /run/flagon/nginx.pid)", user="0")
        wait_until(lambda: status("/up") == 200, 10, "nginx's successor")
        assert box.exec("/opt/flagon/healthcheck") == "", "the killed one has left its socket"
        own = "location = /up { return 204; }\n"
        settle("nginx/http.d/a.conf", "fastcgi_buffer_size 32k; proxy_buffers 8 32k;", 404)
        settle("nginx/http.d/a.conf", "", 404)
        (box.folder / "nginx/server.d/a.conf").write_text("location / { deny all; }")
        said = box.exec("flagon", "reload", check=False)
        assert "server.d/a.conf:1" in said
        assert "Flagon's own leads to the application: write what yours says without the location" in said
        (box.folder / "nginx/server.d/a.conf").write_text(own)
        box.exec("flagon", "reload")
        wait_until(lambda: status("/up") == 204, 5, "a location of the user's own")
        assert box.exec("/opt/flagon/healthcheck") == ""


def test_flagons_own_clone_is_not_taken_for_a_users() -> None:
    import subprocess
    from pathlib import Path

    root = Path(__file__).parents[2]
    names = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.split("\n")
    files = {name: (root / name).read_bytes() for name in names if name and (root / name).is_file()}
    with Box(files=files) as box:
        assert "serves app:create_app() (found in /app/app/__init__.py)" in box.wait_log(" serves ")
        assert "Flagon" in box.get("/").text
        assert box.get("/-/up").status_code == 200
        assert box.exec("readlink", "/run/flagon/nginx.conf").strip() == "/opt/flagon/nginx.conf"


GUARDED = """
auth_basic "staging";
auth_basic_user_file /app/passwords;
uwsgi_param HTTP_X_DN "CN=$host";
fastcgi_param PLACE here;
uwsgi_read_timeout 1200s;
location /api/ { client_max_body_size 1k; try_files /-/none @app; }
location /admin { include fragments/app.conf; }
"""
TELLS = """
from flask import Flask, request
app = Flask(__name__)
NAMES = ("REMOTE_USER", "HTTP_X_DN", "PLACE", "HTTP_X_REMOTE_USER", "AUTH_TYPE")
@app.get("/")
def index(): return {name: request.environ[name] for name in NAMES if name in request.environ}
app.add_url_rule("/health", "health", index)
@app.route("/api/<name>", methods=["GET", "POST"])
def api(name): return name
app.add_url_rule("/admin/<name>", "admin", api)
"""


@pytest.mark.parametrize("wire", ["fastcgi", "gthread"])
def test_what_nginx_tells_the_application_for_the_user_s_files(wire: str) -> None:
    files = {"app.py": TELLS, "passwords": "alice:{PLAIN}secret", "nginx/server.d/a.conf": GUARDED, "static/a.txt": "a"}
    told = {"HTTP_X_DN": "CN=127.0.0.1", "PLACE": "here"}
    claims = {
        "Remote-User": "bob", "X-Remote-User": "bob", "X-DN": "CN=bob", "Place": "there",
        "X-Flagon-Parameter-Place": "there", "X-Flagon-Parameter-Remote-User": "bob",
    }  # fmt: skip
    with Box({"WORKER_CLASS": wire}, files=files) as box:
        for path in ("/", "/static/a.txt", "/api/x", "/admin/x"):
            assert box.get(path).status_code == 401, path
        # locations of the user's own that reach the application, as the page about them has them
        for path, text in (("/static/a.txt", "a"), ("/api/x", "x"), ("/admin/x", "x")):
            assert box.get(path, auth=("alice", "secret")).text == text
        assert box.post("/api/x", auth=("alice", "secret"), data=bytes(2000)).status_code == 413
        for headers in ({}, claims):
            assert box.get("/", auth=("alice", "secret"), headers=headers).json() == {**told, "REMOTE_USER": "alice"}
            # nobody was asked for the password
            assert box.get("/health", auth=("bob", "wrong"), headers=headers).json() == told
        line = box.wait_log("uwsgi_read_timeout has no effect")
        assert "/app/nginx/server.d/a.conf:6: uwsgi_read_timeout" in line
        assert "TIMEOUT says how long a request may take" in line
        assert "has no effect" not in box.logs().replace("uwsgi_read_timeout has no effect", "")
        (box.folder / "nginx/server.d/a.conf").write_text("uwsgi_param PLACE 'moved;';")
        box.exec("flagon", "reload")
        wait_until(lambda: box.get("/", headers=claims).json() == {"PLACE": "moved;"}, 10, "read again")
