"""The probe: a plain WSGI application whose routes do what a test asks for. An unknown path tells the environ."""

import contextlib
import hashlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from urllib.parse import parse_qsl

BLOCK = bytes(range(256)) * 256  # 64 KiB


def text(start_response, body, status="200 OK", headers=()):
    start_response(status, [("Content-Type", "text/plain"), *headers])
    return [body.encode()]


def environ(environ, start_response, query):
    """What the application was told."""
    plain = {name: value for name, value in environ.items() if type(value) is str}
    types = {name: type(value).__name__ for name, value in environ.items()}
    values = {name: value for name, value in environ.items() if type(value) in (bool, tuple)}
    body = json.dumps({"environ": plain, "types": types, "values": values}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]


def take(environ, start_response, query):
    """Read the body in blocks, in lines or at once, and tell its size and digest."""
    source, digest, size = environ["wsgi.input"], hashlib.sha256(), 0
    how = query.get("how", "blocks")
    if how == "lines":
        pieces = iter(source)
    elif how == "all":
        pieces = [source.read()]
    else:
        pieces = iter(lambda: source.read(50_000), b"")
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    after = len(source.read(10))
    answer = {"size": size, "sha256": digest.hexdigest(), "after": after, "pid": os.getpid(), "peak": peak()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


def peak():
    """The largest resident set that this process ever had, KiB (proc(5))."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def memory(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"pid": os.getpid(), "peak": peak()}).encode()]


def refuse(environ, start_response, query):
    """An answer without a look at the body."""
    body = "x" * int(query.get("size", "12"))
    return text(start_response, body, "401 Unauthorized", [("WWW-Authenticate", "Basic")])


def echo_while_reading(environ, start_response, query):
    """The response begins before the body was read."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    yield b"begun\n"
    digest = hashlib.sha256()
    for piece in iter(lambda: environ["wsgi.input"].read(65536), b""):
        digest.update(piece)
    yield digest.hexdigest().encode()


def big(environ, start_response, query):
    """Many MiB: a generator, with or without Content-Length, a list, a file, or write()."""
    blocks = int(float(query.get("mb", "1")) * 16)
    how = query.get("how", "generator")
    headers = [("Content-Type", "application/octet-stream")]
    if query.get("length"):
        headers.append(("Content-Length", str(blocks * len(BLOCK))))
    if query.get("accel"):
        headers.append(("X-Accel-Buffering", query["accel"]))
    if how == "write":
        write = start_response("200 OK", headers)
        for _ in range(blocks):
            write(BLOCK)
        return []
    start_response("200 OK", headers)
    if how == "list":
        return [BLOCK] * blocks
    if how == "file":
        file = tempfile.TemporaryFile()  # noqa: SIM115 the server closes it
        for _ in range(blocks):
            file.write(BLOCK)
        file.seek(0)
        return environ["wsgi.file_wrapper"](file, 32768)
    return (BLOCK for _ in range(blocks))


def events(environ, start_response, query):
    """`first` bytes at once, then every `pause` seconds one more event, `count` in all."""
    headers = [("Content-Type", query.get("type", "text/event-stream"))]
    if query.get("accel"):
        headers.append(("X-Accel-Buffering", query["accel"]))
    start_response("200 OK", headers)
    pause, count = float(query.get("pause", "1")), int(query.get("count", "3"))
    try:
        for number in range(count):
            yield f"data: {number}\n\n".encode()
            if number < count - 1:
                time.sleep(pause)
    finally:
        print(f"stream closed {query.get('mark', '')}", flush=True)


def breaks(environ, start_response, query):
    """Give some of the response, then raise, die, or end short of Content-Length."""
    blocks, how = int(query.get("blocks", "1")), query.get("how", "raise")
    headers = [("Content-Type", "text/plain")]
    if query.get("length"):
        headers.append(("Content-Length", query["length"]))
    if query.get("accel"):
        headers.append(("X-Accel-Buffering", query["accel"]))
    start_response("200 OK", headers)
    for _ in range(blocks):
        yield BLOCK[: int(query.get("size", "1000"))]
    if how == "raise":
        raise RuntimeError("broken midway")
    if how == "kill":
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)


def answer(environ, start_response, query):
    """The status and headers that the query asks for: `status`, any number of `h=Name:value`, `size` bytes of body."""
    pairs = parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)
    headers = [tuple(value.split(":", 1)) for name, value in pairs if name == "h"]
    start_response(query.get("status", "200 OK"), [("Content-Type", "text/plain"), *headers])
    return [b"x" * int(query.get("size", "5"))]


def large_header(environ, start_response, query):
    return text(start_response, "ok", headers=[("X-Large", "v" * int(query["size"]))])


def sleep(environ, start_response, query):
    time.sleep(float(query.get("s", "1")))
    return text(start_response, json.dumps({"pid": os.getpid(), "mark": query.get("mark", "")}))


def stuck(environ, start_response, query):
    time.sleep(30)  # the stuck line
    return text(start_response, "too late")


def kill(environ, start_response, query):
    time.sleep(float(query.get("s", "0")))
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(5)
    return text(start_response, "not reached")


def hog(environ, start_response, query):
    """More memory than there is."""
    taken = []
    while True:
        taken.append(os.urandom(1 << 20) * 8)


def fail(environ, start_response, query):
    raise RuntimeError("the probe fails")


def spawn(environ, start_response, query):
    """The process and the threads that it has."""
    names = sorted(thread.name for thread in threading.enumerate())
    return text(start_response, json.dumps({"pid": os.getpid(), "threads": names}))


def says(environ, start_response, query):
    print("printed by the probe", flush=True)
    print("said to wsgi.errors", file=environ["wsgi.errors"], flush=True)
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    return text(start_response, "ok")


ROUTES = {
    "/take": take, "/memory": memory, "/refuse": refuse, "/echo": echo_while_reading, "/big": big, "/events": events,
    "/breaks": breaks, "/answer": answer, "/large-header": large_header, "/sleep": sleep, "/stuck": stuck,
    "/kill": kill, "/hog": hog, "/fail": fail, "/process": spawn, "/says": says,
}  # fmt: skip


def app(environ_, start_response):
    query = dict(parse_qsl(environ_.get("QUERY_STRING", ""), keep_blank_values=True))
    return ROUTES.get(environ_["PATH_INFO"], environ)(environ_, start_response, query)
