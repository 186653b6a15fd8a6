"""Settings from outside: what stops the boot, what only warns, what wins, what is kept."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from .box import Box, run_once, wait_until, write_files
from .processes import parts, send

GOOD_KEY = "a-good-key-of-more-than-thirty-letters-4711"
ENVIRON = """import json, os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(dict(os.environ)).encode()]
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    path = write_files({})
    yield path
    shutil.rmtree(path, ignore_errors=True)


def config(
    env: Mapping[str, str] | None = None, args: list[str] | None = None, files: Mapping[str, str] | None = None
) -> dict[str, Any]:
    done = run_once(["config", "--json"], env=env, args=args or [], files=files)
    assert done.returncode == 0
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# -- what stops the boot


def test_all_errors_in_one_message_with_secrets_masked() -> None:
    env = {
        "PORT": "eighty",
        "FLAGON_TIMEOUT": "abc",
        "DATABASE_URL": "postgres//ada:hunter2@db/x",
        "SECRET_KEY": "changeme",
        "APP_MODULE": "no good",
        "REDIS_URL": "not a url with hunter3",
        "FLAGON_LOG_LEVEL": "loud",
    }
    done = run_once(env=env)
    assert done.returncode == 78
    for name in env:
        assert done.stderr.count(f"{name}=") == 1, name
    assert "'eighty'" in done.stderr
    assert "hunter" not in done.stdout + done.stderr
    assert "changeme" not in done.stdout + done.stderr
    assert "65535" in done.stderr


@pytest.mark.parametrize("verb", ["serve", "check", "config"])
def test_the_same_for_every_verb(verb: str) -> None:
    done = run_once([verb], env={"PORT": "99999"})
    assert done.returncode == 78
    assert "PORT='99999'" in done.stderr


@pytest.mark.parametrize(
    "env",
    [
        {"FLAGON_TIMEOUT": "abc"},
        {"FLAGON_THREADS": "257"},
        {"FLAGON_ACCESS_LOG": "perhaps"},
        {"FLAGON_TRUSTED_PROXIES": "10.0.0.0/99"},
        {"FLAGON_MAX_BODY_SIZE": "many"},
        {"FLAGON_RUN_AS": "nobody"},
        {"FLAGON_URL_PREFIX": "shop"},
        {"PORT": "0"},
        {"HEADER_SIZE": "32k"},
        {"DRAIN_DELAY": "9"},
        {"FLAGON_STREAMS_MAX": "5", "THREADS": "4"},
        {"GUNICORN_CMD_ARGS": "--workers '2"},
        {"GUNICORN_CMD_ARGS": "--threads two"},
        {"SECRET_KEY_FILE": "/no/such/file"},
    ],
)
def test_stops_the_boot(env: dict[str, str]) -> None:
    done = run_once(env=env, timeout=20)
    assert done.returncode == 78
    assert any(name.removeprefix("FLAGON_") in done.stderr for name in env)


@pytest.mark.parametrize("verb", ["serve", "check"])
def test_an_option_that_gunicorn_does_not_know(verb: str) -> None:
    done = run_once([verb], env={"GUNICORN_CMD_ARGS": "--no-such-option 1"}, timeout=20)
    assert done.returncode not in (0, 137)
    assert "--no-such-option" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("key", "refused"),
    [("changeme", True), ("your-secret-key", True), ("short", True), ("dev", True), (GOOD_KEY, False)],
)
def test_placeholders_are_refused_with_a_fresh_suggestion(key: str, refused: bool) -> None:
    first, second = (run_once(["config"], env={"SECRET_KEY": key}) for _ in range(2))
    assert first.returncode == (78 if refused else 0)
    assert (first.stderr != second.stderr) == refused
    words = [word.strip(".,;:'\"`()=") for word in first.stderr.replace("=", " ").split()]
    assert any(len(word) >= 43 for word in words) == refused
    assert key not in words


# -- what only warns


