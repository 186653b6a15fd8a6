"""Prints what a gunicorn configuration file says of some settings, as JSON. Arguments: location, folders, the names."""

import json
import os
import sys

if __name__ == "__main__":  # and not again in child processes of multiprocessing
    # Not this file's own folder, where our logs.py would hide others' logs.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

    from flagon.inside import own_packages, users_config

    own_packages.provide()
    location, folders, *names = sys.argv[1:]
    sys.path[0:1] = folders.split(os.pathsep)
    read = users_config.read
    real = os.dup(1)
    os.dup2(2, 1)  # what the file itself prints is said once, when gunicorn reads it
    sys.argv[:] = ["gunicorn"]
    found = read(location)
    sys.stdout.flush()
    plain: dict[str, object] = {}
    for name in names:
        value = found.get(name)
        if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
            plain[name] = list(value)
        elif isinstance(value, (str, int, float, bool)):
            plain[name] = value
    os.write(real, json.dumps(plain).encode() + b"\n")
