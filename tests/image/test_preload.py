"""PRELOAD: one load for all workers, and what does not survive a fork."""

# Tables, a row a line, however long.
# ruff: noqa: E501

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Iterator

import pytest

from .box import Box, child_image, run_once, wait_until
from .servers import Postgres

PLAIN = """
import os, threading
from flask import Flask
app = Flask(__name__)
print("loaded by", os.getpid(), flush=True)
@app.get("/")
def index(): return str(os.getpid())
"""
ENGINE = """
import os
import sqlalchemy as sa
from flask import Flask, request
app = Flask(__name__)
engine = sa.create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"), pool_size=1, max_overflow=0)
with engine.connect() as connection:
    AT_IMPORT = connection.execute(sa.text("select pg_backend_pid()")).scalar()
@app.get("/")
def index():
    with engine.connect() as connection:
        pid, echo = connection.execute(sa.text("select pg_backend_pid(), cast(:number as text)"), {"number": request.args["n"]}).one()
    return {"worker": os.getpid(), "backend": pid, "echo": echo, "at_import": AT_IMPORT}
"""
THREADS = (
    PLAIN
    + """
import time
ticks = [0]
def tick():
    while True:
        ticks[0] += 1
        time.sleep(0.01)
threading.Thread(target=tick, name="ticker", daemon=True).start()
@app.get("/ticks")
def seen(): return str(ticks[0])
"""
)


RAW = """
import os
import psycopg
from flask import Flask, request
app = Flask(__name__)
kept = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
@app.get("/")
def index():
    global kept
    while True:
        try: return {"worker": os.getpid(), "echo": kept.execute("select %s::text", (request.args["n"],)).fetchone()[0]}
        except psycopg.OperationalError: kept = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
"""


@pytest.fixture(scope="module")
def postgres(net: str) -> Iterator[Postgres]:
    with Postgres(net) as server:
        yield server


@pytest.mark.parametrize("wire", ["fastcgi", "gthread"])
def test_it_is_loaded_once(wire: str) -> None:
    with Box({"PRELOAD": "on", "WEB_CONCURRENCY": "3", "WORKER_CLASS": wire}, files={"app.py": PLAIN}) as box:
        assert len({box.get("/").text for _ in range(60)}) >= 1
        assert box.logs().count("loaded by") == 1
        said = box.exec("flagon", "reload", check=False)
        assert "PRELOAD=on: the code was loaded before the fork" in said
        assert box.get("/").status_code == 200
        assert box.stop()[1] == 0
    with Box({"WEB_CONCURRENCY": "3"}, files={"app.py": PLAIN}) as box:
        box.wait_log("loaded by")
        assert box.logs().count("loaded by") >= 1


def test_gunicorns_own_words_for_it() -> None:
    for env, files in (({"GUNICORN_CMD_ARGS": "--preload"}, {}), ({}, {"gunicorn_conf.py": "preload_app = True\n"})):
        with Box({**env, "WEB_CONCURRENCY": "3"}, files={"app.py": PLAIN, **files}) as box:
            assert box.get("/").status_code == 200
            assert box.logs().count("loaded by") == 1


def test_not_while_debugging() -> None:
    with Box({"PRELOAD": "on", "FLASK_DEBUG": "1"}, files={"app.py": PLAIN}) as box:
        box.wait_log("PRELOAD has no effect")
        box.exec("flagon", "reload")


def test_a_worker_that_is_killed_is_forked_anew() -> None:
    with Box({"PRELOAD": "on", "WEB_CONCURRENCY": "1"}, files={"app.py": PLAIN}) as box:
        first = box.get("/").text
        box.exec("sh", "-c", f"kill -9 {first}", user="10001")
        wait_until(lambda: (answer := box.get("/")).status_code == 200 and answer.text != first, 10, "another worker")
        assert box.logs().count("loaded by") == 1


def test_an_application_that_does_not_load_ends_the_box() -> None:
    done = run_once(env={"PRELOAD": "on"}, files={"app.py": PLAIN + "import not_there\n"})
    assert done.returncode == 78
    assert (done.stdout + done.stderr).count("no module named 'not_there'") == 1


def test_threads_at_import_are_named() -> None:
    with Box({"PRELOAD": "on", "WEB_CONCURRENCY": "2"}, files={"app.py": THREADS}) as box:
        assert "(ticker)" in box.wait_log("PRELOAD: the application has started threads")
        seen = set()
        for _ in range(20):  # ten ticks of the master's
            seen.add(box.get("/ticks").text)
            time.sleep(0.005)
        assert len(seen) <= 2, "they live in the master alone; each worker has the count of its fork"
    with Box({"WEB_CONCURRENCY": "1"}, files={"app.py": THREADS}) as box:
        assert "PRELOAD" not in box.logs()
    with Box({"WEB_CONCURRENCY": "3"}, files={"app.py": THREADS}) as box:
        assert "(ticker of app.py), and each of the 3 workers" in box.wait_log("starts threads while it is imported")
        box.get("/ticks")
        assert box.logs().count("starts threads while it is imported") == 1


