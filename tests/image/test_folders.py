"""What nginx serves past the application: nothing that the application did not mean, and not in silence."""

# Tables, a row a line, however long.
# ruff: noqa: E501

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from .box import Box, run_once, wait_until, write_files

WIRES = ("fastcgi", "gthread")
# A gateway: whoever runs the upstream chooses the headers of its answer.
APP = """
import json
from flask import Flask, Response, request, send_file
try:
    from flagon.inside.accel import Internal
except ImportError:
    Internal = str
app = Flask(__name__)

@app.get("/relay")
@app.post("/relay")
def relay():
    reply = Response("own body", status=int(request.args.get("status", "200")))
    for line in request.args.getlist("h"):
        reply.headers.add(*line.split(": ", 1))
    return reply

@app.get("/send")
def send(): return send_file(request.args["path"])

@app.get("/options")
def options(): return Response(open("/run/flagon/launch.json"), mimetype="application/json")

real = app.wsgi_app
def inside(environ, start_response):
    # What only our own side can say: nginx's wall is asked alone.
    if environ["PATH_INFO"] == "/inside":
        start_response("200 OK", [("X-Accel-Redirect", Internal(environ["QUERY_STRING"]))])
        return [b"own body"]
    return real(environ, start_response)
app.wsgi_app = inside
"""
USERS = """
location /protected/ { internal; alias /app/protected/; }
location @extra { return 200 "the user's own"; }
"""
SECRETS = ("Flask(__name__)", "IN_DOTENV", "SQLite format", "IN_UWSGI")
FILES = {
    "app.py": APP, ".env": "GREETING=IN_DOTENV\n", ".git/HEAD": "IN_DOTENV\n", ".well-known/ok.txt": "known\n", "uwsgi.ini.bak": "IN_UWSGI\n",
    "static/a.txt": "a file\n", "static/.env": "IN_DOTENV\n", "protected/p.txt": "protected\n", "nginx/server.d/own.conf": USERS,
    "shop.db": "SQLite format 3", "shop.db-wal": "SQLite format 3", "sub/notes.sqlite3": "SQLite format 3", "sub/.hidden/x": "IN_DOTENV\n",
}  # fmt: skip
# What an X-Accel-Redirect of the application's may not reach, and spellings that hope to.
TARGETS = (
    "/-/file/0/app.py", "/-/file/1/secret_key", "{token}app.py", "{token}static/a.txt", "/-/spa", "/-/error/503.html", "/-/error/", "/-/digested/x", "/-/", "/-",
    "//-/error/503.html", "/./-/error/503.html", "/x/../-/error/503.html", "/%2d/error/503.html", "/-%2Ferror/503.html", "/-/%65rror/503.html", "/-/error/503.html?x=1",
    "@app", "@stuck", "@kept", "@unanswered", "@none", "up", "", "?", "\\\\-\\\\error",
)  # fmt: skip


@pytest.fixture(scope="module", params=WIRES)
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    env = {
        "WORKER_CLASS": request.param,
        "WEB_CONCURRENCY": "1",
        "DATABASE_URL": "sqlite:////data/ledger",
        "STATIC_FILES": "on",
    }
    with Box(env, files=FILES) as found:
        found.exec("sh", "-c", "echo 'SQLite format' > /data/ledger; cp /data/ledger /data/ledger-wal")
        yield found


def places(box: Box) -> dict[str, str]:
    """Folder -> the inner path below which nginx has its files."""
    from flagon.statics import handed_url

    options = box.get("/options").json()
    return {folder: handed_url(options["file_token"], folder) for folder in options["hand_over"]}


def test_the_proofs(box: Box) -> None:
    """A header that somebody else chose handed out the source and the key."""
    for target in ("/-/file/0/app.py", "/-/file/1/secret_key", "/-/file/0/.env"):
        reply = box.get("/relay", params={"h": f"X-Accel-Redirect: {target}"})
        assert (reply.status_code, reply.text) == (200, "own body")


