"""A root shell in the container, and the application's code that the operator runs from it.

Who has the shell's terminal can type into it, and read from it in the background: `su --pty` is for that. The operator
sits at a terminal of this machine, `docker exec -it` is in between.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator
from types import TracebackType

import pytest

from .box import RUNTIME, Box, name_for, run_once, wait_until

# What an application may try. Each fd, and the terminal by name; then from the background, for as long as it lives.
MAIN = r"""
import fcntl, os, select, signal, sys, termios, time
import click
from flask import Flask

app = Flask(__name__)

def terminals():
    found = [fd for fd in range(64) if os.isatty(fd)]
    try:
        found.append(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        pass
    return found

def evil():
    for fd in terminals():
        for letter in b"id > /tmp/typed\n":
            try:
                fcntl.ioctl(fd, termios.TIOCSTI, bytes([letter]))
            except OSError:
                break
    if os.fork():
        while not os.path.exists("/tmp/waits"):
            time.sleep(0.01)
        return
    for number in (signal.SIGTTIN, signal.SIGTTOU, signal.SIGHUP, signal.SIGINT, signal.SIGCONT):
        signal.signal(number, signal.SIG_IGN)
    os.setpgid(0, 0)
    mine = terminals()
    with open("/tmp/read", "ab", 0) as file:
        open("/tmp/waits", "w").close()
        while True:
            for fd in mine:
                try:
                    os.tcsetpgrp(fd, os.getpgrp())
                except OSError:
                    pass
                try:
                    if select.select([fd], [], [], 0.01)[0]:
                        file.write(os.read(fd, 1000))
                except OSError:
                    pass
            time.sleep(0.01)

@app.cli.command("evil")
def _():
    evil()

@app.cli.command("where")
def _():
    names = [os.ttyname(fd) if os.isatty(fd) else "-" for fd in range(3)]
    more = [fd for fd in range(3, 64) if os.isatty(fd)]
    try:
        own = os.open("/dev/tty", os.O_RDWR) and "of its own"
    except OSError as error:
        own = error.strerror
    print("where", os.getuid(), *names, more, own)

@app.cli.command("ask")
def _():
    print("hello", input("name? "))

@app.cli.command("end")
@click.argument("code", type=int)
def _(code):
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if code > -9 else None
        os.kill(os.getpid(), -code)
    sys.exit(code)

@app.cli.command("wait")
def _():
    signal.signal(signal.SIGWINCH, lambda *_: os.write(1, b"size %d %d\n" % os.get_terminal_size()))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: (os.write(1, b"got %d\n" % number), sys.exit(number)))
    print("waits", *os.get_terminal_size(2), os.getppid(), flush=True)
    while True:
        time.sleep(1)

@app.cli.command("leave-behind")
def _():
    if not os.fork():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        while True:
            os.write(1, b"x" * 1000)
            time.sleep(0.001)
    print("left")

