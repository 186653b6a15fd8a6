"""The user's scripts before anything starts: /docker-entrypoint.d in order, then prestart.sh, which is sourced.

A sourced script changes what follows it: exported variables, working directory, umask and limits (docs/extending.md).
"""

from __future__ import annotations

import contextlib
import glob
import os
import resource
import shlex
from collections.abc import Mapping

from flagon import boot as boot_module
from flagon import commands, early, line_ends, step, text_file, timeline, workdir
from flagon.boot import Boot
from flagon.commands import starts_as_old
from flagon.environments import Environment
from flagon.logs import Output
from flagon.workdir import APPLICATION  # where prestart.sh lies, whatever the working directory

FOLDER = "/docker-entrypoint.d"
OF_THE_SHELL = frozenset({"_", "PWD", "OLDPWD", "SHLVL"})
# Sourced with `set -e`, as the old images did; then the shell stops itself, and what has become of it is read.
SOURCE = "set -e\n. {script}\n/usr/bin/env -0 >{state}\nkill -STOP $$\n"
LIMITS = [number for name, number in vars(resource).items() if name.startswith("RLIMIT_")]


class Failed(Exception):
    """A hook ended the boot; `code` is what the container ends with."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Hooks:
    """Runs them; `changes` is what they have done to the environment (None: unset)."""

    def __init__(self, output: Output, environment: Mapping[str, str], origin: Environment, run: str) -> None:
        self.output, self.environment, self.origin = output, dict(environment), origin
        self.state = os.path.join(run, "hook")
        self.changes: dict[str, str | None] = {}

    def entrypoint_folder(self, folder: str = FOLDER) -> None:
        """*.sh and *.py are run, *.envsh is sourced, in the order of their names. Raises Failed, step.Stopped."""
        for path in files(folder):
            self.output.record("flagon", "info", f"running {path}")
            if path.endswith(".envsh"):
                self.source(path)
                continue
            words = self.origin.runs(path) if path.endswith(".py") else [shell_for(path), self._runnable(path)]
            heard = step.words_of()
            code = step.run(words, self.environment, self.output, os.path.basename(path), heard=heard)
            if code:
                raise Failed(f"{path} ended with code {code}{step.why(code, heard)}", code)

    def prestart(self, path: str, told: bool) -> None:
        """Source the script if it is there. `told`: say so, too, if it is not. Raises Failed, step.Stopped.

        The lines are the old images', who said them whatever LOG_LEVEL was.
        """
        there = os.path.isfile(path)
        if there or told:
            what = f"Running script {path}" if there else f"There is no script {path}"
            for line in (f"Checking for script in {path}", what):
                self.output.record("prestart", "info", line, always=True)
        if there:
            self.source(path)

    def _runnable(self, path: str) -> str:
        """The script, or a copy of it without Windows line ends."""
        copy = line_ends.without(path, os.path.join(os.path.dirname(self.state), "hook-scripts"))
        if copy != path:
            text = f"{path} has Windows line ends (CRLF): it is run without them. `*.sh text eol=lf` in .gitattributes"
            self.output.record("flagon", "warning", text)
        return copy

    def source(self, path: str) -> None:
        """Source a script, and take over what it leaves. Raises Failed."""
        text = SOURCE.format(script=shlex.quote(self._runnable(path)), state=shlex.quote(self.state))
        self.run_sourced([shell_for(path), "-c", text], path, os.path.basename(path))

    def run_sourced(self, words: list[str], what: str, logger: str) -> None:
        """Run a shell that writes its environment and stops itself, and take over what it leaves. Raises Failed."""
        text_file.write(self.state, "")  # before the shell does: it will hold the environment
        seen: list[int] = []

        def paused(pid: int) -> None:
            seen.append(pid)
            self._take_over(pid)

        heard = step.words_of()
        code = step.run(words, self.environment, self.output, logger, paused, heard)
        if not seen:
            raise Failed(f"{what} ended with code {code}: the container ends with it{step.why(code, heard)}", code)

    def _take_over(self, pid: int) -> None:
        with open(self.state, encoding="utf-8", errors="surrogateescape") as file:
            pairs = [line.partition("=") for line in file.read().split("\0") if line]
        after = {name: text for name, _, text in pairs if name not in OF_THE_SHELL}
        for name in (self.environment.keys() | after.keys()) - OF_THE_SHELL:
            if self.environment.get(name) != after.get(name):
                self.changes[name] = after.get(name)
        self.environment = after
        os.chdir(os.readlink(f"/proc/{pid}/cwd"))
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            umask = next((line.split()[1] for line in file if line.startswith("Umask:")), "")
        if umask:
            os.umask(int(umask, 8))
        for number in LIMITS:
            limits = resource.prlimit(pid, number)
            if limits != resource.getrlimit(number):
                with contextlib.suppress(OSError, ValueError):
                    resource.setrlimit(number, limits)


def files(folder: str) -> list[str]:
    """The hooks in a folder, in the order of their names."""
    paths = sorted(glob.glob(os.path.join(glob.escape(folder), "*")))
    return [path for path in paths if path.endswith((".sh", ".envsh", ".py")) and os.path.isfile(path)]


def prestart_scripts(directory: str, given: str | None) -> list[str]:
    """Which scripts are sourced: PRE_START_PATH, else prestart.sh in /app, and the one in the working directory.

    The one in /app is named where neither is there.
    """
    if given:
        return [os.path.join(directory, given)]
    paths = dict.fromkeys(os.path.join(folder, "prestart.sh") for folder in (APPLICATION, directory))
    there = {os.path.realpath(path): path for path in reversed(paths) if os.path.isfile(path)}
    return list(reversed(there.values())) or [next(iter(paths))]


def found(directory: str, given: str | None) -> list[str]:
    """Every script of the user's that a start runs."""
    return [*files(FOLDER), *(path for path in prestart_scripts(directory, given) if os.path.isfile(path))]


