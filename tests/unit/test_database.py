"""The database URL: what is accepted, what the application gets, what libpq and SQLAlchemy get, what a refusal says."""

# Tables, a row a line, however long.
# ruff: noqa: E501, C408

import json
import os
import random
import re
import sys
from importlib import metadata
from urllib.parse import unquote

import pytest

from flagon import database, environments, postgres_url
from flagon.boot import Boot, BootError
from flagon.database import masked, read
from flagon.foreign_keys import FOREIGN
from flagon.handover import application_environment
from flagon.settings import SettingsError, resolve

HERE = os.path.abspath(__file__)
SECRET = "hunter2"
try:
    ESCAPES_IN_PATHS = (
        int(metadata.version("sqlalchemy").split(".")[1]) >= 1
    )  # 2.0, for old Pythons, takes them literally
except metadata.PackageNotFoundError:
    ESCAPES_IN_PATHS = False

# text -> libpq's keywords; everything else of the row as keywords of its own
GOOD = [
    # schemes and repairs
    ("postgresql://shop:pw@db:5433/shop", dict(user="shop", password="pw", host="db", port="5433", dbname="shop")),
    ("postgres://shop:pw@db/shop", dict(user="shop", password="pw", host="db", dbname="shop")),
    ("postgresql+psycopg://shop@db/shop", dict(user="shop", host="db", dbname="shop")),
    ("postgresql+psycopg2://shop@db/shop", dict(user="shop", host="db", dbname="shop")),
    ("postgresql+asyncpg://shop@db/shop", dict(user="shop", host="db", dbname="shop")),
    ("postgres+psycopg2://shop@db/shop", dict(user="shop", host="db", dbname="shop")),
    (' "postgres://shop@db/shop" ', dict(user="shop", host="db", dbname="shop")),
    ("'postgres://shop@db/shop'\n", dict(user="shop", host="db", dbname="shop")),
    # parts that are missing
    ("postgresql://", {}), ("postgresql:///shop", dict(dbname="shop")), ("postgresql://db", dict(host="db")),
    ("postgresql://db/", dict(host="db")), ("postgresql://db:5432", dict(host="db", port="5432")), ("postgresql://db:/shop", dict(host="db", dbname="shop")),
    ("postgresql://shop@/shop", dict(user="shop", dbname="shop")), ("postgresql://shop:@db/x", dict(user="shop", host="db", dbname="x")),
    ("postgresql://:pw@db/x", dict(password="pw", host="db", dbname="x")), ("postgresql://@db/x", dict(host="db", dbname="x")),
    # names
    ("postgresql://db.eu-west-1.example.com./x", dict(host="db.eu-west-1.example.com.", dbname="x")), ("postgresql://my_db/x", dict(host="my_db", dbname="x")),
    ("postgresql://datenb\u00e4nk.example/x", dict(host="datenb\u00e4nk.example", dbname="x")), ("postgresql://10.0.0.5:65535/x", dict(host="10.0.0.5", port="65535", dbname="x")),
    ("postgresql://db/a%2Fb", dict(host="db", dbname="a/b")), ("postgresql://db/my%20shop", dict(host="db", dbname="my shop")), ("postgresql://u:p@db:5/50%25x%40y", dict(user="u", password="p", host="db", port="5", dbname="50%x@y")), ("postgresql://db/my-shop.v2", dict(host="db", dbname="my-shop.v2")),
    ("postgresql://name%40server:pw@server.postgres.database.azure.com/x", dict(user="name@server", password="pw", host="server.postgres.database.azure.com", dbname="x")),
    ("postgresql://postgres.ref:pw@aws-0-eu.pooler.supabase.com:6543/postgres", dict(user="postgres.ref", password="pw", host="aws-0-eu.pooler.supabase.com", port="6543", dbname="postgres")),
    # passwords, escaped and raw
    ("postgresql://u:p%40s%3As%2F%3F%23%25@db/x", dict(user="u", password="p@s:s/?#%", host="db", dbname="x")),
    ("postgresql://u:p@ss@db/x", dict(user="u", password="p@ss", host="db", dbname="x")), ("postgresql://u:a:b:c@db/x", dict(user="u", password="a:b:c", host="db", dbname="x")),
    ("postgresql://u:a/b@db/x", dict(user="u", password="a/b", host="db", dbname="x")), ("postgresql://u:a#b@db/x", dict(user="u", password="a#b", host="db", dbname="x")),
    ("postgresql://u:a?b@db/x", dict(user="u", password="a?b", host="db", dbname="x")), ("postgresql://u:a?b@c@db/x?sslmode=require", dict(user="u", password="a?b@c", host="db", dbname="x", sslmode="require")),
    ("postgresql://u:100%@db/x", dict(user="u", password="100%", host="db", dbname="x")), ("postgresql://u:%zz%4@db/x", dict(user="u", password="%zz%4", host="db", dbname="x")),
    ("postgresql://u:%(here)s@db/x", dict(user="u", password="%(here)s", host="db", dbname="x")), ("postgresql://u:$uri;\"'\\@db/x", dict(user="u", password="$uri;\"'\\", host="db", dbname="x")),
    ("postgresql://u:a+b c@db/x", dict(user="u", password="a+b c", host="db", dbname="x")), ("postgresql://u:%25%20%28here%29@db/x", dict(user="u", password="% (here)", host="db", dbname="x")),
    ("postgresql://u:p%C3%A4\u00df@db/x", dict(user="u", password="p\u00e4\u00df", host="db", dbname="x")), ("postgresql://u:[a]@db/x", dict(user="u", password="[a]", host="db", dbname="x")),
    ("postgresql://u:${PW}@db/x", dict(user="u", password="${PW}", host="db", dbname="x")),
    # sockets
    ("postgresql://u:p@/x?host=/cloudsql/proj:region:inst", dict(user="u", password="p", dbname="x", host="/cloudsql/proj:region:inst")),
    ("postgresql://u:p@%2Fvar%2Frun%2Fpostgresql/db", dict(user="u", password="p", host="/var/run/postgresql", dbname="db")),
    ("postgresql:///x?host=/var/run/postgresql&port=5433", dict(dbname="x", host="/var/run/postgresql", port="5433")),
    ("postgresql://u@:5433/x?host=%2Ftmp", dict(user="u", dbname="x", host="/tmp", port="5433")), ("postgresql:///x?host=@abstract", dict(dbname="x", host="@abstract")),
    # several hosts
    ("postgresql://u:p@h1:5432,h2:5433/x", dict(user="u", password="p", host="h1,h2", port="5432,5433", dbname="x")),
    ("postgresql://u:p@h1,h2/x", dict(user="u", password="p", host="h1,h2", port="5432,5432", dbname="x")), ("postgresql://h1,h2:5433/x", dict(host="h1,h2", port="5432,5433", dbname="x")),
    ("postgresql://u@/x?host=a:1&host=b:2", dict(user="u", dbname="x", host="a,b", port="1,2")), ("postgresql://u@/x?host=a,b&port=1,2", dict(user="u", dbname="x", host="a,b", port="1,2")),
    ("postgresql:///x?host=a&host=b&port=5433", dict(dbname="x", host="a,b", port="5433,5433")), ("postgresql:///x?host=a:1,b", dict(dbname="x", host="a,b", port="1,5432")),
    ("postgresql://[::1]:5432,h2:5433/x?target_session_attrs=read-write", dict(host="::1,h2", port="5432,5433", dbname="x", target_session_attrs="read-write")),
    ("postgresql://u:a,b@h1:1,h2:2/x", dict(user="u", password="a,b", host="h1,h2", port="1,2", dbname="x")),
    # IPv6
    ("postgresql://[::1]/x", dict(host="::1", dbname="x")), ("postgresql://u:p@[2001:db8::7]:5433/x", dict(user="u", password="p", host="2001:db8::7", port="5433", dbname="x")),
    ("postgresql://[fe80::1%25eth0]/x", dict(host="fe80::1%eth0", dbname="x")), ("postgresql://[::ffff:10.0.0.1]/x", dict(host="::ffff:10.0.0.1", dbname="x")),
    # libpq's own keys pass, unknown ones too
    ("postgresql://db/x?sslmode=verify-full&sslrootcert=" + HERE, dict(host="db", dbname="x", sslmode="verify-full", sslrootcert=HERE)),
    ("postgresql://db/x?sslmode=verify-full&sslrootcert=system", dict(host="db", dbname="x", sslmode="verify-full", sslrootcert="system")),
    ("postgresql://db/x?sslmode=require&channel_binding=require", dict(host="db", dbname="x", sslmode="require", channel_binding="require")),
    ("postgresql://db/x?options=-c%20geqo%3Doff+-c+jit=off", dict(host="db", dbname="x", options="-c geqo=off -c jit=off")), ("postgresql://db/x?options=endpoint%3Dep-cool", dict(host="db", dbname="x", options="endpoint=ep-cool")),
    ("postgresql://db/x?application_name=a@b&connect_timeout=3", dict(host="db", dbname="x", application_name="a@b", connect_timeout="3")), ("postgresql://db:5432/x?application_name=a@b", dict(host="db", port="5432", dbname="x", application_name="a@b")),
    ("postgresql://?host=db&user=u&password=p&dbname=x", dict(host="db", user="u", password="p", dbname="x")), ("postgresql://db/x?user=u&password=a%26b&database=y", dict(host="db", dbname="y", user="u", password="a&b")),
    ("postgresql://db/x?application_name=&", dict(host="db", dbname="x")), ("postgresql://db/x?", dict(host="db", dbname="x")),
    # other libraries' keys
    ("postgresql://db/x?ssl=true", dict(host="db", dbname="x", sslmode="require")), ("postgresql://db/x?ssl=verify-full", dict(host="db", dbname="x", sslmode="verify-full")), ("postgresql://db/x?ssl=1&sslmode=verify-ca", dict(host="db", dbname="x", sslmode="verify-ca")),
]  # fmt: skip

