"""gunicorn's interpreter, started before anything is decided: its imports take longer than all that we have to do.

It waits at a pipe (flagon/inside/launch.py) until the boot has decided; supervisord then takes it for the child that
it would have started itself. Whatever is in the way of that ends it, and gunicorn starts as at every later time.
No imports here but of what costs nothing: it is the first thing that the box does once it is no longer root.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import os

from flagon import environments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside", "run-gunicorn.py")
HIDDEN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")  # from gunicorn's interpreter, at each of its starts
# Variables that an interpreter or its libraries read once, at their start.
READ_ONCE = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "LC_", "LANG")


class Early:
    """The waiting process, and our ends of its pipes."""

    def __init__(self, python: str) -> None:
        self.python = python
        self.environment = {name: text for name, text in os.environ.items() if name not in HIDDEN}
        child_in, self._stdin = os.pipe()
        self._stdout, child_out = os.pipe()
        waiting, self._go = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            self._become(child_in, child_out, waiting)
        for descriptor in (child_in, child_out, waiting):
            os.close(descriptor)

    def _become(self, child_in: int, child_out: int, waiting: int) -> None:
        """In the child, as supervisord does it: a group of its own, one pipe for both outputs."""
        try:
            os.setpgid(0, 0)
            for descriptor, number in ((child_in, 0), (child_out, 1), (child_out, 2)):
                os.dup2(descriptor, number)
            os.set_inheritable(waiting, True)
            words = ["setpriv", "--pdeathsig", "TERM", self.python, PROGRAM, f"--wait={waiting}"]
            os.execvpe(words[0], words, self.environment)
        finally:
            os._exit(127)

    def go(self, python: str, environment: Mapping[str, str], directory: str, run: str) -> bool:
        """Everything is decided. False if this interpreter must not be used, or has ended; it is gone then."""
        changed = [
            name
            for name in self.environment.keys() | environment.keys()
            if name.startswith(READ_ONCE) and name not in HIDDEN and self.environment.get(name) != environment.get(name)
        ]
        if changed or python != self.python or not self._waits():
            self.end()
            return False
        import json

        own = {
            "SUPERVISOR_ENABLED": "1", "SUPERVISOR_SERVER_URL": f"unix://{run}/supervisor.sock",
            "SUPERVISOR_PROCESS_NAME": "gunicorn", "SUPERVISOR_GROUP_NAME": "gunicorn",
        }  # fmt: skip
        visible = {name: text for name, text in environment.items() if name not in HIDDEN}
        said = {"environment": {**visible, **own}, "directory": directory, "options": os.path.join(run, "launch.json")}
        with os.fdopen(self._go, "w", encoding="utf-8", errors="surrogateescape") as pipe:
            json.dump(said, pipe)
        return True

    def _waits(self) -> bool:
        try:
            return os.waitpid(self.pid, os.WNOHANG) == (0, 0)
        except OSError:
            return False

    def end(self) -> None:
        """Nobody needs it."""
        for descriptor in (self._stdin, self._stdout, self._go):
            os.close(descriptor)
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except OSError:
            pass  # it had ended

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


started: Early | None = None


def start() -> None:
    """At the very beginning of `flagon serve`."""
    global started
    try:
        started = Early(environments.find(os.environ, os.getcwd()).python)
    except (environments.Unusable, OSError):
        started = None  # the boot, or gunicorn's own start, will say so


def end() -> None:
    """What comes next needs another environment than the one it has, or none."""
    global started
    if started is not None:
        started.end()
        started = None
