#!/bin/sh
# Known vulnerabilities of what the image is made of. Exit code: 0 looked and found none, 1 found some, 2 could not look everywhere.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh
. tools/pythons.sh

python=$(default_python)
tools/venv.sh .venv-audit requirements/audit.txt "${python:-}"
tools/packages.sh debsecan
tools/image.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
docker run --rm --entrypoint cat flagon:latest /var/lib/dpkg/status >"$work/status"
docker run --rm --entrypoint sh flagon:latest -c '. /etc/os-release; echo "$VERSION_CODENAME"' >"$work/suite"
.venv-audit/bin/python tools/audit.py "$work/status" "$(cat "$work/suite")" requirements/runtime.txt requirements/starter.txt
