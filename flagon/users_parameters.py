"""What a user's nginx files say of the application for all of the site: handed on, or named where it has no effect.

nginx inherits `fastcgi_param` and its like only into a location that has none of its own, and ours has. So those at
http and at server level are written into our location, whatever wire they were meant for: who comes from the uWSGI
images has `uwsgi_param`. What else begins with uwsgi_, fastcgi_ or proxy_ and changes nothing here is named, with the
way out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from flagon import nginx_text

WIRES = ("fastcgi", "uwsgi", "proxy")
# What our location says of the wire by itself: of a user's for all of the site it takes the place. render.py
SAID = {
    "fastcgi": frozenset("pass keep_conn read_timeout send_timeout ignore_headers hide_header param".split()),
    "proxy": frozenset(
        "pass http_version read_timeout send_timeout ignore_headers hide_header redirect set_header".split()
    ),
}
CACHED = frozenset("cache cache_key cache_background_update cache_revalidate cache_use_stale".split())
# nginx alone says these, and who the client is.
OURS = frozenset(
    "REQUEST_METHOD REQUEST_URI PATH_INFO QUERY_STRING CONTENT_TYPE CONTENT_LENGTH SERVER_PROTOCOL SERVER_NAME"
    " SERVER_PORT REMOTE_ADDR REMOTE_PORT HTTP_HOST HTTP_X_REQUEST_ID HTTP_X_REAL_IP HTTP_FORWARDED HTTP_CONTENT_TYPE"
    " HTTP_CONTENT_LENGTH HTTP_TRANSFER_ENCODING HTTP_CONNECTION HTTP_UPGRADE HTTP_COOKIE SCRIPT_NAME".split()
)
OUR_BEGINNINGS = ("FLAGON_", "HTTP_X_FLAGON_", "HTTP_X_FORWARDED", "wsgi.")
# Of the files that nginx comes with, which people include for all of the site: nothing is lost without them.
CUSTOMARY = frozenset(
    "DOCUMENT_ROOT DOCUMENT_URI REQUEST_SCHEME HTTPS UWSGI_SCHEME GATEWAY_INTERFACE SERVER_SOFTWARE SERVER_ADDR"
    " REDIRECT_STATUS SCRIPT_FILENAME".split()
)


RECORD = 61000  # bytes: nginx sends all parameters in one of at most 65,535, some four thousand of them its own


class Parameter(NamedTuple):
    """One that the application is given: its name as WSGI has it, and the rest of the directive as it was written."""

    name: str
    value: str
    header: bool = False  # by proxy_set_header, which is for HTTP alone
    where: str = ""


class Found(NamedTuple):
    """Of all files."""

    parameters: tuple[Parameter, ...] = ()
    without_effect: tuple[tuple[str, str], ...] = ()  # directive, and file:line
    passes: frozenset[str] = frozenset()  # wires that a location of the user's speaks by itself
    authenticates: bool = False  # auth_basic for all of the site, without exception
    header_room: int = 0  # bytes of large_client_header_buffers


def find(files: Iterable[tuple[str, str]]) -> Found:
    """`files`: path and text, those at http level first, so that those at server level win."""
    parameters: dict[str, Parameter] = {}
    without_effect, passes, auth, room = [], set(), [], 0
    for path, text in files:
        for one in nginx_text.directives(text):
            name, *words = one.words
            if name in ("auth_basic", "satisfy"):
                auth.append((name, one.depth, words))
            wire, _, what = name.partition("_")
            if wire in WIRES and what == "pass":
                passes.add(wire)
            if one.depth or one.block:
                continue
            if name == "large_client_header_buffers":
                room = max(room, _room(words))
            where = f"{path}:{text.count(chr(10), 0, one.start) + 1}"
            given = _parameter(name, words, text[one.start : one.end], where)
            if given is not None:
                parameters[given.name] = given
            elif wire in WIRES and what and not _is_customary(name, words):
                without_effect.append((name, where))
    return Found(
        tuple(parameters.values()), tuple(without_effect), frozenset(passes),
        bool(auth) and all(name == "auth_basic" and not depth and _is_on(words) for name, depth, words in auth), room,
    )  # fmt: skip


def _cgi(name: str, words: list[str]) -> str:
    """How WSGI names what the directive gives the application; empty if it gives nothing."""
    if len(words) < 2:
        return ""
    if name == "proxy_set_header":
        return "HTTP_" + words[0].upper().replace("-", "_")
    return words[0] if name in ("uwsgi_param", "fastcgi_param") else ""


def _is_ours(cgi: str) -> bool:
    return cgi in OURS or cgi.startswith(OUR_BEGINNINGS)


def _parameter(name: str, words: list[str], text: str, where: str) -> Parameter | None:
    cgi = _cgi(name, words)
    if not cgi or _is_ours(cgi) or cgi in CUSTOMARY or nginx_text.word(cgi) != cgi:
        return None
    rest = text.removeprefix(name).lstrip().removeprefix(words[0])
    value = rest.rstrip(";").strip()
    # A comment in between, or quotes round the name: not as simple as it looks.
    return Parameter(cgi, value, name == "proxy_set_header", where) if value and rest[:1].isspace() else None


def _is_customary(name: str, words: list[str]) -> bool:
    """Of what people include or copy for all of the site; over HTTP, what a proxy says of the client."""
    cgi = _cgi(name, words)
    return cgi in CUSTOMARY or (_is_ours(cgi) and name != "uwsgi_param") or cgi in OURS - {"SCRIPT_NAME"}


def _is_on(words: list[str]) -> bool:
    """A realm that is the same for every request: one with a variable may be off for some."""
    return len(words) == 1 and words[0] != "off" and "$" not in words[0]


def _room(words: list[str]) -> int:
    try:
        number, size = words
        return int(number) * int(size.rstrip("kKmM")) * {"k": 1024, "m": 1 << 20}.get(size[-1].lower(), 1)
    except (ValueError, IndexError):
        return 0


def lines(found: Found, fastcgi: bool, caches: bool) -> list[str]:
    """A warning for each directive without effect on the wire that is spoken, with the way out."""
    wire = "fastcgi" if fastcgi else "proxy"
    told = []
    headers = [("proxy_set_header", one.where) for one in found.parameters if one.header and fastcgi]
    for name, where in (*found.without_effect, *headers):
        its, _, what = name.partition("_")
        if its != wire and its in found.passes:
            continue  # a location of the user's inherits it
        if its == wire and what not in SAID[wire] | (CACHED if caches else frozenset()):
            continue  # ours inherits it
        told.append(f"{where}: {name} has no effect on what reaches the application: {_way_out(its, what, wire)}")
    if fastcgi and found.header_room > RECORD:
        told.append(
            f"large_client_header_buffers of {found.header_room} bytes: with more than {RECORD} of them in one request "
            "nginx answers 500, as one FastCGI record holds no more. Set WORKER_CLASS=gthread and HEADER_SIZE instead"
        )
    return told


def _way_out(its: str, what: str, wire: str) -> str:
    if what in ("read_timeout", "send_timeout"):
        return "TIMEOUT says how long a request may take"
    if what == "set_header":
        return "nginx speaks FastCGI to it here: fastcgi_param HTTP_X_NAME value"
    if what == "param":
        return "Flagon says this by itself (docs/extending.md)"
    if its != wire and what not in SAID[wire]:
        return f"nginx speaks {'FastCGI' if wire == 'fastcgi' else 'HTTP'} to it here, so {wire}_{what} would"
    return "Flagon's own stands in its place; it holds in a location of yours that says `include fragments/app.conf;`"


def on_the_wire(found: Found, fastcgi: bool) -> list[str]:
    """Directives for our location. Over HTTP what is no header has one of its own: inside/middleware.py."""
    if fastcgi:
        given = [f"fastcgi_param {one.name} {one.value};" for one in found.parameters if not one.header]
        return given + ["fastcgi_param REMOTE_USER $flagon_user if_not_empty;"] * authenticated(found)
    given = [f"proxy_set_header {_header(one.name)} {_always(one.value)};" for one in found.parameters]
    return given + [f"proxy_set_header {_header('REMOTE_USER')} $flagon_user;"] * authenticated(found)


def authenticated(found: Found) -> bool:
    """Whether nginx has asked everybody whose request comes here for a password: then it says who it is."""
    return found.authenticates and all(one.name != "REMOTE_USER" for one in found.parameters)


def _header(name: str) -> str:
    header = name.removeprefix("HTTP_").replace("_", "-")
    return header if name.startswith("HTTP_") else "X-Flagon-Parameter-" + header


def _always(value: str) -> str:
    """Over HTTP an empty header is none."""
    return value.removesuffix("if_not_empty").rstrip()


def names(found: Found, fastcgi: bool) -> list[str]:
    """As WSGI has them: what the worker lets through, as nginx alone says it."""
    given = [one.name for one in found.parameters if not (one.header and fastcgi)]
    return given + ["REMOTE_USER"] * authenticated(found)
