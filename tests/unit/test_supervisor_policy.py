"""Verdicts on deaths and on what the fleet needs: pure, on a clock made of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.children import Children, Doom, RestartHistory, SlotState, StopReason
from supervisor.exits import WorkerExit
from supervisor.policy import (
    LONGEST_WAIT_FOR_REDIS_S,
    Death,
    GiveUp,
    Kill,
    OpenBreaker,
    Restart,
    RestartLimits,
    RestartPolicy,
    Start,
    Stop,
    blames_pages,
    decide,
    fleet_deaths_s,
    next_moment_s,
)

KILLED = WorkerExit(-9)
REFUSED = WorkerExit(2)
NO_BREAKER = RestartLimits(breaker_deaths=10_000)


def death(
    at_s: float = 1000.0,
    lived_s: float = 1.0,
    ending: WorkerExit = KILLED,
    *,
    was_ready: bool = True,
    is_redis_reachable: bool = True,
) -> Death:
    return Death(at_s, lived_s, was_ready, ending, is_redis_reachable)


def highest_delays(policy: RestartPolicy, deaths: list[Death]) -> list[float]:
    history, delays = RestartHistory(), []
    for each in deaths:
        verdict = policy.judge(history, each)
        assert isinstance(verdict, Restart)
        history = verdict.history
        delays.append(verdict.delay_s)
    return delays


def test_backoff_doubles_from_half_a_second_to_a_minute() -> None:
    policy = RestartPolicy(NO_BREAKER, jitter=lambda: 1.0)
    delays = highest_delays(policy, [death() for _ in range(9)])
    assert delays == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


@given(jitter=st.floats(0, 1), deaths=st.integers(1, 2000))
def test_jitter_is_full_and_the_delay_is_bounded(jitter: float, deaths: int) -> None:
    policy = RestartPolicy(NO_BREAKER, jitter=lambda: jitter)
    verdict = policy.judge(RestartHistory(failures=deaths - 1), death())
    assert isinstance(verdict, Restart)
    assert 0 <= verdict.delay_s <= 60
    assert verdict.delay_s == jitter * min(60, 0.5 * 2.0 ** min(deaths - 1, 32))


def test_ten_healthy_minutes_start_the_backoff_anew() -> None:
    policy = RestartPolicy(jitter=lambda: 1.0)
    verdict = policy.judge(RestartHistory(failures=6), death(lived_s=600))
    assert isinstance(verdict, Restart)
    assert verdict.delay_s == 0.5


def test_the_fifth_death_within_a_minute_opens_the_breaker() -> None:
    policy, history = RestartPolicy(), RestartHistory()
    for at_s in (0, 10, 20, 30):
        verdict = policy.judge(history, death(at_s))
        assert isinstance(verdict, Restart)
        history = verdict.history
    verdict = policy.judge(history, death(40))
    assert isinstance(verdict, OpenBreaker)
    assert verdict.why == "died 5 times"


def test_five_deaths_over_more_than_a_minute_leave_the_breaker_closed() -> None:
    policy = RestartPolicy(jitter=lambda: 1.0)
    assert len(highest_delays(policy, [death(at_s) for at_s in range(0, 300, 16)])) == 19


def test_after_the_pause_one_more_death_opens_the_breaker_again() -> None:
    policy = RestartPolicy()
    history = RestartHistory(failures=5, deaths_s=(0, 5, 10, 15, 20))
    verdict = policy.judge(history, death(20 + policy.limits.breaker_pause_s))
    assert isinstance(verdict, OpenBreaker)


def test_a_wrong_configuration_is_not_tried_again() -> None:
    verdict = RestartPolicy().judge(RestartHistory(), death(ending=REFUSED, was_ready=False))
    assert isinstance(verdict, GiveUp)
    assert "configuration" in verdict.reason


@pytest.mark.parametrize(
    "later",
    [
        death(ending=REFUSED, was_ready=True),
        death(ending=REFUSED, was_ready=False, lived_s=100),
        death(ending=REFUSED, was_ready=False, is_redis_reachable=False),
        death(ending=WorkerExit(3), was_ready=False),
        death(ending=WorkerExit(1), was_ready=False),
    ],
)
def test_other_early_ends_are_tried_again(later: Death) -> None:
    assert isinstance(RestartPolicy().judge(RestartHistory(), later), Restart)


def test_a_redis_that_is_away_opens_no_breaker_and_is_asked_again_soon() -> None:
    policy = RestartPolicy(jitter=lambda: 1.0)
    away = [death(ending=WorkerExit(3), was_ready=False) for _ in range(20)]
    delays = highest_delays(policy, away)
    assert max(delays) == LONGEST_WAIT_FOR_REDIS_S


def test_wanted_slots_are_started_when_their_backoff_is_over() -> None:
    children = Children("here")
    children.resize(2)
    first, second = children.slots
    children.backing_off(second, 10.0, RestartHistory(1, (9.0,)))
    assert decide(children.slots, 9.9) == [Start(first)]
    assert next_moment_s(children.slots) == 0.0
    children.started(first, "here/worker-1#a", 100, 9.9)
    assert next_moment_s(children.slots) == 10.0
    assert decide(children.slots, 10.0) == [Start(second)]


def test_surplus_workers_drain_and_are_killed_after_their_deadline() -> None:
    children = Children("here")
    children.resize(1)
    [slot] = children.slots
    children.started(slot, "here/worker-1#a", 100, 0.0)
    children.resize(0)
    assert decide(children.slots, 1.0) == [Stop(slot, StopReason.RETIRE)]
    children.stopping(slot, StopReason.RETIRE, kill_at_s=26.0)
    assert decide(children.slots, 25.9) == []
    assert next_moment_s(children.slots) == 26.0
    assert decide(children.slots, 26.0) == [Kill(slot)]


def test_a_slot_that_gave_up_is_left_alone() -> None:
    children = Children("here")
    children.resize(1)
    [slot] = children.slots
    children.gave_up(slot, "wrong settings")
    assert decide(children.slots, 1e9) == []
    assert next_moment_s(children.slots) is None
    assert slot.state is SlotState.DEAD


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (WorkerExit(-9), "killed by SIGKILL (out of memory?)"),
        (WorkerExit(-9, is_ordered=True), "killed by SIGKILL"),
        (WorkerExit(-11), "killed by SIGSEGV (native code crashed)"),
        (WorkerExit(-9, is_out_of_memory=True), "killed by SIGKILL (out of memory)"),
        (WorkerExit(-9, is_out_of_memory=False), "killed by SIGKILL (by somebody else)"),
        (WorkerExit(1, cause="no spider"), "failed with exit code 1: no spider"),
        (WorkerExit(-99), "killed by signal 99"),
        (WorkerExit(0), "ended by itself"),
        (WorkerExit(3), "could not reach Redis, or write to it"),
        (WorkerExit(7), "failed with exit code 7"),
        (WorkerExit(None, problem="no memory"), "could not be started: no memory"),
    ],
)
def test_an_end_is_told_in_words(ending: WorkerExit, words: str) -> None:
    assert str(ending) == words


def test_the_whole_fleet_has_a_limit_on_restarts() -> None:
    policy = RestartPolicy(RestartLimits(fleet_deaths=3, breaker_deaths=100), jitter=lambda: 0.0)
    verdict = policy.judge(RestartHistory(), death(900), [100.0, 500.0])
    assert isinstance(verdict, Restart)
    verdict = policy.judge(RestartHistory(), death(900), [200.0, 400.0, 500.0])
    assert isinstance(verdict, Restart)
    verdict = policy.judge(RestartHistory(), death(900), [310.0, 400.0, 500.0])
    assert isinstance(verdict, OpenBreaker)
    assert verdict.pause_s == 310 + 600 - 900
    assert "all workers together died 3 times in 10 min" in verdict.why


def test_restarts_in_ten_minutes_stay_within_the_limit_of_the_fleet() -> None:
    limits = RestartLimits(fleet_deaths=20)
    policy = RestartPolicy(limits)
    children, now_s, starts = Children("here"), 0.0, []
    children.resize(3)
    due = dict.fromkeys(children.slots, 0.0)
    while now_s < 3600:
        slot = min(due, key=lambda one: due[one])
        now_s = due[slot]
        starts.append(now_s)
        verdict = policy.judge(
            slot.history, death(now_s + 1, was_ready=False, ending=WorkerExit(1)),
            fleet_deaths_s(children.slots),
        )  # fmt: skip
        assert not isinstance(verdict, GiveUp)
        slot.history = verdict.history
        pause_s = verdict.delay_s if isinstance(verdict, Restart) else verdict.pause_s
        due[slot] = now_s + 1 + pause_s
    worst = max(sum(at <= other < at + 600 for other in starts) for at in starts)
    # Starts that were allowed before the other slots' last deaths were known.
    assert worst <= 20 + 3


@pytest.mark.parametrize(
    ("state", "ending", "doom", "is_to_blame"),
    [
        (SlotState.RUNNING, WorkerExit(-9), None, True),
        (SlotState.RUNNING, WorkerExit(-11), None, True),
        (SlotState.RUNNING, WorkerExit(1), None, True),
        (SlotState.RUNNING, WorkerExit(0), None, False),
        (SlotState.RUNNING, WorkerExit(3), None, False),
        (SlotState.RUNNING, WorkerExit(-9, is_ordered=True), Doom("stuck", True), True),
        (SlotState.RUNNING, WorkerExit(-9, is_ordered=True), Doom("stopped", False), False),
        (SlotState.STOPPING, WorkerExit(-9, is_ordered=True), None, False),
        (SlotState.STOPPING, WorkerExit(1, is_ordered=True), None, False),
        (SlotState.STOPPING, WorkerExit(-11, is_ordered=True), None, True),
    ],
)
def test_pages_are_suspected_of_deaths_that_nobody_else_caused(
    state: SlotState, ending: WorkerExit, doom: Doom | None, is_to_blame: bool
) -> None:
    assert blames_pages(state, ending, doom) is is_to_blame
