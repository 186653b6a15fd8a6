"""Pieces of the plug-in that can be had without supervisord: pipes, messages, the stop budget. The rest is tests/image's."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import json
import os
import signal
import socket
import types

import pytest
from fakes import view_of_os

from flagon import deaths, identity, memory, places, stopping, supervision
from flagon.channels import Messages, Pipes, fifo, listen
from flagon.logs import Output
from flagon.site import Loaded
from flagon.supervision import Plugin
from flagon.users_nginx import UsersNginx


@pytest.fixture
def plugin(tmp_path):
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    box = types.SimpleNamespace(
        run=str(tmp_path), output=Output(True, descriptor=writing), migrate=False, sqlite="",
        closing=fifo(str(tmp_path / "closing")),
        boot=types.SimpleNamespace(debug=False, home=str(tmp_path), users=UsersNginx(), settings=types.SimpleNamespace(sources={"WEB_CONCURRENCY": "computed"})), options={"workers": 2},
        values={"DRAIN_DELAY": 0.0, "STOP_TIMEOUT": 8.0, "WORKER_MEMORY": 1, "RESTART_LIMIT": 5},
    )  # fmt: skip
    plugin = Plugin(types.SimpleNamespace(options=types.SimpleNamespace(mood=1), process_groups={}), box)
    plugin.sockets = {}
    plugin.pipes = Pipes(lambda: plugin.lines_of("gunicorn"), plugin.sockets)
    plugin.messages = Messages(listen(str(tmp_path / "events.sock")), plugin._on_message, plugin.sockets)
    plugin.wake_up = types.SimpleNamespace(now=lambda: None, at=lambda moment: None)  # SIGALRM is pytest-timeout's here
    plugin.reload = types.SimpleNamespace(look=lambda: None, gunicorn_died=lambda name: None)

    def said():
        try:
            return [json.loads(line) for line in os.read(reading, 1 << 20).splitlines()]
        except BlockingIOError:
            return []

    plugin.said = said
    yield plugin
    plugin.sockets.pop(plugin.messages._channel.fileno())
    plugin.messages._channel.close()
    for watch in list(plugin.sockets.values()):
        watch.close()
    os.close(reading)
    os.close(writing)


def test_a_workers_pipe_is_read_to_its_end(plugin):
    reading, writing = os.pipe()
    plugin._on_message({"event": "output"}, [reading])
    watch = plugin.sockets[reading]
    assert watch.readable()
    assert not watch.writable()
    os.write(writing, b"one\ntwo ")
    watch.handle_read_event()
    watch.handle_read_event()  # nothing there: no blocking
    os.write(writing, b"parts\nlast words")
    watch.handle_read_event()
    os.close(writing)
    watch.handle_read_event()
    assert [record["message"] for record in plugin.said()] == ["one", "two parts", "last words"]
    assert reading not in plugin.sockets
    assert plugin.deaths._last_words("gunicorn") == "last words"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)


@pytest.mark.parametrize(("lines", "words"), [
    (["one", "two"], "two"), ([], ""), (["Traceback (most recent call last):", "PermissionError: [Errno 13] x", "LocalTime ->", ". maxinterval -> 5.00"], "PermissionError: [Errno 13] x"),
    (["django.db.utils.OperationalError: no", "bye"], "django.db.utils.OperationalError: no"), (['{"level": "error", "message": "ValueError: a"}', "bye"], "ValueError: a"),
    (["KeyError: early", *["line"] * 30], "line"), (["Errors: none", "Terror", "done"], "done"), (["KeyError: one", "TypeError: two", "x"], "TypeError: two"),
])  # fmt: skip
def test_the_last_words_of_a_program_are_its_error(plugin, lines, words):
    joiner = plugin.lines_of("beat")
    for line in lines:
        joiner.feed(line.encode() + b"\n")
    assert plugin.deaths._last_words("beat") == words
    assert plugin.deaths._last_words("beat") == ""


def test_a_file_that_a_program_may_not_write_is_named_with_the_line_that_mends_it(plugin, tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "was_root", True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "mount_points", lambda: ["/"])
    plugin.box.values["DATA_DIR"] = "/data"
    advice = plugin.deaths._of_files("PermissionError: [Errno 13] Permission denied: 'celerybeat-schedule'")
    assert f"{tmp_path} belongs to uid {os.geteuid()}" in advice
    assert f"RUN chown {os.geteuid()} {tmp_path}. Or" in advice
    assert advice.endswith("Or keep the file in /data")
    assert plugin.deaths._of_files("ValueError: Permission denied") == ""


@pytest.mark.parametrize(("said", "code", "advice"), [
    ("mkdir: cannot create directory \u2018logs/a b\u2019: Permission denied", 1, "RUN chown {uid} {here}. Or"), ("mkdir: cannot create directory 'logs': Permission denied", 1, "RUN chown {uid} {here}. Or"),
    ("sh: 1: cannot create out.log: Permission denied", 2, "RUN chown {uid} {here}. Or"), ("bash: line 1: ./here: Permission denied", 1, "RUN chown {uid} {here}/here. Or"),
    ("sh: 1: ./here: Permission denied", 126, "may not be run: in the Dockerfile, RUN chmod +x {here}/./here"),
    ("sqlite3.OperationalError: unable to open database file", 1, "into its folder. Keep the file in /data"), ("sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) attempt to write a readonly database", 1, "Keep the file in /data"),
    ("connection to the server: Permission denied", 1, ""), ("it is over", 126, ""),
])  # fmt: skip
def test_a_shell_s_and_sqlite_s_words_for_it(plugin, tmp_path, monkeypatch, said, code, advice):
    monkeypatch.setattr(identity, "was_root", True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "mount_points", lambda: ["/"])
    plugin.box.values["DATA_DIR"] = "/data"
    (tmp_path / "here").touch()
    told = plugin.deaths._of_files(said, code)
    assert advice.format(uid=os.geteuid(), here=tmp_path) in told
    assert bool(told) is bool(advice)


def test_the_last_lines_of_all_pipes_are_not_lost(plugin):
    writers = []
    for number in range(3):
        reading, writing = os.pipe()
        writers.append(writing)
        plugin._on_message({"event": "output"}, [reading])
        os.write(writing, b"line %d\nrest %d" % (number, number))
    os.close(writers[0])
    plugin.finish_logs()
    assert sorted(record["message"] for record in plugin.said()) == sorted(
        f"{word} {number}" for word in ("line", "rest") for number in range(3)
    )
    for writing in writers[1:]:
        os.close(writing)


def test_messages_by_datagram(plugin, tmp_path):
    assert os.stat(tmp_path / "events.sock").st_mode & 0o777 == 0o600
    ready = []
    plugin.port.loaded = lambda told: ready.append(list(told.routes))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.connect(str(tmp_path / "events.sock"))
        peer.send(b"junk")
        peer.send(json.dumps({"event": "unknown"}).encode())
        peer.send(json.dumps({"event": "ready", "pid": 77, "routes": ["/up"]}).encode())
        reading, writing = os.pipe()
        socket.send_fds(peer, [json.dumps({"event": "output"}).encode()], [reading])
        os.close(reading)
    plugin.messages.read()
    assert ready == [["/up"]]
    assert plugin.memory.workers == {77}
    os.write(writing, b"through the passed pipe\n")
    os.close(writing)
    plugin.pipes.drain()
    assert [record["message"] for record in plugin.said()] == ["through the passed pipe"]


@pytest.mark.parametrize(
    "text", [b"[]", b"5", b"null", b'"x"', b'{"event": "ready"}', b'{"event": "ready", "pid": "x"}', b"\xff"]
)
def test_junk_on_the_channel_does_not_end_the_box(plugin, tmp_path, text):
    """The application's user may write to this socket, on purpose or not."""
    plugin.port.loaded = lambda routes, migrations: None
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.connect(str(tmp_path / "events.sock"))
        peer.send(text)
    plugin.messages.read()


