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


@pytest.mark.parametrize("name", ["ssl", "importlib.metadata", "logging.config", "html"])
def test_gunicorn_is_imported_without_it(name: str) -> None:
    assert fresh(f"import flagon.inside.worker; print({name!r} in sys.modules)") == "False"


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
    program += "numbers = {name: value for name, value in NAMES['ssl'].items() if isinstance(value, int)}\n"
    program += "print(len(numbers), all(getattr(ssl, name) == value for name, value in numbers.items()))"
    assert fresh(program) == "3 True"


def test_an_ssl_error_is_one_to_gunicorn_too() -> None:
    program = "from gunicorn.workers.base import SSLError as theirs; before = isinstance(OSError(), theirs)\n"
    program += "import ssl; print(before, isinstance(OSError(), theirs), isinstance(ssl.SSLEOFError(), theirs))"
    assert fresh(program) == "False False True"


def test_gunicorn_configures_logging_from_a_dictionary() -> None:
    program = "from gunicorn.glogging import dictConfig; import logging\n"
    program += "dictConfig({'version': 1, 'loggers': {'some': {'level': 'ERROR'}}})\n"
    program += "print(logging.getLogger('some').level, logging.config.dictConfig is not dictConfig)"
    assert fresh(program) == "40 True"


def test_gunicorn_looks_up_an_entry_point() -> None:
    program = "from gunicorn import util; print(util.importlib_metadata.distribution('gunicorn').metadata['Name'])"
    assert fresh(program) == "gunicorn"
