"""Moments of the Redis clock as times of this process's event loop."""

from __future__ import annotations

# Clocks drift apart by some ms in this time: older measurements say less than newer ones.
_KEPT_S = 60.0


class RedisClock:
    """The difference between the loop's clock and that of Redis, measured by each call.

    A reply is read a little after the script noted its time. The smallest such delay of late is the
    truest measurement, so that all workers begin a fetch at nearly the same moment, however long
    a single reply took.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._measured_s = 0.0

    def measure(self, redis_ms: int, sent_s: float, received_s: float) -> None:
        """A call sent and answered at these loop times noted `redis_ms`."""
        least_s, most_s = sent_s - redis_ms / 1000 - 0.001, received_s - redis_ms / 1000
        known = self._offset_s
        is_old = received_s - self._measured_s > _KEPT_S
        # Below `least_s` it cannot be: somebody set the server's clock.
        if known is None or most_s < known or known < least_s or is_old:
            self._offset_s = most_s
            self._measured_s = received_s

    def loop_time(self, redis_ms: int) -> float:
        """When, by the loop's clock, Redis' clock shows `redis_ms`. `measure` comes first."""
        assert self._offset_s is not None
        return redis_ms / 1000 + self._offset_s
