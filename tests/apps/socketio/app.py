from flask import Flask
from flask_socketio import SocketIO, emit

app = Flask(__name__)
socketio = SocketIO(app, cors_allowed_origins="*")


@app.get("/")
def index():
    return "socketio"


@socketio.on("shout")
def shout(text):
    emit("heard", text.upper(), broadcast=True)


if __name__ == "__main__":
    socketio.run(app)
