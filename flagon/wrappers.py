"""A start command that is more than a server's own words: what runs before it, and what it is started through.

`flask db upgrade && gunicorn app:app`, `env X=1 gunicorn`, `ddtrace-run gunicorn`, `tini -- sh -c "..."`: read here,
run by flagon/first_steps.py before the box decides.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from typing import NamedTuple

from flagon import asking, masking, shell_pieces

ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
SHELLS = ("sh", "bash", "dash", "ash")
WITH_C = re.compile(r"-[a-z]*c[a-z]*\Z")
WITH_O = re.compile(r"[-+][a-z]*o\Z")
# They change nothing that a box has of its own: it has an init, output by line, and no controlling terminal.
PLAIN = frozenset(
    "exec command time nohup setsid stdbuf unbuffer dumb-init tini tini-static docker-init catatonit nice ionice chrt "
    "taskset gosu su-exec setpriv runuser sudo chpst setuidgid".split()
)
SAID = {
    **dict.fromkeys(
        ("nice", "ionice", "chrt", "taskset"), "has no effect here: docker run --cpu-shares, --cpuset-cpus"
    ),
    **dict.fromkeys(
        ("gosu", "su-exec", "setpriv", "runuser", "sudo", "chpst", "setuidgid"),
        "does not decide who it runs as: RUN_AS does, uid 10001 if it is not given",
    ),
}
# They start a program in an environment that they make: they are asked for it.
AGENTS = frozenset(
    "ddtrace-run newrelic-admin opentelemetry-instrument splunk-py-trace splunk-run elasticapm-run pyagent".split()
)
ASKED = AGENTS | frozenset(
    "env poetry uv pipenv pdm hatch rye conda mamba micromamba dotenv doppler chamber infisical op aws-vault honcho "
    "envdir".split()
)
# Their first word may be a Python file, which they run by the interpreter of their environment (`uv run --help`).
RUNNERS = frozenset("uv poetry pipenv pdm hatch rye".split())
# Options of theirs that have a value of its own, up to the subcommand and behind it.
RUNNERS_VALUED = frozenset(
    "--extra --no-extra --group --no-group --only-group --env-file --with -w --with-editable --with-requirements "
    "--package --python -p --index --default-index --index-url -i --extra-index-url --find-links -f --upgrade-package "
    "-P --reinstall-package --index-strategy --keyring-provider --resolution --prerelease --fork-strategy "
    "--exclude-newer --config-setting -C --link-mode --no-build-package --no-binary-package "
    "--no-build-isolation-package --refresh-package --cache-dir --python-platform --color --directory --project "
    "--config-file --allow-insecure-host --venv --env -e --without".split()
)
RUNNERS_PLAIN = frozenset(
    "--frozen --locked --no-sync --no-dev --quiet -q --no-interaction -n --offline --no-progress -vv -v".split()
)
AS_SCRIPT = ("-s", "--script", "--gui-script")  # of uv: what follows is a Python file
SUBCOMMANDS = ("run", "exec", "run-program")
VALUED = ("-n", "--name", "-p", "--prefix", "--with", "-f", "--file")  # conda run -n env
HARMLESS = re.compile(r"(1?>&2|2>&1|[12]?>>?/dev/(stdout|stderr|fd/[12]|tty))\Z")
# Its own child is in the way of the box, or its output is: then it is run as it is.
APART = frozenset({"&", "|", "||"})
SERVICES = frozenset({"service", "rc-service", "invoke-rc.d", "systemctl"})
NO_NGINX = (
    "is left out: the box has its own nginx. Of /etc/nginx it reads conf.d/*.conf, and /app/nginx is for yours "
    "(docs/extending.md)"
)
NO_CHECK = (
    "is left out: the box checks its nginx configuration, and yours in it, at each start (`flagon check` by itself); "
    "/etc/nginx/nginx.conf is none of it"
)

MOST_WORDS = 1000  # of one command; a wrapper's own are tried one by one
# A command's words, and the folder that a `cd` has led to ("": none) -> whether it is a server.
IsServer = Callable[[list[str], str], bool]


class Step(NamedTuple):
    """What a shell runs before the box decides; the environment and the words that it leaves are what counts."""

    shell: tuple[str, ...]
    before: str  # a shell text; empty: nothing
    ends: bool  # `before` must not fail: `&&`
    asked: str  # such as `env X=1 ddtrace-run`, as a shell reads it
    words: tuple[str, ...]  # the server's, each as a shell reads it
    agents: tuple[str, ...] = ()


class Found(NamedTuple):
    """The server's words (what only a shell can tell as it is written), what comes first, lines for the boot."""

    words: list[str]
    steps: tuple[Step, ...]
    dynamic: bool
    lines: tuple[str, ...]
    folder: str = ""  # where a `cd` has led to
    file: str = ""  # a Python file that a runner is given, such as `uv run FILE`


