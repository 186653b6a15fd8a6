"""Notes: the example feature. A model, two pages, an API and a seed; docs/starter.md says how to delete it."""

from __future__ import annotations

from flask import Flask

from ..security import csrf
from . import api, seed, views


def init_app(app: Flask) -> None:
    app.register_blueprint(views.bp)
    app.register_blueprint(api.bp)
    csrf.exempt(api.bp)  # api.py takes JSON only
    app.cli.add_command(seed.seed)
