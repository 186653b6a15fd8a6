"""Remembers each request that reaches the worker, with its body; /recorded tells and forgets them."""

import json

RECORDED = []


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json"), ("X-Recorded", str(len(RECORDED)))])
    if environ["PATH_INFO"] == "/recorded":
        told, RECORDED[:] = json.dumps(RECORDED), []
        return [told.encode()]
    body = environ["wsgi.input"].read().decode("latin-1")
    RECORDED.append(
        [environ["REQUEST_METHOD"], environ["REQUEST_URI"], environ["PATH_INFO"], environ.get("HTTP_HOST", ""), body]
    )
    return [b"recorded"]
