"""The deprecated images' variables and uwsgi.ini options, a row each: what becomes of them, and of an empty value."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import os
import pwd

import pytest

from flagon import application, compat, locate, uwsgi_ini
from flagon.boot import Boot
from flagon.settings import SettingsError, resolve

# variable, value, setting, what it becomes; and an empty one counts as unset
MAPPED = [
    ("UWSGI_PROCESSES", "16", "WEB_CONCURRENCY", 16),
    ("UWSGI_THREADS", "3", "THREADS", 3),
    ("UWSGI_HARAKIRI", "90", "TIMEOUT", 90.0),
    ("UWSGI_LISTEN", "100", "BACKLOG", 100),
    ("UWSGI_MAX_REQUESTS", "500", "MAX_REQUESTS", 500),
    ("UWSGI_BUFFER_SIZE", "65535", "HEADER_BUFFERS", 5),
    ("NGINX_MAX_UPLOAD", "1m", "MAX_BODY_SIZE", 1 << 20),
    ("NGINX_MAX_UPLOAD", "0", "MAX_BODY_SIZE", 0),
    ("NGINX_WORKER_CONNECTIONS", "2048", "WORKER_CONNECTIONS", 2048),
    ("KEEP_ALIVE", "7", "KEEPALIVE_TIMEOUT", 7.0),
    ("BIND", "0.0.0.0:5000", "PORT", 5000),
    ("STATIC_URL", "/content", "STATIC_URL", "/content"),
    ("STATIC_PATH", "/app/content", "STATIC_PATH", "/app/content"),
    ("STATIC_INDEX", "1", "STATIC_INDEX", True),
    ("STATIC_INDEX", "0", "STATIC_INDEX", False),
    ("APP_MODULE", "custom.main:api", "APP_MODULE", "custom.main:api"),
    ("WEB_CONCURRENCY", "3", "WEB_CONCURRENCY", 3),
    ("PORT", "8000", "PORT", 8000),
    ("LOG_LEVEL", "warning", "LOG_LEVEL", "warning"),
    ("TIMEOUT", "120", "TIMEOUT", 120.0),
    ("GRACEFUL_TIMEOUT", "120", "GRACEFUL_TIMEOUT", 120.0),
    ("PRE_START_PATH", "/app/before.sh", "PRE_START_PATH", "/app/before.sh"),
    ("ACCESS_LOG", "-", "ACCESS_LOG", True),
    ("WORKER_CLASS", "gthread", "WORKER_CLASS", "gthread"),
    ("GUNICORN_CMD_ARGS", "--timeout 61 --log-level debug", "TIMEOUT", 61.0),
]  # fmt: skip
# variable, value, what its line says
NAMED = [
    ("UWSGI_CHEAPER", "2", "not started and ended by load"),
    ("NGINX_WORKER_PROCESSES", "auto", "follow the container's CPUs"),
    ("NGINX_WORKER_OPEN_FILES", "4096", "ulimit"),
    ("UWSGI_PY_AUTORELOAD", "1", "FLASK_DEBUG=1"),
    ("UWSGI_STATS", "127.0.0.1:1717", "no stats server"),
    ("UWSGI_OFFLOAD_THREADS", "2", "an option of uWSGI alone"),
    ("HOST", "127.0.0.1", "every address"),
    ("ERROR_LOG", "/var/log/error", "errors always go"),
    ("BIND", "unix:/tmp/x.sock", "only its port"),
    ("WORKER_CLASS", "egg:meinheld#gunicorn_worker", "Meinheld"),
    ("WORKER_CLASS", "uvicorn.workers.UvicornWorker", "ASGI"),
    ("STATIC_INDEX", "true", "1 (or on)"),
]  # fmt: skip
# variable, value, what is refused: with code 78, as theirs ended too
REFUSED = [
    ("LISTEN_PORT", "http", "443 ssl"), ("LISTEN_PORT", "80; listen 81", "443 ssl"), ("LISTEN_PORT", "80 {", "443 ssl"),
    ("WORKERS_PER_CORE", "many", "a number above 0"), ("WORKERS_PER_CORE", "0", "a number above 0"),
    ("MAX_WORKERS", "few", "a whole number"), ("UWSGI_INI", "missing.ini", "there is no file"),
]  # fmt: skip
# every variable of the contract's sections 1.1 to 1.3; the others of them are read where they matter, see tests/image
CONTRACT = frozenset(
    "UWSGI_INI UWSGI_CHEAPER UWSGI_PROCESSES NGINX_MAX_UPLOAD NGINX_WORKER_PROCESSES NGINX_WORKER_CONNECTIONS "
    "NGINX_WORKER_OPEN_FILES LISTEN_PORT STATIC_URL STATIC_PATH STATIC_INDEX APP_MODULE WORKERS_PER_CORE WEB_CONCURRENCY "
    "HOST PORT BIND LOG_LEVEL GUNICORN_CMD_ARGS WORKER_CLASS PRE_START_PATH MAX_WORKERS ACCESS_LOG ERROR_LOG "
    "GRACEFUL_TIMEOUT TIMEOUT KEEP_ALIVE".split()
)  # fmt: skip


def read(folder, **environ):
    return resolve(environ, str(folder))


def test_the_contract_has_no_row_without_a_test():
    assert {row[0] for row in (*MAPPED, *NAMED, *REFUSED)} >= CONTRACT


@pytest.mark.parametrize(("name", "value", "setting", "expected"), MAPPED)
def test_mapped(tmp_path, name, value, setting, expected):
    settings = read(tmp_path, **{name: value})
    assert settings[setting] == expected
    assert name in settings.sources[setting] or setting == "TIMEOUT" or name.startswith("UWSGI_")
    assert not [line for line in settings.warnings if name in line]


@pytest.mark.parametrize("name", sorted({row[0] for row in MAPPED} | {row[0] for row in NAMED} - {"ACCESS_LOG"}))
def test_empty_counts_as_unset(tmp_path, name):
    before = read(tmp_path)
    settings = read(tmp_path, **{name: ""})
    same = {setting: value for setting, value in settings.values.items() if setting != "ACCESS_LOG"}
    assert same == {setting: value for setting, value in before.values.items() if setting != "ACCESS_LOG"}
    assert settings.warnings == []
    assert not settings.old.seen


def test_an_empty_access_log_is_off(tmp_path):
    """UG: set but empty is None, the only empty value that those images gave a meaning."""
    settings = read(tmp_path, ACCESS_LOG="")
    assert settings["ACCESS_LOG"] is False
    assert settings.sources["ACCESS_LOG"] == "ACCESS_LOG="


@pytest.mark.parametrize(("name", "value", "words"), NAMED)
def test_named_in_one_line(tmp_path, name, value, words):
    settings = read(tmp_path, **{name: value})
    (line,) = [line for line in settings.warnings if words in line]
    assert name in line or name.startswith("UWSGI_")


@pytest.mark.parametrize(("name", "value", "words"), REFUSED)
def test_refused(tmp_path, name, value, words):
    with pytest.raises(SettingsError, match="is not accepted") as error:
        read(tmp_path, **{"UWSGI_CHEAPER": "0", name: value})
    assert name in str(error.value)
    assert words in str(error.value)


def test_worker_counts():
    found = compat.nothing()
    assert found.workers(2, 5) is None
    assert found._replace(workers_per_core=2).workers(2, 5) == 4
    assert found._replace(workers_per_core=0.4).workers(2, 5) == 1  # theirs: no worker at all
    assert found._replace(workers_per_core=0.4, max_workers=9).workers(2, 5) == 2
    assert found._replace(workers_per_core=4.0, max_workers=1).workers(2, 5) == 1
    assert found._replace(max_workers=3).workers(2, 5) == 3


def test_our_own_names_win(tmp_path):
    settings = read(
        tmp_path, UWSGI_PROCESSES="16", WEB_CONCURRENCY="3", NGINX_MAX_UPLOAD="5m", FLAGON_MAX_BODY_SIZE="7m"
    )
    assert (settings["WEB_CONCURRENCY"], settings["MAX_BODY_SIZE"]) == (3, 7 << 20)


def test_a_mark_means_one_thread_and_no_limit(tmp_path):
    settings = read(tmp_path, UWSGI_CHEAPER="0")
    assert (settings["THREADS"], settings.sources["THREADS"]) == (1, "UWSGI_CHEAPER is seen")
    assert settings["MAX_BODY_SIZE"] == 0
    assert read(tmp_path, UWSGI_CHEAPER="0", THREADS="8")["THREADS"] == 8
    assert read(tmp_path, UWSGI_CHEAPER="0", UWSGI_THREADS="6")["THREADS"] == 6
    assert read(tmp_path)["THREADS"] == 4


@pytest.mark.parametrize("name", sorted(compat.MARKS))
def test_every_mark(tmp_path, name):
    value = {"UWSGI_INI": "uwsgi.ini"}.get(name, "80")
    (tmp_path / "uwsgi.ini").write_text("[uwsgi]\nmodule = main\n" if name == "UWSGI_INI" else "")
    assert read(tmp_path, **{name: value}).old.seen


OBJECT = "from flask import Flask\napp = api = Flask(__name__)\n"
# Words that any application may have, by themselves beside an app.py
WORDS = [
    {"LISTEN_PORT": "9999"}, {"LISTEN_PORT": "http"}, {"STATIC_INDEX": "1"}, {"STATIC_INDEX": "yes"}, {"MODULE_NAME": "billing"},
    {"MODULE_NAME": "plain"}, {"MODULE_NAME": "app"}, {"MODULE_NAME": "no such/module"}, {"VARIABLE_NAME": "foo"}, {"MAX_WORKERS": "16"}, {"MAX_WORKERS": "1"},
    {"MAX_WORKERS": "few"}, {"KEEP_ALIVE": "1h"}, {"KEEP_ALIVE": "7"}, {"GUNICORN_CONF": "conf.py"}, {"PRE_START_PATH": "/app/x.sh"},
    {"MAX_WORKERS": "16", "KEEP_ALIVE": "5"}, {"GUNICORN_CONF": "conf.py", "PRE_START_PATH": "/app/x.sh"},
    {"WORKER_CLASS": "celery", "STREAMS_MAX": "5", "MODULE_NAME": "billing", "MAX_WORKERS": "16", "KEEP_ALIVE": "1h",
     "VARIABLE_NAME": "foo", "LISTEN_PORT": "9999", "STATIC_INDEX": "yes"},
]  # fmt: skip


@pytest.mark.parametrize("environ", WORDS)
def test_ordinary_words_switch_no_mode(tmp_path, environ):
    (tmp_path / "app.py").write_text(OBJECT)
    (tmp_path / "plain.py").write_text("rates = 3\n")
    (tmp_path / "conf.py").write_text("timeout = 9\n")
    boot = Boot({"RUNTIME_DIR": str(tmp_path), "DATA_DIR": str(tmp_path), **environ}, str(tmp_path))
    boot.choose_places(fresh=False)
    settings = boot.settings
    assert (settings.old.seen, settings.old.listen, settings.old.max_workers) == ("", "", 0)
    assert (settings["THREADS"], settings["MAX_BODY_SIZE"], settings["WORKER_CLASS"]) == (4, 32 << 20, None)
    assert locate.locate(str(tmp_path), application.clues(boot)).target == "app:app"
    for name in {"LISTEN_PORT", "MAX_WORKERS", "VARIABLE_NAME"} & environ.keys():
        assert [line for line in settings.warnings if line.startswith(f"{name}={environ[name]} is left")]


# MAX_WORKERS beside an address and a port in BIND, and main.py where the gunicorn images had it: their number of workers
COUNTED = [
    ("0.0.0.0:80", "1", "app/main.py", 1), ("[::]:8000", "1", "main.py", 1), ("0.0.0.0:80", "2", "main.py", 2),
    # no address, no port, no number, another file
    ("eth0", "1", "main.py", 0), (":80", "1", "main.py", 0), ("unix:/x.sock", "1", "main.py", 0), ("0.0.0.0:80", "few", "main.py", 0),
    ("0.0.0.0:80", "1", "app.py", 0), ("", "1", "main.py", 0),
]  # fmt: skip


@pytest.mark.parametrize(("bind", "most", "file", "count"), COUNTED)
def test_max_workers_beside_the_old_bind_is_a_number_of_workers_and_switches_no_mode(tmp_path, bind, most, file, count):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(OBJECT)
    boot = Boot(
        {"RUNTIME_DIR": str(tmp_path), "DATA_DIR": str(tmp_path), "BIND": bind, "MAX_WORKERS": most}, str(tmp_path)
    )
    boot.choose_places(fresh=False)
    settings = boot.settings
    assert (settings.old.seen, settings.old.max_workers) == ("", count)
    assert (settings["THREADS"], settings["MAX_BODY_SIZE"], settings["WORKER_CLASS"]) == (4, 32 << 20, None)
    left = [line for line in settings.warnings if line.startswith(f"MAX_WORKERS={most} is left")]
    assert bool(left) == (count == 0)


# the same words with a proof: a main.py where the old images had it, a second word, a name that is theirs alone
PROVEN = [
    ({"LISTEN_PORT": "8000"}, "main.py", "LISTEN_PORT with main.py"), ({"STATIC_INDEX": "1"}, "app/main.py", "STATIC_INDEX with app/main.py"),
    ({"MODULE_NAME": "main"}, "main.py", "MODULE_NAME with main.py"), ({"VARIABLE_NAME": "api"}, "main.py", "VARIABLE_NAME with main.py"),
    ({"VARIABLE_NAME": "api"}, "app/main.py", "VARIABLE_NAME with app/main.py"), ({"GUNICORN_CONF": "main.py"}, "main.py", "GUNICORN_CONF with main.py"),
    ({"MODULE_NAME": "shop.web", "VARIABLE_NAME": "api"}, "shop/web.py", "MODULE_NAME with VARIABLE_NAME"),
    ({"LISTEN_PORT": "80", "STATIC_INDEX": "1"}, "web.py", "LISTEN_PORT with STATIC_INDEX"),
    ({"MAX_WORKERS": "3", "WORKERS_PER_CORE": "2"}, "web.py", "WORKERS_PER_CORE"), ({"LISTEN_PORT": "80", "NGINX_MAX_UPLOAD": "1m"}, "web.py", "NGINX_MAX_UPLOAD"),
    # not with a value that is not of their kind, nor by numbers
    ({"STATIC_INDEX": "yes"}, "main.py", ""), ({"LISTEN_PORT": "http"}, "main.py", ""), ({"MODULE_NAME": "billing"}, "main.py", ""),
    ({"VARIABLE_NAME": "foo"}, "main.py", ""), ({"MAX_WORKERS": "16"}, "main.py", ""), ({"KEEP_ALIVE": "7"}, "main.py", ""), ({}, "main.py", ""),
]  # fmt: skip


@pytest.mark.parametrize(("environ", "file", "seen"), PROVEN)
def test_the_proof_of_an_old_image(tmp_path, environ, file, seen):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(OBJECT)
    settings = read(tmp_path, **environ)
    assert settings.old.seen == seen
    assert settings["THREADS"] == (1 if seen else 4)
    assert settings.old.listen == (environ.get("LISTEN_PORT", "") if seen else "")
    assert settings.old.max_workers == (3 if "WORKERS_PER_CORE" in environ else 0)


@pytest.mark.parametrize(
    "text",
    [
        "8080",
        "443 ssl",
        "[::]:80",
        "127.0.0.1:80",
        "*:80",
        "443 ssl http2",
        "80 proxy_protocol",
        "localhost:8000 backlog=511",
    ],
)
def test_listen_port_forms(tmp_path, text):
    (tmp_path / "main.py").write_text("app = 1\n")
    assert read(tmp_path, LISTEN_PORT=text).old.listen == text


INI = [
    ("processes = 3", "WEB_CONCURRENCY", 3), ("workers = 3", "WEB_CONCURRENCY", 3), ("threads = 5", "THREADS", 5),
    ("harakiri = 300", "TIMEOUT", 300.0), ("harakiri = 0", "TIMEOUT", 86400), ("http-timeout = 40", "TIMEOUT", 40.0), ("socket-timeout=41", "TIMEOUT", 41.0),
    ("max-requests = 1000", "MAX_REQUESTS", 1000), ("listen = 1024", "BACKLOG", 1024), ("buffer-size = 65535", "HEADER_BUFFERS", 5),
    ("buffer-size = 8192", "HEADER_BUFFERS", 4), ("gevent = 100", "WORKER_CLASS", "gevent"), ("disable-logging = true", "ACCESS_LOG", False),
    ("uid = 1000", "RUN_AS", "1000"), ("uid = 1000\ngid = 2000", "RUN_AS", "1000:2000"), ("gid = 2000\nuid = 1000", "RUN_AS", "1000:2000"),
    ("static-map = /media=/app/media", "STATIC_URL", "/media"), ("static-map = /media=/app/media", "STATIC_PATH", "/app/media"),
    ("mount = /shop=shop:app\nmanage-script-name = true", "URL_PREFIX", "/shop"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "setting", "expected"), INI)
def test_uwsgi_ini(tmp_path, text, setting, expected):
    (tmp_path / "uwsgi.ini").write_text(f"[uwsgi]\nmodule = main\n{text}\n")
    settings = read(tmp_path)
    assert settings[setting] == expected
    assert settings.old.seen == str(tmp_path / "uwsgi.ini")


@pytest.mark.parametrize(("maps", "more", "words"), [
    (["/static=/app/a", "/media=/srv/m", "/docs/=/srv/d/"], [("/media", "/srv/m"), ("/docs", "/srv/d")], ""),
    (["/static=/app/a", "/static=/app/b"], [], "/static=/app/b is ignored: nginx looks into one folder below /static, /app/a"),
    (["/static=/app/a", "/m=/app/b", "/m/=/app/c"], [("/m", "/app/b")], "/m/=/app/c is ignored"),
    (["/static=/app/a", "/m=relative"], [], "/m=relative is ignored; accepted: an absolute path"),
    (["/static=/app/a", "m;x=/app/b"], [], "m;x=/app/b is ignored"), (["/static=/app/a", "/m"], [], ""),
])  # fmt: skip
def test_further_static_maps(tmp_path, maps, more, words):
    (tmp_path / "uwsgi.ini").write_text("[uwsgi]\nmodule = main\n" + "".join(f"static-map = {one}\n" for one in maps))
    settings = read(tmp_path)
    assert (settings["STATIC_URL"], settings["STATIC_PATH"]) == ("/static", "/app/a")
    assert settings.old.statics == more
    assert len(settings.old.lines) == bool(words)
    assert words in "".join(settings.old.lines)


@pytest.mark.parametrize(("text", "words"), [
    ("touch-reload = /tmp/x", "flagon reload"), ("py-autoreload = 1", "FLASK_DEBUG"), ("log-format = x", "LOG_FORMAT"),
    ("logto = /var/log/x", "container's log"), ("logger = syslog", "container's log"), ("http-socket = :8080", "PORT"),
    ("http-websockets = true", "gthread"), ("stats = :1717", "stats"), ("cheaper = 2", "by load"), ("cheaper-algo = busyness", "by load"),
    ("reload-on-rss = 512", "MAX_REQUESTS"), ("attach-daemon = celery", "PROCESSES"), ("cron = 1 2 3 4 5 x", "uWSGI alone"),
])  # fmt: skip
def test_what_uwsgi_alone_could_do_is_named(tmp_path, text, words):
    (tmp_path / "uwsgi.ini").write_text(f"[uwsgi]\nmodule = main\n{text}\n")
    (line,) = read(tmp_path).old.lines
    assert text.split(" ")[0] in line
    assert words in line


def test_how_far_a_buffer_size_goes_is_said(tmp_path):
    """65,535 there is one header of 64 kB too: here 8 kB are one's most, and a request with 12 kB is 431."""
    (tmp_path / "uwsgi.ini").write_text("[uwsgi]\nmodule = main\nbuffer-size = 65535\n")
    (line,) = read(tmp_path).old.lines
    assert "buffer-size" in line
    assert "WORKER_CLASS=gthread and HEADER_SIZE" in line
    (tmp_path / "uwsgi.ini").write_text("[uwsgi]\nmodule = main\nbuffer-size = 32768\n")
    assert read(tmp_path).old.lines == []


