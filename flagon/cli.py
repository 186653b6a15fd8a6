"""The verbs, serve by default; anything that is no verb is run in the application's environment."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import shlex
import sys
from typing import TYPE_CHECKING

from flagon import (
    CONFIGURATION_ERROR,
    NOT_EXECUTABLE,
    NOT_FOUND,
    USAGE_ERROR,
    __version__,
    commands,
    early,
    hooks,
    secrets_store,
    step,
    timeline,
    workdir,
)  # fmt: skip
from flagon.boot import Boot, BootError, NoApplication
from flagon.settings import SettingsError

if TYPE_CHECKING:
    from flagon.handover import Box

VERBS = (
    "serve", "check", "config", "reload", "migrate", "backup", "restore", "purge", "secret", "starter", "static",
    "version", "help",
)  # fmt: skip
USAGE = """usage: flagon [serve [COMMAND ...] | check [COMMAND ...] |
               config [--json | --markdown | --schema | --fragments] | reload | migrate |
               backup [--to FILE] | restore FILE | static build [FOLDER ...] | purge | secret | starter | version]
  serve    nginx, gunicorn and the application (default), as the words of a server say it if they follow:
           flagon serve gunicorn -w 2 -b :5000 app:app
  check    settings, application and nginx configuration, with the words of a CMD if they follow; exit code 0 or 78.
           FLAGON_CHECK=1 has the container itself check, its CMD and hooks included, in place of its start
  reload   the box that serves in this container takes new code and secrets, if they are good; exit code 0 or 1
  migrate  brings the database's schema to head, once; waits DATABASE_WAIT for the database
  backup   a copy of the SQLite database, also while serving; --to - is standard output
  restore  the SQLite database from such a copy, also while serving; - is standard input
  config   every setting's value and where it came from
  secret   a random SECRET_KEY
  static   build: digested names and compressed copies of static files, in a Dockerfile: RUN flagon static build
  purge    the box that serves in this container forgets every page that nginx keeps
  starter  the starter application and a Dockerfile, as a tar on standard output
anything else is run in the application's environment, such as: flask routes, bash, python -c ..."""


def say_errors(errors: list[str]) -> int:
    """All errors in one message on standard error, which is where a failed start is looked for."""
    print("flagon: cannot start:\n" + "\n".join("  - " + error for error in errors), file=sys.stderr)
    return CONFIGURATION_ERROR


def script_of_procfile() -> list[str]:
    """The words of the `web:` line, where it is a script that ends in what is served, and no application is found."""
    if not os.path.isfile("Procfile"):  # a boot more, which few have to pay
        return []
    from flagon import procfile

    boot = Boot(os.environ, os.getcwd(), keeps=False)
    words = procfile.script(boot)
    if not words:
        return []
    boot.insists = False
    boot.choose_places(fresh=False)
    try:
        boot.resolve_secrets()
        boot.install_packages()
        boot.choose()
    except NoApplication:
        return words
    except BootError:
        pass  # the start says it
    return []


def serve(command: list[str] | None = None) -> int:
    """Boot, run supervisord in this interpreter until the end, return the recorded exit code."""
    from flagon import access, dangers, guard, masking, process_one, procfile
    from flagon.handover import Box, application_environment

    if command is None and (words := script_of_procfile()):
        early.end()
        print(f"flagon: the Procfile's `web:` line is run: {shlex.join(words)}", file=sys.stderr, flush=True)
        return run_command(words)
    given = command
    boot, environ, command = hooks.after(Boot(os.environ, os.getcwd(), command), command)
    boot.choose()
    boot.listen()
    if boot.users.any:
        from flagon import check

        if errors := check.nginx(boot):
            raise BootError("\n".join(errors))
    boot.warnings += dangers.in_image(boot.directory) + access.lines(boot)
    boot.warnings += (*(boot.served.lines if boot.served else ()), *guard.lines(boot))
    boot.warnings += (*procfile.lines(boot, command is not None), *filter(None, [process_one.line()]))
    if given and boot.served:
        off = "" if boot.served.always else "; SERVE_CMD=off runs it as it is"
        shown = masking.command(" ".join(given))
        boot.warnings.append(f"the command `{shown}` is served through nginx and gunicorn instead{off}")
    box = Box(boot, environ, command)
    box.tell()
    environment = application_environment(boot)
    directory = boot.working_directory or boot.application.directory
    if early.started and not early.started.go(boot.python, environment, directory, boot.run):
        early.started = None
    timeline.mark("decided")
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    return supervise(box)


