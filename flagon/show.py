"""`flagon config`: every setting as a table, JSON, the README's Markdown, a JSON schema; or nginx's fragments."""

from __future__ import annotations

import json
import os

from flagon import USAGE_ERROR
from flagon.table import GROUPS, SETTINGS, Setting


def run(arguments: list[str]) -> int:
    """Print what the option asks for."""
    option = arguments[0] if arguments else ""
    if option == "--markdown":
        print(markdown(), end="")
    elif option == "--schema":
        print(json.dumps(schema(), indent=2))
    elif option in ("", "--json", "--fragments"):
        _effective(option)
    else:
        print("usage: flagon config [--json | --markdown | --schema | --fragments]")
        return USAGE_ERROR
    return 0


def _effective(option: str) -> None:
    from flagon import listening
    from flagon.boot import Boot
    from flagon.handover import nginx_box
    from flagon.render import fragments
    from flagon.site import Loaded

    boot = Boot(os.environ, os.getcwd(), keeps=False)
    boot.insists = False
    boot.decide(fresh=False)
    if boot.values["PORT"] is None:
        boot.settings.set("PORT", listening.DEFAULT_PORT, "default")
    run = _serving(boot.values["RUNTIME_DIR"] or "")
    if option == "--fragments" and run:
        print(_in_force(os.path.join(run, "fragments")), end="")
        return
    if option == "--fragments":
        listen = [f"0.0.0.0:{boot.values['PORT']}"]
        for name, text in fragments(nginx_box(boot, listen, boot.spool.folder, Loaded())).items():
            print(f"# fragments/{name}\n{text}")
        return
    rows = _decided(run) or boot.settings.rows()
    if option == "--json":
        print(json.dumps({name: {"value": value, "source": source} for name, value, source in rows}, indent=2))
        return
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, source in rows:
        print(f"{name:<{widths[0]}}  {value or '-':<{widths[1]}}  {source}")


def _serving(runtime: str) -> str:
    """The run directory of the box that serves in this container; empty if none does."""
    from flagon import places

    found = places.in_run_directories(runtime, "supervisord.pid")
    return os.path.dirname(found[0]) if found and _lives(found[0]) else ""


def _in_force(folder: str) -> str:
    """The fragments that its nginx has."""
    from flagon import text_file

    names = sorted(name for name in os.listdir(folder) if name.endswith(".conf")) if os.path.isdir(folder) else []
    return "".join(f"# fragments/{name}\n{text_file.read(os.path.join(folder, name))}\n" for name in names)


def _decided(run: str) -> list[tuple[str, str, str]]:
    """What that box has decided, its start command and gunicorn's file included, which nobody else here knows."""
    if not run:
        return []
    from flagon import text_file

    try:
        return [
            (str(name), str(value), str(source))
            for name, value, source in json.loads(text_file.read(f"{run}/settings.json"))
        ]
    except (OSError, ValueError, TypeError):
        return []


def _lives(pid_file: str) -> bool:
    try:
        with open(pid_file, encoding="ascii") as file:
            os.kill(int(file.read()), 0)
    except (OSError, ValueError):
        return False
    return True


def _accepted(row: Setting) -> str:
    if row.choices:
        return ", ".join(row.choices)
    bounds = (
        f" {row.low:g} to {row.high:g}" if row.low is not None and row.high is not None and row.high < 10**6 else ""
    )
    words = {"switch": "on, off", "size": "size", "seconds": "seconds", "integer": "number", "workers": "number"}
    return words.get(row.kind, row.kind.replace("_", " ")) + (
        bounds if row.kind in ("integer", "seconds", "workers") else ""
    )


def markdown() -> str:
    """The README's table."""
    lines = ["| name | default | accepted | what it does |", "| --- | --- | --- | --- |"]
    for group, rows in GROUPS:
        lines.append(f"| **{group}** | | | |")
        for row in rows:
            default = f"`{row.default}`" if row.default else ""
            lines.append(f"| `{row.name}` | {default} | {_accepted(row)} | {row.sentence} |")
    return "\n".join(lines) + "\n"


def schema() -> dict[str, object]:
    """A JSON schema of the environment: every value is a string, as environment variables are."""
    properties: dict[str, object] = {}
    for row in SETTINGS.values():
        entry: dict[str, object] = {"type": "string", "description": row.sentence}
        if row.choices:
            entry["enum"] = list(row.choices)
        if row.default:
            entry["default"] = row.default
        properties[row.name] = entry
        properties["FLAGON_" + row.name] = entry
        if row.secret:
            for name in (row.name, "FLAGON_" + row.name):
                properties[name + "_FILE"] = {"type": "string", "description": f"File that holds {row.name}."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": properties}
