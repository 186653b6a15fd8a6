"""gunicorn's command line, from GUNICORN_CMD_ARGS or an old `CMD`: settings of ours, forbidden, or gunicorn's own."""

from __future__ import annotations

import shlex
from typing import NamedTuple

# option -> the setting of ours that it means
OURS = {
    "-w": "WEB_CONCURRENCY", "--workers": "WEB_CONCURRENCY", "--threads": "THREADS",
    "-k": "WORKER_CLASS", "--worker-class": "WORKER_CLASS",
    "-t": "TIMEOUT", "--timeout": "TIMEOUT", "--graceful-timeout": "GRACEFUL_TIMEOUT", "--backlog": "BACKLOG",
    "--max-requests": "MAX_REQUESTS", "--max-requests-jitter": "MAX_REQUESTS_JITTER", "--log-level": "LOG_LEVEL",
}  # fmt: skip
# always ours (DESIGN 3.1), whoever asks
FORBIDDEN = frozenset(
    "-b --bind -D --daemon -m --umask -n --name --protocol --worker-tmp-dir --control-socket --control-socket-mode "
    "--no-control-socket -p --pid -u --user -g --group --uwsgi-allow-from --reuse-port -c --config "
    "--access-logfile --error-logfile --log-file --log-config --forwarded-allow-ips --certfile --keyfile".split()
)
FLAGS = frozenset(
    "-D --daemon --no-control-socket --reuse-port --reload --preload --capture-output --spew --check-config "
    "-R --enable-stdio-inheritance --no-sendfile --disable-redirect-access-to-syslog --log-syslog --print-config "
    "--statsd-dogstatsd --proxy-protocol --do-handshake-on-connect --suppress-ragged-eofs --initgroups "
    "--strip-header-spaces --permit-obsolete-folding --permit-unconventional-http-method "
    "--permit-unconventional-http-version --casefold-http-method --enable-backlog-metric --http2-cleartext "
    "-h --help -v --version".split()
)
ASKING = frozenset({"--check-config", "--print-config", "-h", "--help", "-v", "--version"})


class Arguments(NamedTuple):
    """A gunicorn command line, sorted: settings of ours, what is ignored, gunicorn's own, the application, the bind."""

    ours: dict[str, str]
    ignored: list[str]
    rest: list[str]
    application: str | None
    port: str | None
    has_config: bool  # a configuration file may name the application
    chdir: str = ""


def _pairs(words: list[str]) -> list[tuple[str, str | None]]:
    """Words -> (option, value), (flag, None) or ("", application)."""
    pairs: list[tuple[str, str | None]] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("-"):
            pairs.append(("", word))
        elif word.startswith("--") and "=" in word:
            option, value = word.split("=", 1)
            pairs.append((option, value))
        elif not word.startswith("--") and len(word) > 2:
            pairs.append((word[:2], word[2:].lstrip("=")))
        elif word in FLAGS or not queue:
            pairs.append((word, None))
        else:
            pairs.append((word, queue.pop(0)))
    return pairs


def only_asks(words: list[str]) -> bool:
    """Whether the command line wants information and no server."""
    return any(word in ASKING for word in words)


def split(words: list[str]) -> Arguments:
    """Sort the words of a gunicorn command line (without the program)."""
    result = Arguments({}, [], [], None, None, False)
    for option, value in _pairs(words):
        if option in ("-b", "--bind") and value:
            tail = value.rsplit(":", 1)[-1]
            result = result._replace(port=tail if tail.isdigit() else None)
        if option in ("-c", "--config"):
            result = result._replace(has_config=True)
        if option == "--chdir" and value:
            result = result._replace(chdir=value)
        elif option in OURS and value is not None:
            result.ours[OURS[option]] = value
        elif option in FORBIDDEN:
            result.ignored.append(option)
        elif option == "":
            result = result._replace(application=value)
        else:
            result.rest.append(option)
            result.rest.extend([value] if value is not None else [])
    return result


def read(text: str, errors: list[str]) -> Arguments:
    """GUNICORN_CMD_ARGS -> sorted arguments. Unbalanced quotes go to `errors`."""
    try:
        return split(shlex.split(text))
    except ValueError as error:
        errors.append(f"GUNICORN_CMD_ARGS cannot be split into words: {error}")
        return split([])
