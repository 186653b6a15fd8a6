"""A Procfile: which processes it names, and what its `web:` line serves."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

from flagon import commands, gunicorn_args, masking, text_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flagon.boot import Boot

LINE = r"([A-Za-z0-9_-]+):\s*(.+)\Z"  # Heroku's documentation, "The Procfile"


def read(directory: str) -> dict[str, str]:
    """Process type -> command; {} if there is no Procfile that can be read."""
    try:
        lines = text_file.strict(os.path.join(directory, "Procfile")).split("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    found = [re.match(LINE, line.strip()) for line in lines if not line.lstrip().startswith("#")]
    return {line[1]: line[2] for line in found if line}


def unread(directory: str) -> str:
    """Why a Procfile that is there cannot be read; empty where it can, or there is none."""
    try:
        text_file.strict(os.path.join(directory, "Procfile"))
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""


def web(served: commands.Serve | None) -> gunicorn_args.Arguments | None:
    """gunicorn's arguments in the `web:` line, or None if it runs something else."""
    return gunicorn_args.split(served.gunicorn) if served and served.gunicorn else None


def served(directory: str, environ: Mapping[str, str]) -> commands.Serve | None:
    """What the `web:` line starts; None if there is none, or it is not understood."""
    line = read(directory).get("web", "")
    if not line or len(line) > commands.LONGEST:
        return None
    whole = commands.served_instead(["sh", "-c", line], environ, directory) or _last_of(line, environ, directory)
    return whole._replace(source=commands.PROCFILE) if whole else None


def _last_of(line: str, environ: Mapping[str, str], directory: str) -> commands.Serve | None:
    """The last server in a line that is not sound as a whole, such as `celery worker & gunicorn app:app`."""
    from flagon import shell_pieces

    try:
        found = [shell_pieces.command(piece) for piece in shell_pieces.split(line)]
    except shell_pieces.Unread:
        return None
    for words in reversed([words for words in found if words]):
        served = commands.served_instead(words, environ, directory)
        if served:
            shown, taken = masking.command(line), masking.command(" ".join(words))
            said = (
                f"Procfile: of `web: {shown}` only `{taken}` is served, and nothing else of it is run: "
                "what runs beside it belongs into lines of its own (PROCESSES), what runs before it into prestart.sh"
            )
            return served._replace(steps=(), lines=(*served.lines, said))
    return None


def not_known(boot: Boot) -> str:
    """The `web:` line, if it starts no server that is known, and neither a command nor it itself has come to this."""
    known = boot.settings.procfile or boot.settings.web or boot.command or commands.again
    line = "" if known else read(boot.directory).get("web", "")
    return "" if line.endswith("flagon serve") else line


def script(boot: Boot) -> list[str]:
    """The words of a `web:` line that is a script in whose last command's place the box serves, as with a CMD."""
    line = not_known(boot)
    if not line or not boot.values["SERVE_CMD"]:
        return []
    from flagon import past_nginx, shell_words  # few have such a line

    words = shell_words.split(line, boot.settings.environment) or []
    return words if words and past_nginx.handed_over(words, boot.environ, boot.directory) else []


def next_step(boot: Boot) -> str:
    """What to do about such a line where no application is found; empty if there is none."""
    line = not_known(boot)
    if not line:
        return ""
    from flagon import shell_words

    words = shell_words.split(line, {})
    as_command = json.dumps(words if words and "=" not in words[0] else ["sh", "-c", line])
    return (
        f" The Procfile's `web: {line}` starts no server that is known here, and is not run: let a script end in "
        f"`exec gunicorn ...` or `exec flagon serve`, make it the image's command, CMD {as_command}, or name in "
        "APP_MODULE what it serves."
    )


def _instead(directory: str) -> str:
    """What takes the place of a release line, which most often migrates."""
    if any(os.path.exists(os.path.join(directory, name)) for name in ("migrations", "alembic", "alembic.ini")):
        return "MIGRATE=auto brings the schema to head at the start, by MIGRATE_COMMAND if that is given"
    return "what it does before a start belongs into prestart.sh, or into MIGRATE_COMMAND with MIGRATE=auto"


def lines(boot: Boot, command: bool) -> list[str]:
    """What of a Procfile is not done, for the boot. `command`: the container was given one, in place of `web:`."""
    there = read(boot.directory)
    found = []
    if not command and (line := not_known(boot)):
        shown = masking.command(line)
        found.append(
            f"Procfile: `web: {shown}` starts no server that is known here, and is not run. What it does "
            "before the server belongs into prestart.sh, its server's options into settings"
        )
    if not there and (why := unread(boot.directory)):
        found.append(f"Procfile cannot be read and is ignored: {why}")
    if len(there.get("web", "")) > commands.LONGEST:
        found = [f"Procfile: the line `web:` is longer than {commands.LONGEST} letters, and is not read"]
    if "release" in there and boot.values["MIGRATE"] == "off" and not boot.values["MIGRATE_COMMAND"]:
        shown = masking.command(there["release"])
        found.append(f"Procfile: `release: {shown}` is not run: {_instead(boot.directory)}")
    return found