def test_what_failed_is_said_once_for_all_workers(plugin):
    for _ in range(3):
        plugin._on_message({"event": "failed", "message": "no module named shop"}, [])
    (record,) = plugin.said()
    assert (record["level"], record["message"]) == ("critical", "no module named shop")


def test_the_end_stops_supervisord_with_the_code(plugin):
    plugin.end(137, "gunicorn was killed")
    assert plugin.exit_code == 137
    assert [record["message"] for record in plugin.said()] == ["gunicorn was killed"]
    assert plugin.stop.under_way


def view_of_time(monkeypatch, **functions):
    """For our modules alone: pytest needs the real one."""
    for module in (supervision, stopping, deaths):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(**functions))


def budget_of(plugin, name):
    process = types.SimpleNamespace(config=types.SimpleNamespace(name=name), delay=0)
    plugin.stop.give_budget(types.SimpleNamespace(process=process))
    return process.delay - 5000


@pytest.mark.parametrize(("gone", "left"), [(0, 8), (3, 5), (7.9, 0.5), (60, 0.5)])
def test_stop_budget(plugin, monkeypatch, gone, left):
    now = [1000.0]
    view_of_time(monkeypatch, monotonic=lambda: now[0], time=lambda: 5000)
    assert plugin.stop.signal(signal.SIGTERM) == signal.SIGTERM
    now[0] += gone
    assert budget_of(plugin, "nginx") == left
    assert budget_of(plugin, "gunicorn") == left


