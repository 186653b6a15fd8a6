#!/bin/sh
# Writes requirements/*.txt from the groups in pyproject.toml: one resolution, for every supported Python.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh
. tools/pythons.sh

[ -n "$(default_python)" ] || apt_install python3 python3-venv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$(default_python)" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv

# lock GROUP OPTION...
lock() {
    group=$1
    shift
    say "locking requirements/$group.txt"
    "$work/venv/bin/uv" pip compile --quiet --universal --python-version "${lowest:-3.10}" --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
        --group "$group" --output-file "requirements/$group.txt" "$@"
}

mkdir -p requirements
# Versions stay as they are unless asked; only what pyproject.toml changed moves.
lock dev ${UPGRADE:+--upgrade}
# The others are parts of it, never another version.
for group in runtime app starter unit; do lock "$group" --upgrade --constraint requirements/dev.txt; done
# Tools with environments of their own.
lowest=3.11  # Debian's own since 12, where they run
for group in sbom audit; do lock "$group" ${UPGRADE:+--upgrade}; done
