"""Run once while the image is built: compile the runtime to bytecode and write down what the image is made of."""

from __future__ import annotations

import compileall
import glob
import json
import os
import re
import subprocess

HOME = "/opt/flagon"


def distribution_version(name: str, *folders: str) -> str:
    """The version in a distribution's metadata folder."""
    for folder in folders:
        for path in glob.glob(os.path.join(folder, f"{name}-*.dist-info")):
            return os.path.basename(path)[len(name) + 1 : -len(".dist-info")]
    return ""


def main() -> None:
    """Compile, and write versions.json."""
    # Bytecode holds its source's date: one date for all, not the checkout's, makes two builds equal.
    for path in glob.glob(os.path.join(HOME, "**", "*.py"), recursive=True):
        os.utime(path, (0, 0))
    compileall.compile_dir(HOME, quiet=1, workers=0)
    banner = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"nginx/([0-9.]+)", banner)
    with open("/usr/sbin/nginx", "rb") as file:
        binary = file.read()
    versions = {
        "nginx": found[1] if found else "",
        "gunicorn": distribution_version("gunicorn", *glob.glob("/opt/venv/lib/python3*/site-packages")),
        "supervisor": distribution_version("supervisor", HOME + "/lib"),
        "max_headers": b"max_headers" in binary,
    }
    with open(os.path.join(HOME, "versions.json"), "w", encoding="utf-8") as file:
        json.dump(versions, file)


if __name__ == "__main__":
    main()
