"""The starter on a Postgres that is slow, stopped, restarted, full or not there: 503 in time, and it heals itself."""

import logging
import signal
import socket
import threading
import time

import pytest
import sqlalchemy as sa

from app import postgres
from app.database import alembic, db
from app.notes.models import Note

LIMIT = 1.0


@pytest.fixture
def url(postgres_server):
    return postgres_server.new_database()


@pytest.fixture
def silent():
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"postgresql://flagon:hunter2@127.0.0.1:{server.getsockname()[1]}/name"


def timed(client, path="/notes"):
    start = time.monotonic()
    response = client.get(path)
    return response, time.monotonic() - start


def assert_outage(response):
    assert response.status_code == 503, response.text
    assert response.headers["Retry-After"] == "5"
    assert "hunter2" not in response.text
    assert "database" in response.text


def test_a_stopped_server_costs_one_limit_and_heals(make_app, postgres_server, url):
    app = make_app(url, timeout=LIMIT)
    client = app.test_client()
    assert client.get("/notes").status_code == 200  # a connection lies in the pool: its ping hangs first
    postgres_server.signal_all(signal.SIGSTOP)
    try:
        for path in ("/notes", "/notes/1/edit", "/api/notes"):
            response, seconds = timed(client, path)
            assert_outage(response)
            assert LIMIT * 0.9 < seconds < LIMIT * 1.9
        assert client.get("/").status_code == 200
    finally:
        postgres_server.signal_all(signal.SIGCONT)
    assert client.get("/notes").status_code == 200


def test_a_server_stopped_within_a_request(make_app, postgres_server, url):
    app = make_app(url, timeout=LIMIT)

    @app.get("/twice")
    def twice():
        db.session.scalar(sa.select(sa.func.count(Note.id)))
        postgres_server.signal_all(signal.SIGSTOP)
        for _ in range(3):
            try:
                db.session.scalar(sa.select(sa.func.count(Note.id)))
            except sa.exc.OperationalError:
                db.session.rollback()
        db.session.commit()
        return str(db.session.scalar(sa.select(sa.func.count(Note.id))))

    try:
        response, seconds = timed(app.test_client(), "/twice")
    finally:
        postgres_server.signal_all(signal.SIGCONT)
    assert_outage(response)
    assert seconds < LIMIT * 1.9


def test_all_threads_at_once_stay_in_the_limit(make_app, postgres_server, url):
    app = make_app(url, timeout=LIMIT, threads=2)
    clients = [app.test_client() for _ in range(2)]
    results = []
    threads = [threading.Thread(target=lambda c=c: results.append(timed(c))) for c in clients]
    postgres_server.signal_all(signal.SIGSTOP)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    finally:
        postgres_server.signal_all(signal.SIGCONT)
    assert len(results) == 2
    for response, seconds in results:
        assert_outage(response)
        assert seconds < LIMIT * 1.9


def test_connecting_has_the_same_limit(make_app, silent):
    response, seconds = timed(make_app(silent, upgrade=False, timeout=LIMIT).test_client())
    assert_outage(response)
    assert LIMIT * 0.9 < seconds < LIMIT * 1.9


def test_all_hosts_together_have_the_limit(make_app, silent):
    host = silent.partition("@")[2].partition("/")[0]
    url = "postgresql+psycopg://flagon:hunter2@/name?" + "&".join([f"host={host}"] * 4)
    response, seconds = timed(make_app(url, upgrade=False, timeout=3.0).test_client())
    assert_outage(response)
    assert 2.7 < seconds < 4


@pytest.mark.parametrize("form", ["host={}:{}&host={}:{}", "host={0},{2}&port={1},{3}"])
def test_the_second_host_answers_when_the_first_is_silent(make_app, postgres_server, url, silent, form):
    dead = silent.partition("@")[2].partition("/")[0].split(":")
    hosts = form.format(*dead, "127.0.0.1", postgres_server.port)
    many = f"postgresql+psycopg://flagon:hunter2@/{url.rpartition('/')[2]}?{hosts}"
    make_app(url)
    app = make_app(many, upgrade=False, timeout=5.0)
    response, seconds = timed(app.test_client())
    assert response.status_code == 200
    assert seconds < 5


def test_commands_may_take_longer_than_requests(make_app, url):
    app = make_app(url, timeout=0.3)
    with app.app_context():
        db.session.execute(sa.text("SELECT pg_sleep(0.6)"))


def test_one_slow_answer_ends_the_request(make_app, url):
    app = make_app(url, timeout=0.3)
    app.add_url_rule("/slow", view_func=lambda: str(db.session.scalar(sa.text("SELECT pg_sleep(5)"))))
    response, seconds = timed(app.test_client(), "/slow")
    assert_outage(response)
    assert seconds < 2
    assert app.test_client().get("/notes").status_code == 200


def test_a_restart_between_two_requests_is_not_seen(make_app, postgres_server, url):
    client = make_app(url).test_client()
    assert client.get("/notes").status_code == 200
    postgres_server.stop()
    assert_outage(client.get("/notes"))
    postgres_server.start()
    assert client.get("/notes").status_code == 200
    postgres_server.stop()
    postgres_server.start()
    assert client.get("/notes").status_code == 200


