import itertools
import threading
import time

from flask import Flask

app = Flask(__name__)
counter = itertools.count()
latest = [0]


def tick():
    while True:
        latest[0] = next(counter)
        time.sleep(0.01)


threading.Thread(target=tick).start()  # no daemon: the interpreter would wait for it for ever


@app.get("/")
def index():
    return "threads"


@app.get("/ticks")
def ticks():
    return str(latest[0])
