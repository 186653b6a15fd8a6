#!/bin/sh
# /start-reload.sh of the uvicorn images: starts everything, and loads the code again on save (docs/migrate.md).
FLASK_DEBUG=${FLASK_DEBUG:-1}
export FLASK_DEBUG
exec /opt/flagon/entrypoint.sh serve
