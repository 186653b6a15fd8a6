"""Applications in the shapes that the deprecated images asked for, written from their documentation's contract."""

from __future__ import annotations

UNF_MAIN = """
import os
from flask import Flask, jsonify, redirect, request, url_for

app = Flask(__name__)

@app.route("/")
def hello():
    return "Hello World from Flask"

@app.route("/who", methods=["GET", "POST"])
def who():
    names = ("SCRIPT_NAME", "PATH_INFO", "REQUEST_URI", "REMOTE_ADDR", "SERVER_PORT", "HTTP_HOST", "wsgi.url_scheme")
    return jsonify({**{name: request.environ.get(name) for name in names}, "link": url_for("hello", _external=True),
        "size": len(request.get_data()), "cwd": os.getcwd(), "hook": os.environ.get("FROM_HOOK"),
        "python_path": os.environ.get("PYTHONPATH"), "threads": request.environ["wsgi.multithread"]})

@app.route("/path/<path:rest>")
def path(rest):
    return jsonify(rest)

@app.route("/static/from-flask")
def never():
    return "Flask's own route"

@app.route("/go")
def go():
    return redirect("/there")
"""
UN_MAIN = """
def application(env, start_response):
    start_response("200 OK", [("Content-Type", "text/html")])
    return [b"Hello World from a default uWSGI application"]
"""
PACKAGE_MAIN = """
from flask import Flask
from .core.text import TEXT
app = Flask(__name__)

@app.route("/")
def hello():
    return TEXT
"""
PACKAGE = {
    "app/app/__init__.py": "",
    "app/app/core/__init__.py": "",
    "app/app/core/text.py": "TEXT = 'Hello from a package'\n",
    "app/app/main.py": PACKAGE_MAIN,
}
SERVER = """
    server {
        listen LISTEN;
        location / { try_files $uri @app; }
        location @app { include uwsgi_params; uwsgi_pass unix:///tmp/uwsgi.sock; }
        location /static { alias /app/static; }
    }
"""
NGINX_CONF = """
user  nginx;
worker_processes 1;
error_log  /var/log/nginx/error.log warn;
pid        /var/run/nginx.pid;
events {
    worker_connections 1024;
}
http {
    include       /etc/nginx/mime.types;
    default_type  application/octet-stream;
    log_format  main  '$remote_addr - $remote_user [$time_local] "$request" $status own-format';
    access_log  /var/log/nginx/access.log  main;
    sendfile        on;
    keepalive_timeout  65;
    include /etc/nginx/conf.d/*.conf;
SERVER
}
daemon off;
"""


def nginx_conf(listen: str = "80", more: str = "") -> str:
    """A user's own nginx.conf, as the old documentation's template has it."""
    return NGINX_CONF.replace("SERVER", SERVER.replace("LISTEN", listen) + more)


def dockerfile(runtime: str, *more: str, copy: str = "COPY ./app /app") -> str:
    """A user's Dockerfile: only its FROM line is another."""
    return "\n".join([f"FROM {runtime}", copy, *more, ""])
