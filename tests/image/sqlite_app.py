"""A small application on SQLite: each POST writes two rows at once, and says 201 only once they are on the disk."""

SOURCE = '''import os, sqlite3, threading, time
path = os.environ["DATABASE_URL"].removeprefix("sqlite:///")
mine = threading.local()
def connect():
    """One for each thread, as a pool has it."""
    connection = sqlite3.connect(path, timeout=5, isolation_level=None)
    try:
        ends = time.monotonic() + 5
        while True:  # it does not wait for others by itself, and a restore has them all out for a moment
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > ends:
                    raise
                time.sleep(0.02)
        connection.execute("CREATE TABLE IF NOT EXISTS rows (body)")
    except sqlite3.OperationalError:
        connection.close()
        if os.access(os.path.dirname(path), os.W_OK):
            raise
        connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    return connection
def answer(environ):
    if not hasattr(mine, "connection"):
        mine.connection = connect()
    connection = mine.connection
    if environ["REQUEST_METHOD"] == "GET":
        return "200 OK", str(connection.execute("SELECT count(*) FROM rows").fetchone()[0])
    body = environ["wsgi.input"].read()
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany("INSERT INTO rows VALUES (?)", [(body,), (body,)])
        connection.execute("COMMIT")
    except sqlite3.OperationalError:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return "201 Created", "written"
def app(environ, start_response):
    try:
        status, text = answer(environ)
    except sqlite3.OperationalError as error:
        status, text = "503 Service Unavailable", str(error)
    start_response(status, [("Content-Type", "text/plain")])
    return [text.encode()]
'''
FILES = {"main.py": SOURCE, ".env": "DATABASE_URL=sqlite:////data/app.db\n"}
