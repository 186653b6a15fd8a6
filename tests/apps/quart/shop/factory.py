from quart import Quart, request, websocket


def make():
    made = Quart(__name__)

    @made.get("/")
    async def index():
        return "quart"

    @made.get("/where")
    async def where():
        return {"root": request.root_path, "path": request.path, "who": request.remote_addr, "scheme": request.scheme}

    @made.websocket("/echo")
    async def echo():
        while True:
            await websocket.send((await websocket.receive()).upper())

    return made
