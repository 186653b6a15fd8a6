"""The starter application. The factory below is its table of contents: one module, one concern."""

from __future__ import annotations

import os

from flask import Flask

from . import database, errors, notes, outages, security, welcome
from .settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Build the application; without settings it reads the environment."""
    app = Flask(__name__)
    (settings or Settings.from_environment(os.environ)).init_app(app)
    security.init_app(app)
    database.init_app(app)
    errors.init_app(app)
    outages.init_app(app)
    welcome.init_app(app)
    notes.init_app(app)
    return app
