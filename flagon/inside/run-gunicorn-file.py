"""Prints what a gunicorn configuration file says of some settings, as JSON. Arguments: location, folders, the names."""

import json
import os
import sys

if __name__ == "__main__":  # and not again in child processes of multiprocessing
    import users_config  # type: ignore[import-not-found] # beside this file

    location, folders, *names = sys.argv[1:]
    sys.path[0:1] = folders.split(os.pathsep)
    read = users_config.read
    del sys.modules["users_config"]  # the name may be that of a module of the user's
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
