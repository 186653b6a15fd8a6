"""Which responses are kept, and the marks on paths."""

import os

import pytest

from flagon.inside.pages import Pages, storable


@pytest.fixture
def pages(tmp_path):
    return Pages(str(tmp_path / "pages"))


def answered(pages, path="/a", control="public, max-age=60", status="200 OK", through=False, **environ):
    headers = [("Cache-Control", control)] if control else []
    pages.answered({"REQUEST_METHOD": "GET", **environ}, path, status, headers, through)


def marks(pages):
    found = []
    for place, _, names in os.walk(pages.directory):
        found += [os.path.relpath(os.path.join(place, name), pages.directory) for name in names]
    return sorted(found)


@pytest.mark.parametrize(
    "value",
    ["public, max-age=1", "S-MAXAGE=5", "max-age=0, s-maxage=5", "s-maxage=5, max-age=0", 'public,max-age=1, x="y"'],
)
def test_storable(value):
    assert storable("200 OK", [("cache-control", value)])
    assert not storable("500 X", [("cache-control", value)])
    assert not storable("200 OK", [("Cache-Control", value), ("Set-Cookie", "a=b")])
    assert not storable("200 OK", [("Cache-Control", value), ("Vary", "Cookie, *")])
    assert not storable("200 OK", [("Cache-Control", value), ("Cache-Control", "private")])


@pytest.mark.parametrize(
    "value", ["", "max-age=60", "public, max-age=0", "public, no-store", "private", "republic", "s-maxage=0"]
)
def test_not_storable(value):
    assert not storable("200 OK", [("Cache-Control", value)])


def test_a_marked_path_has_a_file(pages):
    answered(pages)
    answered(pages, "/")
    answered(pages, "/deep/er/")
    assert marks(pages) == [".page", "a/.page", "deep/er/.page"]


def test_a_path_that_turns_private_is_never_marked_again(pages):
    answered(pages)
    answered(pages, control="private", through=True)
    assert marks(pages) == ["a/.private"]
    answered(pages)
    assert marks(pages) == ["a/.private"]


def test_with_and_without_cookies_apart(pages):
    answered(pages, HTTP_COOKIE="a=b")
    answered(pages)
    answered(pages, control="", through=True, HTTP_COOKIE="a=c")
    assert marks(pages) == ["a/.page", "a/.private-cookies"]


@pytest.mark.parametrize(
    "more",
    [
        {"REQUEST_METHOD": "POST"}, {"HTTP_AUTHORIZATION": "x"}, {"status": "500 X"}, {"status": None},
        {"path": "/a/../b"}, {"path": "/" + "x" * 900}, {"path": "/a\0b"}, {"path": "/" + "x" * 300},
    ],
)  # fmt: skip
def test_what_leaves_no_mark(pages, more):
    answered(pages, **more)
    assert marks(pages) == []


@pytest.mark.parametrize("status", ["304 X", "500 X", "302 X"])
def test_errors_and_conditions_say_nothing_of_the_page(pages, status):
    answered(pages)
    answered(pages, control="", status=status, through=True)
    assert marks(pages) == ["a/.page"]


def test_no_more_than_so_many(pages, monkeypatch):
    monkeypatch.setattr("flagon.inside.pages.MOST", 3)
    for number in range(10):
        answered(pages, f"/{number}")
    assert (len(marks(pages)), len(pages._marked)) == (3, 3)


def test_a_purge_is_noticed(pages):
    answered(pages)
    os.unlink(os.path.join(pages.directory, "a", ".page"))
    answered(pages)
    assert marks(pages) == ["a/.page"]


@pytest.mark.parametrize(("status", "gone"), [("204 X", True), ("303 X", True), ("400 X", False), ("500 X", False)])
def test_a_change_removes_the_page(pages, tmp_path, status, gone):
    """nginx's own name for the key of http://a.example/x: levels=1:2."""
    import hashlib

    name = hashlib.md5(b"GET http://a.example/x").hexdigest()
    path = tmp_path / "kept-pages" / name[-1] / name[-3:-1] / name
    path.parent.mkdir(parents=True)
    path.write_text("page")
    answered(pages)
    environ = {"wsgi.url_scheme": "http", "HTTP_HOST": "a.example", "REQUEST_URI": "/x"}
    pages.changed(environ, status)
    assert path.exists() != gone
