#!/bin/sh
# Makes sure that the base image is here: already loaded, pulled, or else built from Debian's own packages.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

image=${BASE_IMAGE:-debian:trixie-slim}
suite=trixie

pull() {
    say "pulling $image"
    timeout "${PULL_TIMEOUT:-60}" docker pull -q "$image" </dev/null >/dev/null 2>"$work/pull.log"
}

# The slim image leaves out what nobody reads in a container, now and in later installations.
write_package_settings() {
    cat >"$root/etc/dpkg/dpkg.cfg.d/docker" <<-'SETTINGS'
		force-unsafe-io
		path-exclude /usr/share/doc/*
		path-include /usr/share/doc/*/copyright
		path-exclude /usr/share/info/*
		path-exclude /usr/share/locale/*
		path-include /usr/share/locale/locale.alias
		path-exclude /usr/share/man/*
	SETTINGS
    cat >"$root/etc/apt/apt.conf.d/docker-clean" <<-'SETTINGS'
		DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
		Dir::Cache::pkgcache "";
		Dir::Cache::srcpkgcache "";
		Acquire::Languages "none";
		Acquire::GzipIndexes "true";
		Apt::AutoRemove::SuggestsImportant "false";
	SETTINGS
    # No service is started while packages are installed: there is no init.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
}

# debootstrap knows one suite; the others live beside it on whichever mirror it used.
write_sources() {
    sources=$root/etc/apt/sources.list
    release=$(grep "^deb .* $suite " "$sources" | head -n 1)
    {
        printf '%s\n' "$release"
        printf '%s\n' "$release" | sed "s# $suite # $suite-updates #"
        printf '%s\n' "$release" | sed "s#/debian/\{0,1\} $suite #/debian-security $suite-security #"
    } >"$sources.new"
    mv "$sources.new" "$sources"
}

slim() {
    find "$root/usr/share/doc" -mindepth 1 ! -type d ! -name copyright -delete
    find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete
    find "$root/usr/share/locale" -mindepth 1 ! -name locale.alias -delete
    rm -rf "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/var/lib/apt/lists/* \
        "$root"/var/cache/apt/* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old \
        "$root"/var/cache/ldconfig/aux-cache "$root"/run/* "$root"/tmp/*
    mkdir -p "$root/var/lib/apt/lists/partial" "$root/var/cache/apt/archives/partial"
    find "$root/var/log" -type f -delete
    # Taken from this machine by debootstrap; the engine gives each container its own.
    rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
    # systemd's word for "made at first boot": no two containers share an identity.
    echo uninitialized >"$root/etc/machine-id"
}

# Networks that re-sign TLS: what this machine trusts, an installation inside the image has to trust too.
copy_certificates() {
    mkdir -p "$root/usr/local/share/ca-certificates"
    for certificate in /usr/local/share/ca-certificates/*.crt; do
        [ ! -f "$certificate" ] || cp "$certificate" "$root/usr/local/share/ca-certificates/"
    done
}

build() {
    say "no registry gave $image: building it from Debian's packages (about half a minute)"
    [ "$(id -u)" = 0 ] || fail "building the base image needs root (debootstrap)"
    [ -z "$(missing debootstrap)" ] || apt_install debootstrap
    with_log "$work/debootstrap.log" debootstrap --variant=minbase "$suite" "$root" ||
        fail "debootstrap failed; its last lines are above"
    write_package_settings
    write_sources
    copy_certificates
    slim
    tar -C "$root" --numeric-owner -c . | docker import --change 'CMD ["bash"]' - "$image" >/dev/null
    say "built $image"
}

# Two makes at once build it once: the script itself is the lock.
exec 9<tools/base-image.sh
flock 9

if docker image inspect "$image" >/dev/null 2>&1; then exit 0; fi

# Not /tmp: it is often small, or mounted so that debootstrap refuses it.
work=$(mktemp -d "${TMPDIR:-/var/tmp}/flagon-base.XXXXXX")
root=$work/root
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

if ! pull; then
    tail -n 2 "$work/pull.log" >&2
    case $image in
        debian:trixie-slim) build ;;
        *) fail "cannot pull $image, and only debian:trixie-slim can be built here" ;;
    esac
fi
