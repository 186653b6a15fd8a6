"""Two applications while their database has a bad day: written to, asked for /up all the time, and judged at the end.

with bad_day(postgres, starter, stranger) as day:
    postgres.kill()
    day.refused(); day.ready_says("host unknown")
    postgres.start()
    day.healed()
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

import requests

from .box import RUNTIME, Box, docker, name_for, wait_until, write_files
from .servers import PASSWORD, Postgres

DATABASE_TIMEOUT = 2  # of the starter
TIMEOUT = 3  # of the stranger's box
SLACK = 1.5  # beyond a limit, for everything else that an answer takes
HEALED = 15.0
WRITERS = 2
STRANGER = {
    "Dockerfile": f"""
FROM {RUNTIME}
RUN pip install flask 'psycopg[binary]'
COPY main.py /app/
""",
    "main.py": """
import os
import psycopg
from flask import Flask, request
app = Flask(__name__)
@app.get("/")
def index():
    return "here"
@app.post("/notes")
def add():
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("insert into titles values (%s)", [request.json["title"]])
    return "", 201
""",
}
_numbers = itertools.count(1)


class Answer(NamedTuple):
    """What a client got; status 0 is no answer at all."""

    status: int
    seconds: float
    retry_after: str
    text: str
    at: float


class Application:
    """One of the two, in its box: how to write a title, where it is kept, how long an answer may take."""

    def __init__(self, box: Box, path: str, table: str, limit: float, refusals: set[int]) -> None:
        self.box, self.path, self.table, self.limit, self.refusals = box, path, table, limit, refusals
        self.base = box.url("")

    def ask(self, method: str = "GET", path: str = "/", json: object = None) -> Answer:
        began = time.monotonic()
        try:
            with requests.request(method, self.base + path, json=json, timeout=self.limit + 10) as got:
                found = got.status_code, time.monotonic() - began, got.headers.get("Retry-After", ""), got.text
        except requests.RequestException as error:
            found = 0, time.monotonic() - began, "", repr(error)
        return Answer(*found, began)

    def add(self, title: str) -> Answer:
        return self.ask("POST", self.path, {"title": title})

    def ready(self) -> dict[str, str]:
        """What /ready says of each check; of one that its worker took along when it was replaced, nothing."""
        answer = self.box.get("/ready")
        assert answer.status_code in (200, 503) or answer.status_code in self.refusals, answer.text
        found = answer.json() if answer.headers["Content-Type"] == "application/json" else {}
        assert found.get("status") == ("ok" if answer.status_code == 200 else "unavailable") or not found
        return dict(found.get("checks", {"database": "", "migrations": ""}))

    def titles(self, postgres: Postgres) -> set[str]:
        return set(postgres.execute(f"SELECT title FROM {self.table}").split("\n"))

    def processes(self) -> set[str]:
        """All of them, by number: nobody was restarted if they are the same. HEALTHCHECK's comes every 30 s."""
        lines = docker("top", self.box.name, "-eo", "pid,args").stdout.splitlines()[1:]
        return {line.split()[0] for line in lines if "/opt/flagon/healthcheck" not in line}


