#!/bin/sh
# Builds the servers that the image tests run against: flagon-test-postgres and flagon-test-pgbouncer.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

tools/engine.sh
tools/base-image.sh

log_file=$(mktemp)
trap 'rm -f "$log_file"' EXIT

id_of() { docker image inspect --format '{{.Id}}' "$1" 2>/dev/null || true; }

for name in postgres pgbouncer; do
    tag=flagon-test-$name
    before=$(id_of "$tag")
    started=$(date +%s)
    LOG_LINES=+1 with_log "$log_file" docker build --force-rm --network host --tag "$tag" \
        ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} "tests/images/$name" ||
        fail "$tag was not built; the log is above"
    [ "$(id_of "$tag")" = "$before" ] || say "$tag built, $(($(date +%s) - started)) s"
done
