import asyncio

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles


async def index(request):
    return PlainTextResponse("starlette")


async def events(request):
    async def lines():
        for number in range(int(request.query_params.get("count", 3))):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.5)

    return StreamingResponse(lines(), media_type="text/event-stream")


async def broken(request):
    async def pieces():
        yield "x" * 1000
        await asyncio.sleep(0.2)
        raise RuntimeError("midway")

    return StreamingResponse(pieces())


async def own_up(request):
    return PlainTextResponse("own up")


def create_app():
    inner = Mount("/inner", routes=[Route("/readyz", own_up)])
    return Starlette(
        routes=[
            Route("/", index),
            Route("/events", events),
            Route("/broken", broken),
            Route("/up", own_up),
            inner,
            Mount("/files", StaticFiles(directory="files")),
        ]
    )
