"""The session cookie, the forms' token, the content security policy: other sites get neither session nor script in."""

from __future__ import annotations

import secrets

from flask import Flask, Response, g, request
from flask.sessions import SecureCookieSessionInterface
from flask_wtf import CSRFProtect

csrf = CSRFProtect()
# Nothing but our own files; inline scripts and styles only with the page's nonce: <script nonce="{{ csp_nonce() }}">
POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)


class SchemeAwareSessions(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: Flask) -> bool:
        # A fixed True would lose the session on plain `docker run`, a fixed False would expose it behind TLS.
        return request.is_secure or super().get_cookie_secure(app)


def csp_nonce() -> str:
    """The nonce of this response, made at the first call."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    nonce: str = g.csp_nonce
    return nonce


def add_policy(response: Response) -> Response:
    """A view may set a policy of its own."""
    if response.mimetype == "text/html" and "Content-Security-Policy" not in response.headers:
        response.headers["Content-Security-Policy"] = POLICY.format(nonce=csp_nonce())
    return response


def init_app(app: Flask) -> None:
    app.config["SESSION_COOKIE_HTTPONLY"] = True
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    app.session_interface = SchemeAwareSessions()
    # Every POST, PUT, PATCH and DELETE needs the token, unless its blueprint is exempt (notes/api.py says why).
    app.config["WTF_CSRF_TIME_LIMIT"] = None  # as long as the session: a page left open overnight can still be sent
    app.config["WTF_CSRF_SSL_STRICT"] = False  # browsers that send no Referer may write, too; the token does the work
    csrf.init_app(app)
    app.jinja_env.globals["csp_nonce"] = csp_nonce
    app.after_request(add_policy)
