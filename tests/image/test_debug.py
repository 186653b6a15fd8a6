"""FLASK_DEBUG: what is saved is seen, what is broken is shown and heals, and the debugger is for the few who may."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping

import pytest

from .box import Box, docker, run_once, wait_until

MAIN = """from flask import Flask, render_template, request
import greeting
app = Flask(__name__)
@app.get("/")
def index():
    return "one " + greeting.text + " " + render_template("page.html")
@app.get("/boom")
def boom():
    hidden = "only in the traceback"
    return str(1 / 0)
@app.get("/environ")
def environ():
    return "\\n".join(sorted(name for name in request.environ if "DEBUGGER" in name.upper()))
"""
FILES = {
    "main.py": MAIN,
    "greeting.py": 'text = "two"',
    "templates/page.html": "three",
    "static/site.css": "p { color: red }",
}
OWN_DEBUGGER = MAIN + (
    "from werkzeug.debug import DebuggedApplication\n"
    "app.wsgi_app = DebuggedApplication(app.wsgi_app, evalex=True, pin_security=False)\n"
)
FORGED = [
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-For": "127.0.0.1, 127.0.0.1"},
    {"X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1"},
    {"X-Flagon-Debugger": "1"},
    {"X_Flagon_Debugger": "1", "X-Flagon_Debugger": "1"},
    {"Flagon-Debugger": "1", "FLAGON_DEBUGGER": "1", "Flagon.Debugger": "True"},
    {"X-Forwarded-For": "::1", "X-Flagon-Debugger": "1", "Flagon-Debugger": "1"},
]
DEADLINE = 10.0
WIRES = ["fastcgi", "gthread"]


def debug(wire: str, **more: str) -> dict[str, str]:
    return {"FLASK_DEBUG": "1", "WORKER_CLASS": wire, **more}


def save(box: Box, name: str, text: str) -> None:
    assert box.folder
    path = box.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)


def shows(box: Box, text: str, path: str = "/") -> None:
    """Soon, from a client that may see everything."""
    wait_until(lambda: text in inside(box, path), DEADLINE, f"{text!r} at {path}")


def inside(box: Box, path: str, headers: Mapping[str, str] | None = None) -> str:
    """What a loopback client sees."""
    words = [word for name, value in (headers or {}).items() for word in ("-H", f"{name}: {value}")]
    return box.exec("curl", "-s", "-m", "10", *words, f"http://127.0.0.1:8080{path}", check=False)


def gateway() -> str:
    """The address that this machine has in a container's eyes."""
    told = json.loads(docker("network", "inspect", "-f", "{{json .IPAM.Config}}", "bridge").stdout)[0]
    # an engine that has just been installed does not tell, and takes the first
    return told.get("Gateway") or str(next(ipaddress.ip_network(told["Subnet"]).hosts()))


@pytest.fixture(params=WIRES)
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    with Box(env=debug(request.param), files=FILES) as running:
        yield running
        assert running.running()
        assert "restarted" not in running.logs()


def test_what_is_saved_is_seen(box: Box) -> None:
    assert box.get("/").text == "one two three"
    save(box, "templates/page.html", "drei")
    shows(box, "one two drei")
    save(box, "greeting.py", 'text = "zwei"')
    shows(box, "one zwei drei")
    save(box, "main.py", MAIN.replace('"one "', '"eins "'))
    shows(box, "eins zwei drei")
    save(box, "static/site.css", "p { color: blue }")
    assert "blue" in box.get("/static/site.css").text
    save(box, "more/__init__.py", "")
    save(box, "more/words.py", 'text = "neu"')
    save(box, "greeting.py", "from more.words import text")
    shows(box, "eins neu drei")


def test_one_worker_and_a_warning(box: Box) -> None:
    lines = [record["message"] for record in box.records() if record["level"] == "warning"]
    assert any("FLASK_DEBUG is on" in line and "NEVER in production" in line for line in lines)
    assert any("1 worker x 4 threads (FLASK_DEBUG is on;" in line for line in box.lines())
    assert [record for record in box.records() if record["logger"] == "nginx"] == [], "nothing of nginx's own"


def test_a_syntax_error_is_shown_and_heals(box: Box) -> None:
    save(box, "greeting.py", "text = <b>")
    shows(box, "greeting.py line 1: invalid syntax: text = &lt;b&gt;")
    answer = box.get("/")
    assert (answer.status_code, "greeting" in answer.text) == (500, False), "not local, and not listed"
    assert box.get("/up").status_code == 200
    save(box, "greeting.py", 'text = "healed"')
    shows(box, "one healed three")


def test_a_missing_module_is_shown_and_heals_when_it_is_there(box: Box) -> None:
    save(box, "greeting.py", "from later import text")
    shows(box, "no module named &#x27;later&#x27;")
    save(box, "later.py", 'text = "come"')
    shows(box, "one come three")


