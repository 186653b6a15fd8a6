"""Every text that becomes configuration x hostile texts: refused by name, or read back as exactly what was meant.

What was rendered is read by other people's parsers: crossplane's (ngxparse) for nginx, supervisord's own, a real shell.
"""

# Tables, a row a line, however long.
# ruff: noqa: E501

import configparser
import os
import re
import shlex
import subprocess
from types import SimpleNamespace

import crossplane
import pytest
from fakes import put
from test_render import box

from flagon import compat, handover, nginx_text, platforms, programs, render, site, users_nginx
from flagon.settings import SettingsError, resolve
from flagon.statics import Files, Static, handed_url
from flagon.table import SETTINGS

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# No configuration file can hold these.
UNFIT = ["a\nb", "a\rb", "a\tb", "a\0b", "\x01", "a\x1b[31mb", "a\x7f", "a\udcffb", "x" * 5000, "$" * 400, "(" * 1500]
FIT = [
    "x/ { return 404; } location /etc/ { root /; } location /y", "a b", "a;b", "a{b", "a}b", "a{b}", ";", "}", "{",
    'a"b', "a'b", '"', "'", "\"a'", '"; return 200 "', "'; return 200; #", "$uri", "a$", "${uri}", "${", "$1", "$$", "a#b", "#a", "# a", "%(here)s", "%%", "%s", "%",
    "a\\", "a\\b", "a\\\\", "a\\n", "a\\tb", 'a\\"', "\\", "\\;", "\u2028", "a\u2028b", "a\u0085b", "\u00a0", "\u00fc", "\U0001f600",
    "-a", "--config=/etc/passwd", "~a", "~^/(.*)$", "=", "= /a", "^~ /b", "@a", "*", "a[1]", "a?b", "(?<x>a)", "a|b", "`id`", "$(id)", "a&b", "<a>", "default", "include", "../a", ":8", "x" * 900,
]  # fmt: skip
HOSTILE = FIT + UNFIT


# nginx


def unescaped(token):
    """crossplane leaves the escapes of nginx's words as they are."""
    return re.sub(r"""\\(["'\\trn])""", lambda found: nginx_text.ESCAPED.get(found[1], found[1]), token)


def parsed(text):
    """(directive, arguments, block or None) of all of it, as crossplane reads it."""
    found = crossplane.parse_string(text, single=True, check_ctx=False, check_args=False)
    assert (found["status"], found["errors"]) == ("ok", [])

    def rows(block):
        return [
            (
                unescaped(one["directive"]),
                [unescaped(word) for word in one["args"]],
                rows(one["block"]) if "block" in one else None,
            )
            for one in block
        ]

    return rows(found["config"][0]["parsed"])


def words_of(rows):
    """All of the tree's directives as our own reader has them."""
    for name, words, block in rows:
        if name != "if":  # crossplane takes its parentheses away
            yield (name, *words)
        yield from words_of(block or [])


def replaced(rows, change):
    """The same tree with every word changed."""
    return [
        (change(name), [change(word) for word in words], block and replaced(block, change))
        for name, words, block in rows
    ]


def meant(template, texts):
    """What the rendered template means: each placeholder's text, $ as nginx has it where it looks for variables."""

    places = "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))

    def change(word):
        escape = re.escape if word.startswith("~^") else str  # a regular expression
        return re.sub(places, lambda found: escape(texts[found[0]]), word)

    return replaced(template, change)


def literal(rows):
    """${flagon_dollar} is how nginx is told of a $."""
    return replaced(rows, lambda word: word.replace(nginx_text.DOLLAR, "$"))


NAMES = {name: f"PLACE{name}" for name in "url folder handed top spa root http server mark cache index".split()}


def named(texts):
    """All fragments where these names stand at every place that takes one."""
    files = Files(
        statics=(
            Static(f"/{texts['url']}/", f"/{texts['folder']}", texts["cache"], copies=3),
            Static(f"/strict/{texts['url']}/", f"/{texts['folder']}/", strict=True),
        ),
        index_page=f"/{texts['index']}", root=f"/{texts['root']}", spa=f"/{texts['spa']}", top=((f"/{texts['top']}", f"/{texts['top']}"),),
        handed=(f"/{texts['handed']}", "/other"), https_only=True, host="https://cdn",
    )  # fmt: skip
    users = users_nginx.UsersNginx(http=(f"/{texts['http']}",), server=(f"/{texts['server']}",))
    return render.fragments(box(files=files, users=users, mark=f"/{texts['mark']}"))


