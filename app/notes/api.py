"""The same notes for programs: JSON at /api/notes.

There is no login here, so no cookie speaks for anybody, and the forms' token is not asked for. What changes something
must still be application/json: another site's form cannot send that, and its script has to ask the browser first.
Add a login by cookie, and this API needs the token as well.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, jsonify, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import Conflict

from ..database import db
from ..errors import InvalidFields
from .forms import NoteForm
from .models import QUERY_LENGTH, Note, find_notes, get_note
from .views import GONE, NUMBER

bp = Blueprint("notes_api", __name__, url_prefix="/api/notes")


def as_json(note: Note) -> dict[str, Any]:
    return {
        "id": note.id,
        "title": note.title,
        "body": note.body,
        "created_at": note.created_at.isoformat(),
        "updated_at": note.updated_at.isoformat(),
        "version": note.version,
    }


def sent() -> dict[str, Any]:
    """The JSON object in the body, its members checked for their types."""
    if request.mimetype != "application/json":
        abort(415, "Send the note as application/json.")
    given = request.get_json()
    if not isinstance(given, dict):
        raise InvalidFields({"body": "Send one JSON object."})
    types = {"title": str, "body": str, "version": int}
    wrong = {
        name: f"Give {kind.__name__}." for name, kind in types.items() if type(given.get(name, kind())) is not kind
    }
    wrong |= {name: "There is no such field." for name in given if name not in types}
    if wrong:
        raise InvalidFields(wrong)
    return given


def write(note: Note, given: dict[str, Any]) -> None:
    form = NoteForm(MultiDict({"title": given.get("title", ""), "body": given.get("body", "")}), meta={"csrf": False})
    if not form.validate():
        raise InvalidFields({name: messages[0] for name, messages in form.errors.items()})
    note.title, note.body = form.title.data, form.body.data


@bp.get("")
def index() -> Response:
    page, query = request.args.get("page", "1"), request.args.get("q", "")
    if not (page.isascii() and page.isdigit() and len(page) < 10 and int(page) > 0):
        raise InvalidFields({"page": "Give a whole number from 1."})
    if len(query) > QUERY_LENGTH or "\0" in query:
        raise InvalidFields({"q": f"Use at most {QUERY_LENGTH} characters."})
    found = find_notes(query.strip(), int(page), clamp=False)
    return jsonify(
        notes=[as_json(note) for note in found.notes], page=found.number, pages=found.pages, total=found.total
    )


@bp.post("")
def add() -> tuple[Response, int, dict[str, str]]:
    note = Note()
    write(note, sent())
    db.session.add(note)
    db.session.commit()
    return jsonify(as_json(note)), 201, {"Location": url_for(".show", number=note.id)}


@bp.get(f"/{NUMBER}")
def show(number: int) -> Response:
    return jsonify(as_json(get_note(number) or abort(404, GONE)))


@bp.route(f"/{NUMBER}", methods=["PUT", "PATCH"])
def change(number: int) -> Response:
    """PUT gives the whole note, PATCH what changes. With `version`, only if nobody saved it meanwhile."""
    given = sent()
    note = get_note(number, to_change=True) or abort(404, GONE)
    if given.get("version", note.version) != note.version:
        raise Conflict(f"Somebody saved this note meanwhile: its version is {note.version}.")
    write(note, {"title": note.title, "body": note.body, **given} if request.method == "PATCH" else given)
    db.session.commit()
    return jsonify(as_json(note))


@bp.delete(f"/{NUMBER}")
def delete(number: int) -> tuple[str, int]:
    db.session.delete(get_note(number, to_change=True) or abort(404, GONE))
    db.session.commit()
    return "", 204
