#!/bin/sh
# Writes pgbouncer's files from the environment, then becomes pgbouncer.
#   DB_HOST, DB_USER, DB_PASSWORD            the server, and the one user who may come in (required)
#   DB_PORT, POOL_MODE, POOL_SIZE, MAX_CLIENTS, MAX_PREPARED_STATEMENTS, QUERY_WAIT
set -eu
: "${DB_HOST:?} ${DB_USER:?} ${DB_PASSWORD:?}"
umask 077

quoted() { printf '"%s"' "$(printf %s "$1" | sed 's/"/""/g')"; }

printf '%s %s\n' "$(quoted "$DB_USER")" "$(quoted "$DB_PASSWORD")" >/tmp/users
cat >/tmp/pgbouncer.ini <<CONFIGURATION
[databases]
* = host=$DB_HOST port=${DB_PORT:-5432}

[pgbouncer]
listen_addr = *
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = /tmp/users
admin_users = $DB_USER
pool_mode = ${POOL_MODE:-transaction}
default_pool_size = ${POOL_SIZE:-20}
max_client_conn = ${MAX_CLIENTS:-100}
max_prepared_statements = ${MAX_PREPARED_STATEMENTS:-0}
query_wait_timeout = ${QUERY_WAIT:-120}
# A server that comes back is found soon, also under another address.
server_login_retry = 1
dns_max_ttl = 1
dns_nxdomain_ttl = 1
CONFIGURATION
exec pgbouncer /tmp/pgbouncer.ini
