#!/bin/sh
# /start.sh and /usr/bin/supervisord of the older images: both start everything (docs/migrate.md).
exec /opt/flagon/entrypoint.sh serve
