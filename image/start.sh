#!/bin/sh
# /start.sh of the older images: starts everything (docs/migrate.md).
exec /opt/flagon/entrypoint.sh serve
