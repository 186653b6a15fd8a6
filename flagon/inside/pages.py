"""Which answers nginx may keep, and which kept page a request has made untrue (docs/cache.md).

Every GET and HEAD passes nginx's cache; what may stay there is said with each answer. `X-Accel-Expires: 0` makes nginx
treat an answer as if there were no cache, before it looks at conditions, ranges or the place for a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import struct
import threading
import time
from typing import Any

NOT_KEPT = "X-Accel-Expires: 0\r\n"
END_NOT_KEPT = NOT_KEPT + "\r\n"
SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))  # RFC 9110, section 9.2.1
STATUSES = ("200", "301", "308", "404", "410")  # RFC 9110, section 15.1, without those that need more care
# To these nginx may answer with the page that it has, if it asked because that one's age was over.
IN_PLACE = ("304", "500", "503")
# For nginx: it goes on with the page in an error's place only where this is no status at all, and logs the line.
STALE = "Status: kept page "
# A page with s-maxage is never served stale in an error's place (RFC 9111, section 5.2.2.10), any other one is for as
# long as it is there. nginx has this from the last Cache-Control, and keeps it with the page; no client sees it.
STRICT = re.compile(r"(?:^|[\s,])s-maxage\b", re.IGNORECASE)
FOR_LONG = 10**9
HEADER = struct.Struct("=Qqqq")  # ngx_http_file_cache_header_t: version, valid_sec, updating_sec, error_sec
VERSION = 5  # NGX_HTTP_CACHE_VERSION
SHARED = re.compile(r"(?:^|[\s,])(?:public|s-maxage\s*=)", re.IGNORECASE)
NEVER = re.compile(
    r"(?:^|[\s,])(?:no-store|private|no-cache|must-revalidate|proxy-revalidate)\b"
    r"|s-maxage\s*=\s*\"?0+(?![0-9])|\A(?!.*s-maxage).*max-age\s*=\s*\"?0+(?![0-9])",
    re.IGNORECASE,
)
S_MAXAGE = re.compile(r"(?:^|[\s,])s-maxage\s*=\s*\"?([0-9]+)", re.IGNORECASE)
MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?([0-9]+)", re.IGNORECASE)
OWN_AGE = re.compile(r"\s*(@?)([0-9]{1,18})\s*\Z")  # seconds, or @ and seconds since 1970
# RFC 9110, section 5.6.7: all three forms are GMT
HTTP_DATE = re.compile(
    r"\s*(?:[A-Za-z]{3,9}, [A-Za-z0-9 :-]{18,20} GMT|[A-Za-z]{3} [A-Za-z]{3} [0-9 ]{2} [0-9:]{8} [0-9]{4})\s*\Z"
)
PAUSE = 10.0  # seconds: nginx looks that seldom whether its cache has grown too large
OVERHEAD = 4096  # bytes of a file beside the page: its header, its inode, the rest of its last block

Headers = list[tuple[str, str]]


def _control(headers: Headers) -> str:
    return ",".join(_values(headers, "cache-control"))


def _values(headers: Headers, wanted: str) -> list[str]:
    return [value for name, value in headers if name.lower() == wanted]


def storable(status: str, headers: Headers) -> bool:
    """Whether the application has marked this response for caches that serve many (RFC 9111, section 3)."""
    control = _control(headers)
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


def age(headers: Headers) -> int | None:
    """Seconds that nginx is to be told of, where it would find others by itself.

    It believes X-Accel-Expires before all, the last of several lines, and an Expires in any zone. The application may
    shorten with X-Accel-Expires the age that caches are told; a header that it passes on from somebody else must not
    keep a page for longer.
    """
    own = [found for value in _values(headers, "x-accel-expires") if (found := OWN_AGE.match(value))]
    control = _values(headers, "cache-control")
    if not own and len(control) == 1 and (S_MAXAGE.search(control[0]) or MAX_AGE.search(control[0])):
        return None
    asked = [
        max(0, int(number) - int(time.time())) if at else int(number) for at, number in (one.groups() for one in own)
    ]
    return min(asked + _told(headers), default=None)


def _told(headers: Headers) -> list[int]:
    """The ages that caches are told (RFC 9111, section 4.2.1)."""
    control = _control(headers)
    if found := S_MAXAGE.findall(control) or MAX_AGE.findall(control):
        return [int(number[:18]) for number in found]
    now = time.time()
    since = max([now, *filter(None, map(_seconds, _values(headers, "date")))])  # a Date that is fast makes it older
    return [max(0, int(_seconds(value) - since)) for value in _values(headers, "expires")]


def _seconds(date: str) -> float:
    """Since 1970; 0 for what is no HTTP date, which counts as long ago (RFC 9111, section 5.3)."""
    from datetime import timezone
    from email.utils import parsedate_to_datetime  # not for every worker

    try:
        if HTTP_DATE.match(date):
            return parsedate_to_datetime(date).replace(tzinfo=timezone.utc).timestamp()
    except (TypeError, ValueError, OverflowError):
        pass
    return 0.0


class Pages:
    """What one worker says of its answers, and how much it has nginx keep.

    share     bytes in PAUSE seconds: with this, all workers' shares and nginx's own look now and then, the cache
              stays near its size however many pages are asked for
    largest   bytes of one page
    reserved  bytes of the share for pages that others wait for (CACHE_LOCK): a flood of other paths does not take them
    by_page   nginx is told of each page whether it may be served stale in an error's place; else all may
    """

    def __init__(self, folder: str, share: int, largest: int, reserved: int = 0, by_page: bool = True) -> None:
        self.folder, self.share, self.largest, self.reserved = folder, share, largest, reserved
        self.by_page = by_page
        self._lock = threading.Lock()
        self._until = 0.0
        self._taken = 0

    def lines(
        self, found: str, status: str, headers: Headers, size: int | None, locked: bool = False, page: str = ""
    ) -> str:
        """Header lines for nginx: of an answer that has Cache-Control, or is to a question of nginx's own.

        found   what nginx's cache said to this request ($upstream_cache_status); empty if the request never met it
        size    bytes of the body; None: not known yet
        locked  others may wait for this page
        page    nginx's name of the page that it has, if it asked because that one's age was over
        """
        if found == "EXPIRED" and status[:3] in IN_PLACE:
            if not self.by_page:
                return ""
            if status[:3] == "304":
                return self._on_error(headers) if _control(headers) else ""
            if self._may_be_stale(page):
                return f"{STALE}in place of {status[:3]}\r\n"
        if found and storable(status, headers):
            seconds = age(headers)
            if seconds != 0 and self._fits(size, found == "EXPIRED", locked):
                told = "X-Flagon-Cache: miss\r\n" + ("" if seconds is None else f"X-Accel-Expires: {seconds}\r\n")
                if self.by_page:
                    said = ", ".join(_values(headers, "cache-control"))
                    told += f"X-Flagon-Control: {said}\r\n" + self._on_error(headers)
                return told
        return NOT_KEPT * bool(found) + "X-Flagon-Cache: bypass\r\n" * bool(SHARED.search(_control(headers)))

    def _on_error(self, headers: Headers) -> str:
        """The line that nginx keeps with a page: for how long that one may be served stale in an error's place."""
        return f"Cache-Control: stale-if-error={0 if STRICT.search(_control(headers)) else FOR_LONG}\r\n"

    def _may_be_stale(self, page: str) -> bool:
        """What nginx itself goes by, if the answer is an error that it may replace.

        Of pages kept by Vary the first one's: a wrong guess costs the client the application's own error page.
        """
        try:
            with open(f"{self.folder}/{page}", "rb") as file:
                version, valid, _, error = HEADER.unpack(file.read(HEADER.size))
        except (OSError, struct.error):
            return False
        return bool(version == VERSION and valid + error >= time.time())

    def _fits(self, size: int | None, in_place: bool, locked: bool) -> bool:
        """Whether a page finds room now. One that takes the place of another one needs none."""
        if size is None or size > self.largest:
            return False
        if in_place:
            return True
        with self._lock:
            now = time.monotonic()
            if now >= self._until:
                self._until, self._taken = now + PAUSE, 0
            if self._taken and self._taken + size + OVERHEAD > self.share - (0 if locked else self.reserved):
                return False
            self._taken += size + OVERHEAD
            return True

    def changed(self, url: str, status: str) -> None:
        """After a request that may change what the url stands for: its page is forgotten (RFC 9111, section 4.4).

        nginx names a page's file by the MD5 of its key. Other pages of the url, kept by Vary, stay until their age.
        """
        if status[0] not in "23":
            return
        for kind in ("GET ", "HEAD ", "GET cookies ", "HEAD cookies "):
            with contextlib.suppress(OSError):
                os.unlink(f"{self.folder}/{_name(kind + url)}")


def _name(key: str) -> str:
    return hashlib.md5(key.encode("latin-1"), usedforsecurity=False).hexdigest()


def page(environ: dict[str, Any]) -> str:
    """nginx's name of the page that a request asks for (fastcgi_cache_key)."""
    cookies = "cookies " if environ.get("HTTP_COOKIE") else ""
    return _name(f"{environ['REQUEST_METHOD']} {cookies}{url(environ)}")


def url(environ: dict[str, Any]) -> str:
    """Of a request, as in nginx's key. To be asked before the application, which may write into the environ."""
    return f"{environ.get('wsgi.url_scheme')}://{environ.get('HTTP_HOST', '')}{environ.get('REQUEST_URI', '')}"