FOREIGN_KEYS = [
    # query, dropped, schema, pooled
    ("pgbouncer=true&connection_limit=1", ("pgbouncer", "connection_limit"), "", True), ("pgbouncer=false", ("pgbouncer",), "", False), ("pgbouncer", (), "", False),
    ("schema=shop", ("schema",), "shop", False), ("schema=shop,public&pool_timeout=0", ("schema", "pool_timeout"), "shop,public", False), ("schema=%22my-shop%22", ("schema",), '"my-shop"', False),
    ("currentSchema=shop&prepareThreshold=0", ("currentSchema", "prepareThreshold"), "shop", False), ("search_path=shop", ("search_path",), "shop", False), ("ssl=false", ("ssl",), "", False),
    ("serverVersion=16.2 (Debian 16.2-1)&charset=utf8", ("serverVersion", "charset"), "", False), ("supa=base-pooler.x&workaround=supabase-pooler.vercel", ("supa", "workaround"), "", False),
    ("statement_cache_size=0&prepared_statement_cache_size=0&command_timeout=5", ("statement_cache_size", "prepared_statement_cache_size", "command_timeout"), "", False),
    ("statusColor=686B6F&env=local&name=My%20DB&tLSMode=0&usePrivateKey=false&safeModeLevel=0&advancedSafeModeLevel=0&driverVersion=0&lazyload=false", ("statusColor", "env", "name", "tLSMode", "usePrivateKey", "safeModeLevel", "advancedSafeModeLevel", "driverVersion", "lazyload"), "", False),
    ("uselibpqcompat=true", ("uselibpqcompat",), "", False), ("pool_size=5&max_overflow=2&pool=3", ("pool_size", "max_overflow", "pool"), "", False), ("max=1&max=2", ("max",), "", False),
]  # fmt: skip

