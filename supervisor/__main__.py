"""`python -m supervisor`."""

import sys

from supervisor.cli import run

sys.exit(run())
