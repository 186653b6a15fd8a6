#!/bin/sh
# Removes virtual environments, caches and our images; the data volumes and the base image stay.
set -eu
cd "$(dirname "$0")/.."

rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache
find . -name .git -prune -o -type d -name __pycache__ -exec rm -rf {} +
docker image rm flagon:latest flagon:runtime flagon-test-postgres flagon-test-pgbouncer >/dev/null 2>&1 || true
