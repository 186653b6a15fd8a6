"""Brings the schema to head once, however many replicas start: compare, lock, compare again, upgrade, look."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time
from typing import Any

from flagon.inside import database, notice, oom, packages, report, revisions, sqlite_copy, tool, upgrade
from flagon.inside.migration_lock import ANSWER_LIMIT, CONNECT_LIMIT, POLL, Away, Busy, Lock, away, hold
from flagon.inside.report import say
from flagon.inside.upgrade import AWAY, FAILED

LONGEST_PAUSE = 5.0
OK, NOTHING = 0, 78
ENDED_BY_SIGNAL = 128


class Broken(Exception):
    """No waiting will mend it; the text says what is wrong."""


class Migration:
    """One run. `options` is the runtime's JSON; `once` is `flagon migrate`: bounded, and quiet towards the box."""

    def __init__(self, options: dict[str, Any], once: bool) -> None:
        self.options, self.once = options, once
        self.store = options["direct_database"]
        self.command = options["migrate_command"]
        self.deadline = time.monotonic() + options["database_wait"] if once else None
        self.said = ""
        found = revisions.find(options["directory"], options["target"])
        self.layout = found or (revisions.Migrations("command") if self.command else None)
        path = self.store["path"]
        # A relative path is our reading of it; where we cannot write, the file is the application's own business.
        self.file = path if path and os.access(os.path.dirname(path), os.W_OK) else ""

    def run(self) -> int:
        """The exit code: 0 at head, 75 database away or locked for too long, 78 nothing found, else the tool's own."""
        if self.layout is None:
            say(f"no migrations found: looked at {revisions.LOOKED_AT}; MIGRATE_COMMAND names another way", "warning")
            self.tell("done")
            return NOTHING if self.once else OK
        pause = POLL
        while True:
            try:
                return self.attempt(self.layout)
            except Broken as error:
                say(str(error), "critical")
                return FAILED
            except (OSError, sqlite3.Error, sqlite_copy.Failed) as error:  # of the copy: nothing was begun
                say(f"cannot prepare the migration of {self.file}: {error}", "critical")
                return FAILED
            except (Away, Busy) as error:
                self.tell("waiting" if isinstance(error, Away) else "migrating")
                if str(error) != self.said:
                    self.said = str(error)
                    say(f"waiting: {error}", "warning")
                if self.deadline is not None and time.monotonic() + pause > self.deadline:
                    say(f"gave up after DATABASE_WAIT={self.options['database_wait']:g} s: {error}", "error")
                    return AWAY
                time.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 1.5)

    def attempt(self, layout: revisions.Migrations) -> int:
        """Compare without a lock; only if behind, take it. Raises Away, Busy, Broken."""
        only_settle = not self.once and self.options["migrate"] == "off"
        cut_off = bool(self.file) and sqlite_copy.left_behind(self.file)
        if not cut_off and (only_settle or self.at_head(layout)):
            say(f"the schema is at head ({layout.tool}): nothing to do", "debug" if only_settle else "info")
            self.tell("done")
            return OK
        with hold(self.store, self.file, self.deadline, lambda: self.tell("migrating")) as lock:
            if self.file:
                sqlite_copy.settle(self.file, layout.table, say)
            if not only_settle and not self.at_head(layout):  # another replica may have been first
                self.tell("migrating")
                code = self.upgrade(layout, lock)
                if code:
                    return code
            self.tell("done")
        return OK

    def at_head(self, layout: revisions.Migrations) -> bool | None:
        """False where nothing is known of the revisions: then the tool decides, each time; None where this database
        cannot be asked from here. Raises Away, Broken."""
        if not layout.known or (self.store["kind"] == "sqlite" and not os.path.exists(self.store["path"])):
            return False
        try:
            with (
                database.closing(database.connect(self.store, CONNECT_LIMIT)) as connection,
                database.cut_after(connection, ANSWER_LIMIT),
            ):
                found = database.revisions(connection, self.store, layout.table, layout.schema)
        except database.Unknown as error:
            if str(error) != self.said:
                self.said = str(error)
                say(f"migrating without a look and without a lock: {error}", "warning")
            return None
        except Exception as error:
            if type(error).__name__ == "ProgrammingError":  # libpq's own refusal of a key in the URL
                raise SystemExit(refused(error)) from None
            if database.lost(error) or database.word(error) == "locked":
                raise away(error) from None
            raise Broken(f"cannot read the schema's revision from {layout.table}: {database.word(error)}") from None
        return not layout.behind(found or ())

    def upgrade(self, layout: revisions.Migrations, lock: Lock) -> int:
        """Under the lock. A failure leaves the previous schema: Postgres by its transaction, SQLite by the copy."""
        started = time.monotonic()
        say(f"migrating ({'MIGRATE_COMMAND' if self.command else layout.tool})")
        if self.file:
            with sqlite_copy.guarded(self.file, layout.table, say) as outcome:
                code = outcome.code = self.run_tool(layout)
        else:
            code = self.run_tool(layout)
        if (code == AWAY and not self.command) or (code and lock.lost()):
            raise Away("the database went away during the migration")
        if code:
            if self.command or code != upgrade.NOT_LOADED:  # which has been said by whoever could not load it
                say(f"the migration FAILED with code {code}: the schema is as it was", "critical")
            return code
        say(f"migrated in {time.monotonic() - started:.1f} s")
        return OK

    def run_tool(self, layout: revisions.Migrations) -> int:
        """The tool's exit code; FAILED if a command says 0 and the schema is not at head all the same."""
        environment = {**os.environ, **self.options["direct_environment"]}
        words = [sys.executable, *sys.argv[:2], "--command" if self.command else "--upgrade"]
        code = tool.run(words, self.options["directory"], environment, own_session=self.once)
        why = oom.why(code)
        if code < 0 or why:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            say(f"the migration {how}{why and ': '}{why}", "error")
        if code < 0:
            return ENDED_BY_SIGNAL - code
        if code == 0 and layout.known and self.at_head(layout) is False:
            if self.command:  # Flask-DB's own says 0 whatever Alembic says
                say("the migration ended with 0, and the schema is not at head", "error")
                return FAILED
            say(f"the migration ended well, and DATABASE_URL has no such revision in {layout.table}: does it use "
                "another database or table? Then set READY_CHECKS=database", "warning")  # fmt: skip
        return code

    def tell(self, state: str) -> None:
        """Where we stand: supervisord's plug-in shuts and opens the gate, and /ready says it."""
        if not self.once:
            notice.send({"event": "migration", "state": state})


def refused(error: Exception) -> int:
    say(f"DATABASE_URL is refused by libpq: {str(error).strip()}", "critical")
    return NOTHING


def main(arguments: list[str]) -> int:
    """run-migrate.py OPTIONS [--once | --upgrade | --command]."""
    with open(arguments[1], encoding="utf-8") as file:
        options = json.load(file)
    notice.set_up(options["run"])
    packages.origin = options["packages"]
    report.set_up(options)
    if "--command" in arguments:
        tool.die_with_parent()
        os.execv("/bin/sh", ["/bin/sh", "-c", options["migrate_command"]])
    if "--upgrade" in arguments:
        tool.die_with_parent()
        layout = revisions.find(options["directory"], options["target"])
        return upgrade.run(options, layout) if layout else FAILED
    # A stop ends the tool, and undoes what it has not finished.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: sys.exit(ENDED_BY_SIGNAL + received))
    return Migration(options, "--once" in arguments).run()
