"""Which of Flagon's paths the application answers by a route of its own: there it is asked, and Flagon is not.

Only by what frameworks tell of their routes, behind middleware too. A request to find out would run the application's
code. A rule for everything (`/<path:rest>`) is no route for /up: the application would answer anything there.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from flagon.inside import static_hooks

MOST = 500  # objects that are looked at on the way to the applications


def of(application: Any, paths: list[str]) -> list[str]:
    """Those of `paths`, in their order, that equal a rule of the application's framework, or a mount."""
    found: set[str] = set()
    for thing, prefix in _walk(application):
        with contextlib.suppress(Exception):  # an object that is not what it looks like
            found.update(prefix + rule for rule in _rules(thing, [path.removeprefix(prefix) for path in paths]))
    return [path for path in paths if path in found]


def _walk(application: Any) -> Iterator[tuple[Any, str]]:
    """(object, path that it is mounted at) of all that may be an application, from the outermost to what is inside."""
    seen: set[int] = set()
    queue: list[tuple[Any, str]] = [(application, "")]
    while queue and len(seen) < MOST:
        thing, prefix = queue.pop(0)
        if thing is None or id(thing) in seen:
            continue
        seen.add(id(thing))
        yield thing, prefix
        yield getattr(thing, "__self__", None), prefix  # app.wsgi_app
        mounts = getattr(thing, "mounts", None)
        for path, mounted in mounts.items() if isinstance(mounts, dict) else ():
            queue.append((mounted, prefix + path.rstrip("/")))
        for route in routes(thing):
            if hasattr(route, "routes"):  # Starlette's Mount, and a router in a router
                queue.append((route, prefix + route.path.rstrip("/")))
        queue += [(inner, prefix) for inner in (*static_hooks.inner(thing), *_in_slots(thing), *_called(thing))]


def _in_slots(thing: Any) -> list[Any]:
    """What a middleware holds that has `__slots__`."""
    names = [name for kind in type(thing).__mro__ for name in _names(kind.__dict__.get("__slots__", ()))]
    found = [getattr(thing, name, None) for name in names if not name.startswith("__")]
    return [one for one in found if callable(one) and not isinstance(one, type)]


def _names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _called(thing: Any) -> list[Any]:
    """What a WSGI function of the user's, or an object's `__call__`, takes from its module: `site(environ, start)`."""
    function: Any = thing if hasattr(thing, "__code__") else getattr(type(thing), "__call__", None)  # noqa: B004 - which one, not whether
    code = getattr(function, "__code__", None)
    if code is None or code.co_argcount - (function is not thing) != 2 or static_hooks.is_flasks(function):
        return []
    found = [function.__globals__.get(name) for name in code.co_names]
    return [
        one
        for one in found
        if not isinstance(one, (type, FunctionType)) and type(one).__module__ != "werkzeug.local" and callable(one)
    ]


def routes(thing: Any) -> list[Any]:
    """The routes of Starlette, FastAPI and Litestar, which have a `path` each."""
    found = getattr(thing, "routes", None)
    return [one for one in found if isinstance(getattr(one, "path", None), str)] if isinstance(found, list) else []


def _rules(thing: Any, paths: list[str]) -> Iterator[str]:
    """The rules of one application, as far as they are among `paths`."""
    if hasattr(thing, "url_map"):  # Flask, and what is built on Werkzeug
        yield from (rule.rule for rule in thing.url_map.iter_rules())
    elif type(thing).__module__.startswith("django.core.handlers"):
        yield from _django(paths)
    elif type(thing).__module__.partition(".")[0] == "bottle" or _is(thing, "bottle", "Bottle"):
        yield from (route.rule for route in thing.routes)
    elif _is(thing, "falcon.app", "App"):
        for path in paths:
            found = thing._router.find(path)
            if found and found[3] == path:
                yield path
    elif _is(thing, "pyramid.router", "Router"):
        from pyramid.interfaces import IRoutesMapper  # type: ignore[import-not-found]

        yield from (route.pattern for route in thing.registry.getUtility(IRoutesMapper).get_routes())
    yield from (route.path for route in routes(thing))
    mounts = getattr(thing, "mounts", None)
    yield from mounts if isinstance(mounts, dict) else ()


def _is(thing: Any, module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(thing, kind)


def _django(paths: list[str]) -> Iterator[str]:
    from django.urls import Resolver404, resolve  # type: ignore[import-not-found]

    for path in paths:
        with contextlib.suppress(Resolver404):
            route = str(resolve(path).route).replace("^", "").removesuffix("$").removesuffix("\\Z")
            if route.strip("/") == path.strip("/") and not route.endswith("/"):
                yield path
