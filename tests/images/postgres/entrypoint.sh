#!/bin/bash
# Prepares PGDATA as the official image does, then becomes the server. Arguments are the server's own.
#   POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB   as there
#   /docker-entrypoint-initdb.d/*.sql, *.sh         run once, on an empty PGDATA
#   /tls/server.crt and server.key                  TLS, and nothing but TLS, over TCP
#   STANDBY_OF=HOST                                 a hot standby of that server
set -euo pipefail

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
[ "${1-}" != postgres ] || shift

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown -R postgres: "$PGDATA"
    chmod 700 "$PGDATA"
    if [ -f /tls/server.key ]; then
        # The server refuses a key that others may read; a mounted one has its host's owner.
        install -d -o postgres -m 700 /run/postgresql/tls
        install -o postgres -m 600 /tls/server.crt /tls/server.key /run/postgresql/tls/
    fi
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

say() { echo "entrypoint: $*" >&2; }

access_rules() {
    local record=host
    [ ! -f /run/postgresql/tls/server.key ] || record=hostssl
    echo "local all all trust"
    echo "$record all all all scram-sha-256"
    echo "$record replication all all scram-sha-256"
}

sql() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$user" --dbname "$database" "$@"; }

create_role_and_database() {
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres --dbname postgres \
        --set "user=$user" --set "database=$database" --set "password=$POSTGRES_PASSWORD" <<-'SQL'
		SELECT format('CREATE ROLE %I', :'user') WHERE :'user' <> 'postgres' \gexec
		ALTER ROLE :"user" LOGIN SUPERUSER PASSWORD :'password';
		SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'user') WHERE :'database' <> 'postgres' \gexec
	SQL
}

initialize() {
    [ -n "${POSTGRES_PASSWORD:-}" ] || { say "POSTGRES_PASSWORD is not set: give the superuser a password"; exit 1; }
    cp -a /var/lib/postgresql/template/. "$PGDATA"/
    # No TCP yet: nobody may take this server for the real one.
    postgres -c listen_addresses='' -c fsync=off &
    local server=$!
    until pg_isready --quiet; do
        kill -0 "$server" || exit 1
        sleep 0.02
    done
    create_role_and_database
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sql) sql --file "$file" ;;
            *.sh) bash "$file" ;;
        esac
    done
    kill -INT "$server"
    wait "$server"
    sync -f "$PGDATA"
    say "initialized"
}

copy_primary() {
    say "copying $STANDBY_OF"
    PGPASSWORD=$POSTGRES_PASSWORD pg_basebackup --host "$STANDBY_OF" --username "$user" --pgdata "$PGDATA" \
        --write-recovery-conf --checkpoint fast --wal-method stream
}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -n "${STANDBY_OF:-}" ]; then copy_primary; else initialize; fi
fi
access_rules >"$PGDATA/pg_hba.conf"
tls=()
[ ! -f /run/postgresql/tls/server.key ] ||
    tls=(-c ssl=on -c ssl_cert_file=/run/postgresql/tls/server.crt -c ssl_key_file=/run/postgresql/tls/server.key)
exec postgres -c listen_addresses='*' "${tls[@]}" "$@"
