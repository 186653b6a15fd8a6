#!/bin/bash
# Runs the image in the foreground: its log, its URL, its exit code. Arguments go to `docker run`.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

port=${PORT:-8080}
url=http://localhost:$port
name=flagon-run-$$

tools/packages.sh curl
tools/image.sh

start() {
    local message
    # Not --rm: the exit code is read after the end.
    if message=$(docker run --detach --name "$name" --publish "$port:8080" \
        --volume flagon-data:/data "$@" flagon:latest 2>&1 >/dev/null); then
        return
    fi
    case $message in
        *"already allocated"* | *"already in use"*) fail "port $port is taken here: make run PORT=$((port + 1))" ;;
        *) fail "$message" ;;
    esac
}

announce() {
    local deadline=$((SECONDS + 60))
    until curl --silent --fail --max-time 2 --output /dev/null "$url/up"; do
        if ((SECONDS >= deadline)); then
            say "no answer from $url/up within 60 s; still waiting"
            deadline=$((SECONDS + 600))
        fi
        sleep 0.2
    done
    say "ready: $url"
}

# shellcheck disable=SC2317,SC2329  # called by the trap
finish() {
    [ -z "${announcer:-}" ] || kill "$announcer" 2>/dev/null || true
    docker rm --force "$name" >/dev/null 2>&1 || true
}

# shellcheck disable=SC2317,SC2329  # called by the trap
stop() {
    say "stopping"
    docker stop "$name" >/dev/null 2>&1 || true
}

running() { [ "$(docker inspect --format '{{.State.Running}}' "$name" 2>/dev/null)" = true ]; }

trap finish EXIT
trap stop INT TERM

start "$@"
docker logs --follow "$name" &
logs=$!
announce &
announcer=$!

# A signal ends `wait` early, and the log may still have lines to give.
while running; do wait "$logs" || sleep 0.2; done
wait "$logs" || true
exit "$(docker inspect --format '{{.State.ExitCode}}' "$name")"
