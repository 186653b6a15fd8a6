"""When nginx starts, with which fragments, and when it is told anew."""

import os
import signal
import types

import pytest

from flagon.port import Port
from flagon.site import Loaded
from flagon.users_nginx import UsersNginx


class Nginx:
    def __init__(self):
        self.pid, self.spawned = 0, 0

    def spawn(self):
        self.pid, self.spawned = os.getpid(), self.spawned + 1


@pytest.fixture
def reloads(monkeypatch):
    sent = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(number))
    return sent


said = []


def make(tmp_path, migrate):
    written, nginx = [], Nginx()
    said.clear()
    box = types.SimpleNamespace(
        migrate=migrate,
        run=str(tmp_path),
        objections=lambda told, gated: [f"nginx: {path}" for path in told.routes if path == "/bad"],
        write_fragments=lambda told, gated: written.append((list(told.routes), gated)),
        boot=types.SimpleNamespace(home=str(tmp_path), users=UsersNginx()),
        output=types.SimpleNamespace(record=lambda *words: said.append(words)),
        ready_line=lambda: "",
    )
    return Port(box, lambda: nginx), nginx, written


def test_without_migrations_it_opens_when_the_application_is_loaded(tmp_path, reloads):
    port, nginx, written = make(tmp_path, migrate=False)
    port.loaded(Loaded(("/up",)))
    assert (nginx.spawned, written, reloads) == (1, [(["/up"], False)], [])


@pytest.mark.parametrize("schema_first", [True, False])
def test_a_schema_at_head_is_never_seen_from_outside(tmp_path, reloads, schema_first):
    port, nginx, written = make(tmp_path, migrate=True)
    steps = [lambda: port.migration("done"), lambda: port.loaded(Loaded())]
    first, second = steps if schema_first else steps[::-1]
    first()
    assert nginx.spawned == 0
    second()
    assert (nginx.spawned, written, reloads) == (1, [([], False)], [])


def test_a_schema_behind_opens_the_port_with_the_gate_shut_and_opens_it_once(tmp_path, reloads):
    port, nginx, written = make(tmp_path, migrate=True)
    (tmp_path / "migration").write_text("migrating")
    port.loaded(Loaded())
    port.migration("waiting")  # the database is away
    port.migration("migrating")
    assert (nginx.spawned, written, reloads) == (1, [([], True)], [])
    assert (tmp_path / "migration").exists()
    port.migration("done")
    port.migration("done")
    assert (nginx.spawned, written[-1], reloads) == (1, ([], False), [signal.SIGHUP])
    assert not (tmp_path / "migration").exists()


def test_a_quick_migration_holds_the_port_and_a_long_one_does_not(tmp_path, reloads, monkeypatch):
    port, nginx, written = make(tmp_path, migrate=True)
    port.loaded(Loaded())
    port.migration("migrating")
    port.look()
    assert nginx.spawned == 0
    monkeypatch.setattr("flagon.port.HOLD", 0.0)
    port.look()
    assert (nginx.spawned, written) == (1, [([], True)])


def test_a_database_that_says_nothing_does_not_keep_the_port_shut(tmp_path, reloads, monkeypatch):
    port, nginx, written = make(tmp_path, migrate=True)
    port.loaded(Loaded())
    port.look()
    assert nginx.spawned == 0
    monkeypatch.setattr("flagon.port.HOLD", 0.0)
    port.look()
    assert (nginx.spawned, written) == (1, [([], True)])


def test_a_reload_while_the_database_is_away_does_not_shut_the_gate(tmp_path, reloads):
    port, nginx, written = make(tmp_path, migrate=True)
    port.loaded(Loaded())
    port.migration("done")
    port.migration("waiting")
    assert not port.shut
    assert not (tmp_path / "migration").exists()
    port.migration("migrating")  # the new code's migration really runs
    assert written[-1] == ([], True)
    assert (tmp_path / "migration").read_text() == "migrating"


def test_new_routes_after_a_reload_are_told(tmp_path, reloads):
    port, nginx, written = make(tmp_path, migrate=False)
    port.loaded(Loaded())
    port.loaded(Loaded())
    assert reloads == []
    port.loaded(Loaded(("/up",)))
    assert (written[-1], reloads) == ((["/up"], False), [signal.SIGHUP])


def test_what_nginx_would_refuse_is_not_written_and_the_old_goes_on(tmp_path, reloads):
    port, nginx, written = make(tmp_path, migrate=False)
    port.loaded(Loaded())
    for _ in range(2):  # two workers
        port.loaded(Loaded(("/bad",)))
    assert (written, reloads, port.application) == ([([], False)], [], Loaded())
    (line,) = [words for words in said if words[1] == "error"]
    assert line[2].startswith("nginx: /bad: nginx goes on as it is")
    port.loaded(Loaded(("/up",)))
    assert (written[-1], reloads) == ((["/up"], False), [signal.SIGHUP])


def test_a_folder_that_is_left_to_the_application_is_named_once(tmp_path, reloads):
    port, nginx, written = make(tmp_path, migrate=False)
    for _ in range(3):
        port.loaded(Loaded(lines=("static files below '/x'",)))
    assert [words[1:] for words in said if "static" in words[2]] == [("warning", "static files below '/x'")]
