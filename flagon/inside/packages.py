"""Which package brings a module or a shared library that is missing, where their names differ."""

from __future__ import annotations

import os
import re
from typing import Any

# module -> distribution on PyPI; where it is not here, they have one name
DISTRIBUTIONS = {
    "psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient",
    "PIL": "pillow", "yaml": "pyyaml", "bs4": "beautifulsoup4", "dotenv": "python-dotenv", "jwt": "pyjwt",
    "jose": "python-jose", "dateutil": "python-dateutil", "slugify": "python-slugify", "magic": "python-magic",
    "multipart": "python-multipart", "docx": "python-docx", "pptx": "python-pptx", "ldap": "python-ldap",
    "memcache": "python-memcached", "socketio": "python-socketio", "engineio": "python-engineio",
    "sklearn": "scikit-learn", "skimage": "scikit-image", "cv2": "opencv-python-headless", "Crypto": "pycryptodome",
    "OpenSSL": "pyopenssl", "git": "gitpython", "attr": "attrs", "zmq": "pyzmq", "serial": "pyserial",
    "decouple": "python-decouple", "environ": "django-environ", "corsheaders": "django-cors-headers",
    "rest_framework": "djangorestframework", "pkg_resources": "setuptools<81", "flask_uploads": "flask-reuploaded",
    "flaskext": "flask", "usb": "pyusb", "nacl": "pynacl",
}  # fmt: skip
# shared library -> package of Debian 13
DEBIAN = {
    "libpq.so.5": "libpq5", "libmariadb.so.3": "libmariadb3",
    "libodbc.so.2": "libodbc2", "libxml2.so.2": "libxml2", "libxslt.so.1": "libxslt1.1", "libmagic.so.1": "libmagic1",
    "libGL.so.1": "libgl1", "libglib-2.0.so.0": "libglib2.0-0t64", "libgomp.so.1": "libgomp1",
    "libpango-1.0.so.0": "libpango-1.0-0", "libcairo.so.2": "libcairo2", "libldap.so.2": "libldap2",
    "libgdal.so.36": "libgdal36", "libgeos_c.so.1": "libgeos-c1t64", "libzbar.so.0": "libzbar0",
}  # fmt: skip
# Tools by the file that they leave: what adds a package with them.
ADDED_BY = {"uv.lock": "uv add", "poetry.lock": "poetry add", "Pipfile": "pipenv install", "pdm.lock": "pdm add"}
# Whose packages there are: "asked", another environment than the image's own; "add", the command that puts a package
# there; "unused", what else lies there. The boot says it (flagon/launch_options.py).
origin: dict[str, Any] = {"asked": "", "add": "", "unused": []}
LIBRARY = re.compile(r"(lib[\w.+-]{1,60}\.so[.\d]{0,20}): cannot open shared object file")


def distribution(module: str) -> str:
    """What to write into requirements.txt for it."""
    top = module.partition(".")[0]
    return DISTRIBUTIONS.get(top, top.replace("_", "-") if top.startswith(("flask_", "django_")) else top)


def missing(module: str) -> str:
    """What to do about a module that is not there, and in which environment it was looked for."""
    name = distribution(module)
    if origin["asked"]:
        tool = next((words for file, words in ADDED_BY.items() if os.path.exists(file)), origin["add"])
        return "\n".join([f"It is not in {origin['asked']}. Add it there: {tool} {name}.", *origin["unused"]])
    if origin["unused"]:
        return "\n".join(["It is not in the image's own environment.", *origin["unused"]])
    listed = os.path.isfile("requirements.txt") or os.path.isfile("pyproject.toml")
    or_at_start = ", or set PIP_INSTALL=1 to have it installed at the start" if listed else ""
    return f"Add {name} to requirements.txt and install it in your image{or_at_start}."


def of_import(error: BaseException) -> str:
    """What an ImportError wants installed, in one sentence; empty if it is something else."""
    if not isinstance(error, ImportError):
        return ""
    text = str(error)
    if "no pq wrapper available" in text:  # psycopg 3 without its C part and without libpq
        return "psycopg finds no libpq: install psycopg[binary]."
    found = LIBRARY.search(text)
    if not found:
        return ""
    return of_library(found[1]).replace(", which is not", " is not", 1)


def of_library(name: str) -> str:
    """A shared library that is not in the image, and the line that brings it."""
    if "musl" in name:
        return f"{name}, which is not in the image: it was built for Alpine. Install the package in this image."
    package = DEBIAN.get(name, "")
    get = f"apt-get install -y --no-install-recommends {package or f'the package that has {name}'}"
    return f"{name}, which is not in the image. In the Dockerfile: RUN apt-get update && {get}."
