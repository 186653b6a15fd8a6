"""Which WSGI object to serve: from what is given, from the user's files, or by its name. Imports nothing."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from flagon import asgi_source, server_calls, workdir, wsgi_source
from flagon.wsgi_source import FACTORIES, find_object, source_of

SHOWN = 5  # names of files in a message
SYNTAX = re.compile(r" \(line \d+: ")  # of what wsgi_source.broken says
MODULES = ("app", "main", "wsgi", "application", "server", "run", "autoapp")
# Where an application is made for its server, with the settings of production.
MADE = ("wsgi", "run", "main", "autoapp")
# Folders whose Python files are not the application.
ASIDE = frozenset({"tests", "test", "docs", "migrations", "scripts", "node_modules", "venv", "env", "build", "dist"})


class Application(NamedTuple):
    """What to serve: `module:object` relative to `directory`, and why it was chosen."""

    target: str
    directory: str
    why: str
    base: str = ""  # where the module's name begins, if not in `directory`


class NotFound(Exception):
    """No application, or several; the message lists what was looked at and names the variable to set."""


class Several(NotFound):
    """Several, and none can be told from the rest."""


class Clue(NamedTuple):
    """A target that somebody named, and where: APP_MODULE, FLASK_APP, Procfile, uwsgi.ini. Empty text: no clue."""

    text: str
    source: str
    directory: str = ""  # where its names begin, if not in /app
    first: str = ""  # the object that is looked for before the others


def given(directory: str, text: str, source: str, first: str = "") -> Application:
    """A target that somebody named: completed where the object is missing."""
    module, _, name = text.strip().partition(":")
    if module.startswith(directory.rstrip("/") + "/"):
        module = module[len(directory.rstrip("/")) + 1 :]
    module = re.sub(r"\.py\Z", "", module).replace("/", ".").strip(".")
    base = workdir.base(directory, module)
    path = source_of(base or directory, module)
    if not name:
        name = (
            find_object(path, first) or asgi_source.find(base or directory, module, first) if path else None
        ) or first
        name = name or "app"
    elif name in FACTORIES or wsgi_source.is_factory(path, name):
        name += "()"
    why = f"{source}={text}" + (f", found in {path}" if base else "")
    return Application(f"{module}:{name}", directory, why, base)


def holds_anything(directory: str) -> bool:
    """Whether the user brought something: any file or folder but dotfiles."""
    try:
        return any(not name.startswith(".") and name != "lost+found" for name in os.listdir(directory))
    except OSError:
        return False


def empty_mount(directory: str) -> str:
    """That a folder is mounted and brings nothing, and the next step; empty if it is not so."""
    from flagon import places

    if not os.path.isdir(directory) or holds_anything(directory) or (mount := places.mount_of(directory)) == "/":
        return ""
    dots = sorted(name for name in os.listdir(directory) if name.startswith("."))
    what = f"holds nothing but {', '.join(dots[:SHOWN])}" if dots else "is empty"
    return (
        f"{directory} is mounted ({mount}), and the folder {what}: is it the right one? An engine makes an empty "
        f'folder of a path that is not on the host. In the folder of the application: docker run -v "$PWD:{mount}"'
    )


def locate(directory: str, clues: list[Clue], environ: Mapping[str, str] | None = None) -> Application:
    """The application below `directory`: the first clue's, else by its files. Raises NotFound with one message.

    `environ` is the application's environment; ours if it is not given.
    """
    for clue in clues:
        if clue.text:
            return given(clue.directory or directory, clue.text, clue.source, clue.first)
    looked: list[str] = []
    folders = [directory, os.path.join(directory, "src")]
    for folder in folders:
        found = _django(folder, os.environ if environ is None else environ, looked) or _by_module(folder, looked)
        if found:
            return found
    plain = _only_one(folders, wsgi_source.evident_object)
    if plain:  # WSGI comes before ASGI wherever both are offered
        return _chosen(directory, plain, "WSGI")
    for folder in folders:
        if asgi := _asgi(folder):
            return asgi
    plain = _only_one(folders, None)
    if plain:
        return _chosen(directory, plain, "ASGI")
    if nothing := empty_mount(directory):
        raise NotFound(f"no WSGI or ASGI application found: {nothing}")
    seen = "; ".join(looked) if looked else "no " + ", ".join(name + ".py" for name in MODULES) + " there"
    step = "Set APP_MODULE=module:object, such as APP_MODULE=shop:app or APP_MODULE=shop.web:create_app()."
    if any(SYNTAX.search(text) for text in looked):
        step = "What is no Python there is to be corrected, or APP_MODULE=module:object names another file."
    raise NotFound(f"no WSGI or ASGI application found in {directory}: looked at {seen}. {step}")


def _django(folder: str, environ: Mapping[str, str], looked: list[str]) -> Application | None:
    """A project with a manage.py, by the wsgi module beside its settings."""
    if not os.path.isfile(os.path.join(folder, "manage.py")):
        return None
    from flagon import django_project  # not at each start

    project = django_project.find(folder, environ)
    if project and project.wsgi:
        name = find_object(source_of(folder, project.wsgi) or "", "application") or "application"
        return Application(f"{project.wsgi}:{name}", folder, project.why)
    looked += [project.why] if project else []
    return None


def _by_module(folder: str, looked: list[str]) -> Application | None:
    """The customary names. app/main.py is before them all: the old gunicorn images looked there first."""
    nested = os.path.join(folder, "app", "main.py")
    importable = os.path.isfile(os.path.join(folder, "app", "__init__.py")) or not source_of(folder, "app")
    candidates = [("app.main", nested)] if importable and os.path.isfile(nested) else []
    candidates += [(module, source_of(folder, module) or "") for module in MODULES]
    for module, path in candidates:
        if not path:
            continue
        name = find_object(path)
        if name and name.endswith("()") and asgi_source.kind(folder, f"{module}:{name}"):
            name = asgi_source.find(folder, module)  # an application that is made already comes before its factory
        if name:
            made = _made(folder) if name.endswith("()") else None
            return made or Application(f"{module}:{name}", folder, f"found in {path}")
        looked.append(f"{path} ({_why_not(path)})")
    return None


def unreadable(path: str) -> str:
    """Who cannot read it, whose it is, and the line that mends it; empty if it can be read."""
    if os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0)):
        return ""
    from flagon import places

    uid, mount = os.geteuid(), places.mount_of(path)
    mend = (
        f"{mount} is mounted: `chmod -R a+rX` its folder, or start the container with -e RUN_AS=owner"
        if mount != "/"
        else f"in the Dockerfile: RUN chmod -R a+rX {path}, or COPY --chown={uid}:0"
    )
    return f"uid {uid} cannot read {path}: it {places.owned(path)}; {mend}"


def _made(folder: str) -> Application | None:
    """An object that somebody has made of a factory: it wins over the factory called without arguments."""
    for module in MADE:
        path = source_of(folder, module)
        name = find_object(path) if path else None
        if path and name and not name.endswith("()") and not server_calls.at_import(path):
            return Application(f"{module}:{name}", folder, f"found in {path}")
    return None


def _why_not(path: str) -> str:
    if closed := unreadable(path):
        return closed
    if several := wsgi_source.several(path):
        return f"makes several, {', '.join(several)}, and none is called app or application"
    return wsgi_source.broken(path) or "no app, application, api, create_app() or make_app()"


def _asgi(folder: str) -> Application | None:
    """An ASGI application, where there is none of WSGI: Django's, the customary names, app/main.py before them all."""
    settings = wsgi_source.django_settings(os.path.join(folder, "manage.py"))
    parts = (settings or "").split(".")
    modules = [".".join([*parts[:length], "asgi"]) for length in range(len(parts) - 1, 0, -1)]
    nested = os.path.isfile(os.path.join(folder, "app", "main.py"))
    for module in (*modules, *["app.main"] * nested, *asgi_source.MODULES):
        path = source_of(folder, module)
        name = asgi_source.find(folder, module) if path else None
        if path and name:
            return Application(f"{module}:{name}", folder, f"found in {path}")
    return None


def _only_one(folders: list[str], evident: Callable[[str], str | None] | None) -> list[Application]:
    """Files of any name that plainly make an application: of WSGI by `evident`, of ASGI without it."""
    found: list[Application] = []
    for folder in folders:
        paths = sorted(glob.glob(os.path.join(glob.escape(folder), "*.py")))
        packages = sorted(glob.glob(os.path.join(glob.escape(folder), "*", "__init__.py")))
        for path in paths + [path for path in packages if path.split("/")[-2] not in ASIDE]:
            module = os.path.relpath(path, folder).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            name = evident(path) if evident else asgi_source.evident(folder, module)
            if name and not (evident and asgi_source.kind(folder, f"{module}:{name}")):
                found.append(Application(f"{module}:{name}", folder, f"found in {path}, the only one"))
    return found


def _chosen(directory: str, found: list[Application], kind: str) -> Application:
    """The only one. Raises NotFound where there are several."""
    if len(found) == 1:
        return found[0]
    several = ", ".join(application.target for application in found)
    raise Several(
        f"several {kind} applications in {directory}, and none has a customary name: {several}. "
        f"Set APP_MODULE to the one to serve, such as APP_MODULE={found[0].target}."
    )