# Where a name stands at all; the others are the same whatever the names are.
CONCERNED = [name for name, text in named(NAMES).items() if "PLACE" in text]


@pytest.fixture(scope="module")
def template():
    return parsed("".join(named(NAMES)[name] for name in CONCERNED))


def globbed(rows):
    """The names of files to include as glob() reads them."""
    return [
        (
            name,
            [
                re.sub(r"\\(.)", r"\1", word) if name == "include" and re.search(r"[*?\[]", word) else word
                for word in words
            ],
            block and globbed(block),
        )
        for name, words, block in rows
    ]


@pytest.mark.parametrize("text", [text for text in FIT if not nginx_text.unfit(text)])
def test_every_name_is_read_back_as_it_was(template, text):
    fragments = named(dict.fromkeys(NAMES, text))
    rendered = "".join(fragments.pop(name) for name in CONCERNED)
    assert fragments.items() <= named(NAMES).items()
    found = globbed(literal(parsed(rendered)))
    inner = {handed_url("", f"/{NAMES['handed']}"): handed_url("", f"/{text}")}  # goes by the folder's name
    assert found == meant(template, {**dict.fromkeys(NAMES.values(), text), **inner})
    ours = [one.words for one in nginx_text.directives(rendered) if one.words[0] != "if"]
    assert ours == list(words_of(parsed(rendered)))


def test_every_place_has_a_name(template):
    words = " ".join(" ".join(row) for row in words_of(template)) + named(NAMES)["app.conf"]
    assert [name for name in NAMES.values() if name not in words] == []


@pytest.mark.parametrize("text", UNFIT)
@pytest.mark.parametrize("place", ["url", "folder", "cache"])
def test_a_static_folder_that_nginx_cannot_take_is_left_with_a_line(text, place):
    row = {"url": "/static/", "folder": "/srv/static", "cache": "no-cache"}
    row[place] = {"url": f"/{text}/", "folder": f"/{text}", "cache": text}[place]
    told = site.loaded({"statics": [list(row.values()), ["/b/", "/b", ""]], "handed": ["/a", f"/{text}", "/c"]})
    assert told.statics == (Static("/b/", "/b"),)
    assert told.handed == ("/a", "/c")
    (line,) = told.lines
    assert line.startswith(f"static files below {row['url']!r:.200} are left to the application: its ")
    assert line.isprintable()


@pytest.mark.parametrize("url", ["//a/", "/a//", "/../a/", "/a/./", "/-/error/", "/-/", "a/", "", "/a/../", "/a/.."])
def test_urls_that_nginx_is_never_asked_for_or_that_are_ours(url):
    told = site.loaded({"statics": [[url, "/srv", ""]]})
    assert (told.statics, len(told.lines)) == ((), 1) if url != "/a/.." else (len(told.statics), told.lines) == (1, ())


@pytest.mark.parametrize("junk", [5, "x", None, {"a": 1}, [5], [[]], [["/a/"]], [["/a/", "/b", "c", "d"]]])
def test_junk_instead_of_lists(junk):
    told = site.loaded({"statics": junk, "routes": junk if junk != [5] else 5, "handed": junk})
    assert told.statics == ()
    assert not any(told.handed)


@pytest.mark.parametrize(("words", "expected"), [
    (("/a/",), (False, "/a/")), (("^~", "/a/"), (False, "/a/")), (("=", "/a"), (True, "/a")), (("=/a",), (True, "/a")), (("^~/a/",), (False, "/a/")),
    (("~", "/a"), None), (("~*", "/a"), None), (("~/a",), None), (("~*/a",), None), (("@a",), None), (("/=a",), (False, "/=a")), ((), (False, "")),
])  # fmt: skip
def test_how_nginx_tells_locations_apart(words, expected):
    assert nginx_text.location(words) == expected


