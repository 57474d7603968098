"""How fast this machine is right now: a fixed loop of Python, timed while a contender runs.

A shared or throttled machine changes its clock by half within minutes. The same loop, run in short
spells beside each contender, turns CPU-seconds into seconds of a machine of fixed speed.
"""

import statistics
import time

# A calibrated CPU-second is one of a machine that needs this long for one spell.
REFERENCE_SPELL_S = 0.005
_STEPS = 40_000


def spell() -> float:
    """Run the loop once; the CPU time of this thread that it took, in seconds."""
    started = time.thread_time()
    table = {0: 1}
    total = 0
    for step in range(_STEPS):
        total = (total * 31 + table[0] + step) & 0xFFFF
    table[0] = total
    return time.thread_time() - started


class SpeedGauge:
    """Collects spells during a run and says how fast the machine was then."""

    def __init__(self) -> None:
        self._spells: list[float] = []

    def sample(self) -> None:
        """One spell, about 5 ms of CPU."""
        self._spells.append(spell())

    @property
    def speed(self) -> float:
        """1.0 on the reference machine, 2.0 on one twice as fast.

        From the mean, not the median: a core that shares its silicon with a neighbour has two
        speeds, and the contender ran at each for its share of the time.
        """
        if not self._spells:
            self.sample()
        return REFERENCE_SPELL_S / statistics.fmean(self._spells)
