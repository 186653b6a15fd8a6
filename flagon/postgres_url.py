"""A Postgres URL without its scheme -> libpq keywords, and those -> a URL that SQLAlchemy parses."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from flagon.foreign_keys import FOREIGN
from flagon.percent import decoded, encoded, in_path

DEFAULT_PORT = "5432"
# Not compiled here: a boot on SQLite needs none of them.
HOST = r"[\w-]+(\.[\w-]+)*\.?\Z"
IPV6 = r"[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(%[\w.-]+)?\Z"
IDENTIFIER = r'\s*([^\W\d][\w$]{0,62}|"[^"]{1,63}")\s*\Z'
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SCHEMA_KEYS = ("schema", "currentschema", "search_path", "schema_search_path")
YES = ("true", "1", "on", "yes", "t", "y")
NO = ("false", "0", "off", "no", "f", "n")


class Parts(NamedTuple):
    """What the URL says."""

    libpq: dict[str, str]
    schema: str
    pooled: bool
    dropped: tuple[str, ...]


def parse(text: str) -> Parts:
    """The text after `postgresql://`. Raises ValueError naming the part that is wrong."""
    user, rest = _split_user(text)
    place, _, query = rest.partition("?")
    netloc, _, name = place.partition("/")
    login, _, password = (user or "").partition(":")
    libpq = _filled(user=_login(login), password=decoded(password), dbname=decoded(name))
    schema, pooled, dropped = _sort(_query(query), libpq)
    hosts, ports = _hosts(netloc.split(","), certain=user is not None and "@" not in query)
    if "host" in libpq:
        first = ports[0] if len(hosts) == 1 else ""
        bare = libpq["host"].split(",")  # here an IPv6 address needs no brackets
        hosts, ports = _hosts([f"[{host}]" if re.match(IPV6, host) else host for host in bare], certain=True)
        ports = ports if any(ports) else [first] * len(hosts)
    if "port" in libpq:
        ports = _ports(libpq["port"], len(hosts))
    if len(hosts) > 1 and "" in hosts:
        raise ValueError("a host of the list is empty")
    for key, values in (("host", hosts), ("port", ports)):
        libpq.pop(key, None)
        if any(values) or len(values) > 1:
            libpq[key] = ",".join(value or DEFAULT_PORT for value in values)
    _check(libpq)
    return Parts(libpq, schema, pooled, tuple(dict.fromkeys(dropped)))


def _sort(query: list[tuple[str, str]], libpq: dict[str, str]) -> tuple[str, bool, list[str]]:
    """What is libpq's goes there; schema and pgbouncer are understood, the other foreign keys only named."""
    schema, pooled, dropped = "", False, []
    lists: dict[str, list[str]] = {}
    for key, value in query:
        word = key.lower()
        if word == "ssl" and value.lower() not in NO:  # whatever else a library has for it asks for TLS
            libpq.setdefault("sslmode", value.lower() if value.lower() in SSL_MODES else "require")
        elif word == "ssl" or word in FOREIGN:
            dropped.append(key)
            schema = _search_path(value) if word in SCHEMA_KEYS else schema
            pooled = pooled or (word == "pgbouncer" and value.lower() in YES)
        elif key in ("host", "port"):
            lists.setdefault(key, []).append(value)
        else:
            libpq["dbname" if key == "database" else key] = value
    libpq.update({key: ",".join(values) for key, values in lists.items()})
    return schema, pooled, dropped


