"""Which static folders the loaded application names: nginx serves them. Flask's and every blueprint's; Django's."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flagon import published
from flagon.inside import static_hooks

MOST = 500  # objects that are looked at on the way to the applications
NAMED = 5  # functions in one line
NOBODY: dict[str, Any] = {"on": False, "off": False, "given": "", "old": "", "old_folder": ""}


class Folder(NamedTuple):
    """One static folder, and who names it."""

    url: str  # with a slash at its end
    folder: str
    cache: str  # Cache-Control's value
    application: Any = None  # Flask's, whose url_for gives the urls of `endpoint`
    endpoint: str = ""
    code: tuple[str, ...] = ()  # folders of the application and of the blueprint that names it
    around: tuple[str, ...] = ()  # what may answer in place of its view: middleware, overridden methods, other routes
    hooks: tuple[str, ...] = ()  # what runs around its view


class Found(NamedTuple):
    """Static folders: nginx's, the application's, and what is to be said of them."""

    served: list[Folder]
    left: list[Folder]
    lines: list[str]


NOTHING = Found([], [], [])  # of an application that serves its files itself


def find(application: Any, anyway: Mapping[str, Any] = NOBODY, protected: Mapping[str, str] | None = None) -> Found:
    """Every static folder that is served as its framework does by default, each path once.

    `anyway`: for whom nginx serves whatever is around (flagon.site.served_anyway). `protected`: what is never served.
    """
    found: list[Folder] = []
    with contextlib.suppress(Exception):  # an unusual application: it serves its files itself
        found = list(Search().of(application, "", (), ()))
    result = Found([], [], [])
    said: dict[tuple[bool, tuple[str, ...]], list[Folder]] = {}
    for folder in list({folder.url: folder for folder in reversed(found)}.values())[::-1]:
        held = published.holds(folder.folder, {**dict.fromkeys(folder.code, "the code folder"), **(protected or {})})
        told = anyway["on"] or folder.url == anyway["given"]
        serves = not held and (not folder.around or told or folder.url == anyway["old"])
        (result.served if serves else result.left).append(folder)
        passed = folder.around + folder.hooks if serves else folder.around
        if anyway["off"]:
            continue
        if held:
            result.lines.append(
                f"static files: nginx does not serve {folder.folder} ({folder.url}), which {held}: it is left to the "
                "application. Give static files a folder of their own"
            )
        elif passed and not told:
            said.setdefault((serves, passed), []).append(folder)
    if not found and anyway["old_folder"] and not _is_flask(application) and not (anyway["on"] or anyway["off"]):
        said[True, (static_hooks.said(application),)] = [Folder(anyway["old"], anyway["old_folder"], "")]
    result.lines.extend(_line(served, passed, folders) for (served, passed), folders in said.items())
    return result


def _line(served: bool, passed: tuple[str, ...], folders: list[Folder]) -> str:
    where = ", ".join(f"{folder.folder} ({folder.url})" for folder in folders)
    names = list(dict.fromkeys(passed))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    what = ", ".join(names[:NAMED]) + more
    if served:
        return (
            f"static files: nginx serves {where} past {what}. If that protects them or adds headers, STATIC_FILES=off "
            "leaves them to the application; STATIC_FILES=on says that it may be so"
        )
    return (
        f"static files: {where} is left to the application, because of {what}. "
        "STATIC_FILES=on has nginx serve it, past that; now it refuses and adds headers itself, and each file takes a "
        "request thread"
    )


class Search:
    """Through middleware and mounts, to the applications inside."""

    def __init__(self) -> None:
        self.steps = 0

    def of(self, thing: Any, prefix: str, around: tuple[str, ...], trail: tuple[int, ...]) -> Iterator[Folder]:
        """`around`: what on the way may answer in their place, `trail`: the objects on the way."""
        self.steps += 1
        if thing is None or id(thing) in trail or self.steps > MOST:
            return
        method, trail = getattr(thing, "__self__", None), (*trail, id(thing))
        if _is_flask(thing):
            yield from self._flask_object(thing, prefix, around, trail)
        elif _is_flask(method) and getattr(thing, "__name__", "") == "wsgi_app":
            yield from _flask(method, prefix, around)
        elif type(thing).__module__.startswith("django.core.handlers"):
            yield from _django(around)
        else:
            yield from self._middleware(thing, prefix, around, trail)

    def _flask_object(
        self, application: Any, prefix: str, around: tuple[str, ...], trail: tuple[int, ...]
    ) -> Iterator[Folder]:
        """Flask's object: what stands in place of its wsgi_app comes first."""
        around = (*around, *static_hooks.overridden(application))
        wrapped = vars(application).get("wsgi_app")
        if wrapped is None:
            yield from _flask(application, prefix, around)
            return
        found = list(self.of(wrapped, prefix, around, trail))
        if not any(folder.application is application for folder in found):  # it does not show what it calls
            found += _flask(application, prefix, (*around, static_hooks.said(wrapped)))
        yield from found

    def _middleware(self, thing: Any, prefix: str, around: tuple[str, ...], trail: tuple[int, ...]) -> Iterator[Folder]:
        if not static_hooks.lets_through(thing):
            around = (*around, static_hooks.said(thing))
        mounts = getattr(thing, "mounts", None)
        mounts = mounts if isinstance(mounts, dict) else {}
        for path, mounted in mounts.items():
            yield from self.of(mounted, prefix + path.rstrip("/"), around, trail)
        for each in static_hooks.inner(thing):
            found: list[Folder] = []
            with contextlib.suppress(Exception):  # an object that is not what it looks like
                found = list(self.of(each, prefix, around, trail))
            if found:
                yield from _beside(found, [prefix + path.rstrip("/") + "/" for path in mounts])
                return


