"""Programs beside nginx and gunicorn: lines of the Procfile, and the user's supervisor files. Their logs and deaths
are dealt with as the core's (flagon/deaths.py); told to stop, they stop at the same moment as nginx does."""

from __future__ import annotations

import configparser
import glob
import io
import os
import re
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from flagon import commands, logs, procfile, shell_words, text_file
from flagon.nginx_text import CONTROL

FOLDERS = ("/etc/supervisor/conf.d",)
OURS = frozenset({"nginx", "gunicorn", "migrate", "uwsgi", "quit_on_failure"})  # the last two are the old images'
KINDS = ("program", "eventlistener", "fcgi-program", "group")
# Stopped after nginx and gunicorn: a slow one must not take their time. All get the signal at once anyway.
PRIORITY = "5"
NUMBER = re.compile(r"\d+")
SUPERVISORS_OWN = re.compile(r"Available names: .*(?= in section)| \(file: .*\)")


class BadProgram(Exception):
    """A program cannot be taken; the message names it, and the file."""


class Program(NamedTuple):
    """One section for supervisord, and where it comes from."""

    section: str
    options: dict[str, str]
    source: str

    @property
    def name(self) -> str:
        """What follows the colon."""
        return self.section.partition(":")[2]


class Programs(NamedTuple):
    """All of them, their scripts by name, and lines for the boot."""

    sections: tuple[Program, ...] = ()
    scripts: tuple[tuple[str, str], ...] = ()
    lines: tuple[str, ...] = ()

    def names(self, number: str) -> bool:
        """Whether one of them has this number in what it runs, or in its environment: a port, most likely."""
        texts = [text for one in self.sections for text in one.options.values()] + [text for _, text in self.scripts]
        return any(number in NUMBER.findall(text) for text in texts)


def find(directory: str, wanted: tuple[str, ...], run: str, served: commands.Serve | None = None) -> Programs:
    """What PROCESSES takes from the Procfile, and every supervisor file. Raises BadProgram.

    `served`: the command; where it is a supervisord's, its own files count, without nginx and the server in them.
    """
    sections, scripts, lines = [], [], []  # type: list[Program], list[tuple[str, str]], list[str]
    for name, command in _chosen(directory, wanted, lines).items():
        scripts.append((name, f"#!/bin/sh\n{_line(command)}\n"))
        words = ["setpriv", "--pdeathsig", "TERM", "/bin/sh", os.path.join(run, "programs", name)]
        options = {"command": shlex.join(words).replace("%", "%%"), "autorestart": "true", "stopasgroup": "true"}
        sections.append(Program(f"program:{name}", options, "Procfile"))
    for folder in (os.path.join(directory, "supervisor.d"), *FOLDERS):
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.conf"))):
            sections += _of_file(path, lines)
    sections += _of_command(served, lines) if served else []
    left_out = served.left_out if served else ()
    for one in [one for one in sections if one.section.startswith("program:") and one.name in left_out]:
        sections.remove(one)
        lines.append(f"{one.source}: [{one.section}] is left out: the box has its own")
    seen: dict[str, str] = {}
    for section in sections:
        taken = logs.OURS & {section.name, section.options.get("process_name", "")}
        if taken and not section.section.startswith("group:"):
            raise BadProgram(
                f"{section.source}: {min(taken)!r} is a name in the box's own log: give the program another"
            )
        if section.section in seen:
            raise BadProgram(f"{section.section} is in {seen[section.section]} and in {section.source}: keep one")
        seen[section.section] = section.source
    return Programs(tuple(sections), tuple(scripts), tuple(lines))


def _line(command: str) -> str:
    """A Procfile's line so that a stop reaches its command, and the box waits for that and not for a shell."""
    words = shell_words.split(command, {})
    if words is None or "$" in command:
        return f"trap 'exit 143' TERM INT QUIT\n{command}"
    if command.startswith("exec "):
        return command
    return f"exec {'env ' if '=' in words[0] else ''}{command}"


def _chosen(directory: str, wanted: tuple[str, ...], lines: list[str]) -> dict[str, str]:
    """The Procfile's lines that PROCESSES names."""
    if not wanted:
        return {}
    there = procfile.read(directory)
    if not there and not os.path.isfile(os.path.join(directory, "Procfile")):
        lines.append(f"PROCESSES={','.join(wanted)} has no effect: there is no Procfile in {directory}")
        return {}
    others = {name: command for name, command in there.items() if name not in ("web", "release")}
    if wanted == ("all",):
        if "release" in there:
            lines.append("the Procfile's release line is no process and is not run: see MIGRATE_COMMAND")
        wanted = tuple(others)
    unknown = [name for name in wanted if name not in others]
    if unknown:
        known = ", ".join(others) or "none"
        raise BadProgram(f"PROCESSES={','.join(wanted)}: the Procfile has no line {unknown[0]!r}; it has: {known}")
    taken = OURS & set(wanted)
    if taken:
        raise BadProgram(f"Procfile: {min(taken)!r} is the name of a program of the box: give the line another name")
    bad = next((name for name in wanted if re.search(CONTROL, others[name].replace("\t", ""))), None)
    if bad:
        raise BadProgram(f"Procfile: the line {bad} has a control character")
    return {name: others[name] for name in wanted}


