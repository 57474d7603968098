"""A worker whose single pages misbehave as their path says: the module that tests start workers by.

`/allocate` takes memory without end, `/leak?mb=5` keeps that much for ever, `/garbage?mb=5` leaves
as much in a cycle, `/spin?s=2` holds the interpreter. All others are parsed as usual.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scrapy.cmdline import execute
from scrapy.http import Response

from scraper.job_spider import JobSpider
from supervisor import lifeline

ROUGH_COMMAND = (sys.executable, "-P", lifeline.__file__, "tests.support.rough_worker")

MIB = 2**20
_kept: list[Any] = []
_usual_parse = JobSpider.parse


def _parse(self: JobSpider, response: Response, **kwargs: Any) -> Iterable[Any]:
    url = urlsplit(response.url)
    amount = {name: float(values[0]) for name, values in parse_qs(url.query).items()}
    if url.path == "/allocate":
        while True:
            _kept.append(bytearray(b"x" * 16 * MIB))
            time.sleep(0.005)
    elif url.path == "/leak":
        _kept.append(bytearray(b"x" * int(amount["mb"] * MIB)))
    elif url.path == "/garbage":
        cycle: list[Any] = [bytearray(b"x" * int(amount["mb"] * MIB))]
        cycle.append(cycle)
    elif url.path == "/spin":
        end_s = time.monotonic() + amount["s"]
        while time.monotonic() < end_s:
            pass
    return _usual_parse(self, response, **kwargs)


def main() -> None:
    """`scrapy work` with these pages."""
    JobSpider.parse = _parse  # type: ignore[method-assign]
    execute(["scrapy", "work"])


if __name__ == "__main__":
    main()
