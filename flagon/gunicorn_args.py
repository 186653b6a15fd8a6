"""gunicorn's command line, from GUNICORN_CMD_ARGS or an old `CMD`: settings of ours, ignored, or gunicorn's own."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from flagon import asking, gunicorn_options

# option -> the setting of ours that it means
OURS = {
    "-w": "WEB_CONCURRENCY", "--workers": "WEB_CONCURRENCY", "--threads": "THREADS",
    "-k": "WORKER_CLASS", "--worker-class": "WORKER_CLASS",
    "-t": "TIMEOUT", "--timeout": "TIMEOUT", "--graceful-timeout": "GRACEFUL_TIMEOUT", "--backlog": "BACKLOG",
    "--max-requests": "MAX_REQUESTS", "--max-requests-jitter": "MAX_REQUESTS_JITTER", "--log-level": "LOG_LEVEL",
}  # fmt: skip
MOST_LETTERS = 64  # of flags in one word: each is taken off the rest, which is read anew
FLAGS = frozenset(
    "-D --daemon --no-control-socket --reuse-port --reload --preload --capture-output --spew --check-config "
    "-R --enable-stdio-inheritance --no-sendfile --disable-redirect-access-to-syslog --log-syslog --print-config "
    "--statsd-dogstatsd --do-handshake-on-connect --suppress-ragged-eofs --initgroups "
    "--strip-header-spaces --permit-obsolete-folding --permit-unconventional-http-method "
    "--permit-unconventional-http-version --casefold-http-method --enable-backlog-metric "
    "-h --help -v --version".split()
)
# The others that gunicorn 21 to 27 have; each takes a value.
VALUED = frozenset(
    "-b --bind -c --config -m --umask -n --name -p --pid -u --user -g --group -e --env --protocol --worker-tmp-dir "
    "--control-socket --control-socket-mode --uwsgi-allow-from --access-logfile --access-logformat --error-logfile "
    "--log-file --log-config --log-config-json --logger-class --log-syslog-to --log-syslog-prefix "
    "--log-syslog-facility --statsd-host --dogstatsd-tags --statsd-prefix --forwarded-allow-ips --proxy-allow-from "
    "--certfile --keyfile --ca-certs --cert-reqs --ssl-version --ciphers --chdir --pythonpath --paste --paster "
    "--paste-global --worker-connections --keep-alive --limit-request-line --limit-request-fields "
    "--limit-request-field_size --reload-engine --reload-extra-file --forwarder-headers --header-map --http-parser "
    "--http-protocols --http2-cleartext --http2-max-concurrent-streams --http2-initial-window-size "
    "--http2-max-frame-size --http2-max-header-list-size --asgi-loop --asgi-lifespan --asgi-disconnect-grace-period "
    "--websocket-max-message-size --root-path --dirty-app --dirty-workers --dirty-timeout --dirty-threads "
    "--dirty-graceful-timeout".split()
)
MAYBE_VALUED = frozenset({"--proxy-protocol"})  # a flag until gunicorn 24
KNOWN = FLAGS | VALUED | MAYBE_VALUED | OURS.keys()
ASKING = ("--check-config", "--print-config", *asking.LONG)
# option -> gunicorn's name of the setting, where that is not the option with underscores
NAMES = {
    "-b": "bind", "-c": "config", "-D": "daemon", "-m": "umask", "-n": "proc_name", "--name": "proc_name",
    "-p": "pidfile", "--pid": "pidfile", "-u": "user", "-g": "group", "--uwsgi-allow-from": "uwsgi_allow_ips",
    "--proxy-allow-from": "proxy_allow_ips", "--access-logfile": "accesslog", "--access-logformat": "access_log_format",
    "--error-logfile": "errorlog", "--log-file": "errorlog", "--log-config": "logconfig",
    "--log-config-json": "logconfig_json", "--log-syslog": "syslog", "--log-syslog-to": "syslog_addr",
    "--log-syslog-prefix": "syslog_prefix", "--log-syslog-facility": "syslog_facility",
    "--no-control-socket": "control_socket_disable",
}  # fmt: skip
GUNICORNS_PORT = "8000"  # gunicorn.util.parse_address
DEFAULT = "gunicorn's own port"


class Arguments(NamedTuple):
    """A gunicorn command line, sorted: settings of ours, what is ignored, gunicorn's own, the application, the bind."""

    ours: dict[str, str]
    ignored: list[tuple[str, str | None]]  # option and value; ("", word) for a word that is no option's
    rest: list[str]
    application: str | None = None
    binds: tuple[str, ...] = ()
    config: str = ""  # a gunicorn file, which may name the application
    chdir: str = ""
    python_path: tuple[str, ...] = ()
    tls: str = ""  # the option that asks for it

    @property
    def has_config(self) -> bool:
        """Whether it names a gunicorn file."""
        return bool(self.config)

    @property
    def port(self) -> str | None:
        """The port of its first address that has one."""
        return next(iter(self.ports), None)

    @property
    def ports(self) -> list[str]:
        """The ports of all its addresses; none where it asks for TLS on them, which is not what is spoken here."""
        return [] if self.tls else [port for port in map(port_of, self.binds) if port]

    @property
    def sockets(self) -> list[str]:
        """Its addresses that have no port."""
        return [bind for bind in self.binds if bind.startswith(("unix:", "fd://"))]


