"""nginx's cache for pages that the application marks, case by case from RFC 9111; the deviations are named, with reasons."""

# Tables, a row a line, however long.
# ruff: noqa: E501

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any
from urllib.parse import quote_plus

import pytest
import requests

from .box import Box, raw, run_once, wait_until

APP = """
import json, os, time
from flask import Flask, request, make_response, send_file
app = Flask(__name__)
DIR = "/data/counts"
os.makedirs(DIR, exist_ok=True)

def count(path):
    name = os.path.join(DIR, path.replace("/", "_"))
    with open(name, "a") as file: file.write("x")
    return os.path.getsize(name)

@app.route("/case/<path:name>", methods=["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def case(name):
    number = count(name)
    time.sleep(float(request.args.get("slow", 0)))
    status = int(request.args.get("status", 200))
    if request.method in ("POST", "PUT", "DELETE"): return f"changed {number}", int(request.args.get("posted", 200))
    if "fail" in request.args and os.path.exists("/data/fail"): return "failed", 500
    sent = json.loads(request.args.get("headers", "[]"))
    tag = request.args.get("tag", dict(sent).get("ETag") if name.startswith("held") else None)
    if tag and request.headers.get("If-None-Match") == tag:
        reply = make_response("", 304)
    else:
        reply = make_response(f"{number} {request.headers.get('Accept-Language', '')} {request.headers.get('Range', '')}", status)
    for key, value in sent: reply.headers.add(key, value)
    if tag: reply.headers["ETag"] = tag
    reply.headers["X-Count"] = number
    return reply

@app.get("/mixed")
def mixed():
    reply = make_response(f"{count('mixed')} for {request.cookies.get('who', 'all')}")
    reply.headers["Vary"] = "Cookie"
    reply.headers["Cache-Control"] = "private" if "who" in request.cookies else "public, max-age=60"
    return reply

@app.get("/file")
def file(): return send_file("/app/report.txt", max_age=60)

@app.route("/fat", methods=["GET", "HEAD"])
def fat(): return f"hello {request.form.get('name', request.data.decode())}", 200, {"Cache-Control": "public, max-age=60"}

@app.get("/product")
def product():
    if request.args["id"] != "1": return "none", 404
    return str(count("product")), 200, {"Cache-Control": "public, max-age=60"}

@app.route("/cms/<path:name>", methods=["GET", "POST"])
def cms(name): return str(count("cms")), 200, {"Cache-Control": "public, max-age=60"}

@app.get("/private/<path:name>")
def private(name):
    reply = make_response("x" * 100)
    for key, value in json.loads(request.args.get("headers", "[]")): reply.headers.add(key, value)
    return reply

@app.get("/sized/<int:size>")
def sized(size):
    body = (("x" * 1000 for _ in range(size // 1000)) if "stream" in request.args else "x" * size)
    return body, 200, {"Cache-Control": "public, max-age=60"}

@app.get("/count/<path:name>")
def counted(name): return str(os.path.getsize(os.path.join(DIR, name.replace("/", "_"))))
"""
PUBLIC = "public, max-age=60"
FUTURE, PAST = formatdate(time.time() + 3600, usegmt=True), formatdate(time.time() - 3600, usegmt=True)
Headers = list[tuple[str, str]]


def cc(value: str, *more: tuple[str, str]) -> Headers:
    return [("Cache-Control", value), *more]


