"""Nothing that the application's user can write is believed with more rights than it has.

The attacker has what a hole in the application gives: a shell of uid 10001. The operator, and the engine's HEALTHCHECK,
are root in the container, as they are in every image `FROM flagon:runtime`. A test is a row of the table: who can write
what, who reads it, with which rights.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from .box import RUNTIME, Box, docker, run_once, wait_until

# Tables, a row a line, however long.
# ruff: noqa: E501
APP = """import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getuid()).encode()]
"""
FILES = {"main.py": APP}
FLAGON = "/usr/local/bin/flagon"
SHADOW = "root:*"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def attack(box: Box, script: str) -> str:
    """What the application's user can do."""
    return box.exec("bash", "-c", script, user="10001:0")


def health(box: Box, timeout: float = 10) -> subprocess.CompletedProcess[str]:
    """HEALTHCHECK, as the engine runs it."""
    words = json.loads(docker("inspect", "-f", "{{json .Config.Healthcheck.Test}}", box.name).stdout)
    return docker("exec", box.name, *words[1:], check=False, timeout=timeout)


def root_s(box: Box, *names: str) -> list[str]:
    """Which of these a process of root's has made or changed hands."""
    return [name for name in names if box.exec("stat", "-c", "%u", name, check=False, user="0").strip() == "0"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty volume of the application's user."""
    path = Path(tempfile.mkdtemp(prefix="flagon-test-"))
    path.chmod(0o755)
    os.chown(path, 10001, 0)
    yield path
    shutil.rmtree(path, ignore_errors=True)


# -- HEALTHCHECK


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """Started as root, with a HOME that the application can write to."""
    with Box(image=RUNTIME, env={"HOME": "/data"}, args=["--no-healthcheck"], files=FILES) as running:
        yield running


SOCKET, ASIDE = "/run/flagon/up.sock", "/run/flagon/aside.sock"  # of nginx's server for HEALTHCHECK


@pytest.fixture
def healthy(box: Box) -> Iterator[Box]:
    """What is planted is taken away again."""
    assert (done := health_of_image(box)).returncode == 0, done.stderr
    box.exec("cp", "-p", "/run/flagon/url", "/tmp/url-before", user="10001:0")
    yield box
    box.exec("sh", "-c", "rm -rf /run/flagon/url /data/.curlrc; cp -p /tmp/url-before /run/flagon/url", user="0")
    box.exec("chown", "10001:0", "/run/flagon/url", user="0")
    box.exec("sh", "-c", f"! [ -e {ASIDE} ] || mv -f {ASIDE} {SOCKET}", user="0")


def health_of_image(box: Box, timeout: float = 10) -> subprocess.CompletedProcess[str]:
    """HEALTHCHECK of the image, where the container has none of its own."""
    words = json.loads(docker("inspect", "-f", "{{json .Config.Healthcheck.Test}}", RUNTIME).stdout)
    return docker("exec", box.name, *words[1:], check=False, timeout=timeout)


def test_health_does_not_take_the_url_for_an_option(healthy: Box) -> None:
    """curl's -K: a file of curl's own options."""
    attack(
        healthy,
        r"""mkdir -p /tmp/x/- && printf 'url = "file:///etc/hostname"\noutput = "/dev/null"\nnext\nurl = "file:///etc/shadow"\noutput = "/opt/flagon/owned-url"\n' > /tmp/x/-/up
        printf %s -K/tmp/x > /run/flagon/url""",
    )
    done = health_of_image(healthy)
    assert root_s(healthy, "/opt/flagon/owned-url") == []
    assert done.returncode == 1


def test_health_reads_no_dot_file_of_a_home_that_can_be_written(healthy: Box) -> None:
    attack(
        healthy, r"""printf 'next\nurl = "file:///etc/shadow"\noutput = "/opt/flagon/owned-curlrc"\n' > /data/.curlrc"""
    )
    done = health_of_image(healthy)
    assert root_s(healthy, "/opt/flagon/owned-curlrc") == []
    assert done.returncode == 0


def test_health_of_a_dead_box_is_not_somebody_else_s(healthy: Box) -> None:
    """A second directory has a server that answers; the first, the box's own, none."""
    attack(
        healthy,
        f"mkdir -m 700 /tmp/flagon && cp -P /run/flagon/url /run/flagon/nginx.conf /tmp/flagon && mv {SOCKET} {ASIDE} && "
        f"ln -s {ASIDE} /tmp/flagon/up.sock",
    )
    done = health_of_image(healthy)
    attack(healthy, "mv /run/flagon/url /run/flagon/url.aside")  # now only the second one has an address
    other = health_of_image(healthy)
    attack(healthy, "mv /run/flagon/url.aside /run/flagon/url")
    healthy.exec("rm", "-r", "/tmp/flagon", user="0")
    assert done.returncode == 1
    assert SOCKET in done.stderr
    assert other.returncode == 0, "what was planted does answer"


def test_health_believes_no_process_s_name(healthy: Box) -> None:
    attack(
        healthy,
        "mkdir -p /tmp/fake; (exec -a 'nginx: master process nginx -p /tmp/fake y' sleep 30) >/dev/null 2>&1 & sleep 0.2",
    )
    done = health_of_image(healthy)
    attack(
        healthy,
        "kill $(grep -lsz '^nginx: master process nginx -p /tmp/fake' /proc/[0-9]*/cmdline | cut -d/ -f3); true",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "script",
    [
        "ln -s /etc/shadow url", "mkfifo url", "mkdir url", "ln -s /dev/zero url", "head -c 200M /dev/zero > url",
        r"printf 'http://127.0.0.1:8080\n-o/opt/flagon/owned' > url", "printf 'file:///etc/shadow#http://a:80' > url",
        r"printf '\033]0;OWNED\007\x9b31m' > url", "printf 'http://127.0.0.1:8080@/etc:80' > url",
        "printf 'http://127.0.0.1:8080/-/up?' > url", "printf 'http://:8080' > url", "printf 'http://127.0.0.1:99999' > url",
    ],
)  # fmt: skip
def test_a_forged_url_gives_nothing_but_unhealthy(healthy: Box, script: str) -> None:
    attack(healthy, f"cd /run/flagon && rm -f url && {script}")
    begun = time.monotonic()
    done = health_of_image(healthy)
    assert time.monotonic() - begun < 5
    assert done.returncode == 1
    assert done.stderr.strip()
    assert not CONTROL.search(done.stdout + done.stderr)
    assert SHADOW not in done.stdout + done.stderr
    assert root_s(healthy, "/opt/flagon/owned") == []


@pytest.mark.parametrize(
    "server",
    [
        "c.sendall(b'\\x1b]0;OWNED\\x07' * 9000); c.close()",  # no HTTP
        "c.sendall(b'H'); time.sleep(3); c.sendall(b'T'); time.sleep(9)",  # a byte now and then
        "time.sleep(9)",
        "c.sendall(b'HTTP/1.1 500 no\\r\\n\\r\\n'); c.close()",
        "c.sendall(b'HTTP/1.1 302 no\\r\\nLocation: file:///etc/shadow\\r\\n\\r\\n'); c.close()",
    ],
)  # fmt: skip
def test_health_of_a_forged_server_ends_in_time(healthy: Box, server: str) -> None:
    program = (
        f"import os, socket, time; os.rename('{SOCKET}', '{ASIDE}'); s = socket.socket(socket.AF_UNIX); "
        f"s.bind('{SOCKET}'); s.listen(); c, _ = s.accept(); {server}"
    )
    docker("exec", "-d", "-u", "10001:0", healthy.name, "timeout", "20", "python3", "-c", program)
    wait_until(lambda: healthy.exec("sh", "-c", f"[ -e {ASIDE} ] && [ -e {SOCKET} ] && echo y", check=False), 5, "it")
    begun = time.monotonic()
    done = health_of_image(healthy)
    assert time.monotonic() - begun < 5
    assert done.returncode == 1
    assert done.stderr.strip()
    assert not CONTROL.search(done.stderr)


@pytest.mark.parametrize(
    ("args", "env", "uid"),
    [
        (["--init"], {}, "10001"), ([], {"RUN_AS": "root"}, "0"), (["--cap-drop", "ALL"], {"RUNTIME_DIR": "/tmp/other"}, "0"),
        (["--user", "4242:4242"], {}, "4242"), ([], {"RUN_AS": "777:777", "DATA_DIR": "/tmp"}, "777"),
    ],
)  # fmt: skip
def test_health_turns_healthy_whoever_the_box_is(args: list[str], env: Mapping[str, str], uid: str) -> None:
    with Box(image=RUNTIME, args=["--health-interval", "1s", *args], env=env, files=FILES) as box:
        wait_until(lambda: box.state("Health.Status") == "healthy", 10, "healthy")
        assert box.get("/").text == uid
        assert health(box).returncode == 0
        assert "RUNNING" in box.exec("supervisorctl", "status", "gunicorn")


def test_health_finds_the_run_directory_that_an_env_file_names() -> None:
    with Box(image=RUNTIME, files={**FILES, ".env": "RUNTIME_DIR=/tmp/of-env\n"}) as box:
        assert health(box).returncode == 0
        assert "/tmp/of-env" in box.exec("find", "/tmp/of-env", "-name", "url")
        assert "RUNNING" in box.exec("supervisorctl", "status", "gunicorn")


def test_health_ends_in_time_whatever_it_reads(healthy: Box) -> None:
    assert healthy.folder
    os.mkfifo(healthy.folder / ".env")
    try:
        begun = time.monotonic()
        done = health_of_image(healthy)
        assert (done.returncode, time.monotonic() - begun < 5) == (0, True)
    finally:
        (healthy.folder / ".env").unlink()


def test_a_hook_does_not_move_the_run_directory() -> None:
    with Box(image=RUNTIME, files={**FILES, "prestart.sh": "export RUNTIME_DIR=/tmp/of-hook\n"}) as box:
        assert health(box).returncode == 0
        assert "docker run -e RUNTIME_DIR=/tmp/of-hook" in box.wait_log("of a hook is ignored")


# -- files in /app, read by serve and by every verb


VERBS = (
    ["config"], ["check"], ["reload"], ["migrate"], ["backup"], ["restore", "-"], ["purge"], ["id"],
    ["gunicorn", "main:app"],
)  # fmt: skip
OF_ROOT = "PORT=of-root\n"  # no value of any setting's, so that whoever reads it says so


def test_every_verb_is_the_application_s_user_before_it_reads_a_file_of_its() -> None:
    """A .env that root alone can read is read by none of them."""
    with Box(image=RUNTIME, files=FILES) as box:
        assert box.folder
        path = box.folder / ".env"
        path.write_text(OF_ROOT)
        path.chmod(0o600)
        for verb in VERBS:
            done = docker("exec", box.name, FLAGON, *verb, check=False)
            assert "of-root" not in done.stdout + done.stderr, verb
        assert "cannot be read" in docker("exec", box.name, FLAGON, "check", check=False).stderr
        path.chmod(0o644)
        for verb in (["config"], ["check"], ["migrate"], ["backup"], ["id"]):
            done = docker("exec", box.name, FLAGON, *verb, check=False)
            assert "of-root" in done.stdout + done.stderr, verb


def test_a_file_that_a_root_shell_has_open_is_not_the_application_s() -> None:
    script = "exec 8</etc/shadow; flagon python3 -c 'import os; print(os.path.exists(\"/proc/self/fd/8\"))'"
    with Box(image=RUNTIME, files=FILES) as box:
        assert box.exec("bash", "-c", script, user="0").strip() == "False"


def test_serve_is_the_application_s_user_before_it_reads_a_file_of_its() -> None:
    with Box(image=RUNTIME, files=FILES) as box:
        assert box.folder
        path = box.folder / ".env"
        path.write_text(OF_ROOT)
        path.chmod(0o600)
        box.stop(1)
        box.start()
        assert box.get("/").status_code == 200
        assert "of-root" not in box.logs()
        path.chmod(0o644)
        box.stop(1)
        box.start(wait=False)
        assert box.wait_exit() == 78
        assert "PORT='of-root'" in box.logs()


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({".env": "RUN_AS=root\n"}, "RUN_AS in .env (root)"), ({".env": "FLAGON_RUN_AS=0:0\n"}, "FLAGON_RUN_AS in .env (0:0)"),
        ({".env": "RUN_AS=12345\n"}, "RUN_AS in .env (12345)"),
        ({"uwsgi.ini": "[uwsgi]\nmodule = main:app\nuid = root\n"}, "uid in uwsgi.ini (0)"),
        ({".env": "UWSGI_UID=0\n"}, "uid in UWSGI_* variables (0)"),
    ],
)  # fmt: skip
def test_a_file_does_not_say_who_runs_it(files: Mapping[str, str], named: str) -> None:
    told = {**FILES, **files}
    assert run_once(["id", "-u"], image=RUNTIME, files=told).stdout == "10001\n"
    done = run_once(["check"], image=RUNTIME, files=told)
    assert done.returncode == 0
    (line,) = [line for line in done.stderr.splitlines() if named in line]
    assert "is ignored" in line
    assert "docker run -e RUN_AS=" in line
    shown = json.loads(run_once(["config", "--json"], image=RUNTIME, files=told).stdout)
    assert shown["RUN_AS"] == {"value": "", "source": "default"}


