"""Why code of another time does not load on this Python: said as exactly that. Used on both sides."""

from __future__ import annotations

import re
import sys

THIS = f"{sys.version_info[0]}.{sys.version_info[1]}"
# What only Python 2 takes, by what the compiler of Python 3 says to it (all seen with 3.13).
PYTHON_2_SYNTAX = re.compile(
    r"Missing parentheses in call to '(print|exec)'|multiple exception types must be parenthesized"
    r"|leading zeros in decimal integer literals|invalid (decimal|hexadecimal) literal.*[lL]\b"
    r"|inconsistent use of tabs|'<>'"
)
PYTHON_2_LINE = re.compile(
    r"^\s*(print\s+[^(=]|exec\s+[\"'\w]|raise\s+\w+\s*,|except\s+[\w.]+\s*,\s*\w+\s*:)|<>|\b0[0-7]+\b|\bur['\"]"
)
PYTHON_2_MODULES = frozenset(
    "urllib2 urlparse ConfigParser StringIO cStringIO Queue cPickle httplib Cookie cookielib HTMLParser SocketServer "
    "BaseHTTPServer SimpleHTTPServer xmlrpclib commands __builtin__ Tkinter thread dummy_thread copy_reg md5 sha sets "
    "robotparser htmlentitydefs anydbm dbhash UserDict UserList UserString exceptions".split()
)
PYTHON_2_NAMES = frozenset("unicode xrange raw_input basestring long unichr reduce file execfile cmp".split())
# module -> (removed in, what takes its place); Python documentation, "What's New" of each version
REMOVED = {
    **dict.fromkeys(("formatter", "parser", "symbol"), ("3.10", "")),
    "binhex": ("3.11", ""), "distutils": ("3.12", "setuptools"), "imp": ("3.12", "importlib"),
    "asynchat": ("3.12", "asyncio"), "asyncore": ("3.12", "asyncio"), "smtpd": ("3.12", "aiosmtpd"),
    **dict.fromkeys(
        "aifc audioop chunk imghdr mailcap msilib nis ossaudiodev pipes sndhdr spwd sunau telnetlib uu xdrlib "
        "nntplib lib2to3".split(), ("3.13", ""),
    ),
    "cgi": ("3.13", "legacy-cgi"), "cgitb": ("3.13", "legacy-cgi"), "crypt": ("3.13", "bcrypt"),
}  # fmt: skip
# (module, name) -> what happened to it
GONE = {
    **dict.fromkeys(
        [("collections", name) for name in "Mapping MutableMapping Callable Iterable Sequence Hashable".split()],
        "moved to collections.abc, and is gone since Python 3.10",
    ),
    ("inspect", "getargspec"): "is gone since Python 3.11: getfullargspec",
    ("asyncio", "coroutine"): "is gone since Python 3.11: async def",
    ("pkgutil", "ImpImporter"): "is gone since Python 3.12: take newer setuptools",
    ("configparser", "SafeConfigParser"): "is gone since Python 3.12: ConfigParser",
    ("time", "clock"): "is gone since Python 3.8: perf_counter",
    ("jinja2", "escape"): "is gone since Jinja2 3.1: Flask 2 or newer goes with it, or pin jinja2<3.1",
    ("jinja2", "Markup"): "is gone since Jinja2 3.1: Flask 2 or newer goes with it, or pin jinja2<3.1",
    ("markupsafe", "soft_unicode"): "is gone since MarkupSafe 2.1: pin markupsafe<2.1, or take a newer Jinja2",
    ("itsdangerous", "json"): "is gone since itsdangerous 2.1: pin itsdangerous<2.1, or take a newer Flask",
    ("werkzeug.urls", "url_quote"): "is gone since Werkzeug 3: pin werkzeug<3, or take Flask 3",
    ("werkzeug.urls", "url_encode"): "is gone since Werkzeug 3: pin werkzeug<3, or take a newer library",
}  # fmt: skip
UWSGI = ("uwsgi", "uwsgidecorators")


def of_syntax(message: str, line: str = "") -> str:
    """Why a SyntaxError is Python 2's, or empty."""
    if PYTHON_2_SYNTAX.search(message) or PYTHON_2_LINE.search(line):
        return f"This is Python 2 code; this image has Python {THIS}, and Python 2 ended in 2020."
    return ""


def of_error(error: BaseException) -> str:
    """Why an import failed on this Python, in one sentence; empty if it is something else."""
    if isinstance(error, SyntaxError):
        return of_syntax(error.msg or "", error.text or "")
    if isinstance(error, ModuleNotFoundError):
        return _of_module((error.name or "").partition(".")[0])
    if isinstance(error, NameError) and error.name in PYTHON_2_NAMES:
        return f"{error.name} is a name of Python 2; this image has Python {THIS}."
    words = re.findall(r"'([\w.]+)'", str(error))
    if isinstance(error, ImportError) and len(words) > 1:  # cannot import name 'x' from 'y'
        return _gone(words[1], words[0])
    if isinstance(error, AttributeError) and len(words) > 1:  # module 'y' has no attribute 'x'
        return _gone(words[0], words[1])
    return ""


def _of_module(name: str) -> str:
    if name in UWSGI:
        return f"The module {name} exists only inside uWSGI, and this box has none (docs/migrate.md)."
    if name in PYTHON_2_MODULES:
        return f"The module {name} is Python 2's; this image has Python {THIS}."
    if name in REMOVED:
        version, instead = REMOVED[name]
        return f"The module {name} was removed in Python {version}; this image has Python {THIS}." + (
            f" In its place: {instead}." if instead else ""
        )
    return ""


def _gone(module: str, name: str) -> str:
    known = GONE.get((module, name))
    return f"{module}.{name} {known}; this image has Python {THIS}." if known else ""
