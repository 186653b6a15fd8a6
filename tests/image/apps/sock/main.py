"""A Flask application with a WebSocket, for the child image that installs flask-sock."""

from flask import Flask, request
from flask_sock import Sock

app = Flask(__name__)
sock = Sock(app)


@app.get("/")
def index():
    return f"page of {request.remote_addr}"


@sock.route("/echo")
def echo(channel):
    while True:
        channel.send(f"echo: {channel.receive()}")
