"""The JSON file in which the runtime tells this side what it has decided (flagon/launch_options.py)."""

from __future__ import annotations

import json
from typing import Any

_path = ""


def read(path: str = "") -> dict[str, Any]:
    """What it says now; from where it was read before, where no path is given."""
    global _path
    _path = path or _path
    with open(_path, encoding="utf-8") as file:
        options: dict[str, Any] = json.load(file)
    return options
