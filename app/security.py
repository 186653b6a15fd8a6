"""The session cookie: not readable by scripts, not sent by other sites, HTTPS only where there is HTTPS."""

from __future__ import annotations

from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface


class SchemeAwareSessions(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: Flask) -> bool:
        # A fixed True would lose the session on plain `docker run`, a fixed False would expose it behind TLS.
        return request.is_secure or super().get_cookie_secure(app)


def init_app(app: Flask) -> None:
    app.config["SESSION_COOKIE_HTTPONLY"] = True
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    app.session_interface = SchemeAwareSessions()
