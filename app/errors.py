"""Error pages: HTML for people, one JSON shape for programs, never the text of an unexpected exception."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, json, render_template, request
from werkzeug.exceptions import HTTPException, InternalServerError, UnprocessableEntity

UNEXPECTED = "Something went wrong on our side. The log holds the reason, under the request id."


class InvalidFields(UnprocessableEntity):
    """What was sent is understood, but some of it cannot be taken: a message for each field."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("Some fields cannot be accepted.")
        self.fields = fields


def wants_json() -> bool:
    accepted = request.accept_mimetypes
    return request.path.startswith("/api/") or accepted["application/json"] > accepted["text/html"]


def show_error(error: HTTPException) -> HTTPException | Response:
    """Also reached by unexpected exceptions: Flask logs them and hands over an InternalServerError."""
    if error.response is not None:  # the application chose the whole answer itself: abort(response)
        return error
    # Headers that belong to the error stay: Allow, Retry-After, WWW-Authenticate.
    headers = [(name, value) for name, value in error.get_headers() if name != "Content-Type"]
    facts: dict[str, Any] = {
        "status": error.code,
        "title": error.name,
        "detail": UNEXPECTED if isinstance(error, InternalServerError) else error.description or "",
        "request_id": request.headers.get("X-Request-ID", ""),
    }
    if isinstance(error, InvalidFields):
        facts["fields"] = error.fields
    if wants_json():
        body, mimetype = json.dumps({"error": facts}) + "\n", "application/json"
    else:
        body, mimetype = render_template("error.html", **facts), "text/html"
    response = Response(body, error.code, headers, mimetype)
    response.vary.add("Accept")
    return response


def init_app(app: Flask) -> None:
    app.register_error_handler(HTTPException, show_error)
