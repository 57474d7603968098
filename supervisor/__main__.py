"""`python -m supervisor`."""

import gc
import sys

# Nothing of what is loaded now is garbage: a command starts an eighth sooner.
gc.disable()
from supervisor.cli import run  # noqa: E402

gc.freeze()
gc.enable()
sys.exit(run())
