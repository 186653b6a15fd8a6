"""What /ready asks: the database, the schema, and the application's own checks; one round in flight at most."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from flagon import places
from flagon.inside import database, revisions

LIMIT = 2.0  # seconds a round may take; what has not answered by then is "timeout"
FRESH = 0.5  # seconds for which a finished round is the answer: /ready is open to everybody, connections are not
LONGEST_WORD = 60
Checks = dict[str, Callable[[], Any]]


class NotWritable(Exception):
    """SQLite could be read, and the next write would fail."""


class Database:
    """Two checks over one connection of their own: does it answer, and is the schema at head."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options["database"]
        self.wanted = list(options["ready_checks"])
        self.state_file = os.path.join(options["run"], "migration")
        found = revisions.find(options["directory"], options["target"])
        self.has_migrations = found is not None
        self.layout = found if "migrations" in self.wanted else None
        if self.options["kind"] == "none":  # nothing is said of a database that nobody has named
            migrates = options["migrate"] == "auto" and (found or options["migrate_command"])
            self.wanted = ["migrations"] if migrates and "migrations" in self.wanted else []
        self.django = ""  # the file that its settings name
        if found and found.tool == "django" and self.options["kind"] in ("none", "sqlite") and self.layout:
            from flagon.inside import django_schema  # only for whom it concerns

            self.django = django_schema.path()
            self.wanted = self.wanted or ["migrations"] * bool(self.django)
        self.connection: Any = None
        self.fresh = False  # SQLite's file is not there yet
        self.unversioned = False  # there is a database, and no table of revisions in it
        self.turns = 0  # rounds that ran out of time: each one lets the next begin with another host

    def ask(self) -> dict[str, str]:
        """check name -> "ok", "skipped" where there is nothing to ask, or what is wrong."""
        answers = dict.fromkeys(self.wanted, "skipped")
        found: set[str] | None = None
        try:
            found = self._revisions()
            reached = "ok"
        except database.Unknown:
            reached = "skipped"
        except NotWritable:
            reached = "not writable"
        except Exception as error:
            reached = database.word(error)
        if "database" in answers:
            answers["database"] = reached
        if "migrations" in answers:
            answers["migrations"] = self.migration() or self._schema(reached, found)
        return answers

    def _revisions(self) -> set[str] | None:
        layout = self.layout or revisions.Migrations("")
        if self.options["kind"] == "sqlite":
            self._look_at_files(self.options["path"])
        options = database.turned(self.options, self.turns)
        with database.closing(database.connect(options, LIMIT)) as connection:
            self.connection = connection
            try:
                return database.revisions(connection, self.options, layout.table, layout.schema)
            finally:
                self.connection = None

    def _look_at_files(self, path: str) -> None:
        """Of SQLite's, before a connection is made that could read and not write. Raises Unknown, NotWritable."""
        there = os.path.exists(path)
        sure = there or bool(path and self.options.get("absolute"))
        if sure and not self.options.get("read_only") and places.unwritable(path):
            raise NotWritable
        self.fresh = sure and not there
        if not there:
            raise database.Unknown("no file yet: the application has stored nothing")

    def _schema(self, reached: str, found: set[str] | None) -> str:
        if self.django:
            return self._of_django()
        if self.layout is None or not self.layout.known:
            return "skipped"
        if reached == "skipped":  # an application that is to have a schema, and has no file yet, has not migrated
            return "behind" if self.fresh and self.layout.behind(()) else "skipped"
        if reached != "ok":
            return "unknown"
        self.unversioned = found is None
        return "behind" if self.layout.behind(found or ()) else "ok"

    def _of_django(self) -> str:
        """Only whether a migration was ever run: which of them, its own command knows."""
        from flagon.inside import django_schema

        try:
            return "behind" if django_schema.never_run(self.django, LIMIT) else "skipped"
        except Exception:  # SQLite's; the application's own errors say more
            return "skipped"

    def migration(self) -> str:
        """What the one-shot program says of itself while it is not done; empty otherwise."""
        try:
            with open(self.state_file, encoding="ascii") as file:
                return file.read(LONGEST_WORD).strip()
        except OSError:
            return ""

    def give_up(self) -> None:
        """The round is over: whoever waits for the database shall not wait on."""
        self.turns += 1
        if self.connection is not None and self.options["kind"] == "postgresql":
            database.cut(self.connection)