def test_no_x_accel_redirect_of_the_applications_reaches_what_is_ours(box: Box) -> None:
    token = places(box)["/app"]
    for target in TARGETS:
        for name in ("X-Accel-Redirect", "x-accel-redirect", "X-ACCEL-REDIRECT"):
            reply = box.get("/relay", params={"h": f"{name}: {target.format(token=token)}"})
            assert (reply.status_code, reply.text) == (200, "own body"), target
            assert "X-Accel-Redirect" not in reply.headers
    for status in (204, 304, 404, 500):
        lines = ["X-Accel-Redirect: /-/error/503.html", f"X-Accel-Redirect: {token}app.py", "X-Kept: 1"]
        for method in ("GET", "HEAD", "POST"):
            reply = box.request(method, "/relay", params={"h": lines, "status": str(status)})
            assert (reply.status_code, reply.headers["X-Kept"]) == (status, "1")
            assert reply.text in ("own body", "")
    dropped = [line for line in box.lines() if "header X-Accel-Redirect is dropped" in line]
    assert len(dropped) == 3, "each reason once in a worker's life"
    assert any("/-/ is Flagon's own" in line for line in dropped)


def test_the_users_own_locations_go_on_working(box: Box) -> None:
    for target, text in (
        ("/protected/p.txt", "protected\n"),
        ("@extra", "the user's own"),
    ):
        reply = box.get("/relay", params={"h": f"X-Accel-Redirect: {target}"})
        assert reply.status_code == 200, target
        assert text in reply.text
        assert reply.text != "own body"
    assert box.get("/protected/p.txt").status_code == 404
    # Not a page, with the visitor's cookies, that nobody asked for; nor is one kept in the place of another.
    for target in ("/static/a.txt", "/options", "/relay?h=Set-Cookie:%20admin=1", "/up"):
        reply = box.get("/relay", params={"h": f"X-Accel-Redirect: {target}"})
        assert (reply.status_code, reply.text) == (200, "own body"), target
        assert "Set-Cookie" not in reply.headers
    for name in ("X-Accel-Limit-Rate", "X-Accel-Expires", "X-Accel-Charset", "X-Accel-Buffering", "X_Accel_Redirect"):
        assert box.get("/relay", params={"h": f"{name}: /-/error/503.html"}).text == "own body"


def test_what_an_application_cannot_say_to_nginx(box: Box) -> None:
    """So many bytes a second, or another character set: what somebody else's answer says is nothing to nginx."""
    lines = ["X-Accel-Limit-Rate: 100", "X-Accel-Charset: utf-7"]
    reply = box.get("/relay", params={"h": lines})
    assert reply.text == "own body"
    assert reply.elapsed.total_seconds() < 1.5  # the header alone would take three
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert not [name for name in reply.headers if name.startswith("X-Accel")]


def test_what_nginx_never_sends_in_the_applications_place(box: Box) -> None:
    """The application may send it: then they are its own bytes. nginx's own wall holds even for who knows the path."""
    by_folder = places(box)
    refused = {
        "/app": (
            "app.py",
            ".env",
            ".git/HEAD",
            "shop.db",
            "shop.db-wal",
            "sub/notes.sqlite3",
            "sub/.hidden/x",
            "uwsgi.ini.bak",
        ),
        "/data": ("ledger", "ledger-wal"),
    }
    for folder, names in refused.items():
        for name in names:
            assert box.get("/send", params={"path": f"{folder}/{name}"}).status_code == 200
            reply = box.get("/send", params={"path": f"{folder}/{name}"}, headers={"Range": "bytes=0-0"})
            assert (reply.status_code, reply.reason) == (206, "PARTIAL CONTENT"), (
                f"{name}: the application's own answer"
            )
            for path in (
                by_folder[folder] + name,
                by_folder[folder] + name.replace(".", "%2e"),
                by_folder[folder] + "/" + name,
            ):
                reply = box.get("/inside?" + path)
                assert reply.status_code == 404, path
                assert not any(secret in reply.text for secret in SECRETS)
    for name in ("static/a.txt", ".well-known/ok.txt"):
        assert box.get("/inside?" + by_folder["/app"] + name).status_code == 200
        reply = box.get("/send", params={"path": f"/app/{name}"}, headers={"Range": "bytes=0-0"})
        assert reply.reason == "Partial Content", "nginx's answer"


