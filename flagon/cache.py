"""nginx's fragments for kept pages, and `flagon purge`. What is kept and why: docs/cache.md, flagon/inside/pages.py."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import Any

from flagon import UNAVAILABLE, USAGE_ERROR
from flagon.nginx_text import matching
from flagon.room import Spool

KEPT = "kept-pages"  # in the run directory: leads to where nginx has the pages
NAME = re.compile(r"[0-9a-f]{32}(\.[0-9]+)?")  # of a page's file: MD5 of its key; one that is being written has more
ROOM_IN_MEMORY = 16 * 2**20  # bytes, where the disk is memory, and no more than this part of the memory
PART_OF_MEMORY = 16
PART_OF_DISK = 8  # of what is free; flagon/room.py gives three quarters to bodies and responses
LARGEST = 16  # one page takes at most this part of the room
RESERVED = 4  # that part of the share is for the paths of CACHE_LOCK, where there are any
ZONE = "flagon_pages"
# What carries credentials, a body or an upgrade never meets the cache: none of these is in the key. Neither does what
# carries a condition that nginx would answer with 412 in the application's place.
REQUEST = (
    '"$request_method:$http_authorization:$http_transfer_encoding:$http_upgrade'
    ':$http_if_match:$http_if_unmodified_since:$content_length"'
)
# The conditions that nginx leaves out of a request for a page that may be kept: the client's, except where nginx
# itself asks whether the page that it has still holds.
CONDITIONS = (
    ("if_none_match", "$upstream_cache_etag"),
    ("if_modified_since", "$upstream_cache_last_modified"),
)

# What the client sees of Cache-Control: what the application has said, without what the worker adds for nginx, which
# nginx itself copies where it sends a file (X-Accel-Redirect).
SAID = """\
map $upstream_http_x_flagon_control $flagon_said {
    volatile;
    default $upstream_http_x_flagon_control;
    "" $upstream_http_cache_control;
}
map $upstream_http_x_accel_redirect $flagon_control {
    volatile;
    default "";
    "" $flagon_said;
}
"""


def room(values: dict[str, Any], spool: Spool, memory: int) -> int:
    """How many bytes kept pages may take, in a box of `memory` MB."""
    most: int = min(values["CACHE_SIZE"], spool.free // PART_OF_DISK)
    if spool.in_memory:
        most = min(most, ROOM_IN_MEMORY, memory * 2**20 // PART_OF_MEMORY)
    return max(2**20, most)


def options(values: dict[str, Any], spool: str, size: int, by_page: bool) -> dict[str, Any]:
    """What a worker needs to know of the cache: flagon.inside.pages.Pages."""
    share = size // 2 // values["WEB_CONCURRENCY"]
    return {
        "folder": os.path.join(spool, "cache"),
        "share": share,
        "largest": min(share, size // LARGEST),
        "reserved": share // RESERVED if values["CACHE_LOCK"] else 0,
        "by_page": by_page,
    }


def prepare(run: str, spool: str) -> None:
    """An empty cache, in a spool that is empty."""
    place = os.path.join(spool, "cache")
    os.makedirs(place, mode=0o700, exist_ok=True)
    os.symlink(place, os.path.join(run, KEPT))


def http(values: dict[str, Any], run: str, size: int, by_page: bool = True) -> str:
    """For http level: where pages are kept, which requests meet them, what X-Cache says."""
    text = (
        f"fastcgi_cache_path {run}/{KEPT} keys_zone={ZONE}:2m max_size={size} inactive=1d use_temp_path=off;\n"
        f"map {REQUEST} $flagon_cache {{\n    default off;\n"
        + "".join(f'    "{method}::::::{length}" {ZONE};\n' for method in ("GET", "HEAD") for length in ("", "0"))
        + "}\n"
        # Apart: an application may answer those that it knows in private.
        'map $http_cookie $flagon_with_cookies {\n    default "cookies ";\n    "" "";\n}\n'
        "map $upstream_cache_status $flagon_x_cache {\n    volatile;\n    default $upstream_http_x_flagon_cache;\n"
        "    HIT hit;\n    REVALIDATED hit;\n    STALE stale;\n    UPDATING stale;\n}\n"
    )
    if by_page:
        text += SAID
    for name, own in CONDITIONS:
        text += (
            f"map $upstream_cache_status $flagon_{name} {{\n    volatile;\n    default $http_{name};\n"
            f"    EXPIRED {own};\n}}\n"
        )
    return text + _locked(values["CACHE_LOCK"])


def _locked(paths: tuple[str, ...]) -> str:
    if not paths:
        return ""
    # Regular expressions: nginx does not tell upper from lower case in the plain texts of a map.
    keys = [matching(path.removesuffix("*"), "" if path.endswith("*") else "$") for path in paths]
    lines = "".join(f"    {key} 1;\n" for key in keys)
    return f'map $uri $flagon_locked {{\n    default "";\n{lines}}}\n'


# For each request to the application. Nothing here says how long: only the application does.
REQUESTS = """\
fastcgi_param FLAGON_CACHE $upstream_cache_status;
fastcgi_param HTTP_IF_NONE_MATCH $flagon_if_none_match if_not_empty;
fastcgi_param HTTP_IF_MODIFIED_SINCE $flagon_if_modified_since if_not_empty;
fastcgi_param HTTP_IF_MATCH $http_if_match if_not_empty;
fastcgi_param HTTP_IF_UNMODIFIED_SINCE $http_if_unmodified_since if_not_empty;
fastcgi_param HTTP_RANGE $http_range if_not_empty;
fastcgi_param HTTP_IF_RANGE $http_if_range if_not_empty;
fastcgi_hide_header X-Flagon-Cache;
fastcgi_hide_header X-Flagon-Control;
fastcgi_cache $flagon_cache;
fastcgi_cache_key "$request_method $flagon_with_cookies$flagon_scheme://$flagon_host$request_uri";
fastcgi_cache_background_update on;
fastcgi_cache_revalidate on;
"""
# Which page may be served stale in an error's place: the worker says so with each page (flagon/inside/pages.py). nginx
# reads that in Cache-Control alone, so that one is hidden, and `add_header` gives the client the application's.
BY_PAGE = "fastcgi_hide_header Cache-Control;\n"
# Files of the user's may have an `add_header` or `expires`, under which that would be lost: there all pages may.
ALL = "fastcgi_cache_use_stale error timeout http_500 http_503;\n"

# In `location @locked`, for the paths of CACHE_LOCK. Where a page turns out not to be kept, those who wait get it one
# after the other, and nginx looks every half second only: so nobody waits for longer than this.
LOCK = """\
fastcgi_param FLAGON_LOCKED 1;
fastcgi_cache_lock on;
fastcgi_cache_lock_timeout 2s;
fastcgi_cache_lock_age 2s;
"""


def purge(arguments: list[str]) -> int:
    """Forget every kept page of the box that serves here. Exit code 0; 64 for a wrong call, 69 where there is none."""
    from flagon import places, serving

    if arguments:
        print("usage: flagon purge", file=sys.stderr)
        return USAGE_ERROR
    found = serving.paths(KEPT)
    if not found:
        print(f"flagon: {serving.nobody('purge')}", file=sys.stderr)
        return UNAVAILABLE
    folder = os.path.realpath(found[0])
    spool, name = os.path.split(folder)
    if name != "cache" or not places.is_spool(spool):
        print(f"flagon: {found[0]} leads to {folder}, which is no spool: nothing is removed", file=sys.stderr)
        return 1
    try:
        count = _remove_pages(folder)
    except PermissionError as error:
        print(
            f"flagon: {error.filename}: another user's than uid {os.geteuid()}: "
            "run this as the box's uid, docker exec -u UID NAME flagon purge",
            file=sys.stderr,
        )
        return 1
    print(f"{count} kept pages removed")
    return 0


def _remove_pages(folder: str) -> int:
    """Nothing but files that are named as nginx names pages, and nothing below. How many. Raises PermissionError."""
    count = 0
    place = os.open(folder, os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for name in os.listdir(place):
            if NAME.fullmatch(name):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=place)
                    count += 1
    finally:
        os.close(place)
    return count
