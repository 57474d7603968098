"""The two job types with pages that harm their worker: what a page does stands in its URL."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, ClassVar

from scrapy import Request
from scrapy.http import Response

from scraper.spiders.full_crawl import FullCrawlSpider
from scraper.spiders.single_page import SinglePageSpider
from supervisor import lifeline
from tests.support.evil_answers import lay_mines

lay_mines()

COMMAND = (
    sys.executable, "-P", lifeline.__file__, "scrapy", "work",
    "-s", "SPIDER_MODULES=tests.support.evil_spiders",
)  # fmt: skip

MIB = 2**20
_kept: list[Any] = []


def hold(seconds: str) -> None:
    """Python code that gives nothing else a turn."""
    end_s = time.monotonic() + float(seconds)
    while time.monotonic() < end_s:
        pass


def endless(_: str) -> None:
    """Python code that never ends and can be interrupted."""
    while True:
        pass


def obstinate(_: str) -> None:
    """Python code that never ends, whatever is raised in it. (It sleeps: the machine is shared.)"""
    while True:
        with contextlib.suppress(Exception):
            time.sleep(3600)


def regex(_: str) -> None:
    """A regular expression that never comes to an end; `re` lets signals through."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def native(_: str) -> None:
    """One call into C that never comes back, holds the interpreter and hears no signal: it waits
    for a lock that it has itself."""
    libc, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)


def segfault(_: str) -> None:
    ctypes.string_at(0)


def leave(code: str) -> None:
    os._exit(int(code))


def allocate(_: str) -> None:
    """Memory without end, some 1 GB a second at the most."""
    while True:
        _kept.append(bytearray(b"x" * 16 * MIB))
        time.sleep(0.016)


def leak(mib: str) -> None:
    """So much is kept for ever."""
    _kept.append(bytearray(b"x" * (int(mib) * MIB)))


def litter(mib: str) -> None:
    """So much is garbage, in a cycle that only a collection finds."""
    cycle: list[Any] = [bytearray(b"x" * (int(mib) * MIB))]
    cycle.append(cycle)


EVIL: dict[str, Callable[[str], None]] = {
    "hold": hold, "endless": endless, "obstinate": obstinate, "regex": regex, "native": native,
    "segfault": segfault, "exit": leave, "allocate": allocate, "leak": leak, "litter": litter,
}  # fmt: skip


def be_evil(url: str) -> None:
    """`/evil/<deed>/<argument>`; what comes behind makes it another page."""
    parts = url.split("/")
    if "evil" in parts:
        deed, argument = parts[parts.index("evil") + 1 :][:2]
        EVIL[deed](argument)


class EvilPage(SinglePageSpider):
    def parse(self, response: Response, **kwargs: Any) -> Iterable[Any]:
        be_evil(response.url)
        yield from super().parse(response)


class EvilCrawl(FullCrawlSpider):
    page_callbacks: ClassVar[frozenset[str]] = frozenset({"parse", "parse_for_ever"})

    def parse(self, response: Response, **kwargs: Any) -> Iterable[Any]:
        be_evil(response.url)
        yield from super().parse(response)
        if response.url.endswith("/then-for-ever"):
            yield Request(response.urljoin("/for-ever"), callback=self.parse_for_ever)

    async def parse_for_ever(self, response: Response) -> AsyncIterator[Any]:
        """It leaves the loop running and never comes to an end."""
        await asyncio.Event().wait()
        yield {}
