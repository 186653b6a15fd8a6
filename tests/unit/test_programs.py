"""Procfile lines and supervisor files -> the sections that supervisord is given."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import configparser
import os
import subprocess
from pathlib import Path

import pytest

from flagon import hooks, line_ends, places, procfile, programs, shell_words, step
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


def test_a_procfile_of_windows(folder):
    (folder / "Procfile").write_bytes(b"web: gunicorn -w 2 app:app\r\nworker: python worker.py\r\n")
    found = procfile.served(str(folder), {})
    assert (found.application, found.gunicorn[:2]) == ("app:app", ["-w", "2"])
    assert dict(programs.find(str(folder), ("worker",), "/run/x").scripts) == {
        "worker": "#!/bin/sh\nexec python worker.py\n"
    }


@pytest.mark.parametrize(("line", "application", "more"), [
    ("gunicorn app:app", "app:app", {}), ("gunicorn -w 3 --threads=2 shop.web:create_app()", "shop.web:create_app()", {"WEB_CONCURRENCY": "3", "THREADS": "2"}),
    ("python -m gunicorn app:app -t 30", "app:app", {"TIMEOUT": "30"}), ("newrelic-admin run-program gunicorn app:app", "app:app", {}),
    ("exec gunicorn app:app -b 0.0.0.0:$PORT", "app:app", {}), ("gunicorn -w ${N:-4} app:app", "app:app", {"WEB_CONCURRENCY": "4"}),
    ("env A=1 /usr/bin/gunicorn app:app", "app:app", {}), ("flask db upgrade && gunicorn -w 1 --timeout 90 app:app", "app:app", {"WEB_CONCURRENCY": "1", "TIMEOUT": "90"}),
    ("celery -A x worker & gunicorn -w 2 app:app", "app:app", {"WEB_CONCURRENCY": "2"}),
])  # fmt: skip
def test_the_web_line(folder, line, application, more):
    (folder / "Procfile").write_text(f"web: {line}\n")
    found = procfile.web(procfile.served(str(folder), {"PORT": "5000"}))
    assert (found.application, found.ours) == (application, more)


@pytest.mark.parametrize("line", ["waitress-serve app:app", "uwsgi uwsgi.ini", "gunicorn 'app", "./boot.sh"])
def test_another_web_line(folder, line):
    (folder / "Procfile").write_text(f"web: {line}\n")
    assert procfile.web(procfile.served(str(folder), {})) is None


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
        "[eventlistener:quit_on_failure]\ncommand=q\n"
    )
    found = programs.find(str(folder), (), str(folder))
    assert [section.section for section in found.sections] == ["program:a", "eventlistener:e", "group:g"]
    assert [line.partition(": ")[2] for line in found.lines] == [
        "user=root is ignored: everything runs as uid 10001", "[supervisord] is ignored: the box has its own", "[program:uwsgi] is ignored: the box has its own",
        "[eventlistener:quit_on_failure] is left out: a program that keeps dying ends the container by itself",
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


# hooks


@pytest.mark.parametrize(("there", "given", "found"), [
    (["app"], None, ["app"]), (["work"], None, ["work"]), (["app", "work"], None, ["app", "work"]), ([], None, ["app"]),
    (["app", "work"], "/srv/before.sh", ["/srv/before.sh"]), ([], "/srv/before.sh", ["/srv/before.sh"]),
])  # fmt: skip
def test_which_prestart_scripts_are_run(tmp_path, monkeypatch, there, given, found):
    monkeypatch.setattr(hooks, "APPLICATION", str(tmp_path / "app"))
    for name in ("app", "work"):
        (tmp_path / name).mkdir()
    for name in there:
        (tmp_path / name / "prestart.sh").write_text("")
    expected = [name if name.startswith("/") else str(tmp_path / name / "prestart.sh") for name in found]
    assert hooks.prestart_scripts(str(tmp_path / "work"), given) == expected


def test_one_script_by_two_names_is_run_once(tmp_path, monkeypatch):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "prestart.sh").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "app")
    monkeypatch.setattr(hooks, "APPLICATION", str(tmp_path / "app"))
    assert hooks.prestart_scripts(str(tmp_path / "link"), None) == [str(tmp_path / "app" / "prestart.sh")]


@pytest.mark.parametrize(("text", "plain"), [
    (b"#!/bin/sh\r\necho a\r\n", b"#!/bin/sh\necho a\n"), (b"echo a\necho b\r\n", b"echo a\necho b\n"), (b"echo a\r", None),
    (b"echo a\n", None), (b"", None), (b"\x7fELF\0\r\n", None),
])  # fmt: skip
def test_windows_line_ends(tmp_path, text, plain):
    script = tmp_path / "x.sh"
    script.write_bytes(text)
    copy = line_ends.without(str(script), str(tmp_path / "run" / "hooks"))
    assert (copy != str(script)) == (plain is not None)
    assert Path(copy).read_bytes() == (text if plain is None else plain)
    assert script.read_bytes() == text
    assert ("CRLF" in line_ends.advice(str(script))) == (plain is not None)
    assert line_ends.advice(str(tmp_path / "none")) == ""


OWN = """[supervisord]
nodaemon=true
[include]
files = parts/*.ini
[program:web]
command=gunicorn -w 2 -b :%(ENV_PORT)s shop:app
directory=%(here)s/src
environment=A="x,y",B=z
[program:edge]
command=/usr/sbin/nginx -g "daemon off;"
[program:mine]
command=sleep 600
[program:admin]
command=gunicorn -b :9000 admin:app
"""


@pytest.fixture
def own(folder, monkeypatch):
    (folder / "own.conf").write_text(OWN)
    (folder / "parts").mkdir()
    (folder / "parts" / "more.ini").write_text("[program:more]\ncommand=celery\n")
    shim = folder / "bin"
    shim.mkdir()
    (shim / "supervisord").write_text('#!/bin/sh\nexec /opt/flagon/entrypoint.sh supervisord "$@"\n')
    (shim / "supervisord").chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim}:/usr/bin:/bin")
    return folder


@pytest.mark.parametrize("words", [
    ["supervisord", "-c", "own.conf"], ["supervisord", "-n", "-cown.conf"], ["supervisord", "--configuration=own.conf"],
    ["supervisord", "-nc", "own.conf"], ["sh", "-c", "exec supervisord -e debug -c own.conf"],
    ["supervisord", "--nodaemon", "--configuration", "own.conf"], ["tini", "--", "supervisord", "-c", "own.conf"],
])  # fmt: skip
def test_a_supervisord_of_the_authors(own, words):
    """Its first server is what is served, nginx and that are left out, all else runs beside."""
    from flagon import commands

    found = commands.served_instead(words, {"PORT": "5000"}, str(own))
    assert (found.application, found.port, found.directory, found.always) == ("shop:app", "5000", f"{own}/src", True)
    assert found.steps[0].asked == "env A=x,y B=z"
    taken = programs.find(str(own), (), str(own / "run"), found)
    assert sorted(names(taken)) == ["admin", "mine", "more"]
    assert any("[program:web] is left out" in line for line in taken.lines)
    assert any("[program:edge]" in line for line in taken.lines)


def test_what_a_program_of_an_authors_supervisord_may_not_say_is_named(own, monkeypatch):
    from flagon import commands

    monkeypatch.setattr(os, "geteuid", lambda: 10001)
    with open(own / "own.conf", "a", encoding="utf-8") as file:
        file.write("[program:tick]\ncommand=sleep 5\nuser=nobody\n[supervisorctl]\n[inet_http_server]\n")
    found = commands.served_instead(["supervisord", "-c", "own.conf"], {"PORT": "5000"}, str(own))
    lines = programs.find(str(own), (), str(own / "run"), found).lines
    assert any("user=nobody is ignored" in line for line in lines)
    assert any(line.endswith("[inet_http_server] is left out: the box has its own") for line in lines)
    assert not any("[]" in line or "[supervisorctl]" in line for line in lines)


def test_a_supervisord_without_a_file_looks_where_it_always_does(own):
    from flagon import commands

    (own / "own.conf").rename(own / "supervisord.conf")
    found = commands.served_instead(["supervisord"], {"PORT": "5000"}, str(own))
    assert (found.application, found.supervisor[0]) == ("shop:app", f"{own}/supervisord.conf")


def test_a_supervisord_whose_file_is_missing(own):
    from flagon import commands

    found = commands.served_instead(["supervisord", "-c", "none.conf"], {}, str(own))
    with pytest.raises(programs.BadProgram, match=r"none\.conf: there is no such file"):
        programs.find(str(own), (), str(own / "run"), found)


def test_another_supervisord_is_served_only_if_its_file_starts_a_server(own):
    from flagon import commands, past_nginx

    (own / "bin" / "supervisord").write_text("#!/usr/bin/python3\n")
    found = commands.served_instead(["supervisord", "-c", "own.conf"], {"PORT": "1"}, str(own))
    assert (found.application, found.always) == ("shop:app", False)
    (own / "own.conf").write_text("[program:mine]\ncommand=sleep 600\n")
    assert commands.served_instead(["supervisord", "-c", "own.conf"], {}, str(own)) is None
    assert "supervisor.d" in past_nginx.line(["supervisord", "-c", "own.conf"], {}, str(own))


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """Scripts of an author's, with the image's stand-ins first on PATH."""
    from flagon import past_nginx

    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    for name in ("gunicorn", "flask", "uwsgi"):
        (stand_ins / name).write_text("#!/bin/sh\n")
        (stand_ins / name).chmod(0o755)
    monkeypatch.setattr(past_nginx, "STAND_INS", str(stand_ins))
    monkeypatch.setenv("PATH", f"{stand_ins}:/usr/bin:/bin")
    folder = tmp_path / "app"
    folder.mkdir()
    for name, end in {
        "boot.sh": "flask db upgrade\nexec gunicorn -w 2 pkg.web:app", "child.sh": "gunicorn pkg.web:app", "own.sh": "exec flagon serve",
        "either.sh": "if x; then\n exec flask run\nelse\n exec uwsgi own.ini\nfi", "none.sh": "exec celery worker", "here.sh": "cat <<E\nE\nexec flagon",
        "more.sh": "exec flagon migrate", "entry.sh": "set -e\nexec /usr/bin/flagon", "words.sh": "exec flagon serve gunicorn -w 2 pkg.web:app",
    }.items():  # fmt: skip
        (folder / name).write_text(f"#!/bin/sh\n{end}\n")
    return folder


@pytest.mark.parametrize("end", [
    "exec /start.sh", "/start.sh", "exec /usr/bin/supervisord", "exec supervisord -n", "exec /start-reload.sh", "exec /entrypoint.sh /start.sh",
])  # fmt: skip
def test_a_script_that_ends_in_an_old_image_s_start_hands_over(scripts, monkeypatch, end):
    from flagon import commands, past_nginx

    (scripts / "old.sh").write_text(f"#!/bin/sh\npwd\n{end}\n")
    monkeypatch.setattr(
        commands,
        "is_ours",
        lambda path: path in ("/start.sh", "/usr/bin/supervisord", "/start-reload.sh", "/entrypoint.sh"),
    )
    monkeypatch.setattr(past_nginx.text_file, "mentions", lambda path, _: path == "/entrypoint.sh")
    monkeypatch.setattr(
        commands.shutil, "which", lambda name, **_: {"supervisord": "/usr/bin/supervisord"}.get(name, name)
    )
    assert past_nginx.handed_over(["./old.sh"], {}, str(scripts)) == end.removeprefix("exec ").split()
    assert past_nginx.line(["./old.sh"], {}, str(scripts)) == ""
    monkeypatch.setattr(commands, "is_ours", lambda path: False)  # a script of the author's own at that path
    assert past_nginx.handed_over(["./old.sh"], {}, str(scripts)) == []


@pytest.mark.parametrize(("line", "words"), [
    ("./boot.sh", "gunicorn -w 2 pkg.web:app"), ("bash boot.sh", "gunicorn -w 2 pkg.web:app"), ("exec sh ./boot.sh", "gunicorn -w 2 pkg.web:app"),
    ("./own.sh", "flagon serve"), ("./entry.sh", "/usr/bin/flagon"), ("./words.sh", "flagon serve gunicorn -w 2 pkg.web:app"), ("./either.sh", "uwsgi own.ini"),
    ("./child.sh", ""), ("./none.sh", ""), ("./here.sh", ""), ("./more.sh", ""), ("./nowhere.sh", ""), ("kinto start", ""), ("X=1 ./boot.sh", ""),
])  # fmt: skip
def test_a_procfile_s_script_is_run_where_the_box_serves_at_its_end(scripts, monkeypatch, line, words):
    """Else it is named, with the next step, where no application is found."""
    from flagon import commands, past_nginx
    from flagon.boot import Boot, NoApplication

    monkeypatch.setattr(commands, "again", False)
    (scripts / "Procfile").write_text(f"web: {line}\n")
    boot = Boot({}, str(scripts))
    found = procfile.script(boot)
    assert found == (line.removeprefix("exec ").split() if words else [])
    assert past_nginx.handed_over(line.removeprefix("exec ").split(), {}, str(scripts)) == words.split()
    with pytest.raises(NoApplication, match=r"The Procfile's `web: ") as caught:
        boot.find_application()
    command = (
        '["sh", "-c", "X=1 ./boot.sh"]'
        if "X=1" in line
        else f'["{line.removeprefix("exec ").replace(" ", chr(34) + ", " + chr(34))}"]'
    )
    assert f"make it the image's command, CMD {command}, or name in APP_MODULE" in str(caught.value)
    for other in (Boot({}, str(scripts), ["sleep", "1"]), Boot({"SERVE_CMD": "off"}, str(scripts))):
        assert procfile.script(other) == []
    assert not procfile.next_step(Boot({}, str(scripts), ["sleep", "1"]))
    monkeypatch.setattr(commands, "again", True)  # it was run, and ended in `flagon serve`
    assert (procfile.script(boot), procfile.next_step(boot)) == ([], "")


@pytest.mark.parametrize(("words", "says", "warns"), [
    ("./boot.sh", "at its end, `gunicorn -w 2 pkg.web:app`, Flagon serves pkg.web:app (not loaded here", ""),
    ("./own.sh", "at its end, `flagon serve`, Flagon serves (not", ""), ("./words.sh", "Flagon serves pkg.web:app (not", ""), ("./either.sh", "`uwsgi own.ini`, Flagon serves", ""),
    ("./child.sh", "nothing of Flagon's serves beside it", "`gunicorn pkg.web:app` serves past nginx"), ("./none.sh", "nothing of Flagon's", ""),
])  # fmt: skip
def test_a_check_says_what_a_script_comes_to(scripts, monkeypatch, capsys, words, says, warns):
    from flagon import check

    monkeypatch.chdir(scripts)
    (scripts / words).chmod(0o755)
    monkeypatch.setenv("RUNTIME_DIR", str(scripts / "run"))
    (scripts / "run").mkdir()
    assert check.program([words]) == 0
    said = capsys.readouterr()
    assert says in said.out
    assert warns in said.err
    assert bool(warns) is bool(said.err)


def test_what_a_command_and_a_hook_see_without_an_application(scripts):
    """The application's environment, and not the container's alone."""
    from flagon import handover
    from flagon.boot import Boot, BootError

    (scripts / "run").mkdir()
    given = {"RUNTIME_DIR": str(scripts / "run"), "DATABASE_URL": "postgres://u@h/d", "SENDFILE": "1", "PATH": "/bin"}
    boot = Boot(given, str(scripts), keeps=False)
    boot.choose_places(fresh=False)
    boot.resolve_secrets()
    with pytest.raises(BootError):
        boot.choose()
    seen = handover.environment_without_application(boot)
    assert len(seen["SECRET_KEY"]) > 30
    assert (seen["DATABASE_URL"], seen["PORT"]) == ("postgresql://u@h/d", "8080")
    assert seen.keys() >= {"FLAGON_VERSION", "FLAGON_DATABASE", "FLAGON_SQLITE_URL"}
    assert "SENDFILE" not in seen


@pytest.mark.parametrize(("line", "named"), [
    ("kinto migrate && kinto start", "kinto start"), ("exec env X=1 uv run --frozen airflow webserver -p 80", "env X=1 uv run --frozen airflow webserver -p 80"),
    ("python -m shop serve", "python -m shop serve"), ("pserve live.ini", "pserve live.ini"), ("./kinto.sh", "kinto start --ini k.ini"),
    ("python run.py runserver", "python run.py runserver"), ("celery -A x worker", ""), ("echo start", ""), ("flagon serve", ""), ("sleep 600", ""),
    ("nginx start", ""), ("kinto migrate", ""), ("./own.sh", ""), ("bash", ""), ("cat <<E\nE\nkinto start", ""),
])  # fmt: skip
def test_what_looks_like_a_server_that_is_not_known_is_named(scripts, line, named):
    from flagon import past_nginx

    (scripts / "kinto.sh").write_text("#!/bin/sh\nkinto migrate\nexec kinto start --ini k.ini\n")
    words = ["sh", "-c", line] if "&&" in line or "<<" in line else line.split()
    said = past_nginx.line(words, {}, str(scripts))
    assert (
        (f"{named}` is no server that is known here" in said and "APP_MODULE=module:object" in said)
        if named
        else not said
    )
    assert ("What else" in said) is (named.startswith("kinto"))


@pytest.mark.parametrize(("there", "said"), [(True, 1), (False, 0)])
def test_a_prestart_that_is_not_there_is_not_said_to_be_left_out(tmp_path, monkeypatch, capfd, there, said):
    """An old image's mark, as with `uwsgi own.ini`, and a command in the place of the start."""
    from flagon import boot, hooks

    (tmp_path / "own.ini").write_text("[uwsgi]\nmodule = app\n")
    (tmp_path / "run").mkdir()
    if there:
        (tmp_path / "prestart.sh").write_text("true\n")
    monkeypatch.setattr(hooks, "APPLICATION", str(tmp_path))
    monkeypatch.setattr(places, "LONGEST_RUN", 1000)  # pytest's own folders are long
    monkeypatch.setenv("RUNTIME_DIR", str(tmp_path / "run"))
    made = boot.Boot(dict(os.environ), str(tmp_path), ["uwsgi", "own.ini"], keeps=False)
    hooks.after(made, ["uwsgi", "own.ini"])
    assert capfd.readouterr().out.count("prestart.sh is not run: a command was given") == said


@pytest.mark.parametrize(("environ", "said", "not_said"), [
    ({}, ["hold: 1 thread; uploads of up to 3072 MB, as there is room; nginx's 404 below /static. THREADS, MAX_BODY_SIZE, STATIC_FILES change that"], []),
    ({"THREADS": "4", "MAX_BODY_SIZE": "1m"}, ["hold: nginx's 404 below /static. STATIC_FILES changes that"], ["1 thread", "uploads"]),
    ({"THREADS": "4"}, ["uploads of up to 3072 MB"], ["1 thread"]), ({"NGINX_MAX_UPLOAD": "1m"}, ["1 thread"], ["uploads"]),
    ({"THREADS": "4", "MAX_BODY_SIZE": "1m", "STATIC_FILES": "off"}, ["UWSGI_PROCESSES is seen: its names are read"], ["hold:"]),
])  # fmt: skip
def test_an_old_image_s_defaults_are_said_of_what_nobody_has_said(tmp_path, environ, said, not_said):
    from flagon import handover
    from flagon.boot import Boot

    boot = Boot({"UWSGI_PROCESSES": "2", **environ}, str(tmp_path))
    if not boot.values["MAX_BODY_SIZE"]:  # as a start computes it
        boot.settings.set("MAX_BODY_SIZE", 3 << 30, "half of the room")
    line = handover.old_defaults(boot)
    assert all(text in line for text in said)
    assert not any(text in line for text in not_said)


@pytest.mark.parametrize(("heard", "code", "why"), [
    ([b"connecting", b"psql: could not connect", b""], 3, "; its last line: psql: could not connect"), ([], 3, ""), ([b"done"], 0, ""),
    ([b"Traceback (most recent call last):", b"KeyError: 'HOST'", b"buffered"], 1, "; its last line: KeyError: 'HOST'"), ([b"x" * 900], 1, "; its last line: " + "x" * 500),
])  # fmt: skip
def test_why_a_hook_failed_is_its_error_or_its_last_line(heard, code, why):
    assert step.why(code, heard) == why


@pytest.mark.parametrize("uid", ["0", "10001"])
@pytest.mark.parametrize("box", [True, False])
@pytest.mark.parametrize("program", ["gunicorn", "uwsgi", "flask"])
def test_root_beside_a_box_runs_no_code_of_the_application_s_as_root(program, box, uid, tmp_path):
    """image/stand-in, with programs of ours in place of those that it calls by their full names."""
    text = (Path(__file__).parents[2] / "image" / "stand-in").read_text()
    for path, said in {
        "/opt/flagon/entrypoint.sh": 'echo "flagon $* $FLAGON_SERVE_CMD"',
        "/usr/bin/id": f"echo {uid}",
        "/usr/bin/grep": f"exit {int(not box)}",
        "/work/" + program: 'echo "bare $*"',
    }.items():
        script = tmp_path / "programs" / path.rpartition("/")[2]
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\n{said}\n")
        script.chmod(0o755)
        text = text.replace(path, str(script))
    text = text.replace("[ -O /proc/1 ]", "true")
    stand_in = tmp_path / program
    stand_in.write_text(text)
    stand_in.chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'programs'}:/usr/bin:/bin", "RUNTIME_DIR": str(tmp_path)}
    words = [stand_in, "--check-config", "app:app"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    switched = "" if program == "flask" else " off"
    dropped = f"flagon {program} --check-config app:app{switched}"
    assert done.stdout.split() == (dropped if box and uid == "0" else "bare --check-config app:app").split()
    done = subprocess.run(words, env={**environment, "FLAGON_ADDED": ""}, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "bare", "what the box itself has started"
