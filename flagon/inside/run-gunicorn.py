"""What supervisord starts as gunicorn, in the application's interpreter: sets the search path, then over to launch.py.

It is this short because a program, unlike a module, is compiled anew at each start. The guard is for child processes
that the application starts with multiprocessing's spawn or forkserver: they run this file again, under another name.
"""

import os
import sys

if __name__ == "__main__":
    # Was this file's own folder, where our logs.py would hide others' logs.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

    from flagon.inside.launch import main

    main()
