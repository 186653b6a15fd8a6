"""Which responses are kept, how much of them, and which page a change forgets."""

import hashlib
import os
import struct

import pytest

from flagon import cache
from flagon.inside import pages as module
from flagon.inside.pages import NOT_KEPT, Pages, page, storable, url
from flagon.room import Spool

PUBLIC = [("Cache-Control", "public, max-age=60")]
MISS, BYPASS = "X-Flagon-Cache: miss\r\n", NOT_KEPT + "X-Flagon-Cache: bypass\r\n"
OWN = "X-Accel-Expires: 5\r\n"


@pytest.fixture
def pages(tmp_path):
    return Pages(str(tmp_path), share=100_000, largest=50_000, by_page=False)


@pytest.mark.parametrize(
    "value",
    [
        "public, max-age=1",
        "S-MAXAGE=5",
        "max-age=0, s-maxage=5",
        "s-maxage=5, max-age=0",
        'public,max-age=1, x="y"',
        "public, max-age=0060",
        "s-maxage=007",
        "max-age=00, s-maxage=05",
    ],  # fmt: skip
)
def test_storable(value):
    assert storable("200 OK", [("cache-control", value)])
    assert not storable("500 X", [("cache-control", value)])
    assert not storable("200 OK", [("Cache-Control", value), ("Set-Cookie", "a=b")])
    assert not storable("200 OK", [("Cache-Control", value), ("Vary", "Cookie, *")])
    assert not storable("200 OK", [("Cache-Control", value), ("Cache-Control", "private")])


@pytest.mark.parametrize(
    "value",
    [
        "",
        "max-age=60",
        "public, max-age=0",
        "public, no-store",
        "private",
        "republic",
        "s-maxage=0",
        "public, max-age=000",
        "s-maxage=00",
        "public, max-age=0,x",
    ],
)
def test_not_storable(value):
    assert not storable("200 OK", [("Cache-Control", value)])


@pytest.mark.parametrize(
    ("found", "status", "headers", "size", "lines"),
    [
        ("MISS", "200 OK", PUBLIC, 10, MISS),
        ("EXPIRED", "200 OK", PUBLIC, 10, MISS),
        ("MISS", "404 X", PUBLIC, 10, MISS),
        ("MISS", "302 X", PUBLIC, 10, BYPASS),
        ("MISS", "206 X", PUBLIC, 10, BYPASS),
        ("MISS", "304 X", PUBLIC, 0, BYPASS),
        ("MISS", "500 X", PUBLIC, 10, BYPASS),
        ("MISS", "200 OK", [("Cache-Control", "private")], 10, NOT_KEPT),
        ("MISS", "200 OK", [("Cache-Control", "public, private")], 10, BYPASS),
        ("MISS", "200 OK", [*PUBLIC, ("X-Accel-Redirect", "/x")], 10, BYPASS),
        ("MISS", "200 OK", [], 10, NOT_KEPT),
        ("MISS", "200 OK", [("X-Accel-Expires", "60")], 10, NOT_KEPT),
        ("MISS", "200 OK", PUBLIC, None, BYPASS),
        ("MISS", "200 OK", PUBLIC, 50_000, MISS),
        ("MISS", "200 OK", PUBLIC, 50_001, BYPASS),
        ("", "200 OK", PUBLIC, 10, "X-Flagon-Cache: bypass\r\n"),  # the request never met the cache
        ("", "200 OK", [], 10, ""),
        # nginx asked whether its page holds: it answers with that one
        ("EXPIRED", "304 X", [], 0, ""),
        ("EXPIRED", "500 X", [("Cache-Control", "no-store")], 10, ""),
        ("EXPIRED", "503 X", PUBLIC, 10, ""),
        ("EXPIRED", "404 X", [], 10, NOT_KEPT),
        ("EXPIRED", "200 OK", [("Cache-Control", "private")], 10, NOT_KEPT),
        # an own age for nginx: the shortest that is said anywhere, and only where the page is marked
        ("MISS", "200 OK", [*PUBLIC, ("x-accel-expires", "9"), ("X-Accel-Expires", "5")], 10, MISS + OWN),
        ("MISS", "200 OK", [*PUBLIC, ("X-Accel-Expires", "0")], 10, BYPASS),
        ("MISS", "200 OK", [*PUBLIC, ("X-Accel-Expires", "@5")], 10, BYPASS),
        ("EXPIRED", "200 OK", [*PUBLIC, ("X-Accel-Expires", "5")], 10, MISS + OWN),
    ],
)  # fmt: skip
def test_what_nginx_is_told(pages, found, status, headers, size, lines):
    assert pages.lines(found, status, headers, size) == lines


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        (["public, max-age=60"], 10**9),
        (["public", "max-age=60"], 10**9),
        (["public, max-age=60, stale-if-error=5"], 10**9),
        (["public, max-age=60, x-s-maxage=5"], 10**9),
        (["s-maxage=60"], 0),
        (["public, max-age=60,S-MaxAge = 60"], 0),
        (["public, max-age=60", "s-maxage=60"], 0),
        (["s-maxage=60, stale-if-error=60"], 0),
    ],
)
def test_nginx_is_told_of_each_page_whether_it_may_be_stale_in_an_errors_place(tmp_path, control, seconds):
    """And what the client is to see, as nginx reads the one in the header that the client has the other in."""
    pages = Pages(str(tmp_path), share=100_000, largest=50_000)
    headers = [("Cache-Control", value) for value in control]
    told = f"Cache-Control: stale-if-error={seconds}\r\n"
    lines = pages.lines("MISS", "200 OK", headers, 10)
    assert lines.startswith(MISS)
    assert lines.endswith(f"X-Flagon-Control: {', '.join(control)}\r\n{told}")
    # that its page still holds: nginx keeps what the 304 says
    assert pages.lines("EXPIRED", "304 X", headers, 0) == told
    assert pages.lines("EXPIRED", "304 X", [], 0) == ""


