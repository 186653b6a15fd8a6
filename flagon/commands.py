"""The container's main command: a verb of ours, an old `CMD` that means "serve", or a program to run."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, MutableMapping
from typing import NamedTuple

from flagon import asking, gunicorn_args, shell_words, text_file, wsgi_source
from flagon.envfile import clean
from flagon.kinds import SWITCHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flagon import servers, wrappers

PYTHON = re.compile(r"(.*/)?python[0-9.]*\Z")
# What the deprecated images start with: it means `serve`, unless the user has put a file of their own there.
DEBUG = "FLASK_DEBUG"
RELOADS = "/start-reload.sh"  # of the uvicorn images: code is loaded again on save
OLD_START = ("/start.sh", "/usr/bin/supervisord", "supervisord", RELOADS)
SYSTEM_PATH = ("/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
GUNICORNS_FILE = "./gunicorn.conf.py"  # what gunicorn reads where nothing names a file
OURS_BY_NAME = b"exec /opt/flagon/entrypoint.sh "
SHELLS = ("sh", "/bin/sh", "bash", "/bin/bash")
MOST_WORDS, LONGEST = 1000, 65536  # of a start command that is read; a longer one is run as it is
COMMAND, PROCFILE = "command line", "Procfile"  # whose a command is
BLOCK = re.compile(r"^# /// script[ \t\r]*$", re.MULTILINE)
# Where programs lie that are no script of the author's: our stand-ins, Debian's.
PROGRAMS = ("/opt/flagon/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
VENV = "pyvenv.cfg"
VALUED_FLAGS = ("-X", "-W", "--check-hash-based-pycs")  # of python

again = False  # a command of the container's, such as a Procfile's script, has come to `flagon`


class Serve(NamedTuple):
    """An inherited command that is served instead of run: what it says of application, port and gunicorn."""

    application: str | None
    port: str | None
    gunicorn: list[str]
    program: str = "gunicorn"  # or flask, python, uwsgi, waitress-serve ...
    directory: str = ""  # where the application's names begin, if not here
    threads: str | None = None
    uwsgi: tuple[tuple[str, str], ...] | None = None  # its options, under their long names
    script: str = ""  # a file that would have been run, and that is not imported now
    supervisor: tuple[str, ...] = ()  # supervisord's files, whose programs run beside
    left_out: tuple[str, ...] = ()  # those of them that are nginx and the server itself
    always: bool = False  # it is our own program by another name: SERVE_CMD=off has nothing else to run
    lines: tuple[str, ...] = ()  # for the boot
    steps: tuple[wrappers.Step, ...] = ()  # what runs first
    implied_port: str | None = None  # the port that it means where it names none, and why
    implied_why: str = ""
    tls: str = ""  # the argument that asks for TLS
    workers: str | None = None
    asgi: bool = False  # a server of nothing but ASGI
    settings: str = ""  # Django's: runserver --settings
    python_path: str = ""  # runserver --pythonpath
    source: str = COMMAND  # or PROCFILE: whose command it is


def _simple_shell(words: list[str], environ: Mapping[str, str]) -> list[str]:
    """`sh -c "exec gunicorn app:app -b :$PORT"` -> its words, where it is one simple command."""
    if len(words) != 3 or words[0] not in SHELLS or words[1] not in ("-c", "-lc"):
        return words
    inner = shell_words.split(words[2], environ)
    return words if inner is None else inner


def is_ours(path: str) -> bool:
    """Whether the file at an old image's path is the one that this image has there."""
    return text_file.mentions(path, OURS_BY_NAME)


def starts_as_old(words: list[str], environ: Mapping[str, str]) -> bool:
    """Whether the command is an old image's own, bare or in the shell form of CMD: prestart.sh comes first."""
    simple = _simple_shell(words, environ)
    return bool(simple) and simple[0] in OLD_START


def switch_reload_on(words: list[str], environ: MutableMapping[str, str]) -> None:
    """FLASK_DEBUG where nobody gives it and the command is the reloading start of the uvicorn images."""
    words = words[1:] if words[:1] == ["serve"] else words
    if (_simple_shell(words, environ) or [""])[0] == RELOADS and is_ours(RELOADS) and not environ.get(DEBUG):
        environ[DEBUG] = "1"


