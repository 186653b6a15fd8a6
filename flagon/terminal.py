"""A session and a terminal of its own for what root has started and another user runs: called by flagon/identity.py.

A process can type into its controlling terminal (TIOCSTI), or stay in the background, make itself the foreground and
read what is typed next. In a root shell that is the shell's own input. So the application gets a pseudo-terminal, and a
process of root's stays to copy bytes between the two. It looks at none of them.

`pty.spawn` does not fit: it replaces redirected descriptors too, passes neither window sizes nor signals on, and a
process that stays in the background holds it for ever.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import stat
import sys
import termios
import tty
from typing import NoReturn

PIECE = 65536
KERNEL_KEEPS = 1 << 18  # bytes: more than a pseudo-terminal holds of what nobody has read yet
# A terminal sends the first three to a whole group of processes; the others go to one.
TO_THE_GROUP = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
PASSED_ON = (*TO_THE_GROUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
WATCHED = (*PASSED_ON, signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT)
# Process 1 of `docker run --init`: it has the terminal and never reads from it.
INITS = ("docker-init", "podman-init", "catatonit", "tini")


def leave(uid: int) -> None:
    """Return in a child process only, which has no part of this terminal. This process ends when the child has.

    Raises OSError where there is no process or pseudo-terminal to be had.
    """
    terminals = [number for number in (0, 1, 2) if os.isatty(number)]
    if terminals and _is_below_an_init(terminals[0]):
        return
    # A closed descriptor 0, 1 or 2 would be given to the pseudo-terminal. It is closed again at the next exec.
    while (nothing := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    interactive = 0 in terminals and _may_read()
    shown_on = next((number for number in (1, 2, 0) if number in terminals), None)
    master = slave = None
    if shown_on is not None and (interactive or shown_on != 0):
        master, slave = _pseudo_terminal(shown_on, uid, interactive)

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)  # none may be lost between the fork and the handlers
    child = os.fork()
    if child:
        _stay(child, master, 0 if interactive else None, shown_on, nothing)
    _begin_session(slave, interactive, terminals, nothing)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_below_an_init(terminal: int) -> bool:
    """Whether the terminal is the container's own. In the foreground: a shell that ran us would be our parent."""
    if (os.getsid(0), os.getppid()) != (1, 1):
        return False
    try:
        if os.tcgetpgrp(terminal) != os.getpid():
            return False
        with open("/proc/1/comm", encoding="utf-8") as file:
            return file.read().strip() in INITS
    except OSError:
        return False


