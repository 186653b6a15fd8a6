"""The pages. They work without JavaScript; htmx swaps parts of the same pages, as the templates' attributes say."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_wtf.csrf import CSRFError
from werkzeug.wrappers import Response as AnyResponse

from ..database import db
from .forms import NoteForm
from .models import QUERY_LENGTH, Note, find_notes, get_note

bp = Blueprint("notes", __name__, url_prefix="/notes", template_folder="templates")
Answer = str | tuple[str, int] | AnyResponse
NUMBER = "<int(max=2147483647):number>"
GONE = "There is no such note. It may have been deleted."


def whole_number(text: str) -> int:
    """A page number; whatever is none counts as the first."""
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else 1


def asked() -> dict[str, Any]:
    """The part of the list that is being looked at; travels along in every link, so that one comes back to it."""
    query = request.args.get("q", "").replace("\0", "").strip()[:QUERY_LENGTH]
    page = whole_number(request.args.get("page", ""))
    return {"q": query or None, "page": page if page > 1 else None}


def show_form(
    form: NoteForm, number: int = 0, status: int = 200, problem: str = "", other: Note | None = None
) -> Answer:
    """For the note of this number, or a new one. `other`: what is saved meanwhile, to be shown beside."""
    facts = {"form": form, "number": number, "problem": problem, "other": other, "asked": asked()}
    return render_template("notes/form.html", **facts), status


@bp.get("")
def index() -> Answer:
    where = asked()
    page = find_notes(where["q"] or "", where["page"] or 1)
    return render_template(
        "notes/index.html", page=page, asked={**where, "page": page.number if page.number > 1 else None}
    )


@bp.get("/new")
def new() -> Answer:
    return show_form(NoteForm())


@bp.post("/new")
def new_submit() -> Answer:
    form = NoteForm()
    if not form.validate():
        return show_form(form, status=422)
    db.session.add(Note(title=form.title.data, body=form.body.data))
    db.session.commit()
    flash("Note added.")
    return redirect(url_for(".index"), 303)


@bp.get(f"/{NUMBER}/edit")
def edit(number: int) -> Answer:
    note = get_note(number) or abort(404, GONE)
    return show_form(NoteForm(obj=note), number)


@bp.post(f"/{NUMBER}/edit")
def edit_submit(number: int) -> Answer:
    form = NoteForm()
    note = get_note(number, to_change=True)
    if note is None:
        return show_form(form, 0, 404, "This note was deleted meanwhile. You can add your text as a new one.")
    if not form.validate():
        return show_form(form, number, 422)
    if form.version.data != str(note.version):
        # Both texts on one page; saving again is then a decision.
        form.version.data = form.version.raw_data = note.version
        return show_form(form, number, 409, "Somebody else saved this note while you were writing.", other=note)
    note.title, note.body = form.title.data, form.body.data
    db.session.commit()
    flash("Note saved.")
    return redirect(url_for(".index", **asked()), 303)


@bp.get(f"/{NUMBER}/delete")
def delete(number: int) -> Answer:
    note = get_note(number) or abort(404, GONE)
    return render_template("notes/delete.html", note=note, asked=asked())


@bp.post(f"/{NUMBER}/delete")
def delete_submit(number: int) -> Answer:
    note = get_note(number, to_change=True) or abort(404, GONE)
    db.session.delete(note)
    db.session.commit()
    flash("Note deleted.")
    return redirect(url_for(".index", **asked()), 303)


@bp.errorhandler(CSRFError)
def token_refused(error: CSRFError) -> Answer:
    """The form once more, with what was typed and a fresh token."""
    problem = "This page was open for too long, or cookies are off. Nothing was changed; please send it again."
    number = (request.view_args or {}).get("number", 0)
    if request.endpoint == "notes.delete_submit":
        flash(problem)
        return redirect(url_for(".delete", number=number, **asked()), 303)
    return show_form(NoteForm(), number, 400, problem)


@bp.after_request
def always_ask_again(response: Response) -> Response:
    # Not no-store: with that, the browser would forget what was typed when one goes back.
    response.cache_control.no_cache = True
    response.cache_control.private = True
    return response
