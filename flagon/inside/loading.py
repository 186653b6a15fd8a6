"""Import the application, and say in one message what is wrong when that fails."""

from __future__ import annotations

import ast
import errno
import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FunctionType, MethodType, ModuleType
from typing import Any

from flagon import old_code
from flagon.inside import green, own_signals, packages, slow_import
from flagon.inside.after_import import AfterImport

FRAMES_SHOWN = 6
OF_VERSIONS = (ImportError, AttributeError, TypeError, SyntaxError)
ASYNCHRONOUS, ANY_NUMBER = 0x80 | 0x200, 0x04  # inspect.CO_COROUTINE and CO_ASYNC_GENERATOR, CO_VARARGS


class LoadError(Exception):
    """The application cannot be loaded; the message names file, object and variable."""


class Denied(LoadError):
    """A file that this user may not read or write."""


class Refused(LoadError):
    """It is loaded, or could be, and cannot be served so: what must change is a setting, or who may read a file."""


class NoObject(Exception):
    """The module is there, and what is to be served is not in it, or cannot be called so."""


class ServesAtImport(Exception):
    """app.run() without a guard: it would block the import for ever."""


def _refuse_to_serve(*_: Any, **__: Any) -> None:
    raise ServesAtImport


def _disarm(module: ModuleType) -> None:
    """werkzeug.serving without run_simple: that is what app.run() ends in."""
    module.run_simple = _refuse_to_serve  # type: ignore[attr-defined]


def _disarm_uvicorn(module: ModuleType) -> None:
    """uvicorn.run() in the thread that imports: an application may well run a server in another one, or later."""
    import threading

    real = module.Server.run

    def guarded(self: Any, *arguments: Any, **named: Any) -> Any:
        if _loading[0] and threading.current_thread() is threading.main_thread():
            raise ServesAtImport
        return real(self, *arguments, **named)

    module.Server.run = guarded


_loading = [False]
was_root = [True]  # the container was started as root: its image ends without a USER line


@contextmanager
def no_serving() -> Iterator[None]:
    """While the application is imported, starting a development server is an error and no hang."""
    import socketserver

    finders = [AfterImport("werkzeug.serving", _disarm), AfterImport("uvicorn.server", _disarm_uvicorn)]
    sys.meta_path[0:0] = finders
    real = socketserver.BaseServer.serve_forever
    import threading

    def guarded(self: Any, *arguments: Any, **named: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            raise ServesAtImport
        real(self, *arguments, **named)

    socketserver.BaseServer.serve_forever = guarded  # type: ignore[method-assign]
    _loading[:] = [True]
    try:
        yield
    finally:
        for finder in finders:
            sys.meta_path.remove(finder)
        _loading[:] = [False]
        socketserver.BaseServer.serve_forever = real  # type: ignore[method-assign]


def _object(module: ModuleType, expression: str) -> Any:
    """`app`, `web.app`, `create_app()` or `create_app('production')` in a module. Raises NoObject."""
    try:
        tree = ast.parse(expression, mode="eval").body
        call = tree if isinstance(tree, ast.Call) else None
        positional = [ast.literal_eval(argument) for argument in call.args] if call else []
        named = (
            {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg} if call else {}
        )
    except (SyntaxError, ValueError):
        raise NoObject(f"{expression} is neither a name nor a call with plain values") from None
    value: Any = module
    for name in ast.unparse(call.func if call else tree).split("."):
        try:
            value = getattr(value, name)
        except AttributeError as error:
            raise NoObject(f"AttributeError: {error}{_offer(module)}") from None
    if call is not None:
        try:
            value = value(*positional, **named)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # nothing of it has run
                raise NoObject(f"TypeError: {error}") from None
            raise
    return value


def _offer(module: ModuleType) -> str:
    """What the module could mean: its own objects that can be called, and functions that make an application."""
    found = [
        name + "()" * isinstance(value, FunctionType)
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and type(value).__name__ != "LocalProxy"
        and (
            (hasattr(value, "wsgi_app") and not isinstance(value, type))
            or re.match(r"(create|make|get)_?(\w*_)?app", name)
            or name in ("application", "app", "wsgi", "server", "api")
        )
    ]
    file = os.path.relpath(getattr(module, "__file__", None) or module.__name__)
    return f". {file} has: {', '.join(found)}" if found else ""


def _denied(error: PermissionError) -> str:
    """Who may not do what, whose it is, and the line that mends it."""
    from flagon import permissions  # not at each cold start

    uid = os.geteuid()
    if not error.filename:
        return f"uid {uid} runs the application."
    frames = traceback.extract_tb(error.__traceback__)
    file = bool(frames) and "open(" in (frames[-1].line or "")
    return f"uid {uid} runs the application; {permissions.of_one(os.fsdecode(error.filename), uid, file, was_root[0])}"


def _frames(error: BaseException) -> str:
    """The last frames of the traceback, without ours and importlib's."""
    here = os.path.dirname(__file__)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(here) and "importlib" not in frame.filename
    ]
    shown = frames[-FRAMES_SHOWN:]
    own = [frame for frame in frames if _is_own(frame.filename)]
    if own and own[-1] not in shown:  # where the application comes in, of a deep library
        return "".join([*traceback.format_list(own[-1:]), "  ...\n", *traceback.format_list(shown)])
    return "".join(traceback.format_list(shown))


