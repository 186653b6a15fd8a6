"""Who is compared, and how each is started: the same Python, Flask and nginx for all, two worker processes each."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from bench.cells import Cell
from bench.engine import Container, docker, free_port, running, variables, wait_for

if TYPE_CHECKING:
    from bench.loads import Load

PEERS = "flagon-bench:peers"
RUN = "/run/bench"
VENV = "/opt/flagon/venv/bin"


class Server(NamedTuple):
    """One peer: a command that listens on {socket}, behind nginx, or on {port} itself."""

    command: str = ""
    wire: str = ""  # what nginx speaks to it; empty: there is no nginx


# As the deprecated image has it: processes come and go between 2 and 16, every request is logged, twice.
UWSGI = (
    f"uwsgi --socket {RUN}/app.sock --chmod-socket=664 --master --die-on-term --need-app --virtualenv /opt/flagon/venv "
    "--chdir /app --module {application}:app"
)
GUNICORN = f"{VENV}/gunicorn --chdir /app --workers {{workers}} {{application}}:app"
SOCKET, PORT = f" --bind unix:{RUN}/app.sock", " --bind 127.0.0.1:{port}"
GTHREAD = " --worker-class gthread --threads 4"
SERVERS = {
    "flagon": Server(),  # 4 threads, access log, request ids: as it comes
    "uwsgi-old": Server(UWSGI + " --processes 16 --cheaper 2", "uwsgi"),  # as in the deprecated image
    "uwsgi": Server(UWSGI + " --processes {workers} --threads 4 --disable-logging --listen 128", "uwsgi"),
    "sync": Server(GUNICORN + PORT),
    "gthread": Server(GUNICORN + PORT + GTHREAD),
    "sync-nginx": Server(GUNICORN + SOCKET, "http"),
    "gthread-nginx": Server(GUNICORN + SOCKET + GTHREAD, "http"),
    "granian": Server(
        f"cd /app && exec {VENV}/granian --interface wsgi --host 127.0.0.1 --port {{port}} --workers {{workers}} "
        "--blocking-threads 4 --no-access-log {application}:app"
    ),
    "waitress": Server(
        f"cd /app && exec {VENV}/waitress-serve --host 127.0.0.1 --port {{port}} --threads 8 {{application}}:app"
    ),
    "flask": Server(f"cd /app && exec {VENV}/flask --app {{application}} run --port {{port}} 2>/dev/null"),
    "nginx": Server("sleep infinity", "none"),  # the limit: `return 200`, or the file
    "loop": Server(),  # the limit: the application called in a loop
}

NGINX = f"""user root;
daemon off;
pid {RUN}/nginx.pid;
worker_processes WORKERS;
events {{ worker_connections 1024; }}
http {{
    include /etc/nginx/mime.types;
    log_format main '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
                    '"$http_user_agent" "$http_x_forwarded_for"';
    access_log LOG;
    sendfile on;
    keepalive_timeout 65;
    client_max_body_size 0;
    client_body_temp_path {RUN}/b; uwsgi_temp_path {RUN}/u; proxy_temp_path {RUN}/p;
    fastcgi_temp_path {RUN}/f; scgi_temp_path {RUN}/s;
    server {{
        listen 127.0.0.1:PORT;
        location / {{ PASS }}
        STATIC
    }}
}}
"""
PASS = {
    "uwsgi": f"include /etc/nginx/uwsgi_params; uwsgi_pass unix:{RUN}/app.sock;",
    "http": f"proxy_pass http://unix:{RUN}/app.sock; proxy_set_header Host $host;"
    " proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
    "none": 'default_type text/plain; return 200 "Hello, World!";',
}


def build_peers() -> None:
    """The peers' image, on top of flagon:latest."""
    here = os.path.dirname(os.path.abspath(__file__))
    docker("build", "--network", "host", "--tag", PEERS, "--file", os.path.join(here, "peers.Dockerfile"), here)


def flagon(name: str, application: str, workers: int, *environment: str) -> Container:
    """Flagon around bench/apps/<application>.py."""
    port = free_port()
    given = (f"PORT={port}", f"WEB_CONCURRENCY={workers}", f"APP_MODULE={application}:app", *environment)
    return Container(name, port, *variables(*given), "flagon:latest")


def start(server: Server, load: Load, cell: Cell, work: str, database: str) -> Container:
    """The server with the load's application behind it; answers when this returns."""
    from bench.loads import answers

    name = f"{cell.server}-{cell.workers}-{cell.connections}"
    where = f"BENCH_DATABASE={database}"
    if cell.server == "flagon":
        container = flagon(name, load.application, cell.workers, where, "BACKLOG=1024")
    else:
        port = free_port()
        named = {"application": load.application, "port": port, "workers": cell.workers}
        script = f"mkdir -p {RUN}; "
        options = variables(where)
        if server.wire:
            conf = os.path.join(work, f"{name}-{time.monotonic_ns()}.conf")
            with open(conf, "w", encoding="utf-8") as file:
                file.write(_nginx(server, cell, port))
            options += ["--volume", f"{conf}:/nginx.conf:ro"]
            script += f"{{ {server.command.format(**named)}; }} & exec nginx -c /nginx.conf -e stderr"
        else:
            script += server.command.format(**named)
        container = Container(name, port, *options, PEERS, "sh", "-c", script)
    answering(container)
    if server.wire != "none":
        answers(container, load)
    return container


def _nginx(server: Server, cell: Cell, port: int) -> str:
    values = {
        "WORKERS": "1" if cell.server == "uwsgi-old" else "2",
        "LOG": "off" if server.wire == "none" else "/dev/stdout main",
        "PORT": str(port),
        "PASS": PASS[server.wire],
        "STATIC": "location /static/ { root /app; }" if cell.server == "nginx" else "",
    }
    text = NGINX
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def answering(container: Container) -> None:
    """The container once it answers; one that does not is removed and its log shown."""
    try:
        wait_for(container.port)
    except RuntimeError:
        log = container.log()
        with running(container):
            raise RuntimeError(f"{container.name} does not answer:\n{log}") from None
