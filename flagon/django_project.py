"""A Django project by its files: which settings it means and which module serves it. Used on both sides."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from typing import NamedTuple

from flagon import text_file, wsgi_source
from flagon.locate import ASIDE

VARIABLE = "DJANGO_SETTINGS_MODULE"


class Project(NamedTuple):
    """`wsgi` is a module below the folder, empty if there is none to take, and `why` says why it is this one, or none.

    `settings` is what only the files tell: empty where the variable or manage.py says it, or nothing does (`unclear`).
    """

    manage: str
    wsgi: str
    why: str
    settings: str = ""
    unclear: bool = False


def find(folder: str, environ: Mapping[str, str]) -> Project | None:
    """The project of Django's manage.py in this folder; None if there is no such file.

    Its settings as Django takes them: the variable, manage.py; else the one WSGI module, or the one settings module.
    """
    manage = os.path.join(folder, "manage.py")
    if not os.path.isfile(manage) or not wsgi_source.is_django(manage):
        return None
    text, own = environ.get(VARIABLE, ""), wsgi_source.django_settings(manage) or ""
    named = [(text, f"{VARIABLE}={text}")] if text else []
    named += [(own, f"{manage} names {own}")] if own else []
    for settings, why in named:
        for module in _beside(settings):
            if wsgi_source.source_of(folder, module):
                return Project(manage, module, why)
    there, known = _serving(folder), bool(named) or VARIABLE in text_file.read(manage)
    said = " and ".join(why.removeprefix(f"{manage} ") for _, why in named) or "names no settings"
    if len(there) == 1:
        settings = "" if known else _settings_of(folder, there[0])
        return Project(manage, there[0], f"the only WSGI module of {manage}", settings, not known and not settings)
    files = [] if known else _modules(folder, ("settings.py", os.path.join("settings", "__init__.py")))
    if there:
        what = f"several modules serve: {', '.join(there)}. {VARIABLE} says whose settings to take"
    elif named:
        modules = " or ".join(dict.fromkeys(module for settings, _ in named for module in _beside(settings)))
        what = f"there is no {modules or 'package'}"
    else:
        what = "no module wsgi calls get_wsgi_application()"
    if not there and len(files) > 1:
        what += f"; settings could be {', '.join(files)}: {VARIABLE} says which"
    settings = files[0] if len(files) == 1 and not there else ""
    return Project(manage, "", f"{manage} ({said}, and {what})", settings, not known and not settings)


def _beside(settings: str) -> list[str]:
    """The WSGI modules that may belong to a settings module: shop.settings.live -> shop.settings.wsgi, shop.wsgi."""
    parts = settings.split(".")
    return [".".join([*parts[:length], "wsgi"]) for length in range(len(parts) - 1, 0, -1)]


def _modules(folder: str, names: tuple[str, ...]) -> list[str]:
    """Modules by the names of their files, here and up to two folders below."""
    found = []
    for pattern in (os.path.join(above, name) for above in ("", "*", os.path.join("*", "*")) for name in names):
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), pattern))):
            parts = os.path.relpath(path, folder).removesuffix(".py").removesuffix("/__init__").split("/")
            if not ASIDE & set(parts) and all(part.isidentifier() for part in parts):
                found.append(".".join(parts))
    return found


def _serving(folder: str) -> list[str]:
    """Modules called wsgi that make Django's WSGI application."""
    modules = _modules(folder, ("wsgi.py", os.path.join("wsgi", "__init__.py")))
    paths = ((module, wsgi_source.source_of(folder, module) or "") for module in modules)
    return [module for module, path in paths if wsgi_source.calls(path, "get_wsgi_application")]


def _settings_of(folder: str, module: str) -> str:
    """The settings that a WSGI module names itself, or that lie beside it."""
    own = wsgi_source.django_settings(wsgi_source.source_of(folder, module) or "")
    package = module.rpartition(".")[0]
    beside = f"{package}.settings" if package else "settings"
    return own or (beside if wsgi_source.source_of(folder, beside) else "")
