"""The environment -> typed settings, each with where it came from. Nothing else reads os.environ for settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from flagon import commands, compat, database, envfile, gunicorn_args, procfile, text_file
from flagon.kinds import Unusable, parse
from flagon.table import SETTINGS, Setting

PREFIX = "FLAGON_"
# Other people's names for a setting, below its own.
ALIASES = {"DATABASE_DIRECT_URL": ("DATABASE_UNPOOLED_URL", "DIRECT_URL")}
MASK = "********"
# What was given may stand in a message, and a message is one line.
UNPRINTABLE = "[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
# FastCGI: nginx sends all parameters in one record of at most 65,535 bytes, the request line up to three times in it.
FASTCGI_RECORD = 65535
FASTCGI_OWN_PARAMETERS = 4096


class Given(NamedTuple):
    """A text that somebody gave for a setting, and where."""

    text: str
    name: str
    source: str
    raw: str  # before quotes and blanks were stripped


class SettingsError(Exception):
    """Values that are not accepted; `errors` has one sentence for each. The boot ends with code 78 (EX_CONFIG)."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = [re.sub(UNPRINTABLE, lambda found: repr(found[0])[1:-1], error) for error in errors]
        super().__init__("\n".join(self.errors))


class Settings:
    """Typed values by name, where each came from, and what is worth a warning line."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.raw: dict[str, str] = {}  # the texts as they were given, byte for byte
        self.warnings: list[str] = []
        self.environment: dict[str, str] = {}  # the container's environment above the .env file's
        self.old = compat.nothing()  # what the deprecated images' names say
        nothing = gunicorn_args.split([])
        self.command, self.arguments = nothing, nothing  # gunicorn's command line: the container's, GUNICORN_CMD_ARGS
        self.procfile: commands.Serve | None = None  # what the Procfile's `web:` line serves
        self.web: gunicorn_args.Arguments | None = None  # gunicorn's command line in the Procfile
        self.asgi = ""  # who names a worker class of uvicorn's
        self.line = ""  # whose gunicorn line starts the application: "command line", "Procfile"
        self.gunicorn_args: list[str] = []  # what of these is gunicorn's own business
        self.gunicorn_args_from: list[str] = []

    @property
    def by_mark(self) -> str:
        """The source of what is only taken because an old image's name is seen."""
        return f"{self.old.seen} is seen"

    def is_said(self, name: str) -> bool:
        """Whether somebody has given this setting; neither a default nor an old image's mark is anybody."""
        return self.sources.get(name) not in ("default", self.by_mark)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def set(self, name: str, value: Any, source: str) -> None:
        """Record a value and where it came from."""
        self.values[name] = value
        self.sources[name] = source

    def rows(self) -> list[tuple[str, str, str]]:
        """Each setting, its value with secrets masked, and who said it."""
        return [(name, self.shown(name), self.sources[name]) for name in SETTINGS]

    def shown(self, name: str) -> str:
        """The value as `flagon config` and messages may show it: secrets masked."""
        value = self.values[name]
        if value is None or value == "":
            return ""
        if SETTINGS[name].secret:
            return MASK
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, float):
            return f"{value:g}"
        return ",".join(value) if isinstance(value, tuple) else str(value)


def _from_file(given: Given, errors: list[str]) -> Given | None:
    """The text of the file that <NAME>_FILE names, or what was read of it before root was dropped."""
    try:
        raw = text_file.strict(given.text, text_file.LARGEST_SECRET)
    except (OSError, UnicodeDecodeError) as error:
        from flagon import root_secrets  # nothing that a cold start needs

        by_root = root_secrets.kept.get(given.text) if given.source == "environment" else None
        if by_root is None:
            errors.append(f"{given.name}: cannot read {given.text!r}: {root_secrets.why(given.text, error)}")
            return None
        raw = by_root
    raw = raw.removesuffix("\n").removesuffix("\r")
    text = envfile.clean(raw)
    if not text:
        errors.append(f"{given.name}: the file {given.text!r} is empty")
        return None
    return Given(text, given.name, given.source, raw)


