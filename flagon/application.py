"""Which application the box serves: every clue in its order, then the files; the starter where /app is empty."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flagon import compat, locate

if TYPE_CHECKING:
    from flagon.boot import Boot


def clues(boot: Boot) -> list[locate.Clue]:
    """What names the application, the strongest first."""
    settings, environment, directory = boot.settings, boot.settings.environment, boot.directory
    old = settings.old
    named = {name: text for name, text in environment.items() if name not in old.left}
    found = [locate.Clue(boot.values["APP_MODULE"] or "", "APP_MODULE"), _by_name(named, directory)]
    found.append(locate.Clue(environment.get("FLASK_APP", ""), "FLASK_APP"))
    web = settings.web
    if web and web.application:
        folder = os.path.join(directory, web.chdir) if web.chdir else ""
        found.append(locate.Clue(web.application, "Procfile", folder))
    found.append(locate.Clue(old.application, "uwsgi.ini", old.directory, "application"))
    return found


def _by_name(environment: dict[str, str], directory: str) -> locate.Clue:
    module, variable = compat.module_and_variable(environment, directory)
    return locate.Clue(f"{module}:{variable}" if variable else module, "MODULE_NAME")


def is_starter(boot: Boot, starter: str) -> bool:
    """Whether the user brought nothing, and this image has a starter."""
    return not locate.holds_anything(boot.directory) and os.path.isdir(starter) and not boot.values["APP_MODULE"]


def choose(boot: Boot, starter: str) -> locate.Application:
    """The user's, or the starter where the user brought nothing. Raises locate.NotFound."""
    if is_starter(boot, starter):
        return locate.Application("app:create_app()", starter, "the starter: /app is empty")
    return locate.locate(boot.directory, clues(boot))