def test_a_bad_run_as_is_named_beside_the_other_errors() -> None:
    done = run_once(image=RUNTIME, env={"FLAGON_RUN_AS": "nobody", "PORT": "x"}, files=FILES)
    assert done.returncode == 78
    assert "FLAGON_RUN_AS='nobody' is not accepted" in done.stderr
    assert "PORT='x' is not accepted" in done.stderr


def test_a_secret_s_file_that_a_file_names_is_not_read_as_root() -> None:
    done = run_once(
        ["sh", "-c", "echo $SECRET_KEY"], image=RUNTIME, files={**FILES, ".env": "SECRET_KEY_FILE=/etc/shadow\n"}
    )
    assert done.returncode == 78
    assert "SECRET_KEY_FILE: cannot read '/etc/shadow'" in done.stderr
    assert SHADOW not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("env", "files"),
    [
        ({}, {".env": "DATA_DIR=/usr/local/sbin\n"}), ({"DATA_DIR": "/usr/local/sbin"}, {}),
        ({}, {".env": "RUNTIME_DIR=/usr/local/sbin\n"}), ({}, {".env": "FLAGON_DATA_DIR=/opt\n"}),
    ],
)  # fmt: skip
def test_no_folder_of_root_s_is_given_away(env: Mapping[str, str], files: Mapping[str, str]) -> None:
    done = run_once(
        ["stat", "-c", "%u", "/usr/local/sbin", "/opt", "/opt/flagon"], image=RUNTIME, env=env, files={**FILES, **files}
    )
    assert set(done.stdout.split()) <= {"0"}