@pytest.mark.parametrize(("gone", "ended"), [(0, False), (6.9, False), (7.1, True)])
def test_a_second_before_the_end_gunicorn_is_ended_for_nginx_to_answer(plugin, monkeypatch, gone, ended):
    now, killed = [1000.0], []
    view_of_time(monkeypatch, monotonic=lambda: now[0], time=lambda: 5000)
    view_of_os(monkeypatch, stopping, killpg=lambda *arguments: killed.append(arguments))
    plugin.process = lambda name: types.SimpleNamespace(pid={"nginx": 11, "gunicorn": 22}[name])
    plugin._real_get_signal = lambda: None
    plugin._get_signal()
    assert killed == []  # nobody stops it
    plugin.stop.signal(signal.SIGTERM)
    now[0] += gone
    plugin._get_signal()
    assert killed == ([(22, signal.SIGKILL)] if ended else [])


@pytest.mark.parametrize(("budget", "delay", "late"), [(8, 0, 7), (8, 3, 7), (1, 0, 0.5), (6, 5.5, 5.75)])
def test_late_is_never_before_the_drain_is_over(plugin, budget, delay, late):
    plugin.box.values.update(STOP_TIMEOUT=budget, DRAIN_DELAY=delay)
    assert plugin.stop._late_after() == late


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_is_held_back_for_the_drain_delay(plugin, tmp_path, monkeypatch, number):
    now = [1000.0]
    view_of_time(monkeypatch, monotonic=lambda: now[0], time=lambda: 5000)
    plugin.box.values["DRAIN_DELAY"] = 5.0
    plugin.port.told = (Loaded(), False)
    signals = [number]
    plugin._real_get_signal = lambda: signals.pop() if signals else None
    assert plugin._get_signal() is None
    assert (tmp_path / "draining").exists()
    now[0] += 4.9
    assert plugin._get_signal() is None
    now[0] += 0.2
    assert plugin._get_signal() == number
    assert plugin._get_signal() is None


def test_before_it_serves_there_is_nothing_to_drain(plugin):
    plugin.box.values["DRAIN_DELAY"] = 5.0
    assert plugin.stop.signal(signal.SIGTERM) == signal.SIGTERM


def test_hup_reloads_and_other_signals_pass(plugin):
    reloads = []
    plugin.reload.request = lambda: reloads.append(1)
    plugin.process = lambda name: types.SimpleNamespace(pid=22)
    signals = [signal.SIGHUP, signal.SIGUSR2, None]
    plugin._real_get_signal = lambda: signals.pop(0)
    assert plugin._get_signal() is None
    assert reloads == [1]
    assert plugin._get_signal() == signal.SIGUSR2
    assert plugin._get_signal() is None


