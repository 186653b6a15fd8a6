"""Which application the box serves: every clue in its order, then the files; the starter where /app is empty."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flagon import locate

if TYPE_CHECKING:
    from flagon.boot import Boot


def clues(boot: Boot) -> list[locate.Clue]:
    """What names the application, the strongest first."""
    settings, environment, directory = boot.settings, boot.settings.environment, boot.directory
    old = settings.old
    found = [locate.Clue(boot.values["APP_MODULE"] or "", "APP_MODULE"), _by_name(environment, directory)]
    found.append(locate.Clue(environment.get("FLASK_APP", ""), "FLASK_APP"))
    web = settings.web
    if web and web.application:
        folder = os.path.join(directory, web.chdir) if web.chdir else ""
        found.append(locate.Clue(web.application, "Procfile", folder))
    found.append(locate.Clue(old.application, "uwsgi.ini", old.directory, "application"))
    return found


def _by_name(environment: dict[str, str], directory: str) -> locate.Clue:
    """MODULE_NAME and VARIABLE_NAME of the old gunicorn images; app.main where there is an app/main.py, else main."""
    module, variable = (environment.get(name, "").strip() for name in ("MODULE_NAME", "VARIABLE_NAME"))
    if not module and not variable:
        return locate.Clue("", "MODULE_NAME")
    if not module:
        module = "app.main" if os.path.isfile(os.path.join(directory, "app", "main.py")) else "main"
    return locate.Clue(f"{module}:{variable}" if variable else module, "MODULE_NAME")


def choose(boot: Boot, starter: str) -> locate.Application:
    """The user's, or the starter where the user brought nothing. Raises locate.NotFound."""
    if not locate.holds_anything(boot.directory) and os.path.isdir(starter) and not boot.values["APP_MODULE"]:
        return locate.Application("app:create_app()", starter, "the starter: /app is empty")
    return locate.locate(boot.directory, clues(boot))
