"""nginx's fragments for kept pages, and `flagon purge`. What is kept and why: docs/cache.md, flagon/inside/pages.py."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from flagon.inside.pages import KEPT, MARK, STATUSES, WITH_COOKIES

# Conditions of the client's go to the application; those of nginx's own, where it asks whether a kept page still holds.
CONDITIONS = (
    ("if_none_match", "$upstream_cache_etag"),
    ("if_modified_since", "$upstream_cache_last_modified"),
)
ROOM_IN_MEMORY = 16 * 2**20  # bytes, where the disk is memory
MARKS = "pages"  # below the run directory; flagon/inside/pages.py makes them


def prepare(run: str, spool: str) -> None:
    """An empty cache: what another start has left may be of another release."""
    place = os.path.join(spool, "cache")
    if os.path.isdir(place):
        import shutil  # not at each cold start

        shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place, mode=0o700, exist_ok=True)
    os.symlink(place, os.path.join(run, KEPT))


def http(values: dict[str, Any], run: str, in_memory: bool) -> str:
    """For http level: where pages are kept, what X-Cache says."""
    size = min(values["CACHE_SIZE"], ROOM_IN_MEMORY) if in_memory else values["CACHE_SIZE"]
    text = (
        f"fastcgi_cache_path {run}/{KEPT} levels=1:2 keys_zone=flagon_pages:2m max_size={size} inactive=1d "
        "use_temp_path=off;\n"
        # The mark that makes a request look into the cache. What carries credentials never does.
        'map "$request_method:$http_authorization:$http_cookie" $flagon_mark {\n    default ".none";\n'
        f'    "~^(GET|HEAD)::$" "{MARK}";\n    "~^(GET|HEAD)::." "{MARK}{WITH_COOKIES}";\n}}\n'
        "map $upstream_http_cache_control $flagon_unmarked {\n    volatile;\n    default 1;\n"
        '    "~*(^|[ ,])(public|s-maxage)" "";\n}\n'
        'map $upstream_http_cache_control $flagon_strict {\n    volatile;\n    default "";\n'
        '    "~*(must-revalidate|proxy-revalidate)" 1;\n}\n'
        "map $upstream_status $flagon_unkept {\n    volatile;\n    default 1;\n"
        f'    "~({"|".join(STATUSES)})$" "";\n}}\n'
        'map "$upstream_cache_status:$flagon_mark:$flagon_unmarked$flagon_strict$flagon_unkept" $flagon_x_cache {\n'
        '    default "";\n    "~^(HIT|REVALIDATED)" hit;\n    "~^(STALE|UPDATING)" stale;\n    "~^:.none:$" bypass;\n'
        '    "~^(|MISS|EXPIRED):[^:]*:$" miss;\n    "~^(MISS|EXPIRED)" bypass;\n}\n'
    )
    for name, own in CONDITIONS:
        text += (
            f'map "$upstream_cache_status|{own}" $flagon_{name} {{\n    volatile;\n    default "";\n'
            f'    "~^(MISS|BYPASS|)[|]" $http_{name};\n    "~^[A-Z]+[|](?<flagon_c_{name}>.+)$" $flagon_c_{name};\n}}\n'
        )
    return text


def look(run: str) -> str:
    """In the application's location: to the cache, if the path is marked."""
    return f'if (-f "{run}/{MARKS}$uri/$flagon_mark") {{ return 418; }}\n'


# `location @kept`: the same application, through the cache.
LOCATION = """\
fastcgi_param FLAGON_CACHE 1;
fastcgi_param HTTP_IF_NONE_MATCH $flagon_if_none_match if_not_empty;
fastcgi_param HTTP_IF_MODIFIED_SINCE $flagon_if_modified_since if_not_empty;
fastcgi_param HTTP_RANGE $http_range if_not_empty;
fastcgi_param HTTP_IF_RANGE $http_if_range if_not_empty;
fastcgi_cache flagon_pages;
fastcgi_cache_key "$request_method $flagon_scheme://$flagon_host$request_uri";
fastcgi_cache_lock on;
fastcgi_cache_lock_timeout 5s;
fastcgi_cache_lock_age 5s;
fastcgi_cache_background_update on;
fastcgi_cache_revalidate on;
fastcgi_cache_use_stale error timeout http_500 http_503;
fastcgi_no_cache $flagon_unmarked $flagon_strict $flagon_unkept;
"""


def purge(arguments: list[str]) -> int:
    """Forget every kept page of the box that serves here. Exit code 0; 64 for a wrong call, 69 where there is none."""
    from flagon import places, serving

    if arguments:
        print("usage: flagon purge", file=sys.stderr)
        return 64  # EX_USAGE of sysexits.h
    found = serving.paths(KEPT)
    if not found:
        print(f"flagon: {serving.nobody('purge')}", file=sys.stderr)
        return 69  # EX_UNAVAILABLE
    place = os.path.realpath(found[0])
    if not places.is_spool(os.path.dirname(place)):
        print(f"flagon: {found[0]} leads to {place}, which is no spool: nothing is removed", file=sys.stderr)
        return 1
    try:
        # The marks last: a page that is asked for in between is fetched again, not kept half.
        count = _remove_files(place)
        _remove_files(os.path.join(os.path.dirname(found[0]), MARKS))
    except PermissionError as error:
        print(
            f"flagon: {error.filename}: another user's than uid {os.geteuid()}: "
            "run this as the box's uid, docker exec -u UID NAME flagon purge",
            file=sys.stderr,
        )
        return 1
    print(f"{count} kept pages removed")
    return 0


def _remove_files(folder: str) -> int:
    count = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(place, name))
                count += 1
    return count
