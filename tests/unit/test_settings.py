"""The contract of settings: which text is accepted under which name, who wins, and what a message says."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import json
import os
import re

import pytest

from flagon import envfile, gunicorn_args, kinds, show, text_file
from flagon.settings import SettingsError, near_miss, resolve
from flagon.table import SETTINGS

STRICT = {"PORT", "DATABASE_URL", "DATABASE_DIRECT_URL", "SECRET_KEY", "REDIS_URL", "APP_MODULE"}
SECRETS = ("DATABASE_URL", "DATABASE_DIRECT_URL", "SECRET_KEY", "REDIS_URL")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def read(tmp_path):
    def read(_dotenv=None, _command=None, **environ):
        if _dotenv is not None:
            (tmp_path / ".env").write_text(_dotenv, encoding="utf-8")
        return resolve(environ, str(tmp_path), _command)

    return read


def errors(read, *arguments, **environ):
    with pytest.raises(SettingsError) as caught:
        read(*arguments, **environ)
    assert str(caught.value) == "\n".join(caught.value.errors)
    return caught.value.errors


# every kind: text -> value, or an error

GOOD = [
    ("RATE_LIMIT", "10", "10/10"), ("RATE_LIMIT", "10/25", "10/25"), ("RATE_LIMIT", "0.5", "0.5/1"), ("RATE_LIMIT", "2/0", "2/0"),
    ("HSTS", "31536000", "max-age=31536000"), ("HSTS", "max-age=60;preload ; INCLUDESUBDOMAINS", "max-age=60; preload; includeSubDomains"),
    ("PORT", "1", 1), ("PORT", "5000", 5000), ("PORT", "65535", 65535), ("PORT", "08080", 8080),
    ("WEB_CONCURRENCY", "1", 1), ("WEB_CONCURRENCY", "512", 512),
    ("THREADS", "1", 1), ("THREADS", "256", 256),
    ("TIMEOUT", "1", 1), ("TIMEOUT", "2.5", 2.5), ("TIMEOUT", "30s", 30), ("TIMEOUT", "30 seconds", 30),
    ("MIGRATE", "auto", "auto"), ("MIGRATE", "1", "auto"), ("MIGRATE", "ON", "auto"), ("MIGRATE", "true", "auto"), ("MIGRATE", "yes", "auto"),
    ("MIGRATE", "0", "off"), ("MIGRATE", "no", "off"), ("COMPRESSION", "false", "off"), ("TIMEOUT", "0", 86400), ("TIMEOUT", "0.0", 86400), ("TIMEOUT", "0s", 86400), ("GRACEFUL_TIMEOUT", "0", 1),
    ("MAX_BODY_SIZE", "0", 0), ("MAX_BODY_SIZE", "100", 100), ("MAX_BODY_SIZE", "1k", 1024), ("MAX_BODY_SIZE", "2M", 2 << 20),
    ("MAX_BODY_SIZE", "3 gb", 3 << 30), ("MAX_BODY_SIZE", "10MB", 10 << 20),
    ("ACCESS_LOG", "on", True), ("ACCESS_LOG", "TRUE", True), ("ACCESS_LOG", "1", True), ("ACCESS_LOG", "yes", True),
    ("ACCESS_LOG", "off", False), ("ACCESS_LOG", "False", False), ("ACCESS_LOG", "0", False), ("ACCESS_LOG", "no", False),
    ("LOG_LEVEL", "INFO", "info"), ("LOG_LEVEL", "warn", "warning"), ("LOG_LEVEL", "Critical", "critical"),
    ("LOG_FORMAT", "json", "json"), ("LOG_FORMAT", "Text", "text"),
    ("APP_MODULE", "app", "app"), ("APP_MODULE", "shop.web:app", "shop.web:app"),
    ("APP_MODULE", "a:create_app()", "a:create_app()"), ("APP_MODULE", "a:create_app('x', n=1)", "a:create_app('x', n=1)"),
    ("APP_MODULE", "a:web.app", "a:web.app"),
    ("WORKER_CLASS", "gthread", "gthread"), ("WORKER_CLASS", "my.module.Worker", "my.module.Worker"),
    ("WORKER_CLASS", "egg:gunicorn", "egg:gunicorn"),
    ("STATIC_INDEX", "1", True), ("STATIC_INDEX", "0", False), ("STATIC_URL", "/s/", "/s"), ("STATIC_URL", "/", "/"),
    ("STATIC_HOST", "https://cdn.example.com/", "https://cdn.example.com"), ("STATIC_HOST", "http://127.0.0.1:81", "http://127.0.0.1:81"),
    ("PROCESSES", "worker, clock", ("worker", "clock")), ("PROCESSES", "all", ("all",)), ("SPA_INDEX", "dist/index.html", "dist/index.html"),
    ("URL_PREFIX", "/shop", "/shop"), ("URL_PREFIX", "/a/b.c/", "/a/b.c"), ("URL_PREFIX", "/", ""),
    ("REAL_IP_HEADER", "CF-Connecting-IP", "CF-Connecting-IP"),
    ("DATABASE_URL", "postgres://u:p@h/n", "postgres://u:p@h/n"), ("DATABASE_URL", "sqlite:///x.db", "sqlite:///x.db"),
    ("REDIS_URL", "redis://h:6379/0", "redis://h:6379/0"),
    ("DATABASE_DIRECT_URL", "postgres://u:p@h/n", "postgres://u:p@h/n"),
    ("MIGRATE_COMMAND", "flask db upgrade", "flask db upgrade"),
    ("READY_CHECKS", "none", ()), ("READY_CHECKS", "Database", ("database",)), ("READY_CHECKS", "migrations, database", ("migrations", "database")),
    ("SECRET_KEY", "correct horse battery", "correct horse battery"), ("SECRET_KEY", "12345678", "12345678"),
    ("TRUSTED_PROXIES", "private", ("private",)), ("TRUSTED_PROXIES", "*", ("any",)), ("TRUSTED_PROXIES", "NONE", ("none",)),
    ("TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::/32", ("10.0.0.0/8", "2001:db8::/32")),
    ("TRUSTED_PROXIES", "private 192.0.2.1", ("private", "192.0.2.1")),
    ("PASS_HEADERS", "X-Auth-User", ("X-Auth-User",)), ("PASS_HEADERS", "x-agent-ip, X-Base-Url", ("x-agent-ip", "X-Base-Url")),
    ("CACHE_LOCK", "/", ("/",)), ("CACHE_LOCK", "/a, /b/*,/a  /c.d-~/\xfc*", ("/a", "/b/*", "/c.d-~/\xfc*")), ("CACHE_LOCK", "/*", ("/*",)),
    ("DATA_DIR", "/srv/data/", "/srv/data"), ("RUNTIME_DIR", "/", "/"), ("DATA_DIR", "/srv/my-app_2.0/@d+e=f,g~", "/srv/my-app_2.0/@d+e=f,g~"),
    ("RUNTIME_DIR", "/donn\xe9es/\u6570\u636e", "/donn\xe9es/\u6570\u636e"), ("PRE_START_PATH", "/app/pre/", "/app/pre"), ("STATIC_PATH", "/srv/(a)&b", "/srv/(a)&b"),
    ("RUN_AS", "1000", "1000"), ("RUN_AS", "1000:1000", "1000:1000"), ("RUN_AS", "owner", "owner"), ("RUN_AS", "root", "root"),
]  # fmt: skip

BAD = [
    ("RATE_LIMIT", "many"), ("RATE_LIMIT", "10r/s"), ("RATE_LIMIT", "-1"), ("RATE_LIMIT", "0.05"), ("RATE_LIMIT", "100001"), ("RATE_LIMIT", "0"), ("RATE_LIMIT", "10/"),
    ("HSTS", "on"), ("HSTS", "1 year"), ("HSTS", "60; everywhere"), ("HSTS", "60\nX: y"), ("MAX_CONNECTIONS", "-1"),
    ("CACHE_LOCK", "news"), ("CACHE_LOCK", "/a,b"), ("CACHE_LOCK", "*"), ("CACHE_LOCK", "/a*b"), ("CACHE_LOCK", "/a?b=1"), ("CACHE_LOCK", '/"'),
    ("CACHE_LOCK", "/a\\"), ("CACHE_LOCK", "/$uri"), ("CACHE_LOCK", "/a;"), ("CACHE_LOCK", "/{"), ("CACHE_LOCK", "/#"), ("CACHE_LOCK", "/\x00"), ("CACHE_LOCK", ","),
    ("PORT", "0"), ("PORT", "65536"), ("PORT", "-1"), ("PORT", "+80"), ("PORT", "80.0"), ("PORT", "8080/tcp"), ("PORT", "$PORT"),
    ("PORT", "http"), ("PORT", "\u0668\u0660"), ("PORT", "1" * 400),
    ("WEB_CONCURRENCY", "513"),
    ("THREADS", "257"), ("THREADS", "four"), ("THREADS", "4.5"), ("THREADS", "4 8"),
    ("WORKER_MEMORY", "7"), ("WORKER_CONNECTIONS", "63"), ("MAX_REQUESTS", "-1"),
    ("STOP_TIMEOUT", "0"), ("TIMEOUT", "0.5"), ("TIMEOUT", "-5"), ("TIMEOUT", "1e3"), ("TIMEOUT", "nan"), ("TIMEOUT", "inf"), ("TIMEOUT", "1m"),
    ("TIMEOUT", "5."), ("TIMEOUT", ".5"), ("STOP_TIMEOUT", "3601"),
    ("MAX_BODY_SIZE", "-1"), ("MAX_BODY_SIZE", "1t"), ("MAX_BODY_SIZE", "1.5m"), ("MAX_BODY_SIZE", "m"),
    ("MAX_BODY_SIZE", "999999999g"), ("HEADER_SIZE", "1023"), ("HEADER_SIZE", "65537"), ("HEADER_BUFFERS", "1"),
    ("ACCESS_LOG", "maybe"), ("ACCESS_LOG", "2"), ("SERVE_CMD", "/usr/bin/serve"),
    ("LOG_LEVEL", "loud"), ("LOG_LEVEL", "10"), ("LOG_FORMAT", "xml"),
    ("APP_MODULE", "app:"), ("APP_MODULE", ":app"), ("APP_MODULE", "a b"), ("APP_MODULE", "app:app; rm"), ("APP_MODULE", "1app"),
    ("APP_MODULE", "app.py:app:app"), ("APP_MODULE", "app:app\nx"),
    ("WORKER_CLASS", "celery"), ("WORKER_CLASS", "processPool"), ("WORKER_CLASS", "g thread"), ("WORKER_CLASS", "a;b"),
    ("STATIC_INDEX", "true"), ("STATIC_INDEX", "yes"), ("STATIC_URL", "static"), ("STATIC_URL", "https://cdn.example/"),
    ("STATIC_HOST", "cdn.example.com"), ("STATIC_HOST", "https://cdn.example.com/path"), ("STATIC_HOST", "https://a b"),
    ("PROCESSES", "4"), ("PROCESSES", "a;b"), ("SPA_INDEX", "dist/"), ("SPA_INDEX", "a b"), ("SPA_INDEX", "a;b"),
    ("URL_PREFIX", "shop"), ("URL_PREFIX", "/a b"), ("URL_PREFIX", "/a//b"), ("URL_PREFIX", "/a/../b"), ("URL_PREFIX", "/./a"),
    ("URL_PREFIX", "/-"), ("URL_PREFIX", "/a;}"), ("URL_PREFIX", "/a$b"), ("URL_PREFIX", "https://x/shop"),
    ("REAL_IP_HEADER", "X Real"), ("REAL_IP_HEADER", "X-Real-IP;"), ("REAL_IP_HEADER", "proxy_protocol"), ("REAL_IP_HEADER", "1"),
    ("DATABASE_URL", "localhost"), ("DATABASE_URL", "//host/name"), ("DATABASE_URL", "postgres://a b@c/d"),
    ("DATABASE_URL", "postgres://h/n\nX=1"), ("REDIS_URL", "host"), ("REDIS_URL", "6379"),
    ("DATABASE_DIRECT_URL", "postgre://h/n"), ("DATABASE_URL", "postgres://h:54x2/n"), ("DATABASE_URL", "https://h/n"),
    ("MIGRATE_COMMAND", "flask db\nupgrade"), ("READY_CHECKS", "redis"), ("READY_CHECKS", "none database"),
    ("SECRET_KEY", "short"), ("SECRET_KEY", "1234567"), ("SECRET_KEY", "changeme"), ("SECRET_KEY", "ChangeMe"),
    ("SECRET_KEY", "your-secret-key"), ("SECRET_KEY", "super-secret"), ("SECRET_KEY", "password"),
    ("TRUSTED_PROXIES", "10.0.0.0/33"), ("TRUSTED_PROXIES", "localhost"), ("TRUSTED_PROXIES", "10.0.0.0/8;"),
    ("TRUSTED_PROXIES", "none,private"), ("TRUSTED_PROXIES", "any 10.0.0.1"), ("TRUSTED_PROXIES", ","), ("TRUSTED_PROXIES", "10"),
    ("PASS_HEADERS", ","), ("PASS_HEADERS", "X-Auth-User:"), ("PASS_HEADERS", "X_Auth_User"), ("PASS_HEADERS", "X-*"), ("PASS_HEADERS", "X;"),
    ("DATA_DIR", "data"), ("RUNTIME_DIR", "./run"), ("RUNTIME_DIR", "a`id`"),
    ("PRE_START_PATH", "pre.sh"), ("PRE_START_PATH", "/a b"), ("PRE_START_PATH", "/a;b"), ("PRE_START_PATH", "/a'b"), ("PRE_START_PATH", "/a$b"),
    ("STATIC_PATH", "/a;b"), ("STATIC_PATH", "/a\x01"), ("SPA_INDEX", "a\x7f"),
    ("RUN_AS", "nobody"), ("RUN_AS", "1000:"), ("RUN_AS", ":1"), ("RUN_AS", "-1"), ("RUN_AS", "1:2:3"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_accepted(read, name, text, value):
    for spelled in (name, "FLAGON_" + name):
        settings = read(**{spelled: text})
        assert settings[name] == value
        assert type(settings[name]) is type(kinds.PARSERS[SETTINGS[name].kind](text, SETTINGS[name]))
        assert settings.sources[name] == spelled
        assert settings.warnings == []


@pytest.mark.parametrize(("name", "text"), BAD)
def test_refused(read, name, text):
    (error,) = errors(read, **{"FLAGON_" + name: text})
    assert error.startswith(f"FLAGON_{name}=")
    assert "accepted: " in error
    if name in STRICT:
        (error,) = errors(read, **{name: text})
        assert error.startswith(f"{name}=")
    else:
        settings = read(**{name: text})
        default = SETTINGS[name].default
        assert settings[name] == (kinds.PARSERS[SETTINGS[name].kind](default, SETTINGS[name]) if default else None)
        assert settings.sources[name] == "default"
        (warning,) = settings.warnings
        assert warning.startswith(f"{name}={text!r}")
        assert "left to the application" in warning


@pytest.mark.parametrize("prefix", ["", "FLAGON_"])
@pytest.mark.parametrize("name", ["RUNTIME_DIR", "DATA_DIR"])
@pytest.mark.parametrize("text", [
    "/tmp/a`id>/tmp/PWN`", "/tmp/$(id)", "/a b", "/a;b", "/a'b", '/a"b', "/a$b", "/a&b", "/a|b", "/a(b)", "/a<b", "/a>b", "/a*", "/a?", "/a[b]",
    "/tmp/a%(x)s", "/a%b", "/a:b", "/a!b", "/a\\b", "/a{b}", "/a#b", "/a^b", "/a\tb", "/a\nb", "/a\x1bb", "/a\u202eb", "/a\u2028b", "/a\u00a0b", "/a\udcffb",
])  # fmt: skip
def test_a_directory_with_other_letters_ends_the_boot_whatever_name_it_came_by(read, prefix, name, text):
    """Left to the application, the box would keep its data elsewhere, and say so in one line of many."""
    (error,) = errors(read, **{prefix + name: text})
    assert error.startswith(f"{prefix}{name}={text!r} is not accepted; accepted: an absolute path of letters")


@pytest.mark.parametrize("prefix", ["", "FLAGON_"])
@pytest.mark.parametrize("name", [
    "Forwarded", "X-Forwarded-For", "x-forwarded-anything", "X-Real-IP", "Proxy", "host", "X-Request-Id", "X-Flagon-Peer", "Content-Length",
    "content-type",
])  # fmt: skip
def test_a_header_of_which_nginx_has_the_last_word_ends_the_boot(read, prefix, name):
    (error,) = errors(read, **{prefix + "PASS_HEADERS": f"X-Auth-User,{name}"})
    assert error.startswith(f"{prefix}PASS_HEADERS=")
    assert f"of {name} nginx has the last word" in error


def test_both_tables_have_every_kind():
    """A new kind of setting must come with examples."""
    everything = set(kinds.PARSERS)
    assert {SETTINGS[name].kind for name, *_ in GOOD} == everything
    assert {SETTINGS[name].kind for name, *_ in BAD} == everything
    assert {row.kind for row in SETTINGS.values()} == everything


def test_which_names_are_strict_and_which_are_secret():
    assert {row.name for row in SETTINGS.values() if row.strict} == STRICT
    assert {row.name for row in SETTINGS.values() if row.secret} == set(SECRETS)


def test_an_empty_environment_gives_the_defaults(read):
    settings = read()
    assert set(settings.values) == set(settings.sources) == set(SETTINGS)
    assert set(settings.sources.values()) == {"default"}
    assert settings.warnings == []
    assert settings.gunicorn_args == []
    assert (settings["PORT"], settings["WEB_CONCURRENCY"], settings["SECRET_KEY"]) == (None, None, None)
    assert (settings["THREADS"], settings["TIMEOUT"], settings["MAX_BODY_SIZE"]) == (4, 60.0, 32 << 20)
    assert (settings["TRUSTED_PROXIES"], settings["REAL_IP_HEADER"]) == (None, None), "computed from the platform"


@pytest.mark.parametrize("name", [name for name in SETTINGS if SETTINGS[name].low is not None and name != "RATE_LIMIT"])
@pytest.mark.parametrize("side", ["low", "high"])
def test_bounds(read, name, side):
    """Both ends are accepted, one beyond is not."""
    row = SETTINGS[name]
    bound = int(row.low) if side == "low" and row.low >= 1 else row.low if side == "low" else int(row.high)
    more = {"STOP_TIMEOUT": "3600"} if name == "DRAIN_DELAY" and side == "low" else {}
    if side == "low" or name not in ("DRAIN_DELAY", "HEADER_SIZE", "HEADER_BUFFERS", "STREAMS_MAX"):
        text = f"{bound >> 30}g" if bound == 2**50 else f"{bound}"
        assert read(**{"FLAGON_" + name: text}, **more)[name] == bound
    beyond = bound - 1 if side == "low" else bound + 1
    if row.zero is not None and not beyond:
        beyond = -1
    if name == "WEB_CONCURRENCY" and side == "low":
        return
    (error,) = errors(read, **{"FLAGON_" + name: f"{beyond}"})
    assert error.startswith(f"FLAGON_{name}='{beyond}'")


def test_messages_are_for_people(read):
    """No number with an exponent."""
    found = errors(
        read,
        **{"FLAGON_" + row.name: "-1" for row in SETTINGS.values() if row.low is not None and row.kind != "workers"},
    )
    assert len(found) > 10
    assert [error for error in found if re.search(r"\de\+", error)] == []


# names


@pytest.mark.parametrize(("environ", "value", "source"), [
    ({"THREADS": "2", "FLAGON_THREADS": "3"}, 3, "FLAGON_THREADS"),
    ({"THREADS": "2", "FLAGON_THREADS": ""}, 2, "THREADS"),
    ({"THREADS": "2", "FLAGON_THREADS": "  "}, 2, "THREADS"),
    ({"THREADS": "", "FLAGON_THREADS": "3"}, 3, "FLAGON_THREADS"),
    ({"THREADS": "", "FLAGON_THREADS": '""'}, 4, "default"),
    ({"THREADS": "many", "FLAGON_THREADS": "3"}, 3, "FLAGON_THREADS"),
    ({"THREADS": "' '"}, 4, "default"),
    ({"threads": "7"}, 4, "default"),
])  # fmt: skip
def test_flagon_name_wins_and_empty_is_unset(read, environ, value, source):
    settings = read(**environ)
    assert (settings["THREADS"], settings.sources["THREADS"]) == (value, source)


@pytest.mark.parametrize("name", STRICT)
def test_empty_strict_names_are_unset(read, name):
    for text in ("", " ", "''", '""', '" "'):
        assert read(**{name: text, "FLAGON_" + name: text}).sources[name] == "default"


@pytest.mark.parametrize("text", [" 5000", "5000 ", '"5000"', "'5000'", " '5000' ", '" 5000 "', "\t5000\n", "5000\r"])
def test_quotes_and_blanks_are_stripped(read, text):
    assert read(PORT=text)["PORT"] == 5000


@pytest.mark.parametrize(("text", "clean"), [
    ("''a''", "'a'"), ("\"it's\"", "it's"), ("'", "'"), ("\"a'", "\"a'"), ("a\"b\"", 'a"b"'), ("", ""), ("  ", ""), ("''", ""),
])  # fmt: skip
def test_one_pair_of_quotes_only(text, clean):
    assert envfile.clean(text) == clean


def test_all_errors_at_once(read):
    found = errors(
        read,
        PORT="http", FLAGON_THREADS="many", SECRET_KEY="changeme", DATABASE_URL="nowhere", FLAGON_TIMEOUT="soon",
        APP_MODULE="a b", GUNICORN_CMD_ARGS="--timeout never",
    )  # fmt: skip
    assert len(found) == 7
    for name in (
        "PORT=",
        "FLAGON_THREADS=",
        "SECRET_KEY=",
        "DATABASE_URL=",
        "FLAGON_TIMEOUT=",
        "APP_MODULE=",
        "GUNICORN_CMD_ARGS",
    ):
        assert any(error.startswith(name) for error in found), name
    assert "'http'" in " ".join(found)


@pytest.mark.parametrize("prefix", ["", "FLAGON_"])
@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("SECRET_KEY", "hunter2"),
        ("DATABASE_URL", "hunter2@host"),
        ("DATABASE_URL", "pg://u:hunter2@h/a b"),
        ("REDIS_URL", "hunter2"),
    ],
)
def test_secrets_are_masked_in_errors(read, name, bad, prefix):
    (error,) = errors(read, **{prefix + name: bad})
    assert "hunter2" not in error
    assert "***" in error


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_masked_where_they_are_shown(read, name):
    value = "scheme://user:hunter2@host/name"
    settings = read(**{name: value})
    assert settings[name] == value
    assert "hunter2" not in settings.shown(name)
    assert settings.shown(name)
    assert read().shown(name) == ""


@pytest.mark.parametrize(("name", "text", "shown"), [
    ("ACCESS_LOG", "0", "off"), ("ACCESS_LOG", "1", "on"), ("TIMEOUT", "60", "60"), ("TIMEOUT", "2.50", "2.5"),
    ("TRUSTED_PROXIES", "10.0.0.0/8 private", "10.0.0.0/8,private"), ("MAX_BODY_SIZE", "1k", "1024"), ("PORT", "", ""),
    ("MAX_REQUESTS", "0", "0"), ("TIMEOUT", "86399.5", "86399.5"),
])  # fmt: skip
def test_shown(read, name, text, shown):
    assert read(**{name: text}).shown(name) == shown


def test_a_refused_secret_key_offers_a_good_one(read):
    (error,) = errors(read, SECRET_KEY="changeme")
    offered = re.search(r"free: (\S+)", error)[1]
    assert read(SECRET_KEY=offered)["SECRET_KEY"] == offered
    assert offered not in errors(read, SECRET_KEY="changeme")[0]


# secrets in files


@pytest.mark.parametrize("prefix", ["", "FLAGON_"])
@pytest.mark.parametrize("name", SECRETS)
def test_secret_from_a_file(read, tmp_path, name, prefix):
    path = tmp_path / "secret"
    path.write_text(' "scheme://user:hunter2@host/name"\n')
    settings = read(**{prefix + name + "_FILE": f" '{path}' "})
    assert settings[name] == "scheme://user:hunter2@host/name"
    assert settings.sources[name] == prefix + name + "_FILE"


def test_flagon_secret_file_wins_over_the_plain_name(read, tmp_path):
    (tmp_path / "secret").write_text("from the file")
    assert (
        read(FLAGON_SECRET_KEY_FILE=str(tmp_path / "secret"), SECRET_KEY="from the name")["SECRET_KEY"]
        == "from the file"
    )


@pytest.mark.parametrize("prefix", ["", "FLAGON_"])
@pytest.mark.parametrize("name", SECRETS)
def test_name_and_file_both_given(read, tmp_path, name, prefix):
    (tmp_path / "secret").write_text("scheme:hunter2-hunter2")
    (error,) = errors(
        read, **{prefix + name: "scheme:hunter3-hunter3", prefix + name + "_FILE": str(tmp_path / "secret")}
    )
    assert f"{prefix}{name} and {prefix}{name}_FILE" in error
    assert "hunter" not in error


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "No such file"), (b"", "empty"), (b" \n", "empty"), (b"''", "empty"), (b"\xff\xfe", "")],
)
def test_files_that_give_no_secret(read, tmp_path, name, content, word):
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    (error,) = errors(read, **{name + "_FILE": str(path)})
    assert error.startswith(name + "_FILE: ")
    assert str(path) in error
    assert word in error


@pytest.mark.parametrize("name", [*SECRETS, "PGPASSWORD"])
@pytest.mark.parametrize(
    ("kind", "word"),
    [("endless", "it is larger than 1 MB"), ("large", "it is larger than 1 MB"), ("pipe", "it is a pipe")],
)
def test_a_secret_s_file_has_an_end_and_is_waited_for_by_nobody(read, tmp_path, name, kind, word):
    path = tmp_path / "secret"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        path.write_bytes(b"x" * (text_file.LARGEST_SECRET + 1))
    else:
        path.symlink_to("/dev/zero")
    parts = {"PGHOST": "db", "PGUSER": "u"} if name == "PGPASSWORD" else {}
    (error,) = errors(read, **{name + "_FILE": str(path)}, **parts)
    assert error.startswith(f"{name}_FILE: cannot read '{path}': {word}")


def test_a_directory_instead_of_a_file(read, tmp_path):
    (error,) = errors(read, SECRET_KEY_FILE=str(tmp_path))
    assert "directory" in error


def test_a_bad_secret_from_a_file_is_refused_and_masked(read, tmp_path):
    (tmp_path / "secret").write_text("hunter2")
    (error,) = errors(read, SECRET_KEY_FILE=str(tmp_path / "secret"))
    assert "hunter2" not in error
    assert error.startswith("SECRET_KEY_FILE=")


def test_only_secrets_have_files(read, tmp_path):
    (tmp_path / "port").write_text("5000")
    assert read(PORT_FILE=str(tmp_path / "port"))["PORT"] is None
    assert read(SECRET_KEY="long enough", SECRET_KEY_FILE="")["SECRET_KEY"] == "long enough"


# near misses, and names that other people set


@pytest.mark.parametrize(("name", "meant"), [
    ("WEB_CONCURENCY", "WEB_CONCURRENCY"), ("WEBCONCURRENCY", "WEB_CONCURRENCY"), ("DATABASEURL", "DATABASE_URL"),
    ("SECRETKEY", "SECRET_KEY"), ("FLAGON_WEB_CONCURENCY", "FLAGON_WEB_CONCURRENCY"),
    ("FLAGON_DATABASEURL", "FLAGON_DATABASE_URL"), ("APPMODULE", "APP_MODULE"), ("TRUSTED_PROXY", None),
    ("LOGLEVEL", "LOG_LEVEL"), ("log_level", "LOG_LEVEL"), ("MAX_BODYSIZE", "MAX_BODY_SIZE"), ("URL_PREFFIX", "URL_PREFIX"),
])  # fmt: skip
def test_near_misses_are_warned_of(read, name, meant):
    assert near_miss(name) == meant
    if meant:
        (warning,) = read(**{name: "x"}).warnings
        assert warning.startswith(f"{name} is not a setting")
        assert f"{meant}?" in warning


@pytest.mark.parametrize("name", ["FLAGON_WORKERS", "FLAGON_WORKER", "FLAGON_COLOUR", "FLAGON_TIMEOUT_FILE", "FLAGON_"])
def test_a_name_with_our_prefix_that_is_no_setting_is_said(read, name):
    (line,) = read(**{name: "4"}).warnings
    assert line.startswith(f"{name} is not a setting")


@pytest.mark.parametrize("name", [
    "FLAGON_WEB_PORT_80_TCP", "FLAGON_WEB_SERVICE_HOST", "FLAGON_PORT_53_UDP_ADDR", "FLAGON_SERVICE_PORT_HTTP_ALT",
    "FLAGON_SQLITE_URL", "FLAGON_ADDED", "FLAGON_SECRET_KEY_FILE", "WORKERS", "WORKER",
])  # fmt: skip
def test_a_name_of_others_is_not(read, name, tmp_path):
    (tmp_path / "key").write_text("k" * 40)
    assert read(**{name: str(tmp_path / "key")}).warnings == []


@pytest.mark.parametrize("name", [
    "PATH", "HOME", "HOSTNAME", "LANG", "TZ", "PWD", "DATABASE_HOST", "DATABASE_USER", "DATABASE_NAME", "REDIS_HOST",
    "REDIS_TLS_URL", "DATA", "LOG_FILE", "SECRET", "FLASK_APP", "FLASK_DEBUG", "PYTHONPATH", "RENDER_SERVICE_ID",
    "WEB_MEMORY", "GUNICORN_CMD_ARGS", "GUNICORN_WORKERS", "CACHE", "PROCESSES", "STATIC_URL", "SECRET_KEY_FILE", "RUNNER",
    "FLAGON_VERSION", "FLAGON_SUMMARY", "FLAGON_SERVICE_HOST", "FLAGON_SERVICE_PORT", "FLAGON_PORT_8080_TCP_ADDR", "SUPPORT",
    "MAIL_TIMEOUT", "REQUEST_TIMEOUT",
])  # fmt: skip
def test_other_names_are_not(read, name):
    assert read(**{name: ""}).warnings == []


def test_kubernetes_service_links_are_not_settings(read):
    """A Service named "flagon" makes every pod get these."""
    links = {
        "FLAGON_PORT": "tcp://10.0.0.1:80", "FLAGON_PORT_80_TCP": "tcp://10.0.0.1:80", "FLAGON_PORT_80_TCP_PORT": "80",
        "FLAGON_PORT_80_TCP_PROTO": "tcp", "FLAGON_PORT_80_TCP_ADDR": "10.0.0.1", "FLAGON_SERVICE_HOST": "10.0.0.1",
        "FLAGON_SERVICE_PORT": "80", "FLAGON_SERVICE_PORT_HTTP": "80",
    }  # fmt: skip
    settings = read(**links)
    assert (settings["PORT"], settings.warnings) == (None, [])
    assert read(**links, PORT="5000")["PORT"] == 5000
    assert len(errors(read, PORT="tcp://10.0.0.1:80")) == 1


@pytest.mark.parametrize("text", ["auto", "0", "0.5", "-1", "2.0", "many", "1e1", "2 workers"])
@pytest.mark.parametrize("prefix", ["", "FLAGON_"])
def test_web_concurrency_that_is_no_number_means_computed(read, text, prefix):
    settings = read(**{prefix + "WEB_CONCURRENCY": text})
    assert settings["WEB_CONCURRENCY"] is None
    (warning,) = settings.warnings
    assert "WEB_CONCURRENCY" in warning
    assert "computed" in warning


def test_junk_in_the_flagon_name_leaves_the_plain_one(read):
    assert read(FLAGON_WEB_CONCURRENCY="auto", WEB_CONCURRENCY="3")["WEB_CONCURRENCY"] == 3


# .env


def test_dotenv_lies_below_the_environment(read):
    settings = read("THREADS=2\nTIMEOUT=9\nMINE=file\nOTHER=file\n", THREADS="3", OTHER="real")
    assert (settings["THREADS"], settings.sources["THREADS"]) == (3, "THREADS")
    assert (settings["TIMEOUT"], settings.sources["TIMEOUT"]) == (9, "TIMEOUT in .env")
    assert settings.environment == {"THREADS": "3", "TIMEOUT": "9", "MINE": "file", "OTHER": "real"}


def test_a_plain_name_of_the_environment_wins_over_a_flagon_name_of_the_file(read):
    assert read("FLAGON_THREADS=2\n", THREADS="3")["THREADS"] == 3


def test_an_empty_variable_leaves_the_file_its_say(read):
    assert read("THREADS=2\n", THREADS="")["THREADS"] == 2


def test_bad_values_of_the_file_are_errors_too(read):
    (error,) = errors(read, "PORT=http\n")
    assert error.startswith("PORT='http'")


def docker_env_file(text):
    """What `docker run --env-file` makes of a file: no quotes, no comments behind a value (docker/cli, opts/envfile)."""
    variables = {}
    for line in text.removeprefix("\ufeff").splitlines():
        line = line.lstrip()
        if line and not line.startswith("#") and "=" in line:
            name, value = line.split("=", 1)
            assert " " not in name
            variables[name] = value
    return variables


GOLDEN = """
# a comment
   # and an indented one

