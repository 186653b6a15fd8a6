"""Everything the application takes from its environment, by name. No other module reads variables."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError


@dataclass(frozen=True)
class Database:
    """FLAGON_DATABASE: what Flagon found out about DATABASE_URL. Outside of Flagon the defaults hold."""

    # For SQLAlchemy, with the driver's name; empty: DATABASE_URL is all there is.
    url: str = field(default="", repr=False)
    # The search path of each transaction; empty: the server's own.
    schema: str = ""
    # A transaction pooler lies between, which knows no prepared statements.
    pooled: bool = False
    # Seconds that a request may wait for the database.
    timeout: float = 5.0
    # Threads of one process: as many connections it may hold.
    threads: int = 4

    @classmethod
    def read(cls, given: str, database_url: str) -> Database:
        facts = json_object(given)
        # Somebody may have given another DATABASE_URL since, in a shell.
        if facts.get("given") != database_url:
            facts = {key: facts[key] for key in ("timeout", "threads") if key in facts}
        kinds: dict[str, Any] = {"url": str, "schema": str, "pooled": bool, "timeout": (int, float), "threads": int}
        return cls(**{key: facts[key] for key, kind in kinds.items() if isinstance(facts.get(key), kind)})


@dataclass(frozen=True)
class Settings:
    # SECRET_KEY signs the session cookie. Flagon always provides one; elsewhere a random one
    # lasts as long as the process. Kept out of repr(), so that it never reaches a log.
    secret_key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    # DATABASE_URL, a file in the data directory unless given. People are shown `database_shown`, never this.
    database_url: str = field(default="sqlite:///app.db", repr=False)

    # FLAGON_DATABASE: the same for SQLAlchemy, with its limits.
    database: Database = field(default_factory=Database)

    # FLAGON_VERSION: the Flagon that runs us; empty outside of it.
    flagon_version: str = ""

    # FLAGON_SUMMARY: what Flagon decided at boot (workers, versions, user ...). Any key may be missing.
    flagon_summary: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def database_shown(self) -> str:
        return masked(self.database_url)

    @property
    def engine_url(self) -> URL:
        """For SQLAlchemy: with the driver that we ship, and a file that does not depend on the instance folder."""
        url = make_url(re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", self.database.url or self.database_url))
        if url.get_backend_name() == "sqlite" and not re.match(r"$|:memory:|file:", url.database or ""):
            return url.set(database=str(Path.cwd() / str(url.database)))
        return url

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read every variable; all mistakes come in one ValueError, never with the value given."""
        summary = json_object(environment.get("FLAGON_SUMMARY", ""))
        version = environment.get("FLAGON_VERSION", "").strip() or text(summary, "version")
        data_dir = text(summary, "data_dir") or "/data"
        default_url = f"sqlite:///{data_dir}/app.db" if version else "sqlite:///app.db"
        secret_key = environment.get("SECRET_KEY", "").strip() or secrets.token_hex(32)
        database_url = environment.get("DATABASE_URL", "").strip() or default_url
        database = Database.read(environment.get("FLAGON_DATABASE", ""), database_url)
        settings = cls(secret_key, database_url, database, version, summary)

        mistakes = []
        if not secret_key.isprintable():
            mistakes.append("SECRET_KEY: give one line of printable characters")
        if not can_be_parsed(settings):
            mistakes.append("DATABASE_URL: give sqlite:////data/app.db or postgresql://user:password@host/name")
        if mistakes:
            raise ValueError("Settings that cannot be used:\n  " + "\n  ".join(mistakes))
        return settings

    def init_app(self, app: Flask) -> None:
        app.config["SECRET_KEY"] = self.secret_key
        app.extensions["settings"] = self


def masked(url: str) -> str:
    """Hide the password; drop the query string as well, because drivers take passwords there too."""
    # Up to the last @: a password pasted without percent-encoding may hold @, / or ? itself.
    hidden = re.sub(r"^([^:]+://[^:]*):.*@", r"\1:***@", url, flags=re.DOTALL)
    return re.split("[?&#]", hidden)[0]


def can_be_parsed(settings: Settings) -> bool:
    try:
        return bool(settings.engine_url)
    except (ArgumentError, ValueError):
        return False


def json_object(given: str) -> Mapping[str, Any]:
    # Flagon writes it; but nothing in it may stop the application.
    try:
        found = json.loads(given)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def text(summary: Mapping[str, Any], key: str) -> str:
    value = summary.get(key)
    # JSON can spell half a surrogate pair, which no response can carry.
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""
