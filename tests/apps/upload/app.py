import hashlib

from flask import Flask, request

app = Flask(__name__)


@app.get("/")
def index():
    return "upload"


@app.post("/raw")
def raw():
    digest = hashlib.sha256()
    while piece := request.stream.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


@app.post("/form")
def form():
    return hashlib.file_digest(request.files["file"].stream, "sha256").hexdigest()
