"""The image's own packages in an interpreter of the user's: gunicorn if theirs has none, all where the system's count.

Nothing else of ours: their Flask beside our Werkzeug would be two trees in one application.
"""

from __future__ import annotations

import glob
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

from flagon import environments


class Gunicorn:
    """Finds gunicorn in the image's own environment; it is written in Python alone, and fits any version."""

    def __init__(self, folders: list[str]) -> None:
        self.folders = folders

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The import system asks."""
        return PathFinder.find_spec(name, self.folders) if name == "gunicorn" else None


def provide() -> None:
    """Before gunicorn is imported, and before the application is on the search path."""
    version = f"3.{sys.version_info[1]}"
    same = environments.packages(environments.OWN, version)
    if same in sys.path:  # the image's own interpreter, or what PIP_INSTALL has made upon it
        return
    installed = [folder for folder in sys.path if os.path.basename(folder) in ("site-packages", "dist-packages")]
    if PathFinder.find_spec("gunicorn", installed) is None:
        folders = glob.glob(environments.packages(glob.escape(environments.OWN), "3*"))
        sys.meta_path.insert(0, Gunicorn(folders))
    if os.path.isdir(same) and (sys.prefix == sys.base_prefix or environments.includes_system(sys.prefix)):
        sys.path.append(same)
