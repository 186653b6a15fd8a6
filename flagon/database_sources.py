"""Where a database URL may stand under another name: POSTGRES_URI, POSTGRESQLCONNSTR_*, the PG* parts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from flagon import root_secrets, text_file
from flagon.envfile import clean
from flagon.percent import encoded

AZURE = "POSTGRESQLCONNSTR_"  # App Service: one for each "connection string" of the type PostgreSQL
PARTS = {
    "PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password", "PGDATABASE": "dbname",
    "PGSSLMODE": "sslmode", "PGSSLROOTCERT": "sslrootcert",
}  # fmt: skip
# Npgsql's names without blanks, in lower case.
ADO = {
    "server": "host", "host": "host", "datasource": "host", "port": "port", "database": "dbname", "db": "dbname",
    "initialcatalog": "dbname", "userid": "user", "username": "user", "user": "user", "uid": "user",
    "password": "password", "pwd": "password", "psw": "password", "sslmode": "sslmode",
    "rootcertificate": "sslrootcert",
    "timeout": "connect_timeout", "connecttimeout": "connect_timeout", "connectiontimeout": "connect_timeout",
    "applicationname": "application_name", "searchpath": "schema", "targetsessionattributes": "target_session_attrs",
}  # fmt: skip
CONNECTION_STRINGS = (
    "a URL, host=... dbname=... user=... password=..., or Server=...;Database=...;User Id=...;Password=..."
)
ADO_PAIR = re.compile(r"""\s*([^=;]+?)\s*=\s*("(?:[^"]|"")*"|'(?:[^']|'')*'|[^;]*?)\s*(?:;|\Z)""")
LIBPQ_PAIR = re.compile(r"""\s*([a-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?:\s+|\Z)""", re.DOTALL)


class Found(NamedTuple):
    """A URL, the variables it came from, and the names in them that mean nothing to Postgres."""

    url: str
    source: str
    ignored: tuple[str, ...] = ()


def find(environment: Mapping[str, str]) -> Found | None:
    """Raises ValueError that names the variables, without values."""
    uri = given(environment, "POSTGRES_URI", secret=True)
    if clean(uri):
        return Found(uri, "POSTGRES_URI")
    azure = sorted(name for name, text in environment.items() if name.startswith(AZURE) and clean(text))
    if len(azure) > 1:
        raise ValueError(f"{', '.join(azure)}: more than one database; say which one with DATABASE_URL")
    if azure:
        return connection_string(environment[azure[0]], azure[0])
    if clean(environment.get("PGHOST", "")):
        parts = {name: clean(given(environment, name, secret=name == "PGPASSWORD")) for name in PARTS}
        present = [name for name in PARTS if parts[name]]
        return Found(as_url({PARTS[name]: parts[name] for name in present}), ", ".join(present))
    return None


def given(environment: Mapping[str, str], name: str, secret: bool) -> str:
    """The variable, or, of a secret, what is in the file that NAME_FILE names. Raises ValueError."""
    path = clean(environment.get(name + "_FILE", ""))
    if not secret or not path or clean(environment.get(name, "")):
        return environment.get(name, "")
    try:
        return text_file.strict(path, text_file.LARGEST_SECRET).rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        if path in root_secrets.kept:
            return root_secrets.kept[path].rstrip("\n")
        raise ValueError(f"{name}_FILE: cannot read {path!r}: {root_secrets.why(path, error)}") from None


def connection_string(text: str, name: str) -> Found:
    """A URL, libpq's keyword=value, or ADO.NET's Key=Value;."""
    value = clean(text)
    if re.match(r"[A-Za-z][A-Za-z0-9+]*:/", value):
        return Found(text, name)
    libpq = None if re.search(r";\s*[A-Za-z][A-Za-z ]*=", value) else _pairs(LIBPQ_PAIR, value)
    if libpq is not None:
        return Found(as_url({key: _libpq_value(quoted) for key, quoted in libpq}), name)
    pairs = _pairs(ADO_PAIR, value.rstrip("; "))
    if pairs is None:
        raise ValueError(f"{name}: accepted: {CONNECTION_STRINGS}")
    parts: dict[str, str] = {}
    ignored = []
    for key, quoted in pairs:
        known = ADO.get(key.replace(" ", "").lower())
        if known:
            parts[known] = _ado_value(quoted)
        else:
            ignored.append(key)
    if "sslmode" in parts:  # VerifyFull
        parts["sslmode"] = re.sub(r"(?i)verify-?(ca|full)", r"verify-\1", parts["sslmode"]).lower()
    return Found(as_url(parts), name, tuple(ignored))


def _pairs(form: re.Pattern[str], text: str) -> list[tuple[str, str]] | None:
    """All of the text in this form, or None."""
    pairs, place = [], 0
    while place < len(text):
        match = form.match(text, place)
        if not match:
            return None
        pairs.append((match[1], match[2]))
        place = match.end()
    return pairs or None


def _libpq_value(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1] if text[:1] == "'" else text)


def _ado_value(text: str) -> str:
    quote = text[:1]
    return text[1:-1].replace(quote * 2, quote) if quote in ("'", '"') and len(text) > 1 else text


def as_url(parts: dict[str, str]) -> str:
    """A URL that every library reads: one host stands before the slash, a socket or several hosts in the query."""
    rest = {key: value for key, value in parts.items() if value}
    login = encoded(rest.pop("user", "")) + (":" + encoded(rest.pop("password")) if "password" in rest else "")
    place, host = "", rest.get("host", "")
    if host and "," not in host and not host.startswith(("/", "@")):
        del rest["host"]
        place = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
        port = rest.pop("port", "")
        place += f":{port}" if port and not re.search(r"[^:\]]:\d+\Z", place) else ""
    name = encoded(rest.pop("dbname", ""))
    query = "&".join(f"{encoded(key)}={encoded(value, '/,')}" for key, value in rest.items())
    return f"postgresql://{login + '@' if login else ''}{place}/{name}{'?' + query if query else ''}"