def _option(words: list[str], *names: str) -> str | None:
    for index, word in enumerate(words):
        for name in names:
            if word == name and index + 1 < len(words):
                return words[index + 1]
            if name.startswith("--") and word.startswith(name + "="):
                return word[len(name) + 1 :]
            if not name.startswith("--") and word.startswith(name) and len(word) > len(name):
                return word[len(name) :].lstrip("=")
    return None


def _flask(words: list[str], environ: Mapping[str, str], directory: str) -> Serve | None:
    """Served only if the subcommand is `run`."""
    queue = list(words)
    while queue and queue[0].startswith("-"):
        option = queue.pop(0)
        if option in ("--app", "-A", "--env-file", "-e") and queue:
            queue.pop(0)
    if queue[:1] != ["run"] or "--help" in words or "--version" in words:
        return None
    from flagon import ports  # only who starts so

    tls = "--cert" if _option(queue, "--cert") else ports.flask_certificate(environ, directory)
    port = None if tls else _option(queue, "--port", "-p")  # nothing here speaks TLS on it
    implied, why = ports.flask_run_port(environ, directory) if not port else (None, "")
    application = _option(words, "--app", "-A")
    return Serve(application, port, [], "flask", implied_port=implied, implied_why=why, tls=tls)


def _gunicorn(words: list[str], environ: Mapping[str, str], directory: str) -> Serve | None:
    """Served if it names an application, or a file that may: by -c, in GUNICORN_CMD_ARGS, or gunicorn's own."""
    arguments = gunicorn_args.split(words)
    if gunicorn_args.only_asks(words):
        return None
    if arguments.application is None and not arguments.has_config:
        elsewhere = gunicorn_args.read(environ.get("GUNICORN_CMD_ARGS", ""), []).has_config
        if not elsewhere and not os.path.isfile(os.path.join(directory, GUNICORNS_FILE)):
            return None
        words = words if elsewhere else [*words, "--config", GUNICORNS_FILE]
    if arguments.binds:
        return Serve(arguments.application, arguments.port, words)
    implied, why = gunicorn_args.GUNICORNS_PORT, gunicorn_args.DEFAULT
    return Serve(arguments.application, None, words, implied_port=implied, implied_why=why)


def _script(words: list[str], environ: Mapping[str, str], directory: str) -> Serve | None:
    """`python app.py`: served only if that file starts a server itself; `python seed.py` is run."""
    if not words[0].endswith(".py"):
        return _program(words, environ, directory)  # python /venv/bin/gunicorn
    path = os.path.join(directory, words[0])
    relative = os.path.relpath(path, directory)
    if relative.startswith(".."):
        return None
    if os.path.basename(path) == "manage.py" and len(words) > 1:
        from flagon import servers

        return _other(servers.manage(path, words[1:], environ, directory), "manage.py")
    if len(words) != 1:
        return None
    if not wsgi_source.starts_a_server(path):
        from flagon import asgi_servers

        return _other(asgi_servers.script(path, environ, os.path.normpath(directory)), "python")
    from flagon import script_port, server_calls

    asked = script_port.asked(path, environ)
    found = Serve(
        relative, None, [], "python",
        implied_port=asked.port or None, implied_why=f"{asked.call} in {relative}", tls=asked.tls,
        lines=script_port.unread(asked, relative, environ),
    )  # fmt: skip
    target = server_calls.imported_object(path, "")
    if target and server_calls.at_import(path):  # importing it would start its server
        return found._replace(application=target, script=path)
    module = relative.removesuffix(".py").replace("/", ".")
    made = target.partition(":")[2] if target and target.endswith(")") else ""
    # create_app('production') is made below the main guard, and the factory has been imported.
    return found._replace(application=f"{module}:{made}") if made and not made.endswith("()") else found


def _other(found: servers.Server | None, program: str) -> Serve | None:
    if found is None:
        return None
    return Serve(
        found.application, None if found.tls else found.port, [], program,
        found.directory, found.threads, found.options, found.script, lines=found.lines,
        implied_port=None if found.port else found.implied_port, implied_why=found.implied_why, tls=found.tls,
        workers=found.workers, asgi=found.asgi, settings=found.settings, python_path=found.python_path,
    )  # fmt: skip


