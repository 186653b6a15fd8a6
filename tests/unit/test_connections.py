"""Connections that nginx keeps: a leader serves them, a slow request frees them, a full worker passes them on."""

import os
import socket
import threading
import time

import fastcgi_client as fc
import pytest
from fastcgi_client import Box, request

from flagon.inside import fastcgi, leader
from flagon.inside.connections import Connections
from flagon.inside.siblings import Siblings


class Worker:
    """Request threads and the watch on a real listener, as worker.py starts them."""

    def __init__(self, path, application, threads=3, kept=8, siblings=None):
        self.box = Box(application, kept=kept, siblings=siblings)
        self.server = self.box.server
        self.path = str(path / "s")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self.listener.setblocking(False)
        targets = [self.server.leadership.watch]
        for _ in range(threads):
            slot = fc.Slot(fc.Board(1).memory, 0)
            targets.append(lambda slot=slot: self.server.loop(self.listener, slot))
        self.threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in self.threads:
            thread.start()
        self.wait(lambda: len(self.server.leadership.deputies) == threads - 1)

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(fc.DEADLINE)
        client.connect(self.path)
        return client

    @staticmethod
    def wait(true):
        deadline = time.monotonic() + fc.DEADLINE
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def stop(self):
        self.server.stop()
        for thread in self.threads:
            thread.join(fc.DEADLINE)
            assert not thread.is_alive()
        self.listener.close()


def asked(client, path="/", **more):
    """One request on a connection, and the bytes until the end record."""
    client.sendall(request(path=path, flags=fastcgi.KEEP_CONNECTION, **more))
    return answered(client)


def answered(client):
    data = b""
    while fastcgi.END not in data:
        piece = client.recv(65536)
        if not piece:
            break
        data += piece
    return fc.Reply(data)


def kept(worker):
    """A connection that the worker keeps. Where the machine stands still for a moment, quick requests are slow ones."""
    for _ in range(50):
        client = worker.connect()
        if not asked(client).last:
            return client
        client.close()
    pytest.fail("it keeps none")


