"""Percent-encoding of the parts of a URL, without urllib: it would be paid at each cold start."""

from __future__ import annotations

import re

ESCAPES = rb"%([0-9A-Fa-f]{2})"
UNSAFE = rb"[^A-Za-z0-9._~-]"


def decoded(text: str) -> str:
    """Escapes resolved; a % that begins none is a %, as SQLAlchemy has it."""
    if "%" not in text:
        return text
    raw = re.sub(ESCAPES, lambda match: bytes([int(match[1], 16)]), text.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "replace")


def encoded(text: str, keep: str = "") -> str:
    """Every character escaped but letters, digits, ._~- and those of `keep`."""
    kept = keep.encode()
    raw = text.encode("utf-8", "surrogateescape")
    return re.sub(UNSAFE, lambda match: match[0] if match[0] in kept else b"%%%02X" % match[0][0], raw).decode()


def in_path(text: str) -> str:
    """Only what would end a path: SQLAlchemy 2.0 resolves no escapes there, 2.1 does."""
    return re.sub("[%?@]", lambda match: f"%{ord(match[0]):02X}", text)
