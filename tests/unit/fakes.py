"""A module's own view of `os` with some functions replaced: the real module, which pytest needs too, stays whole."""

import os


class View:
    def __init__(self, replaced):
        self.__dict__.update(replaced)

    def __getattr__(self, name):
        return getattr(os, name)


def view_of_os(monkeypatch, module, **replaced):
    """Replace functions of `os` for one module only; more may be replaced by later calls."""
    if isinstance(module.os, View):
        replaced = {**module.os.__dict__, **replaced}
    monkeypatch.setattr(module, "os", View(replaced))