def _beside(found: list[Folder], mounts: list[str]) -> Iterator[Folder]:
    """Folders of an application beside which others are mounted: these answer for their paths."""
    for folder in found:
        if not folder.url.startswith(tuple(mounts)):
            inner = [mount for mount in mounts if _shadows(mount, folder.url, folder.folder)]
            yield folder._replace(around=(*folder.around, *(f"what is mounted at {mount}" for mount in inner)))


def _shadows(rule: str, url: str, folder: str) -> bool:
    """Whether a rule or a mount may answer for files of a folder. At / only where there are such files."""
    if not rule.startswith(url) or rule == url:
        return False
    if url != "/":
        return True
    literal, variable, _ = rule[1:].partition("<")
    if not literal and variable:
        return not rule.startswith("/<path:")  # else the folder's own rule is as good, and comes first
    place = os.path.join(folder, os.path.dirname(literal) if variable else literal.rstrip("/"))
    return os.path.exists(place)


def _is_flask(thing: Any) -> bool:
    return hasattr(thing, "url_map") and hasattr(thing, "blueprints") and hasattr(thing, "wsgi_app")


def _flask(application: Any, prefix: str, around: tuple[str, ...]) -> Iterator[Folder]:
    """The rules that Flask itself has made: neither wrapped nor overridden, for any host."""
    cache = _cache_control(application)
    if cache is None:
        return
    rules = list(application.url_map.iter_rules())
    for rule in rules:
        name, _, last = rule.endpoint.rpartition(".")
        owner = application.blueprints.get(name) if name else application
        if last != "static" or rule.arguments != {"filename"} or rule.host or rule.subdomain or owner is None:
            continue
        view = application.view_functions.get(rule.endpoint)
        path, _, rest = rule.rule.partition("<path:filename>")
        folder = getattr(owner, "static_folder", None)
        plain = static_hooks.is_flasks(view) and static_hooks.is_flasks(type(owner).send_static_file)
        if folder and plain and not rest and path.endswith("/") and "<" not in path and os.path.isdir(folder):
            yield Folder(
                prefix + path,
                os.path.abspath(folder),
                cache,
                application,
                rule.endpoint,
                (application.root_path, owner.root_path, application.instance_path),
                (*around, *_routes_below(rules, path, folder)),
                tuple(static_hooks.hooks(application, name)),
            )


def _routes_below(rules: list[Any], path: str, folder: str) -> Iterator[str]:
    """Routes of the application's own among its static files: it may have its reasons."""
    for rule in rules:
        asked = rule.methods is None or "GET" in rule.methods
        if asked and rule.endpoint.rpartition(".")[2] != "static" and _shadows(rule.rule, path, folder):
            yield f"the route {rule.rule}"


def _cache_control(application: Any) -> str | None:
    """What Flask's static route says, from SEND_FILE_MAX_AGE_DEFAULT; None if it is decided for each file."""
    if not static_hooks.is_flasks(type(application).get_send_file_max_age):
        return None
    age = application.config.get("SEND_FILE_MAX_AGE_DEFAULT")
    if age is None:
        return "no-cache"
    seconds = int(age.total_seconds() if hasattr(age, "total_seconds") else age)
    return f"public, max-age={seconds}" if seconds > 0 else "no-cache"


def _django(around: tuple[str, ...]) -> Iterator[Folder]:
    """STATIC_URL and STATIC_ROOT, once collectstatic has filled it. Django itself serves them to nobody."""
    settings = sys.modules["django.conf"].settings
    url, folder = settings.STATIC_URL, settings.STATIC_ROOT
    noise = tuple(name for name in settings.MIDDLEWARE if name.startswith("whitenoise."))  # adds headers of its own
    if url and folder and str(url).startswith("/") and str(url).endswith("/") and os.path.isdir(folder):
        yield Folder(str(url), os.path.abspath(folder), "", around=(*around, *noise))
