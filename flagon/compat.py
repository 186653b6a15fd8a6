"""The deprecated images' variables and uwsgi.ini -> our settings, or one line that says why not (docs/migrate.md).

tiangolo/uwsgi-nginx(-flask), meinheld-gunicorn(-flask) and uvicorn-gunicorn: whoever comes from there changes FROM.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from flagon import environments, kinds, text_file, workdir
from flagon.table import SETTINGS

# Names that only those images know. Where one of them is seen, the application was written for one of those images.
MARKS = (
    "UWSGI_INI", "UWSGI_CHEAPER", "UWSGI_PROCESSES", "NGINX_MAX_UPLOAD", "NGINX_WORKER_PROCESSES",
    "NGINX_WORKER_CONNECTIONS", "NGINX_WORKER_OPEN_FILES", "WORKERS_PER_CORE",
)  # fmt: skip
# Words that any application may have. They prove something only with a value of those images' kind: two of them, one of
# which is THEIRS, or one beside a main.py where those images had it.
THEIRS = ("LISTEN_PORT", "MODULE_NAME", "VARIABLE_NAME")
HINTS = (*THEIRS, "STATIC_INDEX", "GUNICORN_CONF", "PRE_START_PATH")  # the last three are names of ours, too
NUMBERS = ("MAX_WORKERS", "KEEP_ALIVE")  # any number is of their kind, so these prove nothing
LAYOUT = ("main.py", os.path.join("app", "main.py"))
RENAMED = {
    "NGINX_MAX_UPLOAD": "MAX_BODY_SIZE", "NGINX_WORKER_CONNECTIONS": "WORKER_CONNECTIONS",
    "KEEP_ALIVE": "KEEPALIVE_TIMEOUT",
}  # fmt: skip
IGNORED = {
    "UWSGI_CHEAPER": "workers are not started and ended by load",
    "NGINX_WORKER_PROCESSES": "nginx's workers follow the container's CPUs",
    "NGINX_WORKER_OPEN_FILES": "the container's own limit holds (docker run --ulimit nofile=...)",
    "HOST": "every address is listened on",
    "ERROR_LOG": "errors always go to the container's log",
}
# All of theirs that are not also ours, marks or not.
NAMES = frozenset({*MARKS, *HINTS, *NUMBERS, "HOST", "BIND", "ERROR_LOG", "ACCESS_LOG", "WORKER_CLASS"})
LISTEN = r"((\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.*-]+):)?[0-9]{1,5}(\s+[a-z0-9_]+(=[A-Za-z0-9:_.-]+)?)*\Z"
WORD = re.compile(r"\w+")
# uWSGI option -> the setting that it means
OPTIONS = {
    "processes": "WEB_CONCURRENCY", "workers": "WEB_CONCURRENCY", "threads": "THREADS", "harakiri": "TIMEOUT",
    "http-timeout": "TIMEOUT", "socket-timeout": "TIMEOUT", "max-requests": "MAX_REQUESTS", "listen": "BACKLOG",
}  # fmt: skip
VARIABLES = "UWSGI_* variables"
COMMAND = "the command uwsgi"
APPLICATION = ("module", "wsgi", "callable", "wsgi-file", "file", "mount")
FOLDERS = ("chdir", "pythonpath", "python-path", "pp", "home", "virtualenv", "venv", "pyhome")
# Nothing is lost without them: this box does it, or uWSGI alone had the question.
NEEDLESS = frozenset(
    "master vacuum single-interpreter enable-threads die-on-term need-app strict show-config plugin plugins "
    "socket uwsgi-socket chmod-socket chown-socket lazy-apps lazy thunder-lock post-buffering "
    "manage-script-name ini pidfile procname procname-prefix auto-procname hook-master-start set-placeholder".split()
)
WHY_NOT = {
    "cheaper": IGNORED["UWSGI_CHEAPER"],
    "py-autoreload": "FLASK_DEBUG=1 loads code again on save",
    "touch-reload": "`flagon reload` or HUP takes new code",
    "reload-on-rss": "MAX_REQUESTS recycles workers",
    "stats": "there is no stats server",
    "logto": "all logs go to the container's log", "logger": "all logs go to the container's log",
    "log-format": "LOG_FORMAT says json or text", "daemonize": "all logs go to the container's log",
    "http-socket": "nginx listens: PORT", "http": "nginx listens: PORT",
    "http-websockets": "WORKER_CLASS=gthread carries WebSockets",
    "attach-daemon": "a Procfile and PROCESSES start more processes",
}  # fmt: skip


Given = dict[str, tuple[str, str]]  # setting -> (text, from where)


class Found(NamedTuple):
    """What the old images' names say."""

    given: Given  # below a setting's own name
    from_file: Given  # the same from uwsgi.ini: below .env
    environment: dict[str, str]  # uwsgi.ini's `env =`
    lines: list[str]  # for the boot: what was ignored and why
    errors: list[str]
    seen: str  # what shows that the image was one of theirs, or ""
    statics: list[tuple[str, str]]  # path, folder: of every static-map but the first
    left: frozenset[str] = frozenset()  # names that are the application's own
    application: str = ""  # module:object of uwsgi.ini
    directory: str = ""  # its chdir
    python_path: tuple[str, ...] = ()
    home: str = ""  # its virtual environment
    listen: str = ""
    named: str = "uwsgi.ini"  # who names the application
    workers_per_core: float | None = None
    max_workers: int = 0
    instead: Mapping[str, tuple[str, str, str]] = {}  # a setting's own name -> text, from where, the variable's name

    @staticmethod
    def foreign(name: str, text: str) -> bool:
        """Their kind of value for a name that is ours too: `given` or `lines` has its meaning."""
        if name == "ACCESS_LOG":
            return text == "-"
        return name == "WORKER_CLASS" and ("meinheld" in text or "uvicorn" in text.lower())

    def workers(self, cpu: float, computed: int) -> int | None:
        """WORKERS_PER_CORE and MAX_WORKERS -> how many; None where neither is given.

        MAX_WORKERS belongs to the uvicorn images, whose least number is 2; it caps what is computed, also below that.
        """
        if self.workers_per_core is None and not self.max_workers:
            return None
        count = computed if self.workers_per_core is None else int(self.workers_per_core * cpu)
        count = max(count, 2 if self.max_workers else 1)
        return min(count, self.max_workers) if self.max_workers else count


