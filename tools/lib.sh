# What the host-side scripts share. Sourced, never run.
# shellcheck shell=sh

say() { printf '%s\n' "flagon: $*"; }

fail() {
    printf '%s\n' "flagon: $*" >&2
    exit 1
}

# with_log LOG COMMAND...: quiet while all is well, the end of the log if not.
with_log() {
    log=$1
    shift
    if ! "$@" </dev/null >"$log" 2>&1; then
        tail -n "${LOG_LINES:-40}" "$log" >&2
        return 1
    fi
}

# missing NAME...: the names that are not commands here.
missing() {
    for name; do
        command -v "$name" >/dev/null 2>&1 || printf '%s ' "$name"
    done
}

# apt_install PACKAGE...: host packages, without a question and without a terminal.
apt_install() {
    command -v apt-get >/dev/null 2>&1 || fail "please install: $* (no apt-get on this machine)"
    [ "$(id -u)" = 0 ] || fail "please install: $* (installing them needs root)"
    say "installing $*"
    apt_log=$(mktemp)
    # A third-party source that is down must not stop us: only the installation has to succeed.
    DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >"$apt_log" 2>&1 || true
    with_log "$apt_log" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" || fail "could not install $*"
    rm -f "$apt_log"
}
