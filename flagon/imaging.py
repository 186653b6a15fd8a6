"""Run once while the image is built: compile the runtime to bytecode and write down what the image is made of."""

from __future__ import annotations

import compileall
import glob
import json
import os
import re
import shutil
import subprocess
import sys

HOME = "/opt/flagon"
PACKAGES = HOME + "/venv/lib/python3*/site-packages"


def distribution_version(name: str, *folders: str) -> str:
    """The version in a distribution's metadata folder."""
    for folder in folders:
        for path in glob.glob(os.path.join(folder, f"{name}-*.dist-info")):
            return os.path.basename(path)[len(name) + 1 : -len(".dist-info")]
    return ""


def list_packages() -> None:
    """Write down what the image brings for the application: what comes later is the user's (flagon/environments.py)."""
    found = [name for folder in glob.glob(PACKAGES) for name in os.listdir(folder) if name.endswith(".dist-info")]
    with open(os.path.join(HOME, "packages"), "w", encoding="utf-8") as file:
        file.write("".join(name + "\n" for name in sorted(found)))


def show_system_packages() -> None:
    """What `apt-get install python3-...` and `uv pip install --system` bring is found too, behind the rest."""
    words = [os.path.join(HOME, "python"), "-c", "import site; print(*site.getsitepackages(), sep='\\n')"]
    folders = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    for folder in glob.glob(PACKAGES):
        with open(os.path.join(folder, "flagon-system.pth"), "w", encoding="utf-8") as file:
            file.write(folders)


def provide_ensurepip() -> None:
    """`python -m venv` works in a child image; a python:3.x base has the real one."""
    find = "import importlib.util, sysconfig as s; print(importlib.util.find_spec('ensurepip') or s.get_path('stdlib'))"
    found = subprocess.run([HOME + "/python", "-c", find], capture_output=True, text=True, check=True).stdout.strip()
    if os.path.isdir(found):
        shutil.copyfile(HOME + "/ensurepip", found + "/ensurepip.py")


def main() -> None:
    """Compile, and write versions.json."""
    # Bytecode holds its source's date: one date for all, not the checkout's, makes two builds equal.
    for part in ("code", "lib"):
        for path in glob.glob(os.path.join(HOME, part, "**", "*.py"), recursive=True):
            os.utime(path, (0, 0))
        compileall.compile_dir(os.path.join(HOME, part), quiet=1, workers=0)
    list_packages()
    show_system_packages()
    provide_ensurepip()
    banner = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"nginx/([0-9.]+)", banner)
    with open("/usr/sbin/nginx", "rb") as file:
        binary = file.read()
    versions = {
        "nginx": found[1] if found else "",
        "gunicorn": distribution_version("gunicorn", *glob.glob(PACKAGES)),
        "supervisor": distribution_version("supervisor", HOME + "/lib"),
        "max_headers": b"max_headers" in binary,
    }
    with open(os.path.join(HOME, "versions.json"), "w", encoding="utf-8") as file:
        json.dump(versions, file)


if __name__ == "__main__":
    list_packages() if sys.argv[1:] == ["packages"] else main()
