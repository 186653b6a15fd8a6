#!/bin/sh
# HEALTHCHECK: through nginx and gunicorn, on the port that the running box wrote down. The run directory is read off
# nginx's command line, so that it does not matter where it was configured. 127.0.0.1: localhost may be ::1 first.
run=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | sed -n 's/^nginx: master process nginx -p \([^ ]*\) .*/\1/p')
if [ ! -r "$run/port" ]; then
    echo "flagon is not serving: no nginx" >&2
    exit 1
fi
curl -fsS -o /dev/null --max-time 4 "http://127.0.0.1:$(cat "$run/port")/-/up"
