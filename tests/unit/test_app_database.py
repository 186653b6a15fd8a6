"""The starter's models and migrations, on SQLite and on Postgres; and that nothing connects before it must."""

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from app.database import Model, alembic, db
from app.notes.models import Note


def test_the_migrations_make_what_the_models_say(app):
    with app.app_context():  # which the command line would make
        result = app.test_cli_runner().invoke(args=["db", "check"])
    assert "No changes detected" in result.output
    assert result.exit_code == 0


def test_down_and_up_again(app):
    with app.app_context():
        alembic.downgrade("base")
    with app.app_context():
        assert not sa.inspect(db.engine).has_table("notes")
        alembic.upgrade()
    assert app.test_client().get("/notes").status_code == 200


def test_every_constraint_has_a_name(app):
    with app.app_context():
        found = sa.inspect(db.engine)
        assert found.get_pk_constraint("notes")["name"] == "pk_notes"
        assert [one["name"] for one in found.get_unique_constraints("notes")] == ["uq_notes_seed"]


def test_a_migration_that_fails_leaves_nothing(app):
    def broken(revision, context):
        with Operations.context(context) as op:
            op.create_table("half", sa.Column("id", sa.Integer))
            op.execute("SELECT nonsense")
        return []

    with app.app_context():
        try:
            alembic.run_migrations(broken)
        except sa.exc.DBAPIError:
            pass
        else:
            raise AssertionError("it did not fail")
    with app.app_context():
        assert not sa.inspect(db.engine).has_table("half")


def test_altering_a_table_deletes_nothing_that_refers_to_it(app):
    with app.app_context():
        db.session.add(Note(title="kept", body=""))
        db.session.execute(
            sa.text("CREATE TABLE tags (note_id integer NOT NULL REFERENCES notes (id) ON DELETE CASCADE)")
        )
        db.session.commit()
        db.session.execute(sa.text("INSERT INTO tags SELECT id FROM notes"))
        db.session.commit()

    def alter(revision, context):
        with Operations(context).batch_alter_table("notes", recreate="auto") as table:
            table.alter_column("title", type_=sa.String(200))
        return []

    with app.app_context():
        alembic.run_migrations(alter)
    with app.app_context():
        assert db.session.scalar(sa.text("SELECT count(*) FROM tags")) == 1
        db.session.execute(sa.text("DELETE FROM notes"))
        db.session.commit()
        assert db.session.scalar(sa.text("SELECT count(*) FROM tags")) == 0


def test_new_migrations_do_not_import_the_application(app):
    with app.app_context():
        context = MigrationContext.configure(db.engine.connect(), opts=app.config["ALEMBIC_CONTEXT"])
        rendered = context.opts["render_item"]("type", Note.__table__.c.created_at.type, None)
    assert rendered == "sa.DateTime(timezone=True)"


def test_nothing_connects_before_it_must(make_app, tmp_path):
    path = tmp_path / "app.db"
    app = make_app(f"sqlite:///{path}", upgrade=False)
    away = make_app("postgresql://user:pw@127.0.0.1:1/name", upgrade=False)
    for one in (app, away):
        assert one.test_client().get("/").status_code == 200
    assert not path.exists()
    assert list(Model.metadata.tables) == ["notes"]
