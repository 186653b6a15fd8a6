"""A terminal of its own, on this machine: a program at a terminal starts another one, which leaves it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import time

import pytest
from fakes import view_of_os

from flagon import identity, terminal

PARTS = """
import os, signal, sys, time
sys.path.insert(0, os.getcwd())
from flagon import identity, terminal
signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests may have it ignored, and so would this
def leave():
    before = os.getppid()
    terminal.leave(os.getuid())
    assert os.getppid() != before and os.getsid(0) == os.getpid()
def names():
    return [os.ttyname(fd) if os.isatty(fd) else "-" for fd in range(3)]
def controlling():
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
        return True
    except OSError:
        return False
"""


class Operator:
    """Who sits before a terminal, in which /bin/sh runs a program of ours and says its exit code."""

    def __init__(self, program, words="{}"):
        code = PARTS + textwrap.dedent(program)
        self.pid, self.master = pty.fork()
        if not self.pid:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 90, 0, 0))
            inner = words.format('"$0" -c "$1"')
            os.execv(
                "/bin/sh",
                ["sh", "-c", f"{inner}; echo code $?; stty -a; read line; echo got $line", sys.executable, code],
            )
        self.shown = ""

    def until(self, pattern, seconds=20):
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.shown)):
            left = deadline - time.monotonic()
            assert left > 0, self.shown
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.shown += os.read(self.master, 65536).decode()
                except OSError:
                    pytest.fail(f"the end, without {pattern!r}: {self.shown}")
        self.shown = self.shown[found.end() :]
        return found

    def type(self, text):
        os.write(self.master, text.encode())

    def ends(self, code):
        """The terminal is as it was, and what is typed reaches who was there before."""
        self.until(rf"code {code}\r\n")
        self.until(r" icanon ")
        self.until(r" echo ")
        self.type("a line\n")
        self.until("got a line")

    def close(self):
        os.close(self.master)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def operator():
    begun = []

    def begin(*arguments):
        begun.append(Operator(*arguments))
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


def test_a_terminal_of_its_own(operator):
    one = operator(
        "first = names(); leave(); print('was', *first, 'is', *names(), os.get_terminal_size(), controlling())"
    )
    found = one.until(r"was (\S+) (\S+) (\S+) is (\S+) (\S+) (\S+) \S+columns=90, lines=31\) True\r\n")
    assert len({found[1], found[2], found[3]}) == len({found[4], found[5], found[6]}) == 1
    assert found[1] != found[4]
    one.ends(0)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("echo x | {}", "- T T False"), ("{} </dev/null", "- T T False"), ("{} | cat", "- - T False"),
        ("{} 2>/dev/null | cat", "- - - False"), ("{} </dev/null 2>&1 | cat", "- - - False"),
        ("{} 2>/dev/null", "T T - True"), ("{} <&-", "- T T False"), ("{} </dev/null 3<&1 2>&1 | cat", "- - - False"),
    ],
)  # fmt: skip
def test_what_is_no_terminal_stays(operator, words, shown):
    one = operator(
        """
        leave()
        assert not [fd for fd in range(3, 100) if os.isatty(fd)]
        print(*("-" if name == "-" else "T" for name in names()), controlling())
        """,
        words,
    )
    one.until(shown + "\r\n")
    one.ends(0)


@pytest.mark.parametrize(
    ("last", "code"),
    [
        ("sys.exit(7)", 7), ("os.kill(os.getpid(), 9)", 137), ("os.kill(os.getpid(), 15)", 143), ("1 / 0", 1),
        ("os.execvp('sh', ['sh', '-c', 'exit 3'])", 3), ("os.close(0); os.close(1); os.close(2); time.sleep(0.3)", 0),
    ],
)  # fmt: skip
def test_exit_codes(operator, last, code):
    operator("leave(); " + last).ends(code)


def test_typed_lines_end_of_file_and_interrupts(operator):
    one = operator(
        """
        leave()
        for line in sys.stdin: print('line', line.strip()[::-1], flush=True)
        try:
            print('end of file', flush=True)
            time.sleep(20)
        except KeyboardInterrupt: sys.exit(9)
        """
    )
    time.sleep(0.3)
    one.type("abc\n")
    one.until("line cba")
    one.type("\x04")
    one.until("end of file")
    one.type("\x1a\x03")
    one.ends(9)


@pytest.mark.parametrize("words", ["{}", "{} | cat", "{} </dev/null"])
@pytest.mark.parametrize("number", [1, 2, 3, 10, 12, 15])
def test_signals(operator, words, number):
    one = operator(
        f"""
        leave()
        signal.signal({number}, lambda number, _: (os.write(1, b'signal %d\\n' % number), os._exit(5)))
        print('relay', os.getppid(), flush=True)
        time.sleep(20)
        """,
        words,
    )
    os.kill(int(one.until(r"relay (\d+)\r?\n")[1]), number)
    one.until(f"signal {number}")
    one.ends(0 if "cat" in words else 5)


def test_the_window_s_size(operator):
    one = operator(
        """
        leave()
        signal.signal(signal.SIGWINCH, lambda *_: (os.write(1, b'now %d %d\\n' % os.get_terminal_size()), os._exit(0)))
        print('ready', flush=True)
        time.sleep(20)
        """
    )
    one.until("ready")
    fcntl.ioctl(one.master, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 70, 0, 0))
    one.until("now 70 20")
    one.ends(0)


def test_output_before_the_end_is_shown_and_later_output_holds_nobody(operator):
    one = operator(
        """
        leave()
        os.write(1, b'x' * 3000 + b'all\\n')
        if not os.fork():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            try:
                while True: os.write(1, b'later')
            finally: os._exit(0)
        os._exit(4)
        """
    )
    one.until("x{3000}(later)*all")
    one.ends(4)


def test_more_is_typed_than_is_read(operator):
    one = operator(
        """
        import tty
        leave()
        tty.setraw(0)
        print('ready', flush=True)
        for _ in range(100): os.write(1, b'y' * 10000)
        left = 100000
        while left: left -= len(os.read(0, left))
        print('enough', flush=True)
        """
    )
    one.until("ready")
    os.set_blocking(one.master, False)
    left = 100000
    while left:
        try:
            left -= os.write(one.master, b"z" * min(left, 1000))
        except BlockingIOError:
            one.shown += os.read(one.master, 65536).decode() if select.select([one.master], [], [], 0.01)[0] else ""
    os.set_blocking(one.master, True)
    one.until("enough")
    one.ends(0)


def test_the_parent_goes_no_further(monkeypatch, capfd):
    """Root's side ends here, also where the relay itself fails."""
    ended = []
    monkeypatch.setattr(terminal, "Relay", lambda *_: 1 / 0)
    view_of_os(monkeypatch, terminal, _exit=ended.append, isatty=lambda _: True)
    terminal._stay(1, None, None, None, 0)
    assert ended == [1]
    assert "ZeroDivisionError" in capfd.readouterr().err


