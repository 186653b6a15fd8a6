"""gevent and eventlet: found in the application's files before the start, or in the process after the load."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import _thread
import importlib
import select
import sys

import pytest

from flagon import patching
from flagon.inside import green, loading

FASTCGI = {"fastcgi": True, "worker_class": "flagon.inside.worker.FastCGIWorker", "target": "app:app", "why": "a test"}
GTHREAD = {**FASTCGI, "fastcgi": False, "worker_class": "gthread"}
GEVENT = {**GTHREAD, "worker_class": "gevent"}


@pytest.mark.parametrize(("files", "found"), [
    ({"app.py": "from gevent import monkey; monkey.patch_all()"}, "app.py line 1"),
    ({"app.py": "import os\nfrom gevent import monkey as m\nm.patch_all(sys=True)"}, "app.py line 3"),
    ({"app.py": "import gevent.monkey\ngevent.monkey.patch_all()"}, "app.py line 2"),
    ({"app.py": "import gevent.monkey as gm\ngm.patch_thread()"}, "app.py line 2"),
    ({"app.py": "from gevent.monkey import patch_all as go\ngo()"}, "app.py line 2"),
    ({"app.py": "import os\nif not os.getenv('X'):\n    from gevent import monkey\n    monkey.patch_all()"}, "app.py line 4"),
    ({"app.py": "try:\n    import gevent.monkey\n    gevent.monkey.patch_all()\nexcept ImportError:\n    pass"}, "app.py line 3"),
    ({"app.py": "import shop", "shop/__init__.py": "from .web import go", "shop/web.py": "from gevent import monkey\nmonkey.patch_all()"}, "shop/web.py line 2"),
    ({"app.py": "from shop import web", "shop/__init__.py": "", "shop/web.py": "from gevent import monkey\nmonkey.patch_all()"}, "shop/web.py line 2"),
    ({"app/__init__.py": "import gevent.monkey\ngevent.monkey.patch_all()", "app/main.py": ""}, "app/__init__.py line 2"),
    ({"app.py": "from gevent import monkey; monkey.patch_all(thread=False)"}, ""),
    ({"app.py": "from gevent import monkey; monkey.patch_socket()"}, ""),
    ({"app.py": "from gevent import monkey\ndef later():\n    monkey.patch_all()"}, ""),
    ({"app.py": "from gevent import monkey\nif __name__ == '__main__':\n    monkey.patch_all()"}, ""),
    ({"app.py": "class monkey:\n    patch_all = print\nmonkey.patch_all()"}, ""),
    ({"app.py": "import app, shop", "shop.py": "import app"}, ""),
    ({"app.py": "from gevent import ("}, ""),
    ({}, ""),
])  # fmt: skip
def test_where_the_application_patches_by_gevent(tmp_path, files, found):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    target = "app.main:app" if "app/main.py" in files else "app:app"
    assert patching.by_gevent(str(tmp_path), target) == found


def patch(monkeypatch, module):
    def start_new_thread(*_):
        raise AssertionError("a green thread never runs here")

    start_new_thread.__module__ = module
    monkeypatch.setattr(_thread, "start_new_thread", start_new_thread)


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("gevent.thread", "WORKER_CLASS=gevent"),
        ("eventlet.green.thread", "async_mode='threading'"),
        ("other.thing", "Remove what other patches"),
    ],
)
@pytest.mark.parametrize("options", [FASTCGI, GTHREAD])
def test_an_application_whose_threads_would_never_run_is_refused(monkeypatch, module, says, options):
    assert green.refusal(options) == ""
    patch(monkeypatch, module)
    assert says in green.refusal(options)
    assert green.refusal(GEVENT) == ""
    assert green.refusal({**GTHREAD, "worker_class": "sync"}) == ""


def test_a_refused_application_is_no_failed_import(monkeypatch, tmp_path):
    """Its exit code is 78: a setting mends it."""
    monkeypatch.setattr(loading, "load", lambda *_: patch(monkeypatch, "gevent.thread"))
    with pytest.raises(loading.Refused, match="app:app cannot be served.*gevent"):
        loading.load_to_serve({**FASTCGI, "run": str(tmp_path), "directory": str(tmp_path)}, print)
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, green.Drivers)]


@pytest.fixture
def engineio(tmp_path, monkeypatch):
    """A library that takes the first driver that can be imported, as engineio does."""
    names = ("eventlet", "gevent", "threading")
    for name in ("engineio", "engineio/async_drivers", "eventlet", "gevent"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    for name in names:
        (tmp_path / "engineio" / "async_drivers" / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    def choose(options, asked=names):
        said = []
        drivers = green.install(options, said.append)
        try:
            for name in asked:
                try:
                    importlib.import_module(f"engineio.async_drivers.{name}")
                except ImportError:
                    continue
                break
            else:
                return drivers.hint(ValueError("Invalid async_mode specified"))
            if drivers:
                drivers.chosen()
        finally:
            sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not drivers]
            for module in [module for module in sys.modules if module.startswith("engineio")]:
                del sys.modules[module]
        return name, said

    return choose


@pytest.mark.parametrize(("options", "mode"), [
    (FASTCGI, "threading"), (GTHREAD, "threading"), (GEVENT, "gevent"),
    ({**GTHREAD, "worker_class": "eventlet"}, "eventlet"), ({**GTHREAD, "worker_class": "a.Worker"}, "eventlet"),
])  # fmt: skip
def test_engineio_gets_a_driver_that_the_worker_serves(engineio, options, mode):
    chosen, said = engineio(options)
    assert chosen == mode
    assert len(said) == (mode != "eventlet")
    assert all(f"async_mode='{mode}'" in line and "eventlet" in line for line in said)


@pytest.mark.parametrize(("asked", "way"), [("eventlet", "async_mode='threading'"), ("gevent", "WORKER_CLASS=gevent")])
def test_an_async_mode_that_is_insisted_on_gets_the_way_out(engineio, asked, way):
    assert way in engineio(GTHREAD, (asked,))


def test_versions_are_compared_without_packaging(monkeypatch):
    monkeypatch.setattr(green, "_installed", lambda _: False)
    monkeypatch.setitem(sys.modules, "packaging", None)
    monkeypatch.setitem(sys.modules, "packaging.version", None)
    with green.version_parser("gevent"):
        from packaging.version import parse

        assert parse("24.2.1") < parse("24.10.1") < parse("25.9.1.post1")
    assert "packaging" not in sys.modules


def test_a_poller_where_poll_is_taken_away(monkeypatch):
    import os

    patch(monkeypatch, "eventlet.green.thread")
    monkeypatch.delattr(select, "poll")
    reading, writing = os.pipe()
    poller = green.poller()
    poller.register(reading, select.POLLIN)
    assert poller.poll(0) == []
    os.write(writing, b"x")
    assert poller.poll() == [(reading, select.POLLIN)]
    poller.unregister(reading)
    assert poller.poll(0) == []
    os.close(reading)
    os.close(writing)
