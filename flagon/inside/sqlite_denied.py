"""SQLite says that it was denied a file, and not which: its path is looked for in the frames of the error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

WORDS = ("unable to open database file", "attempt to write a readonly database")
ENDS = (".db", ".db3", ".sqlite", ".sqlite3")
NAMES = ("cargs", "database", "db", "sqlite", "filename")  # of variables that hold such a path
LONGEST, MOST_CAUSES = 4096, 5


def advice(error: BaseException, was_root: bool = True) -> str:
    """Whose the file or folder is and the line that mends it; empty where the error is something else."""
    if not any(words in str(error) for words in WORDS):
        return ""
    from flagon import permissions, places  # not at each cold start

    uid = os.geteuid()
    for path in dict.fromkeys(_paths(error)):
        folder = os.path.dirname(path)
        if os.path.isdir(path) or (not os.path.isdir(folder) and not path.endswith(ENDS)):
            continue
        if not os.path.isdir(folder):
            return f"uid {uid} runs the application; there is no folder {folder} for {path}; " + permissions.of_one(
                folder, uid, was_root=was_root
            )
        if closed := places.unwritable(path):
            named = ", ".join(f"{one} ({places.owned(one)})" for one in closed)
            return (
                f"uid {uid} runs the application and cannot write {named}: SQLite writes into the file and its folder. "
                + permissions.of_database(closed, uid, was_root, run_as=False)
            )
    return (
        f"uid {uid} runs the application: SQLite writes into the file and into its folder. Keep the file in /data, or "
        "give both to this uid"
    )


def _paths(error: BaseException) -> Iterator[str]:
    """What may be the path, the innermost frame first."""
    one: BaseException | None = error
    for _ in range(MOST_CAUSES):
        if one is None:
            return
        for frame in reversed(list(_frames(one.__traceback__))):
            variables = {**frame.f_locals, "": frame.f_code.co_consts}
            if "site-packages" not in frame.f_code.co_filename:
                variables = {**frame.f_globals, **variables}
            for name, value in list(variables.items()):
                named = any(part in name.lower() for part in NAMES) or not isinstance(value, (str, tuple, list))
                for text in _texts(value):
                    path = text.partition("?")[0].removeprefix("file:")
                    path = path[path.find(":///") + 4 :] if path.startswith("sqlite") and ":///" in path else path
                    if (named or path.endswith(ENDS)) and "/" in path and not set("\n\0:") & set(path[:LONGEST]):
                        yield os.path.abspath(path[:LONGEST])
        one = one.__cause__ or one.__context__


def _frames(trace: TracebackType | None) -> Iterator[Any]:
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _texts(value: Any) -> list[str]:
    """Texts in a variable: itself, what a tuple or list has, a connection's file, an engine's URL."""
    if isinstance(value, (tuple, list)):
        return [text for one in value[:10] for text in _texts(one) if not isinstance(one, (tuple, list))]
    if isinstance(value, (str, os.PathLike)):
        with suppress(Exception):
            return [os.fsdecode(value)]
    with suppress(Exception):  # objects of others
        kind = type(value)
        if kind.__module__ == "sqlite3":
            connection = getattr(value, "connection", value)
            return [str(row[2]) for row in connection.execute("PRAGMA database_list") if row[2]]
        if kind.__module__.startswith("sqlalchemy.engine"):
            return [str(getattr(value, "engine", value).url.database)]
    return []