def test_users_locations_are_known_however_they_are_written(tmp_path):
    text = 'location =/a { }\nlocation "/my files/" { }\nlocation /q\\" { }\nlocation ~ ^/x { }\nlocation @n { }'
    found = users_nginx.find(put(tmp_path, {"nginx/server.d/a.conf": text}), "/nowhere")
    assert found.locations == {(True, "/a"), (False, "/my files/"), (False, '/q"')}
    files = Files(
        statics=(Static("/my files/", "/b"), Static('/q"', "/c"), Static("/d/", "/d")),
        top=(("/a", "/a"),),
        own=found.locations,
    )
    text = "".join(render.fragments(box(files=files)).values())
    assert re.findall(r"alias (/[a-d]/?);", text) == ["/d/"]


@pytest.mark.parametrize("folder", ["http.d", "server.d"])
@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x01", "a\x7f", os.fsdecode(b"a\xff")])
def test_a_file_that_nginx_cannot_include_is_refused(tmp_path, folder, name):
    put(tmp_path, {f"nginx/{folder}/{name}.conf": "a;"})
    with pytest.raises(users_nginx.BadName) as caught:
        users_nginx.find(str(tmp_path), "/nowhere")
    assert repr(name)[1:-1] in str(caught.value)
    assert str(caught.value).isprintable()


# settings

BENIGN = {
    "static_url": "/benign",
    "prefix": "/benign",
    "path": "/benign",
    "folder": "/benign",
    "file": "/benign/page",
}


def resolved(environ):
    """(settings, errors)"""
    try:
        return resolve(environ, "/nowhere"), []
    except SettingsError as refused:
        return None, refused.errors


def one_line(message):
    return not re.search("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", message)


def fragments_of(values, without=()):
    """As a box renders them, for these settings."""
    values = {
        **values,
        "REAL_IP_HEADER": values["REAL_IP_HEADER"] or "X-Forwarded-For",
        "TRUSTED_PROXIES": values["TRUSTED_PROXIES"] or ("private",),
        "WORKER_CONNECTIONS": 1024,
        "BACKLOG": 32,
    }
    boot = SimpleNamespace(
        values=values,
        settings=SimpleNamespace(old=compat.nothing()),
        directory="/app",
        users=users_nginx.UsersNginx(),
        database=SimpleNamespace(path=""),
    )
    run = f"{values['RUNTIME_DIR'] or '/run'}/flagon"
    given = box(
        run=run,
        spool=f"{values['DATA_DIR']}/spool",
        mark=f"{values['DATA_DIR']}/app.db",
        files=site.files(boot, site.Loaded()),
    )
    found = render.fragments(given._replace(values=values))
    return "".join(text for name, text in found.items() if name not in without)


def beginnings(row):
    """Texts before which and after which the hostile one is put: alone, and beside what would be accepted."""
    texts = [
        "",
        BENIGN.get(row.kind, ""),
        {
            "proxies": "10.0.0.1",
            "module": "app:",
            "header": "X-",
            "origin": "https://cdn",
            "hsts": "60;",
            "rate": "1/",
            "size": "1",
            "choice": row.choices[:1] and row.choices[0],
        }.get(row.kind, "1"),
    ]
    return [text or "" for text in texts]


def test_every_setting_is_refused_by_name_or_read_back_as_it_was():
    rows = {name: row for name, row in SETTINGS.items() if not row.secret}
    accepted = {}
    for hostile in HOSTILE:
        if "\0" in hostile:
            continue  # no environment can have it
        for number in range(3):
            environ = {f"FLAGON_{name}": beginnings(row)[number] + hostile for name, row in rows.items()}
            _, refusals = resolved(environ)
            assert all(map(one_line, refusals))
            refused = {message.partition("=")[0] for message in refusals}
            assert refused <= environ.keys()
            for name in environ.keys() - refused:
                settings, refusals = resolved({name: environ[name]})
                name = name.removeprefix("FLAGON_")
                if settings is None:
                    assert refusals[0].startswith(name)  # only together with others' defaults
                elif isinstance(settings[name], str):
                    assert nginx_text.unfit(settings[name]) == ""
                    accepted.setdefault(name, set()).add(settings[name])
    assert {"STATIC_PATH", "RUNTIME_DIR", "SPA_INDEX", "MIGRATE_COMMAND"} <= accepted.keys()
    plain = resolve({}, "/nowhere").values
    for name, values in accepted.items():
        if rows[name].kind not in BENIGN:  # one of a few words, or nothing that is rendered depends on it
            for text in {fragments_of({**plain, name: value}) for value in values}:
                other = {**plain, "REAL_IP_HEADER": "X-Visitor"} if name == "REAL_IP_HEADER" else plain
                assert len(parsed(text)) == len(parsed(fragments_of(other)))
            continue
        placeholder = BENIGN[rows[name].kind]
        template = parsed(fragments_of({**plain, name: placeholder}))
        for value in values:
            texts = {placeholder: value}
            if rows[name].kind == "file":  # its folder is served, too
                path = os.path.join("/app", value)
                texts = {placeholder: path, os.path.dirname(placeholder): os.path.dirname(path)}
            assert literal(parsed(fragments_of({**plain, name: value}))) == meant(template, texts)


