"""Golden fragments: settings in, nginx's text out. FLAGON_GOLDEN=write writes the files anew: look at the difference."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import os
import re

import pytest

from flagon import render, room, users_parameters
from flagon.nginx_text import Location, directives
from flagon.settings import SettingsError, resolve
from flagon.statics import Files, Static
from flagon.users_nginx import UsersNginx

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
# file -> (settings, the box around them, the fragments that depend on it)
CASES = {
    "default-fastcgi": ({}, {}, None),
    "gthread-http": ({"WORKER_CLASS": "gthread"}, {"fastcgi": False}, ["app.conf", "health.conf"]),
    "url-prefix": ({"URL_PREFIX": "/shop"}, {}, ["health.conf"]),
    "proxies-none": ({"TRUSTED_PROXIES": "none"}, {}, ["client.conf"]),
    "proxies-any": ({"TRUSTED_PROXIES": "any", "REAL_IP_HEADER": "CF-Connecting-IP"}, {}, ["client.conf"]),
    "proxies-platform": ({"TRUSTED_PROXIES": "private", "REAL_IP_HEADER": "Fly-Client-IP"}, {"named": False}, ["client.conf", "app.conf", "wire.conf"]),
    "proxies-networks": ({"TRUSTED_PROXIES": "10.1.0.0/16, 2001:db8::/32 192.0.2.1"}, {}, ["client.conf"]),
    "own-routes": ({}, {"app_routes": frozenset({"/up", "/readyz", "/-/up"})}, ["health.conf"]),
    "own-routes-prefix": ({"URL_PREFIX": "/a"}, {"app_routes": frozenset({"/health"})}, ["health.conf"]),
    "users-files": (
        {"URL_PREFIX": "/shop"},
        {"users": UsersNginx(server=("/app/nginx/server.d/a.conf",), locations=frozenset({Location(True, "/livez")})),
         "app_routes": frozenset({"/health"})},
        ["health.conf", "healthcheck.conf", "http.conf"],
    ),
    "users-http-files": ({}, {"users": UsersNginx(http=("/app/nginx/http.d/a.conf",))}, ["health.conf", "healthcheck.conf"]),
    "marked": ({}, {"mark": "/data/app.db.migrating"}, ["app.conf"]),
    "gated": ({}, {"gated": True, "app_routes": frozenset({"/up", "/ready"})}, ["app.conf", "health.conf"]),
    "debug": ({"DEBUG_CLIENTS": "10.9.0.0/16 ::1/128"}, {"debug": True}, ["client.conf", "app.conf"]),
    "debug-http": ({"WORKER_CLASS": "gthread"}, {"debug": True, "fastcgi": False}, ["client.conf", "app.conf"]),
    "spool-in-memory": ({}, {"spool_in_memory": True, "spool": "/run/flagon/spool"}, ["limits.conf", "client.conf", "slots.conf", "tuning.conf"]),
    "as-root": ({}, {"as_root": True}, ["main.conf"]),
    "old-nginx": ({}, {"max_headers": False}, ["limits.conf"]),
    "cache-lock": ({"CACHE_LOCK": "/,/news/*,/a.b+c"}, {"gated": True}, ["http.conf", "app.conf", "locked.conf"]),
    "cache-off": ({"CACHE": "off", "CACHE_LOCK": "/"}, {}, ["http.conf", "app.conf", "locked.conf", "wire.conf"]),
    "access-log-off": ({"ACCESS_LOG": "off"}, {}, ["logs.conf"]),
    "protection": (
        {"RATE_LIMIT": "0.5/3", "MAX_CONNECTIONS": "20", "FORCE_HTTPS": "on", "HSTS": "31536000;includesubdomains"},
        {}, ["client.conf", "headers.conf", "throttle.conf", "slots.conf"],
    ),
    "files": (
        {"STATIC_FILES": "on"},
        {"files": Files(
            statics=(Static("/static/", "/app/static", "no-cache", copies=0), Static("/assets/", "/app/dist", strict=True)),
            top=(("/robots.txt", "/app/static/robots.txt"),), root="/app/site", spa="/app/site/index.html",
            handed=("/app", "/data"), token="0123456789abcdef" * 2, database="/data/app.db",
        )},
        ["http.conf", "files.conf", "root.conf"],
    ),
    "no-security-headers": ({"SECURITY_HEADERS": "off"}, {}, ["client.conf", "headers.conf"]),
    "text-logs": ({}, {"json_logs": False}, ["logs.conf"]),
    "other-limits": (
        {"MAX_BODY_SIZE": "0", "HEADER_SIZE": "4k", "HEADER_BUFFERS": "8", "HEADERS_MAX": "50", "CLIENT_TIMEOUT": "5",
         "SEND_TIMEOUT": "6", "KEEPALIVE_TIMEOUT": "0", "STOP_TIMEOUT": "30", "DRAIN_DELAY": "10", "LOG_LEVEL": "debug"},
        {"nginx_workers": 4, "open_files": 65536}, ["limits.conf", "main.conf"],
    ),
}  # fmt: skip


def box(environ=None, **more):
    values = dict(resolve(environ or {}, "/nowhere").values)
    computed = {
        "TRUSTED_PROXIES": ("none",),
        "REAL_IP_HEADER": "X-Forwarded-For",
        "WORKER_CONNECTIONS": 1024,
        "BACKLOG": 32,
    }
    for name, value in computed.items():
        values[name] = values[name] or value
    fields = {
        "run": "/run/flagon", "spool": "/tmp/.flagon-spool", "spool_in_memory": False, "listen": ["0.0.0.0:8080", "[::]:8080"],
        "nginx_workers": 2, "open_files": 4096, "fastcgi": True, "json_logs": True, "max_headers": True, "as_root": False,
        "room": room.of(room.Spool("", more.get("spool_in_memory", False), 20 << 30), 512, 40),
        "cache_room": 64 * 2**20, **more,
    }  # fmt: skip
    return render.Box(values, **fields)


@pytest.mark.parametrize("name", CASES)
def test_golden(name):
    environ, more, wanted = CASES[name]
    fragments = render.fragments(box(environ, **more))
    text = "".join(f"# fragments/{file}\n{fragments[file]}\n" for file in wanted or fragments)
    path = os.path.join(GOLDEN, name + ".conf")
    if os.environ.get("FLAGON_GOLDEN") == "write":
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    with open(path, encoding="utf-8") as file:
        assert text == file.read()


def test_no_golden_file_without_a_case():
    assert {name[:-5] for name in os.listdir(GOLDEN)} == set(CASES)


def all_cases():
    for name, (environ, more, _) in CASES.items():
        yield name, render.fragments(box(environ, **more))


def test_every_include_has_its_fragment():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(root, "nginx.conf"), encoding="utf-8") as file:
        included = set(re.findall(r"include fragments/([a-z.-]+);", file.read()))
    for _, fragments in all_cases():
        inner = set(re.findall(r"include fragments/([a-z.-]+);", "".join(fragments.values())))
        assert included | inner == set(fragments)


def test_lines_are_nginx_directives():
    for name, fragments in all_cases():
        for file, text in fragments.items():
            assert text.endswith("\n") or not text
            assert text.count("{") == text.count("}")
            for line in text.splitlines():
                assert line.rstrip().endswith((";", "{", "}")), (name, file, line)


def test_a_variable_belongs_to_nginx_conf_or_nginx():
    """A misspelled variable would end the boot."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(root, "nginx.conf"), encoding="utf-8") as file:
        conf = file.read()
    for _, fragments in all_cases():
        text = "".join(fragments.values())
        ours = set(re.findall(r"\$(flagon_\w+)", text)) - {"flagon_trusted", "flagon_draining", "flagon_packed"}
        ours -= set(re.findall(r"\?<(flagon_\w+)>", text))  # named by a regular expression
        assert all(re.search(rf"^\s*(map|geo) .*\${name} {{", conf + text, re.MULTILINE) for name in ours), ours
        assert "geo $realip_remote_addr $flagon_trusted {" in text
        assert "set $flagon_draining /run/flagon/draining;" in text
        assert ("$flagon_packed" in text) == ('set $flagon_packed "";\n' in text)


