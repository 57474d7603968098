"""Alive, busy or stuck: pure, on a clock made of numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from scraper.jobs import load_config
from supervisor.liveness import Finding, LivenessLimits, Pulse, Vitality, Wakefulness, examine
from supervisor.oom import NOTICED_WITHIN_S, OomKills

LIMITS = LivenessLimits(stall_s=30, start_s=60, redis_s=60, fetch_s=360)
NOW_S = 10_000.0


def look(
    tick_ago_s: float | None = 0.0, *, redis_ago_s: float = 0.0, started_ago_s: float = 1000.0,
    is_stopped: bool = False, fetching: int = 0, moved_ago_s: float = 0.0,
    awake_ago_s: float = 5000.0, redis_since_ago_s: float | None = 5000.0,
    begun_ago_s: float = NOW_S, busy_ago_s: float = NOW_S,
) -> Finding:  # fmt: skip
    pulse = Pulse(
        NOW_S - started_ago_s, 0.0 if tick_ago_s is None else NOW_S - tick_ago_s,
        NOW_S - redis_ago_s, is_stopped, fetching, NOW_S - moved_ago_s, NOW_S - begun_ago_s,
        NOW_S - busy_ago_s,
    )  # fmt: skip
    since_s = None if redis_since_ago_s is None else NOW_S - redis_since_ago_s
    return examine(pulse, LIMITS, NOW_S, NOW_S - awake_ago_s, since_s)


@pytest.mark.parametrize(
    ("silent_s", "vitality"),
    [
        (0.2, Vitality.ALIVE), (0.9, Vitality.ALIVE), (1.1, Vitality.BUSY), (20, Vitality.BUSY),
        (29.9, Vitality.BUSY), (30.1, Vitality.STUCK),
    ],
)  # fmt: skip
def test_a_silent_loop_is_busy_until_the_stall_time_out(
    silent_s: float, vitality: Vitality
) -> None:
    assert look(silent_s).vitality is vitality


def test_callbacks_one_after_another_are_judged_each_by_its_own_time() -> None:
    assert look(75, begun_ago_s=15).vitality is Vitality.BUSY
    assert look(75, begun_ago_s=0.1).vitality is Vitality.BUSY
    assert look(75, begun_ago_s=31).reason == "its event loop has not run for 31.0 s"


def test_a_worker_that_was_busy_is_not_blamed_for_its_silence_towards_redis() -> None:
    assert look(75, begun_ago_s=1, redis_ago_s=76).vitality is Vitality.BUSY
    assert look(0.1, redis_ago_s=76, busy_ago_s=0.5).vitality is Vitality.ALIVE
    assert "no call of it to Redis" in look(0.1, redis_ago_s=146, busy_ago_s=61).reason


def test_a_stuck_worker_is_told_from_a_stopped_one() -> None:
    assert look(31).reason == "its event loop has not run for 31.0 s"
    assert look(31, is_stopped=True).reason == "is stopped (SIGSTOP) for 31.0 s"


def test_a_worker_that_does_not_come_up_has_longer() -> None:
    assert look(None, started_ago_s=59).vitality is Vitality.BUSY
    assert look(None, started_ago_s=61).reason == "has not come up for 61.0 s"


def test_nobody_is_blamed_for_a_time_in_which_the_whole_machine_slept() -> None:
    assert look(3600, awake_ago_s=0.5).vitality is Vitality.ALIVE
    assert look(3600, awake_ago_s=29).vitality is Vitality.BUSY
    assert look(3600, awake_ago_s=31).vitality is Vitality.STUCK
    assert look(redis_ago_s=3600, awake_ago_s=29).vitality is Vitality.ALIVE
    assert look(fetching=3, moved_ago_s=3600, awake_ago_s=29).vitality is Vitality.ALIVE


def test_a_worker_that_alone_gets_no_answer_from_redis_is_stuck() -> None:
    assert look(redis_ago_s=59).vitality is Vitality.ALIVE
    assert "no call of it to Redis" in look(redis_ago_s=61).reason
    assert look(redis_ago_s=61, redis_since_ago_s=10).vitality is Vitality.ALIVE
    assert look(redis_ago_s=61, redis_since_ago_s=None).vitality is Vitality.ALIVE
    assert look(redis_ago_s=NOW_S, started_ago_s=30).vitality is Vitality.ALIVE


def test_fetches_that_never_end_are_noticed() -> None:
    assert look(fetching=3, moved_ago_s=359).vitality is Vitality.ALIVE
    assert "none of its 3 fetches" in look(fetching=3, moved_ago_s=361).reason
    assert look(fetching=0, moved_ago_s=3610).vitality is Vitality.ALIVE


def test_the_settings_give_the_limits() -> None:
    limits = LivenessLimits.of(load_config({}))
    assert limits == LivenessLimits(stall_s=30, start_s=60, redis_s=60, fetch_s=11 * 30 + 30)


def test_a_gap_in_the_own_clock_starts_the_grace() -> None:
    wake = Wakefulness(longest_gap_s=10)
    assert [wake.look(at_s) for at_s in (100, 100.5, 110, 121, 121.5, 140)] == [
        0, 0, 0, 121, 121, 140,
    ]  # fmt: skip


def test_a_kill_for_want_of_memory_is_told_for_some_seconds(tmp_path: Path) -> None:
    now_s = [100.0]
    (tmp_path / "proc").mkdir()
    vmstat = tmp_path / "proc/vmstat"
    vmstat.write_text("pgfault 7\noom_kill 3\n")
    kills = OomKills(tmp_path, clock=lambda: now_s[0])

    def is_told() -> bool | None:
        return kills.was_just_now

    assert is_told() is False
    vmstat.write_text("pgfault 8\noom_kill 4\n")
    kills.look()
    now_s[0] += NOTICED_WITHIN_S - 0.1
    assert is_told() is True
    now_s[0] += 0.2
    assert is_told() is False


def test_kills_of_the_container_are_counted(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/box\n")
    group = tmp_path / "sys/fs/cgroup/box"
    group.mkdir(parents=True)
    (group.parent / "cgroup.controllers").write_text("memory\n")
    events = group / "memory.events"
    events.write_text("low 0\noom 0\noom_kill 0\noom_group_kill 0\n")
    kills = OomKills(tmp_path)
    assert kills.was_just_now is False
    events.write_text("low 0\noom 1\noom_kill 1\noom_group_kill 0\n")
    assert kills.was_just_now is True


def test_a_system_that_counts_nothing_says_so(tmp_path: Path) -> None:
    assert OomKills(tmp_path).was_just_now is None
