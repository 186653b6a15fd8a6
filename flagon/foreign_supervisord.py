"""`supervisord -c own.conf`: which of its programs is the server that the box replaces, and which run beside."""

from __future__ import annotations

import configparser
import getopt
import glob
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping

from flagon import commands, text_file, wrappers

# Where supervisord looks (its documentation, "Running Supervisor"), and where Debian's has it.
SEARCHED = ("supervisord.conf", "etc/supervisord.conf", "/etc/supervisord.conf", "/etc/supervisor/supervisord.conf")
CONF_D = "/etc/supervisor/conf.d"
# Its own options (supervisor/options.py, 4.3.0).
LETTERS = "h?c:vnu:m:d:l:y:z:e:j:i:q:a:kts"
NAMES = (
    "help version nodaemon nocleanup strip_ansi silent configuration= user= umask= directory= logfile= "
    "logfile_maxbytes= logfile_backups= loglevel= pidfile= identifier= childlogdir= minfds= minprocs= profile_options="
).split()


def _options(words: list[str]) -> dict[str, str]:
    """What its command line says. Raises getopt.GetoptError."""
    return dict(getopt.getopt(words, LETTERS, NAMES)[0])


def _file(words: list[str]) -> str | None:
    """The file that -c names, "" if none does; None if the command only asks, or supervisord would refuse it."""
    try:
        options = _options(words)
    except getopt.GetoptError:
        return None
    if options.keys() & {"-h", "-?", "-v", "--help", "--version"}:
        return None
    return options.get("-c", options.get("--configuration", ""))


def starts(words: list[str]) -> bool:
    """Whether the command starts programs, and does not only ask."""
    return _file(words[1:]) is not None


def answer(words: list[str]) -> tuple[str, int]:
    """What our supervisord says where the command starts nothing, and its exit code; an empty text if it starts."""
    if starts(words) or not commands.is_ours(shutil.which(words[0]) or words[0]):
        return "", 0
    from supervisor import options as options_module
    from supervisor import supervisord

    try:
        options = _options(words[1:])
    except getopt.GetoptError as error:
        return f"supervisord: {error}. For help, use {words[0]} -h", 2
    if options.keys() & {"-v", "--version"}:
        return str(options_module.VERSION), 0
    return str(supervisord.__doc__).replace("%s", "supervisord").strip(), 0


def parser_of(path: str) -> configparser.RawConfigParser:
    """A file as supervisord reads it. Raises OSError, ValueError, configparser.Error."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    parser.read_string(text_file.strict(path), path)
    return parser


def files(path: str) -> list[str]:
    """The file, and what its [include] names."""
    found = [path]
    try:
        parser = parser_of(path)
    except (OSError, ValueError, configparser.Error):
        return found  # said by whoever takes its programs
    here = os.path.dirname(path)
    for pattern in parser.get("include", "files", fallback="").split():
        pattern = pattern.replace("%(here)s", here)
        found += sorted(glob.glob(os.path.join(glob.escape(here), pattern)))
    return found


def _programs(paths: list[str], environ: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """(name, options) of every [program:x]."""
    for path in paths:
        try:
            parser = parser_of(path)
        except (OSError, ValueError, configparser.Error):
            continue
        for section in parser.sections():
            kind, _, name = section.partition(":")
            if kind == "program":
                here = os.path.dirname(path)
                yield name, {key: _filled(text, name, here, environ) for key, text in parser.items(section)}


def _filled(text: str, name: str, here: str, environ: Mapping[str, str]) -> str:
    """%(here)s, %(program_name)s and %(ENV_NAME)s, as supervisord fills them in."""
    for key, value in (("here", here), ("program_name", name), *((f"ENV_{key}", environ[key]) for key in environ)):
        text = text.replace(f"%({key})s", value)
    return text.replace("%%", "%")


def _words(options: Mapping[str, str]) -> list[str]:
    """The command's words, with `environment=` before them; [] if they are none."""
    text, more = options.get("command", ""), options.get("environment", "")
    try:
        words = shlex.split(text)
        splitter = shlex.shlex(more, posix=True, punctuation_chars=",")
        splitter.whitespace_split = True
        pairs = [pair for pair in splitter if "=" in pair]
    except ValueError:
        return []
    return ["env", *pairs, *words] if pairs and words else words


def served(words: list[str], environ: Mapping[str, str], directory: str) -> commands.Serve | None:
    """What it serves; None if another supervisord is installed and its file starts no server that we know."""
    if environ.get("SUPERVISOR_ENABLED"):  # a program of another's, or of its own file
        return None
    given = _file(words[1:])
    ours = commands.is_ours(shutil.which(words[0]) or words[0])
    if given is None:
        return None
    path = os.path.join(directory, given) if given else ""
    if not path:
        searched = [os.path.join(directory, name) for name in SEARCHED]
        path = next((name for name in searched if os.path.isfile(name)), "")
    paths = files(path) if path else []
    conf_d = sorted(glob.glob(os.path.join(CONF_D, "*.conf")))
    web: commands.Serve | None = None
    left_out = []
    inner = {**environ, "SUPERVISOR_ENABLED": "1"}  # as supervisord tells its programs
    for name, options in _programs([*paths, *(one for one in conf_d if one not in paths)], environ):
        command = _words(options)
        if wrappers.starts_nginx(command):
            left_out.append(name)
        elif web is None and command and os.path.basename(command[0]) != "supervisord":
            web = commands.served_instead(command, inner, options.get("directory") or directory)
            if web and options.get("directory"):
                web = web._replace(directory=web.directory or os.path.join(directory, options["directory"]))
            left_out += [name] if web else []
    if web is None and not ours:
        return None
    web = web or commands.Serve(None, None, [], "supervisord")
    return web._replace(
        supervisor=tuple(one for one in paths if one not in conf_d), left_out=tuple(left_out),
        always=ours,
    )  # fmt: skip