def test_the_inner_path_is_another_in_each_box_and_survives_a_reload(box: Box) -> None:
    before = places(box)
    assert all(len(path) == len("/-/file/") + 32 + 1 + 8 + 1 for path in before.values())
    assert box.folder
    (box.folder / "app.py").write_text(APP + "\napp.add_url_rule('/new', view_func=lambda: 'new')\n")
    assert "exit" not in box.exec("flagon", "reload")
    wait_until(lambda: box.get("/new").status_code == 200, 10, "the new code")
    assert places(box) == before
    reply = box.get("/send", params={"path": "/app/static/a.txt"}, headers={"Range": "bytes=0-0"})
    assert (reply.status_code, reply.reason) == (206, "Partial Content")
    with Box({"WEB_CONCURRENCY": "1"}, files=FILES) as other:
        assert not set(places(other).values()) & set(before.values())


# Folders that settings name

SITE = {
    "app.py": "from shop.web import app\n",
    "shop/__init__.py": "",
    "shop/web.py": "from flask import Flask\napp = Flask(__name__)\n",
    "index.html": "<p>page",
    "dist/index.html": "<p>page",
    "data/x": "",
}
# settings -> what the message says of the folder
REFUSED = (
    ("SPA_INDEX=index.html", "/app, which is the application's folder /app"), ("SPA_INDEX=/app/index.html", "/app, which is"), ("SPA_INDEX=dist/../index.html", "which is"),
    ("STATIC_PATH=/app", "/app, which is"), ("STATIC_URL=/ STATIC_PATH=/app", "/app, which is"), ("STATIC_PATH=/app/", "which is"),
    ("STATIC_PATH=/", "/, which holds the application's folder /app"), ("STATIC_PATH=/data", "is the data directory /data"), ("STATIC_PATH=/run", "holds the run directory /run/flagon"),
    ("STATIC_PATH=/opt/flagon", "is Flagon's own folder"), ("STATIC_PATH=/opt", "holds Flagon's own folder"), ("STATIC_PATH=/tmp/link", "/tmp/link, which is the application's folder"),
    ("STATIC_INDEX=1 STATIC_PATH=/app", "which is"), ("DATA_DIR=/app/dist/deep STATIC_PATH=/app/dist", "holds the data directory /app/dist/deep"),
    ("DATABASE_URL=sqlite:////app/dist/x.bin SPA_INDEX=dist/index.html", "holds the database /app/dist/x.bin"), ("STATIC_PATH=/proc/1/root/app", "which is"), ("STATIC_PATH=/mnt", "which is"),
    ("APP_MODULE=shop.web:app STATIC_PATH=/app/shop", "is the application's package /app/shop"), ("STATIC_URL=/.assets STATIC_PATH=/app/dist", "hidden paths"),
    ("UWSGI_INI=/tmp/uwsgi.ini", "STATIC_PATH=/app"),
)  # fmt: skip
TAKEN = (
    "SPA_INDEX=dist/index.html",
    "STATIC_PATH=/app/dist",
    "STATIC_INDEX=1 STATIC_PATH=/app/dist",
    "STATIC_URL=/ STATIC_PATH=/app/dist",
    "STATIC_URL=/x STATIC_PATH=/none",
    "STATIC_PATH=/data/public",
    "STATIC_INDEX=1",
)