def nothing() -> Found:
    """Where none of it is there."""
    return Found({}, {}, {}, [], [], "", [])


def read(environ: Mapping[str, str], directory: str, command: tuple[tuple[str, str], ...] | None = None) -> Found:
    """Everything that the old names say, in the environment and in uwsgi.ini. Raises nothing: see `errors`.

    `command`: the options of a `uwsgi ...` that was to be started. It reads the .ini that it names, and no other.
    """
    named = {name: environ[name].strip() for name in environ if name in NAMES or name.startswith("UWSGI_")}
    of_command = [text for name, text in command or () if name == "ini"]
    given_ini = of_command[-1] if of_command else named.get("UWSGI_INI", "")
    ini = os.path.join(directory, given_ini or "uwsgi.ini")
    has_ini = os.path.isfile(ini) and (command is None or bool(given_ini))
    marks = [name for name in MARKS if named.get(name)]
    marks += [name for name in named if name.startswith("UWSGI_") and name not in MARKS and named[name]]
    marks += [COMMAND] if command is not None else []
    if not marks and not has_ini and NAMES.isdisjoint(environ):
        return nothing()
    hints = [name for name in HINTS if named.get(name) and _is_theirs(name, named, directory)]
    seen = marks[0] if marks else ini if has_ini else _proof(hints, directory)
    found = nothing()._replace(seen=seen)
    if command is not None:
        found = found._replace(named="uwsgi")
    if not seen:
        found, environ = _leave(found, environ, hints, _of_gunicorn(named, directory))
    _variables(environ, found)
    found = _counts(environ, _listen(environ, _bind(environ, found)))
    options: list[tuple[str, str]] = []
    for name, text in named.items():
        if name.startswith("UWSGI_") and name not in ("UWSGI_INI", "UWSGI_CHEAPER") and text:
            options.append((name[6:].lower().replace("_", "-"), text))
    _options(options, found, found.given, VARIABLES)
    if command is not None:
        options += _listens(list(command), found, COMMAND)
        _options(options, found, found.given, COMMAND)
    if given_ini and not has_ini:
        what = f"uwsgi --ini {given_ini}" if of_command else f"UWSGI_INI={given_ini}"
        found.errors.append(f"{what} is not accepted: there is no file {ini}")
    if not has_ini:
        return _application(options, found, directory, VARIABLES) if options else found
    from flagon import uwsgi_ini  # not at each cold start

    try:
        in_file = uwsgi_ini.read(ini, environ)
    except uwsgi_ini.BadIni as error:
        found.errors.append(str(error))
        return found
    if command is not None:
        in_file = _listens(in_file, found, ini)
    _options(in_file, found, found.from_file, ini)
    for setting in found.from_file:  # uWSGI reads its variables first and the file after
        if found.given.get(setting, ("", ""))[1].endswith(VARIABLES):
            del found.given[setting]
    return _application(options + in_file, found, directory, ini)


