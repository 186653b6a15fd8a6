import asyncio
import contextlib
import os
import time

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import PlainTextResponse


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI):
    if os.path.exists("/tmp/away"):
        raise RuntimeError("no database today")
    yield {"answer": 42}
    print("lifespan is over", os.getpid())


app = FastAPI(lifespan=lifespan)
app.ready_checks = {"own": lambda: True}


@app.get("/", response_class=PlainTextResponse)
async def index():
    return "fastapi"


@app.get("/who")
async def who(request: Request):
    return {
        "client": request.client.host,
        "url": str(request.url),
        "answer": request.state.answer,
        "pid": os.getpid(),
        "headers": dict(request.headers),
    }


@app.post("/read")
async def read(request: Request):
    return len(await request.body())


@app.post("/refuse", status_code=401)
async def refuse():
    return "not read"


@app.get("/slow")
async def slow(seconds: float = 2):
    await asyncio.sleep(seconds)
    return "slow"


@app.get("/freeze")
async def freeze():
    time.sleep(60)


@app.get("/livez")
async def livez():
    return "own"


@app.websocket("/echo")
async def echo(socket: WebSocket):
    await socket.accept()
    try:
        while True:
            await socket.send_text(f"{(await socket.receive_text()).upper()} {socket.client.host} {socket.url}")
    except WebSocketDisconnect as gone:
        print("socket ended with", gone.code)
