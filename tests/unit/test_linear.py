"""Every regular expression takes linear time, whatever it is given; so do the parsers that are written by hand.

The expressions are collected from the source, so a new one is tried without a line here.
"""

import ast
import importlib
import io
import re
import signal
import time
from collections import defaultdict
from pathlib import Path

import fastcgi_client as fc
import pytest

from app.notes.forms import strip
from flagon.inside import slots, static_urls, uwsgi
from flagon.inside.body import RequestBody
from flagon.inside.compress import Compression, chosen
from flagon.inside.fastcgi import Records, decode_params
from flagon.inside.middleware import without_dots
from flagon.inside.pages import storable
from flagon.logs import Lines, Output, message_of, says_little
from tests.hostile import shapes, shapes_for

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer")
SHORT = 4096
QUICK = 0.0007  # seconds of CPU: enough for SHORT, if time is linear
LENGTH = 8192  # HEADER_SIZE: the longest line of a client's
MOST = 0.005  # for LENGTH
GROWTH = 3.0  # for twice the length; linear is 2, quadratic 4
PATIENCE = 20  # seconds of CPU for one pattern: an exponential one has no end
# Patterns that are not in the source as such: (file, expression) -> how to get them.
ELSEWHERE = {
    ("flagon/envfile.py", "GRAMMAR[what]"): lambda module: module.GRAMMAR.values(),
    ("flagon/envfile.py", "ESCAPED[quote]"): lambda module: module.ESCAPED.values(),
    ("app/outages.py", "code"): lambda module: [code for code, _ in module.POSTGRES],
    ("app/outages.py", "words"): lambda module: [words for words, _ in module.SQLITE],
}
# What a pattern is used with, where that is not said at its name.
USED_WITH = {
    ("flagon.database_sources", "ADO_PAIR"): {"match"},
    ("flagon.database_sources", "LIBPQ_PAIR"): {"match"},
    ("flagon.envfile", "GRAMMAR[what]"): {"match"},
}
# Not linear, and only ever given what the owner of the box has written: (module, name).
OWNERS = {
    ("flagon.database", "UNEXPANDED"): "DATABASE_URL and its like, at the start",
    ("flagon.database_sources", "ADO_PAIR"): "the same",
    ("flagon.programs", "SUPERVISORS_OWN"): "supervisord's message about a program file of the image",
    ("flagon.shell_words", "VARIABLE"): "the image's own start command",
    ("flagon.uwsgi_ini", "PLACEHOLDER"): "the image's own uwsgi.ini",
    ("flagon.static_build", "DIGESTED"): "names of files, 255 bytes at most, while the image is built",
}


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def sources():
    for folder in ("flagon", "app"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def uses(path, tree):
    """((module that defines a name, the name), function) of everything that looks like NAME.match(...)."""
    origin = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in FUNCTIONS:
            if isinstance(node.value, ast.Name):
                yield origin.get(node.value.id, (module_name(path), node.value.id)), node.attr
            elif isinstance(node.value, ast.Attribute) and isinstance(node.value.value, ast.Name):  # module.NAME.match
                package, module = origin.get(node.value.value.id, ("", node.value.value.id))
                yield (f"{package}.{module}".strip("."), node.value.attr), node.attr


def flags_of(node):
    """The expression of a call's flags, None if it has none."""
    named = [keyword.value for keyword in node.keywords if keyword.arg == "flags"]
    place = {"compile": 1, "match": 2, "search": 2, "fullmatch": 2, "findall": 2, "finditer": 2}.get(node.func.attr, 9)
    return (named + node.args[place : place + 1] + [None])[0]


def calls_of_re(path, tree):
    """(name, pattern, functions) of each `re.something(...)`; the name is that of a constant, or the place."""
    file = str(path.relative_to(ROOT))

    def value_of(expression):
        return eval(compile(ast.Expression(expression), file, "eval"), vars(module)) if expression else 0

    names = {id(node.value): node.targets[0] for node in ast.walk(tree) if isinstance(node, ast.Assign)}
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.ImportFrom) and node.module == "re"), f"{file}: say re.match and the like"
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        function = node.func.attr
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re") or function == "escape":
            continue
        module = importlib.import_module(module_name(path))
        given = node.args[0]
        find = ELSEWHERE.get((file, ast.unparse(given)))
        constant = names[id(node)] if function == "compile" else given
        name = constant.id if isinstance(constant, ast.Name) else f"line {node.lineno}"
        name = ast.unparse(given) if find else name
        for value in find(module) if find else [value_of(given)]:
            pattern = value if isinstance(value, re.Pattern) else re.compile(value, value_of(flags_of(node)))
            yield name, pattern, {function} - {"compile"}