# (what it is, the response's headers, whether the next request is answered from the cache). RFC 9111's section in front.
STORING: list[tuple[str, Headers, bool]] = [
    ("5.2.2.9 public with max-age", cc(PUBLIC), True),
    ("5.2.2.10 s-maxage", cc("s-maxage=60"), True),
    ("5.2.2.10 s-maxage before max-age=0", cc("max-age=0, s-maxage=60"), True),
    ("5.2.2.10 s-maxage=0 before max-age", cc("public, max-age=60, s-maxage=0"), False),
    ("5.2.2.1 max-age=0", cc("public, max-age=0"), False),
    ("5.2.2.5 no-store", cc("no-store"), False),
    ("5.2.2.5 no-store beside public", cc("public, max-age=60, no-store"), False),
    ("5.2.2.7 private", cc("private, max-age=60"), False),
    ("5.2.2.7 private beside public", cc("public, private, max-age=60"), False),
    ("5.2.2.7 private for one field", cc('public, max-age=60, private="x-own"'), False),
    ("5.2.2.4 no-cache", cc("public, no-cache, max-age=60"), False),
    ("5.2.2.4 no-cache for one field", cc('public, max-age=60, no-cache="set-cookie"'), False),
    ("5.2.2.2 must-revalidate: not kept, as stale ones may be served", cc("public, max-age=60, must-revalidate"), False),
    ("5.2.2.8 proxy-revalidate: not kept", cc("public, max-age=60, proxy-revalidate"), False),
    ("5.2.2.3 must-understand with no-store: not kept", cc("public, max-age=60, must-understand, no-store"), False),
    ("5.2.3 an unknown directive", cc("public, max-age=60, foo=bar"), True),
    ("5.2 upper case", cc("Public, MAX-AGE=60"), True),
    ("5.2 blanks around the commas", cc("public  ,  max-age=60"), True),
    ("5.2 the order does not matter", cc("max-age=60, public"), True),
    ("5.2 two lines are one list", [("Cache-Control", "public"), ("Cache-Control", "max-age=60")], True),
    ("5.2 no-store in a second line", [("Cache-Control", PUBLIC), ("Cache-Control", "no-store")], False),
    ("4.2.1 max-age that is no number", cc("public, max-age=abc"), False),
    ("4.2.1 a negative max-age", cc("public, max-age=-1"), False),
    ("4.2.1 a fraction of a max-age is not freshness", cc("public, max-age=0.5"), False),
    ("4.2.2 no age at all: no heuristics", cc("public"), False),
    ("3 no mark at all", [], False),
    ("3 an age without public: not marked", cc("max-age=60"), False),
    ("5.3 Expires without public: not marked", [("Expires", FUTURE)], False),
    ("5.3 Expires with public", cc("public", ("Expires", FUTURE)), True),
    ("5.3 Expires in the past", cc("public", ("Expires", PAST)), False),
    ("5.3 Expires that is no date", cc("public", ("Expires", "0")), False),
    ("5.3 max-age before Expires in the past", cc(PUBLIC, ("Expires", PAST)), True),
    ("4.1 Vary: *", cc(PUBLIC, ("Vary", "*")), False),
    ("4.1 Vary: * beside a name", cc(PUBLIC, ("Vary", "Accept, *")), False),
    ("7.3 Set-Cookie", cc(PUBLIC, ("Set-Cookie", "a=b")), False),
    ("5.4 Pragma in a response says nothing", cc(PUBLIC, ("Pragma", "no-cache")), True),
    ("3.1 other fields are kept", cc(PUBLIC, ("X-Own", "kept"), ("Content-Language", "de")), True),
    ("stale-while-revalidate beside an age (RFC 5861)", cc("public, max-age=60, stale-while-revalidate=60"), True),
    ("stale-if-error beside an age (RFC 5861)", cc("public, max-age=60, stale-if-error=60"), True),
    ("immutable (RFC 8246)", cc("public, max-age=60, immutable"), True),
]  # fmt: skip
STATUSES = {
    200: True,
    301: True,
    308: True,
    404: True,
    410: True,
    201: False,
    203: False,
    204: False,
    302: False,
    307: False,
    400: False,
    403: False,
    418: False,
    500: False,
    503: False,
}
# Where it does otherwise than RFC 9111 says, and why. Each is asserted below: the day nginx changes, this list does.
DEVIATIONS = {
    "5.1 no Age field": "nginx has no variable for it",
    "4.2.3 an Age of the application's is not counted": "nginx does not read it; applications do not send it",
    "5.2.1.4 no-cache in a request is ignored": "a client must not be able to make every request cost a page",
    "5.2.1.1 max-age=0 in a request is ignored": "as no-cache",
    "5.2.1.7 only-if-cached asks the application": "nginx does not know it; no browser sends it across sites",
    "4.2.4 a stale page is served while gunicorn is down or the application answers 500 or 503": "availability; s-maxage and must-revalidate prevent it",
    "5.2.2.10 a page with s-maxage is served stale then, too, beside nginx files of the user's": "their add_header or expires may hide what nginx is told of each page",
    "3.2 header fields of a 304 do not update the kept page": "nginx takes its age alone",
    "RFC 9110 13.2.2 If-None-Match that matches, and an older If-Modified-Since: 200": "nginx wants both to hold",
    "RFC 9213 CDN-Cache-Control is not read": "nginx does not know it",
    "4.4 other variants of a changed url stay": "nginx names them by their own keys",
}
numbers = itertools.count()


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    env = {"WEB_CONCURRENCY": "2", "TRUSTED_PROXIES": "private", "CACHE_LOCK": "/nowhere, /case/locked/*"}
    with Box(env, files={"app.py": APP, "report.txt": "a report"}) as found:
        yield found


def ask(
    box: Box, name: str, headers: Headers, method: str = "GET", given: dict[str, str] | None = None, **query: str
) -> requests.Response:
    return box.request(
        method,
        f"/case/{name}",
        params={"headers": json.dumps(headers), **query},
        headers=given or {},
        allow_redirects=False,
    )


