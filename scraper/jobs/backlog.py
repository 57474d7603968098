"""How much work could be handed out this moment, and which hosts work waits for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from scraper.jobs.keys import Keys
from scraper.jobs.states import JobState
from scraper.jobs.views import iso_time

# Lanes whose pages are counted; of more of them, the rest is taken to be like these.
LANES_COUNTED = 500


@dataclass(frozen=True, slots=True)
class Backlog:
    """`pages` that workers could fetch now, were there enough of them: hosts at their limit, delays
    and pauses are left out, and of each job and host no more count than may be in flight at once.
    An estimate from 500 lanes on. `lanes`: pairs of a job and a host that have such pages."""

    pages: int
    lanes: int
    waiting_hosts: int


async def read_backlog(redis: Any, keys: Keys, pools: Collection[str]) -> Backlog:
    """Raises redis-py's errors."""
    turns = await _members(redis, [keys.key(f"ready:{pool}") for pool in pools])
    customers = await _members(redis, turns)
    lanes, sample = 0, list[bytes]()
    async with redis.pipeline(transaction=False) as pipe:
        for key in customers:
            pipe.zcard(key)
            pipe.zrange(key, 0, LANES_COUNTED - 1)
        pipe.zcard(keys.key("hosts_due"))
        *replies, waiting_hosts = await pipe.execute()
    for count, members in zip(replies[::2], replies[1::2], strict=True):
        lanes += count
        sample += members
    sample = sample[:LANES_COUNTED]
    pages = sum(await _pages_of(redis, keys, sample))
    if lanes > len(sample) > 0:
        pages = round(pages * lanes / len(sample))
    return Backlog(pages, lanes, waiting_hosts)


async def _members(redis: Any, sources: Sequence[str]) -> list[str]:
    """The keys below these in the turnstile."""
    if not sources:
        return []
    async with redis.pipeline(transaction=False) as pipe:
        for source in sources:
            pipe.zrange(source, 0, -1)
        replies = await pipe.execute()
    return [
        f"{source}|{member.decode()}"
        for source, members in zip(sources, replies, strict=True)
        for member in members
    ]


async def _pages_of(redis: Any, keys: Keys, lanes: Sequence[bytes]) -> list[int]:
    if not lanes:
        return []
    async with redis.pipeline(transaction=False) as pipe:
        for lane in lanes:
            job_id, _, host = lane.decode().partition(" ")
            pipe.llen(keys.job(job_id, f"lane:{host}"))
            pipe.hget(keys.job(job_id), "host_limit")
        replies = await pipe.execute()
    return [
        min(length, int(limit or 1))
        for length, limit in zip(replies[::2], replies[1::2], strict=True)
    ]


async def read_hosts(redis: Any, keys: Keys, hosts: Sequence[str]) -> list[dict[str, Any]]:
    """How politeness stands towards each host, with the names that users see: pages in flight, and
    from when on the next may be fetched. Raises redis-py's errors."""
    if not hosts:
        return []
    async with redis.pipeline(transaction=False) as pipe:
        for host in hosts:
            pipe.hmget(keys.key(f"host:{host}"), *_HOST_FIELDS)
            pipe.exists(keys.key(f"parked:{host}"))
            pipe.zscore(keys.key("hosts_due"), host)
        replies = await pipe.execute()
    return [
        _host_json(host, *replies[3 * number : 3 * number + 3]) for number, host in enumerate(hosts)
    ]


_TIMES = {"next_at": "nextAt", "paused_until": "pausedUntil"}
_NUMBERS = {"in_flight": "inFlight", "crawl_delay": "crawlDelayMs", "slow_delay": "slowDelayMs"}
_HOST_FIELDS = (*_TIMES, *_NUMBERS)


def _host_json(
    host: str, values: Sequence[bytes | None], is_waited_for: int, due_ms: float | None
) -> dict[str, Any]:
    known = {name: float(it or 0) for name, it in zip(_HOST_FIELDS, values, strict=True)}
    return {
        "host": host,
        "isWaitedFor": bool(is_waited_for),
        "lookedAtAgain": iso_time(int(due_ms)) if due_ms is not None else None,
        **{shown: _time(known[name]) for name, shown in _TIMES.items()},
        **{shown: int(known[name]) for name, shown in _NUMBERS.items()},
    }


def _time(epoch_ms: float) -> str | None:
    return iso_time(int(epoch_ms)) if epoch_ms else None


async def busy_hosts(redis: Any, keys: Keys, limit: int) -> list[str]:
    """Hosts that work waits for, and those of the jobs that run now; at most `limit`."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.zrange(keys.key("hosts_due"), 0, limit - 1)
        pipe.zrevrange(keys.key(f"jobs:{JobState.ACTIVE.value}"), 0, limit - 1)
        waited_for, active = await pipe.execute()
    found = dict.fromkeys(host.decode() for host in waited_for)
    for job_id in active:
        if len(found) >= limit:
            break
        found |= dict.fromkeys(await job_hosts(redis, keys, job_id.decode(), limit))
    return list(found)[:limit]


async def job_hosts(redis: Any, keys: Keys, job_id: str, limit: int) -> list[str]:
    """The host of a job's start page, whose last page may be in flight, and hosts of which it has
    pages to fetch; at most `limit`. None of a job that has ended."""
    key = keys.job(job_id, "hosts")
    async with redis.pipeline(transaction=False) as pipe:
        pipe.hmget(keys.job(job_id), "state", "start_url")
        pipe.sscan(key, 0, count=limit)
        (state, url), (cursor, some) = await pipe.execute()
    if url is None or JobState(state.decode()).is_final:
        return []
    found = dict.fromkeys(host.decode() for host in (url.split(b"/", 3)[2], *some))
    while cursor and len(found) < limit:
        cursor, some = await redis.sscan(key, cursor, count=limit)
        found |= dict.fromkeys(host.decode() for host in some)
    return list(found)[:limit]
