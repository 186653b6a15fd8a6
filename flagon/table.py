"""THE table of settings: name, kind, default, accepted values and one sentence for each.

It drives validation, `flagon config`, the table in the README and the JSON schema.
"""

from __future__ import annotations

from typing import NamedTuple


class Setting(NamedTuple):
    """One row. `default` is the text a user would have typed; empty means computed or off."""

    name: str
    kind: str  # a key of kinds.PARSERS
    default: str
    sentence: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    strict: bool = False  # a bad value of the bare name stops the boot too, not only of FLAGON_<NAME>
    zero: float | None = None  # what 0 means, which is below `low`: gunicorn's and uWSGI's users say it
    secret: bool = False  # masked everywhere; may also be given as <NAME>_FILE


GROUPS: tuple[tuple[str, tuple[Setting, ...]], ...] = (
    (
        "Application",
        (
            Setting("APP_MODULE", "module", "", "`module:object` to serve; found by itself when empty.", strict=True),
            Setting("URL_PREFIX", "prefix", "", "Sub-path the application is served under, such as `/shop`."),
            Setting("SECRET_KEY", "secret_key", "", "Signing key; made once in the data directory when empty.", strict=True, secret=True),
            Setting("REDIS_URL", "url", "", "Handed to the application as it is.", strict=True, secret=True),
            Setting("SERVE_CMD", "switch", "on", "Serve an inherited `CMD` such as `flask run` or `python app.py` through nginx and gunicorn."),
        ),
    ),
    (
        "Your app",
        (
            Setting("PIP_INSTALL", "switch", "off", "Install requirements.txt or pyproject.toml's dependencies at the start, kept in the data directory: for development."),
            Setting("PRELOAD", "switch", "off", "Load the application once, before the workers are forked: less memory, no reload."),
            Setting("PRE_START_PATH", "path", "", "Script that is sourced before anything starts; /app/prestart.sh when empty."),
            Setting("PROCESSES", "names", "", "Which other lines of the Procfile to run, such as `worker,clock`, or `all`."),
        ),
    ),
    (
        "Files",
        (
            Setting("STATIC_HOST", "origin", "", "A CDN that pulls from here, such as `https://cdn.example.com`: digested static files get its urls."),
            Setting("STATIC_FILES", "switch", "on", "nginx serves the application's static folders, past middleware only where `on` is given; off leaves them to the application."),
            Setting("STATIC_URL", "static_url", "", "Path below which nginx serves STATIC_PATH; /static when only that is given."),
            Setting("STATIC_PATH", "path", "", "Folder of static files; static in /app when only STATIC_URL is given."),
            Setting("STATIC_INDEX", "zero_or_one", "0", "1: `/` is STATIC_PATH/index.html."),
            Setting("SPA_INDEX", "file", "", "Page of a single-page application, such as dist/index.html: its folder is served, and it is what a browser gets in place of a 404."),
            Setting("COMPRESSION", "choice", "safe", "Compress the application's texts, on the FastCGI wire: `safe` not where their length could tell another site a secret, nor with a strong ETag, `all`, `off`.", choices=("safe", "all", "off")),
            Setting("CACHE", "switch", "on", "nginx keeps the pages that the application marks with `Cache-Control: public` and an age, on the FastCGI wire."),
            Setting("CACHE_SIZE", "size", "64m", "Room for kept pages; where the disk is memory at most 16m and a sixteenth of it.", 2**20, 2**40),
            Setting("CACHE_LOCK", "pages", "", "Paths such as `/,/news/*`: of a crowd for a page that is not kept yet one request fetches it, the others wait. Only where every answer may be kept."),
            Setting("USE_X_ACCEL", "switch", "on", "nginx sends the files that the application hands out with send_file."),
        ),
    ),
    (
        "Database",
        (
            Setting("DATABASE_URL", "database_url", "", "Database, also made of `PGHOST`, `POSTGRES_HOST`, `MYSQL_HOST` or `DB_HOST` and its like; when empty the application gets none, the starter a SQLite file in the data directory.", strict=True, secret=True),
            Setting("DATABASE_DIRECT_URL", "database_url", "", "Past the pooler, for migrations; also read from `DATABASE_UNPOOLED_URL` and `DIRECT_URL`.", strict=True, secret=True),
            Setting("DATABASE_URL_REWRITE", "switch", "on", "Strip quotes and spell `postgres://` as `postgresql://`; off hands the URL on byte by byte."),
            Setting("DATABASE_POOLED", "switch", "on", "Assume a transaction pooler: no named prepared statements in the starter."),
            Setting("DATABASE_TIMEOUT", "seconds", "5", "Longest wait of the starter for one answer of the database, then 503.", 1, 300),
            Setting("DATABASE_WAIT", "seconds", "20", "How long `flagon migrate` waits for the database and for another migration.", 0, 86400),
            Setting("MIGRATE", "choice", "", "`auto`: migrate beside the start; `off`: only say if the schema is behind. Empty: auto for the starter, else off.", choices=("auto", "off")),
            Setting("MIGRATE_COMMAND", "text", "", "Shell command that migrates, where the tool is not found by itself."),
            Setting("READY_CHECKS", "checks", "database,migrations", "What `/ready` asks besides the application's own checks: `database`, `migrations`, both or `none`."),
        ),
    ),
    (
        "Listening",
        (
            Setting("PORT", "integer", "", "Port to listen on; when empty 8080, and where they can be bound 80 and the port that the start command means; without a command 5000, Flask's own (Django: 8000).", 1, 65535, strict=True),
            Setting("TRUSTED_PROXIES", "proxies", "", "Peers whose forwarding headers count: `private`, `none`, `any` or networks; when empty the proxy of a known platform, else nobody's."),
            Setting("PASS_HEADERS", "headers", "", "Request headers that are otherwise dropped as a client's claim, such as `X-Auth-User`: they reach the application whoever sends them, and it has to check them."),
            Setting("DEBUG_CLIENTS", "proxies", "none", "Where `FLASK_DEBUG` is on: who else than local clients may use the debugger; `private` or networks."),
            Setting("REAL_IP_HEADER", "header", "", "Header that carries the client's address; the platform's own when empty, else `X-Forwarded-For`."),
        ),
    ),
    (
        "Size",
        (
            Setting("WEB_CONCURRENCY", "workers", "", "Worker processes; computed from CPU and memory when empty.", 1, 512),
            Setting("THREADS", "integer", "4", "Request threads in each worker; 0 is 1.", 1, 256, zero=1),
            Setting("WORKER_MEMORY", "integer", "96", "Memory a worker is expected to need, MB; sizes the worker count.", 8, 65536),
            Setting("WORKER_CLASS", "worker_class", "", "`fastcgi` (ours), or gunicorn's `gthread`, `gevent`, `sync` over HTTP; `gthread` when a WebSocket library is installed; `asgi` for an ASGI application (FastAPI, Starlette, Quart, Django's asgi), by itself."),
            Setting("WORKER_CONNECTIONS", "integer", "", "Connections that each nginx worker holds at once; from memory and the open-file limit when empty.", 64, 1000000),
            Setting("MAX_REQUESTS", "integer", "0", "Recycle a worker after so many requests; 0 is never.", 0, 10**9),
            Setting("MAX_REQUESTS_JITTER", "integer", "0", "Random extra requests, so that workers do not recycle together.", 0, 10**9),
        ),
    ),
    (
        "Limits",
        (
            Setting("TIMEOUT", "seconds", "60", "Seconds until a request must have its first response byte; 0 is a day.", 1, 86400, zero=86400),
            Setting("GRACEFUL_TIMEOUT", "seconds", "6", "Seconds a leaving worker gives its running requests; 0 is 1.", 1, 86400, zero=1),
            Setting("STOP_TIMEOUT", "seconds", "8", "Seconds from the stop signal to the end, everything included.", 1, 3600),
            Setting("DRAIN_DELAY", "seconds", "0", "Seconds to go on serving after the stop signal, with `/ready` at 503.", 0, 3600),
            Setting("BACKLOG", "integer", "", "Requests that may wait for a thread, then 503; 4 x all threads when empty (64 at least where gunicorn's own command is served); 0 is 1.", 1, 65535, zero=1),
            Setting("STREAMS_MAX", "integer", "", "Unbuffered responses at once in a worker, on the FastCGI wire; half its threads when empty.", 1, 256),
            Setting("MAX_BODY_SIZE", "size", "32m", "Largest request body; more is 413. Never more than half of what all bodies together may take, which is what 0 means.", 0, 2**50),
            Setting("HEADER_SIZE", "size", "8k", "Longest request line (414) and longest header line (431). Above 10k: `WORKER_CLASS=gthread`, or `asgi` for ASGI.", 1024, 65536),
            Setting("HEADER_BUFFERS", "integer", "4", "All headers together fit in so many times HEADER_SIZE (431).", 2, 64),
            Setting("HEADERS_MAX", "integer", "100", "Largest number of request headers.", 10, 1000),
            Setting("CLIENT_TIMEOUT", "seconds", "15", "Longest pause while a client sends its request.", 1, 3600),
            Setting("SEND_TIMEOUT", "seconds", "30", "Longest pause while a client takes its response.", 1, 3600),
            Setting("KEEPALIVE_TIMEOUT", "seconds", "95", "How long an idle client connection stays open.", 0, 3600),
            Setting("RATE_LIMIT", "rate", "", "Requests a second from one client, and after a slash how many more at once, such as `10/20`; more is 429. Empty: no limit.", 0.1, 100000),
            Setting("MAX_CONNECTIONS", "integer", "0", "Requests that one client may have under way at once; more is 429. 0: no limit.", 0, 65535),
        ),
    ),
    (
        "Browsers",
        (
            Setting("SECURITY_HEADERS", "switch", "on", "Security headers where the application sends none of that name."),
            Setting("FORCE_HTTPS", "switch", "off", "Send plain http to https with 308; health paths are spared."),
            Setting("HSTS", "hsts", "", "Over https, have browsers keep to https for so many seconds, such as `31536000; includeSubDomains`."),
        ),
    ),
    (
        "Logs",
        (
            Setting("LOG_LEVEL", "choice", "info", "Least level that is logged; request lines and prints have none.", choices=("debug", "info", "warning", "error", "critical")),
            Setting("LOG_FORMAT", "choice", "auto", "`json`, `text`, or `auto`: text on a terminal.", choices=("auto", "json", "text")),
            Setting("ACCESS_LOG", "switch", "on", "One line for each request, health checks left out."),
        ),
    ),
    (
        "Box",
        (
            Setting("RESTART_LIMIT", "integer", "5", "Restarts of a program that died within 60 s; then the container ends with its code. 0: at the first death.", 0, 1000),
            Setting("RUN_AS", "run_as", "", "Who a container started as root becomes: `uid:gid`, `owner` of /app, or `root`; 10001:0 when empty. Only the container's environment says it."),
            Setting("RUNTIME_DIR", "folder", "", "Where sockets and rendered files go, below it in `flagon`; in /run, /tmp or /dev/shm when empty."),
            Setting("DATA_DIR", "folder", "/data", "Where SQLite and the generated secret live."),
        ),
    ),
)

SETTINGS: dict[str, Setting] = {row.name: row for _, rows in GROUPS for row in rows}