# -- secrets that only root can read


def test_a_secret_of_root_s_is_read_where_only_root_could_have_put_it(folder: Path) -> None:
    """Docker's and compose's secrets. In a folder of the application's the same path may lead anywhere."""
    secret = folder.parent / f"{folder.name}.secret"
    secret.write_text("s" * 40 + "\n")
    secret.chmod(0o600)
    (folder / "planted").symlink_to("/etc/shadow")
    (folder / "onward").symlink_to("/run/secrets/key")
    script = "echo $SECRET_KEY; flagon config --json | grep -A1 '\"SECRET_KEY\"'"
    try:
        mounts = ["-v", f"{secret}:/run/secrets/key:ro", "-v", f"{folder}:/mine"]
        done = run_once(
            ["sh", "-c", script], image=RUNTIME, env={"SECRET_KEY_FILE": "/run/secrets/key"}, args=mounts, files=FILES
        )
        assert done.stdout.startswith("s" * 40 + "\n")
        with Box(image=RUNTIME, env={"SECRET_KEY_FILE": "/run/secrets/key"}, args=mounts, files=FILES) as box:
            assert box.get("/").text == "10001"
            assert "SECRET_KEY_FILE" in box.exec("flagon", "config")
        for name in ("planted", "onward"):
            done = run_once(
                ["sh", "-c", script], image=RUNTIME, env={"SECRET_KEY_FILE": f"/mine/{name}"}, args=mounts, files=FILES
            )
            assert done.returncode == 78
            assert f"SECRET_KEY_FILE: cannot read '/mine/{name}': Permission denied for uid 10001" in done.stderr
            assert "/mine can be written by uid 10001" in done.stderr
            assert SHADOW not in done.stdout + done.stderr
    finally:
        secret.unlink()