TIMES = ["TIMEOUT", "CLIENT_TIMEOUT", "SEND_TIMEOUT", "KEEPALIVE_TIMEOUT", "STOP_TIMEOUT"]


@pytest.mark.parametrize("seconds", ["1.5", "2.25", "3600"])
@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("fastcgi", [True, False])
def test_times_are_what_nginx_can_read(name, seconds, fastcgi):
    """nginx knows whole numbers with a unit and no fractions (`1500ms`): an accepted value must not end its start."""
    text = "".join(render.fragments(box({"FLAGON_" + name: seconds}, fastcgi=fastcgi)).values())
    times = re.findall(r"^\s*\w+_timeout (\S+);", text, re.MULTILINE)
    assert len(times) > 5
    assert [time for time in times if not re.fullmatch(r"\d+(ms|s)", time)] == []


@pytest.mark.parametrize(("name", "value", "line"), [
    ("TIMEOUT", "86400", "fastcgi_read_timeout 86405s;"), ("TIMEOUT", "86400", "fastcgi_send_timeout 86405s;"),
    ("MAX_BODY_SIZE", "1024g", "client_max_body_size 1099511627776;"), ("HEADERS_MAX", "10", "max_headers 10;"),
    ("LOG_LEVEL", "critical", "error_log stderr crit;"), ("LOG_LEVEL", "info", "error_log stderr warn;"),
    ("WORKER_CONNECTIONS", "1000000", "worker_connections 1000000;"),
])  # fmt: skip
def test_values_arrive_whole(name, value, line):
    assert line in "".join(render.fragments(box({name: value})).values()).splitlines()


