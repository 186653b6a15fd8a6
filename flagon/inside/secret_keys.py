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
