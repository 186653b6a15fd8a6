"""nginx configuration text is read as nginx reads it; the user's files are found, and made fit to be started."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import os

import pytest
from fakes import put

from flagon import nginx_text, users_nginx


@pytest.mark.parametrize(("text", "expected"), [
    ("a;", [("a",)]), ("a b  c;", [("a", "b", "c")]), ("a 'b c' \"d;e\";", [("a", "b c", "d;e")]), ("# a;\nb;", [("b",)]),
    ("a { b; }", [("a",), ("b",)]), ("a b { c { d e; } } f;", [("a", "b"), ("c",), ("d", "e"), ("f",)]), ("a ${x}y;", [("a", "${x}y")]),
    ("location ~ ^/x\\{1\\} { }", [("location", "~", "^/x\\{1\\}")]), ("a \"b\\\"c\";", [("a", 'b"c')]), ("a", []), ("", []), ("};a;", [("a",)]),
    ("a b#c;", [("a", "b#c")]), ("a $b;", [("a", "$b")]), ("a b}c;", [("a", "b}c")]), ("a b\\\\c\\td 'e\\'f';", [("a", "b\\c\td", "e'f")]),
    ("a b\u2028c;", [("a", "b\u2028c")]),
])  # fmt: skip
def test_directives(text, expected):
    assert [one.words for one in nginx_text.directives(text)] == expected


def test_depth_and_place():
    text = "a;\nhttp {\n  b c;\n}\nd;"
    found = {one.words[0]: one for one in nginx_text.directives(text)}
    assert {name: (one.depth, one.block) for name, one in found.items()} == {
        "a": (0, False),
        "http": (0, True),
        "b": (1, False),
        "d": (0, False),
    }
    assert text[found["b"].start : found["b"].end] == "b c;"


def test_nothing_is_found_in_an_ordinary_application(tmp_path):
    found = users_nginx.find(put(tmp_path, {"app.py": "", "nginx/other.txt": ""}), "/nowhere")
    assert (found.any, found.stamp()) == (False, ())


def test_additions(tmp_path):
    files = {
        "app/nginx/http.d/b.conf": "map $a $b { default 1; }\nsend_timeout 5s;\nset_real_ip_from 10.0.0.1;\nserver { listen 1; keepalive_timeout 1; }",
        "app/nginx/http.d/a.conf": "server_tokens on;",
        "app/nginx/server.d/x.conf": "location = /robots.txt { return 204; }\nlocation ^~ /static/ { return 204; }",
        "app/nginx/server.d/ignored.txt": "nonsense",
        "etc/z.conf": "uwsgi_pass unix:///tmp/uwsgi.sock;",
        "etc/nginx.conf": "nonsense",
        "etc/upload.conf": "nonsense",
    }
    put(tmp_path, files)
    found = users_nginx.find(str(tmp_path / "app"), str(tmp_path / "etc"))
    assert [os.path.basename(path) for path in found.http] == ["a.conf", "b.conf", "z.conf"]
    assert found.http_directives == {"server_tokens", "send_timeout", "uwsgi_pass"}
    assert found.locations == {(True, "/robots.txt"), (False, "/static/")}
    assert (found.old_socket, found.whole, len(found.lines)) == (True, "", 2)
    before = found.stamp()
    (tmp_path / "app/nginx/http.d/a.conf").write_text("server_tokens build;")
    assert found.stamp() != before


@pytest.mark.parametrize(("folder", "text", "gone"), [
    ("http.d", "fastcgi_buffer_size 64k;", {"fastcgi_buffer_size", "fastcgi_busy_buffers_size"}), ("server.d", "proxy_buffers 4 256k;\nproxy_buffer_size 128k;", {"proxy_busy_buffers_size"}),
    ("server.d", "location /x { fastcgi_buffers 4 8k; }", set()), ("http.d", "gzip on;", {"gzip"}),
])  # fmt: skip
def test_a_size_of_theirs_ends_ours_that_is_measured_by_it(tmp_path, folder, text, gone):
    """nginx: "fastcgi_busy_buffers_size" must be equal to or greater than "fastcgi_buffer_size"."""
    found = users_nginx.find(put(tmp_path, {f"nginx/{folder}/a.conf": text}), "/nowhere")
    assert found.http_directives == gone


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("events {} http { server { } }\n", True),
        ("# nginx in Flagon. Valid as it stands\nevents {} http { server { } }\n", False),
    ],
)
def test_a_whole_configuration(tmp_path, text, whole):
    found = users_nginx.find(put(tmp_path, {"nginx.conf": text}), "/nowhere")
    assert bool(found.whole) is whole


HTTP = "events {{ }}\nhttp {{ {0} }}\n"
LOCATION = "server {{ listen 8080; location / {{ {0}; }} }}"
COMPOSE = [
    ("proxy_pass http://127.0.0.1:5000", "127.0.0.1:5000"), ("proxy_pass http://web:5000", "web:5000"), ("proxy_pass http://app:8000/", "app:8000"),
    ("uwsgi_pass flask:3031", "flask:3031"), ("fastcgi_pass php:9000", "php:9000"), ("proxy_pass http://unix:/run/gunicorn.sock", "unix:/run/gunicorn.sock"),
    ("uwsgi_pass unix:///tmp/app.sock", "/tmp/app.sock"), ("set $up web:5000; proxy_pass http://$up", "$up"), ("grpc_pass grpc://x:1", "x:1"),
    ("# unix:///tmp/uwsgi.sock was it once\n proxy_pass http://web", "web"), ("proxy_pass https://api.example.com/v1/", "api.example.com"),
]  # fmt: skip


@pytest.mark.parametrize("shape", [HTTP, "{0}"])  # as a whole, and as a file for conf.d
@pytest.mark.parametrize(("words", "named"), COMPOSE)
def test_a_configuration_of_an_nginx_beside_it_is_left(tmp_path, shape, words, named):
    """It took Flagon's place and answered 502, or ended the boot: `host not found in upstream`."""
    directory = put(
        tmp_path, {"nginx.conf": shape.format(LOCATION.format(words)), "nginx/server.d/a.conf": "add_header a b;"}
    )
    found = users_nginx.find(directory, "/nowhere")
    assert (found.whole, found.server) == ("", (f"{directory}/nginx/server.d/a.conf",))
    (line,) = found.lines
    assert line.startswith(f"{directory}/nginx.conf is left alone")
    assert f"passes requests to {named} and none" in line or f"{named} and none" in line
    assert f"call it {directory}/nginx/whole.conf" in line


