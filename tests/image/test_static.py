"""`flagon static build`: digested names by url_for, compressed copies, and what happens when files are others."""

from __future__ import annotations

import gzip
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from .box import RUNTIME, Box, child_image, run_once, wait_until, write_files
from .networked import network

APP = """
from flask import Blueprint, Flask, make_response, render_template_string, url_for
app = Flask(__name__)
shop = Blueprint("shop", __name__, url_prefix="/shop", static_folder="shop/static", static_url_path="/files")
app.register_blueprint(shop)

@app.get("/")
def index():
    names = ["css/site.css", "app.js", "pixel.png", "built-BX2f9c1a.js", "not-there.css"]
    urls = [url_for("static", filename=name) for name in names] + [url_for("shop.static", filename="shop.css")]
    reply = make_response("\\n".join(urls))
    reply.headers["Content-Security-Policy"] = "default-src 'self'; script-src 'self' 'nonce-abc'; object-src 'none'"
    return reply

@app.get("/template")
def template():
    return render_template_string("{{ url_for('static', filename='app.js', _external=True) }}")
"""
SITE = """@import "base.css";
@import url('../css/print.css') print;
body { background: url(../pixel.png) } i { background: url("/static/pixel.png?v=1#x") }
@font-face { src: url("../fonts/a.woff2?#iefix") format("woff2") } b { background: url(data:image/png;base64,AA==) }
u { background: url(https://example.com/pixel.png) } s { background: url(missing.png) } /* url(../pixel.png) */
"""
PIXEL = random.Random(1).randbytes(5000)
SCRIPT = "console.log('hello');\n" * 300
FILES: dict[str, str | bytes] = {
    "app.py": APP,
    "static/css/site.css": SITE,
    "static/css/base.css": "p { margin: 0 }\n" * 200,
    "static/css/print.css": '@import "screen.css"; p { color: black }',  # a circle
    "static/css/screen.css": '@import "print.css"; p { color: blue }',
    "static/app.js": SCRIPT,
    "static/pixel.png": PIXEL,
    "static/fonts/a.woff2": b"font" * 100,
    "static/built-BX2f9c1a.js": "1;" * 500,
    "static/.hidden": "secret",
    "shop/static/shop.css": "a { background: url(shop.svg) }",
    "shop/static/shop.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>" * 20,
}
DOCKERFILE = "FROM {runtime}\nCOPY . /app\nRUN flagon static build\n"
DIGESTED = re.compile(r"^(.*)\.[0-9a-f]{12}(\.[a-z0-9]+)$")
FOR_EVER = "public, max-age=31536000, immutable"


def dockerfile() -> str:
    return DOCKERFILE.format(runtime=RUNTIME)


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with child_image(dockerfile(), FILES) as name:
        yield name


@pytest.fixture(scope="module")
def box(image: str) -> Iterator[Box]:
    with Box(image=image) as found:
        yield found


def urls(box: Box) -> dict[str, str]:
    """Plain path -> what url_for says."""
    found = box.get("/").text.split("\n")
    return {DIGESTED.sub(r"\1\2", url): url for url in found}


def fetch(box: Box, path: str, encoding: str = "identity", **headers: str) -> requests.Response:
    return box.get(path, headers={"Accept-Encoding": encoding, **headers})


def test_url_for_names_the_digest_without_a_change_to_the_application(box: Box) -> None:
    found = urls(box)
    for plain in ("/static/css/site.css", "/static/app.js", "/static/pixel.png", "/shop/files/shop.css"):
        assert found[plain] != plain
        reply = fetch(box, found[plain])
        assert (reply.status_code, reply.headers["Cache-Control"]) == (200, FOR_EVER)
        assert "Set-Cookie" not in reply.headers
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert found["/static/built-BX2f9c1a.js"] == "/static/built-BX2f9c1a.js"  # a bundler has named it
    assert found["/static/not-there.css"] == "/static/not-there.css"
    assert DIGESTED.match(box.get("/template").text)
    assert fetch(box, found["/static/pixel.png"]).content == PIXEL


