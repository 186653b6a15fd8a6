"""Whole text responses, compressed as they leave: brotli or gzip. Streams are not: they would come late.

Large ones by gzip alone, piece by piece: the compressed form is never in memory as a whole.

In the worker and not in nginx, because nginx cannot tell a stream from a page, and because nginx's cache then keeps the
compressed page. Both libraries let other threads run meanwhile. docs/compression.md has the measurements.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from flagon.compression import brotli, gzip, gzip_stream

SMALLEST = 1024  # bytes: below it the packet is the same
GZIP_LEVEL, BROTLI_QUALITY, BROTLI_WINDOW = 4, 4, 18  # a page of 22 kB: 164 us to 6.4 kB, 168 us to 6.2 kB
TEXTS = re.compile(
    r"(?:text/(?!event-stream)[a-z0-9.+-]+|application/(?:[a-z0-9.-]+\+)?(?:json|xml|javascript)|image/svg\+xml)\s*(?:;|\Z)",
    re.IGNORECASE,
)
# Blanks never beside blanks, or the ways to share a run of them are as many as its length squared.
CODING = re.compile(r"\s*([A-Za-z*][A-Za-z-]*)\s*(?:;\s*[qQ]\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?\Z")
LONGEST_ACCEPT = 1000  # characters, twenty times what browsers send; who says more gets the answer as it is
OWN_SITE = frozenset(("same-origin", "none"))  # Sec-Fetch-Site: our own pages, and what the user typed
Headers = list[tuple[str, str]]


def chosen(accept: str, ours: tuple[str, ...] = ("br", "gzip")) -> str:
    """Accept-Encoding (RFC 9110, section 12.5.3) -> one of `ours` or ""; of equals the first."""
    weights: dict[str, float] = {}
    for part in accept.split(",") if len(accept) <= LONGEST_ACCEPT else ():
        found = CODING.match(part)
        if found:
            weights[found[1].lower()] = float(found[2] or 1)
    best, name = 0.0, ""
    for coding in ours:
        weight = weights.get(coding, weights.get("*", 0.0))
        if weight > best:
            best, name = weight, coding
    return name


def may_leak(environ: dict[str, Any]) -> bool:
    """Whether the length of a compressed answer may tell another site a secret (BREACH, CVE-2013-3587).

    The attack needs the victim's credentials on a request that the attacker's page has made. Browsers say where a
    request comes from; one that says nothing and carries credentials is not trusted.
    """
    if "HTTP_COOKIE" not in environ and "HTTP_AUTHORIZATION" not in environ:
        return False
    return environ.get("HTTP_SEC_FETCH_SITE") not in OWN_SITE


class Compression:
    """COMPRESSION=safe|all.

    Safe also leaves alone what has a strong tag: it promises these very bytes (RFC 9110, section 8.8.1), and is what a
    client sends in If-Match.
    """

    def __init__(self, safe: bool) -> None:
        self.safe = safe

    def apply(self, environ: dict[str, Any], status: str, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        """The response to send: as it is, or compressed. A body that is compressed for some varies for all."""
        headers, coding = self._agreed(environ, status, headers, ("br", "gzip"))
        if not coding:
            return headers, body
        packed = brotli(body, BROTLI_QUALITY, BROTLI_WINDOW) if coding == "br" else b""
        if not packed:
            coding, packed = "gzip", gzip(body, GZIP_LEVEL)
        if len(packed) >= len(body):
            return headers, body
        return [*_of_other_bytes(headers), ("Content-Encoding", coding), ("Content-Length", str(len(packed)))], packed

    def stream(
        self, environ: dict[str, Any], status: str, headers: Headers, pieces: Iterable[bytes]
    ) -> tuple[Headers, Iterator[bytes] | None]:
        """The same for a large body: its headers, and what comes out of gzip as it is asked for; None: as it is."""
        headers, coding = self._agreed(environ, status, headers, ("gzip",))
        if not coding:
            return headers, None
        return [*_of_other_bytes(headers), ("Content-Encoding", coding)], gzip_stream(pieces, GZIP_LEVEL)

    def _agreed(
        self, environ: dict[str, Any], status: str, headers: Headers, ours: tuple[str, ...]
    ) -> tuple[Headers, str]:
        """(the headers with Vary where it is due, the coding or "")."""
        if status[:3] != "200" or not _compressible(headers, self.safe):
            return headers, ""
        coding = chosen(environ.get("HTTP_ACCEPT_ENCODING", ""), ours)
        return _varying(headers), "" if self.safe and may_leak(environ) else coding


def _compressible(headers: Headers, safe: bool) -> bool:
    text = False
    for name, value in headers:
        lower = name.lower()
        if lower == "content-type":
            text = TEXTS.match(value) is not None
        elif (
            lower in ("content-encoding", "content-range")
            or (lower == "cache-control" and "no-transform" in value.lower())
            or (lower == "etag" and safe and not value.startswith("W/"))
        ):
            return False
    return text


def _varying(headers: Headers) -> Headers:
    """With Vary: Accept-Encoding, in a line of its own."""
    said = ",".join(value for name, value in headers if name.lower() == "vary").lower()
    fields = {field.strip() for field in said.split(",")}
    return headers if fields & {"accept-encoding", "*"} else [*headers, ("Vary", "Accept-Encoding")]


def _of_other_bytes(headers: Headers) -> Headers:
    """A strong tag becomes a weak one: the bytes are others, what they say is the same."""
    kept = []
    for name, value in headers:
        lower = name.lower()
        if lower == "content-length":
            continue
        kept.append((name, "W/" + value) if lower == "etag" and value.startswith('"') else (name, value))
    return kept