SQLITE = [
    # text, the file ("" is memory), SQLAlchemy's form
    ("sqlite://", "", "sqlite://"), ("sqlite:///:memory:", "", "sqlite://"), ("sqlite:///", "", "sqlite://"), ("sqlite://:memory:", "", "sqlite://"),
    ("sqlite:///app.db", "/srv/app.db", "sqlite:////srv/app.db"), ("sqlite:///./data/../app.db", "/srv/app.db", "sqlite:////srv/app.db"), ("sqlite:////var/x/app.db", "/var/x/app.db", "sqlite:////var/x/app.db"),
    ("sqlite+pysqlite:////var/x/app.db", "/var/x/app.db", "sqlite:////var/x/app.db"), ("sqlite+aiosqlite:///app.db", "/srv/app.db", "sqlite:////srv/app.db"),
    ("'sqlite:////var/x/app.db?timeout=10'", "/var/x/app.db", "sqlite:////var/x/app.db?timeout=10"), ("sqlite:////var/x/50%25%3F.db", "/var/x/50%?.db", "sqlite:////var/x/50%25%3F.db"),
    ("file:app.db", "/srv/app.db", "sqlite:///file:/srv/app.db?uri=true"), ("file:./dev.db?mode=rwc", "/srv/dev.db", "sqlite:///file:/srv/dev.db?mode=rwc&uri=true"), ("file:///var/x/app.db", "/var/x/app.db", "sqlite:///file:/var/x/app.db?uri=true"),
    ("file::memory:?cache=shared", "", "sqlite:///file::memory:?cache=shared&uri=true"), ("sqlite:///file:/var/x/app.db?mode=ro&uri=true", "/var/x/app.db", "sqlite:///file:/var/x/app.db?mode=ro&uri=true"),
]  # fmt: skip

OTHER = [
    "mysql://u:p@db/x", "mysql+pymysql://u:p@db:3306/x?charset=utf8mb4", "mssql+pyodbc://u:p@db/x?driver=ODBC Driver 18", "mongodb://u:p@a:1,b:2/x?replicaSet=r", "oracle+oracledb://u:p@db",
    "postgis://u:p@db/x", "psql://u:p@db/x", "pgsql://u:p@db/x", "postgresext://u:p@db/x", "cockroachdb://u:p@db/x", "redshift+psycopg2://u:p@db/x", "spatialite:////srv/x.db", "sqlite+pysqlcipher://:p@//srv/x.db",
]  # fmt: skip

BAD = [
    # text, words of the message
    (f"postgresql://u:{SECRET}@db:54x2/x", "the port '54x2' is no number"), (f"postgresql://u:{SECRET}@db:0/x", "the port '0'"), (f"postgresql://u:{SECRET}@db:65536/x", "the port '65536'"), (f"postgresql://u:{SECRET}@db:-1/x", "the port '-1'"),
    (f"postgresql://u:{SECRET}@a:1,b:x/x", "the port 'x'"), (f"postgresql://u:{SECRET}@/x?host=a&port=x", "the port 'x'"), (f"postgresql://u:{SECRET}@a,b/x?port=1,2,3", "hosts (2) and ports (3)"), (f"postgresql://u:{SECRET}@a,,b/x", "a host of the list is empty"),
    (f"postgresql://u:{SECRET}@${{DB_HOST}}/x", "the host '${DB_HOST}'"), (f"postgresql://u:{SECRET}@{{{{ host }}}}:5432/x", "looks like a variable"), (f"postgresql://u:{SECRET}@$DB_HOST/x", "looks like a variable"), (f"postgresql://u:{SECRET}@my db/x", "the host 'my db'"),
    (f"postgresql://u:{SECRET}@<host>/x", "the host '<host>'"), (f"postgresql://u:{SECRET}@db!/x", "the host 'db!'"), (f"postgresql://u:{SECRET}@[::1/x", "is not closed"), (f"postgresql://u:{SECRET}@[::g]/x", "no IPv6 address"), (f"postgresql://u:{SECRET}@2001:db8::1/x", "in brackets"),
    (f"postgres://ada:{SECRET}/x", "@host is missing"), (f"postgres://ada:{SECRET}", "@host is missing"), (f"postgresql://my user:{SECRET}@db/x", "the user name"),
    (f"postgresql:/u:{SECRET}@db/x", "colon and two slashes"), (f"postgresql:u:{SECRET}@db/x", "colon and two slashes"), (f"postgres//u:{SECRET}@db/x", "colon and two slashes"), (f"postgresql+://u:{SECRET}@db/x", "driver is missing"),
    (f"psql 'postgresql://u:{SECRET}@db/x'", "psql command"), (f"DATABASE_URL=postgresql://u:{SECRET}@db/x", "DATABASE_URL="), (f"export DATABASE_URL='postgres://u:{SECRET}@db/x", "name of a variable"), (f"host=db user=u password={SECRET}", "libpq keywords"),
    (f"jdbc:postgresql://db/x?user=u&password={SECRET}", "jdbc:"), (f"https://u:{SECRET}@db.example/x", "web address"), ("http://db.example", "web address"),
    (f"postgre://u:{SECRET}@db/x", "'postgresql'"), (f"postgress://u:{SECRET}@db/x", "'postgresql'"), (f"postgesql://u:{SECRET}@db/x", "'postgresql'"), (f"postgressql+psycopg://u:{SECRET}@db/x", "'postgresql'"), (f"Postgres://u:{SECRET}@db/x", "'postgresql'"), (f"POSTGRESQL://u:{SECRET}@db/x", "'postgresql'"), (f"pg://u:{SECRET}@db/x", "'postgresql'"),
    ("sqlite3:///app.db", "'sqlite'"), ("SQLite:///app.db", "'sqlite'"), ("sqllite:///app.db", "'sqlite'"), ("sqlite://data/app.db", "two slashes make 'data' a host"), ("sqlite:/data/app.db", "two slashes"), ("sqlite::memory:", "two slashes"), ("file://data/app.db", "two slashes make 'data' a host"), ("sqlite:////tmp/", "directory"), ("sqlite:////tmp", "directory"),
    (f"postgresql://u:{SECRET}@db/x?sslmode=requre", "sslmode"), (f"postgresql://u:{SECRET}@db/x?sslmode=Require", "disable, allow, prefer, require, verify-ca, verify-full"), (f"postgresql://u:{SECRET}@db/x?sslrootcert=/no/such.pem", "/no/such.pem"), (f"postgresql://u:{SECRET}@db/x?sslrootcert=/tmp", "cannot be read"),
    (f"postgresql://u:{SECRET}@db/x?schema=a;b", "schema"), (f"postgresql://u:{SECRET}@db/x?schema=my-shop", "schema"), (f"postgresql://u:{SECRET}@db/x?schema=a,,b", "schema"), (f"postgresql://u:{SECRET}@db/x?schema=%22", "schema"),
    (f"postgresql://u:{SECRET}@db/x\nX=1", "control character"), (f"postgresql://u:{SECRET}\x00@db/x", "control character"), (f"postgresql://u:{SECRET}%00@db/x", "control character"), (f"postgresql://u:{SECRET}@db/x%0Ay", "control character"),
    (f"postgresql://u:a@b?{SECRET}@db/x", "no list of key=value"), (f"postgresql://db/x?{SECRET}", "no list of key=value"), ("localhost", "scheme"), ("localhost:5432/shop", "scheme"), ("//db/x", "scheme"), ("/data/app.db", "scheme"), ("mysql:u@db", "scheme"), (f"u:{SECRET}@db", "scheme"),
]  # fmt: skip