def _proof(hints: list[str], directory: str) -> str:
    """What ordinary words show that the image was one of theirs; empty if nothing does."""
    if len(hints) > 1 and hints[0] in THEIRS:
        return f"{hints[0]} with {hints[1]}"
    layout = next((name for name in LAYOUT if os.path.isfile(os.path.join(directory, name))), "")
    return f"{hints[0]} with {layout}" if hints and layout else ""


def _is_theirs(name: str, named: Mapping[str, str], directory: str) -> bool:
    """Whether the value is of the kind that it had in those images."""
    text = named[name]
    if name == "LISTEN_PORT":
        return re.match(LISTEN, text) is not None
    if name in ("MODULE_NAME", "VARIABLE_NAME"):
        return _has_object(directory, *module_and_variable(named, directory))
    if name == "GUNICORN_CONF":
        return os.path.isfile(os.path.join(directory, text))
    return text.startswith("/") if name == "PRE_START_PATH" else text in ("0", "1")


def module_and_variable(environ: Mapping[str, str], directory: str) -> tuple[str, str]:
    """MODULE_NAME and VARIABLE_NAME of the gunicorn images; app.main where there is an app/main.py, else main."""
    module, variable = (environ.get(name, "").strip() for name in ("MODULE_NAME", "VARIABLE_NAME"))
    if variable and not module:
        module = "app.main" if os.path.isfile(os.path.join(directory, "app", "main.py")) else "main"
    return module, variable


def _has_object(directory: str, module: str, variable: str) -> bool:
    """Whether a module of the user's has what is to be served; an installed one has whatever is said of it."""
    from flagon import wsgi_source  # not at each cold start

    path = wsgi_source.source_of(workdir.base(directory, module) or directory, module)
    if path is None:
        folders = environments.folders_for(os.environ, directory)
        return any(wsgi_source.source_of(folder, module) for folder in folders)
    if not variable:
        return wsgi_source.find_object(path) is not None
    name = variable.partition("(")[0].partition(".")[0]
    return name in WORD.findall(text_file.read(path))


def _of_gunicorn(named: Mapping[str, str], directory: str) -> bool:
    """Whether BIND is an address with a port, as the gunicorn images had it, and main.py is where they looked.

    MAX_WORKERS means their number of workers then; nothing else follows from it.
    """
    host, colon, port = named.get("BIND", "").rpartition(":")
    layout = any(os.path.isfile(os.path.join(directory, name)) for name in LAYOUT)
    return bool(host and colon) and port.isdigit() and named.get("MAX_WORKERS", "").isdigit() and layout


