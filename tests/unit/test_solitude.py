"""A suspect is handled while no other page is; nobody else waits, and nobody for ever."""

from __future__ import annotations

from collections.abc import Callable

from scraper.solitude import Solitude


class Handling:
    """Pages by name: `s...` are suspects. Turns of the event loop are run by hand."""

    def __init__(self) -> None:
        self._turns: list[Callable[[], None]] = []
        self.solitude = Solitude(self._turns.append)
        self.begun: list[str] = []

    def come(self, name: str) -> None:
        is_suspect = name.startswith("s")
        if self.solitude.may_begin(is_suspect):
            self._begin(name)
        else:
            self.solitude.wait(is_suspect, lambda: self._begin(name))

    def _begin(self, name: str) -> None:
        self.solitude.begin(name.startswith("s"))
        self.begun.append(name)

    def turn(self) -> None:
        turns, self._turns[:] = list(self._turns), []
        for call in turns:
            call()


def test_pages_that_are_no_suspects_wait_for_nobody() -> None:
    it = Handling()
    it.come("1")
    it.come("2")
    assert it.begun == ["1", "2"]
    assert it.solitude.waiting == 0


def test_a_suspect_waits_until_none_is_handled_and_all_others_until_it_is_through() -> None:
    it = Handling()
    it.come("1")
    it.come("suspect")
    it.come("2")
    it.come("3")
    it.turn()
    assert (it.begun, it.solitude.waiting) == (["1"], 3)
    it.solitude.end()
    assert it.begun == ["1"], "it gets a turn of its own"
    it.turn()
    it.turn()
    assert (it.begun, it.solitude.waiting) == (["1", "suspect"], 2)
    it.solitude.end()
    it.turn()
    it.turn()
    assert (it.begun, it.solitude.waiting) == (["1", "suspect", "2", "3"], 0)


def test_a_page_that_comes_in_between_waits_behind_those_that_wait() -> None:
    it = Handling()
    it.come("suspect")
    it.come("1")
    it.solitude.end()
    it.come("2")
    assert it.begun == ["suspect"]
    it.turn()
    it.turn()
    assert it.begun == ["suspect", "1", "2"]


def test_two_suspects_are_handled_one_after_another() -> None:
    it = Handling()
    it.come("suspect 1")
    it.come("suspect 2")
    it.turn()
    assert it.begun == ["suspect 1"]
    it.solitude.end()
    it.turn()
    assert it.begun == ["suspect 1", "suspect 2"]
