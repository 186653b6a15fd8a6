"""Prints what a gunicorn configuration file says of some settings, as JSON. Arguments: the file, the names."""

import json
import os
import runpy
import sys

real = os.dup(1)
os.dup2(2, 1)  # what the file itself prints is said once, when gunicorn reads it
found = runpy.run_path(sys.argv[1])
sys.stdout.flush()
plain = {name: found[name] for name in sys.argv[2:] if isinstance(found.get(name), (str, int, float, bool))}
os.write(real, json.dumps(plain).encode() + b"\n")