@pytest.mark.parametrize(
    ("header", "stale"),
    [
        ((5, 990, 0, 10**9), True),
        ((5, 990, 0, 10), True),
        ((5, 990, 0, 9), False),
        ((5, 990, 60, 0), False),
        ((6, 990, 0, 10**9), False),
        ((), False),
        (None, False),
    ],
)
def test_an_error_gives_way_to_the_page_only_if_nginx_will_send_that(tmp_path, monkeypatch, header, stale):
    """It goes by the beginning of the page's file; what cannot be read there lets the error through."""
    monkeypatch.setattr(module.time, "time", lambda: 1000)
    pages = Pages(str(tmp_path), share=100_000, largest=50_000)
    environ = {"REQUEST_METHOD": "GET", "HTTP_COOKIE": "a=b", "wsgi.url_scheme": "http", "REQUEST_URI": "/\xfc"}
    name = page(environ | {"HTTP_HOST": "a.example"})
    if header is not None:
        path = tmp_path / hashlib.md5("GET cookies http://a.example/\xfc".encode("latin-1")).hexdigest()
        path.write_bytes(struct.pack("<4q", *header) + b"rest" if header else b"short")
    for status in ("500", "503"):
        lines = pages.lines("EXPIRED", f"{status} X", PUBLIC, 10, page=name)
        assert lines == (f"Status: kept page in place of {status}\r\n" if stale else BYPASS)
    assert pages.lines("MISS", "500 X", [], 10, page=name) == NOT_KEPT
    assert pages.lines("EXPIRED", "502 X", [], 10, page=name) == NOT_KEPT