def test_settings_that_would_publish_the_application() -> None:
    checks = "\n".join(
        f"echo '### {words}'; env {words} flagon {'check' if 'SPA' in words else 'config'}; echo \"code $?\""
        for words in (*(row[0] for row in REFUSED), *TAKEN)
    )
    script = (
        "exec 2>&1\nln -sfn /app /tmp/link\nprintf '[uwsgi]\\nmodule = app\\nstatic-map = /static=/app\\n' > /tmp/uwsgi.ini\n"
        + checks
    )
    folder = write_files({**SITE, "checks.sh": script})
    done = run_once(["sh", "/app/checks.sh"], args=["-v", f"{folder}:/app", "-v", f"{folder}:/mnt"], timeout=180)
    told = {part.split("\n", 1)[0]: part.split("\n", 1)[1] for part in done.stdout.split("### ")[1:]}
    for words, said in REFUSED:
        assert told[words].rstrip().endswith("code 78"), words
        assert said in told[words], words
        name = next(name for name in ("SPA_INDEX", "STATIC_URL", "STATIC_PATH") if name in words or "UWSGI" in words)
        assert ("STATIC_PATH=/app (static-map" if "UWSGI" in words else f"{name}=") in told[words], words
        assert "hidden" in said or "into a folder of its own, such as /app/dist, and name that" in told[words]
    for words in TAKEN:
        assert told[words].rstrip().endswith("code 0"), words


def test_a_start_ends_and_a_reload_is_refused() -> None:
    ended = run_once(env={"SPA_INDEX": "index.html"}, files=SITE)
    assert (ended.returncode, "SPA_INDEX=index.html" in ended.stderr) == (78, True)
    with Box(
        {"SPA_INDEX": "dist/index.html"},
        files={
            **SITE,
            ".env": "KEY=IN_DOTENV\n",
            "dist/.env": "IN_DOTENV\n",
            "dist/.well-known/x": "known\n",
            "dist/sub/.git/HEAD": "IN_DOTENV\n",
        },
    ) as box:
        assert box.folder
        page = {"Accept": "text/html"}
        assert box.get("/index.html").text == box.get("/deep/link", headers=page).text == "<p>page"
        assert box.get("/.well-known/x").text == "known\n"
        for path in ("/.env", "/sub/.git/HEAD", "/%2eenv", "//.env", "/app.py", "/../.env"):
            for headers in ({}, page):
                assert "IN_DOTENV" not in box.get(path, headers=headers).text
        os.rename(box.folder / "dist", box.folder / "old")
        os.symlink(".", box.folder / "dist")
        refused = box.exec("flagon", "reload", check=False)
        assert "SPA_INDEX=dist/index.html" in refused
        assert "the old application goes on serving" in refused


def test_hidden_files_of_a_folder_that_a_setting_names() -> None:
    files = {
        "app.py": "from flask import Flask\napp = Flask(__name__)\n",
        "dist/.env": "IN_DOTENV",
        "dist/a.txt": "a",
        "dist/.well-known/x": "known",
        "dist/s/.x/y": "IN_DOTENV",
    }
    with Box({"STATIC_PATH": "/app/dist"}, files=files) as box:
        assert (box.get("/static/a.txt").text, box.get("/static/.well-known/x").text) == ("a", "known")
        for path in (
            "/static/.env",
            "/static/s/.x/y",
            "/static/%2eenv",
            "/static/.well-known/.x",
            "/static/.well-known/../.env",
        ):
            assert box.get(path).status_code == 404, path


# What the application protects

GUARDED = """
import os
from flask import Flask, request
app = Flask(__name__, **({"static_folder": ".", "static_url_path": ""} if os.environ.get("BEGINNER") else {}))
app.add_url_rule("/", view_func=lambda: "page")

class Basic:
    def __init__(self, app): self.app = app
    def __call__(self, environ, start_response):
        if environ.get("HTTP_AUTHORIZATION") or environ["PATH_INFO"] == "/up":
            return self.app(environ, start_response)
        start_response("401 Unauthorized", [("Content-Type", "text/plain")])
        return [b"who are you?"]

if os.environ.get("GUARD") == "inside":
    app.wsgi_app = Basic(app.wsgi_app)
if os.environ.get("GUARD") == "outside":
    app = Basic(app)
if os.environ.get("GUARD") == "hook":
    @app.before_request
    def login():
        if "Authorization" not in request.headers: return "who are you?", 401
"""
REPORT = {
    "app.py": GUARDED,
    "static/report.txt": "the report\n",
    "static/robots.txt": "nobody\n",
    ".env": "KEY=IN_DOTENV\n",
}