@app.cli.command("flood")
@click.argument("bytes", type=int)
def _(bytes):
    os.write(2, b"begun\r\n")
    sys.stdout.write(("y" * 79 + "\n") * (bytes // 80) + "the end\n")
"""
FILES = {"main.py": MAIN}
PROMPT = "ROOT# "


class Shell:
    """A shell of root's in a container, and its operator: `say` types, `until` reads what is shown."""

    def __init__(self, *words: str, size: tuple[int, int] = (90, 31)) -> None:
        self.pid, self.master = pty.fork()
        if not self.pid:
            os.execvp("docker", ["docker", *words])
        self.resize(size)
        self.shown = b""  # and not read yet by `until`
        self.text = ""  # what the last `until` has read

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print("shown:", self.shown.decode(errors="replace"))
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.master)
        os.waitpid(self.pid, 0)

    def resize(self, size: tuple[int, int]) -> None:
        """Columns and lines of the operator's window."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, pattern: str, seconds: float = 15) -> re.Match[str]:
        """Reads on until this is shown; what comes after it is kept for the next time."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern.encode(), self.shown)):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise AssertionError(f"{pattern!r} is not shown within {seconds} s but {self.shown[-2000:]!r}")
            self.shown += os.read(self.master, 65536)
        self.text = self.shown[: found.end()].decode()
        self.shown = self.shown[found.end() :]
        again = re.search(pattern, self.text)
        assert again
        return again

    def say(self, line: str, pattern: str) -> re.Match[str]:
        """Types a line and reads until the answer is shown, and the prompt."""
        self.type(line + "\n")
        found = self.until(pattern)
        self.prompt()
        return found

    def prompt(self) -> None:
        """What is typed from now on is the shell's."""
        self.until("\n\\r?" + PROMPT)


def shell_in(box: Box) -> Shell:
    shell = Shell("exec", "-it", "-e", f"PS1={PROMPT}", "-e", "TERM=dumb", "-w", "/app", box.name, "bash", "--norc")
    shell.until(PROMPT)
    return shell


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Box(image=RUNTIME, args=["--no-healthcheck", "-e", "MIGRATE=off"], files=FILES) as running:
        yield running


@pytest.fixture
def shell(box: Box) -> Iterator[Shell]:
    with shell_in(box) as running:
        yield running


@pytest.mark.parametrize(
    "command",
    [
        "flagon flask evil", "MIGRATE_COMMAND='flask evil' flagon migrate",
        "flagon flask evil | true", "true | flagon flask evil",
        "flagon flask evil </dev/null >/tmp/out 2>&1", "flagon flask evil 3<>/dev/tty </dev/null >/tmp/out 2>&1",
        "flagon flask evil & wait", "setsid --wait flagon flask evil",
    ],
)  # fmt: skip
def test_an_application_neither_types_into_a_root_shell_nor_reads_from_it(command: str) -> None:
    with Box(image=RUNTIME, args=["-e", "MIGRATE=off"], files=FILES) as box, shell_in(box) as shell:
        shell.say(command, "")
        wait_until(lambda: "cannot" not in box.exec("ls", "/tmp/waits", check=False, user="0"), 15, "the application")
        time.sleep(0.5)
        for _ in range(3):
            shell.say("echo whole-$((40 + 2)) line", "whole-42 line")
        assert "No such file" in box.exec("cat", "/tmp/typed", check=False, user="0")
        assert "whole" not in box.exec("cat", "/tmp/read", user="0")


def test_it_has_a_terminal_of_its_own(shell: Shell) -> None:
    operator_s = shell.say("tty", r"/dev/pts/\d+")[0]
    found = shell.say("flagon flask where", r"where 10001 (\S+) (\S+) (\S+) \[\] of its own")
    assert found[1] == found[2] == found[3]
    assert found[1].startswith("/dev/pts/")
    assert found[1] != operator_s


def test_pipes_and_files_stay(shell: Shell) -> None:
    operator_s = shell.say("tty", r"/dev/pts/\d+")[0]
    found = shell.say("echo x | flagon flask where | cat", r"where 10001 - - (/dev/pts/\d+) \[\] No such device")
    assert found[1] != operator_s
    shell.say("flagon flask where 3<>/dev/tty </dev/null 2>&1 | cat", r"where 10001 - - - \[\] No such device")
    shell.say("echo Anna | flagon flask ask | tr a-z A-Z", r"NAME\? HELLO ANNA")
    shell.say("flagon config >/tmp/c; grep -c PORT /tmp/c; grep -c $'\\r' /tmp/c", "\n[1-9]\\d*\r\n0\r")
    shell.say("flagon flask ask | cat; echo", "Aborted|EOFError")  # a pager may be there that reads the terminal
    shell.say("head -c 300000 /dev/zero | flagon cat | wc -c", "300000\r")
    shell.say("flagon cat /dev/zero 2>/dev/null | head -c 5 | wc -c", "\n5\r")
    shell.say("echo code $(flagon python3 -c 'print(6 * 7)') $?", "code 42 0")


def test_what_is_typed_is_answered(shell: Shell) -> None:
    shell.type("flagon flask ask\n")
    shell.until(r"name\? ")
    shell.type("Bert\n")
    shell.until("hello Bert")
    assert shell.text.count("Bert") == 2  # one echo
    shell.prompt()
    shell.type("flagon cat; echo code $?\n")
    shell.until("code")
    time.sleep(1)
    shell.type("over\n")
    shell.until("over\r\nover\r\n")
    shell.type("\x04")  # Ctrl-D
    shell.until("code 0\r")


def test_a_shell_through_the_relay_has_jobs(shell: Shell) -> None:
    shell.type("PS1='inner> ' flagon bash --norc; echo left $?\n")
    shell.until("\ninner> |hinner> ")
    shell.type("id -u; sleep 100\n")
    shell.until("10001\r\n")
    time.sleep(0.5)
    shell.type("\x1a")  # Ctrl-Z
    shell.until("Stopped")
    shell.type("kill %1; echo in$((1 + 1))ner; exit 5\n")
    shell.until("in2ner\r\n")
    shell.type("exit 5\n")
    shell.until("left 5\r")


def test_a_long_paste_arrives(shell: Shell) -> None:
    """More than the pseudo-terminal holds: it is not read while the program is at something else."""
    shell.type("flagon bash --norc -c 'echo ready; sleep 1; wc -l'; echo ended $?\n")
    shell.until("ready\r\n")
    for _ in range(300):
        shell.type("z" * 99 + "\n")
    shell.until("(z+\r\n)+")
    shell.type("\x04")
    shell.until("\n300\r\nended 0")


@pytest.mark.parametrize(("code", "seen"), [(0, 0), (7, 7), (-9, 137), (-15, 143), (-2, 130)])
def test_the_exit_code_is_the_program_s(shell: Shell, code: int, seen: int) -> None:
    shell.say(f"flagon flask end -- {code}; echo code $?", rf"code {seen}\r")
    shell.say("stty -a", r" icanon .* echo ")


def test_window_and_interrupt(shell: Shell) -> None:
    shell.type("flagon flask wait; echo code $?\n")
    shell.until("waits 90 31")
    shell.resize((70, 20))
    shell.until("size 70 20")
    shell.type("\x1a\x03")
    shell.until("got 2")
    shell.until("code 2")
    shell.prompt()
    shell.say("stty -a", r" icanon .* echo ")


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP"])
@pytest.mark.parametrize("pipe", ["", " | cat"])
def test_signals_are_handed_on(shell: Shell, box: Box, name: str, pipe: str) -> None:
    shell.type(f"set -o pipefail; flagon flask wait{pipe}; echo code $?\n")
    relay = shell.until(r"waits 90 31 (\d+)")[1]
    assert box.exec("stat", "-c", "%u", f"/proc/{relay}", user="0") == "0\n"
    box.exec("bash", "-c", f"kill -{name} {relay}", user="0")
    number = int(getattr(signal, f"SIG{name}"))
    shell.until(f"got {number}")
    shell.until(f"code {number}")
    shell.prompt()
    shell.say("stty -a", r" icanon .* echo ")


def test_an_interrupt_of_a_pipeline(shell: Shell) -> None:
    shell.type("flagon flask wait | (trap '' INT; cat)\n")
    shell.until("waits 90 31")
    shell.type("\x03")
    shell.until("got 2")
    shell.prompt()


def test_what_stays_in_the_background_holds_nobody(shell: Shell) -> None:
    begun = time.monotonic()
    shell.say("flagon flask leave-behind; echo code $?", "code 0\r")
    assert time.monotonic() - begun < 10
    shell.say("stty -a", r" icanon .* echo ")


def test_all_that_it_has_written_is_shown(shell: Shell) -> None:
    shell.type("flagon flask flood 800000; echo code $?\n")
    shell.until("begun")
    shell.until("the end\r\ncode 0\r")
    assert shell.text.count("y" * 79 + "\r\n") == 10000


def test_a_relay_that_was_stopped_goes_on(shell: Shell, box: Box) -> None:
    shell.type("flagon flask wait; echo code $?\n")
    relay = shell.until(r"waits 90 31 (\d+)")[1]
    box.exec("bash", "-c", f"kill -STOP {relay}", user="0")
    shell.until("Stopped")
    shell.prompt()
    shell.say("stty -a", r" icanon .* echo ")
    shell.type("fg\n")
    time.sleep(0.5)
    shell.type("\x03")
    shell.until("got 2")
    shell.prompt()
    shell.say("stty -a", r" icanon .* echo ")


def test_nothing_stays_of_root_where_nobody_else_reads() -> None:
    """`docker exec -it NAME flagon`, `docker run -it` and `--init`: the terminal's session is the program's own."""
    script = "ps=$(grep -l '^Uid:.0' /proc/[0-9]*/status 2>/dev/null | grep -v -e /$$/ -e /self/); "
    script += "for p in $ps; do tr '\\0' ' ' < ${p%status}cmdline; done; tty; id -u; echo over"
    with Box(image=RUNTIME, args=["--no-healthcheck"], files=FILES) as box:
        for words in (
            ["exec", "-it", box.name, "flagon"], ["run", "--rm", "-it", "--name", name_for(), RUNTIME],
            ["run", "--rm", "-it", "--init", "--name", name_for(), RUNTIME],
        ):  # fmt: skip
            with Shell(*words, "sh", "-c", script) as shell:
                shell.until("over\r")
                assert "__main__.py" not in shell.text
                assert "\r\n10001\r\n" in shell.text
    assert run_once(["sh", "-c", "tty; id -u"], image=RUNTIME).stdout == "not a tty\n10001\n"
