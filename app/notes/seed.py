"""`flask seed`: a few first notes. Safe to run twice, and in many replicas at once."""

from __future__ import annotations

import click
from flask.cli import with_appcontext
from sqlalchemy.dialects import postgresql, sqlite

from ..database import db
from .models import Note

NOTES = {
    "api": ("There is an API, too", "curl http://localhost:8080/api/notes gives these notes as JSON."),
    "search": (
        "Search finds parts of words",
        "In titles and in texts, in upper and lower case. Try 100% or snake_case.",
    ),
    "welcome": ("A note in your database", "The command flask seed put this one here. Edit it, or delete it."),
}


@click.command()
@with_appcontext
def seed() -> None:
    """Put the first notes into the database, where they are not there yet."""
    # The unique key decides, not a look beforehand: two that look at once would both find nothing.
    insert = (postgresql.insert if db.engine.dialect.name == "postgresql" else sqlite.insert)(Note)
    rows = [{"seed": name, "title": title, "body": body} for name, (title, body) in NOTES.items()]
    statement = insert.values(rows).on_conflict_do_nothing(index_elements=["seed"]).returning(Note.id)
    added = len(db.session.scalars(statement).all())
    db.session.commit()
    click.echo(f"notes: {added} added, {len(NOTES) - added} there already")
