"""What does not survive a fork: open connections are found, and taken from the workers alone."""

import os
import socket

import pytest

from flagon.inside import preload


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, text, *arguments):
        self.lines.append(text % arguments)


@pytest.fixture(params=["tcp", "tcp6", "unix"])
def pair(request, tmp_path):
    """A client's connection, the server's end of it, and how a message names the server."""
    family = {"tcp": socket.AF_INET, "tcp6": socket.AF_INET6, "unix": socket.AF_UNIX}[request.param]
    address = str(tmp_path / "s") if request.param == "unix" else ("::1" if request.param == "tcp6" else "127.0.0.1", 0)
    with socket.socket(family) as listener, socket.socket(family) as client:
        listener.bind(address)
        listener.listen()
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        with server:
            server.settimeout(5)
            at = listener.getsockname()
            yield client, server, at if request.param == "unix" else f"{at[0]}:{at[1]}"


def of(client):
    return [found for found in preload.connections() if found.descriptor == client.fileno()]


def test_connections_are_found(pair):
    client, _, peer = pair
    (found,) = of(client)
    assert found.peer == peer


@pytest.mark.parametrize("timeout", [None, 3.0])
def test_looking_changes_nothing(pair, timeout):
    client, server, _ = pair
    before = os.get_blocking(client.fileno())
    socket.setdefaulttimeout(timeout)
    try:
        assert of(client)
        assert socket.getdefaulttimeout() == timeout
    finally:
        socket.setdefaulttimeout(None)
    assert os.get_blocking(client.fileno()) is before
    client.sendall(b"x")
    assert server.recv(10) == b"x"


def test_what_is_no_connection():
    with (
        socket.socket() as listener, socket.socket() as unconnected,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, open(os.devnull, encoding="utf-8") as file,
    ):  # fmt: skip
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        datagrams.connect(("127.0.0.1", 9))
        pair = socket.socketpair()
        numbers = {one.fileno() for one in (listener, unconnected, datagrams, file, *pair)}
        assert numbers.isdisjoint(found.descriptor for found in preload.connections())
        for one in pair:
            one.close()


def test_a_worker_finds_it_closed_and_the_master_does_not(pair):
    client, server, _ = pair
    (found,) = of(client)
    pid = os.fork()
    if not pid:
        preload.cut(found)
        try:
            client.settimeout(5)
            closed = client.recv(10) == b"" and not os.get_inheritable(client.fileno())
            client.sendall(b"the worker's")
        except BrokenPipeError:
            os._exit(0 if closed else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    client.sendall(b"the master's")
    assert server.recv(100) == b"the master's"


def test_another_file_that_has_its_number_stays(pair, tmp_path):
    """The master may have closed the connection since, and have opened something else in its place."""
    client, server, _ = pair
    (found,) = of(client)
    path = tmp_path / "file"
    path.write_text("text", encoding="utf-8")
    with open(path, encoding="utf-8") as file:
        other = found._replace(descriptor=file.fileno())
        preload.cut(other)
        assert file.read() == "text"


@pytest.mark.parametrize(("workers", "warned"), [(1, False), (2, True)])
def test_it_is_said(pair, workers, warned, monkeypatch):
    client, _, peer = pair
    log = Log()
    monkeypatch.setattr(preload, "freeze", lambda: None)
    preload.settle(log, workers)
    try:
        said = [line for line in log.lines if "has opened connections" in line and peer in line]
        assert bool(said) is warned is any(found.descriptor == client.fileno() for found in preload.shared)
    finally:
        preload.shared.clear()


def test_an_engine_s_connections_are_given_back_and_sqlite_in_memory_stays(monkeypatch):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from sqlalchemy.pool import StaticPool

    monkeypatch.setattr(preload, "freeze", lambda: None)
    kept = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool)
    file = sqlalchemy.create_engine("sqlite:////dev/null", pool_size=3)
    with kept.begin() as connection:
        connection.execute(sqlalchemy.text("create table t (x)"))
    held = file.pool
    try:
        preload.settle(Log(), 2)
        preload.forked()
        with kept.connect() as connection:
            assert connection.execute(sqlalchemy.text("select count(*) from t")).scalar() == 0
        assert file.pool is not held
    finally:
        preload.shared.clear()
        preload.engines.clear()