def _filled(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _split_user(text: str) -> tuple[str | None, str]:
    """user:password and the rest. The last @ before the query ends it, unless the password has a question mark."""
    end = text.partition("?")[0].rfind("@")
    if end < 0 and "@" in text and re.match(r"[^:/?]+:(?!\d*([/?]|\Z))", text):
        first = text.index("@")
        after = text.find("?", first)
        end = text.rindex("@", first, after if after > 0 else len(text))
    return (text[:end], text[end + 1 :]) if end >= 0 else (None, text)


def _login(text: str) -> str:
    if re.search(r"[\s/?]", text):
        raise ValueError("the user name has a blank, a slash or a question mark: write it as %20, %2F or %3F")
    return decoded(text)


def _query(text: str) -> list[tuple[str, str]]:
    """Pairs, as SQLAlchemy reads them: + is a blank, a key without a value counts for nothing."""
    pairs = []
    for part in text.split("&"):
        key, equals, value = part.partition("=")
        if not part or (equals and not value):
            continue
        if not equals or not re.fullmatch(r"[\w.-]+", decoded(key)):
            if decoded(part) in FOREIGN:
                continue
            raise ValueError("the query is no list of key=value (a ? in the password is written %3F)")
        pairs.append((decoded(key), decoded(value.replace("+", " "))))
    return pairs


def _hosts(entries: list[str], certain: bool) -> tuple[list[str], list[str]]:
    """Hosts and their ports. Unless it is `certain` that they are, a message does not repeat them: see _host."""
    pairs = [_host(decoded(entry), certain) for entry in entries]
    return [host for host, _ in pairs], [port for _, port in pairs]


def _host(entry: str, certain: bool) -> tuple[str, str]:
    if entry.startswith(("/", "@")):  # a socket's directory; @ is Linux' abstract name
        return entry, ""
    # In postgresql://user:password/name, without a host, the password stands where a port would.
    shown = repr(entry) if certain else "before the first /"
    if "$" in entry or "{" in entry:
        raise ValueError(f"the host {shown} looks like a variable that nobody filled in")
    if entry.startswith("["):
        host, bracket, port = entry[1:].partition("]")
        if not bracket:
            raise ValueError(f"the bracket of the IPv6 address {shown} is not closed")
        if not re.match(IPV6, host) or (port and not port.startswith(":")):
            raise ValueError(f"the host {shown} is no IPv6 address with a port")
        return host, _port(port[1:], certain)
    if re.match(IPV6, entry):
        raise ValueError(f"the IPv6 address {shown} must stand in brackets, such as [::1]")
    host, _, port = entry.partition(":")
    if host and not re.match(HOST, host):
        raise ValueError(f"the host {shown} has characters that no host name has")
    return host, _port(port, certain)


def _port(text: str, certain: bool) -> str:
    if text and not (re.fullmatch(r"[0-9]{1,5}", text) and 1 <= int(text) <= 65535):
        if certain:
            raise ValueError(f"the port {text!r} is no number from 1 to 65535")
        raise ValueError("the port is no number from 1 to 65535 (or @host is missing after a password)")
    return text


def _ports(text: str, count: int) -> list[str]:
    ports = [_port(port, certain=True) for port in text.split(",")]
    ports = ports * count if len(ports) == 1 else ports
    if len(ports) != count:
        raise ValueError(f"the numbers of hosts ({count}) and ports ({len(ports)}) differ")
    return ports


def _search_path(value: str) -> str:
    if not all(re.match(IDENTIFIER, name) for name in value.split(",")):
        raise ValueError(
            "the schema is no identifier (letters, digits and _, or in double quotes), or a list of them with commas"
        )
    return ",".join(name.strip() for name in value.split(","))


def _check(found: dict[str, str]) -> None:
    mode = found.get("sslmode")
    if mode is not None and mode not in SSL_MODES:
        raise ValueError(f"the sslmode {mode!r} is none of {', '.join(SSL_MODES)}")
    file = found.get("sslrootcert", "system")
    if file != "system" and not (os.path.isfile(file) and os.access(file, os.R_OK)):
        raise ValueError(f"the file of sslrootcert, {file!r}, cannot be read")
    if any(re.search(r"[\x00-\x1f\x7f]", value) for value in found.values()):
        raise ValueError("an escape in it (%00 to %1F) stands for a control character")


def for_sqlalchemy(libpq: dict[str, str]) -> str:
    """With the driver spelled out: the default one differs between SQLAlchemy 2.0 and 2.1."""
    rest = dict(libpq)
    login = encoded(rest.pop("user", "")) + (":" + encoded(rest.pop("password")) if "password" in rest else "")
    place, host = "", rest.get("host", "")
    if host and "," not in host and not host.startswith(("/", "@")):
        place, port = f"[{host}]" if ":" in host else host, rest.pop("port", "")
        place += f":{port}" if port else ""
        del rest["host"]
    name = in_path(rest.pop("dbname", ""))
    # One host= and port= with commas is the only form that takes names, IPv6 addresses and sockets alike.
    query = "&".join(f"{encoded(key)}={encoded(value)}" for key, value in rest.items())
    return f"postgresql+psycopg://{login + '@' if login else ''}{place}/{name}{'?' + query if query else ''}"
