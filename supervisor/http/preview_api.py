"""`POST /preview`: which links of a site a job would take, without a job."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from supervisor.http.errors import ApiError
from supervisor.http.job_schema import JOB_BODY
from supervisor.http.models import OpenShape, Shape
from supervisor.http.replies import Asker, Queue, errors, reply
from supervisor.http.submitting import read_jobs
from supervisor.preview import PreviewFailedError, run_preview

router = APIRouter(tags=["jobs"])
# Each is a process that may fetch and parse for a minute.
MOST_AT_ONCE = 2
_places = asyncio.Semaphore(MOST_AT_ONCE)


class PreviewedUrl(Shape):
    url: str
    reason: str | None = Field(description="why it would be left out; null: it would be taken")
    why: str


class PreviewedList(OpenShape):
    is_used: bool = Field(description="whether such a job takes pages from there")
    taken: int
    left_out: dict[str, int] = Field(description="by reason")
    urls: list[PreviewedUrl] = Field(description="the first 500")


class Preview(OpenShape):
    url: str
    final_url: str | None
    status: int | None
    problem: str | None = Field(description="why the start page cannot be had")
    links: PreviewedList
    sitemaps: PreviewedList = Field(description="with `files` that were read, and `filesUnread`")


@router.post(
    "/preview", response_model=Preview, responses=errors(413, 415), openapi_extra=JOB_BODY,
    summary="What a job would take of its site, and why not the rest",
)  # fmt: skip
async def preview(request: Request, queue: Queue, asker: Asker) -> Response:
    """Fetches the start page and up to 20 sitemaps, politely; up to a minute. Makes no job."""
    specs = await read_jobs(request, queue, asker)
    if len(specs) != 1:
        raise ApiError(422, "wrong_count", f"{len(specs)} jobs at once", "send one job")
    if _places.locked():
        raise ApiError(
            503, "busy", f"{MOST_AT_ONCE} previews are under way", "try again in a minute",
            headers={"Retry-After": "30"},
        )  # fmt: skip
    async with _places:
        try:
            shown: dict[str, Any] = await run_preview(specs[0], queue.config)
        except PreviewFailedError as error:
            hint = "look whether the site answers in time"
            raise ApiError(422, "no_preview", str(error), hint) from error
    return reply(shown)
