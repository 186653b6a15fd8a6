"""Flask's own hello, and what else a small application does."""

from flask import Flask, jsonify, make_response, request

app = Flask(__name__)


@app.route("/")
def hello():
    return "Hello, World!"


@app.get("/json")
def data():
    return jsonify(message="Hello, World!", items=list(range(10)))


@app.post("/post")
def post():
    return str(len(request.get_data()))


@app.get("/cacheable")
def cacheable():
    reply = make_response("Hello, World!")
    reply.headers["Cache-Control"] = "public, max-age=60"
    return reply
