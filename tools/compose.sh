#!/bin/bash
# compose.sh COMMAND...: brings `docker compose` where it is absent, and for `up` what compose.yaml needs; then runs it.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins

present() { docker compose version >/dev/null 2>&1; }

# The package's name depends on who packaged docker; version 1 was another program.
install_package() {
    local package version
    [ "$(id -u)" = 0 ] && [ -z "$(missing apt-cache)" ] || return
    for package in docker-compose-plugin docker-compose-v2 docker-compose; do
        version=$(apt-cache policy "$package" | sed -n 's/^  Candidate: \([0-9]*:\)\{0,1\}//p')
        case $version in
            '' | '(none)' | 1.*) ;;
            *)
                apt_install "$package"
                return
                ;;
        esac
    done
}

# The base image's apt has the archive, its keys and a compose of today: apt checks what it fetches, as ever.
copy_from_archive() {
    local new
    tools/base-image.sh
    say "no package of docker compose here: taking Debian's binary, into $plugins"
    mkdir -p "$plugins"
    new=$(mktemp "$plugins/.new.XXXXXX")
    # shellcheck disable=SC2064  # the name as it is now
    trap "rm -f '$new'" EXIT
    # shellcheck disable=SC2016  # the variables are the container's
    docker run --rm --network host --entrypoint sh "${BASE_IMAGE:-debian:trixie-slim}" -euc '
        cd "$(mktemp -d)"
        apt-get update -qq >&2
        apt-get download -qq -o APT::Sandbox::User=root docker-compose >&2
        dpkg-deb --fsys-tarfile docker-compose_*.deb | tar -xO ./usr/libexec/docker/cli-plugins/docker-compose
    ' </dev/null >"$new" || fail "could not fetch docker compose; install it by hand (package docker-compose-plugin)"
    chmod 755 "$new"
    mv "$new" "$plugins/docker-compose"
}

# A password nobody has to think of; it must stay as it is while the database's volume lives.
write_env() {
    [ -z "${POSTGRES_PASSWORD:-}" ] && [ ! -e .env ] || return 0
    say "writing .env with a random POSTGRES_PASSWORD"
    (
        umask 077
        sed "s/^POSTGRES_PASSWORD=.*/POSTGRES_PASSWORD=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')/" .env.example >.env
    )
}

# Where no registry can be reached, the tests' Postgres takes the same variables and lays out its volume alike.
bring_postgres() {
    local image=postgres:17
    [ -z "${POSTGRES_IMAGE:-}" ] && ! grep -qs '^POSTGRES_IMAGE=.' .env || return 0
    ! docker image inspect "$image" >/dev/null 2>&1 || return 0
    say "pulling $image"
    ! timeout "${PULL_TIMEOUT:-60}" docker pull -q "$image" </dev/null >/dev/null 2>&1 || return 0
    say "no registry gave $image: using Debian's Postgres 17, as the tests do"
    tools/test-images.sh
    export POSTGRES_IMAGE=flagon-test-postgres
}

tools/engine.sh
present || install_package
present || copy_from_archive
present || fail "docker compose does not run here, although it is in $plugins"
if [ "${1:-}" = up ]; then
    tools/image.sh
    write_env
    bring_postgres
fi
exec docker compose "$@"
