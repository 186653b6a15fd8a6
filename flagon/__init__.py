"""Flagon: everything a WSGI application needs around it, in one container image."""

__version__ = "0.1.0"

# Exit codes of sysexits.h, for both interpreters: EX_USAGE, EX_UNAVAILABLE, EX_CONFIG.
USAGE_ERROR, UNAVAILABLE, CONFIGURATION_ERROR = 64, 69, 78
NOT_EXECUTABLE, NOT_FOUND = 126, 127  # a shell's, of a command


def counted(number: int, noun: str, several: str = "") -> str:
    """`1 worker`, `3 workers`; `several` is the plural of `process` and its like."""
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"
