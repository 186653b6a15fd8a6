"""`flagon backup` and `flagon restore` on real files, with other processes that write meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import pty
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flagon import backup, copies, restore
from flagon.backup import Place
from flagon.boot import NOT_EMBEDDED
from flagon.inside import sqlite_copy, sqlite_lock

ROOT = Path(__file__).parents[2]
ROUNDS = 12 if os.environ.get("FLAGON_CAMPAIGN") == "full" else 4
WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
connection.execute("PRAGMA synchronous = OFF")
number = 0
while True:
    number += 1
    connection.execute("BEGIN IMMEDIATE")
    for half in (1, 2):
        connection.execute("INSERT INTO pairs VALUES (?, ?, ?)", (sys.argv[2], number, half))
    connection.execute("COMMIT")
    time.sleep(0.002)
"""


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=20, isolation_level=None)


def make(path: Path, mark: str, mode: str = "WAL", pages: int = 4096, rows: int = 10, vacuum: int = 0) -> Path:
    """A database that says which one it is."""
    path.parent.mkdir(exist_ok=True)
    with contextlib.closing(connect(path)) as connection:
        connection.execute(f"PRAGMA page_size = {pages}")
        connection.execute(f"PRAGMA auto_vacuum = {vacuum}")
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE mark (text)")
        connection.execute("CREATE TABLE filler (bytes)")
        connection.execute("CREATE TABLE pairs (writer, number, half)")
        connection.execute("INSERT INTO mark VALUES (?)", (mark,))
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO filler SELECT randomblob(2000) FROM n",
            (rows,),
        )
    return path


def mark(path: Path) -> str:
    """Which database this is; it must be whole."""
    with contextlib.closing(connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM pairs").fetchone()[0] % 2 == 0
        [(text,)] = connection.execute("SELECT text FROM mark")
        return str(text)


def pairs(path: Path) -> int:
    with contextlib.closing(connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM pairs").fetchone()[0])


def pragma(path: Path, name: str) -> object:
    with contextlib.closing(connect(path)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


@contextlib.contextmanager
def writers(path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    running = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number)]) for number in range(4)]
    try:
        wait(lambda: pairs(path) > 20)
        yield running
    finally:
        for one in running:
            one.kill()
            one.wait()