def test_only_digested_names_are_for_ever(box: Box) -> None:
    for path in ("/static/app.js", "/static/built-BX2f9c1a.js", "/shop/files/shop.css"):
        reply = fetch(box, path)
        assert (reply.status_code, reply.headers["Cache-Control"]) == (200, "no-cache")
        again = fetch(box, path, **{"If-None-Match": reply.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_style_sheets_name_digested_files(box: Box) -> None:
    path = urls(box)["/static/css/site.css"]
    text = fetch(box, path).text
    local = [
        name
        for name in re.findall(r"""(?:url\(|@import (?!url))["']?([^"')]+)""", text.split("/*")[0])
        if ":" not in name
    ]
    digested = [name for name in local if DIGESTED.match(re.split(r"[?#]", name)[0])]
    assert [DIGESTED.sub(r"\1\2", re.split(r"[?#]", name)[0]) for name in digested] == [
        "base.css", "print.css", "../pixel.png", "../pixel.png", "../fonts/a.woff2",
    ]  # fmt: skip
    assert "?v=1#x" in text
    assert "?#iefix" in text
    assert "url(missing.png)" in text
    assert "https://example.com/pixel.png" in text
    assert "/* url(../pixel.png) */" in text
    for name in digested:
        target = requests.compat.urljoin(box.url(path), name)  # type: ignore[attr-defined]
        reply = requests.get(target, timeout=5)
        assert (reply.status_code, reply.headers["Cache-Control"]) == (200, FOR_EVER), name


@pytest.mark.parametrize("plain", ["/static/app.js", "/static/css/base.css", "/shop/files/shop.svg"])
def test_texts_are_compressed_ahead(box: Box, plain: str) -> None:
    path = urls(box).get(plain) or digested_in_image(box, plain)
    whole = fetch(box, path)
    for asked, given in (("gzip", "gzip"), ("br", "br"), ("gzip, deflate, br, zstd", "br"), ("identity", None)):
        reply = box.get(path, headers={"Accept-Encoding": asked}, stream=True)
        raw = reply.raw.read(decode_content=False)
        assert reply.headers.get("Content-Encoding") == given
        assert reply.headers["Vary"] == "Accept-Encoding"
        assert len(raw) == int(reply.headers["Content-Length"])
        assert reply.headers["ETag"] != whole.headers["ETag"] or given is None
        if given == "gzip":
            assert gzip.decompress(raw) == whole.content
        if given:
            assert len(raw) < len(whole.content)


def digested_in_image(box: Box, plain: str) -> str:
    """The digested name of a file that no page names, from the image itself."""
    stem, extension = os.path.splitext(os.path.basename(plain))
    found = box.exec("sh", "-c", f"find /opt/flagon/static -name '{stem}.*{extension}'").split()
    return f"{os.path.dirname(plain)}/{os.path.basename(found[0])}"


def test_brotli_holds_the_same_bytes(box: Box) -> None:
    path = urls(box)["/static/app.js"]
    reply = box.exec("sh", "-c", f"curl -s --compressed -H 'Accept-Encoding: br' http://127.0.0.1:8080{path}")
    assert reply.strip() == SCRIPT.strip()


def test_pictures_are_not(box: Box) -> None:
    reply = fetch(box, urls(box)["/static/pixel.png"], "gzip, br")
    assert "Content-Encoding" not in reply.headers
    names = box.exec("find", "/opt/flagon/static", "-name", "pixel.*").split()
    assert len(names) == 1


@pytest.mark.parametrize("digested", [True, False])
def test_ranges_are_of_the_plain_file(box: Box, digested: bool) -> None:
    path = urls(box)["/static/pixel.png"] if digested else "/static/pixel.png"
    reply = fetch(box, path, Range="bytes=100-199")
    assert (reply.status_code, reply.content) == (206, PIXEL[100:200])
    assert reply.headers["Content-Range"] == f"bytes 100-199/{len(PIXEL)}"
    assert fetch(box, path, Range="bytes=9999-").status_code == 416
    plain = fetch(box, "/static/app.js", "gzip", Range="bytes=0-9")
    assert (plain.status_code, "Content-Encoding" in plain.headers) == (206, False)
    assert plain.content == fetch(box, "/static/app.js", "identity").content[:10]
    script = urls(box)["/static/app.js"]
    part = fetch(box, script, "br", Range="bytes=0-9")
    whole = box.get(script, headers={"Accept-Encoding": part.headers.get("Content-Encoding", "identity")}, stream=True)
    assert part.status_code in (200, 206)  # a part is one of the same representation
    if part.status_code == 206:
        assert part.raw is not None
        assert whole.raw.read(decode_content=False)[:10] == part.content


def test_the_manifest_and_the_copies_have_no_url(box: Box) -> None:
    for path in (
        "/static/manifest.json",
        "/static/../manifest.json",
        "/-/digested/manifest.json",
        "/-/digested/0/app.js",
    ):
        assert fetch(box, path).status_code == 404
    hidden = box.exec("sh", "-c", "find /opt/flagon/static -name '*hidden*'")
    assert hidden == ""


def test_another_releases_digest_gives_the_present_file_and_is_not_kept(box: Box) -> None:
    """Behind a balancer, in the middle of a deploy."""
    reply = fetch(box, "/static/app.0123456789ab.js")
    assert (reply.status_code, reply.text, reply.headers["Cache-Control"]) == (200, SCRIPT, "no-cache")
    assert fetch(box, "/static/nothing.0123456789ab.js").status_code == 404


def test_a_changed_file_is_seen_under_a_bind_mount(image: str, tmp_path: Path) -> None:
    folder = write_files(FILES)
    (folder / "static/app.js").write_text("new bytes")
    with Box(image=image, mounts={folder: "/app"}) as box:
        found = urls(box)
        assert found["/static/app.js"] == "/static/app.js"
        assert fetch(box, "/static/app.js").text == "new bytes"
        assert found["/static/pixel.png"] != "/static/pixel.png"  # the same bytes, if of another date
        # and while it serves: same length, another date
        assert found["/static/css/site.css"] != "/static/css/site.css"
        sheet = folder / "static/css/site.css"
        sheet.write_text(SITE.replace("body", "main"))
        os.utime(sheet, (2_000_000_000, 2_000_000_000))
        found = urls(box)
        assert found["/static/css/site.css"] == "/static/css/site.css"
        assert "main {" in fetch(box, "/static/css/site.css").text


def test_an_application_that_digests_by_itself_is_left_alone() -> None:
    own = APP.replace(
        "app = Flask(__name__)\n", 'app = Flask(__name__)\napp.extensions["flask_static_digest"] = object()\n'
    )
    with child_image(dockerfile(), {**FILES, "app.py": own}) as image, Box(image=image) as box:
        assert all(plain == url for plain, url in urls(box).items())


def test_static_files_off_leaves_the_names_alone(image: str) -> None:
    with Box({"STATIC_FILES": "off"}, image=image) as box:
        assert all(plain == url for plain, url in urls(box).items())


@pytest.mark.parametrize("wrong", [["build", "/nowhere"], ["make"], []])
def test_wrong_calls(wrong: list[str]) -> None:
    done = run_once(["static", *wrong])
    assert done.returncode in (64, 66)
    assert "usage: flagon static build" in done.stderr


def test_it_says_who_must_build(image: str) -> None:
    done = run_once(["static", "build"], image=image, args=["--user", "10001:0"])
    assert done.returncode == 73
    assert "as root, before USER" in done.stderr


def test_a_cdn_that_pulls(image: str, tmp_path: Path) -> None:
    conf = """daemon off; pid /tmp/nginx.pid; error_log stderr; events { }
http { access_log off; proxy_temp_path /tmp/p; client_body_temp_path /tmp/b; fastcgi_temp_path /tmp/f;
 uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; proxy_cache_path /tmp/c keys_zone=c:1m; resolver 127.0.0.11;
 server { listen 8080; location / { set $origin http://{origin}:8080; proxy_pass $origin; proxy_cache c;
 add_header X-Cdn $upstream_cache_status always; } } }"""
    with (
        network() as net,
        Box({"STATIC_HOST": "https://cdn.example.com"}, image=image, args=["--network", net]) as box,
    ):
        (tmp_path / "cdn.conf").write_text(conf.replace("{origin}", box.name))
        os.chmod(tmp_path, 0o755)
        with Box(
            image=RUNTIME,
            args=["--network", net, "--volume", f"{tmp_path}:/conf:ro", "--entrypoint", "nginx"],
            command=["-c", "/conf/cdn.conf", "-e", "stderr"],
            wait=False,
        ) as cdn:
            page = box.get("/")
            lines = page.text.split("\n")
            assert [line.startswith("https://cdn.example.com/") for line in lines] == [
                True,
                True,
                True,
                False,
                False,
                True,
            ]
            policy = page.headers["Content-Security-Policy"]
            assert policy == (
                "default-src 'self' https://cdn.example.com; script-src 'self' https://cdn.example.com 'nonce-abc'; "
                "object-src 'none'"
            )
            external = box.get("/template").text
            assert external.startswith("https://cdn.example.com/static/app.")
            path = external[len("https://cdn.example.com") :]

            def by_cdn() -> requests.Response | None:
                try:
                    return fetch(cdn, path)
                except requests.ConnectionError:
                    return None

            first = wait_until(by_cdn, 10, "the CDN answers")
            assert (first.status_code, first.text) == (200, SCRIPT)
            assert first.headers["Access-Control-Allow-Origin"] == "*"  # for fonts and modules of another origin
            assert fetch(cdn, path).headers["X-Cdn"] == "HIT"
            assert fetch(cdn, path, "br").headers["Content-Encoding"] == "br"  # Vary: two representations
            sheet = fetch(cdn, lines[0][len("https://cdn.example.com") :])
            font = re.search(r"\.\./(fonts/a\.[0-9a-f]{12}\.woff2)", sheet.text)
            assert font
            assert fetch(cdn, "/static/" + font[1]).headers["Access-Control-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Origin" not in fetch(cdn, "/static/app.js").headers
