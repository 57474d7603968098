"""The gate that every fetch passes: what robots.txt forbids is not fetched.

Scrapy's own middleware lets requests through that wait for a file which another one asked for
(facts.md). Here all of them wait for the same file and are judged by it. Files are shared by the
fleet through Redis and expire; their parsed forms are kept in the process, with a bound.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from scrapy import Request

from scraper.jobs.connection import REDIS_ERRORS
from scraper.jobs.leases import RobotsClaim
from scraper.network.failures import (
    LateStartError,
    RobotsDisallowedError,
    RobotsUnreachableError,
)
from scraper.network.requests import LEASE, START_AT, START_BY, VERIFY_TLS
from scraper.network.robots_file import Fetch, RobotsFile, fetch_robots
from scraper.network.robots_rules import RobotsRules, product_token

log = structlog.get_logger(__name__)

# Request meta: this job is not bound by robots.txt.
LIFTED = "robots_lifted"
_FILES_KEPT = 1000
_BYTES_KEPT = 2 * 1024 * 1024
# RFC 9309 2.4: no longer than that, and only while no newer file can be had.
_STALE_S = 86_400.0
_CLAIM_MS = 5000
_RENEW_S = 1.5
_POLL_S = (0.02, 0.05, 0.1, 0.2)
_CARRIED = (VERIFY_TLS, "proxy", START_AT, START_BY, LEASE)
# Behind the origin: whoever checks certificates is not judged by a file that came without.
_UNVERIFIED = " unverified"


class RobotsStore(Protocol):
    """Where the fleet shares files. Calls are safe to repeat."""

    async def claim_robots(self, origin: str, worker: str, claim_ms: int) -> RobotsClaim: ...

    async def store_robots(
        self, origin: str, host: str, stored: bytes, ttl_ms: int, crawl_delay_ms: int
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class RobotsPolicy:
    """`ttl_s`: how long a file counts. `max_crawl_delay_s`: longer delays are cut to that."""

    user_agent: str
    ttl_s: float
    max_crawl_delay_s: float
    timeout_s: float


@dataclass(slots=True)
class _Entry:
    rules: RobotsRules
    file: RobotsFile
    fresh_until_s: float
    stale_until_s: float


class RobotsGate:
    """Judges requests by the robots.txt of their origin; fetches each file once at a time."""

    def __init__(
        self, policy: RobotsPolicy, fetch: Fetch, worker: str, store: RobotsStore | None
    ) -> None:
        """`fetch` passes the address guard. Without a `store` files are this process's alone."""
        self._policy = policy
        self._token = product_token(policy.user_agent)
        self._fetch = fetch
        self._worker = worker
        self._store = store
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        self._loads: dict[str, asyncio.Task[_Entry]] = {}

    def admit(self, request: Request) -> Awaitable[None] | None:
        """None when `request` may be fetched now, else what to await before it.

        Raises RobotsDisallowedError, RobotsUnreachableError; so does the awaitable, which raises
        LateStartError, too, when a delayed host's turn passed before or while the file was fetched.
        """
        if request.meta.get(LIFTED):
            return None
        key = _key_of(request)
        entry = self._entries.get(key)
        if entry is None or entry.fresh_until_s <= time.monotonic():
            return self._admit_later(request, key)
        self._entries.move_to_end(key)
        self._judge(request.url, entry)
        return None

    def crawl_delay_s(self, request: Request) -> float:
        """What its origin asks for, cut to the limit; 0 while the file is not known."""
        entry = self._entries.get(_key_of(request))
        return min(entry.rules.crawl_delay_s, self._policy.max_crawl_delay_s) if entry else 0.0

    def forbidding_line(self, request: Request) -> str:
        """The line that forbids it; "" when it is allowed, or the file is not known."""
        entry = self._entries.get(_key_of(request))
        return entry.rules.forbidding_line(request.url) if entry and not entry.file.code else ""

    async def _admit_later(self, request: Request, key: str) -> None:
        is_first = key not in self._loads
        entry = await self._load_once(key, request.meta)
        self._judge(request.url, entry)
        if self._store and entry.rules.crawl_delay_s and START_BY not in request.meta:
            # Leased before anybody knew that this host wants time between fetches.
            raise LateStartError
        start_at_s = request.meta.get(START_AT)
        if is_first and start_at_s and asyncio.get_running_loop().time() >= start_at_s:
            # The file went in the page's place.
            raise LateStartError

    def _judge(self, url: str, entry: _Entry) -> None:
        file = entry.file
        if file.code:
            wait_s = max(0.0, entry.fresh_until_s - time.monotonic())
            raise RobotsUnreachableError(file.code, file.problem, wait_s)
        if not entry.rules.allows(url):
            raise RobotsDisallowedError(url, entry.rules.forbidding_line(url))

    # -- one load an origin -------------------------------------------------------------------

    async def _load_once(self, key: str, meta: Mapping[str, Any]) -> _Entry:
        load = self._loads.get(key)
        if load is None:
            load = asyncio.create_task(self._load(key, meta))
            self._loads[key] = load
            load.add_done_callback(lambda _: self._loads.pop(key, None))
        # One page that is given up must not end the load that others wait for.
        return await asyncio.shield(load)

    async def _load(self, key: str, meta: Mapping[str, Any]) -> _Entry:
        carried = {name: meta[name] for name in _CARRIED if name in meta}
        try:
            file = await self._shared(key, carried)
        except REDIS_ERRORS as error:
            log.warning("robots.txt is not shared: Redis is away", origin=key, error=str(error))
            file = await self._fetch_file(key, carried)
        return self._keep(key, file)

    async def _fetch_file(self, key: str, meta: Mapping[str, Any]) -> RobotsFile:
        policy = self._policy
        origin = key.removesuffix(_UNVERIFIED)
        return await fetch_robots(
            origin, self._fetch, meta, timeout_s=policy.timeout_s, ttl_s=policy.ttl_s
        )

    async def _shared(self, key: str, meta: Mapping[str, Any]) -> RobotsFile:
        """The file of the fleet: kept in Redis, or fetched by one worker while the others wait."""
        if self._store is None:
            return await self._fetch_file(key, meta)
        polls = 0
        while True:
            claim = await self._store.claim_robots(key, self._worker, _CLAIM_MS)
            if claim.stored is not None:
                return RobotsFile.from_bytes(claim.stored, claim.ttl_ms / 1000)
            if claim.is_ours:
                return await self._fetch_for_all(self._store, key, meta)
            await asyncio.sleep(_POLL_S[min(polls, len(_POLL_S) - 1)])
            polls += 1

    async def _fetch_for_all(
        self, store: RobotsStore, key: str, meta: Mapping[str, Any]
    ) -> RobotsFile:
        fetching = asyncio.ensure_future(self._fetch_file(key, meta))
        try:
            while not (await asyncio.wait({fetching}, timeout=_RENEW_S))[0]:
                await store.claim_robots(key, self._worker, _CLAIM_MS)
            file = fetching.result()
            host = key.removesuffix(_UNVERIFIED).partition("://")[2]
            await store.store_robots(
                key, host, file.to_bytes(), int(file.ttl_s * 1000),
                self._crawl_delay_ms(file),
            )  # fmt: skip
        except LateStartError:
            # Nothing was asked: whoever is in time fetches the file.
            await store.claim_robots(key, self._worker, 0)
            raise
        finally:
            fetching.cancel()
        return file

    def _crawl_delay_ms(self, file: RobotsFile) -> int:
        delay_s = RobotsRules(file.text, self._token).crawl_delay_s
        return int(min(delay_s, self._policy.max_crawl_delay_s) * 1000)

    # -- what is kept -------------------------------------------------------------------------

    def _keep(self, key: str, file: RobotsFile) -> _Entry:
        now_s = time.monotonic()
        old = self._entries.pop(key, None)
        if old is not None:
            self._bytes -= old.rules.size_bytes
            if file.code and not old.file.code and old.stale_until_s > now_s:
                log.warning("an older robots.txt counts", origin=key, problem=file.problem)
                old.fresh_until_s = now_s + file.ttl_s
                return self._add(key, old)
        rules = RobotsRules(file.text, self._token)
        fresh_s = now_s + file.ttl_s
        return self._add(key, _Entry(rules, file, fresh_s, fresh_s + _STALE_S))

    def _add(self, key: str, entry: _Entry) -> _Entry:
        self._entries[key] = entry
        self._bytes += entry.rules.size_bytes
        while len(self._entries) > _FILES_KEPT or self._bytes > _BYTES_KEPT:
            if len(self._entries) == 1:
                break
            _, oldest = self._entries.popitem(last=False)
            self._bytes -= oldest.rules.size_bytes
        return entry


def _key_of(request: Request) -> str:
    """What one file counts for: the origin, apart where its certificate is not checked."""
    origin = origin_of(request.url)
    is_lax = request.meta.get(VERIFY_TLS) is False and origin.startswith("https:")
    return origin + _UNVERIFIED if is_lax else origin


def origin_of(url: str) -> str:
    """scheme://host[:port] of a canonical URL: what one robots.txt counts for."""
    end = url.find("/", url.find("://") + 3)
    return url[:end] if end >= 0 else url