def fresh() -> str:
    """A path that nobody has asked for."""
    return f"c{next(numbers)}"


def kept(box: Box, headers: Headers, **query: str) -> tuple[str, requests.Response]:
    """A fresh path that has been asked for once. (path, the answer)"""
    name = fresh()
    return name, ask(box, name, headers, **query)


def files(box: Box) -> int:
    """How many pages nginx has."""
    return len(box.exec("find", "/run/flagon/kept-pages/", "-type", "f").split())


@pytest.mark.parametrize(("what", "headers", "hit"), STORING, ids=[row[0] for row in STORING])
def test_what_is_kept(box: Box, what: str, headers: Headers, hit: bool) -> None:
    name, first = kept(box, headers)
    second = ask(box, name, headers)
    assert (second.text == first.text) == hit
    assert (second.headers.get("X-Cache") == "hit") == hit
    if hit:
        assert first.headers["X-Cache"] == "miss"
        for key, value in headers:
            assert value in second.headers[key]
        assert second.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    elif not any("public" in value.lower() or "s-maxage" in value.lower() for _, value in headers):
        assert "X-Cache" not in first.headers


@pytest.mark.parametrize(("status", "hit"), STATUSES.items())
def test_which_statuses(box: Box, status: int, hit: bool) -> None:
    more = [("Location", "/")] if 300 < status < 309 else []
    name, second = kept(box, cc(PUBLIC, *more), status=str(status))
    third = ask(box, name, cc(PUBLIC, *more), status=str(status))
    assert (second.status_code, third.status_code) == (status, status)
    assert (third.headers.get("X-Cache") == "hit") == hit


