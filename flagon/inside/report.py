"""Records of the migrate program: not through `logging`, which a migration's env.py sets up anew (fileConfig)."""

from __future__ import annotations

from typing import Any

from flagon.logs import LEVELS, Output

_output = Output(as_json=False)


def set_up(options: dict[str, Any]) -> None:
    """JSON or text, and from which level on, as the box writes."""
    _output.as_json, _output.threshold = options["json_logs"], LEVELS.index(options["log_level"])


def say(text: str, level: str = "info") -> None:
    """One record on standard output."""
    _output.record("migrate", level, text)