def behind_runner(words: list[str]) -> tuple[list[str], bool]:
    """`uv run ./boot.sh` -> (what the runner runs, whether it changes nothing but the environment that it is run in).

    Nothing where it is no runner, or is told to do something else.
    """
    if not words or os.path.basename(words[0]) not in RUNNERS:
        return [], True
    index, plain, runs = 1, True, False
    while index < len(words):
        word = words[index]
        if not word.startswith("-"):
            if runs or word not in SUBCOMMANDS:
                return (words[index:] if runs else []), plain
            runs = True
        elif word == "--":
            return (words[index + 1 :] if runs else []), plain
        else:
            plain = plain and word in RUNNERS_PLAIN
            index += word in RUNNERS_VALUED
        index += 1
    return [], True


def shell_text(words: list[str]) -> tuple[list[str], str] | None:
    """`sh -ec TEXT` -> (the shell with its other options, TEXT); None if it is no such command."""
    if not words or os.path.basename(words[0]) not in SHELLS:
        return None
    options: list[str] = [words[0]]
    for index, word in enumerate(words[1:-1], 1):
        if WITH_C.match(word):
            if index + 2 != len(words):  # "$@" would be what follows
                return None
            rest = word.replace("c", "")
            return options + ([rest] if rest != "-" else []), words[index + 1]
        if not word.startswith("-") and not WITH_O.match(words[index - 1]):
            return None
        options.append(word)
    return None


def find(words: list[str], is_server: IsServer) -> Found | None:
    """The server that a command comes to, and what is to be done first; None if there is none, or it is not sound."""
    shell = shell_text(words)
    if shell is None:
        return _peeled([shlex.quote(word) for word in words], list(words), ("/bin/sh",), "", False, is_server)
    try:
        pieces = shell_pieces.split(shell[1])
    except shell_pieces.Unread:
        return None
    if any(len(piece.words) > MOST_WORDS for piece in pieces):
        return None
    text, pieces, lines = _without_nginx(shell[1], pieces)
    if not pieces or not _sound(pieces, is_server):
        return None
    last, folder = pieces[-1], _folder(pieces[:-1])

    def inside(some: list[str], further: str) -> bool:
        return is_server(some, os.path.join(folder, further))

    raw = [word for word in last.words if not HARMLESS.match(word)]
    if any(word.lstrip("012&")[:1] in ("<", ">") for word in raw):
        return None
    before = text[: last.start] if len(pieces) > 1 else ""
    texts = [shell_pieces.plain(word) for word in raw]
    found = _peeled(raw, texts, tuple(shell[0]), before.strip(), last.operator == "&&", inside)
    return found._replace(folder=os.path.join(folder, found.folder), lines=lines + found.lines) if found else None


def starts_nginx(words: list[str]) -> bool:
    """nginx, service nginx start, systemctl start nginx, /etc/init.d/nginx start; not `nginx -v`, which only asks."""
    words = words[1:] if words[:1] in (["sudo"], ["exec"]) else words
    program = os.path.basename(words[0]) if words else ""
    if program == "nginx":
        return not any(asking.in_cluster(word, "vVhtT?", "cegps") for word in words[1:])
    return program in SERVICES and "nginx" in words[1:3]


def _checks_nginx(words: list[str]) -> bool:
    """`nginx -t`: of files that the box does not run with, and as a user that may not open them."""
    words = words[1:] if words[:1] in (["sudo"], ["exec"]) else words
    if not words or os.path.basename(words[0]) != "nginx":
        return False
    return any(asking.in_cluster(word, "tT", "cegps") for word in words[1:])


def _without_nginx(
    text: str, pieces: list[shell_pieces.Piece]
) -> tuple[str, list[shell_pieces.Piece], tuple[str, ...]]:
    """`service nginx start && gunicorn`, `gunicorn & nginx -g "daemon off;"` without the nginx, and lines for it."""
    ends = [*(piece.start for piece in pieces[1:]), len(text)]
    bodies = [text[piece.start + len(piece.operator) : end].strip() for piece, end in zip(pieces, ends, strict=True)]
    plain = [[shell_pieces.plain(word) for word in piece.words] for piece in pieces]
    checks = [_checks_nginx(words) for words in plain]
    ours = [check or starts_nginx(words) for check, words in zip(checks, plain, strict=True)]
    if all(ours) or not any(ours) or any(piece.operator in ("|", "||") for piece in pieces):
        return text, pieces, ()
    kept, operator = "", ""  # `operator` ends what is kept so far
    for piece, body, nginx in zip(pieces, bodies, ours, strict=True):
        operator = operator or piece.operator
        if not nginx:
            kept, operator = f"{kept} {operator if kept else ''} {body}".strip(), ""
    told = (
        f"command line: `{' '.join(body.split())}` {NO_CHECK if check else NO_NGINX}"
        for body, nginx, check in zip(bodies, ours, checks, strict=True)
        if nginx
    )
    return kept, shell_pieces.split(kept), tuple(told)


