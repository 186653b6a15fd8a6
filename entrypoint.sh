#!/bin/sh
# Hands over to the runtime: flagon/cli.py says which verbs there are. /opt/flagon/python is the python3 that the image
# build found; -I and -S keep PYTHON* variables and every site-packages folder out, so that no application can break it.
# All of it by full names: PATH may begin with a folder that the application can write to, and this may be root.
# Process 1 ignores a stop signal that it has no handler for: it is held back until there is one.
exec /usr/bin/env --block-signal=TERM,INT,QUIT /opt/flagon/python -I -S /opt/flagon/code/flagon/__main__.py "$@"
