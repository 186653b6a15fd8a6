"""Brings the schema to head once, however many replicas start: compare, lock, compare again, upgrade, look."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from typing import Any

from flagon.inside import database, notice, report, revisions, sqlite_copy, upgrade
from flagon.inside.migration_lock import CONNECT_LIMIT, POLL, Away, Busy, Lock, away, hold
from flagon.inside.report import say

LONGEST_PAUSE = 5.0
OK, FAILED, AWAY, NOTHING = 0, 1, 75, 78
ENDED_BY_SIGNAL = 128


class Migration:
    """One run. `options` is the runtime's JSON; `once` is `flagon migrate`: bounded, and quiet towards the box."""

    def __init__(self, options: dict[str, Any], once: bool) -> None:
        self.options, self.once = options, once
        self.store = options["direct_database"]
        self.command = options["migrate_command"]
        self.deadline = time.monotonic() + options["database_wait"] if once else None
        self.said = ""
        self.child: subprocess.Popen[bytes] | None = None
        found = revisions.find(options["directory"], options["target"])
        self.layout = found or (revisions.Migrations("command") if self.command else None)

    def run(self) -> int:
        """The exit code: 0 at head, 75 database away or locked for too long, 78 nothing found, else the tool's own."""
        if self.layout is None:
            say(f"no migrations found: looked at {revisions.LOOKED_AT}; MIGRATE_COMMAND names another way", "warning")
            self.tell("done")
            return NOTHING if self.once else OK
        pause = POLL
        while True:
            try:
                code = self.attempt(self.layout)
            except (OSError, sqlite3.Error) as error:  # of the copy: nothing was begun
                say(f"cannot prepare the migration of {self.store['path']}: {error}", "critical")
                self.tell("done")
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
                continue
            if code != AWAY:
                return code

    def attempt(self, layout: revisions.Migrations) -> int:
        """Compare without a lock; only if behind, take it. Raises Away, Busy."""
        if self.at_head(layout) and not self.cut_off():
            say(f"the schema is at head ({layout.tool}): nothing to do")
            self.tell("done")
            return OK
        with hold(self.store, self.deadline, lambda: self.tell("migrating")) as lock:
            if self.cut_off() or not self.at_head(layout):  # another replica may have been first
                self.tell("migrating")
                code = self.upgrade(layout, lock)
                if code:
                    return code
            self.tell("done")
        return OK

    def cut_off(self) -> bool:
        return self.store["kind"] == "sqlite" and sqlite_copy.left_behind(self.store["path"])

    def at_head(self, layout: revisions.Migrations) -> bool:
        """False where nothing is known of the revisions: then the command decides, each time."""
        if not layout.known:
            return False
        if self.store["kind"] == "sqlite" and not os.path.exists(self.store["path"]):
            return False
        try:
            with database.closing(database.connect(self.store, CONNECT_LIMIT)) as connection:
                found = database.revisions(connection, self.store, layout.table, layout.schema)
        except database.Unknown as error:
            say(f"cannot compare with the database ({error}): migrating without a look and without a lock", "warning")
            return False
        except Exception as error:
            if type(error).__name__ == "ProgrammingError":  # libpq's own refusal of a key in the URL
                raise SystemExit(refused(error)) from None
            raise away(error) from None
        return not layout.behind(found or ())

    def upgrade(self, layout: revisions.Migrations, lock: Lock) -> int:
        """Under the lock. A failure leaves the previous schema: Postgres by its transaction, SQLite by the copy."""
        started = time.monotonic()
        say(f"migrating ({self.command or layout.tool})")
        if self.store["kind"] == "sqlite" and self.store["path"]:
            with sqlite_copy.guarded(self.store["path"], say) as outcome:
                code = outcome.code = self.run_tool(layout)
        else:
            code = self.run_tool(layout)
        if code == AWAY or (code and lock.lost()):
            raise Away("the database went away during the migration, which was rolled back")
        if code:
            if code != upgrade.NOT_LOADED:  # which has been said by whoever could not load it
                say(f"the migration FAILED with code {code}: the schema is as it was", "critical")
            return code
        say(f"migrated in {time.monotonic() - started:.1f} s")
        return OK

    def run_tool(self, layout: revisions.Migrations) -> int:
        """The tool's exit code; FAILED if it says 0 and the schema is not at head all the same."""
        own = [sys.executable, *sys.argv[:2], "--upgrade"]
        words = ["/bin/sh", "-c", self.command] if self.command else own
        environment = {**os.environ, **self.options["direct_environment"]}
        self.child = subprocess.Popen(words, cwd=self.options["directory"], env=environment, start_new_session=True)
        try:
            code = self.child.wait()
        finally:
            end_group(self.child)
            self.child = None
        if code < 0:
            say(f"the migration was killed by {signal.Signals(-code).name}", "error")
            return ENDED_BY_SIGNAL - code
        if code == 0 and layout.known and self.can_ask() and not self.at_head(layout):
            say("the migration ended with 0, and the schema is not at head", "error")
            return FAILED
        return code

    def can_ask(self) -> bool:
        with contextlib.suppress(database.Unknown):
            if self.store["kind"] == "postgresql":
                database.driver()
            return self.store["kind"] == "postgresql" or bool(self.store["path"])
        return False

    def tell(self, state: str) -> None:
        """Where we stand: supervisord's plug-in shuts and opens the gate, and /ready says it."""
        if not self.once or self.store["kind"] == "sqlite":
            notice.send({"event": "migration", "state": state})


def refused(error: Exception) -> int:
    say(f"DATABASE_URL is refused by libpq: {str(error).strip()}", "critical")
    return NOTHING


def end_group(child: subprocess.Popen[bytes]) -> None:
    """Whatever the tool started ends with it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def main(arguments: list[str]) -> int:
    """run-migrate.py OPTIONS [--once | --upgrade]."""
    with open(arguments[1], encoding="utf-8") as file:
        options = json.load(file)
    notice.set_up(options["run"])
    report.set_up(options)
    if "--upgrade" in arguments:
        layout = revisions.find(options["directory"], options["target"])
        return upgrade.run(options, layout) if layout else FAILED
    # A stop ends the tool, and undoes what it has not finished.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: sys.exit(ENDED_BY_SIGNAL + received))
    migration = Migration(options, "--once" in arguments)
    try:
        return migration.run()
    finally:
        if migration.once:  # also after a failure: the previous schema is served on
            migration.tell("done")
