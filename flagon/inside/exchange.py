"""One request and its response on a connection from nginx."""

from __future__ import annotations

import contextlib
import io
import os
import time
from typing import TYPE_CHECKING, Any

from flagon.inside import accel, claims, closing, fastcgi
from flagon.inside.body import BodyCut, RequestBody
from flagon.inside.context import request_id
from flagon.inside.fastcgi import ClientGone, ProtocolError, Records
from flagon.inside.files import CONDITIONS
from flagon.inside.pages import END_NOT_KEPT, SAFE, page, url
from flagon.inside.response import HeaderError, Overload, Response, Shortfall
from flagon.inside.slots import Slot

if TYPE_CHECKING:
    from flagon.inside.pages import Pages
    from flagon.inside.server import Server


class Exchange:
    """One request and its response on one connection."""

    __slots__ = (
        "_body",
        "_changes",
        "_data",
        "_descriptor",
        "_found",
        "_keep",
        "_locked",
        "_page",
        "_server",
        "_slot",
        "_unbuffered",
    )
    hands_over = True  # nginx may be told to send a file in the application's place

    def __init__(self, server: Server, descriptor: int, slot: Slot, data: bytes) -> None:
        self._server = server
        self._data = data  # the first bytes
        self._descriptor = descriptor
        self._slot = slot
        self._body: RequestBody | None = None
        self._unbuffered = False
        self._keep = False
        self._found: str | None = None  # what nginx's cache said; empty: not asked, None: not in this location
        self._locked = False  # of a path that CACHE_LOCK names
        self._page = ""  # nginx's name of the page whose age is over
        self._changes = ""  # the url whose page may be untrue afterwards

    def run(self) -> bool:
        """Read the request, call the application, send the response; whether the connection may be used again.

        Raises ProtocolError, OSError.
        """
        environ = self._read_request()
        if environ is None:
            return False
        server = self._server
        found = self._found = environ.pop("FLAGON_CACHE", None)
        self._locked = environ.pop("FLAGON_LOCKED", "") != ""
        hands_over = self.hands_over and CONDITIONS.isdisjoint(environ)
        response = Response(self, environ["REQUEST_METHOD"] == "HEAD", server.hand_over if hands_over else None)
        if server.compression is not None:
            response.compress = server.compression, environ
        if environ["REQUEST_METHOD"] not in SAFE:
            self._changes, response.asks_pages = url(environ), True
        elif found:
            response.ending, response.asks_pages = END_NOT_KEPT, found == "EXPIRED"
            if found == "EXPIRED":
                self._page = page(environ)
        try:
            if environ.get("HTTP_UPGRADE", "").lower() == "websocket":
                self._refuse_upgrade(response)
            else:
                self._call(environ, response)
        finally:
            if self._body is not None:
                self._body.close()
            if self._unbuffered:
                with server.streams_lock:
                    server.streams -= 1
            if server.after is not None:
                server.after(environ, response)
        return self._keep

    def _read_request(self) -> dict[str, Any] | None:
        """The environ; None if the connection was closed without a request."""
        descriptor = self._descriptor
        data = self._data
        if not data:
            return None
        quick = fastcgi.quick_params(data)
        if quick:
            block, position = quick
            records = None
        else:
            records = Records(lambda size: os.read(descriptor, size), data)
            block, position = records.begin(), 0
        self._slot.begin(block, descriptor)
        environ = self._server.base_environ.copy()
        fastcgi.decode_params(block, environ)
        claims.settle(environ)
        request_id.set(environ.get("HTTP_X_REQUEST_ID", ""))
        if "REQUEST_METHOD" not in environ:
            raise ProtocolError("no REQUEST_METHOD")
        uri = environ.get("REQUEST_URI", "")
        if uri.startswith("?"):  # GET http://host?query: a target without a path is / (RFC 9112, section 3.2.1)
            uri = environ["REQUEST_URI"] = "/" + uri
        environ["RAW_URI"] = uri
        length = environ.get("CONTENT_LENGTH", "0")
        if records is None and length in ("0", "") and fastcgi.has_no_body(data, position):
            environ["wsgi.input"] = io.BytesIO()
            return environ
        if records is None:
            records = Records(lambda size: os.read(descriptor, size), data[position:])
        self._body = RequestBody(records, int(length) if length.isdigit() else 0, self._server.spool_directory)
        environ["wsgi.input"] = self._body
        return environ

    def _call(self, environ: dict[str, Any], response: Response) -> None:
        result: Any = None
        try:
            if self._server.before is not None:
                self._server.before(environ)
            result = self._server.application(environ, response.start)
            response.run(result)
        except Overload:
            self._plain(response, "503 Service Unavailable", [("Retry-After", "5")], "Too many streams.\n")
        except Shortfall as error:
            self._server.log.error("response cut: %s (%s)", error, self._slot.describe())
        except (ClientGone, BodyCut):
            self._server.log.debug("client left: %s", self._slot.describe())
        except BaseException as error:  # sys.exit() in a view too: a request must not end its thread
            self._failed(error, response)
        finally:
            if hasattr(result, "close"):
                try:
                    result.close()
                except BaseException:
                    self._server.log.exception("Error in close() of %s", self._slot.describe())

    def _failed(self, error: BaseException, response: Response) -> None:
        """An exception of the application: 500 if nothing was sent, else the transfer is broken off."""
        if isinstance(error, HeaderError):
            self._server.log.error("%s (%s)", error, self._slot.describe())
        else:
            self._server.log.exception("Error handling request %s", self._slot.describe())
        if not response.began:
            self._plain(response, "500 Internal Server Error", [], "Internal Server Error\n")

    def _refuse_upgrade(self, response: Response) -> None:
        self._server.warn_once(
            "a WebSocket request was refused with 426: this wire carries no upgrades; set WORKER_CLASS=gthread"
        )
        text = "WebSockets need WORKER_CLASS=gthread (or gevent) in this container.\n"
        self._plain(response, "426 Upgrade Required", [], text)

    def _plain(self, response: Response, status: str, headers: list[tuple[str, str]], text: str) -> None:
        """Our own short answer in place of the application's."""
        response.status, response.headers = status, [("Content-Type", "text/plain; charset=utf-8"), *headers]
        response.length, response.unbuffered = None, False
        with contextlib.suppress(OSError):
            response.run([text.encode()])

    # The Wire that a Response speaks to.

    def send(self, data: bytes) -> None:
        slot = self._slot
        if slot.stream < 0:
            write_all(self._descriptor, data)
            return
        with slot.lock:
            if slot.abandoned:
                raise ClientGone("the stream was ended: too late")
            write_all(self._descriptor, data)
            slot.last_byte = time.monotonic()

    def end(self) -> bytes:
        """The response's last record: nginx keeps the connection, or is told not to."""
        self._keep = len(self._data) > 10 and bool(self._data[10] & fastcgi.KEEP_CONNECTION) and self._server.may_keep()
        return fastcgi.END if self._keep else fastcgi.LAST

    def cache_lines(self, status: str, headers: list[tuple[str, str]], size: int | None) -> str:
        """Header lines for nginx's cache. What it must forget it has forgotten when the client hears of the change."""
        pages: Pages | None = self._server.pages
        if pages is None:
            return ""
        if self._changes:
            pages.changed(self._changes, status)
        return "" if self._found is None else pages.lines(self._found, status, headers, size, self._locked, self._page)

    def begin_stream(self, unbuffered: bool, events: bool) -> bool:
        """A response that is not whole begins; False if it is unbuffered and STREAMS_MAX run already."""
        server = self._server
        if unbuffered:
            with server.streams_lock:
                if server.streams >= server.streams_max:
                    server.tell_streams()
                    return False
                server.streams += 1
                self._unbuffered = True
        self._slot.last_byte = time.monotonic()
        self._slot.events = events
        self._slot.stream = self._descriptor
        return True

    def event_sent(self, whole: bool) -> None:
        """A piece of an event stream has left. Raises ClientGone after a whole event if streams are to end."""
        self._slot.whole_event = whole
        if closing.closing.is_set() and self._slot.close_events():
            raise ClientGone("the stream was ended: this worker leaves")

    def settle_body(self, complete: bool) -> None:
        """Before the first response byte leaves, the rest of the request is read (DESIGN 3.4)."""
        slot = self._slot
        with slot.lock:
            if slot.abandoned:
                raise ClientGone("the watchdog has answered: too late")
            slot.begun = True
        if self._body is not None:
            self._body.drop() if complete else self._body.spool()

    def warn(self, message: str) -> None:
        self._server.warn_once(message)

    def refuses_redirect(self, value: str) -> str:
        """Why the application's X-Accel-Redirect may not pass; "" if it may."""
        named = self._server.named_locations
        return "" if named is None else accel.refusal(value, named)


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a blocking descriptor, whatever the kernel takes at a time. Raises ClientGone."""
    try:
        written = os.write(descriptor, data)
        while written < len(data):
            written += os.write(descriptor, memoryview(data)[written:])
    except OSError as error:
        raise ClientGone(str(error)) from None