PORT="5000"
THREADS='8'
SECRET_KEY="with # sign and = and ' in it"
DATABASE_URL='postgres://user:p"w@host/name?x=1#frag'
REDIS_URL=redis://host:6379/0
LOG_LEVEL=  debug\x20\x20
TIMEOUT= 30
URL_PREFIX=
APP_MODULE="shop.web:create_app('test')"
TRUSTED_PROXIES="10.0.0.0/8, 192.0.2.0/24"
  ACCESS_LOG=off
"""


def test_dotenv_equals_docker_env_file(read, tmp_path):
    by_docker = resolve(docker_env_file(GOLDEN), str(tmp_path))
    by_file = read(GOLDEN)
    assert by_file.values == by_docker.values
    assert by_file["SECRET_KEY"] == "with # sign and = and ' in it"
    assert by_file["PORT"] == 5000
    assert by_file["APP_MODULE"] == "shop.web:create_app('test')"
    assert by_file.warnings == by_docker.warnings == []


# gunicorn's arguments


@pytest.mark.parametrize(("text", "name", "value"), [
    ("-w 3", "WEB_CONCURRENCY", 3), ("-w3", "WEB_CONCURRENCY", 3), ("--workers=3", "WEB_CONCURRENCY", 3),
    ("--workers 3", "WEB_CONCURRENCY", 3), ("--threads 8", "THREADS", 8), ("-k gevent", "WORKER_CLASS", "gevent"),
    ("--worker-class=gthread", "WORKER_CLASS", "gthread"), ("-t 90", "TIMEOUT", 90), ("--timeout 90", "TIMEOUT", 90),
    ("--timeout 0", "TIMEOUT", 86400), ("--threads 0", "THREADS", 1), ("-t0", "TIMEOUT", 86400), ("--timeout=0", "TIMEOUT", 86400), ("--graceful-timeout 0", "GRACEFUL_TIMEOUT", 1),
    ("--graceful-timeout 5", "GRACEFUL_TIMEOUT", 5), ("--backlog 99", "BACKLOG", 99), ("--backlog 0", "BACKLOG", 1), ("--max-requests 10", "MAX_REQUESTS", 10),
    ("--max-requests-jitter 3", "MAX_REQUESTS_JITTER", 3), ("--log-level DEBUG", "LOG_LEVEL", "debug"),
    ("--preload -w 3 --reload", "WEB_CONCURRENCY", 3),
])  # fmt: skip
def test_gunicorn_cmd_args_win_over_all_names(read, text, name, value):
    other = {"LOG_LEVEL": "error", "WORKER_CLASS": "sync"}.get(name, "1")
    settings = read(**{"GUNICORN_CMD_ARGS": text, name: other, "FLAGON_" + name: other})
    assert (settings[name], settings.sources[name]) == (value, "GUNICORN_CMD_ARGS")


@pytest.mark.parametrize("text", [
    "-D", "--daemon", "-m 7", "--umask 7", "-n x", "--name=x", "--protocol uwsgi", "--worker-tmp-dir /x",
    "--control-socket /x", "-p /x", "--pid /x", "-u root", "-g root", "--user=root", "--forwarded-allow-ips *",
    "--access-logfile /x", "--error-logfile=/x", "--log-file /x", "--access-logformat=%(h)s", "--statsd-host a:1",
    "--logger-class x.Y", "--log-config /x", "--proxy-protocol", "--spew", "--initgroups", "--reuse-port",
])  # fmt: skip
def test_what_is_always_ours_is_ignored_with_one_line(read, text):
    settings = read(GUNICORN_CMD_ARGS=f"{text} --threads 3")
    assert settings.gunicorn_args == []
    assert settings["THREADS"] == 3
    (warning,) = settings.warnings
    option, _, consequence = warning.removeprefix("GUNICORN_CMD_ARGS: ").partition(" is ignored: ")
    assert option == re.split("[ =]", text)[0]
    assert len(consequence) > 15, "what comes of it, or who says it here"


@pytest.mark.parametrize("text", [
    "--access-logfile -", "--error-logfile=-", "--log-file -", "--worker-tmp-dir /dev/shm", "--no-control-socket",
    "-m 0", "-b 0.0.0.0:80", "--chdir src", "-c g.py", "--pythonpath lib", "--preload", "",
])  # fmt: skip
def test_what_is_done_anyway_or_taken_is_not_said_to_be_ignored(read, text):
    assert read(GUNICORN_CMD_ARGS=text).warnings == []


@pytest.mark.parametrize("text", ["timeout 60", "app:app", "-- app:app", "-w 2 extra"])
def test_a_word_of_no_option_is_named(read, text):
    """gunicorn too takes nothing but options from there."""
    warnings = read(GUNICORN_CMD_ARGS=text).warnings
    assert warnings
    assert all("is ignored: it belongs to no option" in line for line in warnings)


@pytest.mark.parametrize("text", [
    "'--timeout 77'", '"--timeout 77"', '"--timeout=77"', '"-w 2 --timeout 77"', "'-w 2' '--timeout 77'", '"-t 77" "-w 2"',
    '"-t77 -w2"', '"--timeout=77 -w 2"', ' "--timeout  77 " ', "'--workers 2' --timeout=77", '--timeout "77"', "--time 77",
    """'--timeout 77 --env "A=b c"'""",
])  # fmt: skip
def test_quotes_around_arguments_are_taken_apart(read, text):
    settings = read(GUNICORN_CMD_ARGS=text)
    assert (settings["TIMEOUT"], settings.sources["TIMEOUT"], settings.warnings) == (77, "GUNICORN_CMD_ARGS", [])
    if "2" in text:
        assert settings["WEB_CONCURRENCY"] == 2


@pytest.mark.parametrize(("words", "rest"), [
    (["-e", "A=-w 2 --timeout 3"], ["-e", "A=-w 2 --timeout 3"]), (["--env=A=x -w 2"], ["--env", "A=x -w 2"]),
    (["--keep-alive", "-1 2"], ["--keep-alive", "-1 2"]),
])  # fmt: skip
def test_a_value_may_hold_blanks(words, rest):
    found = gunicorn_args.split([*words, "shop:app"])
    assert (found.rest, found.ours, found.application) == (rest, {}, "shop:app")


@pytest.mark.parametrize(("words", "expected"), [
    (["-w 3", "--timeout 60", "shop:app"], {"WEB_CONCURRENCY": "3", "TIMEOUT": "60"}), (["-RDw", "3", "shop:app"], {"WEB_CONCURRENCY": "3"}),
    (["-w3 -t60", "shop:app"], {"WEB_CONCURRENCY": "3", "TIMEOUT": "60"}), (["-w=3", "shop:app", "-t", "60"], {"WEB_CONCURRENCY": "3", "TIMEOUT": "60"}),
    (["shop:app", "other"], {}), (["--http2-cleartext", "off", "shop:app"], {}), (["--proxy-protocol", "shop:app"], {}), (["--", "shop:app"], {}),
])  # fmt: skip
def test_as_gunicorn_reads_its_words(words, expected):
    found = gunicorn_args.split(words)
    assert (found.ours, found.application) == (expected, "shop:app")


@pytest.mark.parametrize(("bind", "port"), [
    ("0.0.0.0:5000", "5000"), (":5000", "5000"), ("[::]:5000", "5000"), ("tcp://0.0.0.0:5000", "5000"), ("localhost", "8000"),
    ("0.0.0.0", "8000"), ("[::1]", "8000"), ("", "8000"), ("5000", "5000"), ("unix:/tmp/x:1", None), ("fd://3", None), (":$PORT", "$PORT"), (":", ""),
])  # fmt: skip
def test_the_port_of_an_address(bind, port):
    assert gunicorn_args.port_of(bind) == port


def test_an_option_that_gunicorn_does_not_know_does_not_swallow_the_application(read):
    """gunicorn itself refuses it, where it is started."""
    settings = read(None, ["--wrokers", "shop:app"])
    assert (settings.gunicorn_args, settings.gunicorn_args_from) == (["--wrokers"], ["command line"])
    assert settings.command.application == "shop:app"


@pytest.mark.parametrize("name", ["uvicorn.workers.UvicornWorker", "egg:meinheld#gunicorn_worker"])
def test_a_worker_class_of_the_old_images_in_a_command(read, name):
    settings = read(None, ["-k", name, "app:app"])
    assert settings["WORKER_CLASS"] is None
    assert f"command line: WORKER_CLASS={name} is ignored" in settings.warnings[0]


def test_gunicorns_own_arguments_are_passed_on(read):
    settings = read(GUNICORN_CMD_ARGS="--preload --limit-request-fields 50 -e 'A=a b' --keep-alive=5")
    assert (settings["PRELOAD"], settings.sources["PRELOAD"]) == (True, "GUNICORN_CMD_ARGS")
    assert settings.gunicorn_args == [
        "--limit-request-fields", "50", "-e", "A=a b", "--keep-alive", "5",
    ]  # fmt: skip
    assert settings.warnings == []


@pytest.mark.parametrize("text", ["-w many --timeout never", "-w 0", "'open", "--log-level loud"])
def test_bad_gunicorn_arguments_are_errors(read, text):
    found = errors(read, GUNICORN_CMD_ARGS=text)
    assert all(error.startswith("GUNICORN_CMD_ARGS") for error in found)


def test_the_command_line_is_below_every_name(read):
    command = ["-w", "2", "--threads=9", "-t", "50", "shop:app"]
    settings = read("TIMEOUT=9\n", command, THREADS="3")
    assert settings["WEB_CONCURRENCY"] == 2
    assert settings.sources["WEB_CONCURRENCY"] == "command line"
    assert settings["THREADS"] == 3
    assert settings["TIMEOUT"] == 9
    assert read(None, command, GUNICORN_CMD_ARGS="-w 5")["WEB_CONCURRENCY"] == 5


def test_a_bad_value_beside_a_command_line_is_an_error_and_no_crash(read):
    (error,) = errors(read, None, ["--threads", "2", "app:app"], FLAGON_THREADS="many")
    assert error.startswith("FLAGON_THREADS=")


def test_gunicorns_flags_do_not_swallow_the_application():
    """Every option of the installed gunicorn that takes no value, asked of gunicorn itself."""
    from gunicorn.config import Config

    for action in Config().parser()._actions:
        if action.nargs == 0 and action.dest not in ("help", "version"):
            for option in action.option_strings:
                found = gunicorn_args.split([option, "shop:app"])
                assert found.application == "shop:app", option


def test_all_options_of_gunicorn_are_passed_or_known():
    """What takes a value keeps it."""
    from gunicorn.config import Config

    for action in Config().parser()._actions:
        if action.nargs != 0:
            for option in action.option_strings:
                joined = option + "=7" if option.startswith("--") else option + "7"
                for words in ([option, "7"], [joined]):
                    assert gunicorn_args.split([*words, "shop:app"]).application == "shop:app", option


# values that cannot be together


@pytest.mark.parametrize("environ", [
    {"HEADER_SIZE": "16k"}, {"HEADER_SIZE": "32k", "HEADER_BUFFERS": "2"}, {"HEADER_BUFFERS": "64"},
    {"HEADER_SIZE": "10240"},
])  # fmt: skip
def test_header_limits_beyond_one_fastcgi_record(read, environ):
    (error,) = errors(read, **environ)
    assert "HEADER_SIZE" in error
    assert "HEADER_BUFFERS" in error
    assert "impossible" in error


@pytest.mark.parametrize("size", ["16k", "48k", "64k"])
def test_the_http_wire_has_no_record(read, size):
    assert read(HEADER_SIZE=size, WORKER_CLASS="gthread")["HEADER_SIZE"] == int(size[:-1]) * 1024
    assert "WORKER_CLASS=gthread" in errors(read, HEADER_SIZE=size)[0]
    assert errors(read, HEADER_SIZE=size, WORKER_CLASS="fastcgi")


@pytest.mark.parametrize("environ", [
    {}, {"HEADER_SIZE": "8k", "HEADER_BUFFERS": "4"}, {"HEADER_SIZE": "1k", "HEADER_BUFFERS": "50"},
    {"HEADER_SIZE": "15000", "HEADER_BUFFERS": "2"},
])  # fmt: skip
def test_header_limits_that_fit(read, environ):
    """3 x request line + the other headers stay below what FastCGI can carry (DESIGN 3.4)."""
    settings = read(**environ)
    size, buffers = settings["HEADER_SIZE"], settings["HEADER_BUFFERS"]
    assert 3 * size + (buffers - 1) * size < 65535


@pytest.mark.parametrize(
    ("delay", "stop", "good"), [("7.9", "8", True), ("8", "8", False), ("9", "8", False), ("0", "1", True)]
)
def test_drain_delay_must_leave_time(read, delay, stop, good):
    environ = {"DRAIN_DELAY": delay, "STOP_TIMEOUT": stop}
    if good:
        assert read(**environ)["DRAIN_DELAY"] == float(delay)
    else:
        (error,) = errors(read, **environ)
        assert "DRAIN_DELAY" in error
        assert "STOP_TIMEOUT" in error


def test_more_streams_than_threads(read):
    assert read(STREAMS_MAX="4")["STREAMS_MAX"] == 4
    (error,) = errors(read, FLAGON_STREAMS_MAX="5")
    assert "STREAMS_MAX=5" in error
    settings = read(STREAMS_MAX="5")
    assert settings["STREAMS_MAX"] is None
    assert [line for line in settings.warnings if "STREAMS_MAX=5 is more than THREADS=4" in line]


# one table drives everything


def test_readme_has_the_table():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        text = file.read()
    between = re.search(r"<!-- settings -->\n(.*?)<!-- /settings -->", text, re.DOTALL)
    assert between, "README.md has no <!-- settings --> ... <!-- /settings -->"
    assert between[1].strip() == show.markdown().strip()


def test_markdown_has_every_row_once():
    text = show.markdown()
    for name, row in SETTINGS.items():
        assert len(re.findall(rf"^\| `{name}` \|", text, re.MULTILINE)) == 1
        assert row.sentence in text
        assert row.sentence.endswith(".")
    for line in text.splitlines():
        assert not line.startswith("|") or line.count("|") == 5, "a column too many: " + line


@pytest.mark.parametrize("row", SETTINGS.values(), ids=lambda row: row.name)
def test_schema_covers_each_row(row):
    schema = show.schema()
    assert json.loads(json.dumps(schema)) == schema
    properties = schema["properties"]
    for name in (row.name, "FLAGON_" + row.name):
        assert properties[name]["type"] == "string"
        assert properties[name]["description"] == row.sentence
        assert properties[name].get("default", "") == row.default
        assert ("enum" in properties[name]) == bool(row.choices)
        assert (name + "_FILE" in properties) == row.secret


def test_schema_has_nothing_else():
    names = {name.removeprefix("FLAGON_").removesuffix("_FILE") for name in show.schema()["properties"]}
    assert names == set(SETTINGS)


@pytest.mark.parametrize("row", SETTINGS.values(), ids=lambda row: row.name)
def test_rows_are_well_formed(row):
    assert row.kind in kinds.PARSERS
    assert bool(row.choices) == (row.kind == "choice")
    if row.kind in ("integer", "workers", "seconds", "size"):
        assert row.low < row.high
    if row.default:
        kinds.PARSERS[row.kind](row.default, row)
