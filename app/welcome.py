"""The welcome page: what runs here, and what to do next. Yours to replace; stack.py goes with it."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, current_app, make_response, render_template, request

from .stack import Stack

bp = Blueprint("welcome", __name__)


@bp.get("/")
def index() -> Response:
    stack = Stack(current_app.extensions["settings"])
    request_id = request.headers.get("X-Request-ID", "")
    response = make_response(render_template("welcome.html", stack=stack, request_id=request_id))
    response.cache_control.no_store = True  # uptime and request id are true only now
    return response


def init_app(app: Flask) -> None:
    app.register_blueprint(bp)
