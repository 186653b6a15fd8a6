"""Records of the migrate program: not through `logging`, which a migration's env.py sets up anew (fileConfig)."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import unquote

from flagon import masking
from flagon.logs import LEVELS, Output

PARAMETERS = re.compile(r"^\[parameters: .*$", re.MULTILINE)  # SQLAlchemy's: the rows of a data migration
_output = Output(as_json=False)
_mark = b""  # under supervisord; by itself this program's output is the container's
_secrets: set[str] = set()


def set_up(options: dict[str, Any]) -> None:
    """JSON or text, and from which level on, as the box writes."""
    global _mark
    _output.as_json, _output.threshold = options["json_logs"], LEVELS.index(options["log_level"])
    _mark = options["log_mark"].encode()
    environment = {**os.environ, **options["direct_environment"]}
    for url in (os.environ.get("DATABASE_URL", ""), environment.get("DATABASE_URL", "")):
        match = re.match(r"[^:]+://[^:/@]*:(.*)@", url)
        _secrets.update({match[1], unquote(match[1]), match[1].replace("%", "%%")} if match and match[1] else ())


def say(text: str, level: str = "info") -> None:
    """One record on standard output. An exception's text may hold the URL; the password is not passed on."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = masking.known(text, secret)
    if LEVELS.index(level) >= _output.threshold:
        _output.write(_mark + _output.wrap("migrate", level, PARAMETERS.sub("[parameters hidden]", text)))
