"""gunicorn's settings that are not its to decide here, and what comes of it: for its command line and its file."""

from __future__ import annotations

from typing import Any

LOGS = "all logs go to the container's log, in the form that LOG_FORMAT says"
LOGGERS = f"{LOGS}; loggers of the application's are set up in the application"
METRICS = "gunicorn sends no metrics from here"
WHO = "RUN_AS says who runs the application"
PROXIES = "TRUSTED_PROXIES says whose forwarding headers count"
WIRE = "nginx speaks with the clients, and WORKER_CLASS says how with gunicorn"
HEADERS = (
    "nginx's limit holds: HEADER_SIZE, for the request line and for each header (above 10k with WORKER_CLASS=gthread)"
)
CONTROL = "there is no control socket: `flagon reload` and `docker stop` do that work"
# gunicorn's name of the setting -> what its absence means for whoever set it
IGNORED = {
    "accesslog": "nginx writes the access log, to the container's log; ACCESS_LOG=off ends it",
    "access_log_format": "nginx writes the access log, in the form that LOG_FORMAT says",
    "errorlog": LOGS, "logger_class": LOGS, "logconfig": LOGGERS, "logconfig_dict": LOGGERS, "logconfig_json": LOGGERS,
    "syslog": LOGS, "syslog_addr": LOGS, "syslog_prefix": LOGS, "syslog_facility": LOGS,
    "disable_redirect_access_to_syslog": LOGS,
    "statsd_host": METRICS, "statsd_prefix": METRICS, "dogstatsd_tags": METRICS, "enable_backlog_metric": METRICS,
    "user": WHO, "group": WHO, "initgroups": WHO,
    "forwarded_allow_ips": PROXIES, "proxy_allow_ips": PROXIES, "secure_scheme_headers": PROXIES,
    "proxy_protocol": "nginx reads no PROXY protocol: a proxy has to send X-Forwarded-For (TRUSTED_PROXIES)",
    "protocol": WIRE, "uwsgi_allow_ips": WIRE, "reuse_port": "nginx listens, and its workers share the port",
    "control_socket": CONTROL, "control_socket_mode": CONTROL,
    "limit_request_line": HEADERS, "limit_request_field_size": HEADERS,
    "daemon": "the container ends with its main process, so nothing goes to the background",
    "pidfile": "no pid file is written: signals go to the container (`docker kill`)",
    "umask": "gunicorn's socket is the box's own; a `umask` in prestart.sh holds for the application's files",
    "worker_tmp_dir": "the heartbeat lies in memory, where there is a /dev/shm",
    "proc_name": "all processes of gunicorn's are named flagon",
    "spew": "it is a tool for gunicorn's own authors",
    "check_config": "`flagon check` is what tells, and starts nothing",
    "print_config": "`flagon config` is what tells, and starts nothing",
}  # fmt: skip
# What asks for no more than what is done here anyway.
DONE_ANYWAY: dict[str, tuple[Any, ...]] = {
    "accesslog": ("-", None), "errorlog": ("-", None), "worker_tmp_dir": ("/dev/shm", None), "umask": (0, "0", 0o22),
    "control_socket_disable": (True, None), "protocol": ("http",), "proxy_protocol": ("off",),
    "secure_scheme_headers": ({},),
}  # fmt: skip
# Who listens where, and who speaks TLS, is said at the boot: flagon/ports.py.
TLS = ("certfile", "keyfile")
SAID_AT_THE_BOOT = ("bind", "chdir", "wsgi_app", "pythonpath", "config", *TLS)


def line(source: str, name: str, setting: str, value: Any) -> str:
    """One line for what is not taken; empty where nothing is lost by it."""
    if value in DONE_ANYWAY.get(setting, ()) or value is False or value is None:
        return ""
    why = IGNORED.get(setting, "")
    return f"{source}: {name} is ignored: {why}" if why else f"{source}: {name} is ignored, Flagon sets it"
