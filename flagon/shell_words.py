"""A shell line that is one simple command -> its words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

VARIABLE = r"\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})"


def split(line: str, environ: Mapping[str, str]) -> list[str] | None:
    """The words, variables filled in, a leading `exec` left out; None if the line is more than a simple command."""
    line = re.sub(VARIABLE, lambda found: environ.get(found[1] or found[2]) or found[3] or "", line)
    if re.search(r"[|&;<>()`$\n]", line.replace("()", "")):
        return None
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    return words[1:] if words[:1] == ["exec"] else words
