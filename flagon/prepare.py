"""What a reload takes: the settings are read again, and what differs is taken, or named because it needs a restart."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from flagon.boot import Boot, BootError
from flagon.handover import Box, application_environment, launcher
from flagon.launch_options import launch_options
from flagon.settings import MASK, PREFIX, SettingsError
from flagon.table import SETTINGS
from flagon.text_file import write

# Secrets have files of their own, which whoever rotates them writes anew.
TAKEN = ("SECRET_KEY", "DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL")


def environment_now(box: Box) -> dict[str, str]:
    """The container's environment, but a secret's file that only root could read keeps what was read then."""
    environ = dict(box.environ)
    for row in SETTINGS.values():
        for name in (PREFIX + row.name, row.name) if row.secret else ():
            path = environ.get(name + "_FILE", "")
            if path and os.path.exists(path) and not os.access(path, os.R_OK):
                text = f"{name}_FILE: uid {os.geteuid()} cannot read {path}: it was read as root; a change of it"
                box.output.record("flagon", "warning", f"{text} needs a restart")
                del environ[name + "_FILE"]
                environ[name] = box.boot.settings.raw.get(row.name) or str(box.boot.values[row.name])
    return environ


class Next:
    """The box as it will be once a reload has gone through: options and environment for gunicorn."""

    def __init__(self, box: Box) -> None:
        self.box, old = box, box.boot
        try:
            self.boot = Boot(environment_now(box), old.directory, box.command, was=old.served)
            self.needs_restart = self._pin(old, self.boot)
            self.boot.packages, self.boot.output = old.packages, box.output
            self.boot.working_directory = old.working_directory
            self.boot.spool_of_start = old.spool
            self.boot.decide(fresh=False)
        except SettingsError as error:
            raise BootError("\n".join(error.errors)) from None
        except (BootError, OSError, ValueError) as error:
            raise BootError(str(error)) from None
        if self.boot.programs != old.programs:
            self.needs_restart.append("programs of the Procfile and of supervisor files")
        if self.boot.run != box.run:
            raise BootError(f"{box.run} can no longer be written")
        self.boot.addresses, self.boot.beside = old.addresses, old.beside
        known = {*old.settings.warnings, *old.warnings}
        self.warnings = [line for line in self.boot.settings.warnings + self.boot.warnings if line not in known]
        self.environment = application_environment(self.boot)
        self.changes = {
            name: text
            for name, text in self.environment.items()
            if text != os.environ.get(name) and name != "FLAGON_SUMMARY"
        }
        self.folder, self.current = os.path.join(box.run, "next"), os.path.join(box.run, "launch.json")
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self.options = {**launch_options(self.boot, box.spool, box.token), "environment": self.changes}
        write(os.path.join(self.folder, "launch.json"), json.dumps(self.options))
        write(os.path.join(self.folder, "gunicorn"), launcher(self.folder, self.boot.python, "run-gunicorn.py"))

    @staticmethod
    def _pin(old: Boot, new: Boot) -> list[str]:
        """Keep what cannot change while the box serves; the names of what should have."""
        named: list[str] = []
        new.debug = old.debug
        for name, value in new.given.items():
            if name == "DATABASE_URL" and not value and old.given[name]:
                named.append("DATABASE_URL (which is gone)")
            elif name in TAKEN or (name == "APP_MODULE" and value == old.given[name]):
                continue
            elif value != old.given[name]:
                named.append(f"{name}={new.settings.shown(name) or '(empty)'}")
            new.settings.set(name, old.values[name], old.settings.sources[name])
        settings = {name for row in SETTINGS for name in (row, PREFIX + row, f"{row}_FILE", f"{PREFIX}{row}_FILE")}
        before, after = old.settings.environment, new.settings.environment
        named += sorted(
            name
            for name in before.keys() | after.keys()
            if name not in settings and before.get(name) != after.get(name)
        )
        new.settings.environment = {**before, **{name: after[name] for name in settings & after.keys()}}
        return named

    def commit(self) -> None:
        """From now on gunicorn, and whatever the box starts, gets these. No file is written: the disk may be full."""
        self.before = (self.box.boot, self.box.options, {name: os.environ.get(name) for name in self.changes})
        kept = os.path.join(self.folder, "before.json")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(kept)
        os.link(self.current, kept)
        os.replace(os.path.join(self.folder, "launch.json"), self.current)
        self._use(self.boot, self.options, self.changes)

    def restore(self) -> None:
        """The reload did not go through after all."""
        os.replace(os.path.join(self.folder, "before.json"), self.current)
        self._use(*self.before)

    def _use(self, boot: Boot, options: dict[str, Any], environment: Mapping[str, str | None]) -> None:
        self.box.adopt(boot, options)
        for name, text in environment.items():
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text

    def taken(self) -> list[str]:
        """Which secrets are new."""
        old = self.box.boot.values
        return [f"{name}={MASK}" for name in TAKEN if self.boot.values[name] != old[name]]
