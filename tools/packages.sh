#!/bin/sh
# Installs the commands that are missing on this machine (each is in the Debian package of the same name).
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

wanted=$(missing "$@")
# shellcheck disable=SC2086  # one word a package
[ -z "$wanted" ] || apt_install $wanted
