from flask import Flask
from flask_sock import Sock

app = Flask(__name__)
sock = Sock(app)


@app.get("/")
def index():
    return "sock"


@sock.route("/echo")
def echo(ws):
    while True:
        ws.send(ws.receive().upper())
