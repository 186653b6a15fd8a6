"""The migrate program beside the box: at the start, before a reload, and after one that was killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flagon.deaths import Death
from flagon.inside.sqlite_lock import cut_off

PROGRAM = "migrate"


class Migration:
    """Starts it, and knows what its end means."""

    def __init__(self, plugin: Any) -> None:
        self.plugin = plugin
        self._then: Callable[[bool], None] | None = None  # a reload waits for its end

    def is_it(self, name: str) -> bool:
        """Whether a program is this one."""
        return name == PROGRAM

    def run(self, then: Callable[[bool], None]) -> None:
        """Bring the schema to head, then call `then` with whether it is there."""
        self._then = then
        self._start()

    def settle_cut_off(self) -> None:
        """A migration of our SQLite file was killed: the gate is shut until the program has undone it."""
        sqlite = self.plugin.box.sqlite
        if self.plugin.port.opened and sqlite and cut_off(sqlite):
            self._start()

    def _start(self) -> None:
        process = self.plugin.process(PROGRAM)
        if not process.pid:
            process.spawn()

    def may_be_tried_again(self, death: Death) -> bool:
        """A migration that was killed is; one that failed is not."""
        return self.is_it(death.name) and death.status < 0

    def ended(self, death: Death) -> bool:
        """Whether that is all there is to say of this end."""
        if not self.is_it(death.name) or death.status < 0:
            return False
        if death.status == 0:
            self._over(True)
            return True
        return self.lived_with(death)

    def lived_with(self, death: Death) -> bool:
        """Whether the old schema is: at a reload the old application serves on, in debug mode somebody is there."""
        debug = self.plugin.box.boot.debug
        if not self.is_it(death.name) or (self._then is None and not debug):
            return False
        if self._then is None:
            text = f"{death.name} {death.how}: it goes on, FLASK_DEBUG is on. Then: flagon migrate"
            self.plugin.output.record("flagon", "error", text)
        self._over(False)
        return True

    def _over(self, good: bool) -> None:
        self.plugin.port.migration("done")
        then, self._then = self._then, None
        if then is not None:
            then(good)
