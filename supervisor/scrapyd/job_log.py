"""A job's log in the form of Scrapy's, made of its records and errors: for ScrapydWeb's parser."""

from __future__ import annotations

import heapq
import pprint
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from scraper.jobs import JobQueue, JobView
from scraper.jobs.version import VERSION
from scraper.jobs.views import epoch_ms
from supervisor.scrapyd.jobs import ended_ms, local, started_ms

# A log of a large job has its newest pages and its first errors.
MOST_PAGES, MOST_ERRORS = 2000, 2000


def _line(at_ms: int, place: str, level: str, text: str) -> str:
    return f"{local(at_ms):%Y-%m-%d %H:%M:%S} [{place}] {level}: {_one_line(text)}\n"


def _one_line(text: str) -> str:
    """What sites say must not look like lines of the log."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _page_line(record: dict[str, Any], otherwise_ms: int) -> tuple[int, str]:
    at_ms = epoch_ms(record.get("fetchedAt")) or otherwise_ms
    status, url, found_on = (record.get(name) for name in ("status", "url", "foundOn"))
    text = f"Crawled ({status}) <GET {url}> (referer: {found_on})"
    return at_ms, _line(at_ms, "scrapy.core.engine", "DEBUG", text)


def _error_line(error: dict[str, Any], otherwise_ms: int, spider: str) -> tuple[int, str]:
    at_ms = epoch_ms(error.get("at")) or otherwise_ms
    reason = f"{error.get('code')}: {error.get('message') or ''}"
    text = f"Error downloading <GET {error.get('url')}> (attempt {error.get('attempt')}): {reason}"
    return at_ms, _line(at_ms, spider, "ERROR", text)


def _crawled(view: JobView, until_ms: int) -> str:
    done = view.pages.done
    minutes = max(1, until_ms - started_ms(view)) / 60_000
    rate = round(done / minutes) if minutes >= 1 else done
    text = f"Crawled {done} pages (at {rate} pages/min), scraped {done} items (at {rate} items/min)"
    return _line(until_ms, "scrapy.extensions.logstats", "INFO", text)


async def job_log(queue: JobQueue, view: JobView) -> AsyncIterator[bytes]:
    """The log's text, in pieces."""
    start_ms = started_ms(view)
    first = max(0, view.pages.done - MOST_PAGES)
    errors = await queue.reader.errors(view.id, limit=MOST_ERRORS)
    statuses: Counter[int] = Counter()
    pages: list[tuple[int, str]] = []
    async for text in queue.reader.record_lines(view.id, first):
        record = orjson.loads(text)
        statuses[int(record.get("status") or 0)] += 1
        pages.append(_page_line(record, start_ms))
        if len(pages) >= MOST_PAGES:
            break
    yield "".join(_opening(view, first)).encode()
    failed = [_error_line(error, start_ms, view.type) for error in errors]
    for lines in _some(heapq.merge(sorted(pages), sorted(failed))):
        yield lines.encode()
    if view.state.is_final:
        statuses.update(int(error.get("status") or 0) for error in errors)
        yield "".join(_ending(view, {} if first else statuses, len(errors))).encode()
    else:
        seconds, _ = await queue.redis.time()
        yield _crawled(view, seconds * 1000).encode()


def _some(lines: Iterable[tuple[int, str]], count: int = 500) -> Iterable[str]:
    part: list[str] = []
    for _, line in lines:
        part.append(line)
        if len(part) == count:
            yield "".join(part)
            part = []
    yield "".join(part)


def _opening(view: JobView, left_out: int) -> Iterable[str]:
    at_ms = started_ms(view)
    yield _line(
        at_ms, "scrapy.utils.log", "INFO", f"Scraper Workers {VERSION} started (bot: {view.type})"
    )
    if view.started_at is None:
        return
    yield _line(at_ms, "scrapy.core.engine", "INFO", f"Spider opened: {view.url}")
    yield _line(
        at_ms, "scrapy.extensions.logstats", "INFO",
        "Crawled 0 pages (at 0 pages/min), scraped 0 items (at 0 items/min)",
    )  # fmt: skip
    if left_out:
        yield _line(at_ms, view.type, "INFO", f"{left_out} pages before these are left out")


def _ending(view: JobView, statuses: dict[int, int], errors: int) -> Iterable[str]:
    at_ms, reason = ended_ms(view), view.finish_reason or view.state.value
    yield _crawled(view, at_ms)
    if view.error:
        yield _line(at_ms, view.type, "ERROR", f"the job {view.state.value}: {view.error}")
    yield _line(at_ms, "scrapy.core.engine", "INFO", f"Closing spider ({reason})")
    yield _line(at_ms, "scrapy.statscollectors", "INFO", "Dumping Scrapy stats:")
    yield pprint.pformat(_stats(view, statuses, errors, reason)) + "\n"
    yield _line(at_ms, "scrapy.core.engine", "INFO", f"Spider closed ({reason})")


def _stats(view: JobView, statuses: dict[int, int], errors: int, reason: str) -> dict[str, Any]:
    by_status = {
        f"downloader/response_status_count/{status}": count
        for status, count in statuses.items()
        if status
    }
    start, end = _naive(started_ms(view)), _naive(ended_ms(view))
    return {
        "downloader/response_bytes": view.body_bytes,
        "downloader/response_count": sum(by_status.values()) or view.pages.done,
        **by_status,
        "elapsed_time_seconds": (end - start).total_seconds(),
        "finish_reason": reason,
        "finish_time": end,
        "item_scraped_count": view.pages.done,
        "log_count/ERROR": errors + bool(view.error),
        "log_count/INFO": 7,
        "response_received_count": sum(by_status.values()) or view.pages.done,
        "start_time": start,
    }


def _naive(at_ms: int) -> datetime:
    # Scrapy's are in UTC.
    return datetime.fromtimestamp(at_ms / 1000, UTC).replace(tzinfo=None)