def port_of(bind: str) -> str | None:
    """The port of gunicorn's `bind` as gunicorn reads it: what stands for one, None if it is another kind of socket."""
    if bind.startswith(("unix:", "fd://")):
        return None
    bind = bind.removeprefix("tcp://")
    if bind.isdecimal():
        return bind  # gunicorn would take it for an address; nobody means 0.0.31.64
    if "[" in bind and "]" in bind:
        _, colon, port = bind.partition("]:")
        return port if colon else GUNICORNS_PORT
    _, colon, port = bind.partition(":")
    return port if colon else GUNICORNS_PORT


def _full(option: str) -> str:
    """gunicorn takes a long option that is cut short, where it is the only one that begins so."""
    if option in KNOWN or not option.startswith("--"):
        return option
    found = [known for known in KNOWN if known.startswith(option)]
    return found[0] if len(found) == 1 else option


def _apart(word: str) -> list[str]:
    """Several arguments in one word, as `["-w 2", "--timeout 60"]` and a compose list leave them; else empty."""
    first, *rest = word.split(None, 1)
    if not word.startswith("-") or not rest:
        return []
    option, joined, _ = first.partition("=")
    alone = not joined and (option.startswith("--") or len(option) == 2)
    if not alone and not rest[0].startswith("-"):
        return []
    if joined and _full(option) not in OURS and option != "--bind":
        return []  # a value that may well hold blanks
    try:
        return shlex.split(word)
    except ValueError:
        return []


def _pairs(words: list[str]) -> list[tuple[str, str | None]]:
    """Words -> (option, value), (flag, None) or ("", word that is no option's)."""
    pairs: list[tuple[str, str | None]] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if several := word.strip() and _apart(word):
            queue[:0] = several
        elif word == "--":
            pairs += [("", one) for one in queue]
            break
        elif not word.startswith("-") or word == "-":
            pairs.append(("", word))
        elif word.startswith("--") and "=" in word:
            option, value = word.split("=", 1)
            pairs.append((_full(option), value))
        elif not word.startswith("--") and len(word) > 2:
            if word[:2] in FLAGS and len(word) <= MOST_LETTERS:
                pairs.append((word[:2], None))
                queue.insert(0, "-" + word[2:])
            else:
                pairs.append((word[:2], word[2:].lstrip("=")))
        else:
            option = _full(word)
            takes = option in OURS or option in VALUED
            if option in MAYBE_VALUED and queue:
                takes = not queue[0].startswith("-") and ":" not in queue[0]
            pairs.append((option, queue.pop(0) if takes and queue else None))
    return pairs


def only_asks(words: list[str]) -> bool:
    """Whether the command line wants information and no server."""
    return asking.asks(words, "hv", ASKING)


def split(words: list[str]) -> Arguments:
    """Sort the words of a gunicorn command line (without the program)."""
    result = Arguments({}, [], [])
    for option, value in _pairs(words):
        setting = NAMES.get(option, option.lstrip("-").replace("-", "_"))
        text = (value or "").strip()
        if option == "" and result.application is None:
            result = result._replace(application=value)
        elif option == "":
            result.ignored.append((option, value))
        elif option in OURS and value is not None:
            result.ours[OURS[option]] = text
        elif setting == "bind" and value is not None:
            result = result._replace(binds=(*result.binds, text))
        elif setting == "config" and text:
            result = result._replace(config=text)
        elif setting == "chdir" and text:
            result = result._replace(chdir=text)
        elif setting == "pythonpath" and text:
            result = result._replace(python_path=tuple(filter(None, text.split(","))))
        elif setting in gunicorn_options.TLS and text:
            result = result._replace(tls=result.tls or option)
        elif setting in gunicorn_options.IGNORED or setting == "control_socket_disable":
            result.ignored.append((option, value))
        else:
            result.rest.append(option)
            result.rest.extend([value] if value is not None else [])
    return result


def lines(arguments: Arguments, source: str) -> list[str]:
    """One line for each option that is not taken, and what comes of it."""
    found = []
    for option, value in arguments.ignored:
        if not option:
            found.append(f"{source}: {value!r} is ignored: it belongs to no option")
            continue
        setting = NAMES.get(option, option.lstrip("-").replace("-", "_"))
        found.append(gunicorn_options.line(source, option, setting, True if value is None else value))
    return [line for line in found if line]


def unquoted(text: str) -> str:
    """GUNICORN_CMD_ARGS without a pair of quotes around all of it, which a compose list or an env file leaves there."""
    text = text.strip()
    if len(text) > 1 and text[0] in "\"'" and text.find(text[0], 1) == len(text) - 1:
        return text[1:-1]
    return text


def read(text: str, errors: list[str]) -> Arguments:
    """GUNICORN_CMD_ARGS -> sorted arguments. Unbalanced quotes go to `errors`."""
    try:
        return split(shlex.split(unquoted(text)))
    except ValueError as error:
        errors.append(f"GUNICORN_CMD_ARGS cannot be split into words: {error}")
        return split([])