def _python(words: list[str], environ: Mapping[str, str], directory: str) -> Serve | None:
    """`python -u app.py`, `python -m flask run`, `python -m shop`."""
    words = list(words)
    while words and words[0].startswith("-") and words[0] not in ("-m", "-c"):
        if words[0].startswith(("--help", "--version")) or asking.in_cluster(words[0], "Vh?", "cmWX"):
            return None
        del words[: 2 if words[0] in VALUED_FLAGS else 1]
    if words[:1] != ["-m"]:
        return _script(words, environ, directory) if words and words[0] != "-c" else None
    if not words[1:]:
        return None
    found = _program(words[1:], environ, directory)
    if found or words[1] in ("flask", "gunicorn"):
        return found
    from flagon import servers

    return _other(servers.module(words[1:], environ, directory), "python")


def _program(words: list[str], environ: Mapping[str, str], directory: str) -> Serve | None:
    """A server by its own words."""
    program = os.path.basename(words[0])
    if PYTHON.match(words[0]):
        return _python(words[1:], environ, directory)
    if program == "flask":
        return _flask(words[1:], environ, directory)
    if program == "gunicorn":
        return _gunicorn(words[1:], environ, directory)
    if program in ("supervisord", "supervisor.supervisord"):
        from flagon import foreign_supervisord

        return foreign_supervisord.served(words, environ, directory)
    if program.endswith(".py"):
        there = "/" in words[0]
        return _script(words, environ, directory) if there else None
    from flagon import servers

    return _other(servers.read(words, environ, directory), program)


def served_instead(words: list[str], environ: Mapping[str, str], directory: str) -> Serve | None:
    """What `words` mean if they start a development or bare server; None if they are a program to run."""
    if len(words) > MOST_WORDS or sum(map(len, words)) > LONGEST:
        return None
    try:
        return _served_instead(words, environ, directory)
    except RecursionError:  # python -m python -m python ...
        return None


def _served_instead(words: list[str], environ: Mapping[str, str], directory: str) -> Serve | None:
    simple = _simple_shell(words, environ)
    if not simple or len(simple) > MOST_WORDS:
        return None
    if simple[0] in OLD_START and os.path.basename(simple[0]) != "supervisord":
        return Serve(None, None, [], "flagon", always=True) if is_ours(shutil.which(simple[0]) or "") else None
    return _program(simple, environ, directory) or _composed(words, environ, directory)


def _found(words: list[str], environ: Mapping[str, str], directory: str) -> wrappers.Found | None:
    """A server's words behind others."""
    if len(words) < 2 or _smuggled(words, environ):
        return None
    from flagon import wrappers

    def is_server(some: list[str], folder: str) -> bool:
        return bool(some) and _program(some, environ, os.path.join(directory, folder)) is not None

    return wrappers.find(words, is_server)


def _has_block(found: wrappers.Found, directory: str) -> bool:
    """Whether it is a file with packages of its own in a comment (PEP 723), which its runner alone installs."""
    path = os.path.join(directory, found.folder, found.file)
    return found.file.endswith(".py") and BLOCK.search(text_file.read(path)) is not None


def with_block(words: list[str], environ: Mapping[str, str], directory: str) -> str:
    """The file of `uv run FILE` that starts a server and has such a comment, so that it is run as it is; or empty."""
    found = _found(words, environ, directory)
    return found.file if found and _has_block(found, directory) else ""


def _smuggled(words: list[str], environ: Mapping[str, str]) -> bool:
    """Whether a simple line becomes more than that by what a variable holds."""
    if len(words) != 3 or words[0] not in SHELLS:
        return False
    return shell_words.split(words[2], {}) is not None and shell_words.split(words[2], environ) is None


