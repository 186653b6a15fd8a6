#!/bin/sh
# Makes sure that a container engine answers. One that answers, wherever it is, is never touched.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

wait_seconds=${ENGINE_TIMEOUT:-60}

# Not `docker info`: some clients end it with 0 although nobody answered.
answers() { timeout 20 docker ps -q >/dev/null 2>&1; }

dockerd_runs() {
    [ -f /var/run/docker.pid ] &&
        [ "$(cat "/proc/$(cat /var/run/docker.pid)/comm" 2>/dev/null)" = dockerd ]
}

# True once the engine answers, false if the deadline passes first.
wait_for_engine() {
    deadline=$(($(date +%s) + wait_seconds))
    until answers; do
        [ "$(date +%s)" -lt "$deadline" ] || return 1
        # A daemon that ended by itself will not answer later.
        [ -z "${daemon:-}" ] || kill -0 "$daemon" 2>/dev/null || return 1
        sleep 0.5
    done
}

install() {
    say "no container engine here"
    apt_install docker.io
    # Newer Debian keeps the client in a package of its own.
    [ -z "$(missing docker)" ] || apt_install docker-cli
}

start_with_systemd() {
    say "starting docker (systemd)"
    { systemctl start docker && wait_for_engine; } ||
        fail "docker does not start: see 'systemctl status docker' and 'journalctl -u docker'"
}

start_daemon() {
    log_dir=${XDG_STATE_HOME:-/var/log}
    mkdir -p "$log_dir"
    log_file=$log_dir/dockerd.log
    # Left by a machine that went down: its number may be another process by now, and dockerd would give up.
    rm -f /var/run/docker.pid
    say "starting dockerd (log: $log_file)"
    # A session of its own: Ctrl-C on make must not end the engine.
    setsid dockerd </dev/null >"$log_file" 2>&1 &
    daemon=$!
    wait_for_engine && return
    tail -n 20 "$log_file" >&2
    fail "no container engine can run here: dockerd did not answer (the end of its log is above)." \
        "If this machine forbids it, set DOCKER_HOST to an engine elsewhere."
}

if answers; then exit 0; fi
[ -z "${DOCKER_HOST:-}" ] || fail "the engine at DOCKER_HOST=$DOCKER_HOST does not answer"
[ "$(id -u)" = 0 ] || fail "no container engine answers $(id -un): start docker, join its group, or run this as root"

[ -z "$(missing docker dockerd)" ] || install
if answers; then exit 0; fi

if [ -d /run/systemd/system ]; then
    start_with_systemd
elif dockerd_runs; then
    say "waiting for the dockerd that is starting"
    wait_for_engine || fail "dockerd (process $(cat /var/run/docker.pid)) does not answer"
else
    start_daemon
fi