def _given(
    row: Setting, layers: list[tuple[str, Mapping[str, str]]], errors: list[str], old: compat.Found | None = None
) -> list[Given]:
    """All that was given for this row, the winner first (DESIGN 3.1)."""
    found: list[Given] = []
    named, in_file = (old.given, old.from_file) if old else ({}, {})
    instead = old.instead if old else {}
    for source, layer in layers:
        if source != "environment" and row.name in named:
            text, name = named[row.name]
            found.append(Given(envfile.clean(text), name, "environment", text))
        for name in (PREFIX + row.name, row.name, *ALIASES.get(row.name, ())):
            if name in instead and instead[name][2] in layer:
                text, whose, _ = instead[name]
                found.append(Given(text, whose, source, text))
            text = envfile.clean(layer.get(name, ""))
            path = envfile.clean(layer.get(name + "_FILE", "")) if row.secret else ""
            if text and path and "FLAGON_SUMMARY" not in layer:  # a command of the box: the file is read already
                errors.append(f"{name} and {name}_FILE are both given: keep one")
            elif path and not text:
                content = _from_file(Given(path, name + "_FILE", source, path), errors)
                found += [content] if content else []
            elif text and not (name == PREFIX + row.name and text.startswith("tcp://")):
                # FLAGON_PORT=tcp://10.0.0.1:80 is what Kubernetes injects for a Service named "flagon".
                found.append(Given(text, name, source, layer[name]))
    if row.name in in_file:
        text, name = in_file[row.name]
        found.append(Given(envfile.clean(text), name, "environment", text))
    return found


def _typed(row: Setting, given: list[Given], settings: Settings, errors: list[str]) -> None:
    """Take the first acceptable text; a bad one is an error, or a warning where the name is an ordinary word."""
    for text, name, source, raw in given:
        strict = row.strict or name.startswith(PREFIX)
        if settings.old.foreign(name, text):
            settings.asgi = settings.asgi or f"{name}={text}" * ("uvicorn" in text.lower())
            continue
        try:
            value = parse(text, row)
        except ValueError as error:
            strict = strict or isinstance(error, Unusable)
            shown = MASK if row.secret else repr(text)
            if strict and row.kind == "database_url":
                errors.append(database.refusal(name, text, error))
                return
            if strict:
                errors.append(f"{name}={shown} is not accepted; accepted: {error}")
                return
            settings.warnings.append(f"{name}={shown} is not Flagon's kind of value ({error}): left to the application")
            continue
        if value is None:
            settings.warnings.append(f"{name}={text!r} is not a whole number >= 1: computed instead")
            continue
        settings.set(row.name, value, name if source == "environment" else f"{name} in {source}")
        settings.raw[row.name] = raw
        return
    settings.set(row.name, parse(row.default, row) if row.default else None, "default")


def resolve(
    environ: Mapping[str, str],
    directory: str,
    command_args: list[str] | None = None,
    uwsgi: tuple[tuple[str, str], ...] | None = None,
    web: commands.Serve | None = None,
) -> Settings:
    """All settings from the environment, `directory`/.env and gunicorn arguments.

    `command_args` are the arguments of an inherited `gunicorn ...` command, none of another server's, None where there
    is no command; `uwsgi` the options of an inherited `uwsgi ...`; `web` what the Procfile's line has become once a
    shell has read it. Raises SettingsError with all errors.
    """
    settings, errors = Settings(), []  # type: Settings, list[str]
    dotenv, settings.warnings = envfile.read(directory, environ)
    settings.environment = {**dotenv, **environ}
    layers: list[tuple[str, Mapping[str, str]]] = [("environment", environ), (".env", dotenv)]
    if not command_args and uwsgi is None:
        settings.procfile = web or procfile.served(directory, settings.environment)
        uwsgi = settings.procfile.uwsgi if settings.procfile and command_args is None else None
    settings.old = old = compat.read(settings.environment, directory, uwsgi)
    if settings.procfile and uwsgi is settings.procfile.uwsgi and uwsgi is not None:
        _beside(settings, settings.procfile)
    errors += old.errors
    for name, text in old.environment.items():
        settings.environment.setdefault(name, text)
    for row in SETTINGS.values():
        _typed(row, _given(row, layers, errors, old), settings, errors)
    if old.seen and settings.sources.get("THREADS") == "default":
        settings.set("THREADS", 1, settings.by_mark)
    settings.warnings += old.lines
    if "DATABASE_URL" in settings.values and settings["DATABASE_URL"] is None:
        _database_elsewhere(settings, errors, directory)
    settings.arguments = gunicorn_args.read(settings.environment.get("GUNICORN_CMD_ARGS", ""), errors)
    settings.command = gunicorn_args.split(command_args or [])
    _apply_arguments(settings, settings.command, "command line", errors, only_defaults=True)
    settings.web = procfile.web(settings.procfile)
    if settings.web and not command_args:
        _apply_arguments(settings, settings.web, "Procfile", errors, only_defaults=True)
    settings.line = "command line" if command_args else "Procfile" if settings.web and command_args is None else ""
    _apply_arguments(settings, settings.arguments, "GUNICORN_CMD_ARGS", errors)
    if settings.arguments.application is not None:  # gunicorn too reads nothing but options from there
        given = settings.arguments.application
        settings.warnings.append(f"GUNICORN_CMD_ARGS: {given!r} is ignored: it belongs to no option")
    _check_together(settings, errors)
    if errors:
        raise SettingsError(errors)
    _warn_near_misses(settings)
    return settings


