"""gevent and eventlet put green threads in the place of real ones: what the worker still can, and what it cannot.

The kernel's own primitives are taken here, before the application is loaded and may replace them. Request threads that
are green never run: nobody goes back to the library's loop. Where the worker knows that loop (gevent's), all is well.
"""

from __future__ import annotations

import _thread
import contextlib
import re
import select
import sys
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

epoll, poll, sleep = select.epoll, select.poll, time.sleep
_START, _LOCK = _thread.start_new_thread, _thread.allocate_lock
NUMBER = re.compile(r"\d+")
DRIVERS = "engineio.async_drivers."
EVENTLET = (
    "gunicorn 27 has no worker for it. Remove eventlet's monkey_patch(); with Flask-SocketIO say "
    "SocketIO(app, async_mode='threading')"
)
GEVENT = "set WORKER_CLASS=gevent (pip install 'gunicorn[gevent]' brings what it needs)"


def real_threads() -> bool:
    """Whether a thread that is started now is one of the kernel's."""
    return _thread.start_new_thread is _START and _thread.allocate_lock is _LOCK


def patched_by() -> str:
    """Who has made threads green: "gevent", "eventlet", or the name of another package; empty if nobody has."""
    if real_threads():
        return ""
    changed = _thread.start_new_thread if _thread.start_new_thread is not _START else _thread.allocate_lock
    return str(getattr(changed, "__module__", None) or "something").partition(".")[0]


def needs_real_threads(options: dict[str, Any]) -> bool:
    """Whether this worker class serves each request in a thread of its own."""
    return bool(options["fastcgi"]) or options["worker_class"] == "gthread"


def refusal(options: dict[str, Any]) -> str:
    """Why the application that was just loaded cannot be served by this worker; empty if it can."""
    library = patched_by()
    if not library or not needs_real_threads(options):
        return ""
    asked = "fastcgi" if options["fastcgi"] else options["worker_class"]
    ways = {"gevent": f"In place of that, {GEVENT}", "eventlet": EVENTLET}
    return (
        f"it has {library} patch Python's threads, and WORKER_CLASS={asked} needs real ones: no request would end. "
        + ways.get(library, f"Remove what {library} patches")
    )


def _installed(module: str) -> bool:
    from importlib.util import find_spec  # few need it

    try:
        return find_spec(module) is not None
    except ImportError:
        return False


@contextlib.contextmanager
def version_parser(worker_class: str) -> Iterator[None]:
    """gunicorn's gevent worker asks `packaging` for one comparison of versions, and gevent does not bring that."""
    if "gevent" not in worker_class or _installed("packaging.version"):
        yield
        return
    stand_in = ModuleType("packaging.version")
    stand_in.parse = lambda text: [int(part) for part in NUMBER.findall(text)[:3]]  # type: ignore[attr-defined]
    names = {"packaging": ModuleType("packaging"), "packaging.version": stand_in}
    sys.modules.update(names)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


class Poller:
    """select.poll() for processes in which eventlet has taken it away: its own select() lets green threads run."""

    def __init__(self) -> None:
        self.descriptors: list[int] = []

    def register(self, descriptor: Any, _: int) -> None:
        self.descriptors.append(descriptor if isinstance(descriptor, int) else descriptor.fileno())

    def unregister(self, descriptor: int) -> None:
        self.descriptors.remove(descriptor)

    def poll(self, milliseconds: float | None = None) -> list[tuple[int, int]]:
        """(descriptor, event) of all that can be read; none once the time is over."""
        seconds = None if milliseconds is None else milliseconds / 1000
        return [(descriptor, select.POLLIN) for descriptor in select.select(self.descriptors, [], [], seconds)[0]]


def poller() -> Any:
    """Waits for descriptors: a real thread in the kernel, a green one in its library's loop, so that others run."""
    if real_threads():
        return poll()
    return select.poll() if hasattr(select, "poll") else Poller()


class Drivers:
    """A finder that keeps engineio (Flask-SocketIO) from a driver that this worker cannot serve.

    Without an async_mode it takes the first that can be imported, eventlet, then gevent, whatever serves; the handshake
    is then answered, and no message ever arrives. It goes on to the next, and `threading` is the last.
    """

    def __init__(self, options: dict[str, Any], say: Any) -> None:
        gevent = "gevent" in options["worker_class"].lower()
        unfit = ("eventlet", "gevent_uwsgi") if gevent else ("eventlet", "gevent_uwsgi", "gevent")
        self.unfit = {DRIVERS + name for name in unfit}
        self.mode = "gevent" if gevent else "threading"
        self.worker = "fastcgi" if options["fastcgi"] else options["worker_class"]
        self.say = say
        self.refused = ""  # the driver that was asked for last

    def find_spec(self, name: str, *_: Any) -> None:
        """As importlib calls it. Raises ImportError for a driver that would be chosen and is not to be."""
        if name not in self.unfit:
            return
        self.refused = name.removeprefix(DRIVERS)
        raise ModuleNotFoundError(f"{self.refused} does not go with WORKER_CLASS={self.worker}", name=name)

    def chosen(self) -> None:
        """The application is loaded: say what Flask-SocketIO would have chosen."""
        if not self.refused:
            return
        for library in ("eventlet", "gevent"):
            if DRIVERS + library in self.unfit and _installed(library):
                other = ", or set WORKER_CLASS=gevent" if library == "gevent" else f", or uninstall {library}"
                self.say(
                    f"{library} is installed, and Flask-SocketIO would choose it by itself; WORKER_CLASS={self.worker} "
                    f"does not serve it, so it gets {self.mode}. SocketIO(app, async_mode='{self.mode}') says so{other}"
                )
                return

    def hint(self, error: BaseException) -> str:
        """What to say of an async_mode that the application insists on; empty if that is not what went wrong."""
        if not self.refused or "async_mode" not in str(error):
            return ""
        way = GEVENT if self.refused.startswith("gevent") else EVENTLET
        return f"async_mode='{self.refused}' does not go with WORKER_CLASS={self.worker}: {way}"


def install(options: dict[str, Any], say: Any) -> Drivers | None:
    """Keep engineio from drivers that do not go with this worker class. None where eventlet's or another's serves."""
    known = needs_real_threads(options) or options["worker_class"] in ("sync", "gevent")
    if not known:
        return None
    drivers = Drivers(options, say)
    sys.meta_path.insert(0, drivers)
    return drivers
