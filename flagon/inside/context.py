"""The id of the request that this thread (or greenlet) is serving, for log lines."""

from __future__ import annotations

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("flagon_request_id", default="")
