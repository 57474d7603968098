"""How late the supervisor's event loop is: what makes it late makes it slow to see dead workers."""

from __future__ import annotations

import asyncio
import time

EVERY_S = 0.1


class LoopLag:
    """Measures while `run` runs."""

    def __init__(self) -> None:
        self._worst_s = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due_s = time.monotonic() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self._worst_s = max(self._worst_s, time.monotonic() - due_s)

    def take_ms(self) -> float:
        """The worst lag since it was last asked for, in ms."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return round(worst_s * 1000, 1)
