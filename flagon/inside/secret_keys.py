"""A secret that an application makes at random while it is imported: each process of it has another one.

`app.secret_key = os.urandom(24)` is in many quickstarts. In one process it works; of three workers, two do not know
who has logged in at the third. It can be seen: what the workers hold is compared.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import Any

from flagon.inside import static_hooks

DIGEST = 16  # bytes
SALT = os.urandom(16)  # of the master's: what lies in shared memory says nothing of the secret
# Of the first worker that has loaded the application since the start or the last reload; zeros where none has.
shared = mmap.mmap(-1, DIGEST)

AMONG = (
    "the application's secret key is another one in each worker process, so one worker does not know who has logged in "
    "at another: take it from the environment (SECRET_KEY is there and lasts), or load the application once: PRELOAD=on"
)
REPLACED = (
    "the application's secret key is made anew with each worker process, so everybody is logged out when this one is "
    "replaced: take it from the environment (SECRET_KEY is there and lasts)"
)
PASSING = (
    "{home} is not a volume: {what}, and any SQLite file there end with this container. "
    "Run with -v flagon-data:{home}, or set SECRET_KEY and keep nothing there"
)


def forget() -> None:
    """In the master: a reload may bring another secret, and rightly."""
    shared[:] = bytes(DIGEST)


def of(application: Any) -> bytes:
    """What Flask's application, or Django's settings, have as their secret; empty if there is none to be seen."""
    django = sys.modules.get("django.conf")
    try:
        if django is not None and django.settings.configured:
            return _bytes(django.settings.SECRET_KEY)
        return _bytes(getattr(static_hooks.below(application, "secret_key"), "secret_key", None))
    except Exception:  # an application's own attributes may do anything
        return b""


def _bytes(secret: Any) -> bytes:
    return secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else bytes(secret or b"")


def lines(application: Any, workers: int) -> list[str]:
    """In a worker that has loaded it: a warning where an earlier worker holds another secret."""
    secret = of(application)
    if not secret:
        return []
    import hashlib  # most frameworks have imported it by now

    digest = hashlib.blake2b(secret, digest_size=DIGEST, key=SALT).digest()
    if shared[:] == bytes(DIGEST):
        shared[:] = digest
    if shared[:] == digest:
        return []
    return [AMONG if workers > 1 else REPLACED]


def passing(application: Any, home: str) -> list[str]:
    """A warning that the SECRET_KEY which was made in `home` is lost with the container: to who uses it.

    One with a key of its own is told nothing. Of an application whose settings cannot be seen, what is true of it.
    """
    made = os.environ.get("SECRET_KEY", "").encode("utf-8", "surrogateescape")
    if not home or not made:
        return []
    secret = of(application)
    config = getattr(static_hooks.below(application, "config", "secret_key"), "config", None)
    if made == secret or (isinstance(config, dict) and any(_is(value, made) for value in list(config.values()))):
        what = "the generated SECRET_KEY, so every session"
    elif secret or isinstance(config, dict):
        return []
    else:
        what = "the generated SECRET_KEY, if the application uses it"
    return [PASSING.format(home=home, what=what)]


def _is(value: Any, made: bytes) -> bool:
    return isinstance(value, (str, bytes)) and _bytes(value) == made
