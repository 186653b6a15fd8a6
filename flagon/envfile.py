"""`.env` files and the cleaning of values: what `docker run --env-file` users and dotenv users both expect.

`clean` is needed before anything else is (flagon/identity.py), and `re` takes milliseconds: imported where it is used.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Mapping
    from typing import NoReturn

NAME = r"[A-Za-z_][A-Za-z0-9_.-]*\Z"
GRAMMAR = {
    "space": r"\s*",
    "blanks": r"[^\S\n]*",
    "export": r"export[^\S\n]+",
    "name": r"'([^']+)'|([^=#\s]+)",
    "equals": r"=[^\S\n]*",
    "'": r"(?s)'((?:\\.|[^'\\])*)'",
    '"': r'(?s)"((?:\\.|[^"\\])*)"',
    "text": r"[^\n]*",
    "comment": r"#[^\n]*",
    "end": r"\n|\Z",
}
LONGEST = 131000  # bytes of NAME=value: the kernel takes no longer one (execve(2), MAX_ARG_STRLEN)
WARNINGS = 20
MOST = 1_500_000  # bytes of all of them: with those of the container less than the kernel takes
ESCAPED = {"'": r"\\([\\'])", '"': r"\\([\\'\"abfnrtv])"}
ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}  # the others mean themselves


def is_name(text: str) -> bool:
    """A name that a .env file may export; python-dotenv takes any, and a shell on the way drops the others."""
    import re

    return re.match(NAME, text) is not None


def clean(text: str) -> str:
    """Strip blanks and one pair of surrounding quotes: env files are often written with them."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text


class Unreadable(Exception):
    """Why an entry is none."""


class Reader:
    """The entries of a .env file, by python-dotenv's grammar: whoever calls load_dotenv() finds what it would have set.

    NAME=value, with `export` before it and `# comment` behind it. Quoted values may go over several lines; in double
    quotes an escape such as \\n is a character, in single quotes only a quote and a backslash may be escaped. Without
    quotes a value ends with its line, or before ` #`. `${NAME}` and `${NAME:-default}` stand for a variable of the
    environment, or else for one of a line above.
    """

    def __init__(self, text: str, environ: Mapping[str, str]) -> None:
        self._text, self._position, self._environ = text, 0, environ
        self._line, self._counted, self._room = 1, 0, MOST
        self.variables: dict[str, str | None] = {}  # None: its name alone was there
        self.warnings: list[str] = []

    def read(self) -> None:
        """Fill `variables`, and `warnings` with one line for each entry that is not exported."""
        while True:
            self._take("space")
            if self._position >= len(self._text):
                return
            self._line += self._text.count("\n", self._counted, self._position)
            self._counted = self._position
            try:
                self._entry()
            except Unreadable as why:
                self._warn(f".env line {self._line} {why}")

    def _warn(self, line: str) -> None:
        """The first of them tell enough of a file that is something else."""
        if len(self.warnings) < WARNINGS:
            self.warnings.append(line)
        elif len(self.warnings) == WARNINGS:
            self.warnings.append(".env: there are more such lines")

    def _entry(self) -> None:
        if self._take("comment"):
            return
        try:
            self._take("export")
            name = self._name()
            self._take("blanks")
            equals = self._take("equals")
            value = self._value(blank=len(equals[0]) > 1) if equals else None
            self._take("blanks")
            self._take("comment")
            if not self._take("end"):
                _refuse("is not NAME=value" if value is None else "has something behind the quoted value")
        except Unreadable:
            self._take("text")
            raise
        if value is None:
            self.variables[name] = None  # takes back what a line above has said
        if value is None or not is_name(name):
            _refuse("is not NAME=value")
        value = self._expanded(value, LONGEST - len(name))
        self._room -= len(name) + len(value)
        if self._room < 0:
            _refuse(f"makes more than {MOST} bytes of variables, which no program can be given,")
        if "\0" in value:
            _refuse("has a NUL, which no variable can hold,")
        self.variables[name] = value

    def _name(self) -> str:
        found = self._take("name")
        if found is None:
            _refuse("is not NAME=value")
        return str(found[1] or found[2])

    def _value(self, blank: bool) -> str:
        """`blank`: something is between = and it."""
        quote = self._text[self._position : self._position + 1]
        if quote in ESCAPED:
            found = self._take(quote)
            if found is None:
                _refuse("has a quote that does not end")
            return _unescaped(found[1], quote)
        if blank and quote == "#":
            return ""
        import re

        plain = self._take("text")
        return re.sub(r"(?<!\s)\s+#.*", "", plain[0]).rstrip() if plain else ""

    def _expanded(self, value: str, most: int) -> str:
        """With its `${NAME}` and `${NAME:-default}` filled in."""
        pieces, length = [], 0
        for piece in _pieces(value):
            text = piece if isinstance(piece, str) else self._variable(*piece)
            length += len(text.encode("utf-8", "surrogateescape"))
            if length > most:
                _refuse(f"is longer than {LONGEST} bytes, which no variable can be,")
            pieces.append(text)
        return "".join(pieces)

    def _variable(self, name: str, default: str) -> str:
        for known in (self._environ, self.variables):
            if name in known:
                return known[name] or ""
        return default

    def _take(self, what: str) -> re.Match[str] | None:
        import re

        pattern = re.compile(GRAMMAR[what])
        found = pattern.match(self._text, self._position)
        if found:
            self._position = found.end()
        return found


def _pieces(value: str) -> Iterator[str | tuple[str, str]]:
    """Texts, and (name, default) of the references between them: `${`, no } or :, perhaps `:-` and no }, `}`."""
    begin = search = 0
    while (start := value.find("${", search)) >= 0:
        end = value.find("}", start)
        if end < 0:
            break
        colon = value.find(":", start, end)
        if colon >= 0 and value[colon + 1] != "-":
            search = colon  # nor is any other ${ before it a reference
            continue
        yield value[begin:start]
        yield value[start + 2 : end if colon < 0 else colon], "" if colon < 0 else value[colon + 2 : end]
        begin = search = end + 1
    yield value[begin:]


def _refuse(why: str) -> NoReturn:
    raise Unreadable(f"{why} and is ignored")


def _unescaped(text: str, quote: str) -> str:
    """An escape that is none stays as it is written."""
    import re

    return re.sub(ESCAPED[quote], lambda found: ESCAPES.get(found[1], found[1]), text)


def parse(text: str, environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """A .env file's text -> its variables, and one warning for each entry that is none. `environ` is for `${NAME}`."""
    reader = Reader(text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n"), environ)
    reader.read()
    return {name: value for name, value in reader.variables.items() if value is not None}, reader.warnings


def read(directory: str, environ: Mapping[str, str], name: str = ".env") -> tuple[dict[str, str], list[str]]:
    """The variables of `directory`/.env; none if there is no such file. An unreadable one is a warning."""
    from flagon import text_file

    try:
        return parse(text_file.strict(os.path.join(directory, name)), environ)
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as error:
        return {}, [f"{name} cannot be read and is ignored: {error}"]
