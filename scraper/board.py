"""The board of one worker: a small shared memory that its supervisor reads without asking it.

A worker that is stuck cannot answer; what it wrote here before can still be read, also when it is
dead. Every number has one writer and is eight aligned bytes, so no lock is needed. The pages of a
worker that died are read once nobody writes any more.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

# Where the supervisor tells a worker which descriptor its board is.
BOARD_FD = "BOARD_FD"

_NUMBER_BYTES = 8
_NUMBERS = 32
_HEAD_BYTES = _NUMBERS * _NUMBER_BYTES
_TOKEN_BYTES = 56
_PLACE_BYTES = _TOKEN_BYTES + _NUMBER_BYTES
_WORDS_BYTES = 512
# Changed with the layout: a board of another version is not read.
_LAYOUT = 3.0


class _Number(IntEnum):
    """Where each number stands; all are doubles. The supervisor writes the last group."""

    LAYOUT = 0
    PLACES = 1
    TICK_S = 2
    REDIS_S = 3
    PARSE_S = 4
    PAGES_BEGUN = 5
    PAGES_DONE = 6
    PAGES_IN_HAND = 7
    BEGUN_S = 8
    RELIEF_LEVEL = 16


@dataclass(frozen=True, slots=True)
class BegunPage:
    """A page whose response was handed to its callback and that is not through yet, or that is
    worked on right now."""

    token: str
    since_s: float


class BoardMismatchError(RuntimeError):
    """The shared memory is not a board of this version."""

    def __init__(self) -> None:
        super().__init__(
            "the supervisor's board has another layout: the supervisor and its workers are of "
            "different versions; restart the supervisor"
        )


class Board:
    """One incarnation of a worker, as both sides see it. Times are monotonic seconds, which all
    processes of a machine share; 0 stands for never."""

    def __init__(self, memory: mmap.mmap) -> None:
        """Raises BoardMismatchError."""
        view = memoryview(memory)
        self._numbers = view[:_HEAD_BYTES].cast("d")
        if self._numbers[_Number.LAYOUT] != _LAYOUT:
            raise BoardMismatchError
        places = int(self._numbers[_Number.PLACES])
        # One more than the places that are given: of the page that is worked on right now.
        end = _HEAD_BYTES + (places + 1) * _TOKEN_BYTES
        self._tokens = view[_HEAD_BYTES:end]
        self._since = view[end : end + (places + 1) * _NUMBER_BYTES].cast("d")
        self._now_token, self._now_since = self._tokens[-_TOKEN_BYTES:], self._since[-1:]
        self._words = view[end + (places + 1) * _NUMBER_BYTES :][:_WORDS_BYTES]
        self._free = list(range(places - 1, -1, -1))

    @classmethod
    def of_worker(cls, env: Mapping[str, str] = os.environ) -> Board:
        """This worker's board: its supervisor's, or one that nobody reads.

        Raises BoardMismatchError, OSError.
        """
        given = env.get(BOARD_FD)
        if not given:
            return cls(_prepare(mmap.mmap(-1, _size(1)), 1))
        return cls(mmap.mmap(int(given), 0))

    # -- the worker's side ----------------------------------------------------------------------

    def tick(self) -> None:
        """The event loop runs."""
        self._numbers[_Number.TICK_S] = time.monotonic()

    def redis_answered(self) -> None:
        """A call to Redis came back."""
        self._numbers[_Number.REDIS_S] = time.monotonic()

    def in_hand(self, pages: int) -> None:
        """So many pages are being fetched or handled."""
        self._numbers[_Number.PAGES_IN_HAND] = pages

    def begin(self, token: str) -> int:
        """The page's response is handed to its callback; the place to give to `end`, -1 when there
        are more such pages at once than places: that page is not seen."""
        numbers, now_s = self._numbers, time.monotonic()
        numbers[_Number.PARSE_S] = numbers[_Number.BEGUN_S] = now_s
        numbers[_Number.PAGES_BEGUN] += 1
        if not self._free:
            return -1
        place = self._free.pop()
        start = place * _TOKEN_BYTES
        self._tokens[start : start + _TOKEN_BYTES] = _padded(token)
        self._since[place] = now_s
        return place

    def parsed(self) -> None:
        """The callback came back; what is asynchronous in it may go on."""
        self._numbers[_Number.PARSE_S] = 0.0

    def end(self, place: int) -> None:
        """The page is through."""
        self._numbers[_Number.PAGES_DONE] += 1
        if place >= 0:
            self._since[place] = 0.0
            self._free.append(place)

    def mark(self, token: str) -> PageMark:
        """What shows a page as the one that is worked on right now: only one at a time is."""
        return PageMark(self._now_token, self._now_since, _padded(token))

    def say(self, words: str) -> None:
        """Why this worker is about to end, for its supervisor to tell; cut at 512 bytes."""
        text = " ".join(words.split()).encode()[:_WORDS_BYTES]
        self._words[:] = text.ljust(_WORDS_BYTES, b"\0")

    # -- the supervisor's side ------------------------------------------------------------------

    @property
    def tick_s(self) -> float:
        """When the event loop last ran."""
        return float(self._numbers[_Number.TICK_S])

    @property
    def redis_s(self) -> float:
        """When Redis last answered this worker."""
        return float(self._numbers[_Number.REDIS_S])

    @property
    def parse_s(self) -> float:
        """Since when a callback holds the interpreter."""
        return float(self._numbers[_Number.PARSE_S])

    @property
    def begun_s(self) -> float:
        """When a callback was last called."""
        return float(self._numbers[_Number.BEGUN_S])

    @property
    def pages_begun(self) -> int:
        """Pages whose callback was called, since the worker's start."""
        return int(self._numbers[_Number.PAGES_BEGUN])

    @property
    def pages_done(self) -> int:
        """Pages that are through, since the worker's start."""
        return int(self._numbers[_Number.PAGES_DONE])

    @property
    def pages_in_hand(self) -> int:
        return int(self._numbers[_Number.PAGES_IN_HAND])

    @property
    def words(self) -> str:
        """What the worker said last of its end, "" nothing."""
        return bytes(self._words).rstrip(b"\0").decode(errors="replace")

    def begun(self) -> list[BegunPage]:
        """Pages whose handling has begun, and the one that is worked on right now, the longest
        first; each once."""
        since: dict[str, float] = {}
        for place, since_s in enumerate(self._since):
            if since_s > 0:
                start = place * _TOKEN_BYTES
                raw = bytes(self._tokens[start : start + _TOKEN_BYTES]).rstrip(b"\0")
                since.setdefault(raw.decode(errors="replace"), since_s)
        pages = [BegunPage(token, since_s) for token, since_s in since.items()]
        return sorted(pages, key=lambda page: page.since_s)

    # -- both: orders of the supervisor to the worker -------------------------------------------

    @property
    def relief_level(self) -> int:
        """How much memory the worker is to give back: 0 none. Written by the supervisor."""
        return int(self._numbers[_Number.RELIEF_LEVEL])

    @relief_level.setter
    def relief_level(self, level: int) -> None:
        self._numbers[_Number.RELIEF_LEVEL] = level