@pytest.mark.parametrize(
    "name",
    [*compat.MARKS, *(one.variable for one in platforms.PLATFORMS), "PGHOST", "POSTGRES_URI", "HOST", "BIND"],
)
def test_other_peoples_variables(name):
    """The old images' names and the platforms': whatever they hold, the configuration keeps its shape."""
    plain = resolve({}, "/nowhere").values
    for hostile in HOSTILE[::3]:
        if "\0" in hostile:
            continue
        settings, refusals = resolved({name: hostile})
        assert all(map(one_line, refusals))
        if settings is None:
            continue
        header = settings["REAL_IP_HEADER"] or platforms.find({name: hostile}).real_ip_header
        text = fragments_of({**settings.values, "REAL_IP_HEADER": header})
        # A number of their own is another number here, and may be another count of limits.
        numbers = {key: value for key, value in settings.values.items() if isinstance(value, int | float)}
        expected = fragments_of({**plain, **numbers, "REAL_IP_HEADER": header})
        assert [words[0] for words in words_of(parsed(text))] == [words[0] for words in words_of(parsed(expected))]
        for address in [settings.old.listen] if settings.old.listen else []:
            (found,) = parsed(render._listen(box(listen=[address])))
            assert found[1][: len(address.split())] == address.split()


@pytest.mark.parametrize(("text", "url"), [("/up", "/up"), ("/ready/", "/ready"), ("/healthz", "/healthz")])
@pytest.mark.parametrize("prefix", ["", "/shop"])
def test_static_files_at_a_health_path(text, url, prefix):
    for given in (text, prefix + text):
        with pytest.raises(SettingsError, match="health path"):
            resolve({"STATIC_URL": given, "URL_PREFIX": prefix}, "/nowhere")
    assert resolve({"STATIC_URL": "/uploads", "URL_PREFIX": prefix}, "/nowhere")["STATIC_URL"] == "/uploads"


def test_a_static_url_that_is_a_file_at_the_top(tmp_path):
    put(tmp_path, {"static/robots.txt": "", "static/favicon.ico": ""})
    values = resolve({"STATIC_URL": "/robots.txt", "STATIC_PATH": str(tmp_path / "static")}, "/nowhere").values
    found = [
        nginx_text.location(words[1:])
        for words in words_of(parsed(fragments_of(values, without=["healthcheck.conf"])))
        if words[0] == "location"
    ]
    assert len(found) == len(set(found))
    assert {(True, "/robots.txt"), (False, "/robots.txt/"), (True, "/favicon.ico")} <= set(found)


# supervisord and the shell


@pytest.mark.parametrize("text", [text for text in HOSTILE if "\0" not in text and "\udcff" not in text])
def test_the_launchers_words_are_what_was_meant(tmp_path, text):
    words = [f"/usr/bin/{text}", f"/run/{text}/launch.json"]
    script = handover.launcher(f"/run/{text}", words[0], "run-gunicorn.py", supervised=False)
    line = script.partition("exec ")[2]
    assert shlex.split(line) == [words[0], f"{handover.HOME}/code/flagon/inside/run-gunicorn.py", words[1], "$@"]
    handover.write(
        str(tmp_path / "x"), handover.launcher(f"/run/{text}", "/bin/echo", "run-gunicorn.py", supervised=False)
    )
    done = subprocess.run(["/bin/sh", str(tmp_path / "x"), "--check"], capture_output=True, timeout=10)
    assert done.stdout.decode().endswith(f"{words[1]} --check\n")