def _beside(settings: Settings, web: commands.Serve) -> None:
    """The port of a `uwsgi` in a Procfile: it comes along with the code, and 8080 answers as well."""
    port, name = settings.old.given.get("PORT", ("", ""))
    if port and not name.startswith("BIND="):
        del settings.old.given["PORT"]
        settings.procfile = web._replace(port=port)


def one(name: str, environ: Mapping[str, str], directory: str) -> Any:
    """One setting's value, whatever the others are worth; its default if what was given is not accepted."""
    settings = Settings()
    dotenv, _ = envfile.read(directory, environ)
    row, errors = SETTINGS[name], []  # type: Setting, list[str]
    _typed(row, _given(row, [("environment", environ), (".env", dotenv)], errors), settings, errors)
    return settings.values.get(name)


def _database_elsewhere(settings: Settings, errors: list[str], directory: str) -> None:
    """A platform's own name for the database, where nobody gave DATABASE_URL."""
    source = ""
    try:
        found = database.elsewhere(settings.environment)
        if not found:
            _database_in_parts(settings, directory)
            return
        source, text = found.source, envfile.clean(found.url)
        settings.set("DATABASE_URL", parse(text, SETTINGS["DATABASE_URL"]), source)
    except ValueError as error:
        errors.append(database.refusal(source, text, error) if source else str(error))
        return
    settings.raw["DATABASE_URL"] = found.url
    if found.ignored:
        settings.warnings.append(f"{source}: {', '.join(found.ignored)} mean nothing to Postgres and are ignored")


def _database_in_parts(settings: Settings, directory: str) -> None:
    """POSTGRES_HOST, DB_HOST and the like: an application's own words, so nothing of them ends the boot."""
    found, lines = database.in_parts(settings.environment, directory)
    settings.warnings += lines
    if not found:
        return
    try:
        settings.set("DATABASE_URL", parse(found.url, SETTINGS["DATABASE_URL"]), found.source)
    except ValueError as error:
        settings.warnings.append(f"{found.source}: no DATABASE_URL is made of them: {error}")
    else:
        settings.raw["DATABASE_URL"] = found.url


def _apply_arguments(
    settings: Settings, arguments: gunicorn_args.Arguments, source: str, errors: list[str], only_defaults: bool = False
) -> None:
    for name, text in arguments.ours.items():
        if only_defaults and settings.is_said(name):
            continue
        if settings.old.foreign(name, text):
            settings.warnings.append(compat.why_foreign(f"{source}: {name}={text}"))
            settings.asgi = settings.asgi or f"{source}: {name}={text}" * ("uvicorn" in text.lower())
            continue
        row = SETTINGS[name]
        try:
            value = parse(text, row)
        except ValueError as error:
            errors.append(f"{source}: {text!r} is not accepted for {name}; accepted: {error}")
            continue
        if value is None:
            errors.append(f"{source}: {text!r} is not accepted for {name}; accepted: a whole number >= 1")
            continue
        settings.set(name, value, source)
    settings.warnings += gunicorn_args.lines(arguments, source)
    if "--preload" in arguments.rest and settings.sources.get("PRELOAD") == "default":
        settings.set("PRELOAD", True, source)
    rest = [word for word in arguments.rest if word != "--preload"]
    settings.gunicorn_args += rest
    settings.gunicorn_args_from += [source] if rest else []


