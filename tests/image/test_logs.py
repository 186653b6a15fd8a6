"""The log: one record a line, on standard output, whatever that is; nothing secret in it, nothing lost or torn."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
import requests

from .box import FULL, WIRE, Box, raw, run_once, size, wait_until, write_files

TALKER = r"""import json, logging, os, sys, urllib.parse
log = logging.getLogger("shop")
print("printed at import")
def app(environ, start_response):
    path = environ["PATH_INFO"]
    query = urllib.parse.parse_qs(environ["QUERY_STRING"])
    if path == "/print":
        print("printed in a request")
        print("and on standard error", file=sys.stderr)
        sys.stdout.write("half ")
        sys.stdout.write("a line\n")
        os.write(1, b"bytes \xff\xfe that are no text\n")
    elif path == "/json":
        print(json.dumps({"event": "sold", "items": [1, 2]}))
        print('{"not": json}')
        print("[1, 2]")
    elif path == "/log":
        for level in ("debug", "info", "warning", "error"):
            getattr(log, level)("said %s", level, extra={"item": 7})
    elif path == "/fail":
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("it failed")
    elif path == "/long":
        sys.stdout.write(query["letter"][0] * 100_000 + "\n")
    elif path == "/longlog":
        log.warning(query["letter"][0] * 100_000)
    elif path == "/raise":
        raise RuntimeError("nobody catches this")
    elif path == "/die":
        os.write(2, b"my last words\n")
        os.write(2, b"without a newline")
        os._exit(9)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"said"]
