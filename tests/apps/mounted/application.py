from flask import Flask, request, url_for
from werkzeug.middleware.dispatcher import DispatcherMiddleware

front, back = Flask("front", root_path="front"), Flask("back", root_path="back")


@front.get("/")
def index():
    return "mounted"


@back.get("/who")
def who():
    return {"script": request.environ["SCRIPT_NAME"], "url": url_for("who")}


application = DispatcherMiddleware(front, {"/admin": back})