def _leave(
    found: Found, environ: Mapping[str, str], hints: list[str], counted: bool
) -> tuple[Found, Mapping[str, str]]:
    """Without a proof: the words that are the application's own, a line for them, and the environment without them."""
    instead = {
        "LISTEN_PORT": "PORT says where to listen", "MAX_WORKERS": "WEB_CONCURRENCY says how many workers",
        "MODULE_NAME": "APP_MODULE says what to serve", "VARIABLE_NAME": "APP_MODULE says what to serve",
    }  # fmt: skip
    left = [name for name in instead if environ.get(name, "").strip() and (name not in hints or name == "LISTEN_PORT")]
    if counted and "MAX_WORKERS" in left:
        left.remove("MAX_WORKERS")
    for name in left:
        found.lines.append(
            f"{name}={environ[name].strip()} is left to the application, as nothing else here is of one of the old "
            f"images: {instead[name]} (docs/migrate.md)"
        )
    rest = {name: text for name, text in environ.items() if name not in left}
    return found._replace(left=frozenset(left)), rest


def _listens(options: list[tuple[str, str]], found: Found, source: str) -> list[tuple[str, str]]:
    """Options of a uWSGI that was to listen itself, without those that say where: its port is ours."""
    last = dict(options)
    plain = last.get("protocol") in ("http", None) and "http" not in last and "http-socket" not in last
    http = (
        last.get("http") or last.get("http-socket") or (last.get("socket", "") if "protocol" in last and plain else "")
    )
    port = http.rpartition(":")[2]
    if port.isdigit():
        found.given.setdefault("PORT", (port, f"{source}: {http}"))
    elif last.get("socket", "").rpartition(":")[2].isdigit():
        found.lines.append(
            f"{source}: socket {last['socket']} is ignored: uWSGI's protocol is not spoken here. In an nginx "
            "before this box proxy_pass takes the place of uwsgi_pass"
        )
    where = ("http", "http-socket", "protocol", "ini") if port.isdigit() else ("ini",)
    return [(name, value) for name, value in options if name not in where]


def _variables(environ: Mapping[str, str], found: Found) -> None:
    """Plain renames, and what has no meaning here. Empty counts as unset, but for ACCESS_LOG."""
    for name, setting in RENAMED.items():
        if environ.get(name, "").strip():
            found.given[setting] = (environ[name], name)
    if found.seen and "MAX_BODY_SIZE" not in found.given:
        found.given["MAX_BODY_SIZE"] = ("0", f"{found.seen} is seen: no limit, as in the old images")
    for name, why in IGNORED.items():
        text = environ.get(name, "").strip()
        if text and text not in ("0.0.0.0", "-") and not (name == "UWSGI_CHEAPER" and text == "0"):
            found.lines.append(f"{name}={text} is ignored: {why}")
    if "ACCESS_LOG" in environ:
        text = environ["ACCESS_LOG"].strip()
        if text in ("", "-"):
            found.given["ACCESS_LOG"] = ("on" if text else "off", f"ACCESS_LOG={text}")
    worker = environ.get("WORKER_CLASS", "")
    if found.foreign("WORKER_CLASS", worker):
        found.lines.append(why_foreign(f"WORKER_CLASS={worker}"))


def why_foreign(given: str) -> str:
    """The line for a worker class of the old images, or of uvicorn."""
    why = "Meinheld is dead" if "meinheld" in given else "gunicorn's own asgi takes its place, where the object is ASGI"
    return f"{given} is ignored: {why}"


def _bind(environ: Mapping[str, str], found: Found) -> Found:
    """BIND, which stood in the place of HOST:PORT in the old gunicorn images, where it has a port."""
    bind = environ.get("BIND", "").strip()
    if not bind:
        return found
    from flagon.gunicorn_args import port_of  # not at each cold start

    port = port_of(bind)
    if port is None or not port.isdigit():
        found.lines.append(f"BIND={bind} is ignored: only its port can be taken, nginx listens")
        return found
    if not bind.endswith(port):  # gunicorn's own port is meant: what is said beats it
        found.given["PORT"] = (port, f"BIND={bind}")
        return found
    ours, plain = (environ.get(name, "").strip() for name in ("FLAGON_PORT", "PORT"))
    if ours and not ours.startswith("tcp://"):
        if ours != port:
            found.lines.append(f"BIND={bind} is not listened on: FLAGON_PORT={ours} says otherwise")
    elif plain and plain != port:
        found.lines.append(
            f"PORT={plain} is not listened on: BIND={bind} stands in its place, as in the old gunicorn images. "
            "Unset BIND, or set FLAGON_PORT, which wins"
        )
    return found._replace(instead={"PORT": (port, f"BIND={bind}", "BIND")})