"""
KEYS = ("time", "level", "severity", "message", "logger")


@pytest.fixture(scope="module")
def talker() -> Iterator[Box]:
    with Box(files={"main.py": TALKER}, env={"LOG_LEVEL": "debug"}) as box:
        yield box


def message(box: Box, text: str) -> dict[str, object]:
    return box.wait_record(lambda record: record.get("message") == text)


def too_large(box: Box, path: str) -> None:
    """A body that nginx refuses by its length: it writes an error with the request in it."""
    head = f"POST {path} HTTP/1.0\r\nReferer: http://a.example/?token=hunter2-from\r\nContent-Length: {10**12}\r\n\r\n"
    assert b" 413 " in raw(box.host_port(), head.encode(), timeout=2)


# -- JSON


def test_every_line_is_json(talker: Box) -> None:
    for path in ("/print", "/log", "/fail", "/json", "/raise", "/nowhere"):
        talker.get(path)
    too_large(talker, "/print")  # nginx writes an error
    talker.wait_log("too large")
    talker.access("/raise")
    for line in talker.lines():
        record = json.loads(line)
        assert isinstance(record, dict)
        if "event" in record:
            continue
        for key in KEYS:
            assert key in record, (key, line)
        assert record["level"] in ("debug", "info", "warning", "error", "critical"), line
        assert record["severity"] == record["level"].upper()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)", record["time"]), line


def test_prints_are_wrapped(talker: Box) -> None:
    talker.get("/print")
    for text in ("printed at import", "printed in a request", "and on standard error", "half a line"):
        assert message(talker, text)
    assert "bytes" in str(talker.wait_record(lambda r: "that are no text" in str(r.get("message")))["message"])


def test_json_objects_pass_as_they_are(talker: Box) -> None:
    talker.get("/json")
    wait_until(lambda: '{"event": "sold", "items": [1, 2]}' in talker.lines(), 5)
    assert message(talker, '{"not": json}')
    assert message(talker, "[1, 2]")


def test_the_application_s_logging_has_level_logger_and_request_id(talker: Box) -> None:
    number = talker.get("/log").headers["X-Request-ID"]
    for level in ("info", "warning", "error"):
        wanted = (f"said {level}", number)
        record = talker.wait_record(lambda one, wanted=wanted: (one.get("message"), one.get("request_id")) == wanted)  # type: ignore[misc]
        assert (record["level"], record["logger"], record["item"]) == (level, "shop", 7)


def test_a_traceback_is_one_record(talker: Box) -> None:
    number = talker.get("/fail").headers["X-Request-ID"]
    record = talker.wait_record(
        lambda one: str(one.get("message")).startswith("it failed\nTraceback") and one.get("request_id") == number
    )
    assert "ZeroDivisionError" in str(record["message"])


def test_an_uncaught_exception_is_one_record_with_its_request(talker: Box) -> None:
    answer = talker.get("/raise?token=secret")
    assert answer.status_code == 500
    number = answer.headers["X-Request-ID"]
    record = talker.wait_record(
        lambda one: "nobody catches this" in str(one.get("message")) and one.get("request_id") == number
    )
    assert record["level"] == "error"
    assert "Traceback" in str(record["message"])
    assert "token=secret" not in talker.logs()


def test_nginx_s_own_lines_have_their_level(talker: Box) -> None:
    too_large(talker, "/print")
    record = talker.wait_record(lambda one: "too large" in str(one.get("message")))
    assert (record["logger"], record["level"]) == ("nginx", "error")


def accessed(record: dict[str, object], answer: requests.Response) -> bool:
    return record.get("logger") == "access" and record.get("request_id") == answer.headers["X-Request-ID"]


def test_the_access_line(talker: Box) -> None:
    answer = talker.get("/seen?a=b", headers={"User-Agent": 'a "quoted" \\ agent'})
    record = talker.wait_record(lambda one: accessed(one, answer))
    assert record["method"] == "GET"
    assert str(record["path"]).startswith("/seen")
    assert record["status"] == 200
    # gunicorn's own workers send this answer in chunks, and nginx counts their framing
    assert record["bytes"] == 4 if WIRE != "gthread" else 4 <= int(str(record["bytes"])) <= 20
    assert record["agent"] == 'a "quoted" \\ agent'
    assert float(str(record["seconds"])) < 5


def test_odd_bytes_in_a_request_stay_one_json_line(talker: Box) -> None:
    path = "/odd%0a%22%7b%5c" + "é" * 3 + "x" * 3000
    answer = talker.get(path, headers={"User-Agent": b"\xff\xfe caf\xe9"})
    record = talker.wait_record(lambda one: accessed(one, answer))
    assert str(record["path"]).startswith("/odd")


# -- what must not be in it


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_query_strings_and_no_credentials(log_format: str) -> None:
    with Box(files={"main.py": TALKER}, env={"LOG_LEVEL": "debug", "LOG_FORMAT": log_format}) as box:
        headers = {
            "Authorization": "Bearer hunter2-authorization",
            "Cookie": "session=hunter2-cookie",
            "Referer": "http://shop.example/?token=hunter2-referer",
            "Proxy-Authorization": "Basic hunter2-proxy",
        }
        for path in ("/seen", "/log", "/fail", "/raise", "/up"):
            box.get(path + "?token=hunter2-query", headers=headers)
        too_large(box, "/toolarge?token=hunter2-large")
        box.get("/toolong?token=hunter2-long" + "x" * 20000, headers=headers)
        with contextlib.suppress(requests.RequestException):
            box.get("/die?token=hunter2-die", headers=headers)  # nginx writes an error with the request in it
        box.get("/after")
        wait_until(lambda: "/after" in box.logs(), 5)
        found = re.findall(r"hunter2-\w+", box.logs())
        assert found == []


def test_secrets_of_the_environment_are_not_in_the_boot_lines() -> None:
    env = {"DATABASE_URL": "postgresql://ada:hunter2@db/x", "REDIS_URL": "redis://:hunter2@r/0", "LOG_LEVEL": "debug"}
    with Box(env=env) as box:
        assert "hunter2" not in box.logs()


# -- text


@pytest.mark.parametrize(("env", "args"), [({"LOG_FORMAT": "text"}, []), ({}, ["-t"])])
def test_text(env: dict[str, str], args: list[str]) -> None:
    with Box(env=env, args=args, files={"main.py": TALKER}) as box:
        for path in ("/print", "/log"):
            box.get(path)
        wait_until(lambda: re.search(r"GET /log\b.* 200", box.logs()), 5)
        assert not [line for line in box.lines() if line.startswith("{")]
        assert re.search(r"(?m)^\S+ warning shop said warning", box.logs())
        assert re.search(r"(?m)^printed in a request\r?$", box.logs())


def test_json_on_a_terminal_if_it_is_asked_for() -> None:
    with Box(env={"LOG_FORMAT": "json"}, args=["-t"]) as box:
        assert all(isinstance(json.loads(line), dict) for line in box.lines())


# -- what cannot be forged

FORGED = "2026-11-30T10:00:00.000+00:00 critical flagon FORGED"
FORGER = """import json, logging, sys, urllib.parse
log = logging.getLogger("shop")
def app(environ, start_response):
    said = urllib.parse.parse_qs(environ["QUERY_STRING"]).get("said", ["nothing"])[0]
    path = environ["PATH_INFO"]
    if path == "/print":
        print(said)
    elif path == "/half":
        sys.stdout.write("half ")
        sys.stdout.flush()
        log.warning("after a half line")
    elif path == "/log":
        log.warning("said %s", said)
    elif path == "/extra":
        log.warning("extra", extra=json.loads(said))
    elif path == "/raise":
        raise RuntimeError(said)
    elif path == "/length":
        print("x" * (2 << 20) + said)
    elif path == "/slow":
        import time; time.sleep(9)
    elif path == "/die":
        import os; os.write(2, said.encode()); os._exit(9)
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"said"]
"""
CONTROLS = "\x1b]0;OWNED\x07\x1b[31m\r\x7f\x9b31m\x85\u2028\u202e\u2066"
BARE = {letter for letter in CONTROLS if not letter.isprintable()}
RECORD = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d (debug|info|warning|error|critical) (\S+) ")
CLAIMS = [
    json.dumps({"time": "now", "level": "critical", "logger": "flagon", "message": "FORGED"}),
    '{"logger": "shop", "l\\u006fgger": "access", "message": "FORGED"}',
]


def bytes_of(box: Box) -> bytes:
    """Read from a file: the engine's log driver would mend the line."""
    return docker_bytes("exec", box.name, "cat", "/tmp/log")


