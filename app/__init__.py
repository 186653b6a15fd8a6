"""The starter application. The factory below is its table of contents: one module, one concern."""

from __future__ import annotations

import os

from flask import Flask

from . import errors, security, welcome
from .settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Build the application; without settings it reads the environment."""
    app = Flask(__name__)
    (settings or Settings.from_environment(os.environ)).init_app(app)
    security.init_app(app)
    errors.init_app(app)
    welcome.init_app(app)
    return app
