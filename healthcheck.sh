#!/bin/sh
# HEALTHCHECK: through nginx and gunicorn, on the port that the running box wrote down. 127.0.0.1 and not localhost,
# which may be ::1 first.
for run in "$FLAGON_RUNTIME_DIR/flagon" "$RUNTIME_DIR/flagon" /run/flagon /tmp/flagon /dev/shm/flagon; do
    [ -r "$run/port" ] || continue
    curl -fsS -o /dev/null --max-time 4 "http://127.0.0.1:$(cat "$run/port")/-/up"
    exit
done
echo "flagon is not serving: no port file" >&2
exit 1
