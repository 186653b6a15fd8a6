"""One record for what an ASGI application raises: gunicorn drops it after a complete response, where Starlette raises.

Starlette's ServerErrorMiddleware sends the page of the 500 first, and background tasks run after the answer.
"""

from __future__ import annotations

import asyncio
import logging

from flagon.inside.logs import KNOWN

# What frameworks raise in the application where a client has left: no fault of anybody's (asgiref's specs/www.rst).
LEFT = frozenset({
    "ClientDisconnect", "ClientDisconnected", "WebSocketDisconnect", "WebSocketDisconnected", "RequestAborted",
})  # fmt: skip


def report(error: BaseException, left: bool) -> None:
    """Log what the application raised, once, with its traceback. `left`: it was told that the client has."""
    if _is_fault(error, left):
        logging.getLogger("gunicorn.error").error("Exception in ASGI application", exc_info=error)
    error.__dict__[KNOWN] = True  # for gunicorn, which logs some of them


def _is_fault(error: BaseException, left: bool) -> bool:
    if parts := getattr(error, "exceptions", ()):  # an ExceptionGroup, of anyio's task groups say
        return any(_is_fault(part, left) for part in parts)
    if isinstance(error, asyncio.CancelledError):
        return not _is_told_to_end()
    if left and any(kind.__name__ in LEFT for kind in type(error).__mro__):
        return False
    return isinstance(error, (Exception, SystemExit))


def _is_told_to_end() -> bool:
    """Whether this task was cancelled from outside; Python 3.10 cannot say, and it most often was."""
    task = asyncio.current_task()
    return getattr(task, "cancelling", lambda: 1)() > 0