@pytest.mark.parametrize("bad", ["password", "database", "port"])
def test_what_the_log_says_and_what_it_does_not(make_app, url, caplog, bad):
    wrong = {
        "password": url.replace("hunter2", "hunter2wrong"),
        "database": url + "x",
        "port": "postgresql://flagon:hunter2@127.0.0.1:1/name",
    }[bad]
    with caplog.at_level(logging.ERROR):
        assert_outage(make_app(wrong, upgrade=False).test_client().get("/notes"))
    (record,) = caplog.records
    line = record.getMessage()
    assert line.startswith("database: ")
    assert {"password": "authentication failed", "database": "does not exist", "port": "refused"}[bad] in line
    assert "\n" not in line
    assert "hunter2" not in line
    assert record.exc_info is None


def test_too_many_connections(make_app, postgres_server, url):
    app = make_app(url)
    name = url.rpartition("/")[2]
    postgres_server.run("CREATE ROLE guest LOGIN PASSWORD 'hunter2'")
    postgres_server.run(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    postgres_server.run("GRANT ALL ON ALL TABLES IN SCHEMA public TO guest", name)
    guest = make_app(url.replace("flagon:", "guest:"), upgrade=False).test_client()
    assert_outage(guest.get("/notes"))
    postgres_server.run(f"ALTER DATABASE {name} CONNECTION LIMIT 10")
    assert guest.get("/notes").status_code == 200
    assert app.test_client().get("/notes").status_code == 200


def test_a_full_pool_is_an_outage_in_time(make_app, url):
    app = make_app(url, timeout=0.5, threads=1)
    with app.app_context(), db.engine.connect():
        response, seconds = timed(app.test_client())
    assert_outage(response)
    assert seconds < 2


def test_a_session_ended_by_the_administrator(make_app, postgres_server, url):
    app = make_app(url)

    @app.get("/ended")
    def ended():
        pid = db.session.scalar(sa.text("SELECT pg_backend_pid()"))
        postgres_server.run(f"SELECT pg_terminate_backend({pid})")
        return str(db.session.scalar(sa.text("SELECT 1")))

    assert_outage(app.test_client().get("/ended"))
    assert app.test_client().get("/notes").status_code == 200


@pytest.mark.parametrize("schema", ["of_ours", "With Blank", "CamelCase"])
def test_a_schema_holds_tables_and_the_version(make_app, postgres_server, url, schema):
    postgres_server.run(f'CREATE SCHEMA "{schema}"', url.rpartition("/")[2])
    app = make_app(url, schema=schema)
    assert app.test_client().post("/api/notes", json={"title": "here"}).status_code == 201
    assert "here" in app.test_client().get("/notes").text
    with app.app_context():
        assert not alembic.needs_upgrade()
        assert not alembic.needs_revision()
        where = sa.text("SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema = :name")
        found = {table for _, table in db.session.execute(where, {"name": schema})}
    assert found == {"notes", "alembic_version"}


def test_the_search_path_ends_with_the_transaction(make_app, postgres_server, url):
    postgres_server.run("CREATE SCHEMA mine", url.rpartition("/")[2])
    app = make_app(url, schema="mine")
    with app.app_context():
        connection = db.engine.connect()
        raw = connection.connection.cursor()
        assert raw.execute("SHOW search_path").fetchone()[0] == '"$user", public'
        connection.connection.rollback()
        assert connection.exec_driver_sql("SHOW search_path").scalar() == '"mine"'
        connection.close()


def test_a_schema_that_is_not_there_is_said(make_app, url):
    app = make_app(url, upgrade=False, schema="absent")
    response = app.test_client().get("/notes")
    assert response.status_code == 503
    assert "flask db upgrade" in response.text


@pytest.mark.parametrize("pooled", [True, False])
def test_prepared_statements_only_without_a_pooler(make_app, url, pooled):
    app = make_app(url, pooled=pooled)
    with app.app_context(), db.engine.connect() as connection:
        for _ in range(10):
            connection.execute(sa.select(Note.id).where(Note.id == 1))
        count = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar()
    assert (count == 0) is pooled


def test_options_of_the_url_win():
    url = sa.make_url("postgresql+psycopg://host/name?connect_timeout=9&keepalives_idle=7")
    options = postgres.engine_options(url, postgres.Database())["connect_args"]
    assert "connect_timeout" not in options
    assert "keepalives_idle" not in options
    assert options["keepalives"] == 1


def test_a_mistake_of_ours_stays_500(make_app, url):
    app = make_app(url)
    row = "INSERT INTO notes (id, title, body, created_at, updated_at, version) SELECT 1, 'a', '', now(), now(), 1"
    for name, statement in (("wrong", "SELECT nonsense"), ("twice", f"{row} FROM generate_series(1, 2)")):
        app.add_url_rule(f"/{name}", name, lambda statement=statement: str(db.session.execute(sa.text(statement))))
    for path in ("/wrong", "/twice"):
        response = app.test_client().get(path)
        assert response.status_code == 500
        assert "nonsense" not in response.text