def docker_bytes(*words: str) -> bytes:
    return subprocess.run(["docker", *words], stdout=subprocess.PIPE, check=True, timeout=60).stdout


def ask(box: Box, path: str, said: str) -> int:
    return box.get(f"{path}?said={quote(said)}").status_code


def attack(box: Box) -> None:
    """Every way in which a client's text gets into the log."""
    for text in (CONTROLS, FORGED, f"a\n{FORGED}\n{CONTROLS}", f"\r{FORGED}", *CLAIMS, f"a\n{CLAIMS[0]}"):
        for path in ("/print", "/log", "/raise"):
            ask(box, path, text)
    ask(box, "/length", "\n" + FORGED)
    ask(box, "/length", CLAIMS[0])
    ask(box, "/half", "")
    ask(box, "/extra", json.dumps({"logger": "flagon", "level": "critical", "note": "FORGED"}))
    controls = CONTROLS.replace("\r", "")
    head = f'POST /up?"token=hunter2 HTTP/1.0\r\nReferer: {controls} http://r/?a "hunter2\r\n'
    head += f"Content-Length: {10**12}\r\n\r\n"
    raw(box.host_port(), head.encode("utf-8"), timeout=2)
    with contextlib.suppress(requests.RequestException):
        ask(box, "/die", f"my last words {CONTROLS}\n{FORGED}")
    wait_until(lambda: b"died with the request" in bytes_of(box), 10, "the obituary")
    wait_until(lambda: ask(box, "/print", "the end") == 200, 10)
    wait_until(lambda: b"the end" in bytes_of(box), 10, "the end")


def to_file(**env: str) -> Box:
    env = {"WEB_CONCURRENCY": "1", "LOG_LEVEL": "debug", **env}
    script = "exec /opt/flagon/entrypoint.sh serve > /tmp/log 2>&1"
    return through_shell(script, files={"main.py": FORGER}, env=env)


def test_text_cannot_be_forged() -> None:
    with to_file(LOG_FORMAT="text") as box:
        attack(box)
        text = bytes_of(box).decode("utf-8")
        assert not [letter for letter in set(text) if letter in BARE or (ord(letter) < 32 and letter not in "\n\t")]
        assert r"\x1b]0;OWNED\x07\x1b[31m\x0d\x7f\x9b31m\x85\u2028\u202e\u2066" in text
        assert "hunter2" not in text
        assert text.count("FORGED") > 10
        for line in text.split("\n"):
            found = RECORD.match(line)
            if "FORGED" in line and found:
                assert found[2] == "shop" or "its last line: " in line or "gunicorn.error" in line, line
        assert re.search(r"(?m)^half $", text)
        assert re.search(r"(?m)^\S+ warning shop after a half line", text)
        assert re.search(r"(?m)^\S+ warning shop said a\\n2026-11-30T10:00:00.000\+00:00 critical flagon FORGED", text)
        assert "client intended to send too large body" in text


