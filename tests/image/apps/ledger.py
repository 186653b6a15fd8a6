"""Writes down each entry before it acknowledges it; what it is asked besides makes trouble."""

import os
import time

LEDGER = os.open("/data/ledger", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/enter/"):
        os.write(LEDGER, path[7:].encode() + b"\n")
        time.sleep(0.005)
    elif path == "/hog":
        taken = []
        while True:
            taken.append(os.urandom(1 << 20) * 8)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
