"""Modules that supervisor imports and that this process never uses: half of their time at each cold start."""

from __future__ import annotations

import http
import importlib
import os
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
        # supervisord answers XML-RPC and never asks; with the client go email and half of urllib
        "http.client": {"HTTPConnection": object, "HTTPException": type("HTTPException", (Exception,), {})},
        "decimal": {"Decimal": type("Decimal", (), {})},  # for numbers that XML-RPC might carry
        "html.entities": {"html5": {}, "entitydefs": {}},  # for pages of its own, which nobody can reach
        "html.parser": {"HTMLParser": object},
        "platform": {"node": lambda: os.uname().nodename},
    }
    for name, contents in stand_ins.items():
        module = ModuleType(name)
        module.__dict__.update(contents)
        sys.modules.setdefault(name, module)
    http.client = sys.modules["http.client"]  # type: ignore[attr-defined]
    # Optional for shutil, xmlrpc.client and hashlib, which has its own digests: an import of them fails.
    for name in ("bz2", "lzma", "gzip", "_hashlib"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