@pytest.fixture
def parsers():
    make_url = pytest.importorskip("sqlalchemy").make_url
    psycopg = pytest.importorskip("sqlalchemy.dialects.postgresql.psycopg")
    conninfo = pytest.importorskip("psycopg.conninfo")

    def both(found):
        """What SQLAlchemy hands to psycopg for the URL; libpq must accept it and the dictionary itself."""
        url = make_url(found.sqlalchemy)
        assert url.drivername == "postgresql+psycopg"
        words, keywords = psycopg.PGDialect_psycopg().create_connect_args(url)
        assert words in ([], [""])
        conninfo.make_conninfo(**found.libpq)
        text = conninfo.make_conninfo(**{key: str(value) for key, value in keywords.items()})
        return {key: str(value) for key, value in conninfo.conninfo_to_dict(text).items()}

    return both


@pytest.mark.parametrize(("text", "libpq"), GOOD)
def test_postgres(text, libpq, parsers):
    found = read(text)
    assert found.libpq == libpq
    assert (found.kind, found.path, found.schema, found.pooled, found.dropped) == ("postgresql", "", "", False, ())
    if "%" not in libpq.get("dbname", "") or ESCAPES_IN_PATHS:
        assert parsers(found) == libpq
    assert read(found.sqlalchemy).libpq == libpq  # reading our own form changes nothing


@pytest.mark.parametrize(("text", "libpq"), GOOD)
def test_the_application_gets_two_repairs_only(text, libpq):
    clean = text.strip().strip("'\"").strip()
    head, rest = clean.split("://", 1)
    assert (
        read(text).given
        == head.replace("postgres+", "postgresql+")
        .replace("postgres", "postgresql", 1)
        .replace("postgresqlql", "postgresql")
        + "://"
        + rest
    )


def test_a_key_that_nobody_knows_is_left_for_libpq_to_refuse():
    found = read("postgresql://db/x?no_such_key=1")
    assert found.libpq["no_such_key"] == "1"
    assert "no_such_key=1" in found.sqlalchemy
    assert found.dropped == ()


@pytest.mark.parametrize(("query", "dropped", "schema", "pooled"), FOREIGN_KEYS)
def test_foreign_keys(query, dropped, schema, pooled, parsers):
    text = f"postgresql://u:p@db/x?application_name=a&{query}"
    found = read(text)
    assert (found.dropped, found.schema, found.pooled) == (dropped, schema, pooled)
    assert found.libpq == dict(user="u", password="p", host="db", dbname="x", application_name="a")
    assert parsers(found) == found.libpq
    assert found.given == text
    lines = database.remarks(found, "DATABASE_URL")
    assert len(lines) == bool(dropped)
    assert all(key in lines[0] for key in dropped)
    assert "686B6F" not in "".join(lines)


def test_no_foreign_key_is_a_keyword_of_libpq():
    pq = pytest.importorskip("psycopg").pq
    keywords = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    assert {"host", "sslmode", "channel_binding"} <= keywords
    assert keywords & FOREIGN == set()
    assert keywords & {"servicefile", "ssl"} == set()
    assert {key for key in FOREIGN if key != key.lower()} == set()
    assert set(postgres_url.SCHEMA_KEYS) <= FOREIGN


@pytest.mark.parametrize(("text", "path", "form"), SQLITE)
def test_sqlite(text, path, form):
    found = read(text, "/srv")
    assert (found.kind, found.path, found.sqlalchemy, found.libpq, found.dropped) == ("sqlite", path, form, {}, ())
    assert found.given == text.strip("'")
    assert ("each worker has its own" in " ".join(database.remarks(found, "X"))) == (not path)
    make_url = pytest.importorskip("sqlalchemy").make_url
    if "%" in form and not ESCAPES_IN_PATHS:
        return
    from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

    (name,), keywords = SQLiteDialect_pysqlite().create_connect_args(make_url(found.sqlalchemy))
    assert name == (path or ":memory:") or (keywords.get("uri") and name.startswith(f"file:{path}"))


def test_sqlalchemy_opens_the_very_file(tmp_path):
    create_engine = pytest.importorskip("sqlalchemy").create_engine
    for number, name in enumerate(
        ("a.db", "5 x.db", "sub/../b.db", *(("50%25 \u00e4.db",) if ESCAPES_IN_PATHS else ()))
    ):
        (tmp_path / "sub").mkdir(exist_ok=True)
        for text in (f"sqlite:///{name}", f"file:{name}"):
            found = read(text, str(tmp_path))
            with create_engine(found.sqlalchemy).begin() as connection:
                connection.exec_driver_sql(f"create table if not exists t{number} (a)")
            assert os.path.getsize(found.path) > 0