def _composed(words: list[str], environ: Mapping[str, str], directory: str) -> Serve | None:
    """A server behind other commands, or started through them."""
    found = _found(words, environ, directory)
    if found and _has_block(found, directory):
        return None
    folder = os.path.normpath(os.path.join(directory, found.folder)) if found else directory
    served = _program(found.words, environ, folder) if found else None
    if found is None or served is None:
        return None
    if found.folder and not served.directory:
        served = served._replace(directory=folder)
    if found.dynamic:  # what the words are is known only once a shell has read them
        tls = served.tls or gunicorn_args.split(served.gunicorn).tls
        workers = served.workers if (served.workers or "").isdigit() else None
        served = served._replace(gunicorn=[], port=None, threads=None, workers=workers, implied_port=None, tls=tls)
    return served._replace(steps=found.steps or served.steps, lines=found.lines + served.lines)


def names_what_is_here(words: list[str]) -> bool:
    """Whether a command means the working directory: ./worker.sh, python worker.py, python -m jobs, `sh -c` of these;
    a script by its full path, too (/app/start.sh).

    The application may lie in another one (src, uwsgi.ini's chdir), which is where all others are run.
    """
    if names_what_is_beside(words):
        return True
    program = shutil.which(words[0]) or "" if "/" in words[0] or words[0].endswith(".sh") else ""
    inner = [one for word in words[1:] if " " in word and words[0] in SHELLS for one in word.split()]
    return any(_is_own_script(word) for word in (program, *words[1:3], *inner) if os.path.isabs(word))


def names_what_is_beside(words: list[str]) -> bool:
    """Whether a word of a command is a file in the working directory, by a relative path."""
    every = list(words[:1]) if "/" in "".join(words[:1]) else []
    for before, word in zip(words, words[1:], strict=False):
        every.append(word)
        if before == "-m":
            path = word.replace(".", "/")
            every += [f"{path}.py", f"{path}/__main__.py"]
        elif " " in word and words[0] in SHELLS:
            every += word.split()
    return any(os.path.isfile(word) for word in every if not os.path.isabs(word))


def _is_own_script(path: str) -> bool:
    """Whether a full path is a script of the author's, which stands in the working directory as its like do anywhere.

    What pip has made in an environment's bin is a program, and so are our stand-ins.
    """
    folder = os.path.dirname(path)
    if not os.path.isfile(path) or folder in PROGRAMS or os.path.exists(os.path.join(os.path.dirname(folder), VENV)):
        return False
    if path.endswith((".sh", ".py")):
        return True
    first = text_file.first_line(path)
    return first.startswith(b"#!") and any(word.endswith(b"sh") for word in first[2:].split()[:2])


def complete_path(environ: MutableMapping[str, str]) -> None:
    """nginx and setpriv are found, too, where PATH forgets /usr/sbin: a Dockerfile's own, or a login shell's."""
    path = [part for part in environ.get("PATH", "").split(os.pathsep) if part]
    environ["PATH"] = os.pathsep.join([*path, *(folder for folder in SYSTEM_PATH if folder not in path)])


def added(environment: dict[str, str]) -> str:
    """What a command is given beside the container's environment, JSON: name -> [value or null, the container's or
    null]."""
    names = environment.keys() | os.environ.keys()
    pairs = {name: [environment.get(name), os.environ.get(name)] for name in sorted(names)}
    return json.dumps({name: pair for name, pair in pairs.items() if pair[0] != pair[1]})


def take_back_added() -> None:
    """`flagon` was started by a command or a hook of the user's: settings are what was given, not what was made of it
    before. What somebody has changed since stays."""
    global again
    again = "FLAGON_ADDED" in os.environ
    text = os.environ.pop("FLAGON_ADDED", "") or "{}"
    try:
        pairs = json.loads(text)
        changes = [(name, now, before) for name, (now, before) in pairs.items()]
    except (ValueError, TypeError, AttributeError):  # somebody's own
        return
    for name, now, before in changes:
        if os.environ.get(name) == now:
            os.environ.pop(name, None)
            if isinstance(before, str):
                os.environ[name] = before


def checks_instead() -> bool:
    """FLAGON_CHECK: the container is to say whether it would start, and not to start. Raises SettingsError."""
    text = clean(os.environ.get("FLAGON_CHECK", "")).lower()
    if text and text not in SWITCHED:
        from flagon.settings import SettingsError

        raise SettingsError([f"FLAGON_CHECK={text!r} is not accepted; accepted: on, off"])
    return SWITCHED.get(text, False)
