"""gunicorn's request hooks on the FastCGI wire: called only if the user set them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Request:
    """What gunicorn's pre_request and post_request hooks read of a request."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.method = environ["REQUEST_METHOD"]
        self.uri = environ.get("REQUEST_URI", "")
        self.path = environ.get("PATH_INFO", "")
        self.query = environ.get("QUERY_STRING", "")
        self.headers = [
            (name[5:].replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")
        ]


def users_hook(cfg: Any, name: str) -> Callable[..., Any] | None:
    """The user's hook, or None if it is gunicorn's own default (which does nothing worth a call)."""
    setting = cfg.settings[name]
    hook: Callable[..., Any] = setting.get()
    return None if hook is setting.default else hook