def test_other_people_s_words_warn_once_and_reach_the_application() -> None:
    env = {"TIMEOUT": "abc", "THREADS": "many", "CACHE": "redis", "PROCESSES": "x", "LOG_LEVEL": "chatty"}
    with Box(env=env, files={"main.py": ENVIRON}) as box:
        seen = box.get("/").json()
        for name, value in env.items():
            assert seen[name] == value
        warnings = [r["message"] for r in box.records() if r["level"] == "warning"]
        for name in ("TIMEOUT", "THREADS", "LOG_LEVEL", "PROCESSES", "CACHE"):
            assert len([line for line in warnings if line.startswith(f"{name}=")]) == 1, name


@pytest.mark.parametrize(
    ("name", "meant"),
    [("WEB_CONCURENCY", "WEB_CONCURRENCY"), ("DATABASEURL", "DATABASE_URL"), ("FLAGON_TIMOUT", "FLAGON_TIMEOUT")],
)
def test_near_misses_warn(name: str, meant: str) -> None:
    with Box(env={name: "2"}) as box:
        assert meant in box.wait_log(f"{name} ")


@pytest.mark.parametrize("value", ["auto", "max", "-1", "2.5", "0"])
def test_web_concurrency_that_is_no_number_is_computed(value: str) -> None:
    found = config({"WEB_CONCURRENCY": value})["WEB_CONCURRENCY"]
    assert found["source"] == "computed"
    assert int(found["value"]) >= 1


def test_sizing_follows_the_cgroup() -> None:
    small = config(args=["--memory", "128m", "--cpus", "1"])["WEB_CONCURRENCY"]
    assert small == {"value": "1", "source": "computed"}
    many = config({"WORKER_MEMORY": "8"}, args=["--cpus", "0.5"])["WEB_CONCURRENCY"]
    assert many == {"value": "2", "source": "computed"}


def test_the_boot_line_says_what_was_read_from_where() -> None:
    with Box(args=["--memory", "200m", "--cpus", "1"]) as box:
        line = box.wait_log("threads (")
        assert "200 MB" in line
        assert "cgroup" in line


# -- who wins


def test_flagon_name_wins() -> None:
    found = config({"FLAGON_THREADS": "7", "THREADS": "3"})
    assert found["THREADS"] == {"value": "7", "source": "FLAGON_THREADS"}


def test_a_bad_bare_word_below_a_good_flagon_name() -> None:
    assert config({"FLAGON_THREADS": "7", "THREADS": "many"})["THREADS"]["value"] == "7"


@pytest.mark.parametrize("value", ["", '""', "  ", "''"])
def test_empty_is_unset(value: str) -> None:
    found = config({"PORT": value, "THREADS": value, "SECRET_KEY": value})
    assert found["PORT"] == {"value": "8080", "source": "default"}
    assert found["THREADS"]["source"] == "default"


@pytest.mark.parametrize("value", ['"5000"', "'5000'", " 5000 "])
def test_quotes_and_blanks_are_stripped(value: str) -> None:
    assert config({"PORT": value})["PORT"]["value"] == "5000"


def test_gunicorn_cmd_args() -> None:
    env = {"GUNICORN_CMD_ARGS": "--workers 2 --bind 0.0.0.0:9999 --keep-alive 7 --pid /x", "WEB_CONCURRENCY": "1"}
    with Box(env=env, port=9999) as box:
        assert box.get("/").status_code == 200
        assert "2 workers" in box.wait_log("2 workers x ")
        assert [line for line in box.lines() if "--bind" in line] == [], "its port is taken"
        lines = [line for line in box.lines() if "--pid" in line]
        assert len(lines) == 1
        assert "ignored" in lines[0]
        with pytest.raises(RuntimeError):
            box.exec("curl", "-s", "http://127.0.0.1:8080/")
    assert config(env)["WEB_CONCURRENCY"] == {"value": "2", "source": "GUNICORN_CMD_ARGS"}


def test_environment_beats_the_dotenv_file() -> None:
    found = config({"THREADS": "3"}, files={"main.py": ENVIRON, ".env": "THREADS=9\nTIMEOUT=33\n"})
    assert found["THREADS"]["value"] == "3"
    assert found["TIMEOUT"]["value"] == "33"
    assert ".env" in found["TIMEOUT"]["source"]


