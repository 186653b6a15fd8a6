"""A page of twenty rows from Postgres through a template; a connection for each thread."""

import os
import threading

import psycopg
from flask import Flask, render_template_string

app = Flask(__name__)
local = threading.local()
PAGE = "<ul>{% for number, text in rows %}<li><a href='/{{ number }}'>{{ text }}</a></li>{% endfor %}</ul>"
QUERY = "select n, 'note ' || n from generate_series(1, 20) n order by n desc"


@app.route("/")
def page():
    if not hasattr(local, "connection"):
        local.connection = psycopg.connect(os.environ["BENCH_DATABASE"], autocommit=True)
    return render_template_string(PAGE, rows=local.connection.execute(QUERY).fetchall())
