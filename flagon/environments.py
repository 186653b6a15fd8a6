"""Whose packages the application gets: the image's own environment, or one that the image's author made.

Asked only once nobody is root any more: what it reads, the application may have written. No imports here but of what
costs nothing: gunicorn's interpreter is chosen by it before anything else is decided (flagon/early.py).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # /opt/flagon in the image
OWN = os.path.join(HOME, "venv")
SHIPPED = os.path.join(HOME, "packages")  # what the image brings in OWN, a name a line (flagon/imaging.py)
IN_FOLDER = (".venv", "venv")  # in the application's folder, where it may be a leftover of somebody's own machine
IN_IMAGE = ("/venv", "/opt/venv")  # where an image's author alone can have put it
RUN_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside", "run-program.py")
PREFIX = "/usr/local"  # pip install --prefix, and COPY of it
OLDEST = 10  # flagon/inside runs on Python 3.10
PYTHONS = ("python", "python3")
USER_BIN = "/.local/bin"
PIP_INSTALL = "PIP_INSTALL made it"
INI, VARIABLE, BASE = "home in uwsgi.ini", "VIRTUAL_ENV names it", "pip install --user made it"
FILE_SIZE = 65536  # bytes of a pyvenv.cfg or an activate script that are read
ANSWER_LIMIT = 20.0  # seconds in which an interpreter has to say its version
HERE = f"3.{sys.version_info[1]}"

_versions: dict[str, str] = {}  # interpreter -> its version, asked once


class Unusable(Exception):
    """An environment that is meant to be used cannot be; the message says which, why, and what to do."""


class Environment:
    """Where packages come from: a folder, its interpreter, and why it is this one.

    `is_base`: no virtual environment but a folder of packages, such as the `.local` of `pip install --user`.
    """

    def __init__(self, home: str, why: str, python: str, version: str = HERE, is_base: bool = False) -> None:
        self.home, self.why, self.python, self.version, self.is_base = home, why, python, version, is_base
        self.is_own = home == OWN
        self.lines: list[str] = []  # what else is there, and why it is not used

    def variables(self, path: str) -> dict[str, str]:
        """What the application, and all that is run beside it, needs so that it is this environment for them too."""
        if self.is_own:
            return {}
        folders = [os.path.join(self.home, "bin")]
        if self.is_base:
            folders.append("/usr/local/bin")  # `python` without an environment
        parts = path.split(os.pathsep)
        first = os.pathsep.join(folders + [part for part in parts if part not in folders])
        return {"PATH": first, "PYTHONUSERBASE" if self.is_base else "VIRTUAL_ENV": self.home}

    def runs(self, script: str) -> list[str]:
        """The words that run a Python script in it, with all that it may import."""
        with_own = not self.is_own and self.why != PIP_INSTALL and len(self.folders()) > 1
        return [self.python, *([RUN_PROGRAM] if with_own else []), script]

    def folders(self) -> list[str]:
        """Where its packages lie, as far as can be said without starting its interpreter."""
        found = [packages(self.home, self.version)]
        if self.is_own or self.version != HERE:
            return found
        if self.is_base or self.why == PIP_INSTALL or includes_system(self.home):
            found.append(packages(OWN, HERE))
        return found

    def named(self) -> str:
        """Which one, in a sentence."""
        return "the image's own environment" if self.is_own else f"{self.home} ({self.why})"

    def how_to_add(self) -> str:
        """The command that puts a package into it, up to the package's name."""
        if self.is_base:
            return "pip install --user"
        if os.path.exists(os.path.join(self.home, "bin", "pip")):
            return f"{self.home}/bin/pip install"
        return f"uv pip install --python {self.home}"


def own() -> Environment:
    """The image's own."""
    return Environment(OWN, "default", os.path.join(OWN, "bin", "python"))


def of_pip_install(home: str) -> Environment:
    """What PIP_INSTALL has made upon the image's own (flagon/pip_install.py)."""
    return Environment(home, PIP_INSTALL, os.path.join(home, "bin", "python"))


def find(environ: Mapping[str, str], directory: str, words: Sequence[str] = (), given: str = "") -> Environment:
    """The environment to use. `words`: the container's command; `given`: uwsgi.ini's `home`. Raises Unusable."""
    lines: list[str] = []
    found = _named(environ, directory, words, given, lines) or _lying_there(environ, directory, lines) or own()
    found.lines = lines
    return found


def folders_for(environ: Mapping[str, str], directory: str) -> list[str]:
    """The package folders of the environment to use; the image's own where that cannot be used, which is said later."""
    try:
        return find(environ, directory).folders()
    except Unusable:
        return own().folders()


def packages(home: str, version: str) -> str:
    """The package folder of an environment of this Python."""
    return os.path.join(home, "lib", f"python{version}", "site-packages")


