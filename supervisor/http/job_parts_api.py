"""What a job has found: records, errors, pages, links left out, explanations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from scraper.jobs import PageState
from scraper.jobs.backlog import job_hosts, read_hosts
from supervisor.explain import explain_url
from supervisor.http.errors import ApiError
from supervisor.http.models import (
    ErrorPage,
    Explained,
    FilteredLinks,
    HostList,
    HostsWanted,
    PageFilters,
    PageList,
    RecordPage,
    Slice,
    StrictQuery,
    page_state,
)
from supervisor.http.replies import Asker, Queue, VisibleJob, errors, reply
from supervisor.record_csv import csv_lines

router = APIRouter(tags=["job"])

# A page of records ends here, whatever its limit.
PAGE_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
TYPES = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "text/csv": "csv",
}


class RecordsWanted(Slice):
    """Which records, and how."""

    format: Annotated[
        Literal["json", "ndjson", "csv"] | None, Field(description="instead of Accept")
    ] = None


class UrlWanted(StrictQuery):
    """Which URL."""

    url: Annotated[str, Field(min_length=1, max_length=8192)]


@router.get(
    "/jobs/{jobId}/data",
    response_model=RecordPage,
    responses={
        200: {"content": {"application/x-ndjson": {}, "text/csv": {}}},
        **errors(404, 406),
    },
    summary="The page records",
)
async def data(
    request: Request, queue: Queue, view: VisibleJob, wanted: Annotated[RecordsWanted, Query()]
) -> Response:
    """JSON by pages; all from the cursor on as NDJSON or CSV by Accept. Also while the job runs.

    A stream that breaks off without its last chunk is not whole.
    """
    cursor = int(wanted.cursor or 0)
    kind = wanted.format or _accepted(request.headers.get("accept", "*/*"))
    lines = queue.reader.record_lines(view.id, cursor)
    if kind == "ndjson":
        chunks = _chunks(_lines(lines))
        return StreamingResponse(chunks, media_type="application/x-ndjson")
    if kind == "csv":
        chunks = _chunks(csv_lines(lines))
        return StreamingResponse(chunks, media_type="text/csv; charset=utf-8")
    found: list[bytes] = []
    size_bytes = 0
    is_end = True
    async for line in lines:
        if len(found) == wanted.limit or size_bytes > PAGE_BYTES:
            is_end = False
            break
        found.append(line)
        size_bytes += len(line)
    await lines.aclose()
    is_over = is_end and view.state.is_final
    next_cursor = b"null" if is_over else b'"%d"' % (cursor + len(found))
    tail = b'],"nextCursor":%s,"state":"%s"}' % (next_cursor, view.state.value.encode())
    return Response(b'{"data":[' + b",".join(found) + tail, media_type="application/json")


def _accepted(accept: str) -> str:
    """The first format that the client takes, by the order of its q values. Raises ApiError."""
    ranges: list[tuple[float, str]] = []
    for part in accept.split(","):
        kind, _, rest = part.partition(";")
        quality = 1.0
        for option in rest.split(";"):
            name, _, value = option.partition("=")
            if name.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        if quality > 0:
            ranges.append((quality, kind.strip().lower()))
    for _, kind in sorted(ranges, key=lambda item: -item[0]):
        if kind in TYPES:
            return TYPES[kind]
        if kind in ("*/*", "application/*"):
            return "json"
        if kind == "text/*":
            return "csv"
    raise ApiError(
        406, "not_acceptable", f"records are not to be had as {accept[:100]}",
        f"ask for one of {', '.join(sorted(set(TYPES)))}",
    )  # fmt: skip


async def _lines(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for line in lines:
        yield line + b"\n"


async def _chunks(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines in pieces that are worth sending."""
    piece: list[bytes] = []
    size_bytes = 0
    async for line in lines:
        piece.append(line)
        size_bytes += len(line)
        if size_bytes >= CHUNK_BYTES:
            yield b"".join(piece)
            piece, size_bytes = [], 0
    yield b"".join(piece)


@router.get(
    "/jobs/{jobId}/errors", response_model=ErrorPage, responses=errors(404),
    summary="The pages that failed",
)  # fmt: skip
async def job_errors(queue: Queue, view: VisibleJob, part: Annotated[Slice, Query()]) -> Response:
    """In the order in which they failed, with the reasons."""
    cursor = int(part.cursor or 0)
    found = await queue.reader.errors(view.id, cursor, part.limit)
    total = await queue.reader.error_count(view.id)
    after = cursor + len(found)
    return reply(
        {"errors": found, "total": total, "nextCursor": str(after) if after < total else None}
    )


@router.get(
    "/jobs/{jobId}/pages", response_model=PageList, responses=errors(404),
    summary="The pages that a job knows",
)  # fmt: skip
async def pages(
    queue: Queue, view: VisibleJob, filters: Annotated[PageFilters, Query()]
) -> Response:
    """In no order, some hundreds at once. A part may be short, even empty, and still have a
    `nextCursor`."""
    found, next_cursor = await queue.reader.pages(
        view.id,
        int(filters.cursor or 0),
        states=[page_state(name) for name in filters.state] or tuple(PageState),
    )
    shown = [
        {
            "url": url, "state": page.state.name.lower(), "depth": page.depth,
            "foundOn": page.found_on, "attempts": page.attempts, "note": page.note,
        }
        for url, page in found
    ]  # fmt: skip
    cursor = str(next_cursor) if next_cursor is not None else None
    return reply({"pages": shown, "nextCursor": cursor})


@router.get(
    "/jobs/{jobId}/filtered", response_model=FilteredLinks, responses=errors(404),
    summary="Links that were left out",
)  # fmt: skip
async def filtered(queue: Queue, view: VisibleJob) -> Response:
    """How many by reason, and a sample of the newest."""
    counts, sample = await queue.reader.filtered(view.id)
    return reply(
        {
            "counts": counts,
            "sample": [{"reason": reason, "url": url} for reason, url in sample],
        }
    )


@router.get(
    "/jobs/{jobId}/hosts", response_model=HostList, responses=errors(404),
    summary="The hosts that a job has pages of",
)  # fmt: skip
async def hosts_of_job(
    queue: Queue, asker: Asker, view: VisibleJob, part: Annotated[HostsWanted, Query()]
) -> Response:
    """What it waits for: pauses, delays, limits."""
    redis, keys = queue.redis, queue.transitions.keys
    found = await read_hosts(redis, keys, await job_hosts(redis, keys, view.id, part.limit))
    if not asker.is_operator:
        # They tell of other customers' work, too.
        found = [{**host, "inFlight": None} for host in found]
    return reply({"hosts": found})


@router.get(
    "/jobs/{jobId}/explain", response_model=Explained, responses=errors(404),
    summary="Why a URL was or was not fetched",
)  # fmt: skip
async def explain(
    queue: Queue, view: VisibleJob, wanted: Annotated[UrlWanted, Query()]
) -> Response:
    """Found on, rule, robots line, duplicate of, attempts, place in the queue."""
    return reply((await explain_url(queue, view.id, wanted.url)).to_json())
