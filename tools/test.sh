#!/bin/bash
# test.sh sample|full: lint, unit tests, then the image driven from outside.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

campaign=$1
SECONDS=0
trap 'say "total: $((SECONDS / 60)) min $((SECONDS % 60)) s"' EXIT

tools/lint.sh
# Other Pythons have their turn in the long run; the image's own has one in each of its tests.
[ "$campaign" = full ] || export OWN_ONLY=1
tools/unit.sh
tools/packages.sh curl wrk openssl
tools/image.sh
tools/test-images.sh
tools/compose.sh version >/dev/null

selection=()
[ "$campaign" = full ] || selection=(-m "not long")
# Two files at once, for most tests wait; those that measure time have the machine for themselves.
alone=(tests/image/test_hurt_slow.py tests/image/test_death.py)
timed=(tests/image/test_stop.py tests/image/test_health.py)
together=(tests/image -n 2 --dist loadfile)
for file in "${alone[@]}" "${timed[@]}"; do together+=(--ignore "$file"); done

say "image tests ($campaign)"
export FLAGON_CAMPAIGN=$campaign PYTHONHASHSEED=0
.venv/bin/python -m pytest "${selection[@]}" "${together[@]}"
.venv/bin/python -m pytest "${selection[@]}" "${alone[@]}" "${timed[@]}"

# What asks both wires by itself, has nothing to do with the wire, or is there on FastCGI alone, is not run again on HTTP.
say "image tests ($campaign) on the HTTP wire"
export WIRE=gthread
if [ "$campaign" = full ]; then
    for name in migrate bad_days hurt wire; do together+=(--ignore-glob="*/test_$name*"); done
    for name in servers compose kills backup sqlite_days debug database_url image ways_in notes_postgres migrate_postgres \
        faults fuzz client_bytes hardening supply_chain cache cache_floods compression old_images worker_exit; do
        together+=(--ignore "tests/image/test_$name.py")
    done
    .venv/bin/python -m pytest "${selection[@]}" "${together[@]}"
    .venv/bin/python -m pytest "${selection[@]}" "${timed[@]}" tests/image/test_death.py
else
    .venv/bin/python -m pytest "${selection[@]}" -n 2 --dist loadfile tests/image/test_limits.py tests/image/test_commands.py \
        tests/image/test_health.py tests/image/test_readiness.py tests/image/test_client_address.py
fi
