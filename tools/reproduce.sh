#!/bin/sh
# Builds the image twice from nothing and compares the layers; fails on a difference that docs/supply-chain.md does not list.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

tools/engine.sh
tools/base-image.sh
tools/venv.sh

work=$(mktemp -d)
trap 'rm -rf "$work"; docker rmi -f flagon-reproduce:1 flagon-reproduce:2 >/dev/null 2>&1 || true' EXIT
for number in 1 2; do
    say "build $number of 2, without a cache"
    LOG_LINES=+1 with_log "$work/log" docker build --no-cache --force-rm --network host --target app \
        --tag "flagon-reproduce:$number" ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} . ||
        fail "build $number failed; the log is above"
    docker save --output "$work/$number.tar" "flagon-reproduce:$number"
done
.venv/bin/python tools/compare-layers.py "$work/1.tar" "$work/2.tar"