def test_keys(box: Box) -> None:
    """Query, host, scheme and method: another one is another page."""
    name, second = kept(box, cc(PUBLIC))
    assert ask(box, name, cc(PUBLIC)).text == second.text
    assert ask(box, name, cc(PUBLIC), other="1").text != second.text
    assert ask(box, name, cc(PUBLIC), given={"Host": "other.example"}).text != second.text
    assert ask(box, name, cc(PUBLIC), given={"X-Forwarded-Proto": "https"}).text != second.text
    head = ask(box, name, cc(PUBLIC), method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert ask(box, name, cc(PUBLIC)).text == second.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_unsafe_methods_go_through_and_forget_the_page(box: Box, method: str) -> None:
    name, second = kept(box, cc(PUBLIC))
    failed = ask(box, name, cc(PUBLIC), method=method, posted="500")
    assert failed.text.startswith("changed")
    # another url: the failed one was asked with another query
    url = {"params": {"headers": json.dumps(cc(PUBLIC))}}
    assert box.get(f"/case/{name}", **url).text == second.text
    changed = box.request(method, f"/case/{name}", **url)
    assert changed.text.startswith("changed")
    assert "X-Cache" not in changed.headers
    assert box.get(f"/case/{name}", **url).text != second.text


def test_authorization_is_neither_answered_nor_kept(box: Box) -> None:
    name, second = kept(box, cc(PUBLIC))
    own = ask(box, name, cc(PUBLIC), given={"Authorization": "Bearer mine"})
    assert own.text != second.text
    assert own.headers["X-Cache"] == "bypass"
    assert ask(box, name, cc(PUBLIC)).text == second.text


def test_a_path_that_is_private_with_cookies_is_kept_without(box: Box) -> None:
    for _ in range(2):
        box.get("/mixed")
        time.sleep(0.03)
    public = box.get("/mixed").text
    for who in ("anna", "bert", "anna"):
        assert box.get("/mixed", headers={"Cookie": f"who={who}"}).text.endswith(f"for {who}")
    assert box.get("/mixed").text == public
    # the other way round: marked with a harmless cookie, then private for somebody
    for _ in range(3):
        harmless = box.get("/mixed", headers={"Cookie": "theme=dark"})
        time.sleep(0.03)
    assert harmless.text.endswith("for all")
    for who in ("anna", "bert"):
        assert box.get("/mixed", headers={"Cookie": f"who={who}"}).text.endswith(f"for {who}")


def test_vary(box: Box) -> None:
    headers = cc(PUBLIC, ("Vary", "Accept-Language"))
    name = fresh()
    texts = {}
    for _ in range(2):
        for language in ("de", "en", ""):
            texts[language] = ask(box, name, headers, given={"Accept-Language": language}).text
    assert len(set(texts.values())) == 3
    for language, text in texts.items():
        reply = ask(box, name, headers, given={"Accept-Language": language})
        assert (reply.text, reply.headers["X-Cache"]) == (text, "hit")
        assert language in text


def test_vary_by_several_fields(box: Box) -> None:
    headers = cc(PUBLIC, ("Vary", "Accept-Language, X-Own"))
    name, second = kept(box, headers)
    assert ask(box, name, headers).text == second.text
    assert ask(box, name, headers, given={"X-Own": "1"}).text != second.text


@pytest.mark.parametrize("tag", ['"a"', 'W/"a"'])
def test_conditions_are_answered_from_the_cache(box: Box, tag: str) -> None:
    name, second = kept(box, cc(PUBLIC), tag=tag)
    for given, status in (
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": '"b"'}, 200),
        ({"If-None-Match": f'"b", {tag}'}, 304),
        ({"If-None-Match": "*"}, 304),
    ):
        reply = ask(box, name, cc(PUBLIC), given=given, tag=tag)
        assert (reply.status_code, reply.headers["X-Cache"]) == (status, "hit")
        assert status == 304 or reply.text == second.text


def test_a_condition_that_the_application_answers_is_not_kept(box: Box) -> None:
    """304 goes to who asked; the next one gets the page."""
    name = fresh()
    first = ask(box, name, cc(PUBLIC), tag='"a"', given={"If-None-Match": '"a"'})
    assert (first.status_code, first.content) == (304, b"")
    assert ask(box, name, cc(PUBLIC), tag='"a"').status_code == 200
    assert ask(box, name, cc(PUBLIC), tag='"a"').headers["X-Cache"] == "hit"


def test_if_modified_since(box: Box) -> None:
    headers = cc(PUBLIC, ("Last-Modified", PAST))
    name, _ = kept(box, headers)
    assert ask(box, name, headers, given={"If-Modified-Since": PAST}).status_code == 304
    older = formatdate(time.time() - 7200, usegmt=True)
    assert ask(box, name, headers, given={"If-Modified-Since": older}).status_code == 200


def test_ranges_reach_the_application_and_parts_are_not_kept(box: Box) -> None:
    name = fresh()
    part = ask(box, name, cc(PUBLIC), given={"Range": "bytes=0-1"}, status="206")
    assert part.text.endswith("bytes=0-1")
    assert ask(box, name, cc(PUBLIC), status="206").headers["X-Cache"] == "bypass"


def test_age(box: Box) -> None:
    """Fresh, then over: asked again. With a tag only whether it still holds. What may be stale is, and is renewed beside."""
    plain, old = kept(box, cc("public, max-age=1"))
    tagged, _ = kept(box, cc("public, max-age=1"), tag='"a"')
    headers = cc("public, max-age=1, stale-while-revalidate=30")
    stale, before = kept(box, headers)
    assert ask(box, plain, cc("public, max-age=1")).text == old.text
    time.sleep(2.1)
    assert ask(box, plain, cc("public, max-age=1")).text != old.text
    again = ask(box, tagged, cc("public, max-age=1"), tag='"a"')
    assert (again.status_code, again.headers["X-Cache"]) == (200, "hit")
    first = ask(box, stale, headers)
    assert (first.text, first.headers["X-Cache"]) == (before.text, "stale")
    wait_until(lambda: ask(box, stale, headers).text != before.text, 5, "it is renewed")


def test_errors_of_the_application(box: Box) -> None:
    """The page that is still there is served in its place; what is not kept passes the error on."""
    with_word = cc("public, max-age=1, stale-if-error=60")
    allowed, old = kept(box, with_word, fail="1")
    shared, _ = kept(box, cc("public, s-maxage=1, stale-if-error=60"), fail="1")
    varied, first = kept(box, cc("public, max-age=1", ("Vary", "Accept-Language")), fail="1")
    strict, _ = kept(box, cc("public, max-age=1, must-revalidate"), fail="1")
    box.exec("touch", "/data/fail")
    try:
        time.sleep(2.1)
        reply = ask(box, allowed, with_word, fail="1")
        assert (reply.status_code, reply.text, reply.headers["X-Cache"]) == (200, old.text, "stale")
        assert ask(box, strict, cc("public, max-age=1, must-revalidate"), fail="1").status_code == 500
        reply = ask(box, shared, cc("public, s-maxage=1, stale-if-error=60"), fail="1")
        assert (reply.status_code, reply.text) == (500, "failed")
        reply = ask(box, varied, cc("public, max-age=1", ("Vary", "Accept-Language")), fail="1")
        assert (reply.status_code, reply.text, reply.headers["X-Cache"]) == (200, first.text, "stale")
    finally:
        box.exec("rm", "/data/fail")


def crowd(box: Box, name: str, size: int, headers: Headers, slow: str) -> tuple[list[requests.Response], int]:
    """(what each of so many got that asked at once, how many of them the application answered)"""
    with ThreadPoolExecutor(size) as pool:
        replies = list(pool.map(lambda _: ask(box, name, headers, slow=slow), range(size)))
    return replies, int(box.get(f"/count/{name}").text)


def test_a_stampede_costs_one_page(box: Box) -> None:
    """Where CACHE_LOCK says so; also again after a change of the page, which is forgotten."""
    name = f"locked/{fresh()}"
    replies, count = crowd(box, name, 24, cc(PUBLIC), "0.3")
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.text for reply in replies}) == 1
    assert count == 1
    assert {reply.headers["X-Cache"] for reply in replies} == {"miss", "hit"}
    assert ask(box, name, cc(PUBLIC), method="POST", slow="0.3").text == "changed 2"
    assert box.post(f"/case/{name}", data=b"x" * 200_000).text == "changed 3"
    assert crowd(box, name, 24, cc(PUBLIC), "0.3")[1] == 4