@contextlib.contextmanager
def stranger_image() -> Iterator[str]:
    """Made with the host's network: its packages come from the package index."""
    tag, folder = name_for(), write_files(STRANGER)
    try:
        docker("build", "--network", "host", "--force-rm", "--tag", tag, str(folder), timeout=240)
        yield tag
    finally:
        docker("rmi", "-f", tag, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def starter_in(box: Box, limit: float = DATABASE_TIMEOUT + SLACK) -> Application:
    return Application(box, "/api/notes", "notes", limit, {503})


def stranger_in(box: Box) -> Application:
    # Its own exception is its 500; 504 is ours, when TIMEOUT is over, and 502 for others of a worker that was replaced.
    return Application(box, "/notes", "titles", TIMEOUT + 5 + SLACK, {500, 502, 503, 504})


class Day:
    """An application from the first moment of a fault until it has healed."""

    def __init__(self, application: Application) -> None:
        self.application, self.over = application, threading.Event()
        self.answers: list[Answer] = []
        self.lives: list[Answer] = []
        self.acknowledged: set[str] = set()
        self.threads = [threading.Thread(target=self._write, daemon=True) for _ in range(WRITERS)]
        self.threads.append(threading.Thread(target=self._live, daemon=True))
        self.before = application.processes()
        for thread in self.threads:
            thread.start()

    def _write(self) -> None:
        while not self.over.is_set():
            title = f"title {next(_numbers)}"
            answer = self.application.add(title)
            if answer.status == 201:
                self.acknowledged.add(title)
            self.answers.append(answer)
            self.over.wait(0.05)

    def _live(self) -> None:
        while not self.over.is_set():
            self.lives.append(self.application.ask(path="/up"))
            self.over.wait(0.1)

    def since(self, moment: float) -> list[Answer]:
        return [answer for answer in list(self.answers) if answer.at > moment]

    def end(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(self.application.limit + 11)

    def figures(self) -> str:
        bad = [answer for answer in self.answers if answer.status != 201]
        counts = dict(Counter(answer.status for answer in self.answers))
        longest = max((answer.seconds for answer in bad), default=0.0)
        live = max(answer.seconds for answer in self.lives)
        return f"{self.application.table}: {counts}, longest refusal {longest:.2f} s, /up at most {live:.2f} s"

    def judge(self, postgres: Postgres) -> None:
        print(self.figures())
        application = self.application
        for live in self.lives:
            assert (live.status, live.seconds < 1) == (200, True), live
        for answer in self.answers:
            assert answer.seconds <= application.limit, answer
            assert answer.status == 201 or answer.status in application.refusals, answer
            assert answer.status != 503 or answer.retry_after, answer
            for secret in (PASSWORD, quote(PASSWORD, ""), postgres.name, "Traceback", "psycopg"):
                assert secret not in answer.text
        if not {502, 504} & {answer.status for answer in self.answers}:
            assert application.processes() == self.before
        assert self.acknowledged <= application.titles(postgres)
        logs = application.box.logs()
        assert not any(password in logs for password in (PASSWORD, quote(PASSWORD, "")))


class Days:
    """The same fault for several applications."""

    def __init__(self, days: list[Day]) -> None:
        self.days = days

    def refused(self, seconds: float = 20) -> None:
        """Each one has refused something that was sent from now on."""
        now = time.monotonic()
        for day in self.days:
            wait_until(lambda day=day: [one for one in day.since(now) if one.status != 201], seconds, "a refusal")

    def healed(self) -> None:
        """Each one takes what is sent from now on, and says that it is ready."""
        now = time.monotonic()
        for day in self.days:
            wait_until(lambda day=day: [one for one in day.since(now) if one.status == 201], HEALED, "a note")
            wait_until(lambda day=day: day.application.ready()["database"] == "ok", HEALED, "/ready")
        last = time.monotonic()
        for day in self.days:
            wait_until(lambda day=day: len(day.since(last)) > 5, HEALED, "further answers")
            late = [one for one in day.since(last) if one.status != 201]
            assert not late, late

    def ready_says(self, *words: str) -> None:
        for day in self.days:
            wait_until(lambda day=day: day.application.ready()["database"] in words, 10, f"/ready says {words}")


@contextlib.contextmanager
def bad_day(postgres: Postgres, *applications: Application) -> Iterator[Days]:
    """At the end: /up was always there, nobody waited too long, nothing acknowledged is lost, nothing was told.

    `postgres` is where the titles are afterwards.
    """
    days = Days([Day(application) for application in applications])
    try:
        yield days
    finally:
        for day in days.days:
            day.end()
    for day in days.days:
        day.judge(postgres)
