"""Names that are no ordinary text reach nginx as they are, or are left to the application.

What nginx refuses at the first start ends the box with 78, and `flagon check` says the same.
"""

# Tables, a row a line, however long.
# ruff: noqa: E501

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from .box import RUNTIME, WIRE, Box, child_image, docker, name_for, wait_until, write_files

INJECTION = "/x/ { return 404; } location /etc/ { root /; } location /y"
# below these nginx serves the files
SERVED = [
    INJECTION, "/my files", "/a;b", "/a{b", "/a}b", '/a"b', "/a'b", "/a#b", "/a$uri", "/${uri}", "/~a", "/=a", "/^~ a", "/@a", "/a\\b", "/a\\",
    "/a\\tb", "/a%41", "/\u00fc", "/\u2028", "/blank ", "/(.*)", "/a*b", "/a?b", "/%(here)s", "/" + "x" * 900, "/up",
]  # fmt: skip
# these it cannot have, or is never asked for
LEFT = ["/a\nb", "/a\x01b", "/a\x7fb", "//c", "/a//c", "/../d", "/-/error", "/" + "y" * 5000]
APP = f"""
from flask import Blueprint, Flask, url_for
app = Flask(__name__, static_url_path={SERVED[0]!r})
app.register_blueprint(Blueprint("lines", __name__, static_folder="/app/two\\nlines", static_url_path="/lines"))
URLS = {SERVED[1:]!r} + {LEFT!r}
for number, url in enumerate(URLS):
    app.register_blueprint(Blueprint(f"b{{number}}", __name__, static_folder="static", static_url_path=url))

@app.get("/urls")
def urls():
    names = ["static"] + [f"b{{number}}.static" for number in range(len(URLS))]
    return {{"urls": [url_for(name, filename="f.txt") for name in names]}}
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """With digested copies of the one file that lies below all of these urls."""
    dockerfile = f"FROM {RUNTIME}\nCOPY . /app\nRUN flagon static build\n"
    with (
        child_image(dockerfile, {"app.py": APP, "static/f.txt": "hello" * 300, "two\nlines/g.txt": "two"}) as image,
        Box(image=image) as found,
    ):
        yield found


def test_files_below_odd_urls_come_from_nginx(box: Box) -> None:
    for url in SERVED:
        reply = box.get(quote(url) + "/f.txt")
        assert (reply.status_code, reply.text[:5]) == (200, "hello"), url
        assert re.fullmatch(r'(W/)?"[0-9a-f]+-[0-9a-f]+"', reply.headers["ETag"]), url  # nginx's
        assert box.get(quote(url) + "/missing").status_code == 404


def test_digested_names_too(box: Box) -> None:
    digested = box.get("/urls").json()["urls"]
    assert len(digested) == len(SERVED) + len(LEFT)
    for url, path in zip(SERVED, digested, strict=False):
        reply = box.get(path)
        assert re.search(r"/f\.[0-9a-f]{12}\.txt$", path), url
        assert (reply.status_code, reply.headers.get("Cache-Control")) == (
            200,
            "public, max-age=31536000, immutable",
        ), url


def test_the_injection_gives_nothing(box: Box) -> None:
    for path in ("/etc/passwd", "/x/", "/y/f.txt"):
        reply = box.get(path)
        assert (reply.status_code, "root:" in reply.text) == (404, False)
    assert box.get("/up").status_code == 200


def test_what_is_left_to_the_application_is_named_once(box: Box) -> None:
    for url in LEFT:
        (record,) = [one for one in box.records() if f"below {url + '/'!r:.200} are left" in str(one.get("message"))]
        assert record["level"] == "warning"
    assert box.get(quote("/a\nb") + "/f.txt").text[:5] == "hello"
    assert "." in box.get(quote("/a\x01b") + "/f.txt").headers["ETag"]  # Flask's
    assert box.get("/lines/g.txt").text == "two"
    left = [str(one["message"]) for one in box.records() if "are left to the application" in str(one.get("message"))]
    assert len(left) == len(LEFT) + 1
    assert [line for line in left if "'/lines/'" in line][0].endswith("its folder has a control character")


def test_check_says_the_same(box: Box) -> None:
    done = docker("exec", box.name, "flagon", "check", check=False)
    assert done.returncode == 0
    assert done.stderr.count("are left to the application") == len(LEFT) + 1


# check and start: the same answer

OK = 'from flask import Flask\napp = Flask(__name__, static_url_path="/static")\n'
FILES = {"app.py": OK, "static/robots.txt": "x"}
SUPERVISED = "[program:x]\ncommand=sleep 9\n"
OWN = 'location =/robots.txt { return 204; }\nlocation "/static/" { return 204; }'
INCLUDING = {
    "nginx/server.d/a.conf": "include /cases/included/more.conf;",
    "more.conf": "location ^~ /static/ { return 204; }",
}
# name -> (shell assignments, files, what both say; empty: it serves)
CASES: dict[str, tuple[str, dict[str, str], str]] = {
    "served": ("", {}, ""),
    "health-path": ("STATIC_URL=/up", {}, "STATIC_URL=/up is a health path"),
    "file-at-the-top": ("STATIC_URL=/robots.txt", {}, ""),
    "control-character": ('FLAGON_SPA_INDEX="$(printf "a\\001b")"', {}, "has a control character"),
    "included": ("", INCLUDING, 'duplicate location "/static/" in /cases/included/more.conf:1'),
    "own-location": ("", {"nginx/server.d/a.conf": OWN}, ""),
    "odd-file-names": ("", {"nginx/server.d/a[1] $b.conf": "location = /own { return 204; }"}, ""),
    "bad-file-name": ("", {"nginx/http.d/a\nb.conf": "map $a $b { }"}, "nginx cannot include it"),
    "listen-option": ("NGINX_MAX_UPLOAD=1m\nLISTEN_PORT='127.0.0.1:8080 nonsense'", {}, 'invalid parameter "nonsense"'),
    "listen-address": ("NGINX_MAX_UPLOAD=1m\nLISTEN_PORT=192.0.2.1:8080", {}, "bind() to 192.0.2.1:8080 failed"),
    "supervisor": ("", {"supervisor.d/a.conf": SUPERVISED + "numprocs=abc\n"}, "supervisor.d/a.conf: invalid literal"),
    "supervisor-own": ("", {"supervisor.d/a.conf": SUPERVISED + 'directory=%(here)s\nenvironment=A="%(ENV_SECRET_KEY)s"\n'}, ""),
}  # fmt: skip
# One after the other in one container. A start that serves is stopped once it answers.
SCRIPT = r"""
for folder in /cases/*; do
    cd "$folder"
    set -a; . ./assignments; set +a
    /opt/flagon/entrypoint.sh check >/tmp/out 2>&1
    echo "@@ ${folder##*/} check $?"; cat /tmp/out
    /opt/flagon/entrypoint.sh serve >/tmp/out 2>&1 &
    for turn in $(seq 100); do
        [ -d /proc/$! ] || break
        ! curl -fs -o /dev/null http://127.0.0.1:8080/up && sleep 0.1 || { kill $!; break; }
    done
    wait $!
    echo "@@ ${folder##*/} serve $? $turn"; cat /tmp/out
    unset $(sed 's/=.*//' ./assignments)
