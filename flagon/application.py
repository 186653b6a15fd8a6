"""Which application the box serves: every clue in its order, then the files; the starter where /app is empty."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flagon import asgi_source, commands, compat, gunicorn_file, locate, wsgi_source
from flagon.wsgi_source import FACTORIES, OBJECTS, source_of

if TYPE_CHECKING:
    from flagon.boot import Boot


def clues(boot: Boot) -> list[locate.Clue]:
    """What names the application, the strongest first."""
    settings, environment, directory = boot.settings, boot.settings.environment, boot.directory
    old = settings.old
    named = {name: text for name, text in environment.items() if name not in old.left}
    served, procfile = boot.served, settings.procfile
    here, folder = gunicorn_file.start(boot), _folder(boot)
    by_file = locate.Clue(
        str(boot.from_file.get("wsgi_app") or ""), f"wsgi_app in {boot.gunicorn_file}", folder, "application"
    )
    by_uwsgi = locate.Clue(old.application, old.named, old.directory, "application")
    found = [locate.Clue(boot.values["APP_MODULE"] or "", "APP_MODULE")]
    if settings.sources["APP_MODULE"] == commands.COMMAND:
        by_gunicorn = settings.line == commands.COMMAND
        first, where = ("application", folder) if by_gunicorn else ("", here)
        found = [locate.Clue(boot.values["APP_MODULE"], commands.COMMAND, where, first)]
    elif settings.line == commands.COMMAND:
        found.append(by_file)  # the command is gunicorn's, and leaves it to the file
    elif served and served.uwsgi is not None and served.source == commands.COMMAND:
        found.append(by_uwsgi)
    place = here if served and served.program == "flask" else ""
    found += [_by_name(named, directory), locate.Clue(environment.get("FLASK_APP", ""), "FLASK_APP", place)]
    found.append(_flaskenv(environment, directory, place))
    if procfile and procfile.uwsgi is not None:
        found.append(by_uwsgi)
    elif procfile:
        start = os.path.join(directory, procfile.directory)
        web_folder = os.path.join(start, settings.web.chdir) if settings.web else start
        first = "application" if settings.web else ""
        found.append(locate.Clue(procfile.application or "", commands.PROCFILE, os.path.normpath(web_folder), first))
    found += [by_file, by_uwsgi]
    if served and served.program == "flask":  # where nothing is named it looks for these (Flask's cli.py)
        there = (name for name in ("wsgi.py", "app.py") if wsgi_source.find_object(os.path.join(here, name)))
        found.append(locate.Clue(next(there, ""), "flask run", here))
    return found


def _flaskenv(environment: dict[str, str], directory: str, place: str) -> locate.Clue:
    """FLASK_APP of a .flaskenv, which `flask` itself reads below .env."""
    from flagon import envfile

    if environment.get("FLASK_APP", "") != "":
        return locate.Clue("", "")
    variables = envfile.read(place or directory, environment, ".flaskenv")[0]
    return locate.Clue(variables.get("FLASK_APP", ""), "FLASK_APP in .flaskenv", place)


def _folder(boot: Boot) -> str:
    """Where gunicorn's own --chdir or `chdir` leads; where it is started if nowhere. Raises locate.NotFound."""
    chdir, source = gunicorn_file.chdir(boot)
    folder = os.path.normpath(os.path.join(gunicorn_file.start(boot), chdir))
    if chdir and not os.path.isdir(folder):
        raise locate.NotFound(f"{source} {chdir}: there is no folder {folder}")
    return folder


def _by_name(environment: dict[str, str], directory: str) -> locate.Clue:
    module, variable = compat.module_and_variable(environment, directory)
    return locate.Clue(f"{module}:{variable}" if variable else module, "MODULE_NAME")


def is_starter(boot: Boot, starter: str) -> bool:
    """Whether the user brought nothing, and this image has a starter."""
    return not locate.holds_anything(boot.directory) and os.path.isdir(starter) and not boot.values["APP_MODULE"]


def objects(found: list[locate.Clue], target: str) -> list[str]:
    """Objects of the module to try, where the clue that counts names none; where it names one, nothing.

    Without any clue only what is a factory is tried: the module may have an object made of it that its source hides.
    """
    clue, name = next((clue for clue in found if clue.text), None), target.partition(":")[2]
    factory = name.endswith("()")
    if clue is None:
        return [name] if factory else []
    if ":" in clue.text:
        return []
    tried = (clue.first, *([] if factory else [name]), *OBJECTS, *([name] if factory else []))
    return list(dict.fromkeys(filter(None, (*tried, *(name + "()" for name in FACTORIES), "api"))))


def shown(boot: Boot) -> str:
    """What is served, as it may be said before it is loaded: without an object that nobody has seen yet."""
    application = boot.application
    module = application.target.partition(":")[0]
    seen = source_of(application.base or application.directory, module) or not boot.objects
    return application.target if seen else module


def choose(boot: Boot, starter: str) -> locate.Application:
    """The user's, or the starter where the user brought nothing. Raises locate.NotFound."""
    if os.path.isdir(boot.directory) and not os.access(boot.directory, os.R_OK | os.X_OK):
        raise locate.NotFound(locate.unreadable(boot.directory))
    if is_starter(boot, starter):
        return locate.Application("app:create_app()", starter, "the starter: /app is empty")
    found, environment = clues(boot), boot.settings.environment
    application = locate.locate(boot.directory, found, environment)
    boot.objects = objects(found, application.target)
    follow = asgi_source.installed(boot.origin.folders())
    boot.asgi = asgi_source.kind(application.base or application.directory, application.target, follow)
    return application
