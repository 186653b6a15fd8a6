"""Quick and slow requests: /sleep/<milliseconds> waits as a query or a call to another service would."""

import time

QUICK = [("Content-Type", "text/plain"), ("Content-Length", "13")]


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/sleep/"):
        time.sleep(int(path[7:]) / 1000)
    start_response("200 OK", QUICK)
    return [b"Hello, World!"]