done
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, tuple[int, int, str]]]:
    """case -> verb -> (exit code, rounds of waiting, both outputs)"""
    folder = write_files(
        {
            f"{name}/{file}": text
            for name, (assignments, files, _) in CASES.items()
            for file, text in {
                **FILES,
                "assignments": assignments,
                **files,
            }.items()
        }
    )
    name = name_for()
    wire = ["-e", f"WORKER_CLASS={WIRE}"] if WIRE else []
    words = [
        "docker",
        "run",
        "--rm",
        "--name",
        name,
        *wire,
        "-v",
        f"{folder}:/cases",
        "--entrypoint",
        "sh",
        RUNTIME,
        "-c",
        SCRIPT,
    ]
    try:
        done = subprocess.run(words, capture_output=True, timeout=240, encoding="utf-8", errors="replace")
    finally:
        docker("rm", "-f", "-v", name, check=False)
        shutil.rmtree(folder, ignore_errors=True)
    print(done.stdout[-20000:], done.stderr)
    found: dict[str, dict[str, tuple[int, int, str]]] = {}
    for piece in done.stdout.split("@@ ")[1:]:
        head, _, output = piece.partition("\n")
        case, verb, code, *turns = head.split()
        found.setdefault(case, {})[verb] = (int(code), int(turns[0]) if turns else 0, output)
    return found