def collect():
    """((module, name), pattern, function) of all there are."""
    trees = list(sources())
    used, patterns = defaultdict(set), []
    for path, tree in trees:
        for key, function in uses(path, tree):
            used[key].add(function)
        patterns += [((module_name(path), name), *more) for name, *more in calls_of_re(path, tree)]
    for key, pattern, functions in patterns:
        for function in sorted(functions or USED_WITH.get(key) or used[key] or {"search"}):
            # All that is asked of the others is to find each match.
            yield key, pattern, function if function in ("match", "search", "fullmatch") else "finditer"


PATTERNS = {(*key, pattern.pattern, function): pattern for key, pattern, function in collect()}


def test_the_patterns_are_found():
    """One of each kind: a constant used elsewhere, in place, a list of them, bytes."""
    found = {(module, name, function) for module, name, _, function in PATTERNS}
    assert ("flagon.inside.compress", "CODING", "match") in found
    assert ("flagon.inside.logs", "QUERY", "finditer") in found
    assert ("flagon.inside.files", "HELD", "search") in found
    assert ("flagon.css", "URL", "finditer") in found
    assert {module for module, *_ in found} >= {"app.outages", "app.notes.forms", "flagon.inside.static_urls"}
    assert set(OWNERS) | set(USED_WITH) <= {key[:2] for key in PATTERNS}, "a line here is out of date"


def cpu(call, text):
    begun = time.thread_time()
    call(text)
    return time.thread_time() - begun


