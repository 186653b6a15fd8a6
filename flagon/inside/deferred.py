"""Modules that gunicorn imports at its start and does not use here: a third of the time that its imports take.

An application that imports one of them gets the real one; gunicorn gets it at the first use that it makes of it.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Errors(type):
    """isinstance with SSLError: nobody has made one before the module is imported."""

    def __instancecheck__(cls, instance: object) -> bool:
        module = sys.modules.get("ssl")
        return module is not None and isinstance(instance, module.SSLError)


def _calls(module: str, name: str) -> Callable[..., Any]:
    """A function that imports the real one when it is called."""

    def call(*words: Any, **named: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*words, **named)

    return call


# With the names that gunicorn takes from them while it is imported: for settings of TLS, which is nginx's, and for
# `logconfig`.
NAMES: dict[str, dict[str, Any]] = {
    "ssl": {"PROTOCOL_TLS": 2, "PROTOCOL_SSLv23": 2, "CERT_NONE": 0, "SSLError": _Errors("SSLError", (), {})},
    "importlib.metadata": {},  # for an application named by an entry point
    "logging.config": {name: _calls("logging.config", name) for name in ("dictConfig", "fileConfig")},
    "html": {},  # for error pages; its entities are 2,231 names
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
    for name, contents in NAMES.items():
        if name not in sys.modules:
            placed[name] = sys.modules[name] = Deferred(name)
            placed[name].__dict__.update(contents)
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
            for taken in NAMES[name]:
                module.__dict__.pop(taken, None)