@pytest.mark.parametrize("text", OTHER)
def test_other_databases_are_passed_on(text):
    assert read(text) == database.Database(text, "other", {}, text, "", "", False, ())


@pytest.mark.parametrize(("text", "words"), BAD)
def test_refused(text, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        read(text)
    message = database.refusal("DATABASE_URL", text, caught.value)
    assert "; accepted: " in message
    assert message.startswith("DATABASE_URL=")
    assert "\n" not in message
    assert SECRET not in message


def test_there_are_enough_of_them():
    assert len(GOOD) + len(FOREIGN_KEYS) + len(SQLITE) + len(OTHER) >= 70
    assert len(BAD) >= 40


@pytest.mark.parametrize(("text", "shown"), [
    ("postgresql://shop:hunter2@db:54x2/shop", "postgresql://shop:********@db:54x2/shop"),
    ("postgresql://u:hun@ter2@db/x?sslmode=require&password=hunter2", "postgresql://u:********@db/x?sslmode=********&password=********"),
    ("postgresql://db/x?password=hun@ter2", "postgresql://db:********"), ("postgresql://u:p@db/x?user=a@b", "postgresql://u:********"),
    ("postgresql://u:hunter2/x", "postgresql://u:********"), ("postgresql://db:5432/x", "postgresql://db:5432/x"), ("postgresql://u@db/x", "postgresql://u@db/x"),
    ("hunter2", "********"), ("u:hunter2@db", "********"), ("psql 'postgresql://u:hunter2@db/x'", "********"), ("", "********"),
    ("sqlite:////data/app.db", "sqlite:////data/app.db"), ("postgresql://u:a?hunter2@db/x", "postgresql://u:********"),
])  # fmt: skip
def test_masked(text, shown):
    assert masked(text) == shown


def test_any_password_is_masked_and_survives():
    """Random raw passwords: where one is accepted, it comes through; and no message shows it."""
    chance = random.Random(4711)
    accepted, refusals = 0, []
    for _ in range(3000):
        password = "x9" + "".join(chance.choice("ab:/@%?#[]&=$;\"' +\\,!2") for _ in range(8)) + "9x"
        text = f"postgresql://u:{password}@db/x"
        assert not {"x9", "9x"} & {masked(text)[at : at + 2] for at in range(len(masked(text)))}
        try:
            found = read(text)
        except ValueError as error:
            refusals.append(str(error))
            continue
        if "?" not in password:
            accepted += 1
            assert found.libpq["password"] == unquote(password)
            assert found.libpq["host"] == "db"
    assert accepted > 1500
    assert len(refusals) > 100
    assert [line for line in refusals if "x9" in line or "9x" in line] == []


# where it comes from


@pytest.mark.parametrize(("environ", "url", "source"), [
    ({"DATABASE_URL": "postgres://a/x", "POSTGRES_URI": "postgres://b/x", "PGHOST": "c"}, "postgres://a/x", "DATABASE_URL"),
    ({"FLAGON_DATABASE_URL": "postgres://a/x", "DATABASE_URL": "postgres://b/x"}, "postgres://a/x", "FLAGON_DATABASE_URL"),
    ({"POSTGRES_URI": " 'postgresql://u:p@b/x' ", "POSTGRESQLCONNSTR_A": "postgres://c/x", "PGHOST": "d"}, "postgresql://u:p@b/x", "POSTGRES_URI"),
    ({"DATABASE_URL": "", "POSTGRES_URI": "''", "POSTGRESQLCONNSTR_A": "postgres://u:p@c/x", "PGHOST": "d"}, "postgres://u:p@c/x", "POSTGRESQLCONNSTR_A"),
    ({"POSTGRESQLCONNSTR_A": "host=c.azure.com port=5432 dbname='my shop' user=u@c password='it\\'s; a\\\\b' sslmode=require"}, "postgresql://u%40c:it%27s%3B%20a%5Cb@c.azure.com:5432/my%20shop?sslmode=require", "POSTGRESQLCONNSTR_A"),
    ({"POSTGRESQLCONNSTR_A": "Server=c.azure.com;Database=shop;Port=5432;User Id=u;Password=p=w%;Ssl Mode=Require;"}, "postgresql://u:p%3Dw%25@c.azure.com:5432/shop?sslmode=require", "POSTGRESQLCONNSTR_A"),
    ({"POSTGRESQLCONNSTR_A": "host=c;database=shop;user id=u;password=\"p;\"\"w\";sslmode=VerifyFull"}, "postgresql://u:p%3B%22w@c/shop?sslmode=verify-full", "POSTGRESQLCONNSTR_A"),
    ({"POSTGRESQLCONNSTR_A": "", "POSTGRESQLCONNSTR_B": "postgres://c/x"}, "postgres://c/x", "POSTGRESQLCONNSTR_B"),
    ({"PGHOST": "d"}, "postgresql://d/", "PGHOST"),
    ({"PGHOST": "d", "PGPORT": "5433", "PGUSER": "u", "PGPASSWORD": "p%/@", "PGDATABASE": "x", "PGSSLMODE": "require"}, "postgresql://u:p%25%2F%40@d:5433/x?sslmode=require", "PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE"),
    ({"PGHOST": "/var/run/postgresql", "PGDATABASE": "x"}, "postgresql:///x?host=/var/run/postgresql", "PGHOST, PGDATABASE"),
    ({"PGHOST": "a,b", "PGPORT": "1,2"}, "postgresql:///?host=a,b&port=1,2", "PGHOST, PGPORT"),
    ({"PGHOST": "::1", "PGPORT": "1"}, "postgresql://[::1]:1/", "PGHOST, PGPORT"),
    ({"PGDATABASE": "x", "PGUSER": "u"}, None, "default"), ({"POSTGRES_PASSWORD": "p"}, None, "default"),
])  # fmt: skip
def test_sources(environ, url, source, tmp_path, parsers):
    settings = resolve(environ, str(tmp_path))
    assert (settings["DATABASE_URL"], settings.sources["DATABASE_URL"]) == (url, source)
    assert settings.warnings == []
    if url:
        parsers(read(url))


def test_what_ado_net_has_and_postgres_has_not_is_named(tmp_path):
    settings = resolve({"POSTGRESQLCONNSTR_A": "Server=c;Maximum Pool Size=hunter2;Search Path=shop"}, str(tmp_path))
    assert settings["DATABASE_URL"] == "postgresql://c/?schema=shop"
    (warning,) = settings.warnings
    assert "Maximum Pool Size" in warning
    assert SECRET not in warning


@pytest.mark.parametrize(("environ", "words"), [
    ({"POSTGRESQLCONNSTR_B": "postgres://h/hunter2", "POSTGRESQLCONNSTR_A": "postgres://c/x"}, ["POSTGRESQLCONNSTR_A, POSTGRESQLCONNSTR_B", "DATABASE_URL"]),
    ({"POSTGRESQLCONNSTR_A": "hunter2"}, ["POSTGRESQLCONNSTR_A", "Server="]), ({"POSTGRES_URI": "postgre://u:hunter2@b/x"}, ["POSTGRES_URI=postgre://u:********@b/x", "'postgresql'"]),
    ({"PGHOST": "d", "PGPORT": "5x", "PGPASSWORD": "hunter2"}, ["PGHOST, PGPORT", "the port '5x'"]), ({"PGHOST": "${H}"}, ["PGHOST", "variable that nobody filled in"]),
    ({"DIRECT_URL": "https://u:hunter2@x/"}, ["DIRECT_URL=", "web address"]), ({"DATABASE_UNPOOLED_URL": "postgres://u:hunter2@h:x/"}, ["DATABASE_UNPOOLED_URL=", "'x'"]),
])  # fmt: skip
def test_refused_sources(environ, words, tmp_path):
    with pytest.raises(SettingsError) as caught:
        resolve({**environ, "PORT": "http"}, str(tmp_path))
    error, port = sorted(caught.value.errors, key=lambda line: line.startswith("PORT="))
    assert port.startswith("PORT=")
    assert all(word in error for word in words), error
    assert SECRET not in error


@pytest.mark.parametrize(("environ", "url", "source"), [
    ({"DATABASE_DIRECT_URL": "postgres://a/x", "DIRECT_URL": "postgres://b/x"}, "postgres://a/x", "DATABASE_DIRECT_URL"),
    ({"DATABASE_UNPOOLED_URL": "postgres://a/x", "DIRECT_URL": "postgres://b/x"}, "postgres://a/x", "DATABASE_UNPOOLED_URL"),
    ({"DIRECT_URL": " 'postgres://b/x'"}, "postgres://b/x", "DIRECT_URL"), ({}, None, "default"),
])  # fmt: skip
def test_the_direct_url(environ, url, source, tmp_path):
    settings = resolve(environ, str(tmp_path))
    assert (settings["DATABASE_DIRECT_URL"], settings.sources["DATABASE_DIRECT_URL"]) == (url, source)


# what a boot makes of it


@pytest.fixture
def booted(tmp_path):
    def booted(**environ):
        (tmp_path / "data").mkdir(exist_ok=True)
        boot = Boot(
            {"DATA_DIR": str(tmp_path / "data"), "RUNTIME_DIR": str(tmp_path / "run"), **environ}, str(tmp_path)
        )
        boot.choose_places(fresh=False)
        boot.resolve_secrets()
        return boot

    return booted


def test_boot_keeps_both(booted):
    boot = booted(DATABASE_URL="'postgres://u:p@pool/x?pgbouncer=true'", DIRECT_URL="postgres://u:p@db/x")
    assert boot.values["DATABASE_URL"] == boot.database.given == "postgresql://u:p@pool/x?pgbouncer=true"
    assert (boot.direct_database.libpq["host"], boot.database.pooled) == ("db", True)
    (line,) = [line for line in boot.warnings if "pgbouncer" in line]
    assert line.startswith("DATABASE_URL")
    alone = booted(DATABASE_URL="postgres://u:p@pool/x")
    assert alone.direct_database is alone.database


@pytest.mark.parametrize(("given", "kind"), [({"DATABASE_URL": "sqlite:////x.db"}, "sqlite"), ({}, "none")])
def test_a_direct_url_of_another_kind_is_not_the_same_database(booted, given, kind):
    boot = booted(DIRECT_URL="postgres://u:p@db/x", **given)
    assert boot.direct_database is boot.database
    assert boot.database.kind == kind
    assert [line for line in boot.warnings if line.startswith("DIRECT_URL is ignored")]


# nobody has given one


def serves(boot):
    """The environment of an application that needs nothing else."""
    boot.choose()
    return application_environment(boot)


def test_nothing_is_invented(booted, tmp_path):
    (tmp_path / "app.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    for given in ({}, {"DATABASE_URL": ""}, {"DATABASE_URL": " '' "}, {"FLAGON_DATABASE_URL": ""}):
        environment = serves(booted(**given))
        assert "DATABASE_URL" not in environment
        assert "FLAGON_DATABASE" not in environment
        assert environment["FLAGON_SQLITE_URL"] == f"sqlite:///{tmp_path}/data/app.db"
    assert serves(booted(POSTGRES_HOST="pg", POSTGRES_USER="u"))["DATABASE_URL"] == "postgresql://u@pg/"


def test_the_file_of_an_earlier_version_goes_on_being_given(booted, tmp_path):
    (tmp_path / "app.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    file = tmp_path / "data" / "app.db"
    file.parent.mkdir()
    for content in ("", "tables"):
        file.write_text(content)
        boot = booted()
        told = [line for line in boot.warnings if "earlier versions" in line]
        assert len(told) == bool(content)
        assert serves(boot).get("DATABASE_URL") == (f"sqlite:///{file}" if content else None)
    assert "DATABASE_URL" not in serves(booted(DATABASE_URL=""))
    assert serves(booted(PGHOST="pg"))["DATABASE_URL"] == "postgresql://pg/"


def test_an_app_db_of_the_applications_own_is_never_taken_for_it(booted, tmp_path):
    """Its first start marks a data directory."""
    boot = booted()
    boot._mark_data()
    (tmp_path / "data" / "app.db").write_text("tables")
    again = booted()
    assert again.values["DATABASE_URL"] is None
    assert not [line for line in again.warnings if "earlier" in line]


# name -> text, the URL; or None, and words of the one warning
PARTS = [
    (dict(POSTGRES_HOST="pg", POSTGRES_USER="u", POSTGRES_PASSWORD="p@:/", POSTGRES_DB="shop"), "postgresql://u:p%40%3A%2F@pg/shop"),
    (dict(POSTGRES_HOST="pg", POSTGRES_PORT="5433", POSTGRES_USER="u", POSTGRES_DB="shop"), "postgresql://u@pg:5433/shop"),
    (dict(POSTGRES_SERVER="pg", POSTGRES_USERNAME="u", POSTGRES_PASS="p", POSTGRES_NAME="d"), "postgresql://u:p@pg/d"),
    (dict(DB_HOST="pg", DB_USER="u", DB_PASSWORD="p", DB_NAME="d"), "postgresql://u:p@pg/d"),
    (dict(DB_HOST="my", DB_USER="u", DB_PASSWORD="p", DB_NAME="d", DB_PORT="3306"), "mysql://u:p@my:3306/d"),
    (dict(DB_HOST="my", DB_USERNAME="u", DB_DATABASE="d", DB_CONNECTION="mysql"), "mysql://u@my/d"),
    (dict(DB_HOST="pg", DB_USER="u", DB_ENGINE="django.db.backends.postgresql"), "postgresql://u@pg/"),
    (dict(MYSQL_HOST="my", MYSQL_USER="u", MYSQL_PASSWORD="p", MYSQL_DATABASE="d"), "mysql://u:p@my/d"),
    (dict(MARIADB_HOST="my", MARIADB_USER="u", MARIADB_DATABASE="d", modules="pymysql"), "mysql://u@my/d"),
    (dict(MYSQL_HOST="my", MYSQL_USER="u", modules="pymysql,sqlalchemy"), "mysql+pymysql://u@my/"),
    (dict(POSTGRES_HOST="pg", POSTGRES_USER="u", modules="psycopg,sqlalchemy"), "postgresql+psycopg://u@pg/"),
    (dict(POSTGRES_HOST="pg", POSTGRES_USER="u", modules="psycopg,psycopg2,sqlalchemy"), "postgresql://u@pg/"),
    (dict(POSTGRES_HOST="pg", POSTGRES_USER="u", modules="psycopg,sqlalchemy,SQLAlchemy-2.1.0.dist-info"), "postgresql://u@pg/"),
    (dict(POSTGRES_HOST="pg", POSTGRES_USER="u", modules="psycopg2,sqlalchemy,sqlalchemy-2.1.3.dist-info"), "postgresql+psycopg2://u@pg/"),
    (dict(POSTGRES_HOST="pg", POSTGRES_USER="u", modules="psycopg,sqlalchemy,sqlalchemy-2.0.51.dist-info"), "postgresql+psycopg://u@pg/"),
    (dict(DB_HOST="h", DB_USER="u", modules="pymysql"), "mysql://u@h/"),
    (dict(DB_HOST="h", DB_USER="u", modules="psycopg2"), "postgresql://u@h/"),
    (dict(POSTGRES_HOST="pg", POSTGRES_USER="u", DB_HOST="pg", DB_USER="u", DB_PORT="5432"), "postgresql://u@pg/"),
    (dict(DATABASE_URL="sqlite:////x.db", POSTGRES_HOST="pg", POSTGRES_USER="u"), "sqlite:////x.db"),
    (dict(DATABASE_URL="", POSTGRES_HOST="pg", POSTGRES_USER="u"), "postgresql://u@pg/"),
    (dict(PGHOST="pg", POSTGRES_HOST="other", POSTGRES_USER="u"), "postgresql://pg/"),
]  # fmt: skip
NO_PARTS = [
    (dict(POSTGRES_HOST="pg"), "POSTGRES_USER is missing"),
    (dict(POSTGRES_USER="u", POSTGRES_PASSWORD=SECRET, POSTGRES_DB="d"), "POSTGRES_HOST is missing"),
    (dict(DB_USER="u", DB_PASSWORD=SECRET), "DB_HOST is missing"),
    (dict(MYSQL_DATABASE="d"), "MYSQL_HOST and MYSQL_USER are missing"),
    (dict(POSTGRES_HOST="a", POSTGRES_USER="u", MYSQL_HOST="b", MYSQL_USER="u"), "more than one database"),
    (dict(DB_HOST="h", DB_USER="u", modules="pymysql,psycopg"), "whether that is Postgres or MySQL"),
    (dict(DB_HOST="h", DB_USER="u", DB_ENGINE="mssql"), "whether that is Postgres or MySQL"),
    (dict(DB_HOST="h", DB_USER="u", modules="pyodbc"), "whether that is Postgres or MySQL"),
    (dict(POSTGRES_HOST="pg", POSTGRES_USER="u", POSTGRES_PORT="many"), "the port 'many'"),
    (dict(POSTGRES_HOST="pg", POSTGRES_USER="u", POSTGRES_PASSWORD_FILE="/nowhere/at/all"), "POSTGRES_PASSWORD_FILE: cannot read"),
    (dict(DB_NAME="shop.sqlite3"), ""), (dict(DB_PORT="tcp://10.0.0.1:5432", DB_NAME="x"), ""), (dict(DB_HOST=" "), ""),
    (dict(POSTGRES_PORT="tcp://10.0.0.1:5432", POSTGRES_SERVICE_HOST="10.0.0.1"), ""),
    (dict(DB_ENGINE="django.db.backends.sqlite3", DB_HOST="", DB_USER="u", DB_NAME="x"), "DB_HOST is missing"),
    (dict(DB_ENGINE="sqlite", DB_HOST="h", DB_USER="u"), ""), (dict(POSTGRES_ENABLED="1"), ""),
]  # fmt: skip


def with_modules(tmp_path, monkeypatch, environ):
    """Settings where these packages and no others are installed."""
    packages = tmp_path / "venv" / "lib" / f"python{environments.HERE}" / "site-packages"
    packages.mkdir(parents=True)
    (tmp_path / "venv" / "bin").mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    (tmp_path / "venv" / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    for name in filter(None, environ.get("modules", "").split(",")):
        (packages / name).mkdir(parents=True)
    monkeypatch.setattr("flagon.environments.OWN", "/nowhere")
    return resolve({**environ, "VIRTUAL_ENV": str(tmp_path / "venv")}, str(tmp_path))


@pytest.mark.parametrize(("environ", "url"), PARTS)
def test_parts_make_a_url(environ, url, tmp_path, monkeypatch):
    settings = with_modules(tmp_path, monkeypatch, environ)
    assert settings["DATABASE_URL"] == url
    assert not [line for line in settings.warnings if "DATABASE_URL" in line]


@pytest.mark.parametrize(("environ", "words"), NO_PARTS)
def test_parts_that_make_none_are_one_warning(environ, words, tmp_path, monkeypatch):
    settings = with_modules(tmp_path, monkeypatch, environ)
    assert settings["DATABASE_URL"] is None
    lines = [line for line in settings.warnings if "DATABASE_URL" in line]
    assert len(lines) == bool(words)
    assert words in "".join(lines)
    assert SECRET not in "".join(lines)


def test_the_driver_of_a_package_that_is_installed_at_the_start(tmp_path, monkeypatch):
    (tmp_path / "requirements.txt").write_text("# DB\nPyMySQL==1.1\n")
    settings = with_modules(tmp_path, monkeypatch, {"DB_HOST": "h", "DB_USER": "u", "PIP_INSTALL": "1"})
    assert settings["DATABASE_URL"] == "mysql://u@h/"


def test_a_password_in_a_file(tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("p w\n")
    given = {"DB_HOST": "h", "DB_USER": "u", "DB_PASSWORD_FILE": str(tmp_path / "secret")}
    assert with_modules(tmp_path, monkeypatch, given)["DATABASE_URL"] == "postgresql://u:p%20w@h/"


@pytest.mark.parametrize("raw", [" 'postgres://u:p%@db/x' ", "postgres://u@db/x", '"postgresql://db/x"'])
def test_without_the_rewrite_every_byte_stays(booted, raw, tmp_path):
    (tmp_path / "url").write_text(raw + "\n")
    for given in ({"DATABASE_URL": raw}, {"DATABASE_URL_FILE": str(tmp_path / "url")}, {"POSTGRES_URI": raw}):
        boot = booted(DATABASE_URL_REWRITE="off", **given)
        assert boot.values["DATABASE_URL"] == boot.database.given == raw
        assert boot.database.libpq["host"] == "db"
        assert booted(**given).database.given == "postgresql" + raw.strip(" '\"")[raw.strip(" '\"").index(":") :]


def test_a_certificate_that_only_root_can_read_stops_the_boot(booted, tmp_path, monkeypatch):
    """Settings are read before the drop, the URL again after it."""
    (tmp_path / "ca.pem").write_text("x")
    boot = booted()
    boot.settings.set("DATABASE_URL", f"postgresql://u:hunter2@db/x?sslrootcert={tmp_path}/ca.pem", "DATABASE_URL")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(BootError) as caught:
        boot.resolve_secrets()
    assert "ca.pem" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("part", ["${PW}", "$(PW)", "{{ pw }}"])
def test_a_password_that_nobody_filled_in_is_a_warning(part):
    (line,) = database.remarks(read(f"postgresql://u:{part}@db/x"), "DATABASE_URL")
    assert "the password" in line
    assert part not in line


@pytest.mark.parametrize(("environ", "pooled"), [
    ({}, True), ({"DATABASE_POOLED": "off"}, False), ({"DATABASE_POOLED": "off", "DATABASE_URL": "postgres://db/x?pgbouncer=true"}, False), ({"FLAGON_DATABASE_POOLED": "on"}, True),
])  # fmt: skip
def test_flagon_database(booted, environ, pooled):
    from flagon.handover import database_summary

    boot = booted(
        **{"DATABASE_URL": "postgres://u:%25@db/x?schema=shop", "THREADS": "7", "DATABASE_TIMEOUT": "2.5", **environ}
    )
    told = json.loads(database_summary(boot, boot.database))
    assert told["pooled"] is pooled
    assert (told["given"], told["url"]) == (boot.values["DATABASE_URL"], boot.database.sqlalchemy)
    assert (told["threads"], told["timeout"]) == (7, 2.5)


def test_a_relative_file_lies_beside_the_application(booted):
    boot = booted(DATABASE_URL="sqlite:///x.db")
    assert boot.database.path == os.path.join(boot.directory, "x.db")
    moved = database.placed(boot.database, "/elsewhere")
    assert (moved.path, moved.sqlalchemy, moved.given) == (
        "/elsewhere/x.db",
        "sqlite:////elsewhere/x.db",
        "sqlite:///x.db",
    )


def test_what_flagon_tells_is_no_near_miss(tmp_path):
    assert resolve({"FLAGON_DATABASE": "{}", "DATABASE_UNPOOLED_URL": "postgres://a/x"}, str(tmp_path)).warnings == []
