"""A callback that takes too long is ended, and nothing else is."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from scraper.parse_limit import ParseLimitError, limited, parse_limit


def spin() -> None:
    while True:
        pass


def test_a_loop_without_end_is_ended() -> None:
    with pytest.raises(ParseLimitError, match=r"0\.05 s"), parse_limit(0.05):
        spin()


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
        limited(stubborn, 0.05)()
    assert caught == 2


def test_a_generator_is_taken_within_the_limit() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 1

    with pytest.raises(ParseLimitError):
        limited(endless, 0.05)()


def test_nothing_is_raised_after_the_block_and_the_handler_is_as_before() -> None:
    before = signal.getsignal(signal.SIGALRM)
    assert limited(lambda value: value + 1, 0.05)(1) == 2
    end_s = time.monotonic() + 0.1
    while time.monotonic() < end_s:
        pass
    assert signal.getsignal(signal.SIGALRM) is before


def test_the_callback_keeps_the_names_by_which_it_is_stored() -> None:
    class Spider:
        def parse_item(self) -> None: ...

    spider = Spider()
    wrapped = limited(spider.parse_item, 1)
    assert wrapped.__name__ == "parse_item"
    assert wrapped.__self__ is spider  # type: ignore[attr-defined]
