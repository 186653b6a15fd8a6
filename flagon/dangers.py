"""Things in an image's /app that should not be there: secrets and history."""

from __future__ import annotations

import os
from collections.abc import Iterator

from flagon import places, text_file

PRIVATE_KEYS = ("id_rsa", "id_ed25519", "id_ecdsa", "id_dsa")
SKIPPED = frozenset({".git", "node_modules", ".venv", "venv", "__pycache__"})
FILES_LOOKED_AT = 2000


def in_image(directory: str) -> list[str]:
    """Warnings for .env, .git and private keys that were copied into the image (a mounted folder is the user's own)."""
    if places.is_mount(directory):
        return []
    found = list(_search(directory))
    return [f"{path} is in the image, readable for everybody who has it: add it to .dockerignore" for path in found]


def _search(directory: str) -> Iterator[str]:
    """What does not belong into an image; bounded, because it is paid at each cold start."""
    looked = 0
    for folder, folders, files in os.walk(directory):
        if ".git" in folders:
            yield os.path.join(folder, ".git")
        folders[:] = [name for name in folders if name not in SKIPPED]
        for name in files:
            looked += 1
            if name == ".env" or name in PRIVATE_KEYS or _is_private_key(folder, name):
                yield os.path.join(folder, name)
        if looked > FILES_LOOKED_AT:
            return


def _is_private_key(directory: str, name: str) -> bool:
    if not name.endswith((".pem", ".key")):
        return False
    try:
        return b"PRIVATE KEY-----" in text_file.head(os.path.join(directory, name), 4096)
    except OSError:
        return False