@pytest.mark.parametrize(
    ("earlier", "limit", "pause"), [(0, 5, 0), (1, 5, 0.5), (2, 5, 1), (3, 5, 2), (4, 5, 4), (5, 6, 5), (50, 100, 0.3)]
)
def test_the_pause_before_a_restart_doubles_within_half_the_window(earlier, limit, pause):
    assert deaths.pause(earlier, limit) == pause
    assert sum(deaths.pause(number, limit) for number in range(limit)) <= deaths.WINDOW / 2


@pytest.mark.parametrize(
    ("status", "how", "code", "like_a_stop"),
    [(0, "ended with code 0", 1, True), (3, "ended with code 3", 3, False), (-9, "was killed by SIGKILL", 137, False),
     (-15, "was killed by SIGTERM", 143, True), (-34, "was killed by SIGRTMIN", 162, False), (-40, "was killed by signal 40", 168, False)],
)  # fmt: skip
def test_how_a_program_ended(status, how, code, like_a_stop):
    death = deaths.Death("nginx", status)
    assert (death.how, death.code, death.like_a_stop) == (how, code, like_a_stop)


def test_workers_that_lose_their_threads_count_as_deaths(plugin, monkeypatch):
    """A worker that is replaced for ever is no box that serves."""
    now = [100.0]
    monkeypatch.setattr(deaths.time, "monotonic", lambda: now[0])
    for _ in range(5):
        plugin._on_message({"event": "worker lost", "code": 70, "pid": 1}, [])
    assert plugin.exit_code is None
    now[0] += deaths.WINDOW + 1
    for _ in range(5):
        plugin._on_message({"event": "worker lost", "code": 70, "pid": 1}, [])
    assert plugin.exit_code is None
    plugin._on_message({"event": "worker lost", "code": 70, "pid": 1}, [])
    assert plugin.exit_code == 70
    assert "6 times in 60 s" in plugin.said()[-1]["message"]


@pytest.mark.parametrize("code", ["70", None, 0, -3, 1000])
def test_a_code_that_no_program_ends_with_is_taken_as_1(plugin, code):
    for _ in range(6):
        plugin._on_message({"event": "worker lost", "code": code}, [])
    assert plugin.exit_code == 1


def test_memory_is_warned_of_once(plugin, monkeypatch):
    plugin.memory.workers = {os.getpid(), 2**22 + 1}
    monkeypatch.setattr(memory, "proportional_set_size", lambda pid: 99)
    plugin.memory.look()
    assert plugin.said() == []  # not before it serves
    plugin.port.told = (Loaded(), False)
    for _ in range(2):
        plugin.memory.next_look = 0
        plugin.memory.look()
    (record,) = plugin.said()
    assert "99 MB" in record["message"]
    assert "WORKER_MEMORY=99" in record["message"]
    assert plugin.memory.workers == {os.getpid()}


@pytest.mark.parametrize("source", ["command line", "environment", "Procfile", "flask is one process", ""])
def test_memory_is_no_advice_where_it_changes_no_number_or_at_a_stop(plugin, monkeypatch, source):
    plugin.memory.workers = {os.getpid()}
    monkeypatch.setattr(memory, "proportional_set_size", lambda pid: 99)
    plugin.port.told = (Loaded(), False)
    if source:
        plugin.box.boot.settings.sources["WEB_CONCURRENCY"] = source
    else:
        plugin.stop.began = 1.0
    plugin.memory.look()
    assert plugin.said() == []


def test_proportional_set_size():
    assert 1 < memory.proportional_set_size(os.getpid()) < 10_000
    assert memory.proportional_set_size(2**22 + 1) == 0


NGINX_LINE = b'2026/11/22 19:26:07 [emerg] 12#12: unknown directive "x" in /app/nginx/server.d/a.conf:3\n'


BIND = b"2026/11/22 19:26:07 [emerg] 12#12: bind() to [::]:80 failed (98: Address already in use)\n"
STILL = b"2026/11/22 19:26:09 [emerg] 12#12: still could not bind()\n"


