"""A Procfile: which processes it names, and what its `web:` line says of gunicorn."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from flagon import gunicorn_args, shell_words

LINE = r"([A-Za-z0-9_-]+):\s*(.+)\Z"  # Heroku's documentation, "The Procfile"


def read(directory: str) -> dict[str, str]:
    """Process type -> command; {} if there is no Procfile that can be read."""
    try:
        with open(os.path.join(directory, "Procfile"), encoding="utf-8") as file:
            found = [re.match(LINE, line.strip()) for line in file if not line.lstrip().startswith("#")]
    except (OSError, UnicodeDecodeError):
        return {}
    return {line[1]: line[2] for line in found if line}


def web(directory: str, environ: Mapping[str, str]) -> gunicorn_args.Arguments | None:
    """gunicorn's arguments in the `web:` line, or None if it runs something else."""
    words = shell_words.split(read(directory).get("web", ""), environ) or []
    for index, word in enumerate(words):
        if os.path.basename(word) == "gunicorn":
            return gunicorn_args.split(words[index + 1 :])
    return None