@pytest.mark.parametrize("case", CASES)
def test_check_and_the_start_agree(answers: dict[str, dict[str, tuple[int, int, str]]], case: str) -> None:
    (checked, _, said), (code, turns, log) = answers[case]["check"], answers[case]["serve"]
    if not CASES[case][2]:
        assert (checked, code) == (0, 0), said + log
        return
    assert (checked, code) == (78, 78), said + log
    assert turns < 60  # no restarts
    assert CASES[case][2] in said
    critical = [
        json.loads(line)["message"]
        for line in log.splitlines()
        if '"logger": "flagon"' in line and '"critical"' in line
    ]
    lines = critical or [line for line in log.splitlines() if line.startswith("  - ")]
    assert len(lines) == 1
    assert CASES[case][2] in lines[0]
    assert "restarted" not in log


# after the first good start

MORE = "location ^~ /new/ { return 204; }\n"
SERVED_APP = 'import os\nfrom flask import Flask\napp = Flask(__name__, static_url_path="/static")\n@app.get("/pid")\ndef pid():\n    return str(os.getpid())\n'


def test_new_code_whose_folders_nginx_would_refuse_is_not_taken() -> None:
    """By a reload not at all; by a worker that is recycled, nginx goes on as it is. Then the file is mended."""
    files = {
        "app.py": SERVED_APP,
        "static/a": "x",
        "nginx/server.d/a.conf": "include /app/more.conf;",
        "more.conf": MORE,
    }
    with Box({"WEB_CONCURRENCY": "1"}, image=RUNTIME, files=files) as box:
        assert box.folder
        new = SERVED_APP.replace("/static", "/new") + '@app.get("/fresh")\ndef fresh(): return "fresh"\n'
        (box.folder / "app.py").write_text(new)
        done = docker("exec", box.name, "flagon", "reload", check=False)
        assert done.returncode == 1
        assert 'duplicate location "/new/" in /app/more.conf:1: the old application goes on serving' in done.stdout
        assert box.get("/static/a").text == "x"
        assert box.get("/fresh").status_code == 404
        box.exec("sh", "-c", f"kill -KILL {int(box.get('/pid').text)}")
        box.wait_log("new static folders are left to the application")
        wait_until(lambda: box.get("/fresh").text == "fresh", 10, "the new worker")
        assert box.get("/new/a").status_code == 204  # the user's own location
        box.exec("sh", "-c", "nginx -t -q -p /run/flagon -c nginx.conf -e stderr")  # what it would start with
        (box.folder / "more.conf").write_text(MORE.replace("/new/", "/other/"))
        (box.folder / "nginx/server.d/a.conf").write_text("include /app/more.conf; ")
        assert docker("exec", box.name, "flagon", "reload", check=False).returncode == 0
        wait_until(lambda: box.get("/new/a").text == "x", 10, "nginx with the new folder")
        assert not [one for one in box.records() if "restarted" in str(one.get("message"))]


def test_names_of_files_are_what_the_application_says(box: Box) -> None:
    """Nothing but ours is in the rendered files: what they hold is read by nginx itself."""
    assert box.exec("nginx", "-t", "-q", "-p", "/run/flagon", "-c", "nginx.conf", "-e", "stderr", user="10001") == ""
