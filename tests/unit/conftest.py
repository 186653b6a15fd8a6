"""Databases for the starter's tests: a new SQLite file each, and a throwaway Postgres where its programs are found."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from app import create_app
from app.database import alembic, db
from app.settings import Database, Settings


class Server:
    """A Postgres of our own on a free port, which can be stopped (SIGSTOP) as a paused machine is."""

    def __init__(self, programs, folder):
        self.programs, self.folder = programs, folder
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.url = f"postgresql://flagon:hunter2@127.0.0.1:{self.port}"
        self.process = None

    def as_user(self):
        # Postgres refuses to run as root.
        return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}

    def make(self):
        password = self.folder / "password"
        password.write_text("hunter2")
        password.chmod(0o644)
        if os.getuid() == 0:
            shutil.chown(self.folder, "nobody")
        command = [self.programs / "initdb", "-D", self.folder / "data", "-U", "flagon", "-A", "scram-sha-256", "-N"]
        words = [*command, f"--pwfile={password}", "--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run(words, check=True, capture_output=True, cwd=self.folder, timeout=60, **self.as_user())

    def start(self):
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        self.process = subprocess.Popen(
            [self.programs / "postgres", "-D", self.folder / "data", "-p", str(self.port), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            **self.as_user(),
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                self.run("SELECT 1")
                return
            except sa.exc.OperationalError:
                assert time.monotonic() < deadline, "Postgres does not answer"
                time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGINT)  # fast: sessions are ended
        self.process.wait(20)

    def run(self, statement, database="postgres"):
        url = f"{self.url}/{database}?connect_timeout=20".replace("://", "+psycopg://")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                return connection.exec_driver_sql(statement)
        finally:
            engine.dispose()

    def signal_all(self, number):
        """To the server and each of its processes."""
        listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        for pid in [self.process.pid, *map(int, listing.stdout.split())]:
            with contextlib.suppress(ProcessLookupError):  # a session that has ended since
                os.kill(pid, number)

    def new_database(self):
        name = "test_" + secrets.token_hex(4)
        self.run(f"CREATE DATABASE {name}")
        return f"{self.url}/{name}"


@pytest.fixture(scope="session")
def postgres_server():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no Postgres programs on this machine; the image's tests run the notes on Postgres")
    folder = Path(tempfile.mkdtemp(prefix="flagon-postgres-"))
    server = Server(found[-1].parent, folder)
    try:
        server.make()
        server.start()
        yield server
        server.stop()
    finally:
        if server.process and server.process.poll() is None:
            server.process.kill()
            server.process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_app():
    """Applications with a database of their own; its connections are closed at the end."""
    made = []

    def make(url, upgrade=True, **limits):
        app = create_app(Settings(secret_key="test", database_url=url, database=Database(**limits)))
        app.testing = False  # what a client would see: error pages, not exceptions
        made.append(app)
        if upgrade:
            with app.app_context():
                alembic.upgrade()
        return app

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request, tmp_path):
    """A new, empty database of each kind."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_server").new_database()
    return f"sqlite:///{tmp_path}/app.db"


@pytest.fixture
def app(make_app, database_url):
    return make_app(database_url)
