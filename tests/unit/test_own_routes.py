"""Which paths of ours the application has a route for, by what its framework tells, behind middleware too."""

import pytest
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from flagon.inside import own_routes

PATHS = ["/up", "/health", "/healthz", "/livez", "/ready", "/readyz"]


def test_own_routes():
    app = Flask(__name__)
    assert own_routes.of(app, PATHS) == []
    app.add_url_rule("/<path:rest>", "all", lambda rest: "")
    app.add_url_rule("/<name>", "one", lambda name: "")
    app.add_url_rule("/ready/", "slash", lambda: "")
    assert own_routes.of(app, PATHS) == []
    app.add_url_rule("/health", "health", lambda: "")
    app.add_url_rule("/up", "up", lambda: "", methods=["GET"])
    assert own_routes.of(app, PATHS) == ["/up", "/health"]


class Strange:
    url_map = 5


@pytest.mark.parametrize("application", [print, Strange(), object()])
def test_own_routes_of_other_frameworks(application):
    assert own_routes.of(application, PATHS) == []


def flask_with(*rules):
    app = Flask("x")
    for number, rule in enumerate(rules):
        app.add_url_rule(rule, str(number), lambda: "")
    return app


class Wrapper:
    def __init__(self, application):
        self.application = application

    def __call__(self, environ, start):
        return self.application(environ, start)


def wrapped(application):
    return lambda environ, start: application(environ, start)


class Slots:
    __slots__ = ("_inner",)

    def __init__(self, application):
        self._inner = application

    def __call__(self, environ, start):
        return self._inner(environ, start)


class OneSlot(Slots):
    __slots__ = "more"


@pytest.mark.parametrize(
    "around",
    [
        Slots,
        OneSlot,
        lambda app: Wrapper(Slots(DispatcherMiddleware(app, {}))),
        ProxyFix,
        Wrapper,
        wrapped,
        lambda app: ProxyFix(wrapped(Wrapper(app.wsgi_app))),
    ],
)
def test_behind_middleware(around):
    assert own_routes.of(around(flask_with("/health", "/other")), PATHS) == ["/health"]


def test_middleware_on_the_object():
    app = flask_with("/up")
    app.wsgi_app = ProxyFix(app.wsgi_app)
    assert own_routes.of(app, PATHS) == ["/up"]


def test_mounts():
    inner = flask_with("/ready", "/up")
    assert own_routes.of(DispatcherMiddleware(flask_with("/health"), {"/api": inner}), PATHS) == ["/health"]
    assert own_routes.of(DispatcherMiddleware(flask_with("/x"), {"/up": inner}), PATHS) == ["/up"]


site = flask_with("/health")
other = flask_with("/up")


def application(environ, start):
    """As people write it in wsgi.py."""
    environ["wsgi.url_scheme"] = "https"
    return site(environ, start)


class Outer:
    def __call__(self, environ, start):
        return site(environ, start)


def helper(one):
    return other


def test_a_function_that_hands_on_to_the_module_s_application():
    assert own_routes.of(application, PATHS) == ["/health"]
    assert own_routes.of(Outer(), PATHS) == ["/health"]
    assert own_routes.of(Wrapper(application), PATHS) == ["/health"]
    assert own_routes.of(helper, PATHS) == [], "no WSGI function"


def test_circles_end():
    one, other = Wrapper(None), Wrapper(None)
    one.application, other.application = other, one
    assert own_routes.of(one, PATHS) == []