@pytest.mark.parametrize(
    ("line", "status", "code", "message"),
    [
        (NGINX_LINE, 1, 78, 'nginx cannot start: unknown directive "x" in /app/nginx/server.d/a.conf:3: the container ends with code 78'),
        (BIND + BIND + STILL, 1, 78, "nginx cannot start: bind() to [::]:80 failed (98: Address already in use): the"),
        (NGINX_LINE.replace(b"emerg", b"error"), 1, None, "nginx ended with code 1: restarted; its last line: "),
        (b"", -9, None, "nginx was killed by SIGKILL: restarted"),
    ],
)  # fmt: skip
def test_nginx_that_cannot_start_at_all_is_not_tried_again(plugin, line, status, code, message):
    plugin.port.told = (Loaded(), False)  # as it is from the moment that nginx is started
    plugin.lines_of("nginx").feed(line)
    process = types.SimpleNamespace(config=types.SimpleNamespace(name="nginx"), pid=2**22 + 1)
    plugin.said()
    for _ in range(2):  # the second death of one that has been restarted is a death as any other
        plugin.deaths._judge(process, deaths.Death("nginx", status))
        assert plugin.exit_code == code
        said = plugin.said()[-1]["message"]
        assert said.startswith(message)
        if code:
            return
        plugin.lines_of("nginx").feed(NGINX_LINE)
        message = "nginx "


def test_a_line_of_long_ago_is_no_last_line_and_a_workers_is_not_the_masters(plugin, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(deaths.time, "monotonic", lambda: now[0])
    process = types.SimpleNamespace(config=types.SimpleNamespace(name="beat"), pid=2**22 + 1)
    plugin.port.told = (Loaded(), False)
    plugin.lines_of("beat").feed(b"ValueError: of the morning\n")
    now[0] += 6
    plugin.deaths._judge(process, deaths.Death("beat", 3))
    assert plugin.said()[-1]["message"] == "beat ended with code 3: restarted"
    plugin.lines_of("beat").feed(b"ready\nno more disk\n")
    now[0] += 1
    plugin.deaths._judge(process, deaths.Death("beat", 3))
    assert plugin.said()[-1]["message"].endswith("; its last line: no more disk")
    plugin.lines_of("gunicorn").feed(b"of the master\n")
    plugin.lines_of("gunicorn", of_child=True).feed(b"TypeError: a request's\n")
    assert plugin.deaths._last_words("gunicorn", killed=True) == "of the master"
    plugin.lines_of("gunicorn", of_child=True).feed(b"TypeError: while it loads\n")
    assert plugin.deaths._last_words("gunicorn") == "TypeError: while it loads"
    plugin.lines_of("nginx").feed(b"2026/11/22 19:26:07 [error] 12#12: *3 a request failed\n")
    assert plugin.deaths._last_words("nginx") == ""


def test_a_run_that_is_done_leaves_no_last_line_to_the_next(plugin):
    process = types.SimpleNamespace(config=types.SimpleNamespace(name="once"), pid=2**22 + 1)
    plugin.deaths._one_shots["once"] = [0]
    plugin.lines_of("once").feed(b"done well\n")
    plugin.deaths.ended(process, 0)
    assert plugin.deaths._last_words("once") == ""


def test_a_program_that_the_kernel_killed_for_memory_is_said_to_be(plugin, monkeypatch):
    monkeypatch.setattr(deaths.oom, "more", lambda: True)
    plugin.lines_of("gunicorn").feed(b"as always\n")
    process = types.SimpleNamespace(config=types.SimpleNamespace(name="gunicorn"), pid=2**22 + 1)
    plugin.deaths._judge(process, deaths.Death("gunicorn", -9))
    assert plugin.exit_code == 137
    said = plugin.said()[-1]["message"]
    assert (
        "gunicorn was killed by SIGKILL before it served: the container ends with code 137; the kernel killed it for want of memory (OOM): "
        in said
    )
    assert "as always" not in said
