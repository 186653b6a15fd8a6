"""Windows line ends: to a shell the carriage return is part of a word, to the kernel part of an interpreter's name."""

from __future__ import annotations

import os

from flagon import text_file

LOOKED_AT = 1 << 20  # bytes of a script


def windows(path: str) -> bytes | None:
    """The text with plain line ends, of a script that has Windows'; None of any other file."""
    try:
        text = text_file.head(path, LOOKED_AT + 1)
    except OSError:
        return None
    return text.replace(b"\r\n", b"\n") if b"\r\n" in text and len(text) <= LOOKED_AT and b"\0" not in text else None


def without(path: str, folder: str) -> str:
    """A copy in this folder of ours with plain line ends, if the script has Windows'; else the script."""
    text = windows(path)
    if text is None:
        return path
    os.makedirs(folder, mode=0o700, exist_ok=True)
    copy = os.path.join(folder, os.path.basename(path))
    with open(os.open(copy, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o700), "wb") as file:
        file.write(text)
    return copy


def advice(path: str) -> str:
    """What to do about a script that cannot run with them; empty if it has none."""
    if windows(path) is None:
        return ""
    return (
        rf"{path} has Windows line ends (CRLF), which no shell can run: sed -i 's/\r$//' {os.path.basename(path)}, and "
        "`*.sh text eol=lf` in .gitattributes"
    )
