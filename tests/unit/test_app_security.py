"""The session cookie's flags follow the request."""

import pytest
from flask import session

from app import create_app
from app.settings import Settings


@pytest.fixture
def app():
    app = create_app(Settings())

    @app.get("/remember")
    def remember():
        session["seen"] = True
        return "remembered"

    return app


def cookie(app, scheme):
    return app.test_client().get("/remember", base_url=f"{scheme}://localhost").headers["Set-Cookie"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_closed_to_scripts_and_other_sites(app, scheme):
    assert "; HttpOnly" in cookie(app, scheme)
    assert "; SameSite=Lax" in cookie(app, scheme)


def test_secure_exactly_where_the_request_is(app):
    assert "; Secure" in cookie(app, "https")
    assert "; Secure" not in cookie(app, "http")


def test_secure_can_still_be_forced(app):
    app.config["SESSION_COOKIE_SECURE"] = True
    assert "; Secure" in cookie(app, "http")


def test_nobody_gets_a_cookie_unasked(app):
    assert "Set-Cookie" not in app.test_client().get("/").headers
