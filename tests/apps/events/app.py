import time

from flask import Flask, Response

app = Flask(__name__)


@app.get("/")
def index():
    return "events"


@app.get("/events")
def events():
    def stream():
        for number in range(5):
            yield f"data: {number}\n\n"
            time.sleep(0.2)

    return Response(stream(), mimetype="text/event-stream")
