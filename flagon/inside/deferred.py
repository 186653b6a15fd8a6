"""Modules that gunicorn imports at its start and does not use here: a quarter of the time that its imports take.

An application that imports one of them gets the real one; gunicorn gets it at the first use that it makes of it.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# With the constants that gunicorn reads while it is imported, for settings of TLS that nginx has no use for.
NAMES: dict[str, dict[str, Any]] = {
    "ssl": {"PROTOCOL_TLS": 2, "PROTOCOL_SSLv23": 2, "CERT_NONE": 0},
    "importlib.metadata": {},  # for an application named by an entry point
}


class Deferred(ModuleType):
    """Stands for a module until an attribute of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # the import system looks for what a module may have
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """What is imported inside gets stand-ins; afterwards there is no trace of them but in the importing modules."""
    placed = {}
    for name, constants in NAMES.items():
        if name not in sys.modules:
            placed[name] = sys.modules[name] = Deferred(name)
            placed[name].__dict__.update(constants)
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
