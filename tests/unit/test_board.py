"""The board between a worker and its supervisor: what one writes, the other reads."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from scraper.board import BOARD_FD, Board, BoardMismatchError, NewBoard


@pytest.fixture
def made() -> Iterator[NewBoard]:
    made = NewBoard(3)
    yield made
    made.given()


def the_worker_of(made: NewBoard) -> Board:
    return Board.of_worker({BOARD_FD: str(made.descriptor)})


def test_a_new_board_says_that_nothing_has_happened(made: NewBoard) -> None:
    board = made.board
    assert (board.tick_s, board.redis_s, board.parse_s) == (0, 0, 0)
    assert (board.pages_begun, board.pages_done, board.pages_in_hand) == (0, 0, 0)
    assert board.begun() == []
    assert board.relief_level == 0


def test_what_the_worker_writes_is_read_by_the_supervisor(made: NewBoard) -> None:
    worker, before_s = the_worker_of(made), time.monotonic()
    worker.tick()
    worker.redis_answered()
    worker.in_hand(7)
    worker.begin("1-abcd")
    board = made.board
    assert before_s <= board.tick_s <= board.redis_s <= board.parse_s <= time.monotonic()
    assert (board.pages_begun, board.pages_done, board.pages_in_hand) == (1, 0, 7)


def test_pages_are_on_the_board_from_their_begin_to_their_end(made: NewBoard) -> None:
    worker = the_worker_of(made)
    first, second = worker.begin("1-abcd"), worker.begin("22-abcd")
    assert [page.token for page in made.board.begun()] == ["1-abcd", "22-abcd"]
    worker.parsed()
    worker.end(first)
    assert [page.token for page in made.board.begun()] == ["22-abcd"]
    worker.begin("3-e")
    assert [page.token for page in made.board.begun()] == ["22-abcd", "3-e"]
    worker.end(second)
    assert made.board.parse_s > 0
    assert (made.board.pages_begun, made.board.pages_done) == (3, 2)


def test_the_page_that_is_worked_on_right_now_is_on_the_board_once(made: NewBoard) -> None:
    worker = the_worker_of(made)
    mark = worker.mark("1-abcd")
    mark.on()
    assert [page.token for page in made.board.begun()] == ["1-abcd"]
    place = worker.begin("1-abcd")
    assert [page.token for page in made.board.begun()] == ["1-abcd"]
    mark.off()
    worker.end(place)
    assert made.board.begun() == []
    for number in range(3):
        worker.begin(f"{number}-a")
    other = worker.mark("22-longer-than-that")
    other.on()
    mark.on()
    assert {page.token for page in made.board.begun()} == {"0-a", "1-a", "2-a", "1-abcd"}


def test_more_pages_at_once_than_places_do_no_harm(made: NewBoard) -> None:
    worker = the_worker_of(made)
    places = [worker.begin(f"{number}-a") for number in range(5)]
    assert places[3:] == [-1, -1]
    for place in places:
        worker.end(place)
    assert made.board.begun() == []
    assert worker.begin("9-a") >= 0


def test_the_supervisor_orders_relief(made: NewBoard) -> None:
    worker = the_worker_of(made)
    made.board.relief_level = 2
    assert worker.relief_level == 2


def test_a_worker_without_a_supervisor_has_a_board_of_its_own() -> None:
    board = Board.of_worker({})
    board.end(board.begin("1-a"))
    assert board.pages_done == 1


def test_memory_of_another_layout_is_refused() -> None:
    with pytest.raises(BoardMismatchError, match="different versions"):
        Board(mmap.mmap(-1, 4096))


def test_a_dead_process_leaves_its_board_readable(made: NewBoard) -> None:
    code = "import os; from scraper.board import Board; Board.of_worker().begin('5-x'); os.abort()"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        pass_fds=(made.descriptor,),
        env={**os.environ, BOARD_FD: str(made.descriptor)},
        check=False,
        stderr=subprocess.DEVNULL,
    )
    assert ended.returncode < 0
    assert [page.token for page in made.board.begun()] == ["5-x"]


def test_last_words_are_cut_and_on_one_line(made: NewBoard) -> None:
    worker = the_worker_of(made)
    assert made.board.words == ""
    worker.say("no spider\n  of that name")
    assert made.board.words == "no spider of that name"
    worker.say("ü" * 1000)
    assert made.board.words == "ü" * 256
