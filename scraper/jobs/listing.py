"""Lists the jobs of a queue page by page, the newest first, at a bounded cost a call."""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from scraper.jobs.errors import JobsError
from scraper.jobs.keys import Keys
from scraper.jobs.states import JobState
from scraper.jobs.views import JobView

# A filter that fits few jobs must not turn one call into a walk over all of them.
MOST_LOOKED_AT = 2_000
_SMALLEST_READ = 100


class InvalidCursorError(JobsError):
    def __init__(self) -> None:
        super().__init__(
            "the cursor is not one of this list: give `nextCursor` of the previous answer with "
            "the same filters, or none to begin"
        )


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, and where the next ones begin: None when there are no more.

    A page may hold fewer jobs than asked for, even none, and still have a `next_cursor`: then a
    filter left out all that this call looked at.
    """

    jobs: list[JobView]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class _Place:
    """Behind which entry of which index a page begins."""

    index: str
    score: float
    member: str

    def to_cursor(self) -> str:
        text = orjson.dumps([self.index, self.score, self.member])
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    @classmethod
    def from_cursor(cls, cursor: str) -> _Place:
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            index, score, member = orjson.loads(base64.urlsafe_b64decode(padded))
            if index not in ("customer", "states") or not isinstance(member, str):
                raise InvalidCursorError
            return cls(index, float(score), member)
        except (ValueError, TypeError) as error:
            raise InvalidCursorError from error


async def list_jobs(
    redis: Any,
    keys: Keys,
    *,
    states: Collection[JobState] = tuple(JobState),
    customer_id: str | None = None,
    job_type: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> JobPage:
    """At most `limit` jobs; filters combine.

    One customer's jobs come by the time of their submission, others by that of their last change
    of state: a job whose state changes between two calls moves to the front. Raises
    InvalidCursorError and redis-py's errors.
    """
    place = _Place.from_cursor(cursor) if cursor else None
    index = place.index if place else await _index_for(redis, keys, states, customer_id)
    if index == "customer" and customer_id is None:
        raise InvalidCursorError
    if index == "customer":
        sources = [keys.key(f"customer:{customer_id}:jobs")]
    else:
        sources = [keys.key(f"jobs:{state.value}") for state in states]
    found: list[JobView] = []
    looked_at = 0
    is_filtered = job_type is not None or customer_id is not None
    while looked_at < MOST_LOOKED_AT:
        wanted = max(limit, _SMALLEST_READ) if is_filtered else limit - len(found)
        entries = await _entries(redis, sources, place, wanted)
        for (score, member), view in zip(entries, await _views(redis, keys, entries), strict=True):
            looked_at += 1
            place = _Place(index, score, member)
            if view and _fits(view, states, customer_id, job_type):
                found.append(view)
                if len(found) == limit:
                    return JobPage(found, place.to_cursor())
        if len(entries) < wanted:
            return JobPage(found, None)
    return JobPage(found, place.to_cursor() if place else None)


def _fits(
    view: JobView, states: Collection[JobState], customer_id: str | None, job_type: str | None
) -> bool:
    return (
        view.state in states
        and customer_id in (None, view.customer_id)
        and job_type in (None, view.type)
    )


async def _index_for(
    redis: Any, keys: Keys, states: Collection[JobState], customer_id: str | None
) -> str:
    """The index with fewer entries to look at."""
    if customer_id is None:
        return "states"
    if set(states) == set(JobState):
        return "customer"
    async with redis.pipeline(transaction=False) as pipe:
        pipe.zcard(keys.key(f"customer:{customer_id}:jobs"))
        for state in states:
            pipe.zcard(keys.key(f"jobs:{state.value}"))
        of_customer, *of_states = await pipe.execute()
    return "states" if sum(of_states) < of_customer else "customer"


async def _entries(
    redis: Any, sources: Sequence[str], place: _Place | None, count: int
) -> list[tuple[float, str]]:
    """The `count` newest entries behind `place` in all sources together, read at one instant."""
    entries: list[tuple[float, str]] = []
    # Entries of one moment stand in the order of their names; those before `place` are skipped.
    offsets = dict.fromkeys(sources, 0)
    while offsets:
        async with redis.pipeline(transaction=True) as pipe:
            for source, offset in offsets.items():
                top = "+inf" if place is None else place.score
                pipe.zrevrangebyscore(source, top, "-inf", start=offset, num=count, withscores=True)
            replies = await pipe.execute()
        unfinished = {}
        for (source, offset), reply in zip(offsets.items(), replies, strict=True):
            behind = [
                (score, member.decode())
                for member, score in reply
                if place is None or (score, member.decode()) < (place.score, place.member)
            ]
            entries += behind
            if len(reply) == count and len(behind) < count:
                unfinished[source] = offset + count
        offsets = unfinished
    entries.sort(reverse=True)
    return entries[:count]


async def _views(
    redis: Any, keys: Keys, entries: Sequence[tuple[float, str]]
) -> list[JobView | None]:
    if not entries:
        return []
    async with redis.pipeline(transaction=False) as pipe:
        for _, job_id in entries:
            pipe.hgetall(keys.job(job_id))
        hashes = await pipe.execute()
    return [
        JobView.from_hash(job_id, raw) if raw.get(b"state") else None
        for (_, job_id), raw in zip(entries, hashes, strict=True)
    ]