# -- folders that change hands, programs that are looked for


def test_a_link_in_a_volume_gives_no_folder_away_and_two_restarts_no_root(folder: Path) -> None:
    (folder / "sub").mkdir()
    os.chown(folder / "sub", 10001, 0)
    with Box(image=RUNTIME, env={"DATA_DIR": "/data/sub"}, mounts={folder: "/data"}, files=FILES) as box:
        attack(box, "rm -rf /data/sub && ln -s /usr/local/sbin /data/sub")
        box.stop()
        box.start()
        assert box.exec("stat", "-c", "%u", "/usr/local/sbin").strip() == "0"
        attack(
            box,
            "printf '#!/bin/sh\\nid > /tmp/pwn2\\nexec /usr/bin/env \"$@\"\\n' > /usr/local/sbin/env; chmod 755 /usr/local/sbin/env; true",
        )
        box.stop()
        box.start()
        assert "No such file" in box.exec("cat", "/tmp/pwn2", check=False)


def test_a_volume_that_the_engine_mounts_where_a_link_leads_is_not_given_away(folder: Path) -> None:
    (folder / "sub").symlink_to("/usr/local/sbin")
    args = ["-v", f"{folder}:/data", "-v", "/data/sub"]
    done = run_once(["stat", "-c", "%u", "/usr/local/sbin"], image=RUNTIME, env={"DATA_DIR": "/data/sub"}, args=args)
    assert done.stdout == "0\n"


