"""The session cookie and the forms' token: other sites can neither read the session nor write in its name."""

from __future__ import annotations

from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface
from flask_wtf import CSRFProtect

csrf = CSRFProtect()


class SchemeAwareSessions(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: Flask) -> bool:
        # A fixed True would lose the session on plain `docker run`, a fixed False would expose it behind TLS.
        return request.is_secure or super().get_cookie_secure(app)


def init_app(app: Flask) -> None:
    app.config["SESSION_COOKIE_HTTPONLY"] = True
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    app.session_interface = SchemeAwareSessions()
    # Every POST, PUT, PATCH and DELETE needs the token, unless its blueprint is exempt (notes/api.py says why).
    app.config["WTF_CSRF_TIME_LIMIT"] = None  # as long as the session: a page left open overnight can still be sent
    app.config["WTF_CSRF_SSL_STRICT"] = False  # browsers that send no Referer may write, too; the token does the work
    csrf.init_app(app)
