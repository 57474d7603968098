"""Pure verdicts on life and death: is a worker alive, busy with a page, or stuck."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from scraper.jobs import Config

# A worker ticks five times a second; one that did not for this long is held by something.
BUSY_AFTER_S = 1.0
# The longest way of a page before its callback: the request and its redirects, all of them slow.
FETCHES_OF_A_PAGE = 11


@dataclass(frozen=True, slots=True)
class LivenessLimits:
    """How long a worker may be silent, in seconds.

    `stall_s`: its event loop; `start_s`: the same from its start to its first tick; `redis_s`: its
    calls to Redis, while others get answers; `fetch_s`: no page goes on although some are fetched.
    """

    stall_s: float
    start_s: float
    redis_s: float
    fetch_s: float

    @classmethod
    def of(cls, config: Config) -> LivenessLimits:
        return cls(
            stall_s=config.stall_timeout_s,
            start_s=max(config.worker_start_timeout_s, config.stall_timeout_s),
            # By then its leases are over: whatever it has is fetched again.
            redis_s=config.lease_ms / 1000,
            fetch_s=FETCHES_OF_A_PAGE * config.request_timeout_s + config.stall_timeout_s,
        )


@dataclass(frozen=True, slots=True)
class Pulse:
    """What is seen of a worker from outside. Moments are monotonic seconds, 0 for never.

    `is_stopped`: by SIGSTOP. `fetching`: pages in hand whose handling has not begun. `moved_s`:
    when a page of it last began or ended. `begun_s`: when a callback of it was last called.
    `busy_s`: when it was last seen to be busy.
    """

    started_s: float
    tick_s: float
    redis_s: float
    is_stopped: bool = False
    fetching: int = 0
    moved_s: float = 0.0
    begun_s: float = 0.0
    busy_s: float = 0.0


class Vitality(enum.Enum):
    ALIVE = "alive"
    BUSY = "busy"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Finding:
    """`reason` says why it is stuck, "" otherwise."""

    vitality: Vitality
    silent_s: float
    reason: str = ""


def examine(
    pulse: Pulse, limits: LivenessLimits, now_s: float, awake_s: float, redis_since_s: float | None
) -> Finding:
    """The verdict on one worker.

    `awake_s`: since when this process itself has been running without a gap: nobody is blamed
    for what happened before. `redis_since_s`: since when Redis has answered this process without
    a failure, None: it does not.
    """
    since_s = max(pulse.started_s, awake_s)
    # Callbacks that are called one after another leave the loop no turn to tick: none of them is
    # to blame for the time of those before it.
    silent_s = now_s - max(pulse.tick_s, pulse.begun_s, since_s)
    limit_s = limits.stall_s if pulse.tick_s else limits.start_s
    if silent_s > limit_s:
        what = "is stopped (SIGSTOP)" if pulse.is_stopped else "its event loop has not run"
        if not pulse.tick_s and not pulse.is_stopped:
            what = "has not come up"
        return Finding(Vitality.STUCK, silent_s, f"{what} for {silent_s:.1f} s")
    if now_s - max(pulse.tick_s, since_s) > min(BUSY_AFTER_S, limits.stall_s / 4):
        return Finding(Vitality.BUSY, silent_s)
    reason = ""
    if redis_since_s is not None:
        # While it was busy it could not ask.
        quiet_s = now_s - max(pulse.redis_s, since_s, redis_since_s, pulse.busy_s)
        if quiet_s > limits.redis_s:
            reason = f"no call of it to Redis has come back for {quiet_s:.1f} s"
    if pulse.fetching and now_s - max(pulse.moved_s, awake_s) > limits.fetch_s:
        reason = f"none of its {pulse.fetching} fetches has ended for {now_s - pulse.moved_s:.1f} s"
    return Finding(Vitality.STUCK if reason else Vitality.ALIVE, silent_s, reason)


class Wakefulness:
    """Notices that this process itself did not run: a suspended machine, a frozen container.

    The workers did not run either, so their silence says nothing until they had time to tick.
    """

    def __init__(self, longest_gap_s: float) -> None:
        self._longest_gap_s = longest_gap_s
        self._looked_s: float | None = None
        self._awake_s = 0.0

    def look(self, now_s: float) -> float:
        """Called regularly; since when this process has been awake."""
        if self._looked_s is not None and now_s - self._looked_s > self._longest_gap_s:
            self._awake_s = now_s
        self._looked_s = now_s
        return self._awake_s