def test_dotenv_reads_like_docker_s_env_file() -> None:
    plain = {
        "THREADS": "6",
        "TIMEOUT": "33",
        "SECRET_KEY": GOOD_KEY,
        "LOG_LEVEL": "warning",
        "URL_PREFIX": "/shop",
        "DATABASE_URL": "postgresql://ada:a%23b@db/shop?sslmode=require",
    }
    dotenv = (
        "# settings\n\n"
        "THREADS=6\n"
        'export TIMEOUT="33"   # half a minute\n'
        f"SECRET_KEY='{GOOD_KEY}'\n"
        "  LOG_LEVEL = warning # quiet\n"
        'URL_PREFIX="/shop"\r\n'
        "DATABASE_URL=postgresql://ada:a%23b@db/shop?sslmode=require\n"
    )
    with tempfile.NamedTemporaryFile("w", prefix="flagon-test-") as env_file:
        env_file.write("".join(f"{name}={value}\n" for name, value in plain.items()))
        env_file.flush()
        from_docker = config(args=["--env-file", env_file.name], files={"main.py": ENVIRON})
    from_dotenv = config(files={"main.py": ENVIRON, ".env": dotenv})
    assert {k: v["value"] for k, v in from_dotenv.items()} == {k: v["value"] for k, v in from_docker.items()}
    assert from_dotenv["TIMEOUT"]["value"] == "33"
    # masked in `config`: the application sees the very same
    with Box(files={"main.py": ENVIRON, ".env": dotenv}) as box:
        seen = box.get("/shop/").json()
        assert seen["SECRET_KEY"] == plain["SECRET_KEY"]
        assert seen["DATABASE_URL"] == plain["DATABASE_URL"]


def test_quotes_in_docker_s_env_file() -> None:
    with tempfile.NamedTemporaryFile("w", prefix="flagon-test-") as env_file:
        env_file.write(f"THREADS=\"6\"\nSECRET_KEY='{GOOD_KEY}'\n")
        env_file.flush()
        found = config(args=["--env-file", env_file.name])
    assert found["THREADS"]["value"] == "6"


# -- secrets


def test_secrets_from_files(folder: Path) -> None:
    write_files({"key": GOOD_KEY + "\n", "url": "postgres://ada:pw@db/shop\n", "redis": "redis://cache/0"}, folder)
    env = {
        "SECRET_KEY_FILE": "/run/secrets/key",
        "DATABASE_URL_FILE": "/run/secrets/url",
        "REDIS_URL_FILE": "/run/secrets/redis",
    }
    with Box(env=env, mounts={folder: "/run/secrets"}, files={"main.py": ENVIRON}) as box:
        seen = box.get("/").json()
        assert seen["SECRET_KEY"] == GOOD_KEY
        assert seen["DATABASE_URL"] == "postgresql://ada:pw@db/shop"
        assert seen["REDIS_URL"] == "redis://cache/0"
        assert GOOD_KEY not in box.logs()


def test_a_secret_and_its_file_are_one_too_many(folder: Path) -> None:
    write_files({"key": GOOD_KEY}, folder)
    done = run_once(
        env={"SECRET_KEY": GOOD_KEY, "SECRET_KEY_FILE": "/run/secrets/key"}, args=["-v", f"{folder}:/run/secrets"]
    )
    assert done.returncode == 78
    assert "SECRET_KEY_FILE" in done.stderr
    assert GOOD_KEY not in done.stderr


def test_a_bad_secret_in_a_file_is_masked(folder: Path) -> None:
    write_files({"url": "postgres//ada:hunter2@db"}, folder)
    done = run_once(env={"DATABASE_URL_FILE": "/run/secrets/url"}, args=["-v", f"{folder}:/run/secrets"])
    assert done.returncode == 78
    assert "DATABASE_URL_FILE" in done.stderr
    assert "hunter2" not in done.stderr


def test_a_made_secret_is_kept_over_a_restart() -> None:
    with Box(files={"main.py": ENVIRON}) as box:
        first = box.get("/").json()["SECRET_KEY"]
        box.stop()
        box.start()
        assert box.get("/").json()["SECRET_KEY"] == first
        assert len(first) >= 43
        assert first not in box.logs()
        assert box.exec("stat", "-c", "%a %u", "/data/secret_key").strip() == "600 10001"


