"""PIP_INSTALL=1: what /app/requirements.txt or pyproject.toml asks for, installed at the start, kept in /data.

A convenience for development: an image that is built once starts at once, and everywhere with the same packages.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import time
from typing import TYPE_CHECKING

from flagon import environments, places, step, text_file

if TYPE_CHECKING:
    from flagon.boot import Boot

BASE = environments.OWN
UNUSED = 30 * 86400  # seconds after which an environment that nobody has started from is removed
# Lock files that pip cannot read, and how each tool writes one that it can.
EXPORTS = {
    "poetry.lock": "poetry export -f requirements.txt -o requirements.txt",
    "uv.lock": "uv export --format requirements-txt -o requirements.txt",
    "Pipfile.lock": "pipenv requirements > requirements.txt",
    "Pipfile": "pipenv requirements > requirements.txt",
    "pdm.lock": "pdm export -f requirements -o requirements.txt",
    "environment.yml": "pip list --format=freeze > requirements.txt",
}


class CannotInstall(Exception):
    """Nothing to install from, or pip failed; the message says what to do."""


def wanted(directory: str) -> tuple[str, str]:
    """(file, requirements text). Raises CannotInstall."""
    path = os.path.join(directory, "requirements.txt")
    if os.path.isfile(path):
        return path, _read(path)
    project = os.path.join(directory, "pyproject.toml")
    if os.path.isfile(project):
        dependencies = _dependencies(project)
        if dependencies is not None:
            return project, "".join(line + "\n" for line in dependencies)
    for name, command in EXPORTS.items():
        if os.path.isfile(os.path.join(directory, name)):
            raise CannotInstall(f"PIP_INSTALL: pip cannot install from {name}; write a requirements.txt: {command}")
    raise CannotInstall(
        f"PIP_INSTALL: there is no requirements.txt in {directory}, and no pyproject.toml with [project] dependencies"
    )


def _read(path: str) -> str:
    try:
        return text_file.strict(path).removeprefix("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotInstall(f"PIP_INSTALL: {path} cannot be read: {error}") from None


def _dependencies(path: str) -> list[str] | None:
    """[project] dependencies of a pyproject.toml; None if it names none there."""
    try:
        import tomllib  # type: ignore[import-not-found,unused-ignore]
    except ImportError:  # Python 3.10
        raise CannotInstall(f"PIP_INSTALL: {path} needs Python 3.11; write a requirements.txt") from None
    try:
        found = tomllib.loads(_read(path)).get("project", {}).get("dependencies")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CannotInstall(f"PIP_INSTALL: {path}: {error}") from None
    return [str(line) for line in found] if isinstance(found, list) else None


def environment(boot: Boot) -> str:
    """The environment with what the application asks for, made if need be; its folder.

    Raises CannotInstall, step.Stopped.
    """
    path, text = wanted(boot.directory)
    # Requirements may name other files, and local packages: any change of a neighbour counts.
    near = sorted(glob.glob(os.path.join(boot.directory, "*requirements*"))) + sorted(
        glob.glob(os.path.join(boot.directory, "requirements", "*.txt"))
    )
    parts = [text, *(_read(file) for file in near if os.path.isfile(file)), BASE]
    parts.append(os.path.realpath(f"{BASE}/bin/python"))
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    home = os.path.join(boot.data or boot.run, ".packages")
    folder = os.path.join(home, key)
    if os.path.exists(os.path.join(folder, "complete")):
        os.utime(folder)
        return folder
    if boot.data is None:
        boot.warnings.append(
            f"PIP_INSTALL: {boot.values['DATA_DIR']} is not writable: packages are installed anew at each start"
        )
    _install(boot, folder, path, text)
    _prune(home, key)
    return folder


def _install(boot: Boot, folder: str, path: str, text: str) -> None:
    """A virtual environment upon the image's own, with pip's output as log lines."""
    started = time.monotonic()
    boot.output.record("flagon", "info", f"PIP_INSTALL: installing what {path} asks for into {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    run = {**boot.environment, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    run["PIP_CACHE_DIR"] = os.path.join(os.path.dirname(folder), "cache")
    run.pop("PYTHONPATH", None)
    python = os.path.join(folder, "bin", "python")
    # -I: a module of the application is none of pip's, whatever its name.
    _must(boot, [f"{BASE}/bin/python", "-I", "-m", "venv", "--without-pip", folder], run)
    packages = places.site_packages(folder)[0]
    base = places.site_packages(BASE)[0]
    with open(os.path.join(packages, "flagon-base.pth"), "w", encoding="utf-8") as file:
        file.write(base + "\n" + _read(os.path.join(base, "flagon-system.pth")))
    if path.endswith(".toml"):
        path = os.path.join(folder, "requirements.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    _must(boot, [python, "-I", "-m", "pip", "install", "--progress-bar", "off", "-r", path], run)
    _scripts_of_base(folder)
    with open(os.path.join(folder, "complete"), "w", encoding="utf-8") as file:
        json.dump({"from": path}, file)
    boot.output.record("flagon", "info", f"PIP_INSTALL: installed after {time.monotonic() - started:.1f} s")


def _scripts_of_base(folder: str) -> None:
    """flask, gunicorn and so on of the image's own environment, for this one's interpreter."""
    first = f"#!{BASE}/bin/python"
    for path in glob.glob(f"{BASE}/bin/*"):
        own = os.path.join(folder, "bin", os.path.basename(path))
        if os.path.lexists(own) or os.path.islink(path):
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        if text.startswith(first):
            line, _, rest = text.partition("\n")
            with open(os.open(own, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o755), "w", encoding="utf-8") as file:
                file.write(line.replace(BASE, folder, 1) + "\n" + rest)


def _must(boot: Boot, words: list[str], environment: dict[str, str]) -> None:
    code = step.run(words, environment, boot.output, "pip")
    if code:
        why = step.why(code, ())
        raise CannotInstall(f"PIP_INSTALL: `{' '.join(words)}` ended with code {code}{why}; its lines are above")


def _prune(home: str, key: str) -> None:
    """Environments that no start has used for a month."""
    for name in os.listdir(home):
        path = os.path.join(home, name)
        if name not in (key, "cache") and time.time() - os.stat(path).st_mtime > UNUSED:
            shutil.rmtree(path, ignore_errors=True)
