"""Which package brings a module or a shared library that is missing, where their names differ."""

from __future__ import annotations

import re

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
LIBRARY = re.compile(r"(lib[\w.+-]{1,60}\.so[.\d]{0,20}): cannot open shared object file")


def distribution(module: str) -> str:
    """What to write into requirements.txt for it."""
    top = module.partition(".")[0]
    return DISTRIBUTIONS.get(top, top.replace("_", "-") if top.startswith(("flask_", "django_")) else top)


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
    package = DEBIAN.get(found[1], "")
    get = f"apt-get install -y --no-install-recommends {package or f'the package that has {found[1]}'}"
    return f"{found[1]} is not in the image. In the Dockerfile: RUN apt-get update && {get}."