def closed(client):
    """Whether the server has closed it; what it said before (an empty record at most) is nginx's to ignore."""
    try:
        while piece := client.recv(65536):
            assert piece == fastcgi.PING * (len(piece) // len(fastcgi.PING))
    except OSError:
        pass
    return True


@pytest.fixture
def gate():
    """Requests for /slow wait until it is set."""
    found = threading.Event()
    found.entered = threading.Event()
    yield found
    found.set()


@pytest.fixture
def application(gate):
    def answer(environ, start_response):
        if environ["PATH_INFO"].startswith("/slow"):
            gate.entered.set()
            gate.wait(fc.DEADLINE)
        start_response("200 OK", [("Content-Length", str(len(environ["PATH_INFO"])))])
        return [environ["PATH_INFO"].encode()]

    return answer


@pytest.fixture
def worker(tmp_path, application):
    found = Worker(tmp_path, application)
    yield found
    found.stop()


def test_a_connection_serves_many_requests(worker):
    for _ in range(50):
        with kept(worker) as client:
            for number in range(50):
                reply = asked(client, f"/{number}")
                assert reply.body == f"/{number}".encode()
                if reply.last:  # as in kept()
                    break
            else:
                assert len(worker.server.connections.kept) == 1
                return
    pytest.fail("none serves fifty requests")


def test_one_is_closed_if_nginx_does_not_keep(worker):
    with worker.connect() as client:
        client.sendall(request(flags=0))
        assert answered(client).last
        assert closed(client)


def test_no_more_than_the_limit_are_kept(worker):
    worker.server.connections.limit = 2
    clients = [worker.connect() for _ in range(5)]
    kept = [not asked(client).last for client in clients]
    assert kept.count(True) == 2
    for client in clients:
        client.close()


def test_a_slow_request_frees_idle_connections_and_others_are_served(worker, gate):
    idle, slow, other = kept(worker), worker.connect(), worker.connect()
    slow.sendall(request(path="/slow", flags=fastcgi.KEEP_CONNECTION))
    assert idle.recv(len(fastcgi.PING)) == fastcgi.PING  # nginx drops it: its next request goes to whoever is free
    assert asked(other, "/quick").body == b"/quick"
    gate.set()
    assert answered(slow).body == b"/slow"
    for client in (idle, slow, other):
        client.close()


@pytest.fixture
def full(tmp_path, application, gate):
    """(a worker whose only thread serves /slow, a connection that it keeps, the slow one)."""
    worker = Worker(tmp_path, application, threads=1)
    pinned, slow = kept(worker), worker.connect()
    slow.sendall(request(path="/slow", flags=fastcgi.KEEP_CONNECTION))
    assert gate.entered.wait(fc.DEADLINE)
    yield worker, pinned, slow
    gate.set()
    for client in (pinned, slow):
        client.close()
    worker.stop()


@pytest.mark.parametrize(
    "more", [{}, {"method": "POST", "body": b"x" * 100}, {"method": "POST", "body": b"x" * 200_000}]
)
def test_what_nginx_has_just_sent_goes_from_a_full_worker_to_a_free_one(full, tmp_path, application, gate, more):
    worker, pinned, slow = full
    folder = tmp_path / "other"
    folder.mkdir()
    other = Worker(folder, application, siblings=worker.server.connections.siblings)
    pinned.sendall(request(path="/quick", flags=fastcgi.KEEP_CONNECTION, **more))  # the farewell may have come
    assert answered(pinned).body == b"/quick"
    assert not gate.is_set()
    other.wait(lambda: other.server.connections.kept)  # and there the connection stays
    assert asked(pinned).body == b"/"
    gate.set()
    assert answered(slow).body == b"/slow"
    other.stop()


@pytest.mark.parametrize("passable", [True, False], ids=["passed-on", "no-room"])
def test_where_all_are_full_it_waits_for_the_first_that_is_free(full, gate, monkeypatch, passable):
    worker, pinned, _ = full
    if not passable:
        monkeypatch.setattr(worker.server.connections.siblings, "give", lambda descriptor: False)
    pinned.sendall(request("POST", path="/post", body=b"x" * 100, flags=fastcgi.KEEP_CONNECTION))
    time.sleep(0.1)
    gate.set()
    assert answered(pinned).body == b"/post"


def test_a_thread_that_is_free_again_serves_at_once(tmp_path, application, gate, monkeypatch):
    """It need not wait for the watch's next look."""
    worker = Worker(tmp_path, application, threads=1)
    pinned, slow = worker.connect(), worker.connect()
    asked(pinned)
    slow.sendall(request(path="/slow", flags=fastcgi.KEEP_CONNECTION))
    assert gate.entered.wait(fc.DEADLINE)
    worker.wait(lambda: worker.server.leadership._minding)
    monkeypatch.setattr(leader, "TICK", fc.DEADLINE * 2)
    time.sleep(0.05)  # the watch's next look lasts that long
    gate.set()
    assert answered(slow).body == b"/slow"
    assert asked(pinned).body == b"/"
    monkeypatch.undo()
    pinned.close()
    slow.close()
    worker.server.stop()


def test_connections_that_nginx_closes_are_not_passed_on(full):
    worker, pinned, _ = full
    pinned.close()
    worker.wait(lambda: not worker.server.connections.kept)
    assert worker.server.connections.siblings.take() is None


def test_many_are_on_their_way_to_whoever_is_free():
    """More than the kernel lets wait as datagrams; and what nobody takes is kept, not lost."""
    siblings = Siblings()
    ours, theirs = socket.socketpair()
    given = 0
    while given < 2000 and siblings.give(ours.fileno()):
        given += 1
    assert given > 100
    taken = [siblings.take() for _ in range(given)]
    assert siblings.take() is None
    assert not any(os.get_inheritable(descriptor) for descriptor in taken)
    for descriptor in taken:
        os.close(descriptor)
    for one in (ours, theirs, siblings):
        one.close()


def test_slow_requests_are_served_side_by_side_at_once(tmp_path):
    """No tick is lost where most requests wait: as many at once as there are threads."""

    def waits(environ, start_response):
        time.sleep(0.01)
        start_response("200 OK", [])
        return [b"x"]

    worker = Worker(tmp_path, waits, threads=4)
    done = []

    def client():
        for _ in range(30):
            with worker.connect() as connection:
                done.append(asked(connection).body)

    clients = [threading.Thread(target=client) for _ in range(4)]
    began = time.monotonic()
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(fc.DEADLINE)
    assert done == [b"x"] * 120
    assert time.monotonic() - began < 120 * 0.01 / 4 * 2.5  # one after the other it would be four times as long
    worker.stop()


def test_a_stall_does_not_make_quick_requests_slow():
    """The kernel takes the processor away for some ms, on a busy machine: quick requests do not get slow by that."""
    leadership = leader.Leadership(Connections())
    for number in range(640):
        leadership.begin(5)
        leadership.end(5, 0.03 if number % 40 == 0 else 0.00007)
    assert leadership.quick
    for _ in range(10):  # every one: these wait for something
        if leadership.quick:
            leadership.begin(5)
            leadership.end(5, 0.005)
    assert not leadership.quick


def test_new_connections_do_not_wait_until_all_kept_ones_have_been_served(tmp_path):
    """Neither all before the other: a look at the listener takes as many as a look at the kept ones."""
    served = []

    def notes(environ, start_response):
        served.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return []

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(64)
        listener.setblocking(False)
        box = Box(notes, kept=64)
        server = box.server
        server.connections.listen(listener)
        new, kept = [socket.socket(socket.AF_UNIX) for _ in range(12)], [socket.socketpair() for _ in range(40)]
        for client in new:
            client.connect(str(tmp_path / "s"))
            client.sendall(request(path="/new", flags=fastcgi.KEEP_CONNECTION))
        for client, ours in kept:
            server.connections.keep(ours.detach())
            client.sendall(request(path="/kept", flags=fastcgi.KEEP_CONNECTION))
        thread = threading.Thread(target=server.loop, args=(listener, fc.Slot(fc.Board(1).memory, 0)), daemon=True)
        thread.start()
        for client in (*new, *(pair[0] for pair in kept)):
            client.settimeout(fc.DEADLINE)
            answered(client)
            client.close()
        server.stop()
        thread.join(fc.DEADLINE)
    assert served.count("/new") == 12
    assert served.count("/kept") == 40
    assert "/new" not in served[12:]


def test_a_stop_lets_go_and_serves_what_came_in_time(worker):
    idle, busy = worker.connect(), worker.connect()
    asked(idle), asked(busy)
    began = time.monotonic()
    stopping = threading.Thread(target=worker.server.stop)
    stopping.start()
    for client in (idle, busy):
        assert client.recv(len(fastcgi.PING)) == fastcgi.PING  # each thread that leaves says so: a second may follow
    idle.close()
    reply = asked(busy, "/late")  # nginx had sent it when the farewell arrived
    assert (reply.body, reply.last) == (b"/late", True)
    busy.close()
    worker.wait(lambda: not worker.server.connections.kept)
    assert time.monotonic() - began < 1.5


def test_a_stop_just_after_a_slow_request_has_begun_leaves_nobody_waiting(tmp_path, application, gate, monkeypatch):
    """The watch has not yet looked: it goes on looking, for as long as a connection is kept."""
    monkeypatch.setattr(leader, "TICK", 0.1)
    worker = Worker(tmp_path, application)
    idle, slow = worker.connect(), worker.connect()
    asked(idle)
    slow.sendall(request(path="/slow", flags=fastcgi.KEEP_CONNECTION))
    assert gate.entered.wait(fc.DEADLINE)
    began = time.monotonic()
    worker.server.stop()
    assert asked(idle, "/late").body == b"/late"
    assert time.monotonic() - began < fc.DEADLINE / 2  # not when the slow one is over
    idle.close()
    gate.set()
    assert answered(slow).body == b"/slow"
    slow.close()
    worker.stop()


def test_one_that_is_being_kept_is_not_passed_on_meanwhile(tmp_path):
    """It would be closed between two steps, and the thread that keeps it would die of that."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    connections = Connections(8)
    connections.listen(listener)
    nginx, ours = socket.socketpair()
    nginx.sendall(request(flags=fastcgi.KEEP_CONNECTION))
    epoll, still_kept = connections._epoll, []

    class Slow:
        def register(self, *arguments):
            minding.start()
            minding.join(0.2)  # it could do all that it does in this time
            epoll.register(*arguments)

        unregister = epoll.unregister

    minding = threading.Thread(target=lambda: still_kept.append(connections.mind(0.05)))
    connections._epoll = Slow()
    connections.keep(ours.detach())
    minding.join(fc.DEADLINE)
    assert still_kept == [False]
    assert not connections.kept
    os.close(connections.siblings.take())
    nginx.close()
    listener.close()


def test_a_child_of_the_application_does_not_hold_them(worker):
    with worker.connect() as client:
        asked(client)
        worker.wait(lambda: worker.server.connections.kept)
        (descriptor,) = worker.server.connections.kept
        child = os.fork()
        if not child:
            try:
                os.fstat(descriptor)
            except OSError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert asked(client, "/still").body == b"/still"


def test_a_fork_of_the_application_does_not_keep_a_closed_connection_in_the_epoll(worker):
    with worker.connect() as client:
        asked(client)
        worker.wait(lambda: worker.server.connections.kept)
        (descriptor,) = worker.server.connections.kept
        copy = os.dup(descriptor)
    worker.wait(lambda: not worker.server.connections.kept)
    with worker.connect() as client:
        assert asked(client).body == b"/"
    os.close(copy)