FIRST = {
    "syntax": ("def app(:\n", "main.py (line 1: invalid syntax)"),
    "import": ("import nowhere_to_be_found\nfrom flask import Flask\napp = Flask('x')\n", "nowhere_to_be_found"),
    "factory": ("def create_app():\n    raise RuntimeError('in <the> factory')\n", "in &lt;the&gt; factory"),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("case", FIRST)
def test_broken_at_the_first_start(wire: str, case: str) -> None:
    source, shown = FIRST[case]
    with Box(env=debug(wire), files={**FILES, "main.py": source}) as box:
        shows(box, shown)
        assert box.get("/").status_code == 500
        save(box, "main.py", MAIN)
        shows(box, "one two three")
        assert box.running()


def test_without_debug_it_ends_as_ever() -> None:
    for source, _ in FIRST.values():
        assert run_once(files={"main.py": source}, env={"FLASK_DEBUG": "0"}).returncode != 0


def test_a_failed_migration_does_not_hide_the_page() -> None:
    env = debug("fastcgi", MIGRATE="auto", MIGRATE_COMMAND="exit 3")
    with Box(env=env, files=FILES) as box:
        box.wait_log("migrate ended with code")
        shows(box, "one two three")


# -- the debugger


def console(text: str) -> bool:
    """Whether this answer offers the debugger, or anything of it."""
    return any(
        word in text for word in ("__debugger__", "EVALEX", "Traceback", "ZeroDivision", "only in the traceback")
    )


ASKED = ["/boom", "/console", "/?__debugger__=yes&cmd=resource&f=debugger.js", "/?__debugger__=yes&cmd=printpin&s=x"]


def refused(box: Box, headers: Mapping[str, str] | None = None) -> None:
    """Nothing of the debugger for this client; its paths and words are the application's own business."""
    boom, own, resource, pin = (box.get(path, headers=headers) for path in ASKED)
    assert (boom.status_code, own.status_code, resource.status_code, pin.status_code) == (500, 404, 200, 200)
    assert resource.text == pin.text == "one two three"
    for answer in (boom, own, resource, pin):
        assert not console(answer.text), headers


def test_local_clients_have_it_and_others_not(box: Box) -> None:
    for path in ASKED[:3]:
        assert console(inside(box, path)), path
    refused(box)
    for headers in FORGED:
        refused(box, headers)
        assert "HTTP_X_FLAGON_DEBUGGER" not in box.get("/environ", headers=headers).text
    for chain in ("203.0.113.9", "127.0.0.1, 203.0.113.9", "127.0.0.1, 127.0.0.1"):
        assert not console(inside(box, "/boom", {"X-Forwarded-For": chain})), chain
    box.wait_log("ZeroDivisionError")  # the log has what is kept from the client


@pytest.mark.parametrize("wire", WIRES)
def test_a_listed_network_has_it(wire: str) -> None:
    with Box(
        env=debug(wire, DEBUG_CLIENTS=f"{gateway()}/32,192.0.2.0/24", TRUSTED_PROXIES="private"), files=FILES
    ) as box:
        page = box.get("/console").text
        secret = re.search(r'SECRET = "(\w+)"', page)
        assert secret, page
        pin = box.wait_log("the debugger's PIN").split("CLIENTS: ")[1].split('"')[0]
        ask = f"/console?__debugger__=yes&s={secret[1]}&frm=0&cmd="
        assert "42" not in box.get(ask + "6*7").text, "no PIN yet"
        assert box.get(ask + f"pinauth&pin={pin}").json()["auth"] is True
        assert "42" in box.get(ask + "6*7").text
        # The same session, with cookie and secret, but said to be somebody else: by a proxy, in front of a proxy.
        for chain in ("203.0.113.9", "192.0.2.1, 203.0.113.9", "192.0.2.1, 192.0.2.2"):
            answer = box.get(ask + "6*7", headers={"X-Forwarded-For": chain})
            assert (answer.status_code, "42" in answer.text) == (404, False), chain
        assert "42" in box.get(ask + "6*7", headers={"X-Forwarded-For": "192.0.2.1"}).text, "a listed client's proxy"


@pytest.mark.parametrize("wire", WIRES)
def test_a_proxy_that_nobody_trusts_makes_nobody_local(wire: str) -> None:
    with Box(env=debug(wire, TRUSTED_PROXIES="none"), files=FILES) as box:
        assert console(inside(box, "/boom"))
        for headers in ({"X-Forwarded-For": "203.0.113.9"}, {"Forwarded": "for=203.0.113.9"}, {"Via": "1.1 proxy"}):
            assert not console(inside(box, "/boom", headers)), headers


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("value", ["0", ""])
def test_without_flask_debug_it_is_nowhere(wire: str, value: str) -> None:
    """Also if the application brings it, and also for local and listed clients."""
    env = debug(wire, FLASK_DEBUG=value, DEBUG_CLIENTS="any")
    with Box(env=env, files={**FILES, "main.py": OWN_DEBUGGER}) as box:
        for headers in (None, *FORGED):
            refused(box, headers)
            for path in ASKED:
                assert not console(inside(box, path, headers))


@pytest.mark.parametrize("wire", WIRES)
def test_an_application_that_brings_it_obeys_the_rule(wire: str) -> None:
    with Box(env=debug(wire), files={**FILES, "main.py": OWN_DEBUGGER}) as box:
        assert console(inside(box, "/boom"))
        refused(box)


def test_a_wrong_list_stops_the_boot() -> None:
    done = run_once(files=FILES, env={"FLAGON_DEBUG_CLIENTS": "office"})
    assert (done.returncode, "DEBUG_CLIENTS" in done.stderr) == (78, True)
