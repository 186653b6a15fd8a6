"""gunicorn's interpreter, started before its options are known: its imports take longer than our own decisions.

It waits at a pipe (flagon/inside/launch.py) until the boot has decided; supervisord then takes it for the child that
it would have started itself. Whatever is in the way of that ends it, and gunicorn starts as at every later time.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Mapping
from typing import Any

from flagon.boot import HOME

PROGRAM = os.path.join(HOME, "code", "flagon", "inside", "run-gunicorn.py")
HIDDEN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")  # as in the launcher of every later start (handover.py)
# Variables that an interpreter or its libraries read once, at their start.
READ_ONCE = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "LC_", "LANG")


class Early:
    """The waiting process, and our ends of its pipes."""

    def __init__(self, python: str, run: str, environment: Mapping[str, str]) -> None:
        self.environment = {name: text for name, text in environment.items() if name not in HIDDEN}
        child_in, self._stdin = os.pipe()
        self._stdout, child_out = os.pipe()
        waiting, self._go = os.pipe()
        words = [
            "setpriv",
            "--pdeathsig",
            "TERM",
            python,
            PROGRAM,
            os.path.join(run, "launch.json"),
            f"--wait={waiting}",
        ]
        self.pid = os.fork()
        if not self.pid:
            self._become(words, child_in, child_out, waiting)
        for descriptor in (child_in, child_out, waiting):
            os.close(descriptor)

    def _become(self, words: list[str], child_in: int, child_out: int, waiting: int) -> None:
        """In the child, as supervisord does it: a group of its own, one pipe for both outputs."""
        try:
            os.setpgid(0, 0)
            for descriptor, number in ((child_in, 0), (child_out, 1), (child_out, 2)):
                os.dup2(descriptor, number)
            os.set_inheritable(waiting, True)
            os.execvpe(words[0], words, self.environment)
        finally:
            os._exit(127)

    def go(self, environment: Mapping[str, str], directory: str, run: str) -> bool:
        """Everything is decided. False if this interpreter must not be used, or has ended; it is gone then."""
        changed = [
            name
            for name in self.environment.keys() | environment.keys()
            if name.startswith(READ_ONCE) and name not in HIDDEN and self.environment.get(name) != environment.get(name)
        ]
        with contextlib.suppress(OSError):
            if not changed and os.waitpid(self.pid, os.WNOHANG) == (0, 0):
                own = {
                    "SUPERVISOR_ENABLED": "1", "SUPERVISOR_SERVER_URL": f"unix://{run}/supervisor.sock",
                    "SUPERVISOR_PROCESS_NAME": "gunicorn", "SUPERVISOR_GROUP_NAME": "gunicorn",
                }  # fmt: skip
                visible = {name: text for name, text in environment.items() if name not in HIDDEN}
                with os.fdopen(self._go, "w", encoding="utf-8", errors="surrogateescape") as pipe:
                    json.dump({"environment": {**visible, **own}, "directory": directory}, pipe)
                return True
        self.end()
        return False

    def end(self) -> None:
        """Nobody needs it."""
        for descriptor in (self._stdin, self._stdout, self._go):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def be_adopted(self, process: Any, options: Any) -> None:
        """supervisord's next start of this program is this process. It asks `options` for pipes and for a fork."""
        real = process.spawn

        def spawn() -> Any:
            del process.spawn
            pipes, fork = options.make_pipes, options.fork
            for descriptor in (self._stdin, self._stdout):
                os.set_blocking(descriptor, False)
            options.make_pipes = lambda _: {
                "stdin": self._stdin, "stdout": self._stdout, "stderr": None,
                "child_stdin": None, "child_stdout": None, "child_stderr": None,
            }  # fmt: skip
            options.fork = lambda: self.pid
            try:
                return real()
            finally:
                options.make_pipes, options.fork = pipes, fork

        process.spawn = spawn
