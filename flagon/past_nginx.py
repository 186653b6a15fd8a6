"""What to say of a command that is run as it is: that its server is not behind nginx, or that it is no program."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping

from flagon import commands, masking, shell_pieces, text_file, wrappers
from flagon.environments import OWN

OURS = "/opt/flagon/entrypoint.sh"
ENTRYPOINT, CODE = "/entrypoint.sh", b"/flagon/__main__.py"  # where the old images had theirs
STAND_INS = "/opt/flagon/bin"  # image/stand-in: gunicorn, flask and uwsgi as process 1
TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*(\(.*\))?\Z")
LONGEST_SCRIPT = 65536
# Subcommands by which programs start a server, and what has them and is none of HTTP's, or is ours.
STARTING = frozenset("start serve server runserver run-server start-server webserver web".split())
NO_SERVERS = frozenset(
    "flagon flask fastapi celery service npm yarn pnpm systemctl apachectl nginx supervisorctl".split()
)
OTHER_SERVERS = frozenset("pserve cheroot bjoern mod_wsgi-express twistd twist circusd meinheld".split())
WRAPPING = wrappers.PLAIN | wrappers.ASKED | {"run"}
SERVERS = frozenset("gunicorn flask uwsgi waitress-serve uvicorn hypercorn daphne granian fastapi".split())


def real(program: str, path: str) -> str:
    """The program that PATH leads to past our stand-ins; where there is none, a name that nothing has."""
    if "/" in program:
        return program
    folders = [folder for folder in path.split(os.pathsep) if folder and folder != STAND_INS]
    found = shutil.which(program, path=os.pathsep.join(folders))
    return found or (f"/nowhere/{program}" if os.path.exists(os.path.join(STAND_INS, program)) else program)


def runs_on_ours(program: str) -> bool:
    """Whether it is a Python script of the image's own environment, by its first line: pip puts other programs there
    too (uv, ruff, node: binaries; shell scripts), and the kernel runs those."""
    if os.path.dirname(program) != os.path.join(OWN, "bin"):
        return False
    first = text_file.first_line(program)
    words = first[2:].decode("utf-8", "replace").split() if first.startswith(b"#!") else []
    interpreter = words[0] if words else ""
    return os.path.dirname(interpreter) == os.path.join(OWN, "bin") and bool(commands.PYTHON.match(interpreter))


def line(words: list[str], environ: Mapping[str, str], directory: str) -> str:
    """One warning where the command starts a server itself; "" where it starts none that is known."""

    def is_server(some: list[str]) -> bool:
        served = commands.served_instead(some, environ, directory)
        return served is not None and served.program != "flagon"

    found = _server(words, is_server, directory)
    if found is None:
        file = commands.with_block(words, environ, directory)
        if not file:
            return _unknown(words, directory)
        return (
            f"`{' '.join(words)}` serves past nginx, without health paths, limits and reload: {file} names its own "
            "packages (# /// script), which only its runner installs. RUN pip install them, and take that comment out"
        )
    server, script = found
    if os.path.basename(server[0]) == "supervisord":
        shown = masking.command(" ".join(words))
        return (
            f"`{shown}` runs a supervisord of its own, not the box's: no nginx, no health paths. Leave "
            "apt-get install supervisor and this CMD out; its programs belong into supervisor.d/*.conf"
        )
    program = server[1] if server[0] == "exec" else server[0]
    put = f"`exec flagon serve {program} ...`, with the same words"
    stand_in = (shutil.which(server[0]) or "").startswith(STAND_INS)
    if stand_in and not script and wrappers.shell_text(words) is None:  # a wrapper that is not known here
        before = " ".join(words[: -len(server)])
        return (
            f"`{' '.join(server)}` is served through nginx if `{before}` hands over to it (exec), as most wrappers do. "
            f"If it stays beside, it serves past nginx: let the last command be {put}"
        )
    end = f"let {script} end in {put}" if script else f"let the last command be {put}"
    if " & " in " ".join(words):
        end += "; programs beside it belong into a Procfile (PROCESSES) or supervisor.d"
    return f"`{masking.command(' '.join(server))}` serves past nginx, without health paths, limits and reload: {end}"


def _unknown(words: list[str], directory: str) -> str:
    """What to say of a command that looks like a server and is none that is known, such as `kinto start`."""
    text, script = _text_of(words, directory)
    try:
        some = [shell_pieces.command(piece) for piece in shell_pieces.split(text)] if text else [words]
    except shell_pieces.Unread:
        return ""
    found = next((words for words in reversed(some) if _looks_like_server(words)), None)
    if found is None:
        return ""
    before = f"What else {script or 'the command'} does belongs into prestart.sh" if len(some) > 1 else ""
    return (
        f"`{' '.join(found)}` is no server that is known here, and is run as it is. If it serves HTTP it does so past "
        "nginx, without health paths, limits and reload: leave the command out, and name its WSGI application, "
        f"APP_MODULE=module:object. {before}".rstrip()
    )


def _looks_like_server(words: list[str]) -> bool:
    """`kinto start`, `uv run airflow webserver`, `python -m shop serve`, `pserve live.ini`."""
    rest = list(words)
    while rest and (rest[0] in WRAPPING or rest[0].startswith("-") or wrappers.ASSIGNMENT.match(rest[0])):
        rest.pop(0)
    if rest and commands.PYTHON.match(rest[0]):
        rest = rest[2:] if rest[1:2] == ["-m"] else rest[1:]
    name = os.path.basename(rest[0]) if rest else ""
    if name in OTHER_SERVERS or rest[1:2] == [] or rest[1] not in STARTING or name in NO_SERVERS:
        return name in OTHER_SERVERS
    return os.path.dirname(shutil.which(rest[0]) or "") not in ("/bin", "/usr/bin", "/sbin", "/usr/sbin")  # echo start


def _server(words: list[str], is_server: Callable[[list[str]], bool], directory: str) -> tuple[list[str], str] | None:
    """(The server's words, the script that has them)."""
    if os.path.basename(words[0]) == "supervisord" and not commands.is_ours(shutil.which(words[0]) or ""):
        from flagon import foreign_supervisord

        return (words, "") if foreign_supervisord.starts(words) else None
    text, script = _text_of(words, directory)
    if text:
        return _in_text(text, is_server, script, bool(wrappers.behind_runner(words)[0]))
    for index in range(1, len(words)):  # behind a wrapper that is not known here
        if os.path.basename(words[index]) in SERVERS and is_server(words[index:]):
            return words[index:], ""
    return None


def _text_of(words: list[str], directory: str) -> tuple[str, str]:
    """(The shell text that a command runs, the script that holds it); empty if it is none, or cannot be read."""
    words = wrappers.behind_runner(words)[0] or words
    shell = wrappers.shell_text(words)
    if shell:
        return shell[1], ""
    script = next((word for word in words[:3] if _is_script(os.path.join(directory, word))), "")
    if not script or words[0] not in (script, *commands.SHELLS, "dash", "tini", "dumb-init", "exec"):
        return "", ""
    with open(os.path.join(directory, script), encoding="utf-8", errors="replace") as file:
        return file.read(LONGEST_SCRIPT), script


def without_runner(words: list[str], environ: Mapping[str, str], directory: str) -> list[str]:
    """`uv run ./boot.sh` -> `./boot.sh`, where the box serves at the script's end: it has found the same environment,
    and the runner would put that before our stand-in on PATH. Any other command as it is."""
    bare, plain = wrappers.behind_runner(words)
    return bare if bare and plain and handed_over(bare, environ, directory) else words


def handed_over(words: list[str], environ: Mapping[str, str], directory: str) -> list[str]:
    """The words at the end of a script, or of a shell's text, in whose place the box serves; empty if it does not.

    `exec gunicorn ...` by our stand-in, `flagon serve` by itself.
    """
    try:
        pieces = shell_pieces.split(_text_of(words, directory)[0])
    except shell_pieces.Unread:
        return []
    for found in (shell_pieces.command(piece) for piece in reversed(pieces)):
        bare = found[1:] if found[:1] == ["exec"] else found
        if _starts_the_box(bare):
            return bare
        if found and commands.served_instead(found, environ, directory) is not None:
            return bare if _taken(found) else []
    return []


def _starts_the_box(words: list[str]) -> bool:
    """`flagon`, `flagon serve ...`, and the starts of the old images, unless a file of the author's lies there."""
    if not words:
        return False
    first, rest = words[0], words[1:]
    if (
        os.path.basename(first) == "flagon"
        or first == OURS
        or (first == ENTRYPOINT and text_file.mentions(first, CODE))
    ):
        return rest[:1] in ([], ["serve"]) or _starts_the_box(rest)
    if first not in commands.OLD_START or not commands.is_ours(shutil.which(first) or ""):
        return False
    if os.path.basename(first) != "supervisord":
        return True
    from flagon import foreign_supervisord

    return foreign_supervisord.starts(words)


def _is_script(path: str) -> bool:
    if not os.path.isfile(path):
        return False  # a pipe would have us wait
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!" or path.endswith(".sh")
    except OSError:
        return False


def _in_text(
    text: str, is_server: Callable[[list[str]], bool], script: str, behind: bool
) -> tuple[list[str], str] | None:
    """The last command of a shell text that starts a server. `exec gunicorn` of process 1 is served: image/stand-in.

    `behind`: a runner whose environment comes before our stand-in on PATH.
    """
    try:
        pieces = shell_pieces.split(text)
    except shell_pieces.Unread:
        return None
    for piece in reversed(pieces):
        words = shell_pieces.command(piece)
        if words and is_server(words) and (not _taken(words) or (behind and not _ours_by_name(words))):
            return words, script
    return None


def _ours_by_name(words: list[str]) -> bool:
    return any(os.path.basename(word) == "flagon" or word == OURS for word in words[:4])


def _taken(words: list[str]) -> bool:
    """Whether it is `exec gunicorn`, which our stand-in serves, `flagon serve gunicorn`, or an old image's start."""
    if _ours_by_name(words):
        return True
    if _starts_the_box(words[words[0] == "exec" :]):
        return True
    program = words[1] if words[0] == "exec" and len(words) > 1 else ""
    return bool(program) and (shutil.which(program) or "").startswith(STAND_INS)


def no_program(words: list[str], directory: str) -> str:
    """The next step where the first word is no program."""
    word = words[0]
    path = os.path.join(directory, word)
    if word.endswith(".py") and os.path.isfile(path):
        return f'a Python file is no program by itself: CMD ["python", "{word}"] (was ENTRYPOINT python before?)'
    if os.path.isfile(path):
        if "/" not in word:
            return f'a file is no program by its bare name: CMD ["./{word}"]'
        with open(path, "rb") as file:
            first = file.readline(200)
        interpreter = first[2:].strip().decode("utf-8", "replace").split(" ")[0]
        if first.endswith(b"\r\n"):
            return "its lines end as on Windows (CRLF): save it with LF"
        return f"its first line names {interpreter or 'no interpreter'}, which is not in this image"
    if TARGET.match(word):
        return f'an application is no program: CMD ["gunicorn", "{word}"], or no CMD and ENV APP_MODULE={word}'
    if word.startswith("-"):
        return 'options alone are no program: before them stands the server, as in CMD ["gunicorn", "-w", ...]'
    if word in SERVERS:
        return f"it is not installed: leave it out (the default command, serve, needs none), or RUN pip install {word}"
    return "install it in the Dockerfile, if it is a program (RUN pip install ..., RUN apt-get install ...)"