def supervise(box: Box) -> int:
    """supervisord's main() with our plug-in."""
    import tempfile

    from flagon import slim

    slim.prepare()
    tempfile.tempdir = box.run  # supervisord asks for one at import, and there may be no other
    from supervisor import supervisord

    from flagon import programs, supervision

    timeline.mark("supervisord imported")
    gc.freeze()
    gc.enable()
    supervision.prepare(box)
    supervisord.ServerOptions.usage = programs.refuse(box.boot.programs)
    try:
        supervisord.main(["-c", os.path.join(box.run, "supervisord.conf")])
    except programs.BadProgram as error:
        raise BootError(str(error)) from None
    plugin = supervision.current
    if plugin is None:
        return 1
    plugin.finish_logs()
    if plugin.exit_code is None:
        box.output.record("flagon", "info", "stopped")
    return plugin.exit_code or 0


def migrate(rest: list[str]) -> int:
    """Bring the schema to head once: for release phases, pre-deploy commands and Jobs. Returns only on misuse."""
    from flagon.handover import application_environment, launcher
    from flagon.launch_options import launch_options
    from flagon.text_file import write

    if rest:
        print(USAGE, file=sys.stderr)
        return USAGE_ERROR
    boot = Boot(os.environ, os.getcwd())
    boot.insists = False
    boot.decide(fresh=False)
    boot.refuse_to_lose_data()
    folder = os.path.join(boot.run, "once")  # beside the files of a box that may serve from here
    os.makedirs(folder, mode=0o700, exist_ok=True)
    write(os.path.join(folder, "launch.json"), json.dumps(launch_options(boot, folder)))
    write(os.path.join(folder, "migrate"), launcher(folder, boot.python, "run-migrate.py", supervised=False))
    for line in boot.settings.warnings + boot.warnings:
        boot.output.record("flagon", "warning", line)
    os.chdir(boot.application.directory)
    words = ["/bin/sh", os.path.join(folder, "migrate"), "--once"]
    return os.execve(words[0], words, application_environment(boot))


def run_command(words: list[str], served: bool = False) -> int:
    """Replace this process by a command, in the application's environment and as its user.

    `served`: it starts a server, and SERVE_CMD=off says that this is meant.
    """
    from flagon.handover import application_environment, environment_without_application

    boot = Boot(os.environ, os.getcwd())
    boot.insists = False
    boot.choose_places(fresh=False)
    boot.resolve_secrets()
    if boot.settings.sources["SECRET_KEY"] == secrets_store.FOR_A_COMMAND:
        print(f"flagon: {boot.warnings[-1]}", file=sys.stderr)
    try:
        boot.install_packages()
    except BootError as error:
        if os.path.basename(words[0]) not in commands.SHELLS:
            raise
        print(f"flagon: {error}", file=sys.stderr)  # a shell is what mends it
    try:
        boot.choose()
    except BootError:
        environment, place = environment_without_application(boot), workdir.origin
    else:
        environment = application_environment(boot)
        place = workdir.origin if commands.names_what_is_here(words) else boot.application.directory
    if place and not commands.names_what_is_beside(words):
        os.chdir(place)
    environment["FLAGON_ADDED"] = commands.added(environment)
    from flagon import past_nginx

    words = words if served else past_nginx.without_runner(words, os.environ, os.getcwd())
    if not served and (line := past_nginx.line(words, os.environ, os.getcwd())):
        print(f"flagon: warning: {line}", file=sys.stderr)
    program = past_nginx.real(words[0], environment.get("PATH", os.defpath))
    if not boot.origin.is_own and past_nginx.runs_on_ours(program):
        words = [*boot.origin.runs(program), *words[1:]]  # `flask` of ours, with their packages
    try:
        os.execvpe(past_nginx.real(words[0], environment.get("PATH", os.defpath)), words, environment)
    except FileNotFoundError:
        import shutil

        from flagon import line_ends

        script = shutil.which(words[0], path=environment.get("PATH")) or ""
        if why := line_ends.advice(script):  # the kernel has looked for `/bin/sh\r`
            print(f"flagon: {why}", file=sys.stderr)
            return NOT_FOUND
        why = past_nginx.no_program(words, os.getcwd())
        print(f"flagon: {words[0]}: no such command (verbs: {', '.join(VERBS)}): {why}", file=sys.stderr)
        return NOT_FOUND
    except OSError as error:
        why = error.strerror or ""
        if isinstance(error, PermissionError) and os.path.isfile(words[0]):
            by = "python" if words[0].endswith(".py") else "sh"
            why += f': in the Dockerfile, RUN chmod +x {words[0]}, or CMD ["{by}", "{words[0]}"]'
        print(f"flagon: {words[0]}: {why}", file=sys.stderr)
        return NOT_EXECUTABLE