def _folder(pieces: list[shell_pieces.Piece]) -> str:
    """Where every `cd` has led to, as far as the text says it."""
    folder = ""
    for piece in pieces:
        words = [shell_pieces.plain(word) for word in piece.words]
        if words[0] == "cd" and len(words) == 2 and not _dynamic(words[1]):
            folder = os.path.join(folder, words[1])
    return folder


def _sound(pieces: list[shell_pieces.Piece], is_server: IsServer) -> bool:
    """Whether the last command can be taken out of its line, and all others run to their end before it."""
    if pieces[-1].operator in APART or any(piece.operator == "&" for piece in pieces):
        return False
    return not any(starts_server(shell_pieces.command(piece), is_server) for piece in pieces[:-1])


def starts_server(words: list[str], is_server: IsServer) -> bool:
    """Whether a command is a server, through wrappers and shells of any kind."""
    return find(words, is_server) is not None or is_server(words, "")


def _peeled(
    raw: list[str], texts: list[str], shell: tuple[str, ...], before: str, ends: bool,
    is_server: IsServer,
) -> Found | None:  # fmt: skip
    """`texts` without its wrappers; `raw` is each word as a shell reads it."""
    begin, asked, agents, lines, file = 0, [], [], [], ""  # type: int, list[str], list[str], list[str], str
    inner: Found | None = None
    while begin < len(texts) and not is_server(texts[begin:], ""):
        name = os.path.basename(texts[begin])
        end = begin + 1
        if ASSIGNMENT.match(texts[begin]):
            asked.append(raw[begin])
        elif name in PLAIN or name in ASKED:
            end = _next(texts, begin + 1, is_server)
            if name in RUNNERS:
                if at := _of_python(name, texts, begin + 1):
                    end, file = at, texts[at]
                    raw, texts = ([*some[:at], "python", *some[at:]] for some in (raw, texts))
                elif texts[end : end + 1] and texts[end].endswith(".py"):
                    return None  # uv run pytest ./app.py
            if name in ASKED:
                asked += [word for word in raw[begin:end] if not file or word not in AS_SCRIPT]
            if name in AGENTS:
                agents.append(name)
            if name in SAID:
                lines.append(f"command line: `{masking.command(' '.join(texts[begin:end]))}` {SAID[name]}")
        elif shell_text(texts[begin:]) and (inner := find(texts[begin:], is_server)):
            break
        else:
            return None
        begin = end
    if begin == len(texts):
        return None
    rest = [_readable(word, text) for word, text in zip(raw[begin:], texts[begin:], strict=True)]
    step = Step(shell, before, ends, " ".join(asked), tuple(rest), tuple(agents))
    steps = (step,) if before or asked else ()
    dynamic = any(_dynamic(word) for word in raw[begin:])
    if inner:
        return Found(inner.words, steps + inner.steps, inner.dynamic, (*lines, *inner.lines), inner.folder, inner.file)
    if dynamic and not steps:
        steps = (step,)
    return Found(texts[begin:], steps, dynamic, tuple(lines), file=file)


def _of_python(name: str, texts: list[str], begin: int) -> int:
    """Where a Python file, or uv's `-m MODULE`, is what a runner runs: `uv run --with x app.py`; 0 if it is not."""
    index, runs = begin, False
    while index < len(texts):
        word = texts[index]
        if runs and name == "uv" and word in ("-m", "--module"):
            return index
        if not word.startswith("-"):
            if runs or word not in SUBCOMMANDS:
                return index if runs and word.endswith(".py") else 0
            runs = True
        index += 2 if word in RUNNERS_VALUED else 1
    return 0


def _next(texts: list[str], begin: int, is_server: IsServer) -> int:
    """Where the command of a wrapper begins: behind its options, whatever they are."""
    for index in range(begin, len(texts)):
        name = os.path.basename(texts[index])
        if texts[index - 1] in VALUED or (index == begin and name in SUBCOMMANDS):
            continue
        wraps = name in PLAIN or name in ASKED
        if is_server(texts[index:], "") or ASSIGNMENT.match(texts[index]) or wraps or shell_text(texts[index:]):
            again = index + 1 < len(texts) and os.path.basename(texts[index + 1]) == name
            return index + 1 if again else index  # uv run --with gunicorn gunicorn
    return len(texts)


def _dynamic(word: str) -> bool:
    """Whether only a shell can tell what a word is."""
    return not (word[:1] == "'" and word.count("'") == 2) and ("$" in word or "`" in word)


def _readable(raw: str, text: str) -> str:
    """A word for a shell: app:create_app() is none unless it is quoted."""
    return raw if _dynamic(raw) else shlex.quote(text)
