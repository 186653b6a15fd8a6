"""make audit: the worst of what its sources say, and never clean where one could not be asked."""

import importlib.util
import json
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("audit", Path(__file__).parents[2] / "tools" / "audit.py")
audit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audit)

GOOD = {"name": "flask", "version": "3.1", "vulns": []}
BAD = {"name": "flask", "version": "3.0", "vulns": [{"id": "CVE-1", "fix_versions": ["3.1"]}]}
SKIPPED = {"name": "flask", "skip_reason": "not on PyPI"}


@pytest.mark.parametrize(
    ("rows", "debian", "code", "said"),
    [
        ([GOOD], ("", ""), 0, "1 packages looked up"),
        ([BAD], ("", ""), 1, "flask 3.0: CVE-1, fixed in 3.1"),
        ([GOOD], ("nginx\n", ""), 1, "nginx: a fixed version is there"),
        ([SKIPPED], ("", ""), 2, "COULD NOT LOOK, PyPI knows nothing of: flask"),
        ([GOOD], ("", "error: no route"), 2, "COULD NOT LOOK: error: no route"),
        ([BAD], ("", "error: no route"), 1, "COULD NOT LOOK"),
        (None, ("", ""), 2, "COULD NOT LOOK: it fell over"),
    ],
)
def test_exit_code(monkeypatch, tmp_path, capsys, rows, debian, code, said):
    (tmp_path / "status").write_text("Package: nginx\nStatus: install ok installed\n")
    python = ("", "Traceback\nit fell over") if rows is None else (json.dumps({"dependencies": rows}), "")
    monkeypatch.setattr(audit, "run", lambda words: debian if words[0] == "debsecan" else python)
    assert audit.main(str(tmp_path / "status"), "trixie", "app.txt") == code
    assert said in capsys.readouterr().out
