# shellcheck shell=sh
# A login shell (`bash -lc "flask db upgrade && gunicorn ..."`) sets PATH anew: the application's programs are found there too.
PATH=/opt/flagon/bin:/opt/flagon/venv/bin:$PATH