def includes_system(home: str) -> bool:
    """Whether an environment was made with --system-site-packages."""
    lines = _read(os.path.join(home, "pyvenv.cfg")).lower().split("\n")
    return "true" in [line.partition("=")[2].strip() for line in lines if line.startswith("include-system-site-pack")]


def _named(
    environ: Mapping[str, str], directory: str, words: Sequence[str], given: str, lines: list[str]
) -> Environment | None:
    """What somebody has named, the most particular first. Raises Unusable."""
    path = [part.rstrip("/") for part in environ.get("PATH", "").split(os.pathsep) if part.startswith("/")]
    candidates = [(home, "the start command names it") for home in _of_command(words, directory)]
    candidates.append((given, INI))
    candidates.append((environ.get("VIRTUAL_ENV", ""), VARIABLE))
    candidates.append((_first_on(path), "first on PATH"))
    candidates.append((environ.get("UV_PROJECT_ENVIRONMENT", ""), "UV_PROJECT_ENVIRONMENT names it"))
    bases = [environ.get("PYTHONUSERBASE", ""), *(os.path.dirname(part) for part in path if part.endswith(USER_BIN))]
    for text, why in [*candidates, *((base, BASE) for base in bases)]:
        if not text:
            continue
        home = os.path.normpath(os.path.join(directory, text))
        if _same(home, OWN):
            return own()
        if closed := _closed(home):
            uid = os.geteuid()
            lines.append(
                f"{home} ({why}): uid {uid} cannot look into {closed}: RUN chmod a+x {closed}, or use /opt/venv"
            )
        elif _is_one(home) or (why == BASE and _holds(home)):
            return examine(home, why)
        elif why in (INI, VARIABLE):
            lines.append(f"there is no virtual environment {home} ({why}): it is not used")
    return None


def _of_command(words: Sequence[str], directory: str) -> list[str]:
    """`/venv/bin/gunicorn ...`, `. .venv/bin/activate && ...`: environments by the paths of what is in them."""
    folders = [os.path.dirname(word.strip("'\"();&|")) for word in " ".join(words).split()]
    homes = [os.path.dirname(folder) for folder in folders if os.path.basename(folder) == "bin"]
    return [home for home in homes if os.path.lexists(os.path.join(directory, home, "pyvenv.cfg"))]


def _first_on(path: list[str]) -> str:
    """The environment of the first python on PATH; empty if that is no environment's, or the image's own."""
    for folder in path:
        if any(os.path.lexists(os.path.join(folder, name)) for name in PYTHONS):
            home = os.path.dirname(folder)
            return home if os.path.basename(folder) == "bin" and _is_one(home) and not _same(home, OWN) else ""
    return ""


def _lying_there(environ: Mapping[str, str], directory: str, lines: list[str]) -> Environment | None:
    """What nobody has named, and lies where environments lie. Raises Unusable."""
    in_folder = [os.path.join(directory, name) for name in IN_FOLDER]
    rivals = has_more(OWN) or any(map(_is_one, IN_IMAGE))
    for home in dict.fromkeys((in_folder[0], *IN_IMAGE, in_folder[1])):
        if not _is_one(home) or _same(home, OWN):
            continue
        made_at = _made_at(home) if home in in_folder else ""
        leftover = home in in_folder and made_at not in ("", home)
        try:
            found = examine(home, "found there")
        except Unusable as error:
            if home in IN_IMAGE or not (leftover or has_more(OWN) or _is_mounted(home)):
                raise
            lines.append(f"not used: {error}")
            continue
        if not leftover or not rivals:
            return found
        lines.append(
            f"{home} is not used: it was made at {made_at}, and there is another one with packages of yours. "
            f"ENV VIRTUAL_ENV={home} uses it, a line in .dockerignore leaves it out"
        )
    for home in (os.path.join(environ.get("HOME") or "/", ".local"), PREFIX):
        if _holds(home) and not _same(home, sys.base_prefix) and not has_more(OWN):
            return examine(home, "found there")
    return None


def examine(home: str, why: str) -> Environment:
    """The environment in this folder, if it can be used. Raises Unusable."""
    python = _python_of(home)
    held = _held(home)
    here = "this image has Python " + HERE
    if not os.path.lexists(os.path.join(home, "pyvenv.cfg")) and (not python or _same(home, PREFIX)) and HERE in held:
        return Environment(home, why, os.path.realpath(sys.executable), is_base=True)
    if not python:
        raise Unusable(f"the environment {home} ({why}) has no bin/python{_of(held)}; {here}. {_next(home, held)}")
    real = os.path.realpath(python)
    if not os.path.exists(python):
        raise Unusable(
            f"the environment {home} ({why}) cannot be used: {python} leads to {real}, which is not in this image"
            f"{_of(held)}; {here}. {_next(home, held)}"
        )
    if not os.access(python, os.X_OK) or not os.path.isfile(real):
        raise Unusable(f"the environment {home} ({why}) cannot be used: uid {os.geteuid()} may not run {python}")
    version = HERE if real == os.path.realpath(sys.executable) else _ask(python, home, why)
    if version not in held:
        what = f"holds packages of Python {', '.join(held)}" if held else f"has no lib/python{version}/site-packages"
        raise Unusable(
            f"the environment {home} ({why}) cannot be used: it {what}, and {python} is Python {version}. "
            f"{_next(home, held)}"
        )
    if not version.startswith("3.") or int(version[2:]) < OLDEST:
        raise Unusable(f"the environment {home} ({why}) is Python {version}; 3.{OLDEST} or newer works")
    return Environment(home, why, python, version)


