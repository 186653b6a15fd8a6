"""Modules that supervisor imports and that this process never uses: 20 ms of each cold start, a fifth of ours."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class EntryPoint:
    """What supervisor.compat uses of importlib.metadata: `EntryPoint(None, "module:object", None).load()`."""

    def __init__(self, name: Any, value: str, group: Any) -> None:
        self.value = value

    def load(self) -> Any:
        """The object, imported."""
        module, _, path = self.value.partition(":")
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        return found


def prepare() -> None:
    """Stand in for importlib.metadata (it brings inspect, zipfile, csv) and leave ssl out of http.client."""
    stand_in = ModuleType("importlib.metadata")
    stand_in.EntryPoint = EntryPoint  # type: ignore[attr-defined]
    sys.modules.setdefault("importlib.metadata", stand_in)
    sys.modules.setdefault("ssl", None)  # type: ignore[arg-type] # an import of it fails, as http.client expects
