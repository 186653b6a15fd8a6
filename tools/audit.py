"""Asks PyPI's advisories about locked requirements, and Debian's about the packages of the image."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import NamedTuple

CLEAN, FOUND, COULD_NOT_LOOK = 0, 1, 2
DEADLINE = 180  # seconds for one source


class Result(NamedTuple):
    """What one source said."""

    source: str
    looked: int
    skipped: list[str]
    findings: list[str]
    error: str = ""


def run(words: list[str]) -> tuple[str, str]:
    """Standard output and error; an end that is late is an error, too."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, check=False)
    except subprocess.TimeoutExpired:
        return "", f"no answer within {DEADLINE} s"
    return done.stdout, done.stderr.strip()


def python_packages(lock: str) -> Result:
    """pip-audit over a lock file: nothing is installed or resolved anew."""
    words = [
        "-m",
        "pip_audit",
        "--disable-pip",
        "--require-hashes",
        "--progress-spinner=off",
        "--format=json",
        "-r",
        lock,
    ]
    output, errors = run([sys.executable, *words])
    try:
        rows = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        return Result(lock, 0, [], [], errors.splitlines()[-1] if errors else "pip-audit said nothing")
    skipped = [row["name"] for row in rows if "skip_reason" in row]
    findings = [
        f"{row['name']} {row['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'none yet'}"
        for row in rows
        for found in row.get("vulns", ())
    ]
    return Result(lock, len(rows) - len(skipped), skipped, findings)


def debian_packages(status: str, suite: str) -> Result:
    """debsecan: those that a newer package of the same release has fixed. The others wait for Debian."""
    words = ["debsecan", "--suite", suite, "--status", status, "--only-fixed", "--format", "packages"]
    output, errors = run(words)
    with open(status, encoding="utf-8") as file:
        count = sum(line.startswith("Package: ") for line in file)
    if errors:
        return Result("Debian", 0, [], [], errors.splitlines()[-1])
    return Result("Debian", count, [], [f"{name}: a fixed version is there" for name in output.split()])


def main(status: str, suite: str, *locks: str) -> int:
    """Print each source's result; the exit code is the worst of them."""
    results = [*(python_packages(lock) for lock in locks), debian_packages(status, suite)]
    for result in results:
        print(f"{result.source}: {result.looked} packages looked up, {len(result.findings)} findings")
        if result.error:
            print(f"  COULD NOT LOOK: {result.error}")
        if result.skipped:
            print(f"  COULD NOT LOOK, PyPI knows nothing of: {', '.join(result.skipped)}")
        for finding in result.findings:
            print(f"  {finding}")
    if any(result.findings for result in results):
        return FOUND
    if any(result.error or result.skipped for result in results):
        print("No finding, but not every source could be asked: see COULD NOT LOOK above.")
        return COULD_NOT_LOOK
    return CLEAN


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