def test_a_page_that_is_over_its_age_costs_a_crowd_one_call_where_it_may_be_stale(box: Box) -> None:
    headers = cc("public, max-age=1, stale-while-revalidate=30")
    name, first = kept(box, headers, slow="0.5")
    time.sleep(2.1)
    replies, _ = crowd(box, name, 24, headers, "0.5")
    assert {reply.headers["X-Cache"] for reply in replies} <= {"stale", "hit"}
    assert first.text in {reply.text for reply in replies}
    wait_until(lambda: box.get(f"/count/{name}").text == "2", 5, "one request has renewed it")


@pytest.mark.parametrize("headers", [[], cc(PUBLIC)], ids=["private", "public"])
def test_pages_do_not_wait_for_each_other(box: Box, headers: Headers) -> None:
    """Without CACHE_LOCK nobody waits: the lock would make a queue of requests for a page that cannot be kept."""
    started = time.monotonic()
    replies, count = crowd(box, fresh(), 8, headers, "0.4")
    assert time.monotonic() - started < 2.5
    assert count == 8
    assert {reply.headers.get("X-Cache") for reply in replies} == ({"miss"} if headers else {None})


def test_purge(box: Box) -> None:
    name, second = kept(box, cc(PUBLIC))
    assert ask(box, name, cc(PUBLIC)).text == second.text
    assert files(box) > 0
    assert "kept pages removed" in box.exec("flagon", "purge")
    assert files(box) == 0
    assert box.exec("find", "/run/flagon/kept-pages/", "-mindepth", "1") == ""
    assert ask(box, name, cc(PUBLIC)).text != second.text
    assert run_once(["purge"]).returncode == 69
    assert run_once(["purge", "all"]).returncode == 64


def test_deviations(box: Box) -> None:
    assert len(DEVIATIONS) == 11
    name, second = kept(box, cc(PUBLIC))
    for given in ({}, {"Cache-Control": "no-cache"}, {"Cache-Control": "max-age=0"}, {"Pragma": "no-cache"}):
        reply = ask(box, name, cc(PUBLIC), given=given)
        assert (reply.text, "Age" in reply.headers) == (second.text, False)
    assert ask(box, f"c{next(numbers)}", cc(PUBLIC), given={"Cache-Control": "only-if-cached"}).status_code == 200
    old = cc("public, max-age=60", ("Age", "59"))
    aged, before = kept(box, old)
    time.sleep(2)
    assert ask(box, aged, old).text == before.text
    both = cc(PUBLIC, ("ETag", '"a"'), ("Last-Modified", PAST))
    tagged, _ = kept(box, both)
    older = formatdate(time.time() - 7200, usegmt=True)
    assert ask(box, tagged, both, given={"If-None-Match": '"a"', "If-Modified-Since": older}).status_code == 200
    aimed = cc(PUBLIC, ("CDN-Cache-Control", "no-store"))
    targeted, before = kept(box, aimed)
    assert ask(box, targeted, aimed).text == before.text
    renewed, before = kept(box, cc("public, max-age=1"), tag='"a"')
    time.sleep(2.1)
    reply = ask(box, renewed, cc("public, max-age=1"), tag='"a"')
    assert (reply.headers["X-Cache"], reply.headers["X-Count"]) == ("hit", before.headers["X-Count"])
    assert box.get(f"/count/{renewed}").text == "2"


KILL = "for p in /proc/[0-9]*; do grep -qs 'run-gunico[r]n.py' $p/cmdline && kill -9 ${p#/proc/}; done; "


