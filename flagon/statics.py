"""nginx's fragments for files: static folders, a page for `/`, a single-page application, what send_file hands over."""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

from flagon.nginx_text import CONTROL, Location, evaluated, matching, unfit, word

# Response headers that nginx itself forgets when the application hands a file over; all others that it keeps
# (ngx_http_upstream.c, the table of headers: Content-Type, Content-Disposition, Set-Cookie, Cache-Control, Expires)
# need no line. flagon/inside/files.py hands over only what has no further header.
RESTORED = (
    "ETag", "Last-Modified", "Vary", "Content-Language", "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers", "Cross-Origin-Resource-Policy",
    "Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy",
    "Strict-Transport-Security", "X-Robots-Tag",
)  # fmt: skip
TEXTS = "text/css text/plain text/javascript application/javascript application/json image/svg+xml text/xml"
GZIP = (
    f"    gzip on;\n    gzip_comp_level 4;\n    gzip_min_length 1000;\n    gzip_types {TEXTS};\n"
    "    gzip_buffers 2 8k;\n    output_buffers 1 16k;\n"  # what room.TEXT counts with
)
COPIES = "/opt/flagon/static"  # what `flagon static build` has made
DIGEST = 12  # hexadecimal digits of SHA-256 in a name: 48 bits, so that two versions of one file never meet
MANIFEST = COPIES + "/manifest.json"
AT_THE_TOP = ("robots.txt", "favicon.ico")
# What nginx sends from no folder, as a regular expression of nginx's and of Python's: hidden files (RFC 8615 has one
# exception), and of what the application hands over also secrets, databases with all that lies beside them, and code.
HIDDEN = r"/\.(?!well-known(?:/|$))"
HELD_BACK = HIDDEN + r"|/(?:secret_key|uwsgi\.ini)[^/]*$|/(?=[^/]*$)[^/]*\.(?:db|sqlite)|\.py[co]?$"


# nginx's error log has the path as it is decoded, so that a line break in it would begin a line of a client's own.
CONTROLS = "    if ($flagon_controls) { return 404; }\n"


class Static(NamedTuple):
    """A folder that is served: below which path, for how long browsers may keep it, who answers for what is missing."""

    url: str  # /static/, always with the slash
    folder: str
    cache: str = ""  # Cache-Control's value; empty: none
    copies: int | None = None  # the number of its folder below /opt/flagon/static, where it has been built
    strict: bool = False  # a missing file is nginx's 404, as in the old images; else the application answers


class Files(NamedTuple):
    """All that nginx serves by itself."""

    statics: tuple[Static, ...] = ()
    index_page: str = ""  # the path that `/` is redirected to inside
    root: str = ""  # folder that is looked into before the application is asked
    spa: str = ""  # file in place of a browser's 404
    top: tuple[tuple[str, str], ...] = ()  # /robots.txt and the like: (path, file)
    handed: tuple[str, ...] = ()  # folders whose files the application may hand over
    token: str = ""  # the part of their internal paths that nobody can guess
    database: str = ""  # a SQLite file, which is never sent, whatever its name
    https_only: bool = False
    host: str = ""  # STATIC_HOST: pages of other origins may use what is digested
    own: frozenset[Location] = frozenset()  # locations of the user's own


def handed_url(token: str, folder: str) -> str:
    """The internal path below which nginx has a folder's files. By the folder's name, as workers of two releases, each
    with a list of folders of its own, speak to one nginx during a reload."""
    return f"/-/file/{token}/{zlib.crc32(folder.encode('utf-8', 'surrogateescape')):08x}/"


def _headers(cache: str) -> str:
    more = f"    add_header Cache-Control {evaluated(cache)} always;\n" if cache else ""
    return "    include fragments/headers.conf;\n" + more


def _location(files: Files, modifier: str, path: str, body: str) -> str:
    if Location(modifier == "=", path) in files.own:
        return ""
    guard = "    if ($flagon_nonsense) { return 400; }\n" + CONTROLS
    if files.https_only:
        guard += "    if ($flagon_insecure) { return 308 https://$flagon_server_name$request_uri; }\n"
    return f"location {modifier} {word(path)} {{\n{guard}{body}}}\n"


def _counted(limits: list[str]) -> str:
    """For a static location: texts are compressed within these `limits`, beyond them sent as they are.

    Only GETs of files that are there: nginx asks `limit_conn` once for a request, and what is missing goes to the
    application, whose limits are others. An `if` that is true has no try_files, which a file does not need.
    """
    return (
        '    if (-f "$flagon_unpacked$request_filename") { set $flagon_packed 1; }\n'
        + "".join(f"    {line}\n" for line in limits)
        + "    limit_conn_status 597;\n    limit_conn_log_level info;\n"  # @unpacked in nginx.conf: here again
        "    if ($flagon_crowded) { gzip off; }\n    add_header Vary $flagon_crowded;\n"
    )


def _static(files: Files, static: Static, limits: list[str]) -> str:
    bare = static.url.rstrip("/")
    text = f"    alias {evaluated(static.folder.rstrip('/') + '/')};\n"
    text += f"    charset utf-8;\n    charset_types {TEXTS};\n{GZIP}"
    if static.copies is not None:
        text += f'    if (-f "{COPIES}/$flagon_digested") {{ rewrite ^ /-/digested/$flagon_digested last; }}\n'
    if static.strict:
        text += '    if ($flagon_shown = "") { return 404; }\n    index index.html;\n'
    else:
        text += "    try_files $flagon_shown @app;\n"
    text += _counted(limits)
    text = _location(files, "^~", static.url, text + _headers(static.cache))
    if static.strict:
        target = evaluated(static.url, "$flagon_scheme://$flagon_host")
        text += _location(files, "=", bare, f"    return 301 {target};\n")
    return text


