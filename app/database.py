"""The database: the base of all models, the engine's settings, migrations. Nothing here connects before it must."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask_alembic import Alembic
from flask_sqlalchemy_lite import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase

from . import postgres, sqlite
from .settings import Settings


class UTCDateTime(sa.TypeDecorator[datetime]):
    """A moment. SQLite forgets the time zone, so it is UTC on the way in and on the way out."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(timezone.utc)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


class Model(DeclarativeBase):
    # A migration can only change or drop a constraint that has a name, the same one on every database.
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UTCDateTime}


class Migrations(Alembic):
    def run_migrations(self, fn: Any, **kwargs: Any) -> None:
        connection = self.migration_context.connection
        if connection is not None and connection.dialect.name == "sqlite":
            # Altering a table means copying it and dropping the old one, and that must not delete what refers to it.
            # Past SQLAlchemy: inside of a transaction SQLite ignores this. The connection is not used again.
            connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
        super().run_migrations(fn, **kwargs)


db = SQLAlchemy()
alembic = Migrations(metadatas=Model.metadata, run_mkdir=False)


def now() -> datetime:
    return datetime.now(timezone.utc)


def render_item(kind: str, item: Any, context: Any) -> str | bool:
    """What `flask db revision` writes for our type: migrations do not import the application."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UTCDateTime) else False


def init_app(app: Flask) -> None:
    settings: Settings = app.extensions["settings"]
    url = settings.engine_url
    own = {"sqlite": sqlite, "postgresql": postgres}.get(url.get_backend_name())
    options = own.engine_options(url, settings.database) if own else {}
    app.config["SQLALCHEMY_ENGINES"] = {"default": {"url": url, "pool_pre_ping": True, **options}}
    app.config["ALEMBIC_CONTEXT"] = {
        "render_item": render_item,
        "render_as_batch": True,  # SQLite cannot alter a table, so Alembic copies it
        "transactional_ddl": True,  # all or nothing, on both; Alembic thinks that SQLite could not
    }
    db.init_app(app)
    alembic.init_app(app)
    if own:
        with app.app_context():
            own.listen(db.engine, settings.database)
