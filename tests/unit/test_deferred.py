"""Modules that gunicorn gets at their first use, and everybody else at once."""

from __future__ import annotations

import subprocess
import sys

import pytest


def fresh(program: str) -> str:
    """What a fresh interpreter prints."""
    start = "import sys\nfrom flagon.inside.launch import import_gunicorn\nimport_gunicorn()\n"
    done = subprocess.run([sys.executable, "-c", start + program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["ssl", "importlib.metadata"])
def test_gunicorn_is_imported_without_it(name: str) -> None:
    assert fresh(f"print({name!r} in sys.modules)") == "False"


def test_the_application_gets_the_real_module() -> None:
    assert fresh("import ssl; print(ssl.__file__ is not None, type(ssl).__name__)") == "True module"
    program = "import importlib.metadata; print(importlib.metadata.version('gunicorn') != '')"
    assert fresh(program) == "True"


def test_gunicorn_gets_the_same_module_at_its_first_use() -> None:
    program = "import gunicorn.sock; early = gunicorn.sock.ssl.SSLError; import ssl; print(early is ssl.SSLError)"
    assert fresh(program) == "True"
    program = "import ssl, gunicorn.sock; print(gunicorn.sock.ssl.create_default_context is ssl.create_default_context)"
    assert fresh(program) == "True"


def test_the_constants_that_stand_in_are_the_real_ones() -> None:
    program = "import ssl; from flagon.inside.deferred import NAMES\n"
    program += "print(all(getattr(ssl, name) == value for name, value in NAMES['ssl'].items()))"
    assert fresh(program) == "True"


def test_gunicorn_looks_up_an_entry_point() -> None:
    program = "from gunicorn import util; print(util.importlib_metadata.distribution('gunicorn').metadata['Name'])"
    assert fresh(program) == "gunicorn"
