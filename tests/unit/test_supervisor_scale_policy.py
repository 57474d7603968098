"""Verdicts on the number of workers: pure, on a clock made of numbers."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.scale_policy import LoadReading, ScaleLimits, ScalePolicy

EVERY_S = 5.0
LIMITS = ScaleLimits(lowest=1, highest=8)


class Fleet:
    """Readings every 5 s; the fleet has at once what the policy says."""

    def __init__(self, limits: ScaleLimits = LIMITS, workers: int = 1) -> None:
        self.policy = ScalePolicy(limits)
        self.workers = workers
        self.now_s = 1000.0
        self.history = [workers]

    def live(
        self, seconds: float, ready: Callable[[int], int], use: float = 0.0, *,
        cpu_share: float = 0.0, memory_share: float = 0.0, own_memory_share: float = 0.0,
    ) -> None:  # fmt: skip
        """That long, with so many ready pages as `ready` says of the workers there are."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            reading = LoadReading(
                self.now_s, self.workers, ready(self.workers), use, cpu_share, memory_share,
                own_memory_share,
            )  # fmt: skip
            self.workers = self.policy.look(reading)
            self.history.append(self.workers)
            self.now_s += EVERY_S

    @property
    def turns(self) -> int:
        """How often the direction changed."""
        steps = [b - a for a, b in pairwise(self.history) if a != b]
        return sum((a > 0) != (b > 0) for a, b in pairwise(steps))


def much(_: int) -> int:
    return 10_000


def none(_: int) -> int:
    return 0


def test_one_reading_with_waiting_work_changes_nothing() -> None:
    fleet = Fleet()
    fleet.live(EVERY_S, much)
    fleet.live(EVERY_S, none)
    fleet.live(EVERY_S, much)
    assert fleet.workers == 1


def test_much_waiting_work_doubles_the_fleet_up_to_its_bound() -> None:
    fleet = Fleet()
    fleet.live(60, much, use=20)
    assert list(dict.fromkeys(fleet.history)) == [1, 2, 4, 8]


def test_little_waiting_work_adds_one_at_a_time() -> None:
    fleet = Fleet()
    fleet.live(100, lambda workers: 2 if workers < 4 else 0, use=3.5)
    assert list(dict.fromkeys(fleet.history)) == [1, 2, 3, 4]


@pytest.mark.parametrize(("share", "most"), [(0.2, 8), (0.5, 3), (0.9, 2)])
def test_no_worker_is_added_that_cpu_or_memory_has_no_room_for(share: float, most: int) -> None:
    for name in ("cpu_share", "memory_share"):
        fleet = Fleet(workers=2)
        fleet.live(10, much, use=20, **{name: share})
        # The share that one worker takes is the same after each step.
        for _ in range(5):
            fleet.live(15, much, use=20, **{name: min(1.0, share / 2 * fleet.workers)})
        assert fleet.workers == most


def test_idle_workers_go_one_by_one_after_a_time_each() -> None:
    fleet = Fleet(workers=4)
    fleet.live(55, none)
    assert fleet.workers == 4
    fleet.live(15, none)
    assert fleet.workers == 3
    fleet.live(300, none)
    assert fleet.workers == 1


def test_a_used_fleet_keeps_its_size() -> None:
    fleet = Fleet(workers=4)
    fleet.live(3600, none, use=2.0)
    assert fleet.workers == 4
    fleet.live(3600, none, use=1.7)
    assert fleet.workers == 3


def test_the_supervisors_own_memory_is_not_taken_for_a_workers() -> None:
    # A service inside a program that takes 58 % of the memory itself: 0.27 are left for workers.
    fleet = Fleet(workers=1)
    for _ in range(12):
        fleet.live(8, much, use=20, memory_share=0.05 * fleet.workers, own_memory_share=0.58)
    assert fleet.workers == 5
    fleet.live(60, much, use=20, memory_share=0.25, own_memory_share=0.9)
    assert fleet.workers == 5


def test_nothing_changes_while_a_worker_starts_or_drains() -> None:
    policy = ScalePolicy(LIMITS)
    for step in range(100):
        reading = LoadReading(step * EVERY_S, 3, 10_000, 30, is_settled=False)
        assert policy.look(reading) == 3


def test_bounds_hold_whatever_the_fleet_was() -> None:
    assert ScalePolicy(ScaleLimits(lowest=3)).look(LoadReading(0, 1, 0, 0)) == 3
    fleet = Fleet(workers=11)
    fleet.live(15, much, use=99)
    assert fleet.history[:4] == [11, 10, 9, 8]


def test_a_load_between_two_sizes_does_not_make_the_fleet_swing() -> None:
    """Three workers leave work over, four are one too many: the worst case for a swing."""
    fleet = Fleet(workers=3)
    for _ in range(4 * 3600 // 5):
        is_few = fleet.workers <= 3
        fleet.live(EVERY_S, much if is_few else none, use=3.0 if is_few else 1.0)
    by_hour = fleet.history[-3600 // 5 :]
    changes = sum(a != b for a, b in pairwise(by_hour))
    # Twice an hour up and down, at the most, once the policy has learnt.
    assert changes <= 8
    assert fleet.turns <= 30


@given(st.integers(1, 8), st.integers(1, 20), st.integers(0, 2**32))
def test_every_answer_is_within_the_bounds_and_a_step_down_is_of_one(
    highest: int, workers: int, seed: int
) -> None:
    limits, chance = ScaleLimits(lowest=1, highest=highest), random.Random(seed)
    policy = ScalePolicy(limits)
    for step in range(200):
        reading = LoadReading(
            step * EVERY_S, workers, chance.choice([0, 0, 1, 50]), chance.uniform(0, 12),
            chance.uniform(0, 1), chance.uniform(0, 1), is_settled=chance.random() < 0.7,
        )  # fmt: skip
        after = policy.look(reading)
        assert after >= workers - 1
        assert after <= max(workers, highest)
        assert after >= 1
        workers = after
