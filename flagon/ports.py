"""The ports that the author's own start means, beside or in place of ours; and the TLS that none of them speaks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from flagon import commands, gunicorn_args, nginx_text, text_file
from flagon.gunicorn_options import TLS as CERTIFICATE

if TYPE_CHECKING:
    from flagon.boot import Boot

HOW_TO = (
    "nginx listens here, in plain http. Leave that out, and have a proxy in front end TLS, or do it in nginx: "
    "/app/nginx/server.d/tls.conf with `listen 443 ssl;`, `ssl_certificate FILE;` and `ssl_certificate_key FILE;`"
)
CUSTOMARY = ("Flask's own port", "Django's own port", "uvicorn's own port")  # nobody has said so here
BY_COMMAND, BY_PROCFILE, BY_VARIABLE = commands.COMMAND, "-b in the Procfile", "GUNICORN_CMD_ARGS"


class Meant(NamedTuple):
    """A port, and who means it."""

    port: int
    why: str


def of_binds(binds: list[str], why: str) -> list[Meant]:
    """The ports in addresses of gunicorn's."""
    ports = [gunicorn_args.port_of(bind) for bind in binds]
    return [Meant(int(port), why) for port in ports if port and port.isdecimal() and 0 < int(port) < 65536]


def file_binds(boot: Boot) -> list[str]:
    """`bind` of the gunicorn file, which may be one text or several."""
    found = boot.from_file.get("bind") or []
    return found.split(",") if isinstance(found, str) else list(found)


def started(boot: Boot) -> commands.Serve | None:
    """What the container's command starts; without one, what a Procfile's `web:` line does, if that is not gunicorn."""
    return None if boot.settings.line == commands.PROCFILE else boot.served


def meant(boot: Boot) -> list[Meant]:
    """The ports that the start command and gunicorn's file mean, each once."""
    settings, served = boot.settings, started(boot)
    if boot.asks_tls:
        return []
    web = settings.web if settings.line == "Procfile" else None
    by_option = settings.command.binds or settings.arguments.binds or (web and web.binds)
    # gunicorn's own order: an option stands in the place of what the file says, and that in the place of the default
    in_file = [] if by_option else of_binds(file_binds(boot), f"bind in {boot.gunicorn_file}")
    found: list[Meant] = []
    if by_option:
        given = ((settings.arguments, BY_VARIABLE), (settings.command, BY_COMMAND), (web, BY_PROCFILE))
        for arguments, why in given:
            found += of_binds([f":{port}" for port in arguments.ports], why) if arguments else []
    elif served and served.port:
        found += of_binds([f":{served.port}"], BY_COMMAND if served.source == BY_COMMAND else BY_PROCFILE)
    elif served and served.implied_port and not (served.implied_why == gunicorn_args.DEFAULT and in_file):
        found += of_binds([f":{served.implied_port}"], served.implied_why)
        if not found:
            boot.warnings.append(f"{served.implied_why}={served.implied_port!r} is no port and is ignored")
    elif web and not in_file:
        found += of_binds([""], f"{gunicorn_args.DEFAULT}, in the Procfile")
    elif not boot.served and not in_file:
        found += customary(boot)
    return list({one.port: one for one in reversed(found + in_file)}.values())[::-1]


def customary(boot: Boot) -> list[Meant]:
    """Where the framework's own server listens: `docker run -p 5000:5000` is what Flask users type, whatever is in it.

    Not where a program that is run beside the box names that port: it is to have it.
    """
    of_flask, of_django, of_uvicorn = CUSTOMARY
    given = boot.settings.environment.get("FLASK_RUN_PORT", "")
    if os.path.isfile(os.path.join(boot.directory, "manage.py")):
        port, why = "8000", of_django
    elif boot.asgi not in ("", "Quart()"):  # whose run() has Flask's
        port, why = "8000", of_uvicorn
    else:
        port, why = (given, "FLASK_RUN_PORT") if given.isdecimal() else ("5000", of_flask)
    return [] if boot.programs.names(port) else of_binds([f":{port}"], why)


def beside(boot: Boot) -> list[Meant]:
    """Those that are listened on beside the main port; a warning for what is given and is not."""
    source = boot.settings.sources["PORT"]
    found = meant(boot)
    if boot.settings.old.listen or source not in ("default", "command line", "GUNICORN_CMD_ARGS"):
        for one in found:
            # What an option or a file says somebody has said; gunicorn's or flask's own port nobody has.
            said = one.why.startswith("bind in ") or one.why in (BY_COMMAND, BY_PROCFILE, BY_VARIABLE)
            if said and boot.values["PORT"] not in (None, one.port):
                boot.warnings.append(
                    f"port {one.port} ({one.why}) is not listened on: {source}={boot.values['PORT']} says otherwise"
                )
        return []
    return [one for one in found if one.port != boot.values["PORT"]]


def sockets(boot: Boot) -> list[str]:
    """A line for addresses that are no ports: nothing listens there."""
    settings = boot.settings
    web = settings.web.sockets if settings.web and settings.line == "Procfile" else []
    in_file = [bind for bind in file_binds(boot) if bind.startswith(("unix:", "fd://"))]
    return [
        f"{source}: {', '.join(binds)} is not listened on: nginx listens, on a port (PORT)"
        for source, binds in (
            ("command line", settings.command.sockets), ("Procfile", web),
            ("GUNICORN_CMD_ARGS", settings.arguments.sockets), (f"bind in {boot.gunicorn_file}", in_file),
        )
        if binds
    ]  # fmt: skip


def tls(boot: Boot) -> str:
    """Who asks for TLS of gunicorn or of a development server; empty if nobody does."""
    settings, served = boot.settings, started(boot)
    web = settings.web.tls if settings.web and settings.line == "Procfile" else ""
    in_file = next((name for name in CERTIFICATE if boot.from_file.get(name)), "")
    for source, what in (
        (commands.COMMAND, settings.command.tls),
        (commands.PROCFILE, web),
        (served.source if served else "", served.tls if served else ""),
        ("GUNICORN_CMD_ARGS", settings.arguments.tls),
        (boot.gunicorn_file, in_file),
    ):
        if what:
            return f"{source}: {what}"
    return ""


def ends_tls(boot: Boot) -> bool:
    """Whether the user's nginx files, or LISTEN_PORT, end TLS in nginx."""
    if "ssl" in boot.settings.old.listen.split():
        return True
    paths = [*boot.users.server, *([boot.users.whole] if boot.users.whole else [])]
    return any(
        one.words[0] == "listen" and "ssl" in one.words
        for path in paths
        for one in nginx_text.directives(text_file.read(path))
    )


def flask_run_port(environ: Mapping[str, str], directory: str) -> tuple[str, str]:
    """The port of `flask run` without one, and who says so: FLASK_RUN_PORT, also of .env and .flaskenv, else 5000."""
    from flagon import envfile  # only who starts so

    for name in ("", ".env", ".flaskenv"):
        found = envfile.read(directory, environ, name)[0] if name else environ
        text = found.get("FLASK_RUN_PORT", "").strip()
        if text:
            return text, f"FLASK_RUN_PORT{f' in {name}' if name else ''}"
    return "5000", "flask run's own port"


def flask_certificate(environ: Mapping[str, str], directory: str) -> str:
    """FLASK_RUN_CERT, which is --cert."""
    from flagon import envfile

    given = [environ, *(envfile.read(directory, environ, name)[0] for name in (".env", ".flaskenv"))]
    return "FLASK_RUN_CERT" if any(found.get("FLASK_RUN_CERT", "").strip() for found in given) else ""