def _listen(environ: Mapping[str, str], found: Found) -> Found:
    text = environ.get("LISTEN_PORT", "").strip()
    if not text:
        return found
    if not re.match(LISTEN, text):
        found.errors.append(f"LISTEN_PORT={text!r} is not accepted; accepted: 8080, 443 ssl, [::]:80, 127.0.0.1:80")
        return found
    return found._replace(listen=text)


def _counts(environ: Mapping[str, str], found: Found) -> Found:
    """WORKERS_PER_CORE, a number above 0; MAX_WORKERS, a whole number, 0 for no limit."""
    per_core, most = (environ.get(name, "").strip() for name in ("WORKERS_PER_CORE", "MAX_WORKERS"))
    if per_core and not (re.fullmatch(r"[0-9]+(\.[0-9]+)?|\.[0-9]+", per_core) and float(per_core) > 0):
        found.errors.append(f"WORKERS_PER_CORE={per_core!r} is not accepted; accepted: a number above 0, such as 0.5")
        per_core = ""
    if most and not most.isdigit():
        found.errors.append(f"MAX_WORKERS={most!r} is not accepted; accepted: a whole number, 0 for no limit")
        most = ""
    return found._replace(workers_per_core=float(per_core) if per_core else None, max_workers=int(most or 0))


def _options(options: list[tuple[str, str]], found: Found, given: Given, source: str) -> None:
    """uWSGI's options -> settings, and one line for all that is ignored."""
    ignored: list[str] = []
    where = os.path.basename(source)
    for name, value in options:
        if name in OPTIONS:
            if value not in ("0", "true") or (name, value) == ("harakiri", "0"):
                given[OPTIONS[name]] = (value, f"{name} in {where}")
        elif name in ("uid", "gid") and _number(name, value) is None:
            ignored.append(f"{name} (there is no {'user' if name == 'uid' else 'group'} {value} here)")
        elif name in SPECIAL:
            SPECIAL[name](name, value, given, where)
        elif name == "env":
            variable, _, text = value.partition("=")
            found.environment[variable.strip()] = text.strip()
        elif name in WHY_NOT or name.startswith("cheaper"):
            ignored.append(f"{name} ({WHY_NOT.get(name, WHY_NOT['cheaper'])})")
        elif name not in NEEDLESS and name not in APPLICATION and name not in FOLDERS:
            ignored.append(f"{name} (an option of uWSGI alone)")
    _further_statics(found, given)
    alone = given.pop("RUN_AS")[0] if given.get("RUN_AS", ("", ""))[0].startswith(":") else ""
    if alone and alone not in (f":{os.getegid()}", f":{_number('gid', 'nginx')}"):
        ignored.append("gid (RUN_AS=uid:gid says who everything runs as)")
    if "buffer-size" in given.get("HEADER_BUFFERS", ("", ""))[1]:
        found.lines.append(
            f"{source}: buffer-size is taken as far as it goes: all headers together may have 40 kB, one of them 8 kB. "
            "For a longer one set WORKER_CLASS=gthread and HEADER_SIZE, up to 64k"
        )
    if ignored:
        found.lines.append(f"{source}: ignored: " + ", ".join(dict.fromkeys(ignored)))


def _buffer_size(name: str, value: str, given: Given, where: str) -> None:
    """uWSGI's whole header block; ours is 32 KB by default, and 40 KB is the most that the wire carries."""
    if value.isdigit() and int(value) > 32768:
        given["HEADER_BUFFERS"] = ("5", f"{name} in {where}")


def _gevent(name: str, value: str, given: Given, where: str) -> None:
    given["WORKER_CLASS"] = ("gevent", f"{name} in {where}")