def _may_read() -> bool:
    """Whether standard input is ours alone: not from the background, and not beside a pager that reads our pipe."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp() and not stat.S_ISFIFO(os.fstat(1).st_mode)
    except OSError:
        return False


def _pseudo_terminal(like: int, uid: int, interactive: bool) -> tuple[int, int]:
    """Both ends of a new one with the modes and size of the terminal `like`."""
    master, slave = os.openpty()
    try:
        modes = termios.tcgetattr(like)
        if not interactive:
            modes[1] &= ~termios.OPOST  # the real terminal does it
        termios.tcsetattr(slave, termios.TCSANOW, modes)
    except termios.error as error:
        raise OSError(*error.args) from None
    _copy_size(like, master)
    with contextlib.suppress(OSError):  # no CAP_CHOWN: then nobody opens it by name
        os.fchown(slave, uid, -1)
    os.set_blocking(master, False)
    return master, slave


def _copy_size(source: int, target: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(target, termios.TIOCSWINSZ, fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(8)))


def _begin_session(slave: int | None, interactive: bool, terminals: list[int], nothing: int) -> None:
    """In the child. Pipes and files stay; every descriptor of a terminal goes.

    A process may read from a terminal that is not its controlling one, also in the background.
    """
    os.setsid()
    if slave is not None and interactive:
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for number in terminals:
        os.dup2(nothing if slave is None or (number == 0 and not interactive) else slave, number)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and (number == nothing or os.isatty(number)):
            os.close(number)


def _stay(child: int, master: int | None, keyboard: int | None, screen: int | None, nothing: int) -> NoReturn:
    """In the parent, which is root: whatever happens, it goes no further than this."""
    code = 1
    try:
        for number in (0, 1):
            if not os.isatty(number):
                os.dup2(nothing, number)  # who is at the other end of a pipe sees when the child closes it
        code = Relay(child, master, keyboard, screen).run()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


class Relay:
    """Copies bytes and passes signals on until the child has ended.

    It keeps the slave end open, so that the master end never reports that everybody has closed it: a child may do so,
    and open it anew. Ctrl-Z is a byte like others: it stops what a shell in the child's session has started there.
    """

    def __init__(self, child: int, master: int | None, keyboard: int | None, screen: int | None) -> None:
        self._child, self._master, self._keyboard, self._screen = child, master, keyboard, screen
        self._modes = None if keyboard is None else termios.tcgetattr(keyboard)
        self._typed = b""  # what the pseudo-terminal has not taken yet
        self._signals, wake = os.pipe()
        for descriptor in (self._signals, wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in WATCHED:
            signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)

    def run(self) -> int:
        """The child's exit code, 128 + n if signal n has ended it."""
        try:
            self._make_raw()
            while (status := self._status()) is None:
                self._turn()
            self._show_rest()
        finally:
            self._restore()
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def _status(self) -> int | None:
        pid, status = os.waitpid(self._child, os.WNOHANG)
        return status if pid else None

    def _turn(self) -> None:
        """Wait for something to do, and do it."""
        sources, targets = [self._signals], []
        if self._master is not None:
            sources.append(self._master)
            if self._typed:
                targets.append(self._master)
        if self._keyboard is not None and len(self._typed) < PIECE:
            sources.append(self._keyboard)
        readable, writable, _ = select.select(sources, targets, [])
        if self._signals in readable:
            for number in os.read(self._signals, PIECE):
                self._signal(number)
        if self._master in readable:
            self._show(self._read())
        if self._keyboard is not None and self._keyboard in readable:
            self._take_typed(self._keyboard)
        if writable:
            self._hand_on_typed()

    # -- bytes

    def _read(self) -> bytes:
        try:
            return b"" if self._master is None else os.read(self._master, PIECE)
        except OSError:
            return b""  # nothing there

    def _show(self, data: bytes) -> None:
        while data and self._screen is not None:
            try:
                data = data[os.write(self._screen, data) :]
            except BlockingIOError:
                select.select([], [self._screen], [])
            except OSError:
                self._screen = None  # hung up

    def _show_rest(self) -> None:
        """What the child has written. Not what others write after its end: there may be no end of that."""
        left = KERNEL_KEEPS
        while left > 0 and (data := self._read()):
            self._show(data)
            left -= len(data)

    def _take_typed(self, keyboard: int) -> None:
        try:
            data = os.read(keyboard, PIECE)
        except OSError:
            data = b""
        if data:
            self._typed += data
            self._hand_on_typed()
        else:
            self._keyboard = None
            self._send(signal.SIGHUP)

    def _hand_on_typed(self) -> None:
        with contextlib.suppress(OSError):
            if self._master is not None and self._typed:
                self._typed = self._typed[os.write(self._master, self._typed) :]

    # -- signals

    def _signal(self, number: int) -> None:
        if number in PASSED_ON:
            self._send(number)
        elif number == signal.SIGCONT:
            self._make_raw()  # a shell that we were stopped in has set its own modes since
        if number in (signal.SIGWINCH, signal.SIGCONT) and self._master is not None and self._screen is not None:
            _copy_size(self._screen, self._master)

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if number in TO_THE_GROUP:
                with contextlib.suppress(ProcessLookupError):
                    return os.killpg(self._child, number)
            os.kill(self._child, number)  # or it has no group of its own yet
        return None

    # -- the real terminal's modes

    def _in_foreground(self) -> bool:
        try:
            return self._keyboard is not None and os.tcgetpgrp(self._keyboard) == os.getpgrp()
        except OSError:
            return False

    def _make_raw(self) -> None:
        if self._keyboard is not None and self._in_foreground():
            with contextlib.suppress(termios.error):
                tty.setraw(self._keyboard, termios.TCSADRAIN)  # what has been typed already is not thrown away

    def _restore(self) -> None:
        if self._keyboard is not None and self._modes is not None and self._in_foreground():
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._keyboard, termios.TCSADRAIN, self._modes)