@pytest.mark.parametrize(
    "text",
    [
        "vacuum",
        "master",
        "single-interpreter = true",
        "plugins = python3",
        "post-buffering = 1",
        "lazy-apps = true",
        "enable-threads",
    ],
)
def test_what_needs_no_word(tmp_path, text):
    (tmp_path / "uwsgi.ini").write_text(f"[uwsgi]\nmodule = main\n{text}\n")
    assert read(tmp_path).old.lines == []


@pytest.mark.parametrize(("text", "application", "folder"), [
    ("module = main\ncallable = app", "main:app", ""), ("module = main:api", "main:api", ""), ("module = pkg.mod:create_app()", "pkg.mod:create_app()", ""),
    ("wsgi-file = /app/x/web.py", "/app/x/web.py", ""), ("wsgi-file = web.py\ncallable = api", "web.py:api", ""), ("wsgi = a.b", "a.b", ""),
    ("chdir = code\nmodule = web", "web", "code"), ("mount = /=front:app", "front:app", ""), ("mount = /x=front:app", "front:app", ""),
    ("callable = app", "main:app", ""), ("base = shop\nmodule = %(base).web", "shop.web", ""), ("module = $(WHICH)", "fromenv", ""),
])  # fmt: skip
def test_uwsgi_application(tmp_path, text, application, folder):
    (tmp_path / "uwsgi.ini").write_text(f"; a comment\n[other]\nmodule = no\n[uwsgi]\n# more\n{text}\n")
    old = read(tmp_path, WHICH="fromenv").old
    expected = os.path.relpath(application, tmp_path) if application.startswith("/") else application
    assert old.application == expected
    assert old.directory == (str(tmp_path / folder) if folder else "")