def wait(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def words(*verb: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(ROOT / "flagon"), *verb]


def environment(folder: Path, url: str = "") -> dict[str, str]:
    (folder / "run").mkdir(exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    given = {"RUN_AS": "root", "RUNTIME_DIR": f"{folder}/run", "DATA_DIR": f"{folder}/data", "DATABASE_URL": url}
    return {name: text for name, text in given.items() if text}


def flagon(folder: Path, *verb: str, url: str = "", stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        words(*verb), env=environment(folder, url), cwd=folder, input=stdin, capture_output=True, timeout=60
    )


def digest(folder: Path) -> dict[str, str]:
    """All files' content, but for the lock that each try makes."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-lock", "-shm"))
    }


def live(folder: Path, **more: object) -> Path:
    return make(folder / "data" / "app.db", "live", **more)  # type: ignore[arg-type]


def to(path: Path) -> Place:
    return Place(str(path), str(path.parent / "backups"), (str(path.parent),))


# -- backup


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_each_backup_beside_writers_is_of_one_moment(tmp_path: Path, mode: str) -> None:
    path = live(tmp_path, mode=mode)
    counts = []
    with writers(path):
        for number in range(ROUNDS):
            done = flagon(tmp_path, "backup", "--to", str(tmp_path / f"{number}.db"))
            assert done.returncode == 0, done.stderr
            assert mark(tmp_path / f"{number}.db") == "live"
            counts.append(pairs(tmp_path / f"{number}.db"))
    assert counts == sorted(counts)
    assert counts[0] < counts[-1], "nobody wrote meanwhile"


def test_default_place_size_mode_and_a_name_each(tmp_path: Path) -> None:
    live(tmp_path)
    for _ in range(3):
        done = flagon(tmp_path, "backup")
        assert done.returncode == 0
        name, _, size = done.stdout.decode().partition(" (")
        assert Path(name).parent == tmp_path / "data" / "backups"
        assert size == f"{os.path.getsize(name):,} bytes)\n"
        assert os.stat(name).st_mode & 0o777 == 0o600
        assert mark(Path(name)) == "live"
    assert len(list((tmp_path / "data" / "backups").glob("app-2*Z*.db"))) == 3


def test_to_standard_output(tmp_path: Path) -> None:
    live(tmp_path)
    done = flagon(tmp_path, "backup", "--to", "-")
    assert done.returncode == 0
    (tmp_path / "out.db").write_bytes(done.stdout)
    assert mark(tmp_path / "out.db") == "live"
    assert not list((tmp_path / "data").glob(".flagon*"))


@pytest.mark.parametrize("verb", [["backup", "--to", "-"], ["restore", "-"]])
def test_no_terminal(tmp_path: Path, verb: list[str]) -> None:
    path = live(tmp_path)
    here, there = pty.openpty()
    done = subprocess.run(
        words(*verb), env=environment(tmp_path), stdin=there, stdout=there, stderr=subprocess.PIPE, timeout=30
    )
    os.close(here)
    os.close(there)
    assert (done.returncode, b"terminal" in done.stderr) == (64, True)
    assert mark(path) == "live"


def test_nothing_is_overwritten_and_nothing_left_behind(tmp_path: Path) -> None:
    live(tmp_path)
    taken = tmp_path / "taken.db"
    taken.write_bytes(b"precious")
    before = digest(tmp_path)
    for target in (taken, tmp_path / "none" / "x.db", tmp_path / "taken.db" / "x.db"):
        done = flagon(tmp_path, "backup", "--to", str(target))
        assert done.returncode == 1
        named = target if target == taken else target.parent
        assert str(named) in done.stderr.decode()
        assert done.stdout == b""
    assert {**before, **digest(tmp_path)}.keys() - before.keys() == {"secret_key"}
    assert taken.read_bytes() == b"precious"


def test_a_name_that_is_taken_at_the_last_moment(tmp_path: Path) -> None:
    draft, taken = tmp_path / "draft", tmp_path / "taken.db"
    draft.write_bytes(b"new")
    taken.write_bytes(b"precious")
    with pytest.raises(copies.Failed, match="taken.db exists already"):
        copies.settle(str(draft), str(taken))
    assert taken.read_bytes() == b"precious"


def test_a_draft_that_a_killed_backup_left_is_used_up(tmp_path: Path) -> None:
    live(tmp_path)
    (tmp_path / "data" / ".flagon-backup.part").write_bytes(b"x" * 100_000)
    assert flagon(tmp_path, "backup", "--to", str(tmp_path / "data" / "x.db")).returncode == 0
    assert mark(tmp_path / "data" / "x.db") == "live"
    assert not (tmp_path / "data" / ".flagon-backup.part").exists()


def test_no_database_yet_and_wrong_usage(tmp_path: Path) -> None:
    done = flagon(tmp_path, "backup")
    assert (done.returncode, b"there is no database yet: " in done.stderr) == (1, True)
    assert not (tmp_path / "data" / "app.db").exists()
    for verb in (["backup", "x"], ["backup", "--to"], ["backup", "--to", ""], ["restore"], ["restore", "--x"]):
        done = flagon(tmp_path, *verb)
        assert (done.returncode, done.stderr.startswith(b"usage: flagon ")) == (64, True), verb


def test_a_file_that_the_application_s_code_names_is_found(tmp_path: Path) -> None:
    """Nobody has given DATABASE_URL: it lies in the data directory or beside the code, under any name."""
    out = tmp_path / ".out"
    out.mkdir()
    shop = make(tmp_path / "data" / "my shop", "shop")
    done = flagon(tmp_path, "backup", "--to", str(out / "a.db"))
    assert done.returncode == 0
    assert f"DATABASE_URL is not set: {shop} is the SQLite file" in done.stderr.decode()
    assert mark(out / "a.db") == "shop"
    refused = flagon(tmp_path, "restore", str(out / "a.db"))
    assert refused.returncode == 1
    assert (
        f"docker run --rm -e 'DATABASE_URL=sqlite:///{shop}' -v VOLUME:{tmp_path}/data IMAGE flagon restore FILE"
        in refused.stderr.decode()
    )
    assert flagon(tmp_path, "backup").returncode == 0  # in data/backups, which is no second one
    assert flagon(tmp_path, "backup").returncode == 0
    blog = make(tmp_path / "instance" / "blog.sqlite", "blog")
    done = flagon(tmp_path, "backup")
    assert (done.returncode, b"these SQLite files are there" in done.stderr) == (1, True)
    for path in (shop, blog):
        assert f"DATABASE_URL=sqlite:///{path}" in done.stderr.decode()
    own = make(tmp_path / "data" / "app.db", "own")
    (tmp_path / "data" / NOT_EMBEDDED).touch()  # since the application's first start
    done = flagon(tmp_path, "backup", "--to", str(out / "b"))
    assert (done.returncode, mark(out / "b")) == (0, "own")
    assert f"{own} is copied, and not {shop}, {blog}" in done.stderr.decode()


def test_what_the_serving_application_has_said_comes_first(tmp_path: Path) -> None:
    shop, _ = make(tmp_path / "data" / "shop.db", "shop"), make(tmp_path / "data" / "old.db", "old")
    out = tmp_path / ".out"
    out.mkdir()
    place = tmp_path / "run" / "flagon" / "sqlite.json"
    place.parent.mkdir(parents=True)
    for said in ('["/gone.db", 7, "%s", "x"]' % shop, '["%s"]' % shop):  # noqa: UP031
        place.write_text(said)
        done = flagon(tmp_path, "backup", "--to", str(out / "a.db"))
        assert (done.returncode, mark(out / "a.db")) == (0, "shop")
        (out / "a.db").unlink()
    for nonsense in ("{", "[" * 5000, '{"a": 1}', "[]"):
        place.write_text(nonsense)
        done = flagon(tmp_path, "backup")
        assert (done.returncode, b"these SQLite files are there" in done.stderr) == (1, True)


def test_a_damaged_database_is_not_called_a_backup(tmp_path: Path) -> None:
    path = live(tmp_path, mode="DELETE", rows=200)
    damage(path)
    done = flagon(tmp_path, "backup")
    assert (done.returncode, b"integrity check" in done.stderr) == (1, True)
    assert not list((tmp_path / "data" / "backups").iterdir())


def damage(path: Path) -> None:
    """Three pages in the middle are lost."""
    with open(path, "r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xaa" * 3 * 4096)


def test_an_index_that_only_the_application_understands(tmp_path: Path) -> None:
    path = live(tmp_path)
    with contextlib.closing(connect(path)) as connection:
        connection.create_collation("ours", lambda one, two: (one > two) - (one < two))
        connection.execute("CREATE INDEX odd ON mark (text COLLATE ours)")
    done = flagon(tmp_path, "backup", "--to", str(tmp_path / "x.db"))
    assert (done.returncode, b"could not be checked" in done.stderr) == (0, True), done.stderr
    assert flagon(tmp_path, "restore", str(tmp_path / "x.db")).returncode == 0


def test_during_a_migration_the_state_before_it(tmp_path: Path) -> None:
    path = live(tmp_path)
    with contextlib.suppress(KeyboardInterrupt), sqlite_copy.guarded(str(path), "alembic_version", print):
        with contextlib.closing(connect(path)) as connection:
            connection.execute("UPDATE mark SET text = 'half migrated'")
        done = flagon(tmp_path, "backup", "--to", str(tmp_path / "x.db"))
        assert (done.returncode, b"migration" in done.stderr) == (0, True)
        raise KeyboardInterrupt
    assert mark(tmp_path / "x.db") == "live"


@pytest.mark.parametrize("verb", [["backup"], ["restore", "x"]])
def test_other_databases_are_told_their_tools(tmp_path: Path, verb: list[str]) -> None:
    done = flagon(tmp_path, *verb, url="postgres://me:hidden@db/name?password=hidden2")
    said = done.stderr.decode()
    assert (done.returncode, "hidden" in said, backup.POSTGRES_RECIPE in said) == (1, False, True)
    assert backup.POSTGRES_RECIPE in (ROOT / "docs" / "backup.md").read_text()
    done = flagon(tmp_path, *verb, url="mysql://me:hidden@db/name")
    said = done.stderr.decode()
    assert (done.returncode, "hidden" in said, "database's tools" in said) == (1, False, True)
    done = flagon(tmp_path, *verb, url="sqlite://")
    assert (done.returncode, b"in memory" in done.stderr) == (1, True)
    assert flagon(tmp_path, *verb, url="postgresql:/x").returncode == 78


# -- restore


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_restore_beside_writers(tmp_path: Path, mode: str) -> None:
    path = live(tmp_path, mode=mode)
    with writers(path) as running, contextlib.closing(connect(path)) as watching:
        for number in range(ROUNDS):
            file = tmp_path / f"{number}.db"
            assert flagon(tmp_path, "backup", "--to", str(file)).returncode == 0
            with contextlib.closing(connect(path)) as connection:
                connection.execute("UPDATE mark SET text = 'later'")
            done = flagon(tmp_path, "restore", str(file))
            assert done.returncode == 0, done.stderr
            assert watching.execute("SELECT text FROM mark").fetchall() == [("live",)]
            kept = done.stdout.decode().split("kept as ")[1].split("\n")[0]
            assert mark(Path(kept)) == "later"
            assert mark(path) == "live"
            count = pairs(path)
            wait(lambda count=count: pairs(path) > count)
        assert [one.poll() for one in running] == [None] * 4, "a writer had an error"
    assert mark(path) == "live"
    assert str(pragma(path, "journal_mode")).upper() == mode


SHAPES = list(itertools.product(["WAL", "DELETE"], ["WAL", "DELETE"], [4096, 1024, 65536], [0, 1]))


@pytest.mark.parametrize("open_elsewhere", [True, False])
@pytest.mark.parametrize(("mode", "other", "pages", "vacuum"), SHAPES)
def test_any_shape_of_file(
    tmp_path: Path, mode: str, other: str, pages: int, vacuum: int, open_elsewhere: bool
) -> None:
    path = live(tmp_path, mode=mode, rows=300)
    file = make(tmp_path / "other" / "x.db", "restored", other, pages, 100, vacuum)
    with contextlib.ExitStack() as stack:
        if open_elsewhere:
            elsewhere = stack.enter_context(contextlib.closing(connect(path)))
            assert elsewhere.execute("SELECT text FROM mark").fetchall() == [("live",)]
        restore._restore(str(file), to(path))
        if open_elsewhere:
            assert elsewhere.execute("SELECT text FROM mark").fetchall() == [("restored",)]
            elsewhere.execute("INSERT INTO filler SELECT randomblob(3000) FROM filler")
            elsewhere.execute("DELETE FROM filler WHERE rowid % 3")
    assert mark(path) == "restored"
    assert str(pragma(path, "journal_mode")).upper() == mode
    [kept] = (path.parent / "backups").iterdir()
    assert mark(kept) == "live"
    assert sorted(one.name for one in path.parent.iterdir()) == ["app.db", "app.db.migration-lock", "backups"]


def bad_files(folder: Path) -> list[Path]:
    text, empty, cut, damaged = (folder / name for name in ("text.db", "empty.db", "cut.db", "damaged.db"))
    text.write_bytes(b"SELECT 1;" * 1000)
    empty.touch()
    cut.write_bytes(make(folder / "whole.db", "cut", "DELETE", rows=200).read_bytes()[:50_000])
    damage(make(damaged, "damaged", "DELETE", rows=200))
    return [text, empty, cut, damaged, folder / "none.db", folder, folder / "data" / "app.db"]


def test_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    path = live(tmp_path)
    flagon(tmp_path, "restore", "none")  # makes the secret
    files = bad_files(tmp_path)
    before = digest(tmp_path)
    for file in files:
        done = flagon(tmp_path, "restore", str(file))
        assert (done.returncode, done.stdout) == (1, b""), file
        assert str(file) in done.stderr.decode()
        if file.is_file() and file != path:
            done = flagon(tmp_path, "restore", "-", stdin=file.read_bytes())
            assert (done.returncode, b"standard input" in done.stderr) == (1, True), file
        assert digest(tmp_path) == before
    assert mark(path) == "live"


def test_from_standard_input(tmp_path: Path) -> None:
    path = live(tmp_path)
    file = make(tmp_path / "x.db", "restored")
    assert flagon(tmp_path, "restore", "-", stdin=file.read_bytes()).returncode == 0
    assert mark(path) == "restored"


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_where_there_is_no_database_it_is_placed(tmp_path: Path, mode: str) -> None:
    file = make(tmp_path / "x.db", "restored", mode)
    path = tmp_path / "data" / "app.db"
    path.parent.mkdir()
    gone = make(tmp_path / "gone.db", "gone")
    with contextlib.closing(connect(gone)) as connection:  # a -wal that SQLite would apply to the new file
        connection.execute("UPDATE mark SET text = 'of a database that is gone'")
        (tmp_path / "data" / "app.db-wal").write_bytes((tmp_path / "gone.db-wal").read_bytes())
    done = flagon(tmp_path, "restore", str(file))
    assert done.returncode == 0, done.stderr
    assert os.stat(path).st_mode & 0o777 == 0o644
    assert mark(path) == "restored"
    assert str(pragma(path, "journal_mode")).upper() == mode


def test_a_copy_made_by_hand_with_its_wal(tmp_path: Path) -> None:
    path = live(tmp_path)
    file = make(tmp_path / "x.db", "before")
    with contextlib.closing(connect(file)) as connection:
        connection.execute("UPDATE mark SET text = 'in the wal'")
        for end in ("", "-wal"):
            (tmp_path / f"hand.db{end}").write_bytes((tmp_path / f"x.db{end}").read_bytes())
    before = digest(tmp_path)
    assert flagon(tmp_path, "restore", str(tmp_path / "hand.db")).returncode == 0
    assert mark(path) == "in the wal"
    assert {
        name for name, text in digest(tmp_path).items() if name.startswith("hand") and before[name] != text
    } == set()


def super_journal(folder: Path, victim: Path, mode: str = "DELETE") -> Path:
    """A database with a hot journal that names a file: what a cut off commit over two databases leaves."""
    file = make(folder / "foreign.db", "foreign", mode)
    name = os.fsencode(victim)
    page = file.read_bytes()[:4096]
    nonce = 7
    checksum = (nonce + sum(page[at] for at in range(4096 - 200, 0, -200))) & 0xFFFFFFFF
    header = restore.JOURNAL_MAGIC + struct.pack(">5I", 1, nonce, file.stat().st_size // 4096, 512, 4096)
    record = struct.pack(">I", 1) + page + struct.pack(">I", checksum)
    tail = struct.pack(">I", 0x40000000 // 4096 + 1) + name + struct.pack(">2I", len(name), sum(name) & 0xFFFFFFFF)
    (folder / "foreign.db-journal").write_bytes(header.ljust(512, b"\0") + record + tail + restore.JOURNAL_MAGIC)
    return file


def test_a_journal_that_names_another_file_is_refused(tmp_path: Path) -> None:
    """SQLite deletes what such a journal names: seen here on a plain connection, and not in a restore."""
    path, victim = live(tmp_path), tmp_path / "victim.txt"
    file = super_journal(tmp_path, victim)
    for name in ("foreign.db", "latest.db"):
        victim.write_text("precious")
        if name == "latest.db":
            (tmp_path / name).symlink_to(file)
        done = flagon(tmp_path, "restore", str(tmp_path / name))
        assert (done.returncode, done.stdout) == (1, b"")
        assert f"{file}-journal is of a transaction over several databases".encode() in done.stderr
        assert b"flagon backup" in done.stderr
        assert (victim.exists(), mark(path)) == (True, "live")
    with contextlib.closing(connect(file)) as connection:
        connection.execute("SELECT count(*) FROM mark").fetchone()
    assert not victim.exists(), "this journal is none that SQLite would follow: the test proves nothing"


def test_a_copy_made_by_hand_with_its_hot_journal(tmp_path: Path) -> None:
    """A writer was killed in the middle: the journal belongs to the copy, and is rolled back."""
    path = live(tmp_path)
    file = make(tmp_path / "x.db", "committed", "DELETE", rows=200)
    with contextlib.closing(connect(file)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("PRAGMA cache_spill = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE mark SET text = 'not committed'")
        connection.execute("CREATE TABLE much (text)")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
            "INSERT INTO much SELECT hex(randomblob(500)) FROM n"
        )
        for end in ("", "-journal"):
            (tmp_path / f"hand.db{end}").write_bytes((tmp_path / f"x.db{end}").read_bytes())
    assert b"not committed" in (tmp_path / "hand.db").read_bytes()
    assert flagon(tmp_path, "restore", str(tmp_path / "hand.db")).returncode == 0
    assert mark(path) == "committed"


@pytest.mark.parametrize("what", ["not in WAL mode", "other pages", "link", "pipe", "folder"])
def test_what_lies_beside_and_is_of_another_database(tmp_path: Path, what: str) -> None:
    path = live(tmp_path)
    other = make(tmp_path / "other.db", "other", pages=8192 if what == "other pages" else 4096)
    file = make(tmp_path / "x.db", "x", "DELETE" if what == "not in WAL mode" else "WAL")
    beside = tmp_path / "x.db-wal"
    with contextlib.closing(connect(other)) as connection:
        connection.execute("UPDATE mark SET text = 'of another'")
        wal = (tmp_path / "other.db-wal").read_bytes()
    beside.unlink(missing_ok=True)
    if what == "link":
        (tmp_path / "elsewhere").write_bytes(wal)
        beside.symlink_to(tmp_path / "elsewhere")
    elif what == "pipe":
        os.mkfifo(beside)
    elif what == "folder":
        beside.mkdir()
    else:
        beside.write_bytes(wal)
    done = flagon(tmp_path, "restore", str(file))
    assert (done.returncode, done.stdout) == (1, b"")
    words = "is of another database" if what in ("not in WAL mode", "other pages") else "is no plain file"
    assert f"{beside} {words}" in done.stderr.decode()
    assert mark(path) == "live"


def test_a_backup_follows_no_link_that_lies_where_its_draft_goes(tmp_path: Path) -> None:
    path = live(tmp_path)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / ".flagon-backup.part").symlink_to(path)
    before = path.read_bytes()
    done = flagon(tmp_path, "backup", "--to", str(tmp_path / "shared" / "x.db"))
    assert done.returncode == 1
    assert b"is a link" in done.stderr
    assert path.read_bytes() == before


def test_over_what_is_damaged(tmp_path: Path) -> None:
    path = live(tmp_path, mode="DELETE", rows=200)
    file = make(tmp_path / "x.db", "restored")
    damage(path)
    assert flagon(tmp_path, "restore", str(file)).returncode == 0
    assert mark(path) == "restored"
    path.write_bytes(b"no database at all" * 1000)
    done = flagon(tmp_path, "restore", str(file))
    assert (done.returncode, b"restart it" in done.stdout) == (0, True), done.stderr
    assert mark(path) == "restored"
    [kept] = path.parent.glob("app-damaged-*.db")
    assert kept.read_bytes() == b"no database at all" * 1000


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_busy_database_is_waited_for_and_not_for_ever(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_copy, "BUSY", 0.5)
    monkeypatch.setattr(copies, "BUSY", 0.5)
    monkeypatch.setattr(restore, "BUSY", 0.5)
    path = live(tmp_path, mode=mode)
    file = make(tmp_path / "x.db", "restored")
    with contextlib.closing(connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        with pytest.raises(copies.Failed, match="is busy"):
            restore._restore(str(file), to(path))
        assert 0.4 < time.monotonic() - begun < 5
        connection.execute("ROLLBACK")
        assert mark(path) == "live"
    with sqlite_lock.lock(str(path)), pytest.raises(copies.Failed, match="a migration or another restore"):
        restore._restore(str(file), to(path))
    assert not list(path.parent.glob(".app.db*"))
    restore._restore(str(file), to(path))
    assert mark(path) == "restored"


def test_a_migration_that_was_cut_off_does_not_come_back(tmp_path: Path) -> None:
    path = live(tmp_path)
    sqlite_copy.take(str(path), str(path) + sqlite_copy.SUFFIX)
    with contextlib.closing(connect(path)) as connection:
        connection.execute("UPDATE mark SET text = 'half migrated'")
        connection.execute("CREATE TABLE half (x)")
    file = make(tmp_path / "x.db", "restored")
    restore._restore(str(file), to(path))
    assert mark(path) == "restored"
    assert not sqlite_copy.left_behind(str(path))
    [kept] = (path.parent / "backups").iterdir()
    assert mark(kept) == "live"


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_killed_in_the_middle_it_is_old_or_new(tmp_path: Path, mode: str) -> None:
    """Killed while pages are being written, which the journal beside the file shows."""
    path = live(tmp_path, mode=mode, rows=8000)
    file = make(tmp_path / "x.db", "restored", "DELETE", rows=8000)
    journal = path.with_name("app.db-wal" if mode == "WAL" else "app.db-journal")
    middle, seen = 0, set()
    for number in range(3 * ROUNDS):
        process = subprocess.Popen(
            words("restore", str(file)), env=environment(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait(lambda: size(journal) > 100_000 or process.poll() is not None)  # noqa: B023 used in this round only
        time.sleep(0.004 * number)
        if process.poll() is None:
            middle += 1
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        seen.add(mark(path))
        with contextlib.closing(connect(path)) as connection:
            connection.execute("UPDATE mark SET text = 'live'")
        for one in (path.parent / "backups").iterdir():
            one.unlink()
    assert seen <= {"live", "restored"}
    assert "live" in seen
    assert middle >= ROUNDS, "hardly one was killed in the middle"
    assert flagon(tmp_path, "restore", str(file)).returncode == 0
    assert mark(path) == "restored"
    # A probe for writing, of one that was killed while it looked, does no harm.
    left = [one.name for one in path.parent.glob(".*") if not one.name.startswith(".flagon-probe-")]
    assert not left, "what the killed ones left is still there"


def size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
