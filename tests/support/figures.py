"""Words for the figures of a run: beside a zero stands how often it was tried, and its bound."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence


def none_of(trials: int, what: str) -> str:
    """A zero. Its bound at 95 % is 3/n (Hanley and Lippman-Hand, "If nothing goes wrong, is
    everything all right?", JAMA 1983)."""
    return f"0 of {trials} {what} (bound {3 / trials:.2g})"


def times(seconds: Sequence[float]) -> str:
    """How long something took, over all its trials."""
    return (
        f"{statistics.median(seconds):.3f} s median, {max(seconds):.3f} s at most "
        f"(n = {len(seconds)})"
    )


def tell(fault: str, *figures: str) -> None:
    """Print one row for docs/reliability.md, with the load that the machine had."""
    load, *_ = os.getloadavg()
    print(f"\nFIGURE {fault}: {'; '.join(figures)}; load {load:.1f} on {os.cpu_count()} cores")