def commands(folder):
    """What supervisord itself reads: program -> command."""
    from supervisor.options import ServerOptions

    options = ServerOptions()
    options.realize(["-c", str(folder / "supervisord.conf")])
    return {one.name: one.command for group in options.process_group_configs for one in group.process_configs}


def supervised(folder, found):
    """The same of what we have written for it. Raises BadProgram."""
    programs.write(found, str(folder))
    (folder / "supervisord.conf").write_text("[supervisord]\n[include]\nfiles=%(here)s/programs/*.conf\n")
    programs.read_as_supervisord(found, str(folder))
    return commands(folder)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_procfiles_command_reaches_the_shell_as_it_is(tmp_path, text):
    put(tmp_path, {"app/Procfile": ""})
    (tmp_path / "app/Procfile").write_bytes(f"worker: echo {text}\n".encode("utf-8", "surrogatepass"))
    run = tmp_path / "run@x+y"
    run.mkdir()
    if re.search(r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f\udcff]", text):
        with pytest.raises(programs.BadProgram, match="worker"):
            programs.find(str(tmp_path / "app"), ("worker",), str(run))
        return
    found = programs.find(str(tmp_path / "app"), ("worker",), str(run))
    assert supervised(run, found) == {"worker": f"setpriv --pdeathsig TERM /bin/sh {run}/programs/worker"}
    script = (run / "programs/worker").read_bytes().decode()
    line = "echo " + re.split("[\r\n]", text)[0]
    assert script.endswith(line.strip() + "\n")


@pytest.mark.parametrize("text", [text for text in HOSTILE if text != "%s"])  # all that there is, ours and its own
def test_a_supervisor_file_says_what_it_says_or_is_refused(tmp_path, text):
    """Through our copy of it, supervisord reads what it would have read in the file itself."""
    text = text.replace("\udcff", "?")
    put(tmp_path, {"app/supervisor.d/a.conf": f"[program:x]\ncommand=echo {text}\nstartsecs=7\n", "own/run": ""})
    run = tmp_path / "run"
    run.mkdir()
    own = tmp_path / "own"
    (own / "supervisord.conf").write_text(f"[supervisord]\n[include]\nfiles={tmp_path}/app/supervisor.d/*.conf\n")
    try:
        expected = commands(own)
    except SystemExit:
        expected = None
    try:
        found = supervised(run, programs.find(str(tmp_path / "app"), (), str(run)))
    except programs.BadProgram as refused:
        found, message = None, str(refused)
        assert "a.conf" in message  # noqa: PT017
        assert one_line(message)  # noqa: PT017
    assert found == (None if re.search(nginx_text.CONTROL, text.replace("\n", "").replace("\t", "")) else expected)


def test_supervisord_objections_name_the_file(tmp_path):
    put(tmp_path, {"app/supervisor.d/a.conf": "[program:x]\ncommand=a\nnumprocs=abc\n"})
    run = tmp_path / "run"
    run.mkdir()
    found = programs.find(str(tmp_path / "app"), (), str(run))
    with pytest.raises(
        programs.BadProgram, match=r"supervisor\.d/a\.conf: invalid literal.*'abc' in section 'program:x'\Z"
    ):
        supervised(run, found)


def test_the_ini_file_is_one_for_everybodys_parser(tmp_path):
    put(
        tmp_path,
        {
            "app/supervisor.d/a.conf": '[program:x]\ncommand=a\n  [program:evil]\n  user=root\nenvironment=A="1",\n  B="2"\n'
        },
    )
    run = tmp_path / "run"
    run.mkdir()
    found = programs.find(str(tmp_path / "app"), (), str(run))
    programs.write(found, str(run))
    parser = configparser.RawConfigParser()
    parser.read(run / "programs/programs.conf")
    assert parser.sections() == ["program:x"]
    assert parser["program:x"]["environment"] == 'A="1",\nB="2"'
