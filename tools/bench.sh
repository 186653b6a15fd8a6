#!/bin/sh
# Sets up for bench/ and runs it. Arguments are the benchmark's own.
set -eu
cd "$(dirname "$0")/.."

tools/venv.sh
tools/packages.sh curl wrk
command -v h2load >/dev/null || tools/packages.sh nghttp2-client
tools/image.sh
exec .venv/bin/python -m bench "$@"