def test_the_file_wins_over_uwsgis_variable_and_ours_over_both(tmp_path):
    (tmp_path / "uwsgi.ini").write_text("[uwsgi]\nmodule = main\nprocesses = 3\n")
    assert read(tmp_path, UWSGI_PROCESSES="9")["WEB_CONCURRENCY"] == 3
    assert read(tmp_path, UWSGI_PROCESSES="9", WEB_CONCURRENCY="5")["WEB_CONCURRENCY"] == 5


def test_the_application_by_variables_alone(tmp_path):
    old = read(tmp_path, UWSGI_WSGI_FILE="web.py", UWSGI_CALLABLE="api", UWSGI_CHDIR="code", UWSGI_HARAKIRI="9").old
    assert (old.application, old.directory) == ("web.py:api", str(tmp_path / "code"))
    (tmp_path / "uwsgi.ini").write_text("[uwsgi]\ncallable = app\nharakiri = 8\n")
    settings = read(tmp_path, UWSGI_MODULE="shop", UWSGI_CALLABLE="api", UWSGI_HARAKIRI="9")
    assert (settings.old.application, settings["TIMEOUT"]) == ("shop:app", 8.0)


def test_uwsgis_env_reaches_the_application(tmp_path):
    (tmp_path / "uwsgi.ini").write_text("[uwsgi]\nmodule = main\nenv = COLOUR=teal\nenv = SIZE = 3\n")
    environment = read(tmp_path).environment
    assert (environment["COLOUR"], environment["SIZE"]) == ("teal", "3")


