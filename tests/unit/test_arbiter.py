"""How a reload rolls: one new worker at a time, and an old one leaves for each that has loaded."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import signal
import sys
import types

import pytest

from flagon.inside import arbiter, secret_keys
from flagon.inside.arbiter import Roll


class Master:
    """Workers that load when a test says so, and leave when they are told to."""

    def __init__(self, count):
        self.num_workers, self.worker_age, self.WORKERS = count, 0, {}
        self.signals = []
        self.cfg = types.SimpleNamespace(graceful_timeout=8)
        self.log = types.SimpleNamespace(warning=lambda text, *words: self.said.append(text % words))
        self.said = []
        for _ in range(count):
            self.spawn_worker()
            self.load()

    def spawn_worker(self):
        self.worker_age += 1
        self.WORKERS[100 + self.worker_age] = types.SimpleNamespace(age=self.worker_age, flagon_loaded=[0])

    def load(self):
        for worker in self.WORKERS.values():
            worker.flagon_loaded[0] = 1

    def kill_worker(self, pid, number):
        self.signals.append((pid, number))

    def bury(self):
        """The workers that were told to leave are gone."""
        for pid, _ in self.signals:
            self.WORKERS.pop(pid, None)


@pytest.fixture
def told(monkeypatch):
    messages = []
    send = lambda message: messages.append(message) if message["event"] == "reloaded" else None  # noqa: E731
    monkeypatch.setattr(arbiter.notice, "send", send)
    return messages


def test_one_by_one(told):
    master = Master(3)
    roll = Roll(master, set())
    for number in range(1, 4):
        assert roll.step()
        assert len(master.WORKERS) == 4  # a new one is loading
        assert roll.step()
        assert len(master.WORKERS) == 4  # no second one before it has loaded
        assert len(master.signals) == number - 1
        master.load()
        roll.step()
        assert master.signals[-1] == (100 + number, signal.SIGTERM)
        master.bury()
    assert not roll.step()
    assert sorted(master.WORKERS) == [104, 105, 106]
    assert [message["good"] for message in told] == [True]


def test_old_workers_that_take_long_to_leave_bound_the_number(told):
    master = Master(4)
    roll = Roll(master, set())
    for _ in range(20):
        roll.step()
        master.load()
        assert len(master.WORKERS) <= 4 + arbiter.ABOVE
    assert told == []
    for _ in range(20):
        master.bury()
        roll.step()
        master.load()
    assert [message["good"] for message in told] == [True]


def test_the_first_that_does_not_load_ends_it_and_all_old_ones_stay(told):
    master = Master(2)
    roll = Roll(master, set())
    roll.step()
    dead = master.WORKERS.pop(103)
    assert roll.failed(dead)
    assert [message["good"] for message in told] == [False]
    assert sorted(master.WORKERS) == [101, 102]
    assert master.signals == []


def test_a_later_one_is_tried_again(told):
    master = Master(2)
    roll = Roll(master, set())
    roll.step()
    master.load()
    roll.step()
    for number in range(1, arbiter.TRIES + 1):
        roll.step()
        newest = max(master.WORKERS)
        assert roll.failed(master.WORKERS.pop(newest)) is (number == arbiter.TRIES)
    assert [message["good"] for message in told] == [False]


def test_an_old_worker_that_dies_meanwhile_is_not_replaced_by_an_old_one(told):
    master = Master(2)
    roll = Roll(master, set())
    roll.step()
    del master.WORKERS[101]
    master.load()
    roll.step()
    assert master.signals == []  # 102 is still needed beside the new one
    assert sorted(master.WORKERS) == [102, 103, 104]


def test_a_worker_that_does_not_leave_is_killed_and_named(told, monkeypatch):
    """One that holds SIGTERM for itself held up the reload for eight minutes."""
    now = [100.0]
    monkeypatch.setattr(arbiter.time, "monotonic", lambda: now[0])
    master = Master(1)
    roll = Roll(master, set())
    roll.step()
    master.load()
    assert roll.step()
    assert master.signals == [(101, signal.SIGTERM)]
    now[0] += 9.9
    assert roll.step()
    assert master.signals == [(101, signal.SIGTERM)]
    now[0] += 0.2
    assert roll.step()
    assert master.signals[-1] == (101, signal.SIGKILL)
    assert master.said == ["worker 101 has not left 10 s after SIGTERM: it is killed"]
    master.bury()
    assert not roll.step()


def test_each_worker_that_has_loaded_is_told(monkeypatch):
    messages = []
    monkeypatch.setattr(arbiter.notice, "send", messages.append)
    master = Master(2)
    roll = Roll(master, set())
    for _ in range(6):
        roll.step()
        master.load()
        master.bury()
    assert [one["loaded"] for one in messages if one["event"] == "rolling"] == [0, 1, 2]


@pytest.mark.parametrize(("preload", "expected"), [(False, [1, 1, 3, 3]), (True, [3, 3, 3, 3])])
def test_the_first_worker_loads_alone(preload, expected):
    """Three that load at once would each find no table, and two of them fail to make it."""
    master = arbiter.Arbiter.__new__(arbiter.Arbiter)
    master.WORKERS, master._num_workers, master.worker_age = {}, 3, 0
    master.cfg = types.SimpleNamespace(preload_app=preload)
    master.spawn_worker = lambda: Master.spawn_worker(master)
    found = []
    for turn in range(4):
        master.spawn_workers()
        found.append(len(master.WORKERS))
        if turn == 1:
            Master.load(master)
    assert found == expected
    master.WORKERS = {}
    master.spawn_workers()
    assert len(master.WORKERS) == (3 if preload else 1), "all have died at once: the first again alone"


def flask(secret):
    return types.SimpleNamespace(secret_key=secret)


@pytest.mark.parametrize(("first", "second", "workers", "said"), [
    (flask(b"a"), flask(b"b"), 3, "another one in each worker"), (flask(b"a"), flask(b"b"), 1, "made anew with each"),
    (flask("a"), flask(b"a"), 3, ""), (flask(None), flask(None), 3, ""), (flask("a"), flask(None), 3, ""),
    (types.SimpleNamespace(wsgi_app=lambda: 0), flask("a"), 3, ""), (object(), flask("a"), 3, ""),
    (flask(7), flask(8), 3, "another one"), (flask("\ud800"), flask("x"), 3, "another one"),
])  # fmt: skip
def test_a_secret_that_is_made_at_import_is_seen(first, second, workers, said):
    secret_keys.forget()
    assert secret_keys.lines(first, workers) == []
    assert [said in line for line in secret_keys.lines(second, workers)] == ([True] if said else [])
    assert secret_keys.lines(first, workers) == []
    secret_keys.forget()
    assert secret_keys.lines(second, workers) == [], "a reload may bring another one"


def test_a_secret_of_django_s_is_seen(monkeypatch):
    settings = types.SimpleNamespace(configured=True, SECRET_KEY="a")
    monkeypatch.setitem(sys.modules, "django.conf", types.SimpleNamespace(settings=settings))
    secret_keys.forget()
    assert secret_keys.lines(object(), 2) == []
    settings.SECRET_KEY = "b"
    assert len(secret_keys.lines(object(), 2)) == 1
    settings.configured = False
    assert secret_keys.lines(object(), 2) == []


class WithKey:
    def __init__(self, key, **config):
        self.secret_key, self.config = key, {"SECRET_KEY": key, **config}


@pytest.mark.parametrize(("application", "home", "said"), [
    (WithKey("made"), "/data", "the generated SECRET_KEY, so every session, and any"), (WithKey(b"made"), "/data", "so every session"), (WithKey("own"), "/data", ""),
    (WithKey(None), "/data", ""), (WithKey(None, JWT_SECRET_KEY="made"), "/data", "so every session"), (object(), "/data", "if the application uses it, and any"), (WithKey("made"), "", ""),
])  # fmt: skip
def test_who_uses_the_key_that_was_made_is_told_that_it_ends(monkeypatch, application, home, said):
    monkeypatch.setenv("SECRET_KEY", "made")
    lines = secret_keys.passing(application, home)
    assert len(lines) == bool(said)
    assert said in "".join(lines)
    assert not lines or lines[0].startswith("/data is not a volume: ")
