from flask import Flask


def make_app(*, name="src"):
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: name)
    return app
