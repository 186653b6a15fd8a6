import os

from flask import Flask, Response, send_file

app = Flask(__name__)
GIGABYTE = 1 << 30
PATH = os.path.join(os.environ.get("BIG_FOLDER", "/data"), "big.bin")


@app.get("/")
def index():
    return "download"


@app.get("/stream")
def stream():
    piece = bytes(range(256)) * 4096
    pieces = (piece for _ in range(GIGABYTE // len(piece)))
    return Response(pieces, mimetype="application/octet-stream", headers={"Content-Length": str(GIGABYTE)})


@app.get("/file")
def file():
    if not os.path.exists(PATH):
        with open(PATH, "wb") as big:
            big.truncate(GIGABYTE)
    return send_file(PATH)
