"""Things in an image's /app that should not be there: secrets and history."""

from __future__ import annotations

import os

PRIVATE_KEYS = ("id_rsa", "id_ed25519", "id_ecdsa", "id_dsa")


def in_image(directory: str) -> list[str]:
    """Warnings for .env, .git and private keys that were copied into the image (a mounted folder is the user's own)."""
    from flagon import places

    if places.is_mount(directory):
        return []
    try:
        names = set(os.listdir(directory))
    except OSError:
        return []
    found: list[str] = [name for name in (".env", ".git") if name in names]
    found += sorted(name for name in names if name in PRIVATE_KEYS or _is_private_key(directory, name))
    return [
        f"{directory}/{name} is in the image, readable for everybody who has it: add it to .dockerignore"
        for name in found
    ]


def _is_private_key(directory: str, name: str) -> bool:
    if not name.endswith((".pem", ".key")):
        return False
    try:
        with open(os.path.join(directory, name), "rb") as file:
            return b"PRIVATE KEY-----" in file.read(4096)
    except OSError:
        return False