def shell_for(path: str) -> str:
    """bash where the first line asks for it, as many a prestart.sh does; else /bin/sh."""
    first = text_file.first_line(path)
    return "/bin/bash" if first.startswith(b"#!") and b"bash" in first and os.path.exists("/bin/bash") else "/bin/sh"


def after(boot: Boot, command: list[str] | None) -> tuple[Boot, dict[str, str], list[str] | None]:
    """Run the user's hooks and what the start command does first; the boot, the environment and the command as they
    leave it. Raises Failed, step.Stopped."""
    boot.prepare(fresh=True)
    timeline.mark("settings")
    environ, directory = dict(os.environ), boot.directory
    given = boot.values["PRE_START_PATH"]
    told = bool(boot.settings.old.seen or given)
    steps = boot.served.steps if boot.served else ()
    if not told and not found(directory, given) and not steps:
        return boot, environ, command
    early.end()  # a hook may change what an interpreter reads at its start, or the packages
    run = Hooks(boot.output, _environment(boot), boot.origin, boot.run)
    run.entrypoint_folder()
    for prestart in prestart_scripts(directory, given):
        if command and not starts_as_old(command, environ):
            if os.path.isfile(prestart):
                boot.output.record("prestart", "info", f"{prestart} is not run: a command was given", always=True)
        else:
            run.prestart(prestart, told)
    was = boot.served
    if was and steps:
        from flagon import first_steps

        before = os.getcwd()
        command = first_steps.run_all(run, boot, command)
        if os.getcwd() != before and not was.directory:  # a `cd` that only a shell can read
            was = was._replace(directory=os.getcwd())
    for name, text in run.changes.items():
        if text is None:
            environ.pop(name, None)
        else:
            environ[name] = text
    commands.complete_path(environ)
    then = boot_module.Boot(environ, directory, command, boot.keeps, was)
    then.packages = boot.packages
    if then.values["RUNTIME_DIR"] != boot.values["RUNTIME_DIR"]:
        given = f"RUNTIME_DIR={then.values['RUNTIME_DIR']}"
        then.warnings.append(f"{given} of a hook is ignored, {boot.run} is in use: docker run -e {given}")
        then.settings.set("RUNTIME_DIR", boot.values["RUNTIME_DIR"], boot.settings.sources["RUNTIME_DIR"])
    then.working_directory = os.getcwd() if os.getcwd() != directory else workdir.origin
    then.prepare(fresh=False)
    return then, environ, command


def _environment(boot: Boot) -> dict[str, str]:
    """What hooks see: the application's environment, as far as there is an application yet."""
    from flagon.handover import application_environment, environment_without_application

    try:
        boot.choose()
    except boot_module.BootError:
        environment = environment_without_application(boot)
    else:
        environment = application_environment(boot)
    return {**environment, "FLAGON_ADDED": commands.added(environment)}