@pytest.mark.parametrize(
    ("control", "more", "seconds"),
    [
        ("public, max-age=60", {}, None),
        ("public, max-age=60", {"X-Accel-Expires": "86400"}, 60),
        ("public, max-age=60", {"X-Accel-Expires": "5"}, 5),
        ("public, max-age=60", {"X-Accel-Expires": "@1005"}, 5),
        ("public, max-age=60", {"X-Accel-Expires": "@9999999999"}, 60),
        ("public, max-age=60", {"X-Accel-Expires": "@900"}, 0),
        ("public, max-age=60", {"X-Accel-Expires": "9" * 18}, 60),
        ("max-age=60, s-maxage=10", {"X-Accel-Expires": "30"}, 10),
        ("S-MaxAge = 10, max-age=60", {"X-Accel-Expires": "30"}, 10),
        ('public, max-age="20"', {"X-Accel-Expires": "30"}, 20),
        ("public", {"X-Accel-Expires": "30"}, 30),
        ("public", {"X-Accel-Expires": "30", "Expires": "Thu, 01 Jan 1970 00:16:50 GMT"}, 9),
        ("public", {"X-Accel-Expires": "30", "Expires": "0"}, 0),
        # nginx reads a time in any zone, and looks at its own clock alone
        ("public", {"Expires": "Thu, 01 Jan 1970 00:16:50 GMT"}, 9),
        ("public", {"Expires": "Thursday, 01-Jan-70 00:16:50 GMT"}, 9),
        ("public", {"Expires": "Thu Jan  1 00:16:50 1970"}, 9),
        ("public", {"Expires": "Thu, 01 Jan 1970 00:16:40 GMT"}, 0),
        ("public", {"Expires": "Thu, 01 Jan 1970 00:16:50 UTC"}, 0),
        ("public", {"Expires": "Thu, 01 Jan 1970 00:16:50 +0000"}, 0),
        ("public", {"Expires": "Thu, 01 Jan 1970 02:16:50 +0200"}, 0),
        ("public", {"Expires": "Thu, 01 Jan 1970 00:16:50"}, 0),
        ("public", {"Expires": "Thu, 41 Jan 1970 00:16:50 GMT"}, 0),
        ("public", {"Expires": ""}, 0),
        ("public", {"Expires": "Thu, 01 Jan 1970 00:17:40 GMT", "Date": "Thu, 01 Jan 1970 00:17:00 GMT"}, 40),
        ("public", {"Expires": "Thu, 01 Jan 1970 00:17:00 GMT", "Date": "Thu, 01 Jan 1970 00:17:10 GMT"}, 0),
        ("public", {"Expires": "Thu, 01 Jan 1970 00:16:50 GMT", "Date": "nonsense"}, 9),
        ("public", {"Expires": "Thu, 01 Jan 1970 00:16:50 GMT", "Date": "Thu, 01 Jan 1970 00:00:00 GMT"}, 9),
        ("public, max-age=60", {"Expires": "0"}, None),
        ("s-maxage=60", {"Expires": "0"}, None),
        ("public, max-age=60", {"X-Accel-Expires": "30", "Expires": "0"}, 30),
        # nginx does not read these
        ("public, max-age=60", {"X-Accel-Expires": "off"}, None),
        ("public, max-age=60", {"X-Accel-Expires": "-1"}, None),
        ("public, max-age=60", {"X-Accel-Expires": "9" * 19}, None),
        # it would take the last line
        ("s-maxage=10", {"cache-control": "public, max-age=60"}, 10),
        ("public, max-age=10", {"cache-control": "max-age=60"}, 10),
        ("public", {"cache-control": "x"}, None),
    ],
)
def test_nothing_that_is_for_nginx_keeps_a_page_for_longer(monkeypatch, control, more, seconds):
    monkeypatch.setattr(module.time, "time", lambda: 1000.5 if "Expires" in more else 1000.0)
    assert module.age([("Cache-Control", control), *more.items()]) == seconds