def test_json_cannot_be_forged() -> None:
    with to_file(LOG_FORMAT="json") as box:
        attack(box)
        text = bytes_of(box).decode("utf-8")
        assert not [letter for letter in set(text) if letter in BARE or (ord(letter) < 32 and letter != "\n")]
        assert "hunter2" not in text
        records = [json.loads(line) for line in text.split("\n") if line]
        forged = [record for record in records if "FORGED" in json.dumps(record)]
        assert len(forged) > 10
        # what is printed is a line of the program that printed it; nothing of a client's has a level of its own
        assert {record["logger"] for record in forged} <= {"shop", "gunicorn", "gunicorn.error"}
        assert "critical" not in {record["level"] for record in forged}


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_method_is_the_request_s_also_where_nginx_answers(log_format: str) -> None:
    """error_page makes a GET of it: a brute force on /login would be read as so many GETs."""
    env = {
        "LOG_FORMAT": log_format,
        "MAX_BODY_SIZE": "1k",
        "TIMEOUT": "1",
        "WEB_CONCURRENCY": "1",
        "RATE_LIMIT": "1/20",
    }
    with Box(files={"main.py": FORGER}, env=env) as box:
        port, long, answers = box.host_port(), "x" * 40_000, {}

        def said(method: str, path: str, more: str = "") -> None:
            head = raw(port, f"{method} {path} HTTP/1.0\r\nHost: a\r\n{more}\r\n".encode(), timeout=8)
            answers[f"{method} {path.partition('?')[0][:10]}"] = head.split(b" ", 2)[1].decode()

        said("POST", "/large", "Content-Length: 5000\r\n")
        said("DELETE", "/headers", "".join(f"X-{number}: {long[:7000]}\r\n" for number in range(8)))
        said("PUT", "/" + long)
        said("PATCH", "/slow")
        with contextlib.suppress(IndexError):
            said("POST", "/die?said=x")
        for _ in range(40):
            said("POST", "/login")
        said("GET", "/gone")
        wanted = {
            "POST /large": "413", "DELETE /headers": "431", "PUT /xxxxxxxxx": "414", "PATCH /slow": "504",
            "POST /die": "502", "POST /login": "429", "GET /gone": "429",
        }  # fmt: skip
        assert answers == wanted
        pattern = r'"%s /?%s.* %s' if log_format == "text" else r'"message":"%s /?%s.* %s'
        for request, status in wanted.items():
            method, _, path = request.partition(" /")
            line = re.compile(pattern % (method, path if status != "414" else "", status))
            wait_until(lambda line=line: line.search(box.logs()), 5, line.pattern)  # type: ignore[misc]
        assert not re.search(r"GET /(large|headers|slow|die|login)", box.logs())


def test_flagon_reload_shows_no_controls() -> None:
    """The terminal of whoever asks is not the application's."""
    with Box(files={"main.py": FORGER}) as box:
        assert box.folder
        write_files({"main.py": f"import sys\nprint({CONTROLS!r}, 'seen')\n{FORGER}"}, box.folder)
        said = docker_bytes("exec", box.name, "flagon", "reload").decode("utf-8")
        assert "seen" in said
        assert not BARE & set(said)


# -- levels and switches


def test_access_log_off() -> None:
    with Box(env={"ACCESS_LOG": "off"}, files={"main.py": TALKER}) as box:
        box.get("/seen")
        box.get("/log")
        box.wait_log("said warning")
        time.sleep(1)
        assert "/seen" not in box.logs()


@pytest.mark.parametrize(
    ("level", "said"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1), ("critical", 0), ("WARN", 2)]
)
def test_log_level(level: str, said: int) -> None:
    with Box(env={"LOG_LEVEL": level, "ACCESS_LOG": "off"}, files={"main.py": TALKER}) as box:
        box.get("/log")
        box.get("/print")
        box.wait_log("half a line")
        assert len(re.findall(r'"said \w+"', box.logs())) == said
        if said < 3:
            assert not [r for r in box.records() if r["logger"] == "flagon" and r["level"] == "info"]


# -- whole lines


