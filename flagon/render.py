"""Settings -> the fragments that nginx.conf includes. Pure: values in, text out; values were validated before."""

from __future__ import annotations

from typing import Any, NamedTuple

from flagon import cache, protection, room, statics
from flagon.nginx_text import Location, evaluated, included, matching, word
from flagon.serving import HEALTHCHECK
from flagon.statics import Files
from flagon.users_nginx import UsersNginx

LIVE = ("/up", "/health", "/healthz", "/livez")
READY = ("/ready", "/readyz")
RESERVED = "/-/up"
PRIVATE = (
    "127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
    "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10",
)  # fmt: skip
ANY = ("0.0.0.0/0", "::/0")
NGINX_LEVELS = {"debug": "info", "info": "warn", "warning": "warn", "error": "error", "critical": "crit"}

# A health path that the application answers: limited as all of its paths, but asked over plain http.
OWN_HEALTH = (
    "    if ($flagon_nonsense) { return 400; }\n    include fragments/slots.conf;\n    include fragments/app.conf;\n"
)
# What a file of the user's says for all locations and health does not obey: nobody could tell that the box lives.
OPEN = "    auth_basic off;\n    auth_request off;\n    allow all;\n"
UNCOUNTED = """map "" $flagon_nobody { default ""; }
limit_req_zone $flagon_nobody zone=flagon_health:32k rate=1r/s;
limit_conn_zone $flagon_nobody zone=flagon_health_connections:32k;
"""
# Who nginx has let in by a password. On health's paths it has asked nobody, and the name is just what the client says.
USER = """map $flagon_health $flagon_user {
    default "";
    "" $remote_user;
}
"""
OPEN_AND_UNCOUNTED = (
    OPEN
    + """    mirror off;
    limit_req zone=flagon_health;
    limit_conn flagon_health_connections 1;
    fastcgi_cache off;
    fastcgi_intercept_errors off;
"""
)
END = r"\z"
KEPT = 512  # connections to the application that an nginx process keeps at most

# What the application says of its answer and nginx does not follow: it may have passed on what somebody else said.
# Buffering is the worker's: always nginx's pipe mode, which passes on what has come at once, and alone notices a
# response without its end.
NOT_TO_NGINX = "X-Accel-Buffering X-Accel-Charset X-Accel-Limit-Rate"
# A directive of the user's own at http level takes the place of any of these.
TUNING = """
server_tokens off;
variables_hash_max_size 2048;
max_ranges 16;
absolute_redirect off;
merge_slashes off;
sendfile on;
tcp_nopush on;
gzip_vary on;
reset_timedout_connection on;
lingering_close always;
lingering_timeout 2s;
lingering_time 10s;
client_body_buffer_size 64k;
recursive_error_pages on;
fastcgi_buffer_size 16k;
fastcgi_buffers BUFFERS 16k;
fastcgi_busy_buffers_size 32k;
fastcgi_connect_timeout 5s;
fastcgi_next_upstream off;
proxy_buffer_size 16k;
proxy_buffers BUFFERS 16k;
proxy_busy_buffers_size 32k;
proxy_connect_timeout 5s;
proxy_next_upstream off;
"""


def nginx_time(seconds: float) -> str:
    """A time as nginx reads it: it knows no fractions."""
    return f"{seconds:g}s" if seconds == int(seconds) else f"{round(seconds * 1000)}ms"


class Box(NamedTuple):
    """All that the fragments depend on."""

    values: dict[str, Any]
    run: str
    spool: str
    spool_in_memory: bool
    room: room.Room
    listen: list[str]
    nginx_workers: int
    open_files: int
    as_root: bool
    fastcgi: bool
    json_logs: bool
    max_headers: bool  # whether this nginx knows the directive (1.29.8, and Debian's backport)
    app_routes: frozenset[str] = frozenset()  # health paths that the application answers itself
    mark: str = ""  # is there while somebody migrates our SQLite file: 503 for all but health
    log_mark: str = ""  # begins each line of the access log
    gated: bool = False  # the schema may not be ready: 503 for all but health while it says so
    debug: bool = False  # FLASK_DEBUG is on
    named: bool = True  # TRUSTED_PROXIES is the user's own word, not a platform's default
    files: Files = Files()  # what nginx serves by itself
    users: UsersNginx = UsersNginx()  # the user's own nginx files
    cache_room: int = 0  # bytes