def test_a_worker_has_only_so_much_kept_in_a_while(pages, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def kept(size=20_000, found="MISS"):
        return pages.lines(found, "200 OK", PUBLIC, size) == MISS

    assert [kept() for _ in range(6)] == [True] * 4 + [False] * 2
    assert kept(found="EXPIRED")  # in the place of another one
    assert not kept()
    now[0] += module.PAUSE
    # the smallest page costs a file
    assert sum(kept(0) for _ in range(100)) == 100_000 // module.OVERHEAD
    now[0] += module.PAUSE
    assert kept(50_000)


def test_one_page_is_kept_however_small_the_share(tmp_path):
    pages = Pages(str(tmp_path), share=1000, largest=1000, by_page=False)
    assert pages.lines("MISS", "200 OK", PUBLIC, 1000) == MISS
    assert pages.lines("MISS", "200 OK", PUBLIC, 0) == BYPASS


def test_a_flood_of_other_paths_leaves_room_for_pages_that_others_wait_for(tmp_path):
    pages = Pages(str(tmp_path), share=100_000, largest=25_000, reserved=25_000, by_page=False)
    assert [pages.lines("MISS", "200 OK", PUBLIC, 20_000) for _ in range(4)] == [MISS] * 3 + [BYPASS]
    assert [pages.lines("MISS", "200 OK", PUBLIC, 20_000, True) for _ in range(2)] == [MISS, BYPASS]


@pytest.mark.parametrize(("status", "gone"), [("204 X", True), ("303 X", True), ("400 X", False), ("500 X", False)])
@pytest.mark.parametrize("kind", ["GET ", "HEAD ", "GET cookies ", "HEAD cookies "])
@pytest.mark.parametrize("target", ["/x", "/\xfc?\xff"])
def test_a_change_removes_the_page(pages, tmp_path, status, gone, kind, target):
    """nginx's own name for its key, in the bytes that the client sent; and nothing else."""
    path = tmp_path / hashlib.md5(f"{kind}http://a.example{target}".encode("latin-1")).hexdigest()
    other = tmp_path / ("0" * 32)
    path.write_text("page")
    other.write_text("page")
    environ = {"wsgi.url_scheme": "http", "HTTP_HOST": "a.example", "REQUEST_URI": target}
    pages.changed(url(environ), status)
    assert path.exists() != gone
    assert other.exists()


def test_the_key_that_a_change_forgets_is_nginxs():
    key = '"$request_method $flagon_with_cookies$flagon_scheme://$flagon_host$request_uri"'
    assert f"fastcgi_cache_key {key};" in cache.REQUESTS
    text = cache.http({"CACHE_LOCK": ()}, "/run", 2**20)
    assert 'default "cookies ";' in text
    assert "levels=" not in text


@pytest.mark.parametrize(
    ("size", "memory", "in_memory", "free", "room"),
    [
        (64, 256, False, 10_000, 64),
        (64, 256, False, 80, 10),
        (64, 4096, True, 2048, 16),
        (64, 128, True, 2048, 8),
        (64, 4096, True, 32, 4),
        (4, 256, True, 2048, 4),
        (64, 8, True, 2048, 1),
        (64, 256, False, 0, 1),
    ],
)
def test_the_room(size, memory, in_memory, free, room):
    spool = Spool("/spool", in_memory, free * 2**20)
    assert cache.room({"CACHE_SIZE": size * 2**20}, spool, memory) == room * 2**20


@pytest.mark.parametrize("workers", [1, 3, 8, 512])
def test_the_shares_of_all_workers_are_half_the_room(workers):
    values = {"WEB_CONCURRENCY": workers, "CACHE_LOCK": ()}
    options = cache.options(values, "/spool", 16 * 2**20, by_page=True)
    assert options["folder"] == "/spool/cache"
    assert workers * options["share"] <= 8 * 2**20
    assert options["largest"] <= min(options["share"], 2**20)
    assert options["reserved"] == 0
    assert (
        cache.options(values | {"CACHE_LOCK": ("/",)}, "/spool", 16 * 2**20, True)["reserved"] == options["share"] // 4
    )


def test_only_pages_are_removed(tmp_path):
    """Whatever else somebody puts there, and whatever a name leads to."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "precious").write_text("")
    good = ["0123456789abcdef" * 2, "f" * 32 + ".0000000012"]
    for name in [*good, "file", "F" * 32, "0" * 31, "0" * 33, "0" * 32 + ".x"]:
        (tmp_path / "cache" / name).write_text("")
    (tmp_path / "cache" / ("a" * 32)).symlink_to(tmp_path / "precious")
    assert cache._remove_pages(str(tmp_path / "cache")) == 3
    assert sorted(os.listdir(tmp_path / "cache")) == sorted(["file", "F" * 32, "0" * 31, "0" * 33, "0" * 32 + ".x"])
    assert (tmp_path / "precious").exists()
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    with pytest.raises(OSError, match="link"):
        cache._remove_pages(str(tmp_path / "link"))
