"""What runs around this application, as facts for the welcome page. A fact that is not known is empty."""

from __future__ import annotations

import os
import platform
import socket
import time
from importlib.metadata import version

from . import settings
from .settings import Settings

BORN = time.time()
ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "postgres": "PostgreSQL", "mysql": "MySQL"}


class Stack:
    """FLAGON_SUMMARY in words. Its values are not trusted: a wrong type counts as unknown."""

    def __init__(self, given: Settings) -> None:
        self.summary = given.flagon_summary
        self.flagon = given.flagon_version
        self.python = platform.python_version()
        self.flask = version("flask")
        self.gunicorn = self.text("gunicorn")
        self.nginx = self.text("nginx")
        self.supervisor = self.text("supervisor")
        self.workers = self.number("workers")
        self.threads = self.number("threads")
        self.workers_why = self.text("workers_why")
        self.wire = self.text("wire") or self.text("worker_class")
        self.user = self.number("uid") or process_user()
        self.hostname = socket.gethostname()
        self.uptime = human_duration(time.time() - self.started_at())
        self.data_dir = self.text("data_dir") or "/data"
        self.database_url = given.database_shown
        self.database, self.database_place = describe_database(self.database_url)
        self.data_is_lost = self.database == "SQLite" and self.summary.get("data_is_volume") is False

    def text(self, key: str) -> str:
        return settings.text(self.summary, key)

    def number(self, key: str) -> str:
        value = self.summary.get(key)
        return str(value) if type(value) is int and value >= 0 else ""

    def started_at(self) -> float:
        value = self.summary.get("started_at")
        if isinstance(value, (int, float)) and 1 < value <= time.time():
            return value
        return BORN


def process_user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else ""


def describe_database(url: str) -> tuple[str, str]:
    """The engine's name, and the file or host that has the data."""
    scheme, _, rest = url.partition("://")
    engine = scheme.partition("+")[0]
    if engine == "sqlite":
        return ENGINES[engine], rest.removeprefix("/") or "in memory"
    return ENGINES.get(engine, engine), rest.rpartition("@")[2].partition("/")[0] or "local socket"


def human_duration(seconds: float) -> str:
    """Its two largest units: 3 days 4 hours, 12 minutes 5 seconds."""
    rest = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        amount, rest = divmod(rest, size)
        if amount or parts:
            parts.append(f"{amount} {unit}" + ("" if amount == 1 else "s"))
    return " ".join(part for part in parts[:2] if not part.startswith("0 ")) or "0 seconds"