def _main(box: Box) -> str:
    v = box.values
    return (
        ("user root;\n" if box.as_root else "")  # or its workers become nobody, who may not open our sockets
        + f"worker_processes {box.nginx_workers};\n"
        f"worker_rlimit_nofile {box.open_files};\n"
        f"worker_shutdown_timeout {nginx_time(v['STOP_TIMEOUT'])};\n"
        f"error_log stderr {NGINX_LEVELS[v['LOG_LEVEL']]};\n"
    )


def _users_first(box: Box, lines: list[str]) -> list[str]:
    """Without the directives that the user's own files set at http level: nginx takes each only once."""
    return [line for line in lines if line.split(" ", 1)[0] not in box.users.http_directives]


def _limits(box: Box) -> str:
    v = box.values
    lines = [
        f"client_max_body_size {v['MAX_BODY_SIZE']};",
        f"large_client_header_buffers {v['HEADER_BUFFERS']} {v['HEADER_SIZE']};",
        f"client_header_timeout {nginx_time(v['CLIENT_TIMEOUT'])};",
        f"client_body_timeout {nginx_time(v['CLIENT_TIMEOUT'])};",
        f"send_timeout {nginx_time(v['SEND_TIMEOUT'])};",
        f"keepalive_timeout {nginx_time(v['KEEPALIVE_TIMEOUT'])};",
    ]
    if box.max_headers:
        lines.append(f"max_headers {v['HEADERS_MAX']};")
    for name in ("client_body", "fastcgi", "proxy", "uwsgi", "scgi"):
        lines.append(f"{name}_temp_path {word(f'{box.spool}/{name}')};")
    lines += [f"{name}_max_temp_file_size {box.room.response};" for name in ("fastcgi", "proxy", "uwsgi", "scgi")]
    return "\n".join(_users_first(box, lines)) + "\n"


def _tuning(box: Box) -> str:
    """How nginx works here, whatever the settings."""
    return "\n".join(_users_first(box, TUNING.strip().replace("BUFFERS", str(box.room.buffers)).split("\n"))) + "\n"


def _included(paths: tuple[str, ...]) -> str:
    return "".join(f"include {included(path)};\n" for path in paths)


def trusted_networks(words: tuple[str, ...]) -> tuple[str, ...]:
    """TRUSTED_PROXIES -> networks."""
    networks: list[str] = []
    for entry in words:
        networks += {"private": PRIVATE, "any": ANY, "none": ()}.get(entry, (entry,))
    return tuple(networks)


def _client(box: Box) -> str:
    """Who the client is: nginx's real IP module, and whether the peer's other words count."""
    networks = trusted_networks(box.values["TRUSTED_PROXIES"])
    lines = [f"set_real_ip_from {network};" for network in networks]
    if networks:
        lines += [f"real_ip_header {word(box.values['REAL_IP_HEADER'])};", "real_ip_recursive on;"]
    lines += protection.client_limits(box.values) + room.maps(box.room, box.values["MAX_BODY_SIZE"])
    for name, members in (("trusted", networks), ("neighbour", PRIVATE)):
        lines += [f"geo $realip_remote_addr $flagon_{name} {{", "    default 0;"]
        lines += [f"    {network} 1;" for network in members] + ["}"]
    # What the worker is told of the peer: what it may say, or that it says much and is not believed (inside/claims.py).
    said = "".join(
        f"$http_{name}" for name in ("x_forwarded_for", "x_forwarded_proto", "x_forwarded_host", "forwarded")
    )
    lines += [f'map "$flagon_trusted$flagon_neighbour:{said}" $flagon_peer {{', '    default "";']
    lines += [f'    "~^1" {"named" if box.named else "platform"};', '    "~^01:." $realip_remote_addr;', "}"]
    if box.debug:
        from flagon import debug_clients

        lines += debug_clients.lines(trusted_networks(box.values["DEBUG_CLIENTS"]))
    return "\n".join(_users_first(box, lines)) + "\n"


