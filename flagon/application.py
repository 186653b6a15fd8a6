"""Which application the box serves: every clue in its order, then the files; the starter where /app is empty."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flagon import compat, gunicorn_file, locate
from flagon.wsgi_source import FACTORIES, OBJECTS, source_of

if TYPE_CHECKING:
    from flagon.boot import Boot


def clues(boot: Boot) -> list[locate.Clue]:
    """What names the application, the strongest first."""
    settings, environment, directory = boot.settings, boot.settings.environment, boot.directory
    old = settings.old
    named = {name: text for name, text in environment.items() if name not in old.left}
    folder = _folder(boot)
    by_file = locate.Clue(
        str(boot.from_file.get("wsgi_app") or ""), f"wsgi_app in {boot.gunicorn_file}", folder, "application"
    )
    found = [locate.Clue(boot.values["APP_MODULE"] or "", "APP_MODULE")]
    if settings.sources["APP_MODULE"] == "command line":
        by_gunicorn = settings.line == "command line"
        first, where = ("application", folder) if by_gunicorn else ("", "")
        found = [locate.Clue(boot.values["APP_MODULE"], "command line", where, first)]
    elif settings.line == "command line" and not boot.values["APP_MODULE"]:
        found.append(by_file)  # the command is gunicorn's, and leaves it to the file
    found += [_by_name(named, directory), locate.Clue(environment.get("FLASK_APP", ""), "FLASK_APP")]
    web = settings.web
    if web and web.application:
        web_folder = os.path.join(directory, web.chdir) if web.chdir else ""
        found.append(locate.Clue(web.application, "Procfile", web_folder, "application"))
    found.append(by_file)
    found.append(locate.Clue(old.application, "uwsgi.ini", old.directory, "application"))
    return found


def _folder(boot: Boot) -> str:
    """Where gunicorn's own --chdir or `chdir` leads; empty if nowhere. Raises locate.NotFound."""
    chdir, source = gunicorn_file.chdir(boot)
    if not chdir:
        return ""
    folder = os.path.normpath(os.path.join(boot.directory, chdir))
    if not os.path.isdir(folder):
        raise locate.NotFound(f"{source} {chdir}: there is no folder {folder}")
    return folder


def _by_name(environment: dict[str, str], directory: str) -> locate.Clue:
    module, variable = compat.module_and_variable(environment, directory)
    return locate.Clue(f"{module}:{variable}" if variable else module, "MODULE_NAME")


def is_starter(boot: Boot, starter: str) -> bool:
    """Whether the user brought nothing, and this image has a starter."""
    return not locate.holds_anything(boot.directory) and os.path.isdir(starter) and not boot.values["APP_MODULE"]


def objects(found: list[locate.Clue], target: str) -> list[str]:
    """Objects of the module to try, where the clue that counts names none; where it names one, nothing."""
    clue = next((clue for clue in found if clue.text), None)
    if clue is None or ":" in clue.text:
        return []
    tried = (clue.first, target.partition(":")[2], *OBJECTS, *(name + "()" for name in FACTORIES), "api")
    return list(dict.fromkeys(filter(None, tried)))


def shown(boot: Boot) -> str:
    """What is served, as it may be said before it is loaded: without an object that nobody has seen yet."""
    application = boot.application
    module = application.target.partition(":")[0]
    seen = source_of(application.directory, module) or not boot.objects
    return application.target if seen else module


def choose(boot: Boot, starter: str) -> locate.Application:
    """The user's, or the starter where the user brought nothing. Raises locate.NotFound."""
    if os.path.isdir(boot.directory) and not os.access(boot.directory, os.R_OK | os.X_OK):
        raise locate.NotFound(locate.unreadable(boot.directory))
    if is_starter(boot, starter):
        return locate.Application("app:create_app()", starter, "the starter: /app is empty")
    found = clues(boot)
    application = locate.locate(boot.directory, found)
    boot.objects = objects(found, application.target)
    return application