def _one(files: Files, path: str, file: str) -> str:
    return _location(files, "=", path, f"    alias {evaluated(file)};\n    charset utf-8;\n{_headers('')}")


def _handed(token: str, folder: str) -> str:
    restored = "".join(
        f"    add_header {name} $upstream_http_{name.lower().replace('-', '_')} always;\n" for name in RESTORED
    )
    return (
        f"location ^~ {handed_url(token, folder)} {{\n    internal;\n    if ($flagon_held_back) {{ return 404; }}\n"
        f"    alias {evaluated(folder.rstrip('/') + '/')};\n    etag off;\n    if_modified_since off;\n"
        f"{_headers('')}{restored}}}\n"
    )


DIGESTED = rf"(?<flagon_copy>.+\.[0-9a-f]{{{DIGEST}}}(?:\.[^./]*)?)$"
FOR_EVER = "public, max-age=31536000, immutable"


# For http level. $flagon_unpacked is empty if a shown file may go out compressed; else no path below it exists. It may
# match too much ("gzip" in a name), never too little. $flagon_crowded is set where it may not: there was no
# place, or a part of the file is asked for, whose bytes are those of the file. A header of 8 kB is copied once only.
PACKED = """map $http_range $flagon_part {
    default 1;
    "" "";
}
map "$flagon_part$request_method:$flagon_shown $http_accept_encoding" $flagon_unpacked {
    volatile;
    default /dev/null;
    "~*^GET:/.*gzip" "";
}
map $flagon_packed $flagon_packer {
    volatile;
    default "";
    1 $flagon_client;
}
limit_conn_zone $flagon_packed zone=flagon_texts:64k;
limit_conn_zone $flagon_packer zone=flagon_texts_of_a_client:1m;
map "$limit_conn_status$flagon_part" $flagon_crowded {
    volatile;
    default "";
    "~REJECTED|1" Accept-Encoding;
}
"""


def maps(files: Files) -> str:
    """For http level: $flagon_digested is the copy that a digested path stands for."""
    lines = ['default "";'] + [
        f'{matching(static.url, DIGESTED)} "{static.copies}/$flagon_copy";'
        for static in files.statics
        if static.copies is not None
    ]
    text = "map $uri $flagon_digested {\n    " + "\n    ".join(lines) + "\n}\n"
    text += f'map $uri $flagon_controls {{\n    volatile;\n    default "";\n    "~{CONTROL}" 1;\n}}\n'
    if files.statics:
        text += PACKED
    # $flagon_shown is the path of a file that nginx may look for. Volatile, as an inner redirect changes $uri.
    if files.statics or files.root:
        text += f'map $uri $flagon_shown {{\n    volatile;\n    default $uri;\n    "~{HIDDEN}" "";\n}}\n'
    return text + (_held_back(files) if files.handed else "")


def _held_back(files: Files) -> str:
    """For http level: $flagon_held_back is set for what is not sent in the application's place."""
    lines = ["volatile;", 'default "";', f'"~*{HELD_BACK}" 1;']
    for folder in files.handed:
        root = folder.rstrip("/") + "/"
        if files.database.startswith(root) and not unfit(files.database):
            path = re.escape(files.database[len(root) :]).replace("/", "/+")
            lines.append(matching(handed_url(files.token, folder), f"/*{path}[^/]*$") + " 1;")
    return "map $uri $flagon_held_back {\n    " + "\n    ".join(lines) + "\n}\n"


def _copies(files: Files) -> str:
    """Where digested files are: only they may be kept for ever, and each has its compressed copies beside it."""
    if all(static.copies is None for static in files.statics):
        return ""
    foreign = '    add_header Access-Control-Allow-Origin "*" always;\n' if files.host else ""
    return (
        f"location ^~ /-/digested/ {{\n    internal;\n    alias {COPIES}/;\n    charset utf-8;\n"
        f"    charset_types {TEXTS};\n    gzip_static on;\n    brotli_static on;\n{_headers(FOR_EVER)}{foreign}}}\n"
    )


def fragment(files: Files, limits: list[str]) -> str:
    """The locations; `limits` are room.texts. A location that the user's own file defines is left to it."""
    text = 'set $flagon_packed "";\n' if files.statics else ""
    text += "".join(_static(files, static, limits) for static in files.statics)
    text += "".join(_one(files, path, file) for path, file in files.top)
    if files.index_page:
        text += _location(files, "=", "/", f"    index {evaluated(files.index_page)};\n{_headers('')}")
    text += _copies(files)
    text += "".join(_handed(files.token, folder) for folder in files.handed)
    if files.spa:
        text += (
            f"location = /-/spa {{\n    internal;\n    default_type text/html;\n    types {{ }}\n    charset utf-8;\n"
            f"    alias {evaluated(files.spa)};\n{_headers('no-cache')}}}\n"
        )
    return text


def root(files: Files) -> str:
    """What `location /` holds."""
    if not files.root:
        return "include fragments/throttle.conf;\ninclude fragments/app.conf;\n"
    text = f"{CONTROLS}root {evaluated(files.root)};\ntry_files $flagon_shown @app;\n"
    return text + f"charset utf-8;\ncharset_types {TEXTS};\n"
