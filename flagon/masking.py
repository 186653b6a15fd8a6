"""A command line as it may stand in a log: what looks like a password in it is not shown."""

from __future__ import annotations

import re

MASK = "********"
# In a variable's or an option's name, in lower case and without dashes and underscores.
HINTS = ("passw", "passphrase", "pgpass", "secret", "token", "credential", "apikey", "dsn", "pwd")
USER = ("-u", "--user", "--proxy-user")  # of curl and its like: name:password
BETWEEN = r"([\s;&|(),{}`]+)"  # of a shell, or of Python
# A password that other texts have as a word: postgres, app, hunter2.
ORDINARY = r"[A-Za-z_.-]{1,16}[0-9]{0,4}\Z"
# What makes it a part of a longer word, of a path or a module's name, of a URL's scheme. `\n` of a repr is no letter.
JOINED_BEFORE = r"(?:.*[^\\]|)\w\Z|.*[/-]\Z|.*\w\.\Z"
JOINED_AFTER = r"[\w/-]|\.\w|(\+\w{1,30})?://"


def command(text: str) -> str:
    """The text with `********` for values whose names tell of a secret, and for passwords in URLs."""
    shown: list[str] = []
    before, quote = "", ""  # the word before; the quote of a masked value that goes on
    for index, part in enumerate(re.split(BETWEEN, text)):
        if quote:
            if part.endswith(quote):
                quote = ""
            continue
        if index % 2 or not part:
            shown.append(part)
            continue
        name, equals, value = part.partition("=")
        if equals and tells(name):
            quote = _unclosed(value)
            part = f"{name}={MASK}"
        elif before.startswith("-") and (tells(before) or (before in USER and ":" in part)) and part[:1] != "-":
            quote = _unclosed(part)
            part = MASK
        else:
            part = _without_password(part)
        before = "" if "=" in part else part
        shown.append(part)
    return "".join(shown)


def known(text: str, secret: str) -> str:
    """The text with `********` for a secret whose value is known, wherever it is; one that is an ordinary word only
    where it stands alone or in a URL, so that `dialects/postgresql` stays readable with the password `postgres`."""
    if not re.match(ORDINARY, secret):
        return text.replace(secret, MASK)
    shown, done, at = "", 0, text.find(secret)
    while at >= 0:
        end = at + len(secret)
        joined = re.match(JOINED_BEFORE, text[max(0, at - 2) : at], re.DOTALL)
        joined = joined or re.match(JOINED_AFTER, text[end : end + 40])
        shown += text[done:at] + (secret if joined else MASK)
        done, at = end, text.find(secret, end)
    return shown + text[done:]


def tells(name: str) -> bool:
    """Whether a name is that of a secret; a file that holds one may be named."""
    plain = name.lower().replace("_", "").replace("-", "")
    return any(hint in plain for hint in HINTS) and not plain.endswith(("file", "path"))


def _unclosed(value: str) -> str:
    """The quote that a value begins with and that does not end in it."""
    first = value[:1]
    return first if first in ("'", '"') and first and value.count(first) < 2 else ""


def _without_password(word: str) -> str:
    """scheme://user:********@host"""
    start, mark, rest = word.partition("://")
    user, at, host = rest.rpartition("@")
    if not mark or not at:
        return word
    return f"{start}://{user.partition(':')[0]}:{MASK}@{host}"
