#!/bin/sh
# Unit tests on this machine's Python, then, unless OWN_ONLY=1, on the oldest and the newest supported one found. Arguments go
# to pytest.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh
. tools/pythons.sh

# run VENV NAME PYTEST-ARGUMENT...
run() {
    venv=$1
    say "unit tests on Python $2"
    shift 2
    # -B and no cache: two versions must not trip over each other's files.
    # One seed: both processes must see sets of parameters in the same order.
    PYTHONHASHSEED=0 "$venv/bin/python" -B -m pytest -p no:cacheprovider -n 2 tests/unit "$@"
}

oldest=
newest=
absent=
for version in $supported; do
    if [ -n "$(python_for "$version")" ]; then
        oldest=${oldest:-$version}
        newest=$version
    else
        absent="$absent $version"
    fi
done

tools/venv.sh
own=$(python_version .venv/bin/python)
run .venv "$own" "$@"
ran=$own

[ -z "${OWN_ONLY:-}" ] || oldest='' newest=''
for version in $oldest $newest; do
    case " $ran " in *" $version "*) continue ;; esac
    tools/venv.sh ".venv-$version" requirements/unit.txt "$(python_for "$version")"
    run ".venv-$version" "$version" "$@"
    ran="$ran $version"
done

say "unit tests ran on Python $ran${absent:+; not on this machine:$absent}"
