"""Who is compared: how each server is started, all with the same nginx, Python, Flask and two worker processes."""

from __future__ import annotations

import os
import re
import shutil
import time
from typing import NamedTuple

from bench.engine import Container, docker, free_port, running, wait_for

PEERS = "flagon-bench:peers"
RUN = "/run/flagon"
OWNER = (10001, 0)


class Server(NamedTuple):
    """One row of the table."""

    name: str
    wire: str  # fastcgi: Flagon itself; uwsgi or http: the peer's socket
    command: str = ""
    environment: tuple[str, ...] = ()
    nginx: str = "flagon"  # or own: the few lines of the peer's own documentation


UWSGI = (
    f"uwsgi --socket {RUN}/app.sock --chmod-socket=660 --master --processes 2 --disable-logging --die-on-term "
    "--need-app --virtualenv /opt/venv --chdir /app --listen 128"
)
GUNICORN = f"/opt/venv/bin/gunicorn --bind unix:{RUN}/app.sock --workers 2 --chdir /app"

SERVERS = (
    Server("flagon-1", "fastcgi", environment=("THREADS=1",)),
    Server("flagon-4", "fastcgi", environment=("THREADS=4",)),
    Server("uwsgi-1", "uwsgi", f"{UWSGI} --module"),
    Server("uwsgi-4", "uwsgi", f"{UWSGI} --threads 4 --module"),
    Server("gunicorn-sync", "http", GUNICORN),
    Server("gunicorn-gthread-4", "http", f"{GUNICORN} --worker-class gthread --threads 4"),
    Server("uwsgi-1-own-nginx", "uwsgi", f"{UWSGI} --module", nginx="own"),
    Server("uwsgi-4-own-nginx", "uwsgi", f"{UWSGI} --threads 4 --module", nginx="own"),
)

OWN_NGINX = f"""daemon off;
pid nginx.pid;
worker_processes 2;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    keepalive_timeout 95s;
    TEMPORARY
    server {{
        listen PORT;
        location / {{ include /etc/nginx/uwsgi_params; uwsgi_pass unix:{RUN}/app.sock; }}
    }}
}}
"""


def build_peers() -> None:
    """The peers' image, on top of flagon:runtime."""
    here = os.path.dirname(os.path.abspath(__file__))
    docker(
        "build", "--network", "host", "--tag", PEERS, "--file", os.path.join(here, "peers.Dockerfile"), here
    )  # fmt: skip


def flagon(name: str, application: str, *environment: str, options: tuple[str, ...] = (), image: str = "") -> Container:
    """Flagon around bench/apps/<application>.py."""
    port = free_port()
    given = (f"PORT={port}", "WEB_CONCURRENCY=2", f"APP_MODULE={application}:app", *environment)
    flags = [word for variable in given for word in ("--env", variable)]
    return Container(name, port, *flags, *options, image or "flagon:runtime")


def copy_fragments(folder: str, http: bool) -> None:
    """Flagon's own nginx configuration, as it renders it for one of the two wires."""
    container = flagon("fragments", "plain", "ACCESS_LOG=off", *(("WORKER_CLASS=gthread",) if http else ()))
    with running(container):
        wait_for(container.port)
        docker("cp", f"{container.name}:{RUN}/fragments", folder)
        docker("cp", "--follow-link", f"{container.name}:{RUN}/nginx.conf", folder)


def app_conf(text: str, wire: str) -> str:
    """The same parameters for the peer's protocol."""
    if wire == "uwsgi":
        lines = [line for line in text.splitlines() if "keep_conn" not in line]
        text = "\n".join(line.replace("fastcgi_", "uwsgi_") for line in lines)
        return text + "\n"
    # HTTP/1.0 and Connection: close, nginx's default: without a pool of connections 1.1 would only cost.
    dropped = ("proxy_http_version", "proxy_set_header Connection", "proxy_set_header Upgrade")
    return "\n".join(line for line in text.splitlines() if not line.startswith(dropped)) + "\n"


def start(server: Server, application: str, work: str) -> Container:
    """The server with bench/apps/<application>.py behind it; answers when this returns."""
    if server.wire == "fastcgi":
        container = flagon(server.name, application, "ACCESS_LOG=off", "BACKLOG=128", *server.environment)
    else:
        port = free_port()
        folder = os.path.join(work, f"{server.name}-{application}-{time.monotonic_ns()}")
        prepare(folder, server, port, work)
        script = f"{server.command} {application}:app & exec nginx -p {RUN} -c {RUN}/nginx.conf -e stderr"
        options = ("--user", "{}:{}".format(*OWNER), "--volume", f"{folder}:{RUN}")
        container = Container(server.name, port, *options, PEERS, "sh", "-c", script)
    return answering(container)


def answering(container: Container) -> Container:
    """The container once it answers; one that does not is removed and its log shown."""
    try:
        wait_for(container.port)
    except RuntimeError:
        log = container.log()
        container.remove()
        raise RuntimeError(f"{container.name} does not answer:\n{log}") from None
    return container


def prepare(folder: str, server: Server, port: int, work: str) -> None:
    """A run directory for a peer: nginx.conf and its fragments with this port."""
    if server.nginx == "own":
        os.makedirs(folder)
        kinds = ("client_body", "fastcgi", "proxy", "scgi", "uwsgi")
        places = " ".join(f"{kind}_temp_path {RUN}/spool/{kind};" for kind in kinds)
        _write(os.path.join(folder, "nginx.conf"), OWN_NGINX.replace("PORT", str(port)).replace("TEMPORARY", places))
    else:
        source = os.path.join(work, "http" if server.wire == "http" else "fastcgi")
        if not os.path.isdir(source):
            os.makedirs(source)
            copy_fragments(source, server.wire == "http")
        shutil.copytree(source, folder)
        fragments = os.path.join(folder, "fragments")
        with open(os.path.join(fragments, "wire.conf"), encoding="utf-8") as file:
            _write(os.path.join(fragments, "wire.conf"), app_conf(file.read(), server.wire))
        if server.wire == "uwsgi":
            for name in ("app.conf", "again.conf"):
                _write(
                    os.path.join(fragments, name), f"uwsgi_pass unix:{RUN}/app.sock;\ninclude fragments/wire.conf;\n"
                )
            _write(os.path.join(fragments, "http.conf"), "")
        with open(os.path.join(fragments, "listen.conf"), encoding="utf-8") as file:
            _write(os.path.join(fragments, "listen.conf"), re.sub(r":\d+ ", f":{port} ", file.read()))
    os.makedirs(os.path.join(folder, "spool"), exist_ok=True)
    for place, _, names in os.walk(folder):
        for name in (".", *names):
            os.chown(os.path.join(place, name), *OWNER)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
