"""The kinds of value a setting can have: text in, typed value out, or ValueError that says what is accepted."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from flagon.database import read
from flagon.identity import is_folder, is_run_as
from flagon.nginx_text import unfit
from flagon.secrets_store import random_key
from flagon.table import Setting

MODULE = re.compile(r"[A-Za-z_][\w.-]*(:[A-Za-z_][\w.]*(\(.*\))?)?\Z")
HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}\Z")
LAST_WORD = re.compile(  # of these nginx or Flagon has it, whatever a client sends
    r"(X-)?Forwarded.*|(X-)?Flagon.*|X-Real-IP|Proxy|Host|X-Request-ID|Content-(Length|Type)", re.IGNORECASE
)
PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+\Z")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
SWITCHED = dict.fromkeys(("on", "1", "true", "yes"), True) | dict.fromkeys(("off", "0", "false", "no"), False)
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
# gunicorn's own words, of all versions that work here, and ours.
WORKER_CLASSES = frozenset("fastcgi sync gthread asgi gevent gevent_wsgi gevent_pywsgi eventlet tornado".split())
SHORTEST_SECRET = 8
PLACEHOLDERS = frozenset(
    "changeme change-me change_me secret secretkey secret-key secret_key mysecret mysecretkey password default dev "
    "development insecure test testing example your-secret-key your_secret_key yoursecretkey replace-me replaceme "
    "please-change-me supersecret super-secret supersecretkey somesecretkey todo xxx".split()
)


class Unusable(ValueError):
    """It was meant for us, whatever name it came by, and cannot be taken: the boot ends."""


def _range(row: Setting, unit: str = "") -> str:
    low, high = (
        f"{bound:g}" if bound is not None and bound < 10**6 else str(int(bound or 0)) for bound in (row.low, row.high)
    )
    return f"{low} to {high}{unit}"


def _bounded(number: float, row: Setting, unit: str = "") -> None:
    if (row.low is not None and number < row.low) or (row.high is not None and number > row.high):
        raise ValueError(_range(row, unit))


def integer(text: str, row: Setting) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise ValueError(f"a whole number from {_range(row)}")
    if not int(text) and row.zero is not None:
        return int(row.zero)
    _bounded(int(text), row)
    return int(text)


def workers(text: str, row: Setting) -> int | None:
    """WEB_CONCURRENCY is set by platforms too; what is no whole number >= 1 means computed (DESIGN 3.1)."""
    return integer(text, row) if re.fullmatch(r"[1-9][0-9]{0,5}", text) else None


def seconds(text: str, row: Setting) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(s|sec|seconds)?", text)
    if not match:
        raise ValueError(f"seconds from {_range(row)}")
    number = float(match[1])
    if not number and row.zero is not None:
        return row.zero
    _bounded(number, row, " seconds")
    return number


def rate(text: str, row: Setting) -> str:
    """`RATE` or `RATE/BURST` -> the latter; the burst is a second's worth where none is given."""
    accepted = f"requests a second from {_range(row)}, and maybe a burst, such as 10/20"
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(?:/([0-9]{1,6}))?", text)
    if not match:
        raise ValueError(accepted)
    try:
        _bounded(float(match[1]), row)
    except ValueError:
        raise ValueError(accepted) from None
    return f"{float(match[1]):g}/{match[2] or max(1, round(float(match[1])))}"


def hsts(text: str, row: Setting) -> str:
    """Seconds and the directives of RFC 6797 -> the header's value; 0 has browsers forget it."""
    accepted = "seconds, and maybe ; includeSubDomains ; preload, such as 31536000; includeSubDomains"
    age, *rest = [part.strip() for part in text.split(";")]
    words = {"includesubdomains": "includeSubDomains", "preload": "preload"}
    if not re.fullmatch(r"(max-age=)?[0-9]{1,10}", age) or any(word.lower() not in words for word in rest):
        raise ValueError(accepted)
    return "; ".join(["max-age=" + age.removeprefix("max-age="), *(words[word.lower()] for word in rest)])


