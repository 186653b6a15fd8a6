"""The starter's factory: builds on its own, twice, from given settings or the environment."""

import pytest
from flask import Flask

import app as app_package
from app import create_app
from app.settings import Settings


def test_takes_the_settings_it_is_given():
    app = create_app(settings=Settings(secret_key="given by the test"))
    assert app.config["SECRET_KEY"] == "given by the test"


def test_reads_the_environment_without_settings(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "from the environment")
    assert create_app().config["SECRET_KEY"] == "from the environment"


def test_refuses_to_start_on_bad_settings(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    with pytest.raises(ValueError, match="DATABASE_URL"):
        create_app()


def test_two_applications_share_nothing():
    one, two = create_app(Settings()), create_app(Settings())
    assert one is not two
    assert one.config["SECRET_KEY"] != two.config["SECRET_KEY"]


def test_health_routes_are_left_to_flagon():
    rules = {rule.rule for rule in create_app(Settings()).url_map.iter_rules()}
    assert {"/", "/static/<path:filename>", "/notes", "/api/notes"} <= rules
    assert not rules & {"/up", "/health", "/healthz", "/livez", "/ready", "/readyz", "/-/up"}


def test_import_builds_nothing():
    assert not [name for name, value in vars(app_package).items() if isinstance(value, Flask)]
