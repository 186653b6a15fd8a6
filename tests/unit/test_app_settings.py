"""The starter's settings: what is accepted, what is refused, and that no secret is ever shown."""

import json
import os

import pytest

from app.settings import Settings, masked


def read(**environment):
    return Settings.from_environment(environment)


def test_defaults_outside_flagon():
    settings = read()
    assert settings.database_url == "sqlite:///app.db"
    assert settings.flagon_version == ""
    assert settings.flagon_summary == {}
    assert len(settings.secret_key) == 64


def test_default_database_lies_in_the_data_directory_of_flagon():
    assert read(FLAGON_VERSION="0.1.0").database_url == "sqlite:////data/app.db"
    summary = '{"version": "0.1.0", "data_dir": "/run/flagon"}'
    assert read(FLAGON_SUMMARY=summary).database_url == "sqlite:////run/flagon/app.db"


def test_a_random_secret_differs_each_time():
    assert read().secret_key != read(SECRET_KEY="  ").secret_key


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:////data/app.db",
        "postgres://u:p@host/name",
        "postgresql+psycopg://u:p@[::1]:5432/name?sslmode=require",
        "postgresql:///name?host=/var/run/postgresql",
        "postgresql://u:p@ss/w[ord@host/name",
    ],
)
def test_good_database_urls(url):
    assert read(DATABASE_URL=f" {url}\n").database_url == url


@pytest.mark.parametrize("url", ["hunter2", "host:5432/hunter2", "/data/hunter2", "sqlite:hunter2", "://hunter2"])
def test_bad_database_urls_are_named_but_not_echoed(url):
    with pytest.raises(ValueError, match=r"DATABASE_URL: give sqlite:////data/app\.db") as caught:
        read(DATABASE_URL=url)
    assert "hunter2" not in str(caught.value)


def test_all_mistakes_come_at_once_without_their_values():
    with pytest.raises(ValueError, match="cannot be used") as caught:
        read(DATABASE_URL="hunter2", SECRET_KEY="hunter2\nTWO=2")
    message = str(caught.value)
    assert "SECRET_KEY: " in message
    assert "DATABASE_URL: " in message
    assert "hunter2" not in message


def test_repr_shows_no_secret():
    shown = repr(read(SECRET_KEY="hunter2", DATABASE_URL="postgresql://u:hunter2@host/name"))
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////data/app.db", "sqlite:////data/app.db"),
        ("postgresql://host/name", "postgresql://host/name"),
        ("postgresql://user@host:5432/name", "postgresql://user@host:5432/name"),
        ("postgresql://user:hunter2@host:5432/name", "postgresql://user:***@host:5432/name"),
        ("postgresql://:hunter2@host/name", "postgresql://:***@host/name"),
        ("postgresql://user:hunter2@/?hunter2#@host/name", "postgresql://user:***@host/name"),
        ("postgresql://user@corp:hunter2@host/name", "postgresql://user@corp:***@host/name"),
        ("postgresql://host/name?user=u&password=hunter2", "postgresql://host/name"),
        ("postgresql://u:hunter2@host/name?x=a@b&password=hunter2", "postgresql://u:***@b"),
        ("postgresql://u:hunter2\n@host/name", "postgresql://u:***@host/name"),
    ],
)
def test_masking(url, shown):
    assert masked(url) == shown


@pytest.mark.parametrize(
    "garbage",
    ["", "{", "null", "[1]", '"text"', "3", "NaN", "[" * 50_000, "1" * 5_000, "\udc80"],
    ids=lambda garbage: ascii(garbage[:6]),
)
def test_a_broken_summary_counts_as_none(garbage):
    assert read(FLAGON_SUMMARY=garbage).flagon_summary == {}


GIVEN = "postgresql://u:p@host/name"
FACTS = {
    "given": GIVEN,
    "url": "postgresql+psycopg://u:p@/name?host=a:1&host=b:2",
    "schema": "mine",
    "pooled": True,
    "timeout": 2.5,
    "threads": 8,
}


def flagon(**changes):
    return json.dumps({**FACTS, **changes})


def test_what_flagon_found_out_is_used():
    settings = read(DATABASE_URL=GIVEN, FLAGON_DATABASE=flagon())
    assert settings.database_url == GIVEN
    assert settings.engine_url.query["host"] == ("a:1", "b:2")
    found = settings.database
    assert (found.schema, found.pooled, found.timeout, found.threads) == ("mine", True, 2.5, 8)


def test_another_database_url_given_since_counts():
    settings = read(DATABASE_URL="sqlite:////tmp/other.db", FLAGON_DATABASE=flagon())
    assert settings.engine_url.database == "/tmp/other.db"
    found = settings.database
    assert (found.schema, found.pooled, found.timeout, found.threads) == ("", False, 2.5, 8)


@pytest.mark.parametrize(
    "given", ["", "{", "[]", "null", flagon(url=7, schema=None, pooled="x", timeout="5", threads=1.5)]
)
def test_broken_facts_count_as_none(given):
    settings = read(DATABASE_URL=GIVEN, FLAGON_DATABASE=given)
    assert settings.database == read(DATABASE_URL=GIVEN).database
    assert settings.engine_url.drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u:p%25@host/name", "postgresql+psycopg://u:p%25@host/name"),
        ("postgresql://host/name", "postgresql+psycopg://host/name"),
        ("postgresql+psycopg2://host/name", "postgresql+psycopg2://host/name"),
        ("sqlite:////data/app.db", "sqlite:////data/app.db"),
        ("sqlite:///app.db", f"sqlite:///{os.getcwd()}/app.db"),
        ("sqlite://", "sqlite://"),
    ],
)
def test_for_sqlalchemy(given, used):
    assert read(DATABASE_URL=given).engine_url.render_as_string(hide_password=False) == used


def test_a_sqlite_uri_is_left_as_it_is():
    assert read(DATABASE_URL="sqlite:///file:app.db?uri=true").engine_url.database == "file:app.db"


@pytest.mark.parametrize("url", ["postgresql://u:hunter2@host:port/name", "postgresql://u:p:hunter2:x/name"])
def test_an_url_that_cannot_be_taken_apart_is_not_echoed(url):
    with pytest.raises(ValueError, match="DATABASE_URL: give") as caught:
        read(DATABASE_URL=url)
    assert "hunter2" not in str(caught.value)