def _listen(box: Box) -> str:
    # Where a user's file lets underscores in, X_Real_IP would pass for X-Real-IP in gunicorn's parser.
    text = "" if box.fastcgi else "underscores_in_headers off;\n"
    for address in box.listen:
        words = [word(part) for part in address.split()]
        text += f"listen {' '.join(words)} default_server{'' if 'backlog=' in address else ' backlog=2048'};\n"
    return text


def _health_pass(box: Box, path: str) -> str:
    socket = "ready" if path in READY else "health"
    return (
        "    client_max_body_size 1k;\n"  # it is asked without limits, and nginx reads a body to its end
        f"    fastcgi_pass {evaluated(f'unix:{box.run}/{socket}.sock')};\n"
        "    fastcgi_keep_conn on;\n"
        "    fastcgi_read_timeout 5s;\n"
        "    fastcgi_ignore_client_abort on;\n"  # who asks with `printf | nc -N` is answered, as nothing here lasts
        "    fastcgi_pass_request_headers off;\n"
        "    fastcgi_pass_request_body off;\n"
        "    fastcgi_param REQUEST_METHOD $request_method;\n"
        f"    fastcgi_param PATH_INFO {path};\n"
    )


def health_paths(prefix: str) -> dict[str, str]:
    """Each spelling of each health path, with and without the prefix -> the path."""
    return {spelling: path for path in (*LIVE, *READY, RESERVED) for spelling in (path, prefix + path)}


def _health(box: Box) -> str:
    text = f"set $flagon_draining {evaluated(box.run + '/draining')};\n"
    if box.users.server:  # it ends what their `return`, `rewrite` and `if` do before any location
        text += "if ($flagon_health) { break; }\n"
        # nginx asks them anew for an error's page: `return 503` would be a circle, and the answer 500.
        text += 'if ($status ~ "^[45]") { break; }\n'
    for spelling, path in health_paths(box.values["URL_PREFIX"] or "").items():
        if path != RESERVED and Location(True, spelling) in box.users.locations:
            continue
        text += f"location = {word(spelling)} {{\n    access_log off;\n"
        own = path in box.app_routes and path != RESERVED and not box.gated
        if box.users.any:
            text += OPEN if own else OPEN_AND_UNCOUNTED
        text += OWN_HEALTH if own else _health_pass(box, path)
        text += "}\n"
    return text


def _health_map(box: Box) -> str:
    """For the user's files: which paths are health's."""
    if not box.users.any:
        return ""
    # By expressions: a plain key would match /UP, too, which is the application's.
    paths = "".join(f"    {matching(path, END)} 1;\n" for path in health_paths(box.values["URL_PREFIX"] or ""))
    return f'map $uri $flagon_health {{\n    default "";\n{paths}}}\n' + UNCOUNTED + USER


def _healthcheck(box: Box) -> str:
    """HEALTHCHECK's own server: in the one that clients reach, a user's file may ask for their certificate."""
    path = RESERVED
    return (
        f"listen {word(f'unix:{box.run}/{HEALTHCHECK}')};\naccess_log off;\nlocation = {path} {{\n"
        f"{OPEN_AND_UNCOUNTED if box.users.any else ''}{_health_pass(box, path)}}}\nlocation / {{ return 404; }}\n"
    )


