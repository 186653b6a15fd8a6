import os

from flask import Flask, render_template_string
from flask_debugtoolbar import DebugToolbarExtension
from flask_sqlalchemy import SQLAlchemy
from flask_static_digest import FlaskStaticDigest
from sqlalchemy import text

db = SQLAlchemy()
toolbar = DebugToolbarExtension()
digest = FlaskStaticDigest()


def create_app():
    app = Flask(__name__)
    app.config["SECRET_KEY"] = os.environ["SECRET_KEY"]
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
    db.init_app(app)
    toolbar.init_app(app)
    digest.init_app(app)

    @app.get("/")
    def index():
        one = db.session.execute(text("select 1")).scalar()
        style = "{{ static_url_for('static', filename='hello.css') }}"
        return render_template_string(f"<body>extensions {one} {style}</body>")

    return app
