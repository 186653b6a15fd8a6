"""Everything the application takes from its environment, by name. No other module reads variables."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask


@dataclass(frozen=True)
class Settings:
    # SECRET_KEY signs the session cookie. Flagon always provides one; elsewhere a random one
    # lasts as long as the process. Kept out of repr(), so that it never reaches a log.
    secret_key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    # DATABASE_URL, a file in the data directory unless given. People are shown `database_shown`, never this.
    database_url: str = field(default="sqlite:///app.db", repr=False)

    # FLAGON_VERSION: the Flagon that runs us; empty outside of it.
    flagon_version: str = ""

    # FLAGON_SUMMARY: what Flagon decided at boot (workers, versions, user ...). Any key may be missing.
    flagon_summary: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def database_shown(self) -> str:
        return masked(self.database_url)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read every variable; all mistakes come in one ValueError, never with the value given."""
        summary = parse_summary(environment.get("FLAGON_SUMMARY", ""))
        version = environment.get("FLAGON_VERSION", "").strip() or text(summary, "version")
        data_dir = text(summary, "data_dir") or "/data"
        default_url = f"sqlite:///{data_dir}/app.db" if version else "sqlite:///app.db"
        secret_key = environment.get("SECRET_KEY", "").strip() or secrets.token_hex(32)
        database_url = environment.get("DATABASE_URL", "").strip() or default_url

        mistakes = []
        if not secret_key.isprintable():
            mistakes.append("SECRET_KEY: give one line of printable characters")
        if not re.fullmatch(r"[a-z][a-z0-9+]*://.*", database_url):
            mistakes.append("DATABASE_URL: give sqlite:////data/app.db or postgresql://user:password@host/name")
        if mistakes:
            raise ValueError("Settings that cannot be used:\n  " + "\n  ".join(mistakes))
        return cls(secret_key, database_url, version, summary)

    def init_app(self, app: Flask) -> None:
        app.config["SECRET_KEY"] = self.secret_key
        app.extensions["settings"] = self


def masked(url: str) -> str:
    """Hide the password; drop the query string as well, because drivers take passwords there too."""
    # Up to the last @: a password pasted without percent-encoding may hold @, / or ? itself.
    hidden = re.sub(r"^([^:]+://[^:]*):.*@", r"\1:***@", url, flags=re.DOTALL)
    return re.split("[?&#]", hidden)[0]


def parse_summary(given: str) -> Mapping[str, Any]:
    # It only feeds the welcome page, so nothing in it may stop the application.
    try:
        summary = json.loads(given)
    except (ValueError, RecursionError):
        return {}
    return summary if isinstance(summary, dict) else {}


def text(summary: Mapping[str, Any], key: str) -> str:
    value = summary.get(key)
    # JSON can spell half a surrogate pair, which no response can carry.
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""