@pytest.mark.parametrize(("path", "threads"), [("/long", "1"), ("/longlog", "4")])
def test_long_lines_of_four_workers_are_whole(path: str, threads: str) -> None:
    letters = "abcdefghijklmnop"
    rounds = size(3, 30)
    with Box(env={"WEB_CONCURRENCY": "4", "THREADS": threads}, files={"main.py": TALKER}) as box:
        address = box.url(path)
        with ThreadPoolExecutor(16) as pool:
            wanted = [f"{address}?letter={letter}" for _ in range(rounds) for letter in letters]
            assert {answer.status_code for answer in pool.map(lambda url: requests.get(url, timeout=30), wanted)} == {
                200
            }
        whole = {letter * 100_000 for letter in letters}

        def all_there() -> bool:
            return sum(len(str(r.get("message"))) > 1000 for r in box.records()) >= len(wanted)

        wait_until(all_there, 20, "all long lines")
        long_ones = [str(r["message"]) for r in box.records() if len(str(r.get("message"))) > 1000]
        assert len(long_ones) == len(wanted)
        assert set(long_ones) == whole
        for line in box.lines():
            json.loads(line)


def test_the_last_lines_of_a_dying_worker() -> None:
    with Box(files={"main.py": TALKER}) as box:
        with contextlib.suppress(requests.RequestException):
            assert box.get("/die").status_code in (502, 503)
        message(box, "my last words")
        message(box, "without a newline")


def test_the_last_lines_of_a_dying_container() -> None:
    source = "import os\nfor n in range(500):\n    os.write(1, b'line %d\\n' % n)\n"
    source += "os.write(2, b'the very last')\n1/0\napp = make()"
    with Box(files={"main.py": source}, env={"WEB_CONCURRENCY": "1"}, wait=False) as box:
        box.wait_exit(10)
        said = [str(r["message"]) for r in box.records()]
        assert [line for line in said if line.startswith("line ")] == [f"line {n}" for n in range(500)]
        assert "the very last" in said


# -- what standard output is


def through_shell(script: str, **more: object) -> Box:
    return Box(args=["--entrypoint", "sh"], command=["-c", script], **more)  # type: ignore[arg-type]


def test_closed_output() -> None:
    with through_shell("exec /opt/flagon/entrypoint.sh serve >&-", files={"main.py": TALKER}) as box:
        for path in ("/print", "/log", "/fail", "/"):
            assert box.get(path).status_code == 200
        assert box.stop()[1] == 0


def test_both_outputs_closed() -> None:
    with through_shell("exec /opt/flagon/entrypoint.sh serve >&- 2>&-", files={"main.py": TALKER}) as box:
        for path in ("/print", "/log", "/fail", "/"):
            assert box.get(path).status_code == 200
        assert box.stop()[1] == 0


def test_everything_closed() -> None:
    with through_shell("exec /opt/flagon/entrypoint.sh serve <&- >&- 2>&-", files={"main.py": TALKER}) as box:
        for path in ("/print", "/log", "/fail", "/"):
            assert box.get(path).status_code == 200
        assert box.stop()[1] == 0


@pytest.mark.parametrize("arrow", [">", ">>"])
def test_output_to_a_file(arrow: str) -> None:
    with through_shell(f"exec /opt/flagon/entrypoint.sh serve {arrow} /tmp/log 2>&1", files={"main.py": TALKER}) as box:
        for _ in range(5):
            box.get("/log")
            box.get("/print")
        wait_until(lambda: box.exec("cat", "/tmp/log").count("GET /print") >= 5, 5)
        lines = [json.loads(line) for line in box.exec("cat", "/tmp/log").splitlines()]
        assert [r for r in lines if r.get("message") == "printed in a request"]
        assert "\0" not in box.exec("cat", "/tmp/log")
        assert box.stop()[1] == 0


def test_bytes_of_a_client_that_are_no_utf8_are_no_reason_for_broken_json() -> None:
    """Read from a file: the engine's log driver would mend the line."""
    with through_shell("exec /opt/flagon/entrypoint.sh serve > /tmp/log 2>&1", files={"main.py": TALKER}) as box:
        assert b" 500 " not in raw(
            box.host_port(), b"GET /raw\xe9 HTTP/1.0\r\nUser-Agent: caf\xe9 \xff\r\n\r\n", timeout=2
        )
        wait_until(lambda: "/raw" in box.exec("cat", "/tmp/log"), 5)
        script = "import json; [json.loads(line.decode()) for line in open('/tmp/log', 'rb')]"
        assert box.exec("python3", "-c", script) == ""


