"""Code of another time is called that, and nothing else is."""

# Tables, a row a line, however long.
# ruff: noqa: E501

import ast

import pytest

from flagon import old_code


def error_of(text):
    try:
        exec(compile(text, "x.py", "exec"), {})
    except BaseException as error:
        return error
    raise AssertionError("it runs")


@pytest.mark.parametrize("text", [
    "print 'hello'", "exec 'x'", "try:\n    pass\nexcept IOError, e:\n    pass", "raise ValueError, 'x'", "x = 0777", "if 1 <> 2: pass", "x = ur'a'", "print x, y",
])  # fmt: skip
def test_python_2_syntax(text):
    assert "Python 2" in old_code.of_error(error_of(text))


@pytest.mark.parametrize(
    "text", ["x = (", "def f(:\n  pass", "printer 'x'", "x = 'a", "if x\n  y", "class A:\npass", "import"]
)
def test_other_mistakes_are_not_python_2(text):
    with pytest.raises(SyntaxError) as caught:
        ast.parse(text)
    assert old_code.of_error(caught.value) == ""


@pytest.mark.parametrize(("error", "words"), [
    (ModuleNotFoundError("x", name="urllib2"), "Python 2's"), (ModuleNotFoundError("x", name="distutils.util"), "removed in Python 3.12"),
    (ModuleNotFoundError("x", name="cgi"), "In its place: legacy-cgi"), (ModuleNotFoundError("x", name="telnetlib"), "removed in Python 3.13"),
    (ModuleNotFoundError("x", name="uwsgidecorators"), "only inside uWSGI"), (ImportError("cannot import name 'Mapping' from 'collections' (x.py)"), "collections.abc"),
    (AttributeError("module 'inspect' has no attribute 'getargspec'"), "3.11"), (ImportError("cannot import name 'escape' from 'jinja2' (x)"), "Jinja2 3.1"),
    (ImportError("cannot import name 'url_quote' from 'werkzeug.urls' (x)"), "Werkzeug 3"), (NameError("x", name="unicode"), "Python 2"),
])  # fmt: skip
def test_what_is_gone(error, words):
    assert words in old_code.of_error(error)


@pytest.mark.parametrize("error", [
    ModuleNotFoundError("x", name="shop"), ImportError("cannot import name 'a' from 'b' (x)"), AttributeError("'int' object has no attribute 'x'"),
    NameError("x", name="shop"), ValueError("cannot import name 'Mapping' from 'collections'"), ImportError("broken"),
])  # fmt: skip
def test_other_errors(error):
    assert old_code.of_error(error) == ""
