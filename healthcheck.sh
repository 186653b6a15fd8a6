#!/bin/sh
# HEALTHCHECK: through nginx and gunicorn, where the running box wrote down that it listens. The run directory is read off
# nginx's command line, so that it does not matter where it was configured. A user's own nginx.conf may not lead /-/up to
# the application: then any answer that is no 5xx will do.
run=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | sed -n 's/^nginx: master process nginx -p \([^ ]*\) .*/\1/p')
if [ ! -r "$run/url" ]; then
    echo "flagon is not serving: no nginx" >&2
    exit 1
fi
status=$(curl -ksS -o /dev/null -w '%{http_code}' --max-time 4 "$(cat "$run/url")/-/up") || exit 1
case $status in
    200) ;;
    5*) echo "/-/up answers $status" >&2 && exit 1 ;;
    *) [ ! -L "$run/nginx.conf" ] || { echo "/-/up answers $status" >&2 && exit 1; } ;;
esac
