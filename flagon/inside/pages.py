"""Which paths have pages that nginx may keep: a mark for each, as a file that nginx looks for (docs/cache.md).

nginx's cache makes all requests for a page wait while one fetches it. That is right for a page that can be kept, and a
queue for one that cannot. So only paths whose application said "keep this" go through the cache, the first time not.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any

MARK, PRIVATE = ".page", ".private"
KEPT = "kept-pages"  # in the run directory, beside the marks: where nginx has the pages
WITH_COOKIES = "-cookies"  # asked for with cookies: such answers may be another's
LONGEST_PATH = 800
MOST = 10_000  # marks of one worker; what comes later is not kept
SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))  # RFC 9110, section 9.2.1
STATUSES = ("200", "301", "308", "404", "410")  # RFC 9110, section 15.1, without those that need more care
SHARED = re.compile(r"(?:^|[\s,])(?:public|s-maxage\s*=)", re.IGNORECASE)
NEVER = re.compile(
    r"(?:^|[\s,])(?:no-store|private|no-cache|must-revalidate|proxy-revalidate)\b|s-maxage\s*=\s*\"?0|\A(?!.*s-maxage).*max-age\s*=\s*\"?0",
    re.IGNORECASE,
)


def storable(status: str, headers: list[tuple[str, str]]) -> bool:
    """Whether the application has marked this response for caches that serve many (RFC 9111, section 3)."""
    control = ",".join(value for name, value in headers if name.lower() == "cache-control")
    return (
        status[:3] in STATUSES
        and SHARED.search(control) is not None
        and NEVER.search(control) is None
        and not any(
            # X-Accel-Redirect: nginx sends a file, and keeps nothing
            name.lower() in ("set-cookie", "x-accel-redirect") or (name.lower() == "vary" and "*" in value)
            for name, value in headers
        )
    )


class Pages:
    """The marks, below one directory; every worker adds its own."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.kept = os.path.join(os.path.dirname(directory), KEPT)
        self._marked: set[str] = set()

    def answered(
        self,
        environ: dict[str, Any],
        path: str,
        status: str | None,
        headers: list[tuple[str, str]],
        through_cache: bool,
    ) -> None:
        """A response has left. A path that had pages to keep and others is never kept."""
        if status is None or environ["REQUEST_METHOD"] not in ("GET", "HEAD") or "HTTP_AUTHORIZATION" in environ:
            return
        kept = storable(status, headers)
        if not kept and status[:3] not in STATUSES:
            return  # an error, or 304: it says nothing of the page
        kind = WITH_COOKIES if environ.get("HTTP_COOKIE") else ""
        key = path + kind
        if kept:
            if key not in self._marked or not through_cache:
                self._mark(path, kind, key)
        elif through_cache or key in self._marked:
            self._unmark(path, kind, key)

    def changed(self, environ: dict[str, Any], status: str | None) -> None:
        """After a request that may change what the url stands for: its page is forgotten (RFC 9111, section 4.4).

        nginx names a page's file by the MD5 of its key. Other pages of the url, kept by Vary, stay until their age.
        """
        if status is None or status[0] not in "23" or not os.path.exists(self.directory):
            return
        import hashlib  # not in the boot, which reads the names above

        url = f"{environ.get('wsgi.url_scheme')}://{environ.get('HTTP_HOST', '')}{environ.get('REQUEST_URI', '')}"
        for method in ("GET", "HEAD"):
            name = hashlib.md5(f"{method} {url}".encode("latin-1"), usedforsecurity=False).hexdigest()
            with contextlib.suppress(OSError):
                os.unlink(f"{self.kept}/{name[-1]}/{name[-3:-1]}/{name}")

    def _mark(self, path: str, kind: str, key: str) -> None:
        if len(self._marked) >= MOST or len(path) > LONGEST_PATH or "/../" in path + "/" or "\0" in path:
            return
        self._marked.add(key)
        folder = self.directory + path.rstrip("/")
        with contextlib.suppress(OSError, ValueError):
            if not os.path.exists(f"{folder}/{PRIVATE}{kind}"):
                os.makedirs(folder, mode=0o700, exist_ok=True)
                with open(f"{folder}/{MARK}{kind}", "w", encoding="utf-8"):
                    pass

    def _unmark(self, path: str, kind: str, key: str) -> None:
        self._marked.discard(key)
        folder = self.directory + path.rstrip("/")
        with contextlib.suppress(OSError, ValueError):
            os.rename(f"{folder}/{MARK}{kind}", f"{folder}/{PRIVATE}{kind}")