def slow(call, make):
    """Empty if the call takes linear time, else how long it took. CPU, best of several: the machine may be busy."""
    shortest = make(SHORT // 16)
    if (once := cpu(call, shortest)) > MOST and (once := min(once, cpu(call, shortest), cpu(call, shortest))) > MOST:
        # cubic, or worse: no longer one would come to its end
        return f"{once * 1000:.1f} ms of CPU for {SHORT // 16} characters"
    short = make(SHORT)
    if min(cpu(call, short), cpu(call, short)) < QUICK:
        return ""
    text, longer = make(LENGTH), make(2 * LENGTH)
    once = cpu(call, text)
    for _ in range(5 if once < 20 * MOST else 0):
        once = min(once, again := cpu(call, text))
        if once < MOST and cpu(call, longer) < GROWTH * again:
            return ""
    return f"{once * 1000:.1f} ms of CPU for {LENGTH} characters"


class Endless(Exception):
    pass


@pytest.fixture
def patience():
    """The interpreter's engine looks for signals while it runs."""

    def end(*_):
        raise Endless

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("key", PATTERNS, ids=lambda key: f"{key[0]} {key[1]} {key[3]}")
def test_a_pattern(key, patience):
    pattern, function = PATTERNS[key], getattr(PATTERNS[key], key[3])

    def call(text):
        text = text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text
        found = function(text)
        if key[3] == "finditer":
            for _ in found:
                pass

    slow_ones = ((what, found) for what, make in (*shapes(), *shapes_for(pattern)) if (found := slow(call, make)))
    first = next(slow_ones, None)
    if key[:2] in OWNERS:
        assert first, "it is linear now: take it off the list"
    else:
        assert not first, f"{key[0]} {key[1]} {pattern.pattern!r} on {first[0]}: {first[1]}"


# Parsers that are written by hand


def packet(text):
    """A packet of the uwsgi protocol."""
    words = ["A", text]
    data = b"".join(len(word).to_bytes(2, "little") + word.encode("latin-1") for word in words)
    return b"\0" + len(data).to_bytes(2, "little") + b"\0" + data


def one_by_one(data):
    """read() of a connection that gives a byte at a time."""
    pieces = iter(data[at : at + 1] for at in range(len(data)))
    return lambda _: next(pieces, b"")


def lines_of(text, logger="nginx", as_json=True, step=1 << 16):
    output = Output(as_json, descriptor=-1)
    output.closed = True
    lines, data = Lines(output, logger), text.encode("latin-1")
    for at in range(0, len(data), step):
        lines.feed(data[at : at + step])
    lines.close()


def digested(text):
    application = static_urls.behind(lambda environ, _: [], {"/static/": "/nowhere"}, "")
    application({"PATH_INFO": "/static/" + text}, None)


def allowed(text):
    started = []
    application = static_urls.behind(lambda _, start: start("200 OK", [("Content-Security-Policy", text)]), {}, "//h")
    application({}, lambda *told: started.append(told))


PARSERS = {
    "Accept-Encoding": chosen,
    "Accept-Encoding of several lines": lambda text: chosen(", ".join([text] * 4)),
    "Cache-Control": lambda text: storable("200 OK", [("Cache-Control", "public," + text)]),
    "Content-Type": lambda text: Compression(True).apply({}, "200 OK", [("Content-Type", text)], b""),
    "dots in a path": lambda text: without_dots("/" + text),
    "a digest in a path": digested,
    "Content-Security-Policy": allowed,
    "FastCGI parameters": lambda text: decode_params(fc.pair("A", text), {}),
    "FastCGI parameters of a byte each": lambda text: decode_params(fc.pair("A", "") * len(text), {}),
    "FastCGI records of a byte each": lambda text: Records(
        lambda _: b"", fc.begin() + fc.in_records(fc.PARAMS, text.encode("latin-1"), 1)
    ).begin(),
    "FastCGI in pieces of a byte": lambda text: Records(
        one_by_one(fc.begin() + fc.in_records(fc.PARAMS, text.encode("latin-1")))
    ).begin(),
    "uwsgi parameters": lambda text: uwsgi.decode(packet(text), one_by_one(b"")),
    "uwsgi in pieces of a byte": lambda text: uwsgi.decode(b"", one_by_one(packet(text))),
    "the board": lambda text: slots.describe(fc.pair("HTTP_X_REQUEST_ID", text)),
    "a line of nginx": lambda text: lines_of("2026/11/22 19:26:07 [error] 12#12: *3 " + text),
    "a line of the application": lambda text: lines_of(text, "app"),
    "a line that looks like JSON": lambda text: lines_of('{"a": "' + text + '"}', "app"),
    "a line as text": lambda text: lines_of(text, "app", as_json=False),
    "a line in pieces of a byte": lambda text: lines_of(text, "app", step=1),
    "last words": lambda text: says_little(text.encode("latin-1")) or message_of(text.encode("latin-1")),
    "a field of a note": strip,
}
# Some microseconds a byte, so not all shapes: what counts is the number of pieces.
PIECEMEAL = [name for name in PARSERS if "byte" in name]


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser(name, patience):
    if name in PIECEMEAL:
        times = [min(cpu(PARSERS[name], "a" * length) for _ in range(3)) for length in (8_000, 64_000)]
        assert times[1] < 20 * times[0], f"{times}: 64 where 8 are due"
        return
    for what, make in shapes():
        assert not slow(PARSERS[name], make), what


def test_more_accept_encoding_than_anybody_says_is_not_looked_at():
    assert chosen("gzip" + " " * 996) == "gzip"
    assert chosen("gzip" + " " * 997) == ""


# wsgi.input, whose pieces the application chooses

READERS = {
    "lines": lambda body: sum(1 for _ in body),
    "readline": lambda body: sum(1 for _ in iter(body.readline, b"")),
    "readline(1)": lambda body: sum(1 for _ in iter(lambda: body.readline(1), b"")),
    "read(1)": lambda body: sum(1 for _ in iter(lambda: body.read(1), b"")),
    "readlines(1)": lambda body: sum(1 for _ in iter(lambda: body.readlines(1), [])),
    "a line, then read(1)": lambda body: body.readline(1) and READERS["read(1)"](body),
    "read(1) and readline in turn": lambda body: sum(1 for _ in iter(lambda: body.read(1) + body.readline(1), b"")),
}


WIRES = {
    "fastcgi": lambda data: Records(lambda _: b"", fc.in_records(fc.STDIN, data)),
    "uwsgi, all there": lambda data: uwsgi.Body(data, len(data), lambda _: b""),
    "uwsgi": lambda data: uwsgi.Body(b"", len(data), io.BytesIO(data).read),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("content", [b"\n", b"a"])
@pytest.mark.parametrize("how", READERS)
def test_a_body(how, content, wire):
    """What one byte costs is the same for 8 kB and for 64 kB, which is what arrives at once."""

    def seconds(length):
        data = content * length
        body = RequestBody(WIRES[wire](data), length)
        return cpu(READERS[how], body)

    growth = min((seconds(64_000) - 0.001) / seconds(8_000) for _ in range(5))
    assert growth < 11, f"{growth:.1f} where 8 is due"


def test_the_rest_of_a_body_is_one_object():
    """No list of pieces beside it."""
    import tracemalloc

    length = 4 << 20
    sent = iter([fc.record(fc.STDIN, bytes(32768))] * (length // 32768))
    body = RequestBody(Records(lambda _: next(sent)), length)
    tracemalloc.start()
    data = body.read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data) == length
    assert peak < 1.2 * length
