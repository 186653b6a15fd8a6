"""Procfile lines and supervisor files -> the sections that supervisord is given."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import configparser

import pytest

from flagon import procfile, programs, shell_words
from flagon.programs import BadProgram

PROCFILE = "web: gunicorn app:app\nworker: python worker.py\nclock: A=1 python clock.py && true\nrelease: flask db upgrade\n# no: line\nnone\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "FOLDERS", (str(tmp_path / "etc"),))
    (tmp_path / "etc").mkdir()
    (tmp_path / "supervisor.d").mkdir()
    return tmp_path


def names(found):
    return [section.name for section in found.sections]


def test_a_procfile(folder):
    (folder / "Procfile").write_text(PROCFILE)
    assert procfile.read(str(folder)) == {
        "web": "gunicorn app:app",
        "worker": "python worker.py",
        "clock": "A=1 python clock.py && true",
        "release": "flask db upgrade",
    }
    assert procfile.read("/nowhere") == {}


@pytest.mark.parametrize(("line", "application", "more"), [
    ("gunicorn app:app", "app:app", {}), ("gunicorn -w 3 --threads=2 shop.web:create_app()", "shop.web:create_app()", {"WEB_CONCURRENCY": "3", "THREADS": "2"}),
    ("python -m gunicorn app:app -t 30", "app:app", {"TIMEOUT": "30"}), ("newrelic-admin run-program gunicorn app:app", "app:app", {}),
    ("exec gunicorn app:app -b 0.0.0.0:$PORT", "app:app", {}), ("gunicorn -w ${N:-4} app:app", "app:app", {"WEB_CONCURRENCY": "4"}),
    ("env A=1 /usr/bin/gunicorn app:app", "app:app", {}),
])  # fmt: skip
def test_the_web_line(folder, line, application, more):
    (folder / "Procfile").write_text(f"web: {line}\n")
    found = procfile.web(str(folder), {"PORT": "5000"})
    assert (found.application, found.ours) == (application, more)


@pytest.mark.parametrize(
    "line", ["waitress-serve app:app", "flask db upgrade && gunicorn app:app", "uwsgi uwsgi.ini", "gunicorn 'app"]
)
def test_another_web_line(folder, line):
    (folder / "Procfile").write_text(f"web: {line}\n")
    assert procfile.web(str(folder), {}) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a b", ["a", "b"]),
        ("exec a", ["a"]),
        ("a | b", None),
        ("a; b", None),
        ("a $X", ["a", "y"]),
        ("a $(b)", None),
        ("a 'b", None),
        ("create_app()", ["create_app()"]),
    ],
)
def test_shell_words(line, words):
    assert shell_words.split(line, {"X": "y"}) == words


def test_chosen_processes(folder):
    (folder / "Procfile").write_text(PROCFILE)
    found = programs.find(str(folder), ("worker", "clock"), "/run/x")
    assert names(found) == ["worker", "clock"]
    assert dict(found.scripts) == {
        "worker": "#!/bin/sh\nexec python worker.py\n",
        "clock": "#!/bin/sh\ntrap 'exit 143' TERM INT QUIT\nA=1 python clock.py && true\n",
    }
    assert found.sections[0].options["command"] == "setpriv --pdeathsig TERM /bin/sh /run/x/programs/worker"
    found = programs.find(str(folder), ("all",), "/run/x")
    assert names(found) == ["worker", "clock"]
    assert "release" in found.lines[0]
    assert programs.find(str(folder), (), "/run/x").sections == ()


@pytest.mark.parametrize(("command", "line"), [
    ("a b", "exec a b"), ("exec a b", "exec a b"), ("X=1 a b", "exec env X=1 a b"), ("a $X", "trap 'exit 143' TERM INT QUIT\na $X"),
    ("a | b", "trap 'exit 143' TERM INT QUIT\na | b"),
])  # fmt: skip
def test_a_stop_reaches_the_command(folder, command, line):
    (folder / "Procfile").write_text(f"worker: {command}\n")
    assert dict(programs.find(str(folder), ("worker",), "/run/x").scripts) == {"worker": f"#!/bin/sh\n{line}\n"}


@pytest.mark.parametrize(("text", "wanted", "words"), [
    (PROCFILE, ("wroker",), "no line 'wroker'; it has: worker, clock"), (PROCFILE, ("web",), "no line 'web'"), ("web: x\n", ("a",), "it has: none"),
    ("nginx: x\n", ("all",), "'nginx' is the name of a program of the box"),
])  # fmt: skip
def test_bad_processes(folder, text, wanted, words):
    (folder / "Procfile").write_text(text)
    with pytest.raises(BadProgram, match=words):
        programs.find(str(folder), wanted, "/run/x")


def test_without_a_procfile_the_variable_may_be_the_applications_own(folder):
    found = programs.find(str(folder), ("fast",), "/run/x")
    assert (found.sections, "no effect" in found.lines[0]) == ((), True)


def test_supervisor_files(folder, monkeypatch):
    monkeypatch.setattr(programs.os, "geteuid", lambda: 10001)
    (folder / "supervisor.d/a.conf").write_text(
        "[program:a]\ncommand=a ; a comment\nuser=root\nstdout_logfile=/x\nstderr_logfile=/y\npriority=999\nautorestart=false\n"
    )
    (folder / "etc/supervisord.conf").write_text(
        "[supervisord]\nnodaemon=true\n[program:uwsgi]\ncommand=u\n[eventlistener:e]\ncommand=e\n[group:g]\nprograms=a\n"
    )
    found = programs.find(str(folder), (), str(folder))
    assert [section.section for section in found.sections] == ["program:a", "eventlistener:e", "group:g"]
    assert [line.partition(": ")[2] for line in found.lines] == [
        "user=root is ignored: everything runs as uid 10001", "[supervisord] is ignored: the box has its own", "[program:uwsgi] is ignored: the box has its own",
    ]  # fmt: skip
    programs.write(found, str(folder))
    written = configparser.RawConfigParser()
    written.read(folder / "programs/programs.conf")
    assert dict(written["program:a"]) == {
        "command": "a", "priority": "5", "autorestart": "false", "redirect_stderr": "true", "stdout_logfile": "NONE",
        "stdout_events_enabled": "true", "killasgroup": "true",
    }  # fmt: skip
    assert "redirect_stderr" not in written["eventlistener:e"]
    assert dict(written["group:g"]) == {"programs": "a"}


@pytest.mark.parametrize(
    ("text", "words"),
    [("what\n", "a.conf"), ("[program:a]\nautostart=1\n", "has no command"), ("[program:a]\ncommand=a\n", "keep one")],
)
def test_bad_files(folder, text, words):
    (folder / "supervisor.d/a.conf").write_text(text)
    (folder / "etc/b.conf").write_text("[program:a]\ncommand=b\n")
    with pytest.raises(BadProgram, match=words):
        programs.find(str(folder), (), "/run/x")