def main(arguments: list[str]) -> int:
    """Exit code of the verb. Configuration errors are 78."""
    commands.complete_path(os.environ)
    if arguments[:1] == ["flagon"]:  # CMD ["flagon", "serve"] behind an ENTRYPOINT that is flagon already
        arguments = arguments[1:]
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("serve", [])
    if verb in VERBS and rest in (["--help"], ["-h"]):
        print(USAGE)
        return 0
    if verb in ("reload", "secret", "version") and rest:
        print(USAGE, file=sys.stderr)
        return USAGE_ERROR
    commands.take_back_added()
    commands.switch_reload_on(arguments, os.environ)
    if verb not in workdir.ELSEWHERE:
        workdir.enter(arguments if verb not in VERBS else rest if verb in ("serve", "check") else [], os.environ)
    try:
        if verb == "serve" and rest:
            if commands.served_instead(rest, os.environ, os.getcwd()) is None:
                print(f"flagon: {not_served(rest)}", file=sys.stderr)
                return USAGE_ERROR
            verb, arguments = rest[0], rest
        if verb == "check":
            return check(rest)
        if commands.checks_instead() and (verb in ("serve", "migrate") or verb not in VERBS):
            return check(arguments, as_start=True)
        if verb == "serve":
            return serve()
        if verb == "reload":
            from flagon import ask

            return ask.reload()
        if verb == "migrate":
            return migrate(rest)
        if verb == "backup":
            from flagon import backup

            return backup.run(rest)
        if verb == "restore":
            from flagon import restore

            return restore.run(rest)
        if verb == "config":
            from flagon import show

            return show.run(rest)
        if verb == "starter":
            from flagon import starter

            return starter.run(rest)
        if verb == "static":
            from flagon import static_build

            return static_build.run(rest)
        if verb == "purge":
            from flagon import cache

            return cache.purge(rest)
        if verb == "secret":
            print(secrets_store.random_key())
            return 0
        if verb in ("version", "--version", "-V", "-v"):
            print(__version__)
            return 0
        if verb in ("help", "--help", "-h"):
            print(USAGE)
            return 0
        return other_command(arguments)
    except SettingsError as error:
        return say_errors(error.errors)
    except BootError as error:
        return say_errors([str(error)])
    except hooks.Failed as error:
        say_errors([str(error)])
        return error.code
    except step.Stopped:
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        if verb in ("reload", "backup", "restore", "purge", "starter", "static"):
            print(f"flagon: {verb}: {no_room(error)}", file=sys.stderr)
            return 1
        return say_errors([no_room(error)])


def no_room(error: OSError) -> str:
    """What to do where a file system is full: which one, if the error or the file system itself says it."""
    given = [os.environ.get(name) for name in ("FLAGON_RUNTIME_DIR", "RUNTIME_DIR", "FLAGON_DATA_DIR", "DATA_DIR")]
    full = [error.filename] if error.filename else []
    for folder in dict.fromkeys([*filter(None, given), "/run", "/data", "/tmp"] if not full else []):
        with contextlib.suppress(OSError):
            room = os.statvfs(folder)
            if not room.f_bavail or (room.f_files and not room.f_favail):
                full.append(folder)
    where = ", ".join(map(str, full)) or "a folder that is written to (/run, /data, /tmp)"
    return f"{where}: {error.strerror}: make room there, or mount a larger file system in its place"


def check(words: list[str], as_start: bool = False) -> int:
    """`flagon check`, with the words of the container's command; or a start that is to check (FLAGON_CHECK)."""
    from flagon import check

    early.end()
    words = words[1:] if words[:1] == ["serve"] else words
    command = words if words and words[0] not in VERBS else None
    if words in ([], ["serve"]):
        command = script_of_procfile() or None
    if command and not is_served(command):
        return check.program(command)
    return say_errors(errors) if (errors := check.run(command, as_start)) else 0


def not_served(words: list[str]) -> str:
    """What to do with words behind `serve` that start no server."""
    line = " ".join(words)
    return (
        f"`serve {line}`: these words start no server that is read here (gunicorn, flask run, python app.py, uwsgi, "
        f"waitress-serve ...). `flagon serve` alone finds the application by itself, `flagon {line}` runs the command"
    )


def is_served(words: list[str]) -> bool:
    """Whether this command is an old image's, or a bare server's, and is served instead of run."""
    from flagon import settings

    served = commands.served_instead(words, os.environ, os.getcwd())
    return bool(served and (served.always or settings.one("SERVE_CMD", os.environ, os.getcwd())))


def other_command(words: list[str]) -> int:
    """An old image's CMD is served; any other command is run."""
    if os.path.basename(words[0]) == "supervisord":
        from flagon import foreign_supervisord

        said, code = foreign_supervisord.answer(words)
        if said:
            print(said, file=sys.stderr if code else sys.stdout)
            return code
    if is_served(words):
        return serve(words)
    return run_command(words, commands.served_instead(words, os.environ, os.getcwd()) is not None)