def static_lines(box: Box) -> list[str]:
    return [
        str(record["message"])
        for record in box.records()
        if str(record.get("message", "")).startswith("static files: ")
    ]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("guard", ["inside", "outside"])
def test_middleware_keeps_its_static_files(guard: str, wire: str) -> None:
    with Box({"GUARD": guard, "WORKER_CLASS": wire, "WEB_CONCURRENCY": "2"}, files=REPORT) as box:
        for path in ("/", "/static/report.txt", "/robots.txt"):
            assert box.get(path).status_code == 401, path
        known = {"Authorization": "Basic x"}
        assert box.get("/static/report.txt", headers=known).text == "the report\n"
        part = box.get("/static/report.txt", headers={**known, "Range": "bytes=0-2"})
        assert (part.text, part.reason) == ("the", "Partial Content"), (
            "nginx sends it, once the middleware has let it through"
        )
        (line,) = static_lines(box)
        assert "/app/static (/static/) is left to the application, because of app.Basic. STATIC_FILES=on" in line


def test_who_says_so_has_them_served_past_it() -> None:
    with Box({"GUARD": "inside", "STATIC_FILES": "on"}, files=REPORT) as box:
        assert (box.get("/").status_code, box.get("/static/report.txt").text, static_lines(box)) == (
            401,
            "the report\n",
            [],
        )


@pytest.mark.parametrize(
    ("env", "status", "lines"),
    [
        ({}, 200, 1),
        ({"STATIC_FILES": "off"}, 401, 0),
        ({"STATIC_FILES": "on"}, 200, 0),
        ({"MODULE_NAME": "app"}, 200, 1),
        ({"MODULE_NAME": "app", "STATIC_FILES": "off"}, 401, 0),
    ],
)
def test_a_hook_is_named(env: dict[str, str], status: int, lines: int) -> None:
    with Box({"GUARD": "hook", "WEB_CONCURRENCY": "2", **env}, files=REPORT) as box:
        assert (box.get("/").status_code, box.get("/static/report.txt").status_code) == (401, status)
        told = static_lines(box)
        assert len(told) == lines
        assert all("app.login (/app/app.py:20)" in line and "STATIC_FILES=off" in line for line in told)


def test_the_applications_folder_as_its_static_folder() -> None:
    """Flask(__name__, static_folder=".", static_url_path=""): what goes out is Flask's own business, and it is said."""
    with Box({"BEGINNER": "1", "GUARD": "hook"}, files=REPORT) as box:
        for path in ("/.env", "/app.py", "/static/report.txt"):
            assert box.get(path).status_code == 401, path
        known = {"Authorization": "x"}
        assert box.get("/static/report.txt", headers=known).text == "the report\n"
        (line,) = static_lines(box)
        assert "nginx does not serve /app (/), which is the application's folder /app" in line


def test_the_starters_static_files_are_the_same_from_its_own_hand() -> None:
    """It has hooks, and says STATIC_FILES=on of itself: what they add is for pages."""
    seen: list[dict[str, dict[str, str]]] = []
    # of the file or of the moment, and those that nginx has for each answer
    own = set(
        "connection date etag last-modified server x-request-id accept-ranges content-length vary content-disposition".split()
    )
    for env in ({}, {"STATIC_FILES": "off"}):
        with Box({"WEB_CONCURRENCY": "1", "MIGRATE": "off", **env}, deadline=60) as box:
            assert static_lines(box) == []
            names = box.exec("sh", "-c", "cd /opt/flagon/starter/app/static && find . -type f").split()
            assert len(names) >= 5
            replies = {name: box.get(f"/static/{name[2:]}", headers={"Accept-Encoding": "identity"}) for name in names}
            assert {reply.status_code for reply in replies.values()} == {200}
            seen.append(
                {
                    name: {key.lower(): value for key, value in reply.headers.items() if key.lower() not in own}
                    for name, reply in replies.items()
                }
            )
    assert json.dumps(seen[0], sort_keys=True).replace("application/java", "text/java") == json.dumps(
        seen[1], sort_keys=True
    )
