"""A Postgres for the load that asks one: the image that the tests use, on a port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from bench.engine import PREFIX, docker, free_port

IMAGE, NAME = "flagon-test-postgres", PREFIX + "postgres"


@contextlib.contextmanager
def postgres(wanted: bool) -> Iterator[str]:
    """Its URL, once it answers; empty if none is wanted."""
    if not wanted:
        yield ""
        return
    port = free_port()
    with contextlib.suppress(RuntimeError):
        docker("rm", "--force", "--volumes", NAME)
    secrets = ("--env", "POSTGRES_PASSWORD=bench", "--env", "POSTGRES_DB=bench")
    docker("run", "--detach", "--name", NAME, *secrets, "--publish", f"127.0.0.1:{port}:5432", IMAGE)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                docker(
                    "exec",
                    "--env",
                    "PGPASSWORD=bench",
                    NAME,
                    "psql",
                    "-h",
                    "127.0.0.1",
                    "-U",
                    "postgres",
                    "-d",
                    "bench",
                    "-c",
                    "select 1",
                )
                break
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield f"postgresql://postgres:bench@127.0.0.1:{port}/bench"
    finally:
        docker("rm", "--force", "--volumes", NAME)