@pytest.mark.parametrize(("stop", "shutdown"), [("8", "8s"), ("1", "1s"), ("3600", "3600s")])
def test_nginx_lives_as_long_as_the_stop_timeout(stop, shutdown):
    """It answers late requests with our page; the end is supervision's."""
    assert f"worker_shutdown_timeout {shutdown};" in render.fragments(box({"STOP_TIMEOUT": stop}))["main.conf"]


@pytest.mark.parametrize(
    "text",
    [
        "private",
        "none",
        "any",
        "10.1.2.3",
        "10.1.2.3/8",
        "::1",
        "2001:DB8::/32",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/0.255.255.255",
        "fe80::1%eth0",
    ],
)
def test_networks_are_what_nginx_can_read(text):
    """Whatever the settings accept, nginx must: an address, or address/bits."""
    try:
        found = box({"FLAGON_TRUSTED_PROXIES": text})
    except SettingsError:
        return
    for network in re.findall(r"set_real_ip_from (\S+);", render.fragments(found)["client.conf"]):
        assert re.fullmatch(r"[0-9a-fA-F.:]+(/\d{1,3})?", network), network


@pytest.mark.parametrize("fastcgi", [True, False])
def test_what_a_client_may_not_say(fastcgi):
    """nginx puts its own word in place of these, on both wires (DESIGN 3.6); the worker drops the others (test_claims)."""
    text = render.fragments(box({"REAL_IP_HEADER": "X-Visitor"}, fastcgi=fastcgi))["wire.conf"]
    for header in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "X-Request-ID", "X-Visitor"):
        name = header.upper().replace("-", "_")
        lines = [line for line in text.splitlines() if line.upper().startswith(f"FASTCGI_PARAM HTTP_{name} ")]
        lines += [line for line in text.splitlines() if line.upper().startswith(f"PROXY_SET_HEADER {header.upper()} ")]
        assert len(lines) == 1, header
        assert "$http_" not in lines[0].lower()