def size(text: str, row: Setting) -> int:
    match = re.fullmatch(r"([0-9]{1,15})\s*([kmg]?)b?", text.lower())
    if not match:
        raise ValueError("bytes, or a number with k, m or g, such as 32m")
    count = int(match[1]) * UNITS[match[2]]
    _bounded(count, row, " bytes")
    return count


def switch(text: str, row: Setting) -> bool:
    found = SWITCHED.get(text.lower())
    if found is None:
        raise ValueError("on or off")
    return found


def zero_or_one(text: str, row: Setting) -> bool:
    """The old images took nothing but 1 for yes."""
    if text not in ("0", "1", "on", "off"):
        raise ValueError("1 (or on), 0 (or off)")
    return text in ("1", "on")


def names(text: str, row: Setting) -> tuple[str, ...]:
    """Process types of a Procfile."""
    words = tuple(dict.fromkeys(word for word in re.split(r"[,\s]+", text) if word))
    if not words or not all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", word) for word in words):
        raise ValueError("names of a Procfile's lines with commas, or all")
    return words


def choice(text: str, row: Setting) -> str:
    word = text.lower()
    if word == "warn":
        word = "warning"
    if word not in row.choices and word in SWITCHED:
        word = "auto" if SWITCHED[word] else "off"
    if word not in row.choices:
        raise ValueError("one of " + ", ".join(row.choices))
    return word


def module(text: str, row: Setting) -> str:
    if not MODULE.match(text):
        raise ValueError("module:object, such as app:app or shop.web:create_app()")
    return text


def worker_class(text: str, row: Setting) -> str:
    """A word of gunicorn's, or where a class lies; any other word is no worker (WORKER_CLASS=celery)."""
    if not re.fullmatch(r"[A-Za-z_][\w.:]*", text) or (text.isidentifier() and text not in WORKER_CLASSES):
        raise ValueError("fastcgi, gthread, gevent, sync, asgi, or a dotted path to a gunicorn worker class")
    return text


def prefix(text: str, row: Setting) -> str:
    text = text.rstrip("/")
    if not text:
        return ""
    if not PREFIX.match(text) or "/-" in text[:2] or any(part in (".", "..") for part in text.split("/")):
        raise ValueError("a path that begins with /, such as /shop")
    return text


def static_url(text: str, row: Setting) -> str:
    """`/` is accepted here: the folder is then the whole site's."""
    return prefix(text, row) or "/"


def origin(text: str, row: Setting) -> str:
    """Scheme and host of other urls, without a slash at the end."""
    if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?", text):
        raise ValueError("scheme and host, such as https://cdn.example.com, without a path")
    return text.rstrip("/")


def file(text: str, row: Setting) -> str:
    """A path, absolute or below /app."""
    if not re.fullmatch(r"[^\0\s;{}\"'\\$#]+", text) or text.endswith("/"):
        raise ValueError("the path of a file without blanks, quotes or $ ; { } #")
    return text


def header(text: str, row: Setting) -> str:
    if not HEADER.match(text):
        raise ValueError("the name of a header, such as X-Forwarded-For")
    return text


def headers(text: str, row: Setting) -> tuple[str, ...]:
    """Names of request headers that pass whoever sends them."""
    words = tuple(dict.fromkeys(word for word in re.split(r"[,\s]+", text) if word))
    if not words or not all(HEADER.match(word) for word in words):
        raise ValueError("names of headers with commas, such as X-Auth-User,X-Agent-IP")
    if taken := [word for word in words if LAST_WORD.fullmatch(word)]:
        raise Unusable(f"names of headers that a client may say; of {taken[0]} nginx has the last word")
    return words


def url(text: str, row: Setting) -> str:
    if not URL.match(text) or any(ord(letter) < 33 for letter in text):
        raise ValueError("a URL: scheme://user:password@host:port/name")
    return text


