"""What several unit tests need: files in a folder, and a module's own view of `os` with some functions replaced.

The real module, which pytest needs too, stays whole.
"""

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


def put(folder, files):
    """Write files below a folder; its path as text."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)