@pytest.mark.parametrize(("text", "why"), [
    (HTTP.format(LOCATION.format("uwsgi_pass unix:///tmp/uwsgi.sock")), "unix:///tmp/uwsgi.sock"),
    (HTTP.format("upstream a { server unix:/tmp/uwsgi.sock; } " + LOCATION.format("uwsgi_pass a")), "unix:/tmp/uwsgi.sock"),
    (HTTP.format(LOCATION.format("include fragments/app.conf")), "fragments/app.conf"),
    (HTTP.format(LOCATION.format("fastcgi_pass unix:/run/flagon/app.sock")), "app.sock"),
    (HTTP.format(LOCATION.format("uwsgi_pass unix:///tmp/uwsgi.sock") + LOCATION.format("proxy_pass http://127.0.0.1:5555")), "uwsgi.sock"),
    (HTTP.format(LOCATION.format("return 204")), "no other server"),
    (HTTP.format("include conf.d/*.conf;"), "uwsgi.sock"),
])  # fmt: skip
def test_a_configuration_for_this_container_is_taken(tmp_path, text, why):
    files = {
        "app/nginx.conf": text,
        "etc/conf.d/x.conf": LOCATION.format("uwsgi_pass unix:///tmp/uwsgi.sock") * ("conf.d" in text),
    }
    put(tmp_path, files)
    found = users_nginx.find(str(tmp_path / "app"), str(tmp_path / "etc/conf.d"))
    assert found.whole == str(tmp_path / "app/nginx.conf")
    assert why in found.why


@pytest.mark.parametrize(("text", "why"), [
    (HTTP.format("upstream a { server web:5000; server other:5000 backup; keepalive 2; } " + LOCATION.format("proxy_pass http://a")), "to web:5000, other:5000 and none"),
    (HTTP.format("include /etc/nginx/mime.types;"), "no server { }"), ("", "no http { }"), ("server { listen 80; return 204; }", "no http { }"), ("}{ ;;", "no http { }"),
])  # fmt: skip
def test_why_a_configuration_is_left(text, why):
    assert users_nginx.meant(text, "/nowhere/conf.d")[0] == ""
    assert why in users_nginx.meant(text, "/nowhere/conf.d")[1]


def test_whole_conf_is_taken_whatever_it_says(tmp_path):
    text = HTTP.format(LOCATION.format("proxy_pass http://127.0.0.1:5000"))
    found = users_nginx.find(put(tmp_path, {"nginx/whole.conf": text, "nginx.conf": text}), "/nowhere")
    assert found.whole == str(tmp_path / "nginx/whole.conf")


def test_flagons_own_is_not_a_users():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    assert not users_nginx.find(root, "/nowhere").whole


TEMP = "".join(f" {kind}_temp_path /spool/{kind};" for kind in users_nginx.SPOOLED)


@pytest.mark.parametrize(("given", "as_root", "expected"), [
    ("user nginx;\npid /var/run/nginx.pid;\nhttp {\n  a;\n}\ndaemon off;\n", False, "\npid /run/x/nginx.pid;\nhttp {" + TEMP + "\n  a;\n}\ndaemon off;\n"),
    ("user nginx;\nhttp { }\n", True, "user nginx;\nhttp {" + TEMP + " }\ndaemon off;\npid /run/x/nginx.pid;\n"),
    ("daemon on;\npid\n  a;\nhttp { pid b; client_body_temp_path c; }", False, "daemon off;\npid /run/x/nginx.pid;\n\nhttp {" + TEMP.replace(" client_body_temp_path /spool/client_body;", "") + " pid b; client_body_temp_path c; }"),
])  # fmt: skip
def test_adapted(tmp_path, given, as_root, expected):
    path = tmp_path / "nginx.conf"
    path.write_text(given)
    assert users_nginx.adapted(str(path), "/run/x", "/spool", as_root) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("server { listen 80; }", ["80"]), ("server { listen 443 ssl; listen 8080 default_server; }", ["8080", "443 ssl"]),
    ("server { listen [::]:80; listen unix:/x; listen example; }", ["[::]:80"]), ("", []),
])  # fmt: skip
def test_where_it_listens(tmp_path, text, expected):
    (tmp_path / "nginx.conf").write_text(text)
    assert list(users_nginx.listens(str(tmp_path / "nginx.conf"))) == expected


def test_the_old_socket_is_replaced(tmp_path):
    path = tmp_path / "uwsgi.sock"
    for target in ("/a", "/b"):
        users_nginx.link_old_socket(target, str(path))
        assert os.readlink(path) == target
    assert os.listdir(tmp_path) == ["uwsgi.sock"]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/x").write_text("")
    with pytest.raises(OSError, match="folder"):
        users_nginx.link_old_socket("/c", str(tmp_path / "folder"))
    assert sorted(os.listdir(tmp_path)) == ["folder", "uwsgi.sock"]