def _of(held: list[str]) -> str:
    return f"; it holds packages of Python {', '.join(held)}" if held else ""


def _next(home: str, held: list[str]) -> str:
    if held and HERE not in held and int(held[-1].partition(".")[2]) >= OLDEST:
        base = f"docker build --build-arg BASE_IMAGE=python:{held[-1]}-slim-trixie --target runtime"
        return f"Make it with Python {HERE}, in a stage FROM flagon:full say, or build Flagon on that Python: {base}"
    return f"Make it with this image's Python, in a stage FROM flagon:full say, or remove {home}"


def _ask(python: str, home: str, why: str) -> str:
    """The version of another interpreter than the image's, such as one that uv has brought. Raises Unusable."""
    if python not in _versions:
        import subprocess  # nearly nobody has such a one

        words = [python, "-I", "-S", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=ANSWER_LIMIT, check=False)
            said, code = done.stdout.strip(), done.returncode
            reason = (done.stderr.strip().splitlines() or [f"it ends with code {code}"])[-1] if code else ""
        except subprocess.TimeoutExpired:
            said, reason = "", f"no answer within {ANSWER_LIMIT:g} s"
        except OSError as error:
            said, reason = "", str(error.strerror)
        if reason or not _is_version(said):
            raise Unusable(f"the environment {home} ({why}) cannot be used: {python} does not start: {reason}")
        _versions[python] = said
    return _versions[python]


def _held(home: str) -> list[str]:
    """Of which Pythons an environment has a package folder."""
    try:
        names = sorted(os.listdir(os.path.join(home, "lib")))
    except OSError:
        return []
    found = [name[6:] for name in names if name.startswith("python") and _is_version(name[6:])]
    return [version for version in found if os.path.isdir(packages(home, version))]


def _is_version(text: str) -> bool:
    return text.isascii() and text.count(".") == 1 and all(part.isdigit() for part in text.split("."))


def _holds(home: str) -> bool:
    """Whether a package for this Python was installed there."""
    return bool(_distributions(packages(home, HERE)))


def has_more(home: str) -> bool:
    """Whether packages were installed into the image's own environment beyond those that it brings."""
    return bool(_distributions(packages(home, HERE)) - set(_read(SHIPPED).split("\n")))


def _distributions(folder: str) -> set[str]:
    try:
        return {name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info", ".egg-link"))}
    except OSError:
        return set()


def _is_one(home: str) -> bool:
    """Whether it is meant as a virtual environment; whether it works is another question."""
    if any(os.path.lexists(os.path.join(home, name)) for name in ("pyvenv.cfg", "bin/activate")):
        return True
    python = _python_of(home)
    return bool(python) and not os.path.exists(python) and bool(_held(home))


def _python_of(home: str) -> str:
    """The path of its interpreter, which may lead nowhere; empty if there is none."""
    found = [os.path.join(home, "bin", name) for name in PYTHONS]
    return next((path for path in found if os.path.lexists(path)), "")


def _made_at(home: str) -> str:
    """The folder that an environment was made in, by its own word; empty if it does not say."""
    for line in _read(os.path.join(home, "pyvenv.cfg")).split("\n"):
        name, _, text = line.partition("=")
        if name.strip() == "command" and " -m venv " in text:
            return os.path.normpath(text.split()[-1])
    for line in _read(os.path.join(home, "bin", "activate")).split("\n"):
        name, _, text = line.strip().removeprefix("export ").partition("=")
        if name == "VIRTUAL_ENV" and text.strip("'\"").startswith("/"):
            return os.path.normpath(text.strip("'\""))
    return ""


def _is_mounted(home: str) -> bool:
    from flagon import places

    return any(point != "/" and f"{os.path.realpath(home)}/".startswith(f"{point}/") for point in places.mount_points())


def _closed(home: str) -> str:
    """The folder on the way that this user may not look into; empty if there is none."""
    parts = home.split("/")
    for count in range(2, len(parts) + 1):
        folder = "/".join(parts[:count])
        if not os.path.isdir(folder):
            return ""
        if not os.access(folder, os.X_OK):
            return folder
    return ""


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _read(path: str) -> str:
    """The beginning of a small text file; empty if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, FILE_SIZE).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)