class PageMark:
    """Shows one page on the board while a step of it runs: a part of its answer is read, decoded or
    judged. A process that dies meanwhile has died of it."""

    __slots__ = ("_since", "_token", "_tokens")

    def __init__(self, tokens: memoryview, since: memoryview[float], token: bytes) -> None:
        self._tokens, self._since, self._token = tokens, since, token

    @property
    def is_on(self) -> bool:
        """Whether a page is shown: there are no steps of two pages at once."""
        return self._since[0] != 0.0

    def on(self) -> None:
        """A step of the page begins."""
        self._tokens[:] = self._token
        self._since[0] = time.monotonic()

    def off(self) -> None:
        """It has ended."""
        self._since[0] = 0.0


class NewBoard:
    """A board that the supervisor makes for a worker that it is about to start."""

    def __init__(self, pages_at_once: int) -> None:
        """Room for `pages_at_once` pages whose handling has begun. Raises OSError."""
        self.descriptor = _shared_memory(_size(pages_at_once))
        self.board = Board(_prepare(mmap.mmap(self.descriptor, 0), pages_at_once))

    def given(self) -> None:
        """The worker has its own copy of the descriptor: close ours; the memory stays mapped."""
        os.close(self.descriptor)


def _size(places: int) -> int:
    return _HEAD_BYTES + (places + 1) * _PLACE_BYTES + _WORDS_BYTES


def _padded(token: str) -> bytes:
    return token.encode().ljust(_TOKEN_BYTES, b"\0")


def _prepare(memory: mmap.mmap, places: int) -> mmap.mmap:
    with memoryview(memory) as view, view[:_HEAD_BYTES].cast("d") as numbers:
        numbers[_Number.LAYOUT] = _LAYOUT
        numbers[_Number.PLACES] = places
    return memory


def _shared_memory(size_bytes: int) -> int:
    """A file without a name, in memory where the system has that: nothing is left of it when both
    processes are gone, and no disk can hold a worker up."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("worker-board")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size_bytes)
    return descriptor