def _fastcgi(box: Box) -> str:
    v = box.values
    parameters = [
        # The request's id, method and target come first: the worker's board of running requests keeps these bytes.
        ("HTTP_X_REQUEST_ID", "$flagon_request_id"),
        ("REQUEST_METHOD", "$request_method"),
        ("REQUEST_URI", "$request_uri"),
        ("PATH_INFO", "$uri"),
        ("QUERY_STRING", "$query_string"),
        ("CONTENT_TYPE", "$content_type if_not_empty"),
        ("CONTENT_LENGTH", "$content_length if_not_empty"),
        ("SERVER_PROTOCOL", "$server_protocol"),
        ("SERVER_NAME", "$flagon_server_name"),
        ("SERVER_PORT", "$flagon_port"),
        ("REMOTE_ADDR", "$flagon_address"),
        ("REMOTE_PORT", "$remote_port"),
        ("HTTP_HOST", "$flagon_host if_not_empty"),
        ("wsgi.url_scheme", "$flagon_scheme"),
        ("FLAGON_PEER", "$flagon_peer if_not_empty"),
        # An empty HTTP_ parameter is not sent: nginx leaves out the client's header.
        ("HTTP_X_FORWARDED_FOR", '""'),  # the worker makes these three of address and scheme
        ("HTTP_X_FORWARDED_PROTO", '""'),
        ("HTTP_X_REAL_IP", '""'),
        ("HTTP_CONTENT_TYPE", '""'),
        ("HTTP_CONTENT_LENGTH", '""'),
        ("HTTP_TRANSFER_ENCODING", '""'),  # nginx has read and counted a chunked body
    ]
    lines = [
        # With it, a response that has no end record reaches the client as a broken transfer, never as a shorter one.
        "fastcgi_keep_conn on;",
        f"fastcgi_read_timeout {nginx_time(v['TIMEOUT'] + 5)};",
        f"fastcgi_send_timeout {nginx_time(v['TIMEOUT'] + 5)};",
        f"fastcgi_ignore_headers {NOT_TO_NGINX};",
        "fastcgi_hide_header X-Request-ID;",
    ]
    if box.debug:
        parameters.append(("FLAGON_DEBUGGER", "$flagon_debugger"))
    own = "HTTP_" + v["REAL_IP_HEADER"].upper().replace("-", "_")  # of any name: its value is the address by now
    if own not in dict(parameters):
        parameters.append((own, '""'))
    lines += [f"fastcgi_param {name} {value};" for name, value in parameters] + _users_parameters(box)
    text = "\n".join(lines) + "\n"
    if not _caches(box):
        return text
    return text + cache.REQUESTS + (cache.BY_PAGE if _by_page(box) else cache.ALL)


def _upstream(box: Box) -> str:
    """The worker's socket. A worker says itself when a kept connection is to end (flagon/inside/connections.py)."""
    if not box.fastcgi:
        return ""
    kept = min(box.values["BACKLOG"], KEPT)
    return (
        f"upstream flagon_app {{\n    server {word(f'unix:{box.run}/app.sock')};\n    keepalive {kept};\n"
        "    keepalive_requests 1000000;\n    keepalive_time 1d;\n    keepalive_timeout 5s;\n}\n"
    )


def _http(box: Box) -> str:
    v = box.values
    headers = [
        ("Host", "$flagon_host"),
        ("Connection", "$flagon_connection"),
        ("Upgrade", "$http_upgrade"),
        ("X-Request-ID", "$flagon_request_id"),
        ("X-Forwarded-For", '""'),  # the worker makes it of the address
        ("X-Forwarded-Proto", "$flagon_scheme"),
        ("X-Real-IP", "$flagon_address"),
        ("X-Flagon-Peer", "$flagon_peer"),
        ("Cookie", "$http_cookie"),  # several Cookie lines become one, as on the other wire
        ("X-Flagon-Server-Name", "$flagon_server_name"),
        ("X-Flagon-Server-Port", "$flagon_port"),
        ("X-Flagon-Remote-Port", "$remote_port"),
        ("X-Flagon-Debugger", "$flagon_debugger" if box.debug else '""'),
    ]
    lines = [
        f"proxy_pass {evaluated(f'http://unix:{box.run}/app.sock:')};",
        "proxy_http_version 1.1;",
        f"proxy_read_timeout {nginx_time(v['TIMEOUT'] + 5)};",
        f"proxy_send_timeout {nginx_time(v['TIMEOUT'] + 5)};",
        f"proxy_ignore_headers {NOT_TO_NGINX};",
        "proxy_hide_header X-Request-ID;",
        "proxy_redirect off;",
    ]
    own = v["REAL_IP_HEADER"]  # of any name: its value is the address by now
    if own.lower() not in [name.lower() for name, _ in headers]:
        headers.append((own, '""'))
    lines += [f"proxy_set_header {name} {value};" for name, value in headers] + _users_parameters(box)
    return "\n".join(lines) + "\n"