def test_two_boxes_make_two_secrets() -> None:
    keys = {run_once(["printenv", "SECRET_KEY"]).stdout for _ in range(2)}
    assert len(keys) == 2


@pytest.mark.parametrize("name", ["RUNTIME_DIR", "FLAGON_RUNTIME_DIR", "DATA_DIR"])
def test_a_directory_s_name_is_no_shell_script(name: str) -> None:
    """Its letters get into scripts and supervisor's files; `%(` ended the box with supervisor's usage text."""
    for path in ("/tmp/a`id>/tmp/PWN`", "/tmp/a%(x)s", "/tmp/a&id", "/tmp/two words"):
        done = run_once(env={name: path}, timeout=20)
        assert done.returncode == 78
        assert f"{name}={path!r} is not accepted; accepted: an absolute path of letters" in done.stderr


def test_a_directory_s_name_may_have_these_letters() -> None:
    """And gunicorn comes back after it was killed: its launcher is a shell script with that name in it."""
    env = {"RUNTIME_DIR": "/tmp/donn\u00e9es-1_2/@a+b=c,d~e.f", "DATA_DIR": "/tmp/data,=@+~\u00e9"}
    with Box(env=env, args=["--tmpfs", "/tmp/data,=@+~\u00e9:mode=1777"], deadline=60) as box:
        assert "is not writable" not in box.logs()
        send(box, "KILL", *parts(box)["gunicorn"])
        box.wait_log("gunicorn was killed by SIGKILL: restarted")
        wait_until(lambda: box.get("/up").status_code == 200, 10, "gunicorn again")
        assert box.exec("flagon", "reload") != ""
        assert box.get("/notes").status_code == 200


def test_secrets_are_not_in_the_run_directory_for_others() -> None:
    with Box(env={"SECRET_KEY": GOOD_KEY}) as box:
        modes = box.exec("sh", "-c", "find /run/flagon -type f -perm /077 ! -name '*.pid'")
        assert modes.strip() == ""


# -- what the application sees


def test_the_application_s_environment() -> None:
    env = {"GUNICORN_CMD_ARGS": "--keep-alive 7", "FORWARDED_ALLOW_IPS": "*", "MY_OWN": "kept"}
    with Box(env=env, files={"main.py": ENVIRON}) as box:
        seen = box.get("/").json()
        assert seen["MY_OWN"] == "kept"
        assert "GUNICORN_CMD_ARGS" not in seen
        assert "FORWARDED_ALLOW_IPS" not in seen
        assert "DATABASE_URL" not in seen
        assert seen["FLAGON_SQLITE_URL"] == "sqlite:////data/app.db"
        assert seen["PORT"] == "8080"


def test_ordinary_words_end_no_boot_and_switch_nothing() -> None:
    words = {
        "WORKER_CLASS": "celery", "STREAMS_MAX": "5", "MODULE_NAME": "billing", "MAX_WORKERS": "16", "KEEP_ALIVE": "1h",
        "VARIABLE_NAME": "foo", "LISTEN_PORT": "9999", "STATIC_INDEX": "yes", "FLAGON_WORKERS": "4",
    }  # fmt: skip
    with Box(words, files={"app.py": ENVIRON}) as box:
        assert words.items() <= box.get("/").json().items()
        log = box.logs()
        assert "x 4 threads" in log
        assert "of the old images hold" not in log
        assert "9999" not in box.wait_log("listening on")
        assert "FLAGON_WORKERS is not a setting" in log
    with Box({"UWSGI_PROCESSES": "2"}, files={"app.py": ENVIRON}) as box:
        assert "UWSGI_PROCESSES is seen, so the defaults of the old images hold" in box.logs()


def test_config_says_where_each_value_came_from() -> None:
    found = config({"THREADS": "3", "SECRET_KEY": GOOD_KEY})
    assert all(set(row) == {"value", "source"} for row in found.values())
    assert found["THREADS"]["source"] == "THREADS"
    assert found["TIMEOUT"]["source"] == "default"
    assert GOOD_KEY not in json.dumps(found)