def _number(name: str, value: str) -> str | None:
    """The number of a user (`uid`) or a group (`gid`); None if there is none of that name."""
    import grp
    import pwd

    if value.isdigit():
        return value
    try:
        return str(pwd.getpwnam(value).pw_uid if name == "uid" else grp.getgrnam(value).gr_gid)
    except KeyError:
        return None


def _user(name: str, value: str, given: Given, where: str) -> None:
    """uid and gid, numbers or names, -> RUN_AS."""
    uid, _, gid = given.get("RUN_AS", ("", ""))[0].partition(":")
    number = _number(name, value) or ""
    uid, gid = (number, gid) if name == "uid" else (uid, number)
    given["RUN_AS"] = (f"{uid}:{gid}" if gid else uid, f"{name} in {where}")


def _no_log(name: str, value: str, given: Given, where: str) -> None:
    given["ACCESS_LOG"] = ("off", f"{name} in {where}")


def _static(name: str, value: str, given: Given, where: str) -> None:
    """static-map = /static=/app/static: the first one is our setting, for further ones see _further_statics."""
    url, _, path = value.partition("=")
    if "STATIC_URL" not in given and path:
        given["STATIC_URL"], given["STATIC_PATH"] = (url, f"{name} in {where}"), (path, f"{name} in {where}")
    elif path:
        given[f"{name} {value}"] = (value, f"{name} in {where}")


def _further_statics(found: Found, given: Given) -> None:
    """Each is served below its path; uWSGI looks into several folders of one path, nginx into one."""
    for key in [key for key in given if key.startswith("static-map ")]:
        value, where = given.pop(key)
        url, _, path = value.partition("=")
        taken = {given["STATIC_URL"][0].rstrip("/"): given["STATIC_PATH"][0], **dict(found.statics)}
        try:
            url, path = kinds.prefix(url, SETTINGS["STATIC_URL"]), kinds.path(path, SETTINGS["STATIC_PATH"])
        except ValueError as error:
            found.lines.append(f"{where}: {value} is ignored; accepted: {error}")
            continue
        if url in taken or not url:
            first = taken.get(url) or "STATIC_PATH"
            found.lines.append(
                f"{where}: {value} is ignored: nginx looks into one folder below {url or '/'}, {first}. "
                "Copy both into one in the Dockerfile"
            )
        elif (url, path) not in found.statics:
            found.statics.append((url, path))


SPECIAL: dict[str, Callable[[str, str, Given, str], None]] = {
    "buffer-size": _buffer_size,
    "gevent": _gevent,
    "uid": _user,
    "gid": _user,
    "disable-logging": _no_log,
    "static-map": _static,
}


def _application(options: list[tuple[str, str]], found: Found, directory: str, ini: str) -> Found:
    """module, callable, wsgi-file, mount, chdir, pythonpath, virtualenv."""
    last = dict(options)
    folder = os.path.join(directory, last["chdir"]) if "chdir" in last else ""
    module = last.get("module") or last.get("wsgi") or ""
    file = last.get("wsgi-file") or last.get("file") or ""
    if "mount" in last:
        prefix, _, module = last["mount"].partition("=")
        if len(prefix) > 1:
            found.from_file["URL_PREFIX"] = (prefix, f"mount in {os.path.basename(ini)}")
        if sum(name == "mount" for name, _ in options) > 1:
            found.lines.append(f"{ini}: of several mount lines only {prefix} is served")
    target = module or file
    if "callable" in last:
        target = f"{target.partition(':')[0] or 'main'}:{last['callable']}"
    elif file and not module and ":" not in target:
        # uWSGI looks for `application` there; another name is tried where the file does not have it
        target = os.path.relpath(file, folder or directory) if os.path.isabs(file) else file
    path = [os.path.join(directory, value) for name, value in options if name in ("pythonpath", "python-path", "pp")]
    home = next((value for name, value in options if name in ("home", "virtualenv", "venv", "pyhome")), "")
    home = os.path.join(directory, home) if home else ""
    return found._replace(application=target, directory=folder, python_path=tuple(path), home=home)