PROGRAMS = "env sh cat sed tr curl setpriv nginx python3 python stat id"


def test_no_program_is_looked_for_as_root(folder: Path) -> None:
    """PATH is the container's, and a folder in it may be the application's."""
    (folder / "bin").mkdir()
    for name in PROGRAMS.split():
        file = folder / "bin" / name
        real = f"$(PATH=/opt/flagon/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin command -v {name})"
        file.write_text(
            f'#!/bin/sh\n[ "$(/usr/bin/id -u)" != 0 ] || echo {name} >> /tmp/run-by-root\nexec "{real}" "$@"\n'
        )
        file.chmod(0o755)
    path = "/data/bin:/opt/flagon/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    with Box(
        image=RUNTIME, env={"PATH": path}, mounts={folder: "/data"}, args=["--no-healthcheck"], files=FILES
    ) as box:
        health_of_image(box)
        for words in (
            [FLAGON, "config"],
            [FLAGON, "purge"],
            [FLAGON, "check"],
            [FLAGON, "true"],
            ["/usr/bin/supervisorctl", "status"],
        ):
            docker("exec", box.name, *words, check=False)
        assert "No such file" in box.exec("/bin/cat", "/tmp/run-by-root", check=False, user="0")


def test_an_owner_is_not_root_because_the_engine_made_the_folder_anew(folder: Path) -> None:
    """The application has removed its working directory, or made it a link."""
    args = ["-v", f"{folder}:/data", "-w", "/data/sub"]
    done = run_once(["id", "-u"], image=RUNTIME, env={"RUN_AS": "owner"}, args=args)
    assert done.stdout.strip() == "10001"
    (folder / "sub").rmdir()
    (folder / "sub").symlink_to("/etc")
    assert run_once(["id", "-u"], image=RUNTIME, env={"RUN_AS": "owner"}, args=args).stdout.strip() == "10001"


