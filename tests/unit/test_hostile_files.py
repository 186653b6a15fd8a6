"""Files and start commands of an image's author that are odd, huge or nested: no traceback, an end, no secret."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import os
import signal
import time

import pytest

from flagon import (
    asgi_source,
    commands,
    guard,
    hooks,
    line_ends,
    masking,
    procfile,
    script_port,
    secrets_store,
    server_calls,
    text_file,
    uwsgi_ini,
    wsgi_source,
)
from flagon.inside import report

APP = "from flask import Flask\napp = Flask(__name__)\n"
COUNT = 30000
LINES = {
    "words": "env " + "a " * COUNT,
    "wrappers": "ddtrace-run " * COUNT + "gunicorn app:app",
    "shells": "env " + "sh " * COUNT,
    "uv": "uv run " + "--with gunicorn " * COUNT,
    "options": "nice " + "-n 1 " * COUNT,
    "references": "gunicorn " + "${a-" * COUNT,
    "letters": "gunicorn -" + "R" * COUNT * 2 + "R app:app",
    "itself": "python -m " * 450,
}


@pytest.mark.parametrize("kind", LINES)
def test_a_long_start_command_is_run_as_it_is(kind, tmp_path):
    line = LINES[kind]
    begun = time.thread_time()
    for words in (["sh", "-c", line], line.split()):
        commands.served_instead(words, {}, str(tmp_path))
    (tmp_path / "Procfile").write_text("web: " + line)
    procfile.served(str(tmp_path), {})
    assert time.thread_time() - begun < 4.0


def test_a_supervisord_that_starts_itself_is_read_once(tmp_path):
    conf = tmp_path / "own.conf"
    command = f'command=sh -c "supervisord -c {conf}"\n'
    conf.write_text(f"[program:a]\n{command}[program:b]\n{command}[program:web]\ncommand=gunicorn app:app\n")
    served = commands.served_instead(["supervisord", "-c", str(conf)], {}, str(tmp_path))
    assert served
    assert served.application == "app:app"
    assert served.left_out == ("web",)


SOURCES = {
    "if": "if " + "+".join(["1"] * 2500) + ": pass\napp.run()\n",
    "not": "if " + "not " * 90000 + "1: pass\napp.run()\n",
    "elif": "if a: pass\n" + "elif b: pass\n" * 2500 + "app.run()\n",
    "guarded elif": 'if __name__ == "__main__":\n if a: pass\n' + " elif b: pass\n" * 2500 + " app.run()\n",
    "calls": 'if __name__ == "__main__":\n  x' + ".a()" * 900 + "\n  app.run()\n",
    "port": "app.run(port=0x" + "f" * 50000 + ")\n",
    "text port": f'app.run(port="{"9" * 50000}")\n',
    "argument": "from z import create_app\napp = create_app({[1]}, " + "+".join(["1"] * 900) + ")\napp.run()\n",
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_nested_source_ends_in_no_traceback(kind, tmp_path):
    path = str(tmp_path / "app.py")
    (tmp_path / "app.py").write_text(APP + SOURCES[kind])
    begun = time.thread_time()
    for read in (
        wsgi_source.find_object, wsgi_source.starts_a_server, wsgi_source.broken, wsgi_source.django_settings,
        lambda path: script_port.asked(path, {}), lambda path: server_calls.imported_object(path, ""),
        server_calls.at_import, lambda path: guard._first(path, False), lambda path: guard._first(path, True),
    ):  # fmt: skip
        read(path)
    assert script_port.asked(path, {}).port in ("", "5000")
    assert time.thread_time() - begun < 5.0


TWICE = 40
ASGI_SOURCES = {
    "conditions": "a0 = x\n" + "".join(f"a{i + 1} = a{i} if x else a{i}\n" for i in range(TWICE)) + f"app = a{TWICE}\n",
    "returns": "def f0(): return x\n"
    + "".join(f"def f{i + 1}():\n    if x:\n        return f{i}()\n    return f{i}()\n" for i in range(TWICE))
    + f"app = f{TWICE}()\n",
    "arguments": "a0 = x\n" + "".join(f"a{i + 1} = m(a{i}, a{i})\n" for i in range(TWICE)) + f"app = a{TWICE}\n",
    "circles": "".join(
        f"def f{i}():\n    if x:\n        return f{(i + 1) % TWICE}()\n    return f{(i + 2) % TWICE}()\n"
        for i in range(TWICE)
    )
    + "app = f0()\n",
    "names": "".join(f"a{i} = x\n" for i in range(8000)) + "app = a7999\n",
    "nested": "app = " + "a if x else " * 3000 + "a\n",
    "a chain": "a0 = x\n" + "".join(f"a{i + 1} = a{i}\n" for i in range(5000)) + "app = a5000\n",
}


@pytest.mark.parametrize("kind", ASGI_SOURCES)
def test_an_asgi_source_that_asks_for_ever_has_an_end(kind, tmp_path):
    (tmp_path / "app.py").write_text("import fastapi\n" + ASGI_SOURCES[kind])
    begun = time.thread_time()
    assert asgi_source.kind(str(tmp_path), "app:app") == ""
    assert asgi_source.find(str(tmp_path), "app") is None
    assert asgi_source.evident(str(tmp_path), "app") is None
    assert time.thread_time() - begun < 5.0


def test_a_circle_hides_nothing(tmp_path):
    text = "def f():\n    if x:\n        return g()\n    return FastAPI()\ndef g():\n    return f()\napp = f()\nother = g()\n"
    (tmp_path / "app.py").write_text("from fastapi import FastAPI\n" + text)
    for name in ("app", "other", "f()", "g()"):
        assert asgi_source.kind(str(tmp_path), f"app:{name}") == "FastAPI()"
    scope = asgi_source._Files(str(tmp_path), 1).scope("app")
    assert scope is not None
    assert [scope.called("f"), scope.called("g"), scope.named("other")] == ["FastAPI()"] * 3


def test_no_file_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    path = str(tmp_path / "pipe")
    assert wsgi_source.find_object(path) is None
    assert text_file.read(path) == ""
    with pytest.raises(uwsgi_ini.BadIni, match="it is a pipe"):
        uwsgi_ini.read(path, {})
    (tmp_path / "Procfile").symlink_to("/dev/zero")
    assert procfile.read(str(tmp_path)) == {}
    assert procfile.unread(str(tmp_path)) == "it is larger than 4 MB"
    assert hooks.shell_for(path) == "/bin/sh"
    assert line_ends.windows(path) is None
    assert not commands.is_ours(path)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkfifo, "it is a pipe"),
        (lambda path: os.symlink("/dev/zero", path), "larger than 4096 bytes"),
        (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 40), "larger than 4096 bytes"),
        (os.mkdir, "Is a directory"),
    ],
)
def test_what_the_application_has_put_in_the_place_of_its_key_ends_the_start(tmp_path, make, why):
    make(tmp_path / "secret_key")
    with pytest.raises(secrets_store.Unreadable, match=why):
        secrets_store.load_or_make(str(tmp_path))


DOUBLING = "a0=xx\n" + "".join(f"a{number + 1}=%(a{number})%(a{number})\n" for number in range(34))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DOUBLING, "line 2[0-9]: filled in, the options up to a"),
        ("a=" + "x" * 500_000 + "\nb=" + "%(a)" * 100_000, r"the value '%\(a\)%"),
        ("a=" + "x" * 500_000 + "\n" + "b=%(a)\n" * 100_000, "the options up to b"),
        ("a=" + "x" * 500_000 + "\nif-opt = b=" + "%(a)" * 100_000 + "\nendif =", "longer than 1 MB"),
    ],
    ids=["doubling", "one line", "many lines", "a condition"],
)
def test_an_ini_that_fills_itself_in_has_an_end(tmp_path, text, said):
    (tmp_path / "uwsgi.ini").write_text("[uwsgi]\n" + text)
    begun = time.thread_time()
    with pytest.raises(uwsgi_ini.BadIni, match=said):
        uwsgi_ini.read(str(tmp_path / "uwsgi.ini"), {})
    assert time.thread_time() - begun < 5.0


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("env DB_PASSWORD=hunter2 PORT=80 gunicorn app:app", "env DB_PASSWORD=******** PORT=80 gunicorn app:app"),
        ("x postgres://u:hunter2@h/db", "x postgres://u:********@h/db"),
        ("x --dsn=postgres://u:hunter2@h", "x --dsn=********"),
        ("migrate --password hunter2 && y", "migrate --password ******** && y"),
        ('export API_KEY="hunter2 hunter2"; gunicorn', "export API_KEY=********; gunicorn"),
        ("export A=1;PGPASSWORD=hunter2;x", "export A=1;PGPASSWORD=********;x"),
        ("curl -u me:hunter2 http://x", "curl -u ******** http://x"),
        ("connect(host='h', password='hunter2')", "connect(host='h', password=********)"),
        ("SECRET_KEY_FILE=/run/key gunicorn -w 2 app:app", "SECRET_KEY_FILE=/run/key gunicorn -w 2 app:app"),
        ("flask db upgrade && gunicorn 'app:create_app(1)'", "flask db upgrade && gunicorn 'app:create_app(1)'"),
    ],
)
def test_a_command_line_is_shown_without_its_secrets(given, shown):
    assert masking.command(given) == shown


def test_what_is_said_of_a_procfile_has_no_secret(tmp_path):
    line = "env DB_PASSWORD=hunter2 celery worker & gunicorn app:app --env TOKEN=hunter2"
    (tmp_path / "Procfile").write_text("web: " + line)
    served = procfile.served(str(tmp_path), {})
    assert served
    assert any("only `" in said for said in served.lines)
    assert "hunter2" not in " ".join(served.lines)


@pytest.mark.parametrize(("secret", "given", "shown"), [
    ("postgres", 'File "/x/sqlalchemy/dialects/postgresql/psycopg.py", line 3', 'File "/x/sqlalchemy/dialects/postgresql/psycopg.py", line 3'),
    ("postgres", "postgresql+psycopg://postgres:postgres@db:5432/postgres", "postgresql+psycopg://postgres:********@db:5432/postgres"),
    ("postgresql", "postgresql+psycopg://u:postgresql@db/x postgresql://u:postgresql@db", "postgresql+psycopg://u:********@db/x postgresql://u:********@db"),
    ("postgres", "password=postgres host=db 'postgres' \"postgres\" (postgres)", "password=******** host=db '********' \"********\" (********)"),
    ("postgres", "it is postgres. postgres, postgres\npostgres", "it is ********. ********, ********\n********"),
    ("postgres", r"'one\npostgres\ttwo'", r"'one\n********\ttwo'"),
    ("postgres", "postgres", "********"),
    ("app", "No module named 'app.models' in /app/app/models.py of myapp, app-data", "No module named 'app.models' in /app/app/models.py of myapp, app-data"),
    ("app", "postgres://app:app@db/app?user=app", "postgres://app:********@db/app?user=********"),
    ("app1", "/srv/app1/x app1", "/srv/app1/x ********"),
    ("x7Kq2mPd", "/x7Kq2mPd/ax7Kq2mPdb", "/********/a********b"),
    ("correct-horse-battery-staple", "xcorrect-horse-battery-staplex", "x********x"),
    ("p@ss", "ap@ss/", "a********/"),
])  # fmt: skip
def test_a_known_secret_that_is_a_word_is_masked_as_a_word(secret, given, shown):
    assert masking.known(given, secret) == shown


def test_the_migration_s_records_keep_their_paths(monkeypatch, capfd):
    monkeypatch.setattr(report, "_secrets", set())
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres:postgres@db/postgres")
    report.set_up({"json_logs": False, "log_level": "info", "log_mark": "", "direct_environment": {}})
    report.say('File "sqlalchemy/dialects/postgresql/psycopg.py": postgresql://postgres:postgres@db, postgres')
    written = capfd.readouterr().out
    assert "dialects/postgresql/psycopg.py" in written
    assert "postgresql://postgres:********@db, ********" in written


MANY = 3000
SCRIPTS = {
    "what is not read": "o = dict(port=[" + "1, " * MANY + "])\n" + "app.run(**o)\n" * MANY,
    "a module beside it": "from conf import x\n" + "app.run(port=x)\n" * MANY,
}  # fmt: skip


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_script_that_serves_at_thousands_of_places_is_read_in_no_time(kind, tmp_path):
    (tmp_path / "conf.py").write_text("".join(f"a{i} = 1\n" for i in range(MANY)) + "x = [1]\n")
    (tmp_path / "app.py").write_text(SCRIPTS[kind])

    def end(*_):
        raise AssertionError("no end in 5 s of CPU")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, 5)
    try:
        assert script_port.asked(str(tmp_path / "app.py"), {}).port == ""
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_a_script_of_many_calls_still_has_its_port(tmp_path):
    (tmp_path / "conf.py").write_text("x = 7000\n")
    (tmp_path / "app.py").write_text("from conf import x\nif a:\n    app.run(port=x)\n" + "app.run(port=x)\n" * 50)
    assert script_port.asked(str(tmp_path / "app.py"), {}).port == "7000"