def test_another_name_relative_to_the_working_directory(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/web.ini").write_text("[uwsgi]\nwsgi-file = %dweb.py\n")
    assert read(tmp_path, UWSGI_INI="deep/web.ini").old.application == "deep/web.py"


BLOCKS = [
    ("if-env = QUIET", {}, False), ("if-env = QUIET", {"QUIET": ""}, True), ("if-env = MODE=dev", {"MODE": "dev"}, True),
    ("if-env = MODE=dev", {"MODE": "live"}, False), ("if-not-env = QUIET", {}, True), ("if-not-env = QUIET", {"QUIET": "1"}, False),
    ("if_env = QUIET", {"QUIET": "1"}, True), ("if-exists = %d", {}, True), ("if-exists = /nowhere", {}, False), ("if-not-exists = /nowhere", {}, True),
    ("if-file = %p", {}, True), ("if-file = %d", {}, False), ("if-dir = %d", {}, True), ("if-not-dir = %d", {}, False),
    ("if-opt = master", {}, True), ("if-opt = chdir", {}, False), ("if-not-opt = chdir", {}, True), ("if-reload = true", {}, False),
]  # fmt: skip


@pytest.mark.parametrize(("line", "environ", "holds"), BLOCKS)
def test_a_block_counts_where_its_condition_holds(tmp_path, line, environ, holds):
    path = tmp_path / "uwsgi.ini"
    path.write_text(f"[uwsgi]\nmaster = true\n{line}\nprocesses = 7\nendif =\nthreads = 2\n")
    found = dict(uwsgi_ini.read(str(path), environ))
    assert ("processes" in found) == holds
    assert found["threads"] == "2"
    assert ("if-reload" in found) == ("reload" in line)


def test_what_a_condition_has_found_is_a_value_inside_its_block(tmp_path):
    path = tmp_path / "uwsgi.ini"
    path.write_text("[uwsgi]\nif-env = LIMIT\nharakiri = %(_)\nendif =\nlisten = 1%(_)\n")
    assert uwsgi_ini.read(str(path), {"LIMIT": "90"}) == [("harakiri", "90"), ("listen", "1")]


def test_a_line_that_is_none_is_refused_by_its_number(tmp_path):
    (tmp_path / "uwsgi.ini").write_text("[uwsgi]\nmodule = main\n<what>\n")
    with pytest.raises(SettingsError, match=r"uwsgi.ini line 3"):
        read(tmp_path)
    with pytest.raises(uwsgi_ini.BadIni, match="cannot be read"):
        uwsgi_ini.read(str(tmp_path / "none.ini"), {})


def test_users_by_name(tmp_path):
    user = pwd.getpwall()[0]
    (tmp_path / "uwsgi.ini").write_text(f"[uwsgi]\nmodule = main\nuid = {user.pw_name}\ngid = nobody-there\n")
    settings = read(tmp_path)
    assert settings["RUN_AS"] == str(user.pw_uid)
    assert any("ignored: gid (there is no group nobody-there here)" in line for line in settings.warnings)


@pytest.mark.parametrize(("text", "said"), [
    ("uid = nobody-there", "ignored: uid (there is no user nobody-there here)"), ("gid = 54321", "ignored: gid (RUN_AS=uid:gid"),
    (f"gid = {os.getegid()}", ""), ("uid = 0", ""),
])  # fmt: skip
def test_a_user_or_group_that_nobody_becomes_is_named(tmp_path, text, said):
    (tmp_path / "uwsgi.ini").write_text(f"[uwsgi]\nmodule = main\n{text}\n")
    lines = [line for line in read(tmp_path).warnings if "ignored: " in line]
    assert [said in line for line in lines] == ([True] if said else [])


def test_virtual_environments_and_paths(tmp_path):
    (tmp_path / "uwsgi.ini").write_text("[uwsgi]\nmodule = main\npythonpath = lib\nvirtualenv = venv\n")
    assert read(tmp_path).old.python_path == (str(tmp_path / "lib"),)
    assert read(tmp_path).old.home == str(tmp_path / "venv")  # whether it can be used: test_environments


@pytest.mark.parametrize(("environ", "port", "line"), [
    ({"BIND": "0.0.0.0:8081", "PORT": "9000"}, 8081, "PORT=9000 is not listened on: BIND=0.0.0.0:8081 stands in its place"), ({"BIND": "[::]:8081", "PORT": "9000", "HOST": "x"}, 8081, "PORT=9000 is not"),
    ({"BIND": ":8081", "FLAGON_PORT": "7000"}, 7000, "BIND=:8081 is not listened on: FLAGON_PORT=7000"), ({"BIND": ":8081", "PORT": "8081"}, 8081, ""), ({"BIND": ":8081", "FLAGON_PORT": "tcp://10.0.0.1:80"}, 8081, ""),
    ({"BIND": "0.0.0.0", "PORT": "9000"}, 9000, ""), ({"BIND": "0.0.0.0"}, 8000, ""), ({"BIND": "unix:/x", "PORT": "9000"}, 9000, "only its port"), ({"BIND": "0.0.0.0:http", "PORT": "9000"}, 9000, "only its port"),
])  # fmt: skip
def test_bind_stands_in_the_place_of_port(tmp_path, environ, port, line):
    """tiangolo/meinheld-gunicorn, gunicorn_conf.py: `use_bind = bind_env if bind_env else host:port`."""
    settings = read(tmp_path, **environ)
    assert settings["PORT"] == port
    lines = [one for one in settings.warnings if "BIND" in one]
    assert bool(lines) is bool(line)
    assert line in "".join(lines)


def test_bind_of_a_dotenv_file_is_below_the_environment(tmp_path):
    (tmp_path / ".env").write_text("BIND=0.0.0.0:8081\n")
    assert read(tmp_path, PORT="9000")["PORT"] == 9000
    assert read(tmp_path)["PORT"] == 8081


@pytest.mark.parametrize(("words", "application", "expected"), [
    ("--http :8000 --module shop:app", "shop:app", {"PORT": 8000}),
    ("--http-socket 0.0.0.0:5000 --wsgi-file shop.py --callable web -p 3 --threads=2", "shop.py:web", {"PORT": 5000, "WEB_CONCURRENCY": 3, "THREADS": 2}),
    ("--socket 0.0.0.0:5001 --protocol=http -w shop:app --master", "shop:app", {"PORT": 5001, "THREADS": 1}),
    ("--ini deploy/u.ini", "inner:app", {"WEB_CONCURRENCY": 6, "PORT": 7000}),
    ("deploy/u.ini", "inner:app", {"WEB_CONCURRENCY": 6}),
    ("--master deploy/u.ini --harakiri 33", "inner:app", {"WEB_CONCURRENCY": 6, "TIMEOUT": 33.0}),
    ("-s :3031 -M -T --wsgi-file=shop.py", "shop.py", {"PORT": None}),
    ("shop:app --http=:81", "shop:app", {"PORT": 81}),
    ("--chdir=src --module=shop", "shop", {}),
])  # fmt: skip
def test_the_command_uwsgi(tmp_path, words, application, expected):
    """Its options as those of uwsgi.ini, the file that it names, and no other: uWSGI reads no uwsgi.ini by itself."""
    from flagon import commands

    (tmp_path / "uwsgi.ini").write_text("[uwsgi]\nmodule = other:app\n")
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "u.ini").write_text("[uwsgi]\nmodule = inner:app\nprocesses = 6\nhttp = :7000\n")
    served = commands.served_instead(["uwsgi", *words.split()], {}, str(tmp_path))
    found = resolve({}, str(tmp_path), [], served.uwsgi)
    assert (found.old.application, found.old.named) == (application, "uwsgi")
    assert {name: found.values[name] for name in expected} == expected
    assert ("-s :" in words) == any("proxy_pass" in line for line in found.warnings)


def test_a_file_that_the_command_uwsgi_names_must_be_there(tmp_path):
    with pytest.raises(SettingsError, match=r"uwsgi --ini none\.ini is not accepted: there is no file"):
        resolve({}, str(tmp_path), [], (("ini", "none.ini"),))
    from flagon import commands

    assert "write it as an .ini" in commands.served_instead(["uwsgi", "--yaml", "u.yml"], {}, str(tmp_path)).lines[0]
