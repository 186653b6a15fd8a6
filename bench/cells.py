"""What is measured: a load and a server. Not every load with every server: forty at most."""

from __future__ import annotations

from typing import NamedTuple


class Cell(NamedTuple):
    """One row of the report."""

    load: str
    server: str
    workers: int = 2
    connections: int = 16

    @property
    def variant(self) -> str:
        """The server, and what is unusual about it."""
        more = "" if self.workers == 2 else f", {self.workers} workers"
        more += "" if self.connections == 16 else f", {self.connections} connections"
        return self.server + more

    @property
    def name(self) -> str:
        return f"{self.load} / {self.variant}"


def of(load: str, *servers: str) -> list[Cell]:
    return [Cell(load, server) for server in servers]


CELLS = [
    *of(
        "plain", "flagon", "uwsgi-old", "uwsgi", "sync", "gthread", "sync-nginx", "gthread-nginx", "granian", "waitress"
    ),
    *of("plain", "nginx", "loop"),
    *of("hello", "flagon", "uwsgi-old", "uwsgi", "sync-nginx", "gthread-nginx", "granian", "flask", "loop"),
    *of("json", "flagon"),
    *of("database", "flagon", "uwsgi", "gthread-nginx"),
    *of("post", "flagon", "uwsgi"),
    *of("static", "flagon", "uwsgi-old", "nginx"),
    *of("compressed", "flagon"),
    *of("cacheable", "flagon", "uwsgi"),
    *of("slow-clients", "flagon"),
    *of("beside-slow", "flagon", "uwsgi", "gthread-nginx"),
    *of("beside-slow-paced", "flagon", "uwsgi"),
    Cell("hello", "flagon", connections=1),
    Cell("hello", "flagon", connections=512),
    Cell("hello", "flagon", workers=8),
]
QUICK = [
    *of("plain", "flagon", "uwsgi-old", "uwsgi", "sync-nginx", "gthread-nginx", "nginx"),
    *of("hello", "flagon", "uwsgi-old", "uwsgi", "sync-nginx", "gthread-nginx"),
    *of("database", "flagon", "uwsgi"),
    *of("static", "flagon", "nginx"),
    *of("beside-slow", "flagon", "uwsgi"),
]
