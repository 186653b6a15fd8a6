"""Runs a script in the user's interpreter, the image's own packages behind theirs. Arguments: the script, its own."""

import os
import runpy
import sys

# Was this file's own folder, where our logs.py would hide others' logs.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from flagon.inside import own_packages  # noqa: E402

own_packages.provide()
del sys.argv[0]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
