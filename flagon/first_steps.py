"""What an author's start command does before its server, and the environment that it is started through."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flagon import commands, masking, text_file
from flagon.wrappers import Step

if TYPE_CHECKING:
    from flagon.boot import Boot
    from flagon.hooks import Hooks

# In one shell: what comes first, then the environment as the wrappers make it, then the server's words.
SCRIPT = """{before}
flagon_before=$?
flagon_asked=0
{asked} /usr/bin/env -0 >{state} || {{ flagon_asked=$?; /usr/bin/env -0 >{state}; }}
printf '%s\\0' "$flagon_before" "$flagon_asked" {words} >{said}
kill -STOP $$
"""


DEEPEST = 3  # programs that name other programs
COMPUTED = ("PORT", "WEB_CONCURRENCY")  # what the box has made of nothing: `${PORT:-5000}` is to say 5000


def run_all(hooks: Hooks, boot: Boot, command: list[str] | None) -> list[str] | None:
    """Every step; the command that is left. Of a Procfile's line only what none but a shell could read becomes one."""
    served = boot.served
    for _ in range(DEEPEST):
        if served is None or not served.steps:
            break
        for step in served.steps:
            words = run(hooks, step, boot.settings.environment)
        if command or any("$" in word or "`" in word for word in step.words):
            command = words
        served = commands.served_instead(words, hooks.environment, os.getcwd())  # `a && supervisord -c own.conf`
    return command


def run(hooks: Hooks, step: Step, given: Mapping[str, str]) -> list[str]:
    """Run it as a hook is run; the server's words as a shell has read them. Raises hooks.Failed, step.Stopped.

    `given` is the environment before anything was computed.
    """
    for name in COMPUTED:
        if name not in given and name not in hooks.changes:
            hooks.environment.pop(name, None)
    path = hooks.environment.get("PATH", os.defpath)
    said = hooks.state + ".words"
    text_file.write(said, "")
    before = f"{{ {step.before}\n}}{' || exit $?' if step.ends else ''}" if step.before else ":"
    words = " ".join(step.words)
    text = SCRIPT.format(
        before=before, asked=step.asked, state=shlex.quote(hooks.state), said=shlex.quote(said), words=words
    )
    shell = [shutil.which(step.shell[0], path=path) or "/bin/sh", *step.shell[1:], "-c", text]
    if step.before:
        hooks.output.record("flagon", "info", f"the start command: running `{one_line(step.before)}` first")
    hooks.run_sourced(shell, one_line(step.before or step.asked), "command")
    if not hooks.environment.get("PATH"):  # env -i
        hooks.environment["PATH"] = hooks.changes["PATH"] = path
    with open(said, encoding="utf-8", errors="surrogateescape") as file:
        before_code, asked_code, *found = file.read().split("\0")[:-1]
    if before_code != "0":
        text = f"`{one_line(step.before)}` ended with code {before_code}, and `;` goes on all the same: && would not"
        hooks.output.record("flagon", "warning", text)
    _look_at(hooks, step, asked_code)
    return found


def _look_at(hooks: Hooks, step: Step, code: str) -> None:
    """Whether the wrappers did what they are for."""
    if code != "0":
        text = f"`{one_line(step.asked)}` ended with code {code}: what it does to the environment is not there"
        hooks.output.record("flagon", "warning", text)
    elif step.agents and not _site_folder(hooks.environment.get("PYTHONPATH", "")):
        text = f"`{one_line(step.asked)}` leaves no sitecustomize.py in PYTHONPATH: its agent is not loaded"
        hooks.output.record("flagon", "warning", text)


def _site_folder(search: str) -> bool:
    return any(os.path.isfile(os.path.join(folder, "sitecustomize.py")) for folder in search.split(os.pathsep))


def one_line(text: str) -> str:
    """A shell text for a log line."""
    line = masking.command(" ".join(text.split()))
    return line if len(line) < 120 else line[:117] + "..."