def test_each_parameter_is_set_once():
    for fastcgi in (True, False):
        text = render.fragments(box(fastcgi=fastcgi))["wire.conf"]
        names = [name.upper() for name in re.findall(r"^(?:fastcgi_param|proxy_set_header) (\S+)", text, re.MULTILINE)]
        assert len(names) > 12
        assert len(names) == len(set(names))


def test_the_board_gets_id_method_and_target_first():
    names = re.findall(r"^fastcgi_param (\S+)", render.fragments(box())["wire.conf"], re.MULTILINE)
    assert names[:3] == ["HTTP_X_REQUEST_ID", "REQUEST_METHOD", "REQUEST_URI"]


@pytest.mark.parametrize("prefix", ["", "/shop", "/a/b"])
def test_health_locations_are_unique_and_also_without_the_prefix(prefix):
    text = render.fragments(box({"URL_PREFIX": prefix}))["health.conf"]
    places = re.findall(r"^location = (\S+) {", text, re.MULTILINE)
    assert len(places) == len(set(places))
    wanted = {"/up", "/health", "/healthz", "/livez", "/ready", "/readyz", "/-/up"}
    assert set(places) == wanted | {prefix + path for path in wanted}


@pytest.mark.parametrize("prefix", ["", "/shop"])
def test_the_reserved_path_is_never_the_applications(prefix):
    """An own /up under a prefix is at /shop/up; HEALTHCHECK's /-/up is ours whatever the application says."""
    routes = frozenset({"/up", "/-/up"})
    text = render.fragments(box({"URL_PREFIX": prefix}, app_routes=routes))["health.conf"]
    blocks = dict(re.findall(r"^location = (\S+) {\n(.*?)^}", text, re.MULTILINE | re.DOTALL))
    assert "fragments/app.conf" in blocks[prefix + "/up"]
    assert "health.sock" in blocks["/-/up"]
    assert "ready.sock" in blocks["/ready"]


def test_own_health_routes_keep_their_access_log_lines_out():
    text = render.fragments(box(app_routes=frozenset({"/up"})))["health.conf"]
    assert text.count("access_log off;") == text.count("location =")


def test_a_location_of_the_users_own_takes_the_place_of_a_health_path_but_not_of_the_reserved_one():
    own = frozenset({Location(True, "/up"), Location(True, "/-/up"), Location(False, "/ready")})
    text = render.fragments(box(users=UsersNginx(server=("/a.conf",), locations=own)))["health.conf"]
    places = re.findall(r"^location = (\S+) {", text, re.MULTILINE)
    assert set(places) == {"/health", "/healthz", "/livez", "/ready", "/readyz", "/-/up"}


def test_without_files_of_the_users_health_has_nothing_to_ward_off():
    text = "".join(render.fragments(box()).values())
    assert "auth_basic" not in text
    assert "break" not in text


def test_the_page_of_an_error_is_not_asked_of_the_users_server_once_more():
    """`if (-f /app/maintenance.on) { return 503; }` of theirs would be a circle: nginx's answer to it is 500."""
    text = render.fragments(box(users=UsersNginx(server=("/a.conf",))))["health.conf"]
    assert text.index('if ($status ~ "^[45]") { break; }') < text.index("location")


def test_a_page_of_the_users_own_comes_before_ours():
    with open(os.path.join(os.path.dirname(render.__file__), "..", "nginx.conf"), encoding="utf-8") as file:
        text = file.read()
    assert text.index("users-server.conf") < text.index("error_page 413")


def test_the_table_of_what_our_location_says_of_the_wire():
    """users_parameters.py knows by it which directive of a user's has no effect."""
    for fastcgi, wire in ((True, "fastcgi"), (False, "proxy")):
        text = render.fragments(box(fastcgi=fastcgi, users=UsersNginx(server=("/a.conf",))))
        named = {one.words[0].partition("_")[2] for one in directives(text["wire.conf"] + text["app.conf"])} - {""}
        said = users_parameters.SAID[wire] | (users_parameters.CACHED if fastcgi else frozenset())
        assert named == said
