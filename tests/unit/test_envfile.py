"""`.env` is read as python-dotenv reads it, so that load_dotenv() changes nothing."""

import io
import os
import random
import time
from unittest import mock

import pytest
from dotenv.main import DotEnv

from flagon import envfile


def by_dotenv(text, environ):
    """What load_dotenv() would set."""
    with mock.patch.dict(os.environ, environ, clear=True):
        stream = io.StringIO(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
        found = DotEnv(None, stream=stream, override=False).dict()
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize(("text", "variables"), [
    ("A=1", {"A": "1"}),
    ("\ufeffA=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
    ("export A=1\n  export\tB = 2 ", {"A": "1", "B": "2"}),
    ("# A=1\n   # B=2\n\nC=3", {"C": "3"}),
    ("A='x y'\nB=\"x y\"\nC= x y ", {"A": "x y", "B": "x y", "C": "x y"}),
    ("A=' x '", {"A": " x "}),
    ("A=x # comment\nB=x#y\nC='x # y' # z\nD=#", {"A": "x", "B": "x#y", "C": "x # y", "D": "#"}),
    ("A=\nB=''", {"A": "", "B": ""}),
    ("A=1\nA=2", {"A": "2"}),
    ("A=b=c==", {"A": "b=c=="}),
    ("A=\"it's\"\nB='say \"x\"'", {"A": "it's", "B": 'say "x"'}),
    ('A="-----BEGIN X-----\nabc\n-----END X-----"\nB=2', {"A": "-----BEGIN X-----\nabc\n-----END X-----", "B": "2"}),
    (r'A="line1\nline2\t\\"', {"A": "line1\nline2\t\\"}),
    (r"""A='it\'s \n'""", {"A": r"it's \n"}),
    (r'A="a\"b"', {"A": 'a"b'}),
    ("DOMAIN=a.test\nA=\"x@${DOMAIN}\"\nB=${DOMAIN}y # z", {"DOMAIN": "a.test", "A": "x@a.test", "B": "a.testy"}),
    ("A=$B ${NONE} ${NONE:-def}", {"A": "$B  def"}),
    ("A= # nothing\nB=# something", {"A": "", "B": "# something"}),
    ("'A'=1", {"A": "1"}),
    ("A=\xe9\u20ac", {"A": "\xe9\u20ac"}),
    ("A=postgres://u:p@h/n?x=1#y", {"A": "postgres://u:p@h/n?x=1#y"}),
])  # fmt: skip
def test_dotenv_forms(text, variables):
    assert envfile.parse(text, {}) == (variables, [])
    assert by_dotenv(text, {}) == variables


@pytest.mark.parametrize("line", ["just words", "=x", "1A=x", "A-B C=x", "<html>"])
def test_lines_that_are_no_variables_are_named(line):
    variables, warnings = envfile.parse(f"A=1\n{line}\nB=2", {})
    assert variables == {"A": "1", "B": "2"}
    assert warnings == [".env line 2 is not NAME=value and is ignored"]


def test_an_unreadable_dotenv_is_a_warning(tmp_path):
    (tmp_path / ".env").write_bytes(b"A=\xff\n")
    variables, warnings = envfile.read(str(tmp_path), {})
    assert variables == {}
    assert len(warnings) == 1
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()
    assert len(envfile.read(str(tmp_path), {})[1]) == 1


def test_the_environment_wins_in_a_reference():
    assert envfile.parse("A=file\nB=${A}", {"A": "environment"})[0] == {"A": "file", "B": "environment"}


@pytest.mark.parametrize(("text", "why"), [
    ('A=1\nB="open\nC=3', "has a quote that does not end and is ignored"),
    ("A=1\nB='open\nC=3", "has a quote that does not end and is ignored"),
    ('A=1\nB="x" y\nC=3', "has something behind the quoted value and is ignored"),
    ("A=1\nB=x\0y\nC=3", "has a NUL, which no variable can hold, and is ignored"),
    ("A=1\nB\nC=3", "is not NAME=value and is ignored"),
])  # fmt: skip
def test_what_cannot_be_read_is_named_and_not_exported(text, why):
    assert envfile.parse(text, {}) == ({"A": "1", "C": "3"}, [f".env line 2 {why}"])


def test_a_name_alone_takes_back_what_was_said():
    assert envfile.parse("A=1\nA\nB=${A:-x}", {})[0] == by_dotenv("A=1\nA\nB=${A:-x}", {}) == {"B": ""}


PIECES = (
    "A", "B", "NAME", "=", "= ", " =", "'", '"', "\\", "\\n", '\\"', "\\'", "\n", "\r\n", " ", "\t", "#", " #",
    "export ", "export", "${A}", "${B:-x}", "${", "}", "$A", "x", "y z", "\xe9", "\\u00e9", "${NOPE}", "${A:-${B}}",
    ":", "-",
)  # fmt: skip


def test_random_files_mean_what_they_mean_to_dotenv():
    for seed in range(4000):
        dice = random.Random(seed)
        text = dice.choice(["", "A="]) + "".join(dice.choices(PIECES, k=dice.randrange(1, 25)))
        wanted = by_dotenv(text, {"B": "environment"})
        assert envfile.parse(text, {"B": "environment"})[0] == {
            name: value for name, value in wanted.items() if envfile.is_name(name)
        }, (seed, text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "A0=xxxxxxxxxx\n" + "".join(f"A{i + 1}=${{A{i}}}${{A{i}}}\n" for i in range(60)),
            "is longer than 131000 bytes",
        ),
        ("A=xxxxxxxxxx\n" + "A=${A}${A}\n" * 60, "is longer than 131000 bytes"),
        (f"A={'x' * 100000}\n" + "".join(f"B{i}=${{A}}\n" for i in range(100)), "makes more than 1500000 bytes"),
    ],
)
def test_references_in_references_stay_small(text, why):
    variables, warnings = envfile.parse(text, {})
    assert any(why in line for line in warnings)
    assert len(warnings) <= envfile.WARNINGS + 1
    assert sum(map(len, variables.values())) < 2_000_000


@pytest.mark.parametrize("unit", ["${", "${a:-", "${a:", "${a}", "$", "${a:x}", "${${a:-}"])
def test_references_take_linear_time(unit):
    def cpu(count):
        begun = time.thread_time()
        envfile.parse("B=" + unit * count, {})
        return time.thread_time() - begun

    assert cpu(20000) < 1.0


def test_many_lines_take_linear_time():
    text = "=\n" * 20000
    begun = time.thread_time()
    assert len(envfile.parse(text, {})[1]) == envfile.WARNINGS + 1
    assert time.thread_time() - begun < 3.0


def test_a_file_without_an_end_is_a_warning(tmp_path):
    (tmp_path / ".env").symlink_to("/dev/zero")
    assert "larger than 4 MB" in envfile.read(str(tmp_path), {})[1][0]
    (tmp_path / ".env").unlink()
    os.mkfifo(tmp_path / ".env")
    assert "it is a pipe" in envfile.read(str(tmp_path), {})[1][0]
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").symlink_to("/dev/null")
    assert envfile.read(str(tmp_path), {}) == ({}, [])
