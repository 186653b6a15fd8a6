"""`.env` files and the cleaning of values: what `docker run --env-file` users and dotenv users both expect.

`clean` is needed before anything else is (flagon/identity.py), and `re` takes milliseconds: imported where it is used.
"""

from __future__ import annotations

import os

LINE = r"(?s)\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=(.*)\Z"


def clean(text: str) -> str:
    """Strip blanks and one pair of surrounding quotes: env files are often written with them."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text


def value_of(raw: str) -> str:
    """The value right of `=` in a .env line: quoted as it is, unquoted up to ` #`."""
    import re

    raw = raw.strip()
    if raw[:1] in ("'", '"'):
        end = raw.find(raw[0], 1)
        if end > 0:
            return raw[1:end]
    return re.split(r"\s#", raw, maxsplit=1)[0].strip()


def parse(text: str) -> tuple[dict[str, str], list[str]]:
    """A .env file's text -> its variables, and one warning for each line that is none."""
    import re

    variables: dict[str, str] = {}
    warnings: list[str] = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.match(LINE, line)
        if match:
            variables[match[1]] = value_of(match[2])
        else:
            warnings.append(f".env line {number} is not NAME=value and is ignored")
    return variables, warnings


def read(directory: str) -> tuple[dict[str, str], list[str]]:
    """The variables of `directory`/.env; none if there is no such file. An unreadable one is a warning."""
    try:
        with open(os.path.join(directory, ".env"), encoding="utf-8") as file:
            return parse(file.read())
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as error:
        return {}, [f".env cannot be read and is ignored: {error}"]