def database_url(text: str, row: Setting) -> str:
    """Checked here, so that its error stands beside the others; read for use later, as the final user."""
    read(text)
    return text


def text(text: str, row: Setting) -> str:
    if any(ord(letter) < 32 for letter in text):
        raise ValueError("one line of text")
    return text


def checks(text: str, row: Setting) -> tuple[str, ...]:
    """`database`, `migrations`, both with a comma, or `none`."""
    words = tuple(dict.fromkeys(word for word in re.split(r"[,\s]+", text.lower()) if word))
    if words != ("none",) and not set(words) <= {"database", "migrations"}:
        raise ValueError("database, migrations, both with a comma, or none")
    return () if words == ("none",) else words


def secret_key(text: str, row: Setting) -> str:
    if len(text) < SHORTEST_SECRET or text.lower() in PLACEHOLDERS:
        raise ValueError(
            f"a random text of at least {SHORTEST_SECRET} characters, no known placeholder; "
            f"this one is free: {random_key()}"
        )
    return text


def proxies(text: str, row: Setting) -> tuple[str, ...]:
    """`private`, `none`, `any`, or addresses and networks; words and networks may be mixed."""
    accepted = "private, none, any, or networks such as 10.0.0.0/8,2001:db8::/32"
    words: list[str] = []
    for entry in (entry.lower() for entry in re.split(r"[,\s]+", text) if entry):
        if entry in ("private", "none", "any", "*"):
            words.append("any" if entry == "*" else entry)
            continue
        import ipaddress  # not at each cold start

        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            raise ValueError(accepted) from None
        if "%" in entry:
            raise ValueError(accepted)
        words.append(str(network) if "/" in entry else str(network.network_address))
    if not words:
        raise ValueError(accepted)
    if len(words) > 1 and ("none" in words or "any" in words):
        raise ValueError("none and any stand alone")
    return tuple(words)


def path(text: str, row: Setting) -> str:
    if not re.fullmatch(r"/[^\0\s;{}\"'\\$#]*", text):
        raise ValueError("an absolute path without blanks, quotes or $ ; { } #")
    return text.rstrip("/") or "/"


def folder(text: str, row: Setting) -> str:
    """A directory of ours: its name gets into scripts, nginx's and supervisord's files, PATH and a database's URL."""
    accepted = "an absolute path of letters, digits and / . _ - + @ = , ~"
    if not text.startswith("/"):
        raise ValueError(accepted)
    if not is_folder(text):
        raise Unusable(accepted)
    return text.rstrip("/") or "/"


def pages(text: str, row: Setting) -> tuple[str, ...]:
    """Paths of requests; a * at the end stands for whatever follows."""
    words = tuple(dict.fromkeys(word for word in re.split(r"[,\s]+", text) if word))
    good = all(re.fullmatch(r"/[^\0-\x1f\x7f;{}\"'\\$#?*]*\*?", word) and not unfit(word) for word in words)
    if not words or not good:
        raise ValueError("paths with commas, such as /,/news/*, without quotes or $ ; { } # ?")
    return words


def run_as(text: str, row: Setting) -> str:
    if not is_run_as(text):
        raise ValueError("uid:gid (numbers), owner, or root")
    return text


PARSERS: dict[str, Callable[[str, Setting], Any]] = {
    parser.__name__: parser
    for parser in (
        integer, workers, seconds, rate, hsts, size, switch, zero_or_one, names, choice, module, worker_class, prefix,
        static_url, file, origin, header, headers, url, database_url, text, checks, secret_key, proxies, path, folder,
        pages, run_as,
    )
}  # fmt: skip


def parse(text: str, row: Setting) -> Any:
    """The typed value, whatever the kind. Secrets are not looked into here: they go nowhere but to their users."""
    value = PARSERS[row.kind](text, row)
    if not row.secret and (why := unfit(text)):
        raise ValueError(f"one line of text; this {why}")
    return value
