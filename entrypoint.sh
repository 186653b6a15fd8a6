#!/bin/sh
# Hands over to the runtime: flagon/cli.py says which verbs there are. /opt/flagon/python is the python3 that the image
# build found; -I and -S keep PYTHON* variables and every site-packages folder out, so that no application can break it.
exec /opt/flagon/python -I -S /opt/flagon/code/flagon "$@"
