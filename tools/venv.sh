#!/bin/sh
# venv.sh [DIRECTORY LOCK PYTHON]: a virtual environment with what the lock says, made again only when that changed.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh
. tools/pythons.sh

venv=${1:-.venv}
lock=${2:-requirements/dev.txt}
python=${3:-$(default_python)}

if [ -z "$python" ]; then
    apt_install python3 python3-venv
    python=$(default_python)
    [ -n "$python" ] || fail "needs Python 3.10 or newer, and this machine's packages do not have it"
fi

# Two makes at once make it once.
exec 9<"$lock"
flock 9

# The directory belongs in it: a virtual environment cannot be moved.
stamp="$(sha256sum <"$lock") $("$python" --version) $(command -v "$python") $PWD"
[ "$(cat "$venv/.stamp" 2>/dev/null)" != "$stamp" ] || exit 0

say "making $venv with $("$python" --version)"
log_file=$(mktemp)
trap 'rm -f "$log_file"' EXIT
rm -rf "$venv"
with_log "$log_file" "$python" -m venv "$venv" || fail "could not make $venv"
with_log "$log_file" "$venv/bin/pip" install --quiet --disable-pip-version-check --no-input \
    --require-hashes --requirement "$lock" || fail "could not install $lock into $venv"
echo "$stamp" >"$venv/.stamp"
