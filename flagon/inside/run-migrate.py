"""What supervisord starts as migrate, and `flagon migrate`, in the application's interpreter: over to migrate.py."""

import os
import sys

if __name__ == "__main__":  # and not again in child processes of multiprocessing
    # Was this file's own folder, where our logs.py would hide others' logs.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

    from flagon.inside import own_packages

    own_packages.provide()

    from flagon.inside.migrate import main

    sys.exit(main(sys.argv))