def test_hooks_run_as_the_application_s_user(folder: Path) -> None:
    for name in ("1.sh", "2.envsh", "3.py"):
        (folder / name).write_text(
            "import os; print('hook', os.getuid())" if name == "3.py" else "echo hook $(id -u)\n"
        )
    done = run_once(
        image=RUNTIME,
        files={**FILES, "prestart.sh": "echo hook $(id -u)\nexit 9\n"},
        args=["-v", f"{folder}:/docker-entrypoint.d:ro"],
    )
    assert done.returncode == 9
    assert re.findall(r"hook (\d+)", done.stdout) == ["10001"] * 4


# -- verbs of an operator who is root


def test_purge_deletes_nothing_behind_a_link(box: Box) -> None:
    box.exec("sh", "-c", "mkdir -m 700 -p /opt/precious && echo x > /opt/precious/x", user="0")
    before = box.exec("readlink", "/run/flagon/kept-pages").strip()
    attack(box, "mkdir -p /tmp/own/cache && echo x > /tmp/own/cache/x")
    try:
        for target in ("/opt/precious", "/tmp/own", "/tmp/own/cache"):
            attack(box, f"ln -sfn {target} /run/flagon/kept-pages")
            done = docker("exec", box.name, "flagon", "purge", check=False)
            assert done.returncode == 1
            assert "nothing is removed" in done.stderr
        assert box.exec("cat", "/opt/precious/x", "/tmp/own/cache/x", user="0") == "x\nx\n"
    finally:
        attack(box, f"ln -sfn {before} /run/flagon/kept-pages")
    assert "kept pages removed" in box.exec("flagon", "purge")


def test_flask_of_root_is_the_application_s_user_whatever_is_taken_away(box: Box) -> None:
    """`docker exec NAME flask` beside a box: that it is one must not be the application's to decide."""
    code = "import os; open('/tmp/who-' + str(os.getuid()), 'w')"
    attack(box, f'echo "{code}" >/tmp/planted.py; mv /run/flagon/url /run/flagon/url.before')
    try:
        docker("exec", "-u", "0", box.name, "flask", "--app", "/tmp/planted.py", "routes", check=False)
        docker("exec", "-u", "0", box.name, "sh", "-c", "true; flask --app /tmp/planted.py routes", check=False)
        assert "/tmp/who-10001" in box.exec("sh", "-c", "ls /tmp/who-*")
        assert "/tmp/who-0" not in box.exec("sh", "-c", "ls /tmp/who-*").split()
    finally:
        attack(box, "mv /run/flagon/url.before /run/flagon/url")


SAYS = r"""
import os, socket
os.rename('/run/flagon/events.sock', '/run/flagon/events.before')
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind('/run/flagon/events.sock')
_, found, _, _ = socket.recv_fds(s, 65536, 4)
os.write(found[0], 'a\tb\x1b]0;OWNED\x07\x7f\x9b31m\rc\n'.encode() + b'\xff\x9b\n' + b'x' * 100000 + b'\n\0')
os.rename('/run/flagon/events.before', '/run/flagon/events.sock')
"""