def own_checks(application: Any) -> Checks:
    """The application's: its attribute `ready_checks`, name -> callable. Anything else counts as none."""
    found = getattr(application, "ready_checks", None)
    if not isinstance(found, dict):
        return {}
    return {str(name): check for name, check in found.items() if callable(check)}


def verdict(check: Callable[[], Any]) -> str:
    """ "ok", or a word: the check's own (a short text that it returns), or "failed" if it raises or returns False."""
    try:
        answer = check()
    except Exception:
        return "failed"
    if isinstance(answer, str) and answer:
        return answer.splitlines()[0][:LONGEST_WORD]
    return "failed" if answer is False else "ok"


class Round:
    """One round of all checks, in threads that are left alone when the time is up."""

    def __init__(self, checks: Checks, store: Database | None) -> None:
        self.answers: dict[str, str] = {}
        self.names = [*checks, *(store.wanted if store else ())]
        self.store = store
        self.threads = [threading.Thread(target=self._own, args=item, daemon=True) for item in checks.items()]
        if store and store.wanted:
            self.threads.append(threading.Thread(target=self._ask, args=(store,), daemon=True))
        for thread in self.threads:
            thread.start()

    def _own(self, name: str, check: Callable[[], Any]) -> None:
        self.answers[name] = verdict(check)

    def _ask(self, store: Database) -> None:
        self.answers.update(store.ask())

    def wait(self) -> dict[str, str]:
        """All answers within LIMIT; "timeout" for the rest."""
        until = time.monotonic() + LIMIT
        for thread in self.threads:
            thread.join(max(0.0, until - time.monotonic()))
        answers = {name: self.answers.get(name, "timeout") for name in self.names}
        if self.store and any(thread.is_alive() for thread in self.threads):
            self.store.give_up()
        return answers

    @property
    def over(self) -> bool:
        return not any(thread.is_alive() for thread in self.threads)


class Readiness:
    """The newest answers. A caller who comes while a round runs gets those of the last one, at once."""

    def __init__(self, options: dict[str, Any], application: Any) -> None:
        self.checks = own_checks(application)
        self.store = Database(options)
        self.lock = threading.Lock()
        self.running: Round | None = None
        self.answers: dict[str, str] = {}
        self.at = 0.0

    def ask(self) -> dict[str, str]:
        """name -> "ok", "skipped", or what is wrong."""
        # A thread of its own waits here, and perhaps request threads, where a user's nginx file sends /ready to them.
        # Only the very first answer is worth waiting for twice.
        if self.lock.acquire(timeout=0 if self.answers else LIMIT):
            try:
                if time.monotonic() - self.at > FRESH and (self.running is None or self.running.over):
                    self.running = Round(self.checks, self.store)
                    self.answers = self.running.wait()
                    self.at = time.monotonic()
            finally:
                self.lock.release()
        return self.answers or dict.fromkeys([*self.checks, *self.store.wanted], "not asked yet")


def announce(readiness: Readiness, run: str, log: Any) -> None:
    """One line at boot, from the first worker, if the schema is behind and nobody here is to migrate it."""

    def look() -> None:
        store, layout = readiness.store, readiness.store.layout
        if readiness.ask().get("migrations") == "behind" and layout and not readiness.store.migration():
            with contextlib.suppress(FileExistsError):
                os.close(os.open(os.path.join(run, "schema-told"), os.O_CREAT | os.O_EXCL, 0o600))
                made = readiness.store.unversioned
                log.warning(
                    "the database's schema is behind this application's migrations (%s): "
                    "run `flagon migrate` or set MIGRATE=auto%s",
                    f"{layout.tool}; none was ever run in {store.django}" if store.django else layout.tool,
                    f". It has no table {layout.table}: if create_all() made its tables, `stamp head` says which they "
                    "are, and READY_CHECKS=database leaves migrations out"
                    if made
                    else "",
                )

    if readiness.store.layout is not None and not readiness.store.migration():
        threading.Thread(target=look, name="schema", daemon=True).start()
