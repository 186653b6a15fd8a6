"""The directory that is served: the working directory, or /app where nothing of an application's is in that.

The old images served /app whatever WORKDIR said, and so do images that are published from them. The processes stay in
the working directory, where their relative paths begin.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

APPLICATION = "/app"
NAMING = ("FLAGON_APP_MODULE", "APP_MODULE", "MODULE_NAME", "FLASK_APP")
FILES = ("uwsgi.ini", "Procfile", "manage.py")
# Of these verbs a word may be a file in the working directory, or they have nothing to do with an application.
ELSEWHERE = frozenset({"backup", "restore", "static", "secret", "starter", "version", "help"})

origin = ""  # the working directory, where it is not the one that is served
lines: list[str] = []  # for the boot


def enter(words: list[str], environ: Mapping[str, str]) -> None:
    """Go to the directory that is served, for all that comes after. `words`: the container's command, if any."""
    global origin
    here = os.getcwd()
    there = served(here, words, environ)
    if there != here:
        origin = here
        os.chdir(there)
        lines.append(
            f"the working directory {here} has no application in it: {there} is served; relative paths begin in {here}"
        )


def served(directory: str, words: list[str], environ: Mapping[str, str]) -> str:
    """`directory`, or /app where what is to be served is there and not here; an application here wins."""
    from flagon import locate  # nearly everybody's is /app

    if f"{directory}/".startswith(f"{APPLICATION}/") or not locate.holds_anything(APPLICATION):
        return directory
    from flagon import commands

    named = list(_named(words, environ))
    if commands.names_what_is_beside(words) or _holds(directory, named, environ):
        return directory
    return APPLICATION if _holds(APPLICATION, named, environ) else directory


def base(directory: str, module: str) -> str:
    """Where a module's name begins that is not below `directory`: /app if it is there; else empty."""
    from flagon.wsgi_source import source_of

    below = directory != APPLICATION and not source_of(directory, module) and source_of(APPLICATION, module)
    return APPLICATION if below else ""


def _named(words: list[str], environ: Mapping[str, str]) -> Iterator[str]:
    """Modules that variables or a command may name."""
    inner = [one for word in words for one in word.split()]
    for text in (*(environ.get(name, "").strip() for name in NAMING), *inner):
        module = text.partition(":")[0].removesuffix(".py").replace("/", ".").strip(".")
        if module and not text.startswith("-") and all(part.isidentifier() for part in module.split(".")):
            yield module


def _holds(directory: str, named: list[str], environ: Mapping[str, str]) -> bool:
    """Whether something of an application's is there, or a module that somebody names."""
    from flagon import locate
    from flagon.wsgi_source import source_of

    ini = environ.get("UWSGI_INI", "").strip()
    files = [*FILES, *([ini] if ini and not os.path.isabs(ini) else [])]
    if any(os.path.isfile(os.path.join(directory, name)) for name in files):
        return True
    if any(source_of(directory, module) for module in (*named, *locate.MODULES)):
        return True
    try:
        locate.locate(directory, [], environ)
    except locate.Several:
        return True
    except locate.NotFound:
        return False
    return True
