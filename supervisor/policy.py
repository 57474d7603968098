"""Pure verdicts: when a worker that ended starts again, and what the fleet needs now."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from supervisor.children import Doom, RestartHistory, Slot, SlotState, StopReason
from supervisor.exits import WorkerExit

# Redis comes back for all workers at once: no reason to wait a minute for it.
LONGEST_WAIT_FOR_REDIS_S = 5.0


@dataclass(frozen=True, slots=True)
class RestartLimits:
    """All in monotonic seconds. A slot that lived `healthy_after_s` starts its backoff anew.

    `breaker_deaths` within `breaker_window_s` open the breaker of a slot: it is tried again after
    `breaker_pause_s`. No more than `fleet_deaths` of all workers together are followed by a start
    within `fleet_window_s`. Exit code 2 within `startup_s`, before the worker was ready, is final.
    """

    backoff_min_s: float = 0.5
    backoff_max_s: float = 60.0
    healthy_after_s: float = 600.0
    breaker_deaths: int = 5
    breaker_window_s: float = 60.0
    breaker_pause_s: float = 30.0
    fleet_deaths: int = 60
    fleet_window_s: float = 600.0
    startup_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Death:
    """An end that nobody ordered. `lived_s`: since its start."""

    at_s: float
    lived_s: float
    was_ready: bool
    exit: WorkerExit
    is_redis_reachable: bool = True


@dataclass(frozen=True, slots=True)
class Restart:
    """Start again after `delay_s`."""

    delay_s: float
    history: RestartHistory


@dataclass(frozen=True, slots=True)
class OpenBreaker:
    """Too many deaths: leave the slot alone for `pause_s`, and say `why`."""

    pause_s: float
    why: str
    history: RestartHistory


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Starting it again cannot help."""

    reason: str


Verdict = Restart | OpenBreaker | GiveUp


class RestartPolicy:
    """What follows from a death, by the history of its slot.

    Backoff is exponential with full jitter: uniform between 0 and min(max, min * 2^(n-1)) after
    the n-th death in a row (Brooker, "Exponential Backoff And Jitter", 2015).
    """

    def __init__(
        self, limits: RestartLimits | None = None, jitter: Callable[[], float] = random.random
    ) -> None:
        self.limits = limits or RestartLimits()
        self._jitter = jitter

    def judge(
        self, history: RestartHistory, death: Death, fleet_s: Sequence[float] = ()
    ) -> Verdict:
        """The verdict on one death. `fleet_s`: when workers died before it, of all slots, the
        newest last."""
        limits = self.limits
        is_early = not death.was_ready and death.lived_s < limits.startup_s
        if death.exit.is_redis_away or (
            death.exit.is_configuration_error and not death.is_redis_reachable
        ):
            history = replace(history, failures=history.failures + 1)
            return Restart(self._delay_s(history.failures, LONGEST_WAIT_FOR_REDIS_S), history)
        if death.exit.is_configuration_error and is_early:
            return GiveUp(str(death.exit))
        is_fresh = death.lived_s >= limits.healthy_after_s
        recent = [at for at in history.deaths_s if death.at_s - at < limits.fleet_window_s]
        history = RestartHistory(
            failures=1 if is_fresh else history.failures + 1, deaths_s=(*recent, death.at_s)
        )
        deaths = sum(death.at_s - at < limits.breaker_window_s for at in history.deaths_s)
        pause_s = self._fleet_pause_s(death.at_s, fleet_s)
        if pause_s > limits.breaker_pause_s or (pause_s and deaths < limits.breaker_deaths):
            why = (
                f"all workers together died {limits.fleet_deaths} times in "
                f"{limits.fleet_window_s / 60:g} min"
            )
            return OpenBreaker(pause_s, why, history)
        if deaths >= limits.breaker_deaths:
            return OpenBreaker(limits.breaker_pause_s, f"died {deaths} times", history)
        return Restart(self._delay_s(history.failures, limits.backoff_max_s), history)

    def _fleet_pause_s(self, now_s: float, fleet_s: Sequence[float]) -> float:
        """Until so many of the deaths are long enough ago that another start is allowed."""
        limits = self.limits
        recent = [at for at in fleet_s if now_s - at < limits.fleet_window_s]
        if len(recent) < limits.fleet_deaths:
            return 0.0
        return recent[-limits.fleet_deaths] + limits.fleet_window_s - now_s

    def _delay_s(self, failures: int, longest_s: float) -> float:
        # The exponent is bounded: 2.0 ** 1100 is an OverflowError.
        highest = self.limits.backoff_min_s * 2.0 ** min(failures - 1, 32)
        return self._jitter() * min(longest_s, highest)


def fleet_deaths_s(slots: Iterable[Slot]) -> list[float]:
    """When workers died without being asked to, in the last minutes, of all slots; in order."""
    return sorted(at_s for slot in slots for at_s in slot.history.deaths_s)


def blames_pages(state: SlotState, ending: WorkerExit, doom: Doom | None) -> bool:
    """Whether the pages that a worker was handling may have killed it. `state`: before its end.

    Not when the supervisor ended it for reasons of its own: a drain, a restart, its deadline.
    """
    if doom is not None:
        return doom.blames_pages
    if ending.is_crash:
        return True
    is_asked = state is SlotState.STOPPING or ending.is_ordered
    is_start_fault = ending.is_redis_away or ending.is_configuration_error
    return not is_asked and not is_start_fault and ending.code != 0


@dataclass(frozen=True, slots=True)
class Start:
    slot: Slot


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask a worker to drain."""

    slot: Slot
    reason: StopReason


@dataclass(frozen=True, slots=True)
class Kill:
    """Its drain deadline is over."""

    slot: Slot


Action = Start | Stop | Kill


def decide(slots: Iterable[Slot], now_s: float) -> list[Action]:
    """What to do now, in the order of the slots; doing it changes the slots."""
    actions: list[Action] = []
    for slot in slots:
        if slot.state is SlotState.STOPPING:
            if slot.kill_at_s is not None and now_s >= slot.kill_at_s:
                actions.append(Kill(slot))
        elif slot.is_alive:
            if not slot.is_wanted:
                actions.append(Stop(slot, StopReason.RETIRE))
        elif slot.is_wanted and slot.failure is None and now_s >= slot.start_at_s:
            actions.append(Start(slot))
    return actions


def next_moment_s(slots: Iterable[Slot]) -> float | None:
    """When `decide` may say something new although nothing happened; None: never."""
    moments = [
        slot.kill_at_s if slot.state is SlotState.STOPPING else slot.start_at_s
        for slot in slots
        if slot.state is SlotState.STOPPING or (not slot.is_alive and slot.failure is None)
    ]
    return min((moment for moment in moments if moment is not None), default=None)
