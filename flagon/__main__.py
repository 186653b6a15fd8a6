"""Where entrypoint.sh enters: `python3 -I -S .../flagon/__main__.py VERB`, isolated, without site-packages.

It is named as a file and not as a folder, and asks `_signal` and not `signal`, which makes enumerations: gunicorn's
interpreter is started from here, and runpy and enum are 3 and 4 ms before that (measured).
"""

import _signal as signal  # type: ignore[import-not-found]
import gc
import os
import sys

# PID 1 has no default actions: until supervisord listens, a stop signal would be lost. Nothing runs yet: just leave.
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
for number in STOPS:
    signal.signal(number, lambda *_: os._exit(0))
signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)  # entrypoint.sh has blocked them

CODE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# -I keeps this folder itself from being searched (its logs.py is ours); supervisor lies in lib/ beside code/.
sys.path[0:0] = [CODE, os.path.join(os.path.dirname(CODE), "lib")]

from flagon import identity  # noqa: E402

try:
    if sys.argv[1:2] != ["static"]:  # writes what root alone may, and lowers its rights for what it reads
        identity.become(os.environ)
except identity.CannotDrop as refusal:
    from flagon.cli import say_errors

    sys.exit(say_errors([str(refusal)]))
from flagon import early  # noqa: E402

if sys.argv[1:] in ([], ["serve"]):
    early.start()
    gc.disable()  # imports leave nothing to collect: 5 ms; until supervisord runs
from flagon import timeline  # noqa: E402

timeline.mark("python")
from flagon import printable  # noqa: E402

printable.install()
from flagon.cli import main  # noqa: E402

sys.exit(printable.until_nobody_reads(main, sys.argv[1:]))
