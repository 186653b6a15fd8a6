"""kill -9 of the whole box while fifty clients write: whatever was acknowledged is there after the next start."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import requests

from .box import Box, size, wait_until
from .servers import Postgres, network, volume

CLIENTS = 50
TITLES = "import sqlite3; print(*(row[0] for row in sqlite3.connect('/data/app.db').execute('{}')), sep='\\n')"


class Writers:
    """Fifty clients that write notes until there is nobody to write to."""

    def __init__(self, base: str, round_number: int) -> None:
        self.base, self.round = base, round_number
        self.acknowledged: list[str] = []
        self.statuses: set[int] = set()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._write, args=(number,), daemon=True) for number in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _write(self, client: int) -> None:
        number = 0
        while not self.over.is_set():
            number += 1
            title = f"round {self.round} client {client} note {number}"
            note = {"title": title, "body": "x" * 500}
            try:
                with requests.post(f"{self.base}/api/notes", json=note, timeout=20) as got:
                    status = got.status_code
            except requests.RequestException:
                self.over.wait(0.05)
                continue  # cut off: nobody knows whether it was written
            self.statuses.add(status)
            if status == 201:
                self.acknowledged.append(title)
            else:
                self.over.wait(0.05)  # more than the queue takes

    def end(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(25)


def campaign(box: Box, titles: Callable[[], set[str]]) -> None:
    acknowledged: set[str] = set()
    for number in range(size(2, 20)):
        wait_until(lambda: box.get("/api/notes").status_code == 200, 20, "the notes")
        writers = Writers(box.url(""), number)
        wait_until(lambda: len(writers.acknowledged) > CLIENTS, 20, "more notes than clients")  # noqa: B023
        time.sleep(random.uniform(0, 1))
        box.kill("KILL")
        writers.end()
        acknowledged |= set(writers.acknowledged)
        assert writers.statuses <= {201, 503}
        box.start()
        wait_until(lambda: box.get("/ready").status_code == 200, 20, "/ready")
        found = titles()
        print(f"round {number}: {len(writers.acknowledged)} acknowledged, {len(found - acknowledged)} more are there")
        assert not acknowledged - found, f"{len(acknowledged - found)} acknowledged notes are lost"


def test_sqlite() -> None:
    def ask(sql: str) -> set[str]:
        return set(box.exec("python", "-c", TITLES.format(sql)).strip().split("\n"))

    def titles() -> set[str]:
        assert ask("PRAGMA integrity_check") == {"ok"}
        return ask("SELECT title FROM notes")

    with volume() as data, Box(args=["-v", f"{data}:/data"]) as box:
        campaign(box, titles)


def test_postgres() -> None:
    with (
        network() as net,
        Postgres(net) as postgres,
        Box(env={"DATABASE_URL": postgres.url()}, args=["--network", net]) as box,
    ):
        campaign(box, lambda: set(postgres.execute("SELECT title FROM notes").split("\n")))
        wait_until(lambda: postgres.connections() <= 16, 5, "the killed box's sessions to end")