def _users_parameters(box: Box) -> list[str]:
    """What the user's files give the application on all of the site."""
    if box.users.said is None:
        return []
    from flagon import users_parameters  # not at each cold start

    return users_parameters.on_the_wire(box.users.said, box.fastcgi)


def _logs(box: Box) -> str:
    text = f'geo $flagon_mark {{ default "{box.log_mark}"; }}\n'
    if not box.values["ACCESS_LOG"]:
        return text + "access_log off;\n"
    # 4 kB: a pipe takes that much in one piece, so lines of several nginx workers never mix.
    return text + f"access_log /dev/stdout flagon_{'json' if box.json_logs else 'text'} buffer=4k flush=500ms;\n"


def _app(box: Box) -> str:
    marks = [f"{box.run}/migration"] * box.gated + [box.mark] * bool(box.mark)
    gate = "".join(f"if (-f {evaluated(mark)}) {{ return 503; }}\n" for mark in marks)
    locked = "if ($flagon_locked) { return 596; }\n" if _locks(box) else ""
    return gate + locked + _app_pass(box)


def _app_pass(box: Box) -> str:
    """To the application."""
    return ("fastcgi_pass flagon_app;\n" if box.fastcgi else "") + "include fragments/wire.conf;\n"


def _caches(box: Box) -> bool:
    return box.fastcgi and bool(box.values["CACHE"])


def _by_page(box: Box) -> bool:
    """Whether the worker says of each page if it may be served stale in an error's place."""
    return _caches(box) and not box.users.any


def _locks(box: Box) -> bool:
    return _caches(box) and bool(box.values["CACHE_LOCK"])


def fragments(box: Box) -> dict[str, str]:
    """File name -> text of every fragment."""
    maps, headers = protection.headers(box.values, _caches(box), _by_page(box))
    return {
        "main.conf": _main(box),
        "events.conf": f"worker_connections {box.values['WORKER_CONNECTIONS']};\n",
        "limits.conf": _limits(box),
        "tuning.conf": _tuning(box),
        "client.conf": _client(box) + maps,
        "headers.conf": headers,
        "throttle.conf": protection.https(box.values) + "include fragments/slots.conf;\n",
        "slots.conf": protection.slots(box.values, room.limits(box.room, box.values["MAX_BODY_SIZE"])),
        "http.conf": _upstream(box)
        + _health_map(box)
        + statics.maps(box.files)
        + (cache.http(box.values, box.run, box.cache_room, _by_page(box)) if _caches(box) else ""),
        "locked.conf": "include fragments/throttle.conf;\n" + _app_pass(box) + cache.LOCK if _locks(box) else "",
        "logs.conf": _logs(box),
        "listen.conf": _listen(box),
        "health.conf": _health(box),
        "healthcheck.conf": _healthcheck(box),
        "app.conf": _app(box),
        "wire.conf": _fastcgi(box) if box.fastcgi else _http(box),
        "files.conf": statics.fragment(box.files, room.texts(box.room)),
        "root.conf": statics.root(box.files),
        "users-http.conf": _included(box.users.http),
        "users-server.conf": _included(box.users.server),
    }
