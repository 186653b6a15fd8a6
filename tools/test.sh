#!/bin/bash
# test.sh sample|full: lint, unit tests, then the image driven from outside.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

campaign=$1
SECONDS=0
trap 'say "total: $((SECONDS / 60)) min $((SECONDS % 60)) s"' EXIT

tools/lint.sh
tools/unit.sh
tools/packages.sh curl wrk openssl
tools/image.sh
tools/test-images.sh
tools/compose.sh version >/dev/null

selection=()
[ "$campaign" = full ] || selection=(-m "not long")
# Two files at once; those that measure time have the machine for themselves.
alone=(tests/image/test_wire_*.py)
timed=(tests/image/test_signals.py tests/image/test_health.py)
together=(tests/image -n 2 --dist loadfile)
for file in "${alone[@]}" "${timed[@]}"; do together+=(--ignore "$file"); done

say "image tests ($campaign)"
export FLAGON_CAMPAIGN=$campaign PYTHONHASHSEED=0
.venv/bin/python -m pytest "${selection[@]}" "${together[@]}"
.venv/bin/python -m pytest "${selection[@]}" "${alone[@]}" "${timed[@]}"
# The wire's own tests run on both wires by themselves, the database's do not care; all the others once more on HTTP.
say "image tests ($campaign) on the HTTP wire"
export WIRE=gthread
.venv/bin/python -m pytest "${selection[@]}" "${together[@]}" \
    --ignore-glob='*/test_migrate*' --ignore-glob='*/test_bad_days*' --ignore-glob='*/test_*postgres.py' \
    --ignore tests/image/test_servers.py --ignore tests/image/test_compose.py --ignore tests/image/test_kills.py \
    --ignore tests/image/test_backup.py --ignore tests/image/test_sqlite_days.py --ignore tests/image/test_debug.py \
    --ignore tests/image/test_database_url.py --ignore tests/image/test_image.py --ignore tests/image/test_ways_in.py
.venv/bin/python -m pytest "${selection[@]}" "${timed[@]}"
