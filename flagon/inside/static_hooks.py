"""What of an application sees a request before its static view does, or changes that view's answer.

nginx sends a static file past all of it. So middleware that is not known to let every request through keeps its static
files; hooks, which most applications have for other reasons, are named. The lists are of packages whose code was read:
Flask-CORS, Flask-Talisman, Flask-BasicAuth, Flask-SSLify and WhiteNoise refuse, redirect or add headers: not in them.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

# They measure and report, and pass every request and answer on.
WATCHERS = frozenset(
    "sentry_sdk opentelemetry newrelic ddtrace elasticapm aws_xray_sdk prometheus_flask_exporter "
    "flask_debugtoolbar".split()
)
# Middleware that hands on every request for a static file.
OPEN = WATCHERS | frozenset(
    "flask_socketio socketio engineio werkzeug.middleware.proxy_fix werkzeug.middleware.dispatcher werkzeug.debug "
    "werkzeug.middleware.profiler werkzeug.middleware.lint werkzeug.contrib.fixers".split()
)
# Hooks that refuse no GET of a static file, and add nothing to it that it needs.
HARMLESS = WATCHERS | frozenset(
    "flask_wtf flask_login flask_babel flask_limiter flask_seasurf flask_principal flask_dance flask_compress".split()
)
FRAMEWORK = frozenset({"flask", "werkzeug"})
# The way of a request through Flask's object: whoever overrides one of these sees all of them.
WAY = (
    "__call__", "wsgi_app", "full_dispatch_request", "preprocess_request", "dispatch_request", "finalize_request",
    "process_response",
)  # fmt: skip
INNER = ("__wrapped__", "app", "_app", "application", "wsgi_app", "wsgi", "__self__", "func")
ANSWER = ("__init__", "__call__", "get_wsgi_headers", "get_wsgi_response")


def modules(function: Any) -> Iterator[str]:
    """Where a function, a class or a wrapped function was really written: functools.wraps copies `__module__`."""
    if isinstance(function, type):
        yield function.__module__
        return
    function = getattr(function, "func", getattr(function, "__func__", function))  # partial, bound method
    wrapper = getattr(function, "_self_wrapper", None)  # wrapt's, which pretends to be what it wraps
    if wrapper is not None:
        yield from modules(wrapper)
    elif hasattr(function, "__globals__"):
        yield str(function.__globals__.get("__name__", ""))
    else:
        yield type(function).__module__
    if hasattr(function, "__wrapped__"):
        yield from modules(function.__wrapped__)


def of(names: Iterator[str], packages: frozenset[str]) -> bool:
    """Whether all these modules belong to these packages."""
    return all(name in packages or name.partition(".")[0] in packages for name in names)


def is_flasks(function: Any) -> bool:
    """Flask's own, or one that a watcher has wrapped."""
    return of(modules(function), FRAMEWORK | WATCHERS)


def lets_through(middleware: Any) -> bool:
    """Whether this middleware hands every request on, as it is known to."""
    if getattr(middleware, "static_files", None):  # socketio.WSGIApp serves some by itself
        return False
    written = modules(middleware) if hasattr(middleware, "__globals__") else iter([type(middleware).__module__])
    return of(written, OPEN)


def inner(middleware: Any) -> list[Any]:
    """What a middleware may call next: its attributes, what its closure and a bound method's object hold."""
    if isinstance(middleware, type):
        return []
    found = [getattr(middleware, name, None) for name in INNER]
    found += vars(middleware).values() if hasattr(middleware, "__dict__") else ()
    for cell in getattr(middleware, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # not filled yet
            found.append(cell.cell_contents)
    return [one for one in found if callable(one) and not isinstance(one, type) and one is not middleware]


def below(application: Any, *names: str) -> Any:
    """The object that has these attributes, at or below middleware that was put around it; None if there is none."""
    for _ in range(10):
        if application is None or all(hasattr(application, name) for name in names):
            return application
        found = (getattr(application, name, None) for name in ("app", "wsgi_app", "application"))
        application = next((one for one in found if callable(one)), None)
    return None


def overridden(application: Any) -> list[str]:
    """What of Flask's way to a view the application has replaced, in a subclass or on the object."""
    own = vars(application)
    found = [own[name] if name in own else getattr(type(application), name) for name in WAY if name != "wsgi_app"]
    found.append(type(application).wsgi_app)  # middleware on the object is walked through, not judged here
    return [said(function) for function in found if not is_flasks(function)]


def hooks(application: Any, blueprint: str) -> list[str]:
    """Functions that run around a static view of this blueprint ("" for the application's), where they may matter."""
    names: list[str | None] = [None]
    while blueprint:
        names.append(blueprint)
        blueprint = blueprint.rpartition(".")[0]
    tables = (application.before_request_funcs, application.url_value_preprocessors, application.after_request_funcs)
    found = [function for table in tables for name in names for function in table.get(name, ())]
    flask = sys.modules["flask"]
    for signal in (flask.request_started, flask.request_finished):
        with contextlib.suppress(RuntimeError):  # an old Flask without blinker, where nobody can listen
            found += signal.receivers_for(application)
    answers = application.response_class
    found += [function for name in ANSWER if not is_flasks(function := getattr(answers, name))]
    return [said(function) for function in found if not _harmless(function)]


def _harmless(function: Any) -> bool:
    """By where it was written and by what it wraps: a view of the user's behind login_required is the user's."""
    claimed = getattr(getattr(function, "func", function), "__module__", None) or ""
    return of(iter([claimed, *modules(function)]), HARMLESS)


def said(thing: Any) -> str:
    """Name, file and line, as far as it has them."""
    while hasattr(thing, "__wrapped__") and not is_flasks(thing.__wrapped__):
        thing = thing.__wrapped__
    thing = getattr(thing, "func", getattr(thing, "__func__", thing))
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    code = getattr(thing, "__code__", None)
    module = thing.__globals__.get("__name__") if code else named.__module__
    name = f"{module}.{named.__qualname__}".replace(".<locals>", "")
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name