def _of_file(path: str, lines: list[str]) -> list[Program]:
    """The programs of one supervisor file. What is not theirs to say is left out, each with a line."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    try:
        parser.read_string(text_file.strict(path), path)
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise BadProgram(f"{path}: {str(error).splitlines()[0]}") from None
    found = []
    for section in parser.sections():
        kind, _, name = section.partition(":")
        if kind not in KINDS or name in OURS:
            if kind == "eventlistener":  # the old images' quit_on_failure
                lines.append(
                    f"{path}: [{section}] is left out: a program that keeps dying ends the container by itself"
                )
                continue
            lines.append(f"{path}: [{section}] is ignored: the box has its own")
            continue
        here = os.path.dirname(path).replace("%", "%%")  # of his file, not of our copy
        options = {option: text.replace("%(here)s", here) for option, text in parser.items(section)}
        if any(re.search(CONTROL, text.replace("\n", "").replace("\t", "")) for text in (section, *options.values())):
            raise BadProgram(f"{path}: [{section}] has a control character")
        if kind != "group" and "command" not in options:
            raise BadProgram(f"{path}: [{section}] has no command")
        if "user" in options and os.geteuid():
            lines.append(f"{path}: user={options.pop('user')} is ignored: everything runs as uid {os.geteuid()}")
        found.append(Program(section, options, path))
    return found


def _of_command(served: commands.Serve, lines: list[str]) -> list[Program]:
    """The programs of `supervisord -c FILE`. Raises BadProgram."""
    found: list[Program] = []
    for path in served.supervisor:
        if not os.path.isfile(path):
            raise BadProgram(f"supervisord -c {path}: there is no such file")
        said: list[str] = []
        found += _of_file(path, said)
        own = [line.partition(": [")[2].partition("] is ignored")[0] for line in said]
        own = [name for name in own if name and ":" not in name]  # [supervisord] and its like
        lines += [line for line in said if not any(f": [{name}] is ignored" in line for name in own)]
        own = [f"[{name}]" for name in own if name not in ("include", "supervisorctl")]
        if own:
            lines.append(f"{path}: {', '.join(own)} is left out: the box has its own")
    return found


def _logged(section: Program) -> dict[str, str]:
    """The options, with the log going where all logs go."""
    options = {name: text for name, text in section.options.items() if not name.startswith(("stdout_", "stderr_"))}
    if section.section.startswith("group:"):
        return options
    options["priority"] = PRIORITY
    if section.section.startswith("eventlistener:"):  # it speaks a protocol on standard output
        return {**options, "stderr_logfile": "NONE", "stderr_events_enabled": "true"}
    forced = {"redirect_stderr": "true", "stdout_logfile": "NONE", "stdout_events_enabled": "true"}
    return {**options, "killasgroup": "true", **forced}


def refuse(programs: Programs) -> Callable[[Any, str], NoReturn]:
    """In place of supervisord's usage text and its code 2: raises BadProgram, which names the user's file."""

    def usage(_: Any, message: str) -> NoReturn:
        sources = (one.source for one in programs.sections if f"section '{one.section}'" in message)
        text = SUPERVISORS_OWN.sub("", message)
        raise BadProgram(f"{next(sources, 'supervisord')}: {text}")

    return usage


def read_as_supervisord(programs: Programs, run: str) -> None:
    """Have supervisord read its files in a run directory. Raises BadProgram."""
    from supervisor.options import ServerOptions

    reader = type("Reader", (ServerOptions,), {"usage": refuse(programs)})
    reader().realize(["-c", os.path.join(run, "supervisord.conf")])


def write(programs: Programs, run: str) -> None:
    """The files that supervisord.conf includes."""
    if not programs.sections:
        return
    folder = os.path.join(run, "programs")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for name, text in programs.scripts:
        text_file.write(os.path.join(folder, name), text)
    parser = configparser.RawConfigParser()
    for section in programs.sections:
        parser[section.section] = _logged(section)
    lines = io.StringIO()
    parser.write(lines)
    text_file.write(os.path.join(folder, "programs.conf"), lines.getvalue())