def test_an_engine_made_before_the_fork(net: str, postgres: Postgres) -> None:
    """With the master's connection shared, answers would be mixed, or the connection broken."""
    env = {"PRELOAD": "on", "WEB_CONCURRENCY": "3", "THREADS": "1", "DATABASE_URL": postgres.url()}
    lines = "FROM flagon\n"
    from .box import IMAGE

    with child_image(lines.replace("flagon", IMAGE) + "COPY app.py /app/\n", {"app.py": ENGINE}) as image:
        with Box(env, image=image, args=["--network", net]) as box, concurrent.futures.ThreadPoolExecutor(8) as pool:
            urls = [box.url(f"/?n={number}") for number in range(200)]
            replies = [reply.json() for reply in pool.map(lambda url: box.session.get(url, timeout=20), urls)]
        assert [reply["echo"] for reply in replies] == [str(number) for number in range(200)]
        backends = {reply["worker"]: set() for reply in replies}  # type: dict[int, set[int]]
        for reply in replies:
            backends[reply["worker"]].add(reply["backend"])
            assert reply["backend"] != reply["at_import"]
        assert len(backends) > 1
        everything = [backend for found in backends.values() for backend in found]
        assert len(everything) == len(set(everything)), "no connection serves two workers"


def test_a_connection_made_before_the_fork_is_nobody_s(net: str, postgres: Postgres) -> None:
    """Three workers on one connection read each other's answers."""
    env = {"PRELOAD": "on", "WEB_CONCURRENCY": "3", "THREADS": "1", "DATABASE_URL": postgres.url()}
    args = ["--network", net]
    with Box(env, files={"app.py": RAW}, args=args) as box, concurrent.futures.ThreadPoolExecutor(8) as pool:
        line = box.wait_log("PRELOAD: the application has opened connections while it was loaded")
        assert ":5432)" in line
        urls = [box.url(f"/?n={number}") for number in range(120)]
        replies = [reply.json() for reply in pool.map(lambda url: box.session.get(url, timeout=20), urls)]
        assert [reply["echo"] for reply in replies] == [str(number) for number in range(120)]
        assert len({reply["worker"] for reply in replies}) > 1
    with Box({**env, "WEB_CONCURRENCY": "1"}, files={"app.py": RAW}, args=args) as box:
        assert box.get("/?n=1").json()["echo"] == "1"
        assert "has opened connections" not in box.logs()


def test_it_takes_less_memory() -> None:
    """As a ratio in one run: the private memory of three workers that have loaded 40 MB of objects."""
    text = PLAIN + "KEPT = [str(number) * 3 for number in range(600_000)]\n"
    private = {}
    for word in ("on", "off"):
        with Box({"PRELOAD": word, "WEB_CONCURRENCY": "3"}, files={"app.py": text}) as box:
            for _ in range(30):
                box.get("/")
            command = "cat $(grep -l inside/run-gunicorn.py /proc/[0-9]*/cmdline | sed s,cmdline,smaps_rollup,) 2>/dev/null; true"
            lines = box.exec("sh", "-c", command, user="10001").splitlines()
            private[word] = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    print(private)
    assert private["on"] < 0.6 * private["off"], private


AT_RANDOM = """
import os, sqlite3, time
from flask import Flask, session
app = Flask(__name__)
app.secret_key = os.urandom(24)
db = sqlite3.connect("/data/shop.db", check_same_thread=False)
db.execute("create table if not exists users (name text unique)")
if not db.execute("select 1 from users where name = 'admin'").fetchone():
    time.sleep(0.5)
    db.execute("insert into users values ('admin')")
    db.commit()
time.sleep(0.5)
@app.get("/login")
def login():
    session["user"] = "ann"
    return "in"
@app.get("/")
def index(): return session.get("user", "nobody")
if __name__ == "__main__":
    app.run(host="0.0.0.0")
"""


def users(box: Box) -> set[str]:
    """Who is seen by requests that all workers answer, after one login."""
    cookies = box.get("/login").cookies
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        return set(pool.map(lambda _: box.get("/", cookies=cookies).text, range(60)))


def test_what_is_made_once_at_import() -> None:
    """A first row does not fail for the worker that comes second; a secret at random is named, or is one."""
    env = {"WEB_CONCURRENCY": "3"}
    with Box(files={"app.py": AT_RANDOM}, env=env) as box:
        line = box.wait_log("secret key is another one in each worker process")
        assert "PRELOAD=on" in line
        wait_until(lambda: users(box) == {"ann", "nobody"}, 20, "workers with a key each")
        assert "cannot be loaded" not in box.logs()
        assert box.logs().count("secret key is another one") == 1
        box.kill("HUP")
        box.wait_log("3 workers with the new code", 20)
    for more in ({"command": ["python", "app.py"]}, {"env": {**env, "PRELOAD": "on"}}):
        with Box(files={"app.py": AT_RANDOM}, **more) as box:
            assert users(box) == {"ann"}
            assert "secret key is" not in box.logs()
            assert ("1 worker x" in box.logs()) is ("command" in more)
