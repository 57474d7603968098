"""`python -m supervisor`."""

import gc
import sys

# Nothing of what is loaded now is garbage: a command starts an eighth sooner.
gc.disable()
try:
    from supervisor.cli import run
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] in ("supervisor", "scraper"):
        raise
    sys.exit(
        f"error: this Python has no module {error.name!r}. `make up` and `make crawl` set up .venv:"
        " use .venv/bin/python -m supervisor"
    )

gc.freeze()
gc.enable()
sys.exit(run())