# -- when


@pytest.mark.parametrize(
    ("leads", "terminals", "controlling", "there_is_one", "shared"),
    [
        (True, (), (), False, False), (True, (0, 1, 2), (0, 1, 2), True, False), (True, (0, 1), (), False, True),
        (False, (0, 1, 2), (0, 1, 2), True, True), (False, (2,), (2,), True, True), (False, (), (), True, True),
        (False, (), (), False, False),
    ],
)  # fmt: skip
def test_a_terminal_is_shared(monkeypatch, leads, terminals, controlling, there_is_one, shared):
    def foreground(number):
        if number not in controlling:
            raise OSError
        return 1

    def open_it(path, flags):
        assert path == "/dev/tty"
        if not there_is_one:
            raise OSError
        return os.open(os.devnull, flags)

    view_of_os(
        monkeypatch, identity, getsid=lambda _: 5, getpid=lambda: 5 if leads else 6, isatty=lambda fd: fd in terminals,
        tcgetpgrp=foreground, open=open_it,
    )  # fmt: skip
    assert identity._shares_terminal() is shared


@pytest.mark.parametrize(
    ("session", "parent", "foreground", "init"),
    [(1, 1, True, True), (1, 1, False, False), (1, 7, True, False), (7, 1, True, False), (7, 7, True, False)],
)
def test_an_init_is_no_reader(monkeypatch, session, parent, foreground, init):
    view_of_os(
        monkeypatch, terminal, getsid=lambda _: session, getppid=lambda: parent,
        tcgetpgrp=lambda _: os.getpid() if foreground else 1,
    )  # fmt: skip
    with open("/proc/1/comm", encoding="utf-8") as file:
        monkeypatch.setattr(terminal, "INITS", (file.read().strip(),))
    assert terminal._is_below_an_init(0) is init
    monkeypatch.setattr(terminal, "INITS", ("another",))
    assert not terminal._is_below_an_init(0)


def test_it_is_left_before_root_is(monkeypatch, tmp_path):
    """Afterwards the application could reach the process that has both."""
    called = []
    view_of_os(
        monkeypatch, identity, geteuid=lambda: 0, setgroups=lambda _: called.append("setgroups"),
        setgid=lambda _: called.append("setgid"), setuid=lambda _: called.append("setuid"),
    )  # fmt: skip
    monkeypatch.setattr(identity, "_shares_terminal", lambda: True)
    monkeypatch.setattr(identity, "_prepare", lambda *_: called.append("prepare"))
    monkeypatch.setattr(identity, "was_root", False)
    monkeypatch.setattr(terminal, "leave", lambda uid: called.append(("leave", uid)))
    identity.become({})
    assert called == ["prepare", ("leave", 10001), "setgroups", "setgid", "setuid"]
    called.clear()
    identity.become({}, only_drop=True)
    assert called == ["setgroups", "setgid", "setuid"]
    called.clear()
    identity.become({"RUN_AS": "root"})
    assert called == []


def test_without_a_pseudo_terminal_nothing_runs(monkeypatch):
    """The application can use them up."""

    def none_left(uid):
        raise OSError(28, "No space left on device")

    view_of_os(monkeypatch, identity, geteuid=lambda: 0, setuid=lambda _: pytest.fail("goes on"))
    monkeypatch.setattr(identity, "_shares_terminal", lambda: True)
    monkeypatch.setattr(identity, "_prepare", lambda *_: None)
    monkeypatch.setattr(identity, "was_root", False)
    monkeypatch.setattr(terminal, "leave", none_left)
    with pytest.raises(identity.CannotDrop, match="no terminal of its own for uid 10001: No space left"):
        identity.become({})


def test_identity_does_not_import_it():
    """It is paid by whom it helps: identity runs at each start and at each HEALTHCHECK."""
    code = (
        "import sys; from flagon import identity; print(sorted({'termios', 'pty', 'tty', 'signal'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {os.getcwd()!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
