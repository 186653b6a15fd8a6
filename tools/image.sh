#!/bin/sh
# Builds flagon:runtime and flagon:latest, quietly.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

tools/engine.sh
tools/base-image.sh

# safe.directory: a checkout that belongs to another user is still this commit.
of_git() { git -c safe.directory="$PWD" "$@" 2>/dev/null; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(of_git rev-parse --verify HEAD) || revision=unknown
# The commit's date, not the clock's: the same commit gives the same image.
created=$(of_git log -1 --format=%cI HEAD) || created=1970-01-01T00:00:00Z

log_file=$(mktemp)
trap 'rm -f "$log_file"' EXIT

# build TARGET TAG
build() {
    started=$(date +%s)
    LOG_LINES=+1 with_log "$log_file" docker build --force-rm --network host --target "$1" --tag "$2" \
        ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} \
        --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created" . ||
        fail "$2 was not built; the log is above"
    bytes=$(docker image inspect --format '{{.Size}}' "$2")
    say "$2 built, $((bytes / 1000000)) MB, $(($(date +%s) - started)) s"
}

build runtime flagon:runtime
build app flagon:latest
