"""gunicorn's own asgi worker, as this box needs it: ready after the application's lifespan, and quick to leave."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from gunicorn.workers.gasgi import ASGIWorker as GunicornsWorker

from flagon.inside import asgi_middleware, asgi_websocket, closing
from flagon.inside.lifespan import Failed, Lifespan

ACCEPTED = 0.05  # seconds in which what was accepted becomes a connection that is waited for


class ASGIWorker(GunicornsWorker):  # type: ignore[misc]
    """One event loop; all of HTTP and WebSocket is gunicorn's."""

    asgi: Any
    waiting: asyncio.Task[Any] | None = None  # gunicorn's loop that only waits and looks around

    def load_wsgi(self) -> None:
        """Load the application and start its lifespan: only then is the worker loaded."""
        asgi_websocket.install(self.cfg.flagon["websocket_room"], self.cfg.websocket_max_message_size)
        super().load_wsgi()
        mode = getattr(self.cfg, "asgi_lifespan", "auto")
        if mode == "off":
            return
        lifespan = Lifespan(self.asgi, self.state, self.log)
        try:
            if self.loop.run_until_complete(lifespan.start(mode == "on", self._starting, self.log.warning)):
                self.lifespan = lifespan
        except Failed as error:
            self.asgi = self.app.lifespan_failed(str(error))
        finally:
            if "asgi_lifespan" in self.cfg.settings:
                self.cfg.set("asgi_lifespan", "off")  # in this process: gunicorn would start it once more

    def _starting(self) -> bool:
        self.notify()
        return bool(self.alive)

    def notify(self) -> None:
        """Called once a second by gunicorn's loop, first when it listens: asyncio's own queue is of 100 connections."""
        super().notify()
        if self.servers and self.waiting is None:
            self.waiting = asyncio.current_task()
            for listener in self.sockets:
                listener.sock.listen(self.cfg.backlog)
            closing.when_closing(self._close_streams)

    def _close_streams(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(asgi_middleware.end_all)

    def handle_exit_signal(self) -> None:
        """SIGTERM: leave now, and not at the next look around, which would take of the time for running requests."""
        told = not self.alive
        super().handle_exit_signal()
        if self.waiting is not None and not told:
            self.waiting.cancel()

    async def _shutdown(self) -> None:
        if self.lifespan is not None:
            self.lifespan.until = time.monotonic() + self.cfg.graceful_timeout
        for server in self.servers:
            server.close()
        await asyncio.sleep(ACCEPTED)
        await super()._shutdown()
