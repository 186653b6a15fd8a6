"""The urls in a style sheet, found and replaced. CSS Syntax Level 3: url(...), with quotes or without, @import."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

URL = re.compile(
    rb"""(?P<comment>/\*.*?(?:\*/|\Z))"""
    rb"""|(?P<head>\burl\(\s*|@import\s+)(?P<quote>["'])(?P<quoted>(?:\\.|(?!(?P=quote))[^\\\n])*)(?P=quote)"""
    rb"""|(?P<bare_head>\burl\(\s*)(?P<bare>[^"'()\s][^"'()\s]*)(?=\s*\))""",
    re.DOTALL | re.IGNORECASE,
)


def references(content: bytes) -> Iterator[str]:
    """Each url's path, without query and fragment, once; none of data:, none with escapes."""
    seen = set()
    for found in URL.finditer(content):
        path, _ = _split(found)
        if path and path not in seen:
            seen.add(path)
            yield path


def rewrite(content: bytes, names: Mapping[str, str]) -> bytes:
    """The style sheet with other paths; query and fragment stay, which old font rules need (`font.eot?#iefix`)."""

    def replaced(found: re.Match[bytes]) -> bytes:
        path, rest = _split(found)
        if path not in names:
            return found[0]
        name = names[path].encode() + rest
        if found["bare"] is not None:
            return found["bare_head"] + name
        return found["head"] + found["quote"] + name + found["quote"]

    return URL.sub(replaced, content)


def _split(found: re.Match[bytes]) -> tuple[str, bytes]:
    """(path, query and fragment) of one match; ("", ...) for what is no path of a file."""
    if found["comment"] is not None:
        return "", b""
    text = found["bare"] if found["bare"] is not None else found["quoted"]
    path = re.split(rb"[?#]", text, maxsplit=1)[0]
    if not path or b"\\" in path or text.lower().startswith(b"data:"):
        return "", b""
    try:
        return path.decode("utf-8"), text[len(path) :]
    except UnicodeDecodeError:
        return "", b""
