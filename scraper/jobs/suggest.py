"""The nearest right name for a mistyped one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that `name` most likely means; None when none is near.

    Case and separators do not count: `max_pages` and `MAX-PAGES` mean `maxPages`.
    """
    plain = {_plain(known): known for known in names}
    if _plain(name) in plain:
        return plain[_plain(name)]
    found = difflib.get_close_matches(_plain(name), list(plain), n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def did_you_mean(name: str, names: Iterable[str], otherwise: str) -> str:
    """A hint: the nearest of `names`, else all of them behind `otherwise`."""
    known = sorted(names)
    guess = nearest(name, known)
    return f"did you mean {guess}?" if guess else f"{otherwise} {', '.join(known)}"
