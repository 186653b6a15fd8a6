"""What a note may be, for the pages and the API alike."""

from __future__ import annotations

import re

from flask_wtf import FlaskForm
from wtforms import Field, HiddenField, StringField, TextAreaField, ValidationError
from wtforms.validators import DataRequired, Length

from .models import BODY_LENGTH, TITLE_LENGTH

# Postgres takes no NUL, neither database half a surrogate pair, and nobody can read the other control characters.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def strip(text: object) -> object:
    """As one types it: no blanks around it, and one kind of line end (forms send CR LF)."""
    return text.replace("\r\n", "\n").strip() if isinstance(text, str) else text


def printable(form: FlaskForm, field: Field) -> None:
    if UNPRINTABLE.search(field.data or ""):
        raise ValidationError("Remove the control characters from it.")


class NoteForm(FlaskForm):  # type: ignore[misc]
    title = StringField(
        "Title",
        filters=[strip],
        validators=[
            DataRequired("Give it a title."),
            Length(1, TITLE_LENGTH, f"Use 1 to {TITLE_LENGTH} characters."),
            printable,
        ],
    )
    body = TextAreaField(
        "Text",
        filters=[strip],
        validators=[Length(0, BODY_LENGTH, f"Use at most {BODY_LENGTH:,} characters."), printable],
    )
    # The version that is being edited.
    version = HiddenField()
