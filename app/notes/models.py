"""A note, and the questions that pages and API ask about notes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..database import Model, db, now

TITLE_LENGTH = 120
BODY_LENGTH = 10_000
QUERY_LENGTH = 100
PAGE_LENGTH = 10


class Note(Model):
    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(TITLE_LENGTH))
    body: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
    # Goes up with each save; whoever saves an older one has not seen what another wrote meanwhile.
    version: Mapped[int] = mapped_column(default=1)
    # A seeded note's own name: there can be one of it, however often and wherever `flask seed` runs.
    seed: Mapped[str | None] = mapped_column(sa.String(40), unique=True)

    __mapper_args__ = {"version_id_col": version}


@dataclass(frozen=True)
class Page:
    notes: list[Note]
    number: int
    pages: int
    total: int


def get_note(number: int, *, to_change: bool = False) -> Note | None:
    """To change it: locked until the end of the transaction. (SQLite has locked all by then.)"""
    return db.session.get(Note, number, with_for_update=True if to_change else None)


def find_notes(query: str, number: int, *, clamp: bool = True) -> Page:
    """Newest first. A page beyond the end is the last one, or empty if not clamped."""
    # autoescape: % and _ are what they look like.
    found = sa.or_(Note.title.icontains(query, autoescape=True), Note.body.icontains(query, autoescape=True))
    chosen = sa.select(Note).where(found) if query else sa.select(Note)
    total = db.session.scalar(sa.select(sa.func.count()).select_from(chosen.subquery())) or 0
    pages = max(1, -(-total // PAGE_LENGTH))
    number = min(number, pages) if clamp else number
    if number > pages:
        return Page([], number, pages, total)
    rows = chosen.order_by(Note.id.desc()).limit(PAGE_LENGTH).offset((number - 1) * PAGE_LENGTH)
    return Page(list(db.session.scalars(rows)), number, pages, total)
