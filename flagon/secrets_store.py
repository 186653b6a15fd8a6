"""SECRET_KEY: given, else made once in the data directory, else random for this run with a loud line."""

from __future__ import annotations

import contextlib
import os

from flagon import places, text_file

KEY_BYTES = 48
LARGEST = 4096  # bytes of the file: the application can write there, and what has no end would end the start
FOR_A_COMMAND = "random for this command"


class Unreadable(Exception):
    """A secret that exists and cannot be read is an error, never replaced."""


def random_key() -> str:
    """A key from the kernel's generator; the `secrets` module says the same and costs 4 ms of each cold start."""
    return os.urandom(KEY_BYTES).hex()


def _read(path: str) -> str | None:
    try:
        text = text_file.content(path, LARGEST).decode("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(
            f"{path} exists and cannot be read ({getattr(error, 'strerror', None) or 'not text'}): "
            "give this uid access to it, or set SECRET_KEY"
        ) from None
    if not text:
        raise Unreadable(f"{path} is empty: delete it to have a new one made, or set SECRET_KEY")
    return text


def load_or_make(data: str | None, keep: bool = True, wanted: str = "/data") -> tuple[str, str, str | None]:
    """(key, where it came from, warning line or None). `data` is a writable data directory or None; `wanted` is
    the one that would be it.

    Without `keep` nothing is written: the start will make it.
    """
    if data is None:
        warning = (
            "SECRET_KEY is not set and there is no writable data directory: a random one is used, "
            f"sessions end with this container. Set SECRET_KEY or mount a volume at {wanted}{places.needs(wanted)}"
        )
        return random_key(), "random for this run", warning
    path = os.path.join(data, "secret_key")
    found = _read(path)
    if found is None and not keep:
        return random_key(), f"made at the first start, in {path}", None
    if found is None:
        draft = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write(random_key() + "\n")
        try:
            os.link(draft, path)  # of several replicas that start at once on one volume, one wins
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
                os.replace(draft, path)
        if os.path.exists(draft):
            os.unlink(draft)
        found = _read(path) or ""
    return found, path, None
