"""What supervisord starts as migrate, and `flagon migrate`, in the application's interpreter: over to migrate.py."""

import os
import sys

# Was this file's own folder, where our logs.py would hide others' logs.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from flagon.inside.migrate import main  # noqa: E402

sys.exit(main(sys.argv))