def _check_together(settings: Settings, errors: list[str]) -> None:
    """Values that are each accepted and cannot be together."""
    values = settings.values
    if errors:
        return
    needed = (values["HEADER_BUFFERS"] + 2) * values["HEADER_SIZE"] + FASTCGI_OWN_PARAMETERS
    if needed > FASTCGI_RECORD and values["WORKER_CLASS"] in (None, "fastcgi"):
        errors.append(
            f"HEADER_SIZE={values['HEADER_SIZE']} with HEADER_BUFFERS={values['HEADER_BUFFERS']} is impossible: "
            f"(HEADER_BUFFERS + 2) x HEADER_SIZE must stay below {FASTCGI_RECORD - FASTCGI_OWN_PARAMETERS}, "
            "what one FastCGI record holds. For longer ones set WORKER_CLASS=gthread as well, or asgi for an ASGI "
            "application: they have no such limit"
        )
    if values["DRAIN_DELAY"] >= values["STOP_TIMEOUT"]:
        errors.append(
            f"DRAIN_DELAY={values['DRAIN_DELAY']:g} leaves nothing of STOP_TIMEOUT={values['STOP_TIMEOUT']:g}: "
            "it must be smaller"
        )
    if values["STATIC_URL"]:
        from flagon.render import health_paths  # not at each cold start

        if values["STATIC_URL"] in health_paths(values["URL_PREFIX"] or ""):
            errors.append(f"STATIC_URL={values['STATIC_URL']} is a health path: files need another one")
    if values["STREAMS_MAX"] and values["STREAMS_MAX"] > values["THREADS"]:
        text = f"STREAMS_MAX={values['STREAMS_MAX']} is more than THREADS={values['THREADS']}"
        if settings.sources["STREAMS_MAX"].startswith(PREFIX):
            errors.append(text)
        else:
            settings.warnings.append(f"{text}: left to the application")
            settings.set("STREAMS_MAX", None, "default")


def _warn_near_misses(settings: Settings) -> None:
    """WEB_CONCURENCY, DATABASEURL: most likely a typing error, so say it; of FLAGON_ names, which are ours, always."""
    known = (
        set(SETTINGS)
        | set(compat.NAMES)
        | {PREFIX + name for name in SETTINGS}
        | {name for names in ALIASES.values() for name in names}
    )
    for name in settings.environment:
        ours, file = name.startswith(PREFIX), name.removesuffix("_FILE")
        if name in known or (ours and name[len(PREFIX) :] in INTERNAL):
            continue
        if file != name and (not ours or (file in known and SETTINGS[file.removeprefix(PREFIX)].secret)):
            continue
        if ours and (SERVICE_PORT.search(name) or "_SERVICE_HOST" in name or "_SERVICE_PORT" in name):
            continue
        near = near_miss(name)
        if near:
            settings.warnings.append(f"{name} is not a setting; did you mean {near}?")
        elif ours and settings.environment[name].strip():
            settings.warnings.append(f"{name} is not a setting and has no effect: `flagon config` lists them")


# Kubernetes' of a Service named flagon, or flagon-web: FLAGON_PORT_80_TCP_ADDR, FLAGON_WEB_SERVICE_HOST
SERVICE_PORT = re.compile(r"_PORT(_\d{1,5}_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?\Z")
# What the box tells the application, and FLAGON_CHECK, of which there is no bare name (flagon/commands.py).
INTERNAL = frozenset({"VERSION", "SUMMARY", "DATABASE", "ADDED", "SQLITE_URL", "CHECK"})


def near_miss(name: str) -> str | None:
    """The known name that `name` almost is, or None. Underscores do not count."""
    bare = name[len(PREFIX) :] if name.startswith(PREFIX) else name
    folded = bare.replace("_", "").replace("-", "").upper()
    for known in SETTINGS:
        other = known.replace("_", "")
        if bare != known and len(other) > 5 and abs(len(folded) - len(other)) <= 2 and folded[:1] == other[:1]:
            import difflib

            if folded == other or difflib.SequenceMatcher(None, folded, other).ratio() > 0.9:
                return known if bare == name else PREFIX + known
    return None
