import bottle

app = bottle.Bottle()


@app.get("/")
def index():
    return "bottle"


@app.get("/livez")
def livez():
    return "own livez"


@app.get("/file")
def file():
    return bottle.static_file("hello.txt", root="files")