def down(box: Box, asked: list[tuple[str, Headers]]) -> list[str]:
    """The answers with their headers, in the moment in which gunicorn has died."""
    script = KILL
    for name, headers in asked:
        url = f"'http://127.0.0.1:8080/case/{name}?headers={quote_plus(json.dumps(headers))}'"
        script += f"curl -si {url} -H 'Host: 127.0.0.1:{box.host_port()}'; echo; echo ====; "
    return box.exec("sh", "-c", script).split("====")[:-1]


def test_pages_are_served_while_gunicorn_is_down() -> None:
    """But for those with s-maxage. What the client sees is what the application has said, not what nginx is told."""
    plain, shared = cc("public, max-age=1"), cc("public, s-maxage=1, max-age=1, stale-while-revalidate=1")
    tagged, revised = cc("public, max-age=1", ("ETag", '"a"')), cc("s-maxage=1", ("ETag", '"a"'))
    with Box({"WEB_CONCURRENCY": "1"}, files={"app.py": APP}) as box:
        asked = [(f"held{fresh()}", headers) for headers in (plain, shared, tagged, revised)]
        first = [ask(box, name, headers) for name, headers in asked]
        time.sleep(2.1)
        for number in (2, 3):  # the application says that they still hold
            name, headers = asked[number]
            again = ask(box, name, headers)
            assert (again.text, again.headers["X-Cache"]) == (first[number].text, "hit")
        time.sleep(2.1)
        replies = down(box, asked)
        for number in (0, 2):
            assert "X-Cache: stale" in replies[number]
            assert first[number].text in replies[number]
            assert "Cache-Control: public, max-age=1\n" in replies[number].replace("\r", "")
        for number in (1, 3):
            assert replies[number].strip().startswith("HTTP/1.1 503")
        assert "stale-if-error" not in "".join(replies)


def test_beside_nginx_files_of_the_users_all_pages_are_served_in_an_errors_place() -> None:
    """A deviation. Their `add_header` and `expires` say what the client sees of Cache-Control, as they always did."""
    own = "expires 5m;\nlocation /case/own/ { add_header X-Own 1; include fragments/app.conf; }\n"
    files = {"app.py": APP, "nginx/server.d/own.conf": own}
    with Box({"WEB_CONCURRENCY": "1"}, files=files) as box:
        headers = cc("s-maxage=1")
        asked = [(f"own/{fresh()}", headers), (fresh(), headers)]
        first = [ask(box, name, headers, fail="1") for name, _ in asked]
        assert first[0].headers["X-Own"] == "1"
        assert {reply.headers["Cache-Control"] for reply in first} == {"max-age=300"}
        box.exec("touch", "/data/fail")
        time.sleep(2.1)
        for (name, _), before in zip(asked, first, strict=True):
            reply = ask(box, name, headers, fail="1")
            assert (reply.status_code, reply.text, reply.headers["Cache-Control"]) == (200, before.text, "max-age=300")


def test_a_file_that_nginx_sends_is_not_kept(box: Box) -> None:
    before = files(box)
    for _ in range(3):
        reply = box.get("/file")
        assert (reply.status_code, reply.headers["X-Cache"]) == (200, "bypass")
    assert files(box) == before


def test_off() -> None:
    with Box({"CACHE": "off"}, files={"app.py": APP}) as box:
        name, second = kept(box, cc(PUBLIC))
        reply = ask(box, name, cc(PUBLIC))
        assert reply.text != second.text
        assert "X-Cache" not in reply.headers


def test_a_restart_keeps_nothing() -> None:
    with Box(files={"app.py": APP}) as box:
        name, second = kept(box, cc(PUBLIC))
        box.stop()
        box.start()
        assert ask(box, name, cc(PUBLIC)).text != second.text


