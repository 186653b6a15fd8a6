"""Which migration tool and which revisions, from files alone."""

from pathlib import Path

import pytest

from flagon.inside import revisions

ENV = "from alembic import context\n"
FLASK_ENV = "from flask import current_app\n"


def write(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def revision(name: str, after: str = "None", more: str = "") -> str:
    return f"revision = {name!r}\ndown_revision = {after}\n{more}"


@pytest.mark.parametrize(
    ("files", "tool", "folder", "heads"),
    [
        ({"alembic.ini": "[alembic]\nscript_location = alembic\n", "alembic/versions/a.py": revision("a1")},
         "alembic", "alembic", {"a1"}),
        ({"alembic.ini": "[alembic]\nscript_location = %(here)s/store/migrations\n",
          "store/migrations/versions/a.py": revision("a1")}, "alembic", "store/migrations", {"a1"}),
        ({"alembic.ini": "[alembic]\nscript_location = s\nversion_locations = one, two\n",
          "one/a.py": revision("a1"), "two/b.py": revision("b1")}, "alembic", "s", {"a1", "b1"}),
        # Flask-DB: alembic.ini at the top, everything else in db/.
        ({"alembic.ini": "[alembic]\nscript_location = db\n", "db/env.py": ENV, "db/versions/a.py": revision("a1")},
         "alembic", "db", {"a1"}),
        ({"db/alembic.ini": "[alembic]\n", "db/env.py": ENV, "db/versions/a.py": revision("a1")},
         "alembic", "db", {"a1"}),
        ({"migrations/alembic.ini": "[alembic]\n", "migrations/env.py": FLASK_ENV,
          "migrations/versions/a.py": revision("a1")}, "flask-migrate", "migrations", {"a1"}),
        ({"alembic.ini": "[alembic]\nscript_location = shop:store/migrations\n",
          "shop/store/migrations/versions/a.py": revision("a1")}, "alembic", "shop/store/migrations", {"a1"}),
        ({"app/migrations/alembic.ini": "[alembic]\n", "app/migrations/env.py": FLASK_ENV,
          "app/migrations/versions/a.py": revision("a1"), "app/migrations/versions/archive/old.py": revision("old")},
         "flask-migrate", "app/migrations", {"a1"}),
        ({"app/migrations/1_a.py": revision("1"), "app/migrations/script.py.mako": ""},
         "flask-alembic", "app/migrations", {"1"}),
    ],
    ids=["bare", "here", "locations", "flask-db", "db-ini", "flask-migrate", "package", "in-package", "flask-alembic"],
)  # fmt: skip
def test_finds_the_tool_by_its_files(tmp_path, files, tool, folder, heads):
    found = revisions.find(write(tmp_path, files), "app:create_app()")
    assert (found.tool, found.folder, found.heads) == (tool, str(tmp_path / folder), heads)


def test_a_django_project_is_its_manage_py(tmp_path):
    manage = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"
    folder = write(tmp_path, {"manage.py": manage, "notes/migrations/0001_initial.py": "class Migration: pass\n"})
    found = revisions.find(folder, "shop.wsgi:application")
    assert (found.tool, found.config, found.known) == ("django", f"{folder}/manage.py", frozenset())
    (tmp_path / "manage.py").write_text("from flask.cli import FlaskGroup\n")
    assert revisions.find(folder, "shop.wsgi:application") is None


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"migrations/0001_initial.py": "class Migration: pass\n"},  # Django's
        {"app/migrations/readme.py": "x = 1\n"},
        {"db/schema.sql": ""},
    ],
)
def test_finds_nothing_where_there_is_nothing(tmp_path, files):
    assert revisions.find(write(tmp_path, files), "app:app") is None


def test_reads_annotated_merged_dependent_and_broken_revisions(tmp_path):
    files = {
        "alembic.ini": "[alembic]\nscript_location = m\nrecursive_version_locations = true\n",
        "m/versions/a.py": 'revision: str = "a"\ndown_revision: str | None = None\n',
        "m/versions/b.py": revision("b", "'a'"),
        "m/versions/c.py": revision("c", "'a'"),
        "m/versions/deep/d.py": revision("d", "('b', 'c')"),
        "m/versions/e.py": revision("e", "None", "depends_on = 'd'\n"),
        "m/versions/f.py": "this is no Python",
        "m/versions/__pycache__/g.py": revision("g"),
    }
    found = revisions.find(write(tmp_path, files), "app:app")
    assert found.known == {"a", "b", "c", "d", "e"}
    assert found.heads == {"e"}


def test_imports_nothing(tmp_path):
    files = {"alembic.ini": "[alembic]\nscript_location = m\n"}
    files["m/versions/a.py"] = "raise SystemExit\n" + revision("a")
    assert revisions.find(write(tmp_path, files), "app:app").heads == {"a"}


def test_takes_the_version_table_that_env_py_names(tmp_path):
    files = {"alembic.ini": "[alembic]\nscript_location = m\n", "m/versions/a.py": revision("a")}
    files["m/env.py"] = 'context.configure(version_table="shop_version", version_table_schema="shop")\n'
    found = revisions.find(write(tmp_path, files), "app:app")
    assert (found.table, found.schema) == ("shop_version", "shop")


@pytest.mark.parametrize(
    ("current", "behind"),
    [
        ([], True),
        (["a"], True),
        (["b"], False),
        (["a", "b"], False),
        (["z"], False),  # a newer release has migrated already
    ],
)
def test_behind_means_an_older_revision_of_ours(current, behind):
    layout = revisions.Migrations("alembic", heads=frozenset("b"), known=frozenset("ab"))
    assert layout.behind(current) is behind


def test_one_branch_of_two_is_behind():
    layout = revisions.Migrations("alembic", heads=frozenset("bc"), known=frozenset("abc"))
    assert layout.behind("b")
    assert not layout.behind("bc")


def test_a_version_table_named_by_a_variable_is_not_guessed(tmp_path):
    files = {"alembic.ini": "[alembic]\nscript_location = m\n", "m/versions/a.py": revision("a")}
    files["m/env.py"] = "context.configure(version_table=TABLE)\n"
    found = revisions.find(write(tmp_path, files), "app:app")
    assert (found.tool, found.known) == ("alembic", frozenset())
    assert not found.behind([])
