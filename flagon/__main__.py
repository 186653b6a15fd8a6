"""Where entrypoint.sh enters: `python3 -I -S /opt/flagon/code/flagon VERB`, isolated, without site-packages."""

import os
import sys

CODE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# This folder itself must not be searched (its logs.py and settings.py are ours); supervisor lies in lib/ beside code/.
sys.path[0:1] = [CODE, os.path.join(os.path.dirname(CODE), "lib")]

from flagon.cli import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
