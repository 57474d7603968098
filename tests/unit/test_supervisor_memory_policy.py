"""Verdicts on memory: pure, one made-up reading after another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from supervisor.memory_policy import (
    COLLECT,
    HALF,
    MIB,
    QUARTER,
    MemoryIsHigh,
    MemoryLimits,
    MemoryPolicy,
    Recycle,
    Relieve,
    SuspectLeak,
    Verdict,
    WorkerReading,
)

V = TypeVar("V")


def worker(
    used_mib: float = 80, number: int = 1, process: str = "a", **facts: float
) -> WorkerReading:
    name = f"s/worker-{number}"
    return WorkerReading(name, f"{name}#{process}", int(used_mib * MIB), **facts)  # type: ignore[arg-type]


def of_kind(kind: type[V], verdicts: Iterable[Verdict]) -> list[V]:
    return [verdict for verdict in verdicts if isinstance(verdict, kind)]


def seen(
    policy: MemoryPolicy, share: float, *workers: WorkerReading, times: int = 1
) -> list[Verdict]:
    """All verdicts of that many equal readings."""
    return [verdict for _ in range(times) for verdict in policy.look(share, workers)]


def after_baseline(limits: MemoryLimits | None = None, count: int = 1) -> MemoryPolicy:
    policy = MemoryPolicy(limits)
    assert not seen(policy, 0.1, *(worker(80, number) for number in range(1, count + 1)))
    return policy


def test_workers_near_their_baseline_are_never_struck() -> None:
    policy = MemoryPolicy(MemoryLimits(threshold=0.01))
    assert seen(policy, 0.02, worker(80)) == [MemoryIsHigh(0.02)]
    assert seen(policy, 0.95, worker(130), times=100) == [MemoryIsHigh(0.95, is_critical=True)]


def test_the_threshold_is_told_once_and_the_critical_share_again() -> None:
    policy = after_baseline()
    shares = [0.86, 0.88, 0.91, 0.95, 0.84, 0.86, 0.5, 0.91]
    told = [
        of_kind(MemoryIsHigh, policy.look(share, [worker()], may_recycle=False)) for share in shares
    ]
    assert [[item.is_critical for item in items] for items in told] == [
        [False], [], [True], [], [], [False], [], [True],
    ]  # fmt: skip


def test_relief_comes_in_steps_and_the_heaviest_is_recycled_last() -> None:
    policy = after_baseline(count=3)
    workers = (worker(400, 1), worker(600, 2), worker(85, 3))
    levels: list[tuple[int, ...]] = []
    for reading in range(1, 7):
        verdicts = policy.look(0.87, workers)
        assert not of_kind(Recycle, verdicts), reading
        levels.append(tuple(item.level for item in of_kind(Relieve, verdicts)))
        assert {item.worker_id for item in of_kind(Relieve, verdicts)} <= {
            "s/worker-1", "s/worker-2",
        }  # fmt: skip
    assert levels == [(COLLECT, COLLECT), (), (HALF, HALF), (), (QUARTER, QUARTER), ()]
    [recycle] = of_kind(Recycle, policy.look(0.87, workers))
    assert (recycle.worker_id, recycle.is_urgent) == ("s/worker-2", False)


def test_a_critical_share_takes_fewer_steps() -> None:
    policy = after_baseline()
    first = policy.look(0.92, [worker(700)])
    assert of_kind(Relieve, first) == [Relieve("s/worker-1", HALF)]
    verdicts = seen(policy, 0.92, worker(700), times=4)
    [recycle] = of_kind(Recycle, verdicts)
    assert recycle.is_urgent


def test_relief_ends_when_memory_is_well_below_the_threshold() -> None:
    policy = after_baseline()
    seen(policy, 0.87, worker(400))
    assert not of_kind(Relieve, policy.look(0.83, [worker(400)]))
    assert of_kind(Relieve, policy.look(0.5, [worker(400)])) == [Relieve("s/worker-1", 0)]


def test_nobody_is_recycled_while_a_worker_is_missing() -> None:
    policy = after_baseline(MemoryLimits(recycle_after_pages=10))
    worn = worker(900, pages_done=50)
    for _ in range(30):
        assert not of_kind(Recycle, policy.look(0.95, [worn], may_recycle=False))
    assert len(of_kind(Recycle, policy.look(0.95, [worn]))) == 1


def test_own_limit_means_relief_then_recycling_then_the_end() -> None:
    limits = MemoryLimits(worker_limit_bytes=400 * MIB)
    policy = after_baseline(limits)
    assert seen(policy, 0.1, worker(350)) == [Relieve("s/worker-1", COLLECT)]
    assert seen(policy, 0.1, worker(410)) == [Relieve("s/worker-1", HALF)]
    assert not seen(policy, 0.1, worker(410))
    [recycle] = seen(policy, 0.1, worker(410))
    assert isinstance(recycle, Recycle)
    assert not recycle.is_urgent
    assert not policy.is_to_kill(worker(599))
    assert policy.is_to_kill(worker(601))


def test_far_beyond_its_limit_a_worker_is_recycled_at_once() -> None:
    policy = after_baseline(MemoryLimits(worker_limit_bytes=400 * MIB))
    [recycle] = of_kind(Recycle, policy.look(0.1, [worker(510)]))
    assert recycle.is_urgent


def test_a_limit_below_what_an_idle_worker_needs_starts_no_loop() -> None:
    policy = MemoryPolicy(MemoryLimits(worker_limit_bytes=64 * MIB))
    for process in "abcdef":
        idle = worker(110, process=process)
        assert not policy.is_to_kill(idle)
        assert not seen(policy, 0.99, idle, times=20)[1:]


def test_a_new_process_has_a_baseline_of_its_own() -> None:
    policy = after_baseline(MemoryLimits(worker_limit_bytes=400 * MIB))
    seen(policy, 0.1, worker(450))
    assert not seen(policy, 0.1, worker(160, process="b"), times=50)


def test_workers_are_recycled_by_pages_and_by_age_one_at_a_time_the_oldest_first() -> None:
    policy = MemoryPolicy(MemoryLimits(recycle_after_pages=100, recycle_after_s=3600))
    young = worker(number=1, pages_done=150, age_s=60)
    old = worker(number=2, pages_done=5, age_s=4000)
    fresh = worker(number=3, pages_done=99, age_s=3599)
    assert policy.look(0.1, [young, old, fresh]) == [Recycle("s/worker-2", "ran for 4000 s")]
    assert policy.look(0.1, [young, fresh]) == [Recycle("s/worker-1", "did 150 pages")]
    assert not policy.look(0.1, [fresh])


def test_a_leak_is_suspected_when_each_of_ten_readings_rises_by_five_percent() -> None:
    policy = MemoryPolicy()
    rising = [100 * 1.06**step for step in range(10)]
    verdicts = [policy.look(0.1, [worker(mib)]) for mib in rising]
    assert not any(of_kind(SuspectLeak, verdict) for verdict in verdicts[:-1])
    [leak] = of_kind(SuspectLeak, verdicts[-1])
    assert leak.readings == tuple(int(mib * MIB) for mib in rising)
    # Told again only after as many readings more.
    assert not of_kind(SuspectLeak, policy.look(0.1, [worker(rising[-1] * 1.06)]))


def test_growth_that_pauses_or_is_slow_is_no_leak() -> None:
    for rising in ([100 * 1.04**step for step in range(60)], [100, *[150] * 3, 200, 300] * 9):
        policy = MemoryPolicy()
        for mib in rising:
            assert not of_kind(SuspectLeak, policy.look(0.1, [worker(mib)]))


@given(
    st.lists(
        st.tuples(
            st.floats(0, 2), st.lists(st.integers(40, 3000), min_size=1, max_size=4), st.booleans()
        ),
        max_size=60,
    )
)
def test_whatever_is_read_at_most_one_is_recycled_and_only_one_far_from_its_baseline(
    readings: list[tuple[float, list[int], bool]],
) -> None:
    policy, lowest = MemoryPolicy(), dict[str, int]()
    for share, sizes, may_recycle in readings:
        workers = [worker(size, number) for number, size in enumerate(sizes)]
        seen_now = {item.worker_id: item.used_bytes for item in workers}
        lowest = {name: min(used, lowest.get(name, used)) for name, used in seen_now.items()}
        recycled = of_kind(Recycle, policy.look(share, workers, may_recycle=may_recycle))
        assert len(recycled) <= int(may_recycle)
        for verdict in recycled:
            assert seen_now[verdict.worker_id] >= 1.5 * lowest[verdict.worker_id]