def test_output_to_a_pipe() -> None:
    with through_shell("/opt/flagon/entrypoint.sh serve | cat", files={"main.py": TALKER}) as box:
        box.get("/log")
        box.get("/print")
        box.access("/print")
        assert all(isinstance(json.loads(line), dict) for line in box.lines())


def test_output_to_a_file_of_another_user() -> None:
    script = "touch /tmp/log; chmod 600 /tmp/log; exec /opt/flagon/entrypoint.sh serve > /tmp/log 2>&1"
    with through_shell(script, image="flagon:runtime", files={"main.py": TALKER}) as box:
        box.get("/log")
        wait_until(lambda: "said error" in box.exec("cat", "/tmp/log", user="0"), 5)
        assert box.stop()[1] == 0


def test_a_reader_that_goes_away() -> None:
    with through_shell("/opt/flagon/entrypoint.sh serve | head -n 2; sleep 60", files={"main.py": TALKER}) as box:
        for _ in range(20):
            assert box.get("/log").status_code == 200
            time.sleep(0.05)


@pytest.mark.long
@pytest.mark.skipif(not FULL, reason="full campaign")
def test_a_flood_loses_no_line() -> None:
    with Box(files={"main.py": TALKER}, env={"WEB_CONCURRENCY": "4"}) as box:
        address = box.url("/log")
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: requests.get(address, timeout=30), range(3000)))
        wait_until(lambda: box.logs().count('"said error"') == 3000, 30)


def test_errors_of_the_boot_are_on_standard_error() -> None:
    done = run_once(env={"PORT": "x"})
    assert done.stdout == ""
    assert "PORT" in done.stderr


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_location_of_the_user_s_own_lets_nobody_write_access_lines(form: str) -> None:
    """There a line break in a path does begin a line of nginx's error log: it is no record of ours."""
    forged = (
        '{"time":"2026-11-30T13:00:00+00:00","level":"info","severity":"INFO","logger":"access","message":"FORGED"}',
        '2026-11-30T13:00:00+00:00 info access 6.6.6.6 "GET /FORGED" 200 1 0.001s 01 "x"',
    )
    files = {"main.py": TALKER, "nginx/server.d/own.conf": "location /own/ { root /app/site; }\n", "site/own/a": "a\n"}
    with Box(env={"LOG_FORMAT": form}, files=files) as box:
        for text in forged:
            raw(box.host_port(), f"GET /own/no%0a{quote(text)}%0a HTTP/1.0\r\nHost: a\r\n\r\n".encode())
        box.get("/end")
        box.wait_log("/end")
        lines = [line for line in box.lines() if "FORGED" in line and "%0a" not in line]
        assert lines
        for line in lines:
            if form == "json":
                assert json.loads(line)["logger"] == "nginx"
            else:
                assert line.startswith(("  ", "{")) or " nginx " in line, line


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_line_break_in_a_path_begins_no_line_of_the_log(form: str) -> None:
    """nginx's error log has paths as they are decoded: of a file that is not there, of a folder that cannot be read."""
    forged = (
        '{"time":"2026-11-30T13:00:00+00:00","level":"critical","severity":"CRITICAL","logger":"flagon","message":"FORGED"}',
        "2026-11-30T13:00:00+00:00 info access 6.6.6.6 FORGED",
        "2026/11/30 13:00:00 [crit] 1#1: *1 FORGED",
        "such?token=FORGED",
    )
    files = {
        "main.py": "def app(environ, start):\n    start('404 X', [])\n    return [b'app']\n",
        "site/a/b.txt": "b\n",
    }
    with Box(env={"LOG_FORMAT": form, "STATIC_PATH": "/app/site", "WEB_CONCURRENCY": "1"}, files=files) as box:
        for text in forged:
            for path in ("/static/no", "/static/a/b.txt/", "/static/a/"):
                answer = raw(box.host_port(), f"GET {path}%0a{quote(text)}%0a HTTP/1.0\r\nHost: a\r\n\r\n".encode())
                assert answer.startswith(b"HTTP/1.1 404"), answer[:200]
        box.get("/end")
        box.wait_log("/end")
        for line in box.lines():
            assert "FORGED" not in line or '"GET /static/' in line or " /static/" in line, line
