"""Import the application, and say in one message what is wrong when that fails."""

from __future__ import annotations

import ast
import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from flagon import old_code
from flagon.inside import packages
from flagon.inside.after_import import AfterImport

FRAMES_SHOWN = 6


class LoadError(Exception):
    """The application cannot be loaded; the message names file, object and variable."""


class NoObject(Exception):
    """The module is there, and what is to be served is not in it, or cannot be called so."""


class ServesAtImport(Exception):
    """app.run() without a guard: it would block the import for ever."""


def _refuse_to_serve(*_: Any, **__: Any) -> None:
    raise ServesAtImport


def _disarm(module: ModuleType) -> None:
    """werkzeug.serving without run_simple: that is what app.run() ends in."""
    module.run_simple = _refuse_to_serve  # type: ignore[attr-defined]


@contextmanager
def no_serving() -> Iterator[None]:
    """While the application is imported, starting a development server is an error and no hang."""
    import socketserver

    finder = AfterImport("werkzeug.serving", _disarm)
    sys.meta_path.insert(0, finder)
    real = socketserver.BaseServer.serve_forever
    import threading

    def guarded(self: Any, *arguments: Any, **named: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            raise ServesAtImport
        real(self, *arguments, **named)

    socketserver.BaseServer.serve_forever = guarded  # type: ignore[method-assign]
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
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
            hasattr(value, "wsgi_app")
            or re.match(r"(create|make|get)_?(\w*_)?app", name)
            or name in ("application", "app", "wsgi", "server", "api")
        )
    ]
    file = os.path.relpath(getattr(module, "__file__", None) or module.__name__)
    return f". {file} has: {', '.join(found)}" if found else ""


def _denied(error: PermissionError) -> str:
    """Who may not do what, whose it is, and the line that mends it."""
    from flagon import places  # not at each cold start

    uid = os.geteuid()
    if not error.filename:
        return f"uid {uid} runs the application."
    path = os.path.abspath(os.fsdecode(error.filename))
    there = path
    while not os.path.exists(there):
        there = os.path.dirname(there)
    status = os.stat(there)
    whose = f"{there if there != path else 'it'} belongs to uid {status.st_uid}, mode {status.st_mode & 0o7777:o}"
    mount = max((point for point in places.mount_points() if f"{there}/".startswith(f"{point}/")), key=len, default="/")
    if mount != "/" and status.st_uid:
        mend = f"{mount} is mounted: start the container with -e RUN_AS={status.st_uid}, or give it to uid {uid}"
    elif mount != "/":
        mend = (
            f"{mount} is mounted, so no Dockerfile changes it. Once: "
            f"docker run --rm --user 0 -v ...:{mount} IMAGE chown -R {uid} {mount}"
        )
    elif os.path.isfile(there):
        mend = f"In the Dockerfile: RUN chown {uid} {there}"
    else:
        mend = f"In the Dockerfile, before a USER line: RUN mkdir -p {path} && chown -R {uid} {path}"
    return f"uid {uid} runs the application; {whose}. {mend}"


def _frames(error: BaseException) -> str:
    """The last frames of the traceback, without ours and importlib's."""
    here = os.path.dirname(__file__)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(here) and "importlib" not in frame.filename
    ]
    return "".join(traceback.format_list(frames[-FRAMES_SHOWN:]))


def load(target: str, why: str) -> Any:
    """`module:expression` -> the WSGI callable. Raises LoadError."""
    name, _, expression = target.partition(":")
    head = f"the application {target} ({why}) cannot be loaded: "
    tail = "\nSet APP_MODULE=module:object if this is not the object to serve."
    try:
        with no_serving():
            module = importlib.import_module(name)
            found = _object(module, expression or "app")
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
        ) from None
    except ModuleNotFoundError as error:
        own = error.name and (name == error.name or name.startswith(error.name + "."))
        raise LoadError(
            f"{head}no module named {error.name!r}.\n{_frames(error)}{_missing(error, name)}{tail if own else ''}"
        ) from None
    except PermissionError as error:
        raise LoadError(f"{head}PermissionError: {error}\n{_frames(error)}{_denied(error)}") from None
    except BaseException as error:
        text = traceback.format_exception_only(type(error), error)[-1].strip()
        raise LoadError(f"{head}{text}\n{_frames(error)}{_old(error).strip()}".rstrip()) from None
    if not callable(found):
        raise LoadError(f"{head}it is a {type(found).__name__}, not a WSGI callable.{tail}")
    return found


def _old(error: BaseException) -> str:
    """Why code of another time fails on this Python, or what is not installed, on a line of its own."""
    why = old_code.of_error(error) or packages.of_import(error)
    return f"\n{why}" if why else ""


def _missing(error: ModuleNotFoundError, target: str) -> str:
    missing = error.name or ""
    if old_code.of_error(error):
        return old_code.of_error(error)
    if target == missing or target.startswith(missing + "."):
        return f"There is no {missing} below {os.getcwd()}."
    listed = os.path.isfile("requirements.txt") or os.path.isfile("pyproject.toml")
    or_at_start = ", or set PIP_INSTALL=1 to have it installed at the start" if listed else ""
    return f"Add {packages.distribution(missing)} to requirements.txt and install it in your image{or_at_start}."
