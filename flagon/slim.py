"""Modules that supervisor imports and that this process never uses: 14 of its 43 ms of each cold start."""

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
    """Put stand-ins where supervisor's imports look. Whatever it really called would fail loudly, in tests/image."""
    stand_ins: dict[str, dict[str, Any]] = {
        "importlib.metadata": {"EntryPoint": EntryPoint},
        "importlib.resources": {"files": None},  # for a command that prints a sample configuration
        "decimal": {"Decimal": type("Decimal", (), {})},  # for numbers that XML-RPC might carry
    }
    for name, contents in stand_ins.items():
        module = ModuleType(name)
        module.__dict__.update(contents)
        sys.modules.setdefault(name, module)
    for name in ("ssl", "bz2", "lzma"):  # optional for http.client and shutil: an import of them fails
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