BODIES: dict[str, Callable[[], Any]] = {
    "form": lambda: {"name": "EVIL"},
    "bytes": lambda: b"EVIL",
    "chunked": lambda: iter([b"EV", b"IL"]),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_body_of_a_get_reaches_nobody_else(box: Box, body: Callable[[], Any]) -> None:
    """It is not in the key: such a request neither fills nor takes a page."""
    path = f"/fat?{fresh()}"
    own = [box.get(path, data=body()) for _ in range(3)]
    assert box.get(path).text == "hello "
    assert {(reply.text, reply.headers["X-Cache"]) for reply in own} == {("hello EVIL", "bypass")}
    assert box.get(path).headers["X-Cache"] == "hit"
    assert box.get(path, data=body()).text == "hello EVIL"
    head = box.request("HEAD", path, data=body())
    assert (head.status_code, head.headers["X-Cache"]) == (200, "bypass")
    # no body at all, only said so
    assert box.get(path, headers={"Content-Length": "0"}).headers["X-Cache"] == "hit"


def test_an_upgrade_is_no_page(box: Box) -> None:
    path = f"/fat?{fresh()}"
    given = {"Connection": "upgrade", "Upgrade": "h2c"}
    assert [box.get(path, headers=given).headers["X-Cache"] for _ in range(2)] == ["bypass"] * 2


# (the page, what is asked for in between, what that one answers): none of the latter says anything of the page.
OTHERS = [
    ("/fat", "/fat/", 404),
    ("/cms/z1", "/cms//z1", 308),
    ("/cms/z2", "/cms/z2/", 200),
    ("/cms/z3", "/cms/z3/.page", 200),
    ("/cms/z4", "/cms/z4/.private", 200),
    ("/cms/z5", "/cms/./z5", 200),
    ("/cms/z6", "/CMS/z6", 404),
    ("/cms/z7", "/cms/z7%00", 400),
    ("/product?id=1", "/product?id=2", 404),
    ("/fat?a", "/fat?b", 200),
]


@pytest.mark.parametrize(("page", "other", "status"), OTHERS, ids=[row[1] for row in OTHERS])
def test_another_url_leaves_a_page_alone(box: Box, page: str, other: str, status: int) -> None:
    port = box.host_port()
    first = raw(port, f"GET {other} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n".encode())
    given = {"Host": "a.example"}
    for _ in range(3):
        own = box.get(page, headers=given)
    assert own.headers["X-Cache"] == "hit"
    for _ in range(3):
        last = raw(port, f"GET {other} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n".encode())
        reply = box.get(page, headers=given)
        assert (reply.text, reply.headers["X-Cache"]) == (own.text, "hit")
    assert {int(answer.split(b" ")[1]) for answer in (first, last)} == {status}


SAME_URL = {
    "a body": {"data": {"name": "x"}},
    "credentials": {"headers": {"Authorization": "Basic eDp5"}},
    "a cookie": {"headers": {"Cookie": "a=b"}},
    "a range": {"headers": {"Range": "bytes=0-0"}},
    "a condition": {"headers": {"If-None-Match": "*"}},
    "a condition that fails": {"headers": {"If-Match": '"none"'}},
    "an upgrade": {"headers": {"Connection": "upgrade", "Upgrade": "websocket"}},
    "no-cache": {"headers": {"Cache-Control": "no-cache", "Pragma": "no-cache"}},
}


@pytest.mark.parametrize("given", SAME_URL.values(), ids=SAME_URL)
def test_no_request_of_a_client_ends_the_keeping_of_a_page(box: Box, given: dict[str, Any]) -> None:
    path = f"/cms/{fresh()}"
    for _ in range(2):
        box.get(path, **given)
    first = box.get(path)
    for method in ("GET", "HEAD", "OPTIONS"):
        box.request(method, path, **given)
    second = box.get(path)
    assert (second.text, second.headers["X-Cache"]) == (first.text, "hit")


@pytest.mark.parametrize("path", ["/cms/%C3%BC", "/cms/%FF%FE", "/cms/%25%20%2B", "/cms/\xfc", "/cms/%7Fx?\xfc=%FC"])
def test_paths_that_are_not_ascii_are_kept_and_forgotten(box: Box, path: str) -> None:
    def ask_raw(method: str) -> tuple[str, str]:
        head = f"{method} {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        answer = raw(box.host_port(), head.encode("latin-1")).decode("latin-1")
        assert answer.startswith("HTTP/1.1 200")
        found = re.search(r"X-Cache: (\w+)", answer)
        return answer.rpartition("\n")[2], found[1] if found else ""

    first = [ask_raw("GET") for _ in range(4)]
    assert first[1:] == [(first[0][0], "hit")] * 3
    ask_raw("POST")
    assert ask_raw("GET")[1] == "miss"


def test_a_change_forgets_the_page_of_those_with_cookies_too(box: Box) -> None:
    path = f"/cms/{fresh()}"
    for given in ({}, {"Cookie": "a=b"}):
        texts = [box.get(path, headers=given).text for _ in range(2)]
        assert texts[0] == texts[1]
    box.request("HEAD", path)
    box.post(path, headers={"Cookie": "c=d"})
    for given in ({}, {"Cookie": "a=b"}):
        assert box.get(path, headers=given).headers["X-Cache"] == "miss"
    assert box.request("HEAD", path).headers["X-Cache"] == "miss"


# What an answer is worth that is not marked, whatever the request says: as if there were no cache.
PRIVATE: list[tuple[Headers, dict[str, str]]] = [
    ([("ETag", '"a"')], {"If-None-Match": '"a"'}),
    ([("ETag", '"a"')], {"If-Match": '"b"'}),
    ([("ETag", '"a"'), ("Accept-Ranges", "bytes")], {"Range": "bytes=0-1"}),
    ([("Accept-Ranges", "none")], {}),
    ([("Last-Modified", PAST)], {"If-Modified-Since": PAST}),
    ([("Last-Modified", FUTURE)], {"If-Unmodified-Since": PAST}),
    ([("X-Accel-Expires", "60")], {}),
    ([("X-Accel-Expires", "@4102444800"), ("Cache-Control", "max-age=60")], {}),
    ([("Expires", FUTURE)], {}),
    ([("Cache-Control", "max-age=60"), ("ETag", '"a"')], {"If-None-Match": "*"}),
]


@pytest.mark.parametrize(("headers", "given"), PRIVATE)
def test_what_is_not_marked_is_answered_as_without_a_cache(box: Box, headers: Headers, given: dict[str, str]) -> None:
    before = files(box)
    path = f"/private/{fresh()}"
    for method in ("GET", "HEAD"):
        for _ in range(2):
            reply = box.request(method, path, params={"headers": json.dumps(headers)}, headers=given)
            assert (reply.status_code, len(reply.content)) == (200, 100 if method == "GET" else 0)
            for key, value in headers:
                assert reply.headers.get(key) == (None if key == "X-Accel-Expires" else value)
            assert "Accept-Ranges" in reply.headers or ("Accept-Ranges", "bytes") not in headers
            assert not {"X-Cache", "X-Flagon-Cache", "Content-Range"} & set(reply.headers)
    assert files(box) == before


@pytest.mark.parametrize("given", [
    {"If-Match": '"a"'}, {"If-Match": "*"}, {"If-Match": '"b"'}, {"If-Match": 'W/"a"'}, {"If-Unmodified-Since": PAST},
])  # fmt: skip
@pytest.mark.parametrize("tag", ['"a"', 'W/"a"', None])
def test_the_application_answers_if_match_also_for_a_marked_page(
    box: Box, given: dict[str, str], tag: str | None
) -> None:
    """nginx would say 412 in its place, of the page that it has and of one that it is about to keep."""
    name, headers = fresh(), cc(PUBLIC, *([("ETag", tag)] if tag else []), ("Last-Modified", FUTURE))
    assert [(reply.status_code, reply.text[0]) for reply in (ask(box, name, headers, given=given) for _ in range(2))] == [
        (200, "1"), (200, "2"),
    ]  # fmt: skip
    assert ask(box, name, headers).headers["X-Cache"] == "miss"
    reply = ask(box, name, headers, given=given)
    assert (reply.status_code, reply.text[0], reply.headers["X-Cache"]) == (200, "4", "bypass")
    reply = ask(box, name, headers)
    assert (reply.text[0], reply.headers["X-Cache"]) == ("3", "hit")


def test_an_own_age_for_nginx_counts_for_marked_pages(box: Box) -> None:
    short = cc(PUBLIC, ("X-Accel-Expires", "1"))
    name, first = kept(box, short)
    assert "X-Accel-Expires" not in first.headers
    assert ask(box, name, short).text == first.text
    time.sleep(2.1)
    assert ask(box, name, short).text != first.text
    for longer in (
        cc("public, max-age=1", ("X-Accel-Expires", "600")),
        [("Cache-Control", "s-maxage=1"), ("Cache-Control", "public, max-age=600")],
    ):
        name, first = kept(box, longer)
        assert ask(box, name, longer).text == first.text
        time.sleep(2.1)
        assert ask(box, name, longer).text != first.text
    name, first = kept(box, cc(PUBLIC, ("X-Accel-Expires", "0")))
    assert ask(box, name, cc(PUBLIC, ("X-Accel-Expires", "0"))).text != first.text


def test_large_pages_and_those_of_unknown_length_are_not_kept(box: Box) -> None:
    """nginx would write down whatever comes, beyond its size."""
    for path, word in (("/sized/3000000", "hit"), ("/sized/5000000", "bypass"), ("/sized/5000?stream=1", "bypass")):
        given = {"Accept-Encoding": "identity"}
        replies = [box.get(path, headers=given) for _ in range(2)]
        assert {len(reply.content) for reply in replies} == {int(re.findall(r"\d+", path)[0])}
        assert replies[1].headers["X-Cache"] == word


def test_error_pages_of_nginx_say_nothing_of_the_cache(box: Box) -> None:
    assert "X-Cache" not in box.request("POST", "/fat", data=b"x" * (33 * 2**20)).headers
    assert "X-Cache" not in box.get("/nowhere").headers
