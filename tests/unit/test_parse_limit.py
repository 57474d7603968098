"""A callback that takes too long is ended, and nothing else is."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from scraper.parse_limit import ParseLimit, ParseLimitError


def spin() -> None:
    while True:
        pass


def test_a_loop_without_end_is_ended() -> None:
    with pytest.raises(ParseLimitError, match=r"0\.05 s"):
        ParseLimit(0.05).limited(spin)()


def test_a_callback_that_catches_everything_is_ended_all_the_same() -> None:
    caught = 0

    def stubborn() -> None:
        nonlocal caught
        for _ in range(2):
            try:
                spin()
            except Exception:
                caught += 1
                if caught == 2:
                    raise

    with pytest.raises(ParseLimitError):
        ParseLimit(0.05).limited(stubborn)()
    assert caught == 2


def test_a_generator_is_taken_within_the_limit() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 1

    with pytest.raises(ParseLimitError):
        ParseLimit(0.05).limited(endless)()


def test_nothing_is_raised_after_the_callback() -> None:
    assert ParseLimit(0.05).limited(lambda value: value + 1)(1) == 2
    end_s = time.monotonic() + 0.1
    while time.monotonic() < end_s:
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_each_callback_has_its_own_time_though_the_timer_runs_on() -> None:
    limit = ParseLimit(0.2)
    begun_s = time.monotonic()

    def work_for(seconds: float) -> float:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            pass
        return time.monotonic() - begun_s

    # The timer that the first one set goes off within the second or the third.
    took_s = [limit.limited(work_for)(0.09) for _ in range(4)]
    assert took_s[-1] > 0.2
    with pytest.raises(ParseLimitError):
        limit.limited(work_for)(5.0)
    assert 0.2 <= time.monotonic() - begun_s - took_s[-1] < 4.0


def test_the_callback_keeps_the_names_by_which_it_is_stored() -> None:
    class Spider:
        def parse_item(self) -> None: ...

    spider = Spider()
    wrapped = ParseLimit(1).limited(spider.parse_item)
    assert wrapped.__name__ == "parse_item"
    assert wrapped.__self__ is spider  # type: ignore[attr-defined]


def test_begin_and_end_are_told_also_of_a_callback_that_fails() -> None:
    told: list[str] = []

    def failing() -> None:
        told.append("runs")
        raise ValueError

    with pytest.raises(ValueError):
        ParseLimit(1, lambda: told.append("begin"), lambda: told.append("end")).limited(failing)()
    assert told == ["begin", "runs", "end"]