def _is_own(file: str) -> bool:
    """Whether a file is the application's: neither a package nor Python's own."""
    return "-packages/" not in file and not file.startswith((os.path.dirname(os.__file__), "<"))


def _first(module: ModuleType, objects: Sequence[str], otherwise: str) -> str:
    """The first of these that the module has and that can be called; before a factory the only Flask object.

    That is Flask's own order (find_best_app in its cli.py). Raises NoObject where there are several.
    """
    for name in objects:
        if name.endswith("()") and (made := _flask_object(module)):
            return made
        if callable(getattr(module, name.partition("(")[0], None)):
            return name
    return otherwise


def _flask_object(module: ModuleType) -> str:
    """The name of the module's only Flask object; empty if it has none. Raises NoObject."""
    flask = getattr(sys.modules.get("flask"), "Flask", None)
    if not isinstance(flask, type):
        return ""
    made = {id(value): name for name, value in vars(module).items() if issubclass(type(value), flask)}
    if len(made) > 1:
        raise NoObject(f"it has several Flask objects, and none is called app or application{_offer(module)}")
    return next(iter(made.values()), "")


def load_to_serve(options: dict[str, Any], say: Callable[[str], None]) -> Any:
    """The application, for the worker class that is to serve it. Raises LoadError. `say` takes a warning."""
    was_root[:] = [options.get("was_root", True)]
    drivers = green.install(options, say)
    try:
        with slow_import.told(options, say), own_signals.kept(say):
            found = load(options["target"], options["why"], options.get("objects", ()), options.get("asgi", False), say)
    except LoadError as error:
        if drivers and (hint := drivers.hint(error)):
            raise Refused(f"{error}\n{hint}") from None
        raise
    if why_not := green.refusal(options):
        raise Refused(f"the application {options['target']} cannot be served: {why_not}")
    if drivers:
        drivers.chosen()
    return found


