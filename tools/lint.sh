#!/bin/bash
# Every linter, all of them even if one fails; the target fails if any did.
set -u
cd "$(dirname "$0")/.." || exit 1
. tools/lib.sh

tools/venv.sh || exit 1
bin=.venv/bin
failed=()

check() {
    local name=$1
    shift
    "$@" || failed+=("$name")
}

# files FIND-TEST...: ours, not what tools made.
files() {
    find . \( -name .git -o -name '.venv*' -o -name node_modules -o -name '.*_cache' \) -prune \
        -o -type f \( "$@" \) -print | sort
}

mapfile -t scripts < <(files -name '*.sh' -o -path './.ci/run')
mapfile -t dockerfiles < <(files -name 'Dockerfile' -o -name 'Dockerfile.*' -o -name '*.Dockerfile')
mapfile -t yaml < <(files -name '*.yml' -o -name '*.yaml')
python=()
for folder in flagon app tests bench tools; do [ ! -d "$folder" ] || python+=("$folder"); done

check "ruff check" "$bin/ruff" check --quiet "${python[@]}"
check "ruff format" "$bin/ruff" format --check --quiet --force-exclude "${python[@]}"
check mypy "$bin/mypy" flagon app
check shellcheck "$bin/shellcheck" --external-sources "${scripts[@]}"
check hadolint "$bin/hadolint" "${dockerfiles[@]}"
check yamllint "$bin/yamllint" --strict "${yaml[@]}"
# The fragments are rendered at boot; their golden form lies with the unit tests (the others hold what differs).
for golden in default-fastcgi gthread-http; do
    rendered=$(mktemp -d)
    mkdir "$rendered/fragments"
    cp nginx.conf "$rendered/"
    awk -v dir="$rendered" '/^# fragments\//{file = dir "/" $2; next} {print > file}' \
        tests/unit/golden/default-fastcgi.conf "tests/unit/golden/$golden.conf"
    check "gixy $golden" "$bin/gixy" "$rendered/nginx.conf"
    rm -rf "$rendered"
done

((${#failed[@]} == 0)) || fail "lint failed: $(IFS=,; echo "${failed[*]}")"
say "lint: clean"
