"""What supervisord starts as gunicorn, in the application's interpreter: sets the search path, then over to launch.py.

It is this short because a program, unlike a module, is compiled anew at each start.
"""

import os
import sys

# Was this file's own folder, where our logs.py would hide others' logs.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from flagon.inside.launch import main  # noqa: E402

main()