def test_reload_lets_nobody_command_the_terminal(box: Box) -> None:
    docker("exec", "-d", "-u", "10001:0", box.name, "timeout", "20", "python3", "-c", SAYS)
    wait_until(lambda: "events.before" in box.exec("ls", "/run/flagon"), 5, "the forged socket")
    done = docker("exec", box.name, "flagon", "reload", check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("a\tb\\x1b]0;OWNED\\x07\\x7f\\x9b31m\\x0dc\n")
    assert done.stdout.endswith("x" * 100000 + "\n")
    assert not CONTROL.search(done.stdout + done.stderr)
    wait_until(lambda: "events.before" not in box.exec("ls", "/run/flagon"), 5, "the real socket again")


@pytest.mark.parametrize(
    ("verb", "files"),
    [
        (["check"], {"main.py": "def app(environ, start_response): ...\nraise RuntimeError('\\x1b]0;OWNED\\x07 \\x9b31m')\n"}),
        (["config"], {".env": "FLAGON_PORT=80\nFLAGON_STATIC_PATH=/\x1b]0;OWNED\x07\x9b31m\n"}),
        (["config"], {".env": "APP_MODULE=main:app\nUWSGI_INI=\x1b]0;OWNED\x07\x9b31m\n"}),
        (["serve"], {".env": "UWSGI_INI=\x1b]0;OWNED\x07\x9b31m\n"}),
        (["nosuch\x1b]0;OWNED\x07\x9b31m"], {}),
    ],
)  # fmt: skip
def test_no_verb_lets_anybody_command_the_terminal(verb: list[str], files: Mapping[str, str]) -> None:
    """The application's errors, its settings, the names of its files."""
    done = run_once(verb, image=RUNTIME, files={**FILES, **files})
    assert done.returncode != 0
    assert "OWNED" in done.stdout + done.stderr
    assert not CONTROL.search(done.stdout + done.stderr)


HTTP = r"""
import os, socket
os.rename('/run/flagon/supervisor.sock', '/run/flagon/supervisor.before')
s = socket.socket(socket.AF_UNIX); s.bind('/run/flagon/supervisor.sock'); s.listen()
for _ in range(2):
    c, _ = s.accept(); asked = b''
    while b'</methodCall>' not in asked: asked += c.recv(65536)
    c.sendall(b'HTTP/1.1 500 \x1b]0;OWNED\x07\x9b31m\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'); c.close()
    s.settimeout(3)
"""


def test_supervisorctl_is_the_application_s_user_and_lets_nobody_command_the_terminal() -> None:
    """supervisor reads a supervisord.conf in the working directory: its history_file is written at the end."""
    conf = "[supervisord]\n[supervisorctl]\nhistory_file = /opt/flagon/owned-history\n"
    with Box(image=RUNTIME, args=["-i"], files={**FILES, "supervisord.conf": conf}) as box:
        words = ["docker", "exec", "-i", box.name, "supervisorctl"]
        done = subprocess.run(words, input="status\nexit\n", capture_output=True, text=True, timeout=20, check=False)
        assert "gunicorn" in done.stdout
        assert root_s(box, "/opt/flagon/owned-history") == []
        docker("exec", "-d", "-u", "10001:0", box.name, "timeout", "20", "python3", "-c", HTTP)
        wait_until(lambda: "supervisor.before" in box.exec("ls", "/run/flagon"), 5, "the forged socket")
        done = docker("exec", box.name, "supervisorctl", "status", check=False)
        assert "OWNED" in done.stdout + done.stderr
        assert not CONTROL.search(done.stdout + done.stderr)


# -- flagon static build: writes with root's rights, reads with the application's


def test_static_build_publishes_nothing_that_only_root_can_read() -> None:
    script = """cd /app; mkdir -p a/static b; echo 'a{}' > a/static/a.css; echo secret > a/static/root.txt; chmod 600 a/static/root.txt
        ln -s /etc b/static; ln -s /etc/shadow a/static/shadow.txt; mkfifo a/static/pipe.txt; /usr/local/bin/flagon static build
        cd /opt/flagon/static; find . -name '*a.*css'; find . | grep -E 'shadow|root|pipe'; cat */* 2>/dev/null | grep -aE 'root:[*]|^secret'
        stat -c '%u %a' . */a.*css; id -u; find /opt/flagon -user 10001"""
    done = docker("run", "--rm", "-i", "--entrypoint", "sh", RUNTIME, "-c", script, timeout=60)
    lines = done.stdout.splitlines()
    assert [line for line in lines if re.fullmatch(r"\./0/a\.[0-9a-f]+\.css", line)]
    assert lines[-3:] == ["0 755", "0 644", "0"]
    assert [line for line in lines if "left out" in line and "root.txt" in line and "uid 10001 cannot read it" in line]
    assert not [line for line in lines if "left out" not in line and re.search(r"shadow|root|pipe|^secret", line)]
