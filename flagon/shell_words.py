"""A shell line that is one simple command -> its words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

VARIABLE = r"\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})"
PLAIN = r"\$(\w+)()()"  # the same groups
LONGEST = 1 << 20  # letters that the variables of a line may come to


def split(line: str, environ: Mapping[str, str]) -> list[str] | None:
    """The words, variables filled in, a leading `exec` left out; None if the line is more than a simple command."""
    room = LONGEST

    def value(found: re.Match[str]) -> str:
        nonlocal room
        text = environ.get(found[1] or found[2]) or found[3] or ""
        room -= len(text)
        return text if room > 0 else ""

    braced, brace, plain = line.rpartition("}")  # behind the last one no ${ is looked for: each would look to the end
    line = re.sub(VARIABLE, value, braced + brace) + re.sub(PLAIN, value, plain)
    if room < 0:
        return None
    if re.search(r"[|&;<>()`$\n]", line.replace("()", "")):
        return None
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    return words[1:] if words[:1] == ["exec"] else words
