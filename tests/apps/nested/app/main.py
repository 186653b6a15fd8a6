from flask import Flask

from .core.greeting import TEXT

app = Flask(__name__)


@app.get("/")
def index():
    return TEXT