def load(
    target: str,
    why: str,
    objects: Sequence[str] = (),
    asgi: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Any:
    """`module:expression` -> the WSGI callable, or ASGI's. Raises LoadError. `say` is told of another object than that.

    `objects`: where nobody has named the object, those to try, as the module alone knows what it has.
    """
    name, _, expression = target.partition(":")
    head = f"the application {target} ({why}) cannot be loaded: "
    tail = "\nSet APP_MODULE=module:object if this is not the object to serve."
    try:
        with no_serving():
            module = importlib.import_module(name)
            chosen = _first(module, objects, expression or "app")
            if expression.endswith("()") and not chosen.endswith("()"):
                say(f"{name}:{chosen} is served: an object that the module has made comes before a factory of its own")
            found = _object(module, chosen)
    except NoObject as error:
        raise LoadError(f"{head}{error}{_old(error.__context__ or error)}{tail}") from None
    except ServesAtImport as error:
        where = traceback.extract_tb(error.__traceback__)
        line = next(
            (f"{f.filename} line {f.lineno}" for f in reversed(where) if name.split(".")[-1] in f.filename), name
        )
        raise LoadError(
            f'{head}{line} starts a server while it is imported. Put app.run() below `if __name__ == "__main__":`'
        ) from None
    except SyntaxError as error:
        raise LoadError(
            f"{head}{error.filename} line {error.lineno}: {error.msg}: {(error.text or '').strip()}{_old(error)}"
            f"{_package(error.filename or '')}"
        ) from None
    except ModuleNotFoundError as error:
        own = error.name and (name == error.name or name.startswith(error.name + "."))
        if closed := _closed(error.name or ""):
            raise Denied(f"{head}no module named {error.name!r}.\n{_frames(error)}{closed}") from None
        raise LoadError(
            f"{head}no module named {error.name!r}.\n{_frames(error)}{_missing(error, name)}{_raised_in(error)}"
            f"{tail if own else ''}"
        ) from None
    except PermissionError as error:
        raise Denied(f"{head}PermissionError: {error}\n{_frames(error)}{_denied(error)}") from None
    except BaseException as error:
        text = traceback.format_exception_only(type(error), error)[-1].strip()
        if "database" in str(error):
            from flagon.inside import sqlite_denied

            if advice := sqlite_denied.advice(error, was_root[0]):
                raise Denied(f"{head}{text}\n{_frames(error)}{advice}") from None
        raise LoadError(f"{head}{text}\n{_frames(error)}{_old(error).strip()}{_raised_in(error)}".rstrip()) from None
    if not callable(found):
        kind = "an ASGI" if asgi else "a WSGI"
        raise LoadError(f"{head}it is a {type(found).__name__}, not {kind} callable.{tail}")
    if asgi and is_wsgi(found):
        raise Refused(
            f"{head}it is WSGI, and WORKER_CLASS=asgi serves ASGI. Leave WORKER_CLASS out, or set WORKER_CLASS=fastcgi "
            f"if it was not given.{tail}"
        )
    if not asgi and is_asgi(found):
        raise Refused(f"{head}it is ASGI (async), and this worker class serves WSGI. Set WORKER_CLASS=asgi.{tail}")
    if not asgi and (why := _not_wsgi(found)):
        raise LoadError(f"{head}{why}{tail}")
    return found


def _called(found: Any) -> tuple[Any, Any, int]:
    """What is called first, what answers, and how many arguments of the first are its own object."""
    if isinstance(found, type):  # an instance is made of each request
        called, answers, itself = found.__init__, found.__call__, 1  # type: ignore[misc]
    elif isinstance(found, (FunctionType, MethodType)):
        called = answers = getattr(found, "__func__", found)
        itself = int(isinstance(found, MethodType))
    else:
        called = answers = type(found).__call__
        itself = 1
    return called, answers, itself


def _flags(function: Any) -> int:
    """By the code's own flags: `inspect` is milliseconds of a cold start."""
    return int(getattr(getattr(function, "__code__", None), "co_flags", 0))


def is_asgi(found: Any) -> bool:
    """Whether what is called, or what answers, is async."""
    called, answers, _ = _called(found)
    return bool((_flags(called) | _flags(answers)) & ASYNCHRONOUS)


def is_double(found: Any) -> bool:
    """ASGI 2: a class that is made with the scope, and whose instance is called with receive and send."""
    return isinstance(found, type) and is_asgi(found)


def is_wsgi(found: Any) -> bool:
    """Whether it can be called with environ and start_response alone, and is not async."""
    called, _, itself = _called(found)
    code = getattr(called, "__code__", None)
    if is_asgi(found) or code is None or _flags(called) & ANY_NUMBER:
        return False
    most = code.co_argcount - itself
    least = most - len(getattr(called, "__defaults__", None) or ())
    return bool(least <= 2 == most)


def _not_wsgi(found: Any) -> str:
    """Why an object that can be called is no WSGI application; empty if it may be one."""
    called, _, itself = _called(found)
    code = getattr(called, "__code__", None)
    if code is None or _flags(called) & ANY_NUMBER:
        return ""
    most = code.co_argcount - itself
    least = most - len(getattr(called, "__defaults__", None) or ())
    if least <= 2 <= most:
        return ""
    return f"it takes {most} arguments, and WSGI gives two, environ and start_response."


NO_SETTINGS = (
    "Django's settings are named by the variable DJANGO_SETTINGS_MODULE, such as "
    "-e DJANGO_SETTINGS_MODULE=shop.settings, or in the file that is served."
)


def _raised_in(error: BaseException) -> str:
    """The package whose code an error comes from, on a line of its own; empty if it is the application's.

    Said of what versions cause: a setting that is missing, a permission or a value is nobody's version.
    """
    if not isinstance(error, OF_VERSIONS):
        return ""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    files = [file for file in files if "importlib" not in file]
    return _package(files[-1]) if files else ""


def _package(path: str) -> str:
    _, found, inside = path.rpartition("/site-packages/")
    if not found:
        return ""
    from importlib import metadata

    module = inside.partition("/")[0].removesuffix(".py")
    with suppress(Exception):  # of a broken installation
        names = metadata.packages_distributions().get(module) or [  # Python 3.10 looks into top_level.txt alone
            one.name
            for one in metadata.distributions()
            if any(file.parts[0] in (module, f"{module}.py") for file in one.files or ())
        ]
        said = " and ".join(f"{name} {metadata.version(name)}" for name in dict.fromkeys(names))
        if said:
            return f"\nThat comes from the installed {said} (Python {old_code.THIS})."
    return ""


NO_DATABASE = (
    "Nobody has given DATABASE_URL: -e DATABASE_URL=postgresql://user:password@host/name, or, for SQLite in the volume "
    "at /data, -e DATABASE_URL=sqlite:////data/app.db."
)


def _old(error: BaseException) -> str:
    """Why code of another time fails on this Python, or what is not installed, on a line of its own."""
    why = old_code.of_error(error) or packages.of_import(error)
    if "DATABASE_URL" in str(error) and not os.environ.get("DATABASE_URL"):
        why = NO_DATABASE
    if "settings are not configured" in str(error) and not os.environ.get("DJANGO_SETTINGS_MODULE"):
        why = NO_SETTINGS
    return f"\n{why}" if why else ""


def _closed(module: str) -> str:
    """A folder of the application's that nobody may look into counts as none for an import."""
    path = os.getcwd()
    for part in module.split("."):
        path = os.path.join(path, part)
        if os.path.isdir(path) and not os.access(path, os.R_OK | os.X_OK):
            return _denied(PermissionError(errno.EACCES, "", path))
    return ""


def _missing(error: ModuleNotFoundError, target: str) -> str:
    missing = error.name or ""
    if old_code.of_error(error):
        return old_code.of_error(error)
    if target == missing or target.startswith(missing + "."):
        return f"There is no {missing} below {os.getcwd()}."
    return packages.missing(missing)
