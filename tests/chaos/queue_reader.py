"""Reads a queue's keys and pushes to its door, as an operator would with redis-cli."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from scraper.jobs.connection import REDIS_ERRORS, connect_sync
from scraper.jobs.errors import JobsError

FAILOVER_WITHIN_S = 40.0
COUNTS = ("known", "queued", "delayed", "leased", "done", "failed", "skipped")


class Patient:
    """A client of a Sentinel or a Cluster that asks anew until a fail-over is through."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Any = None

    def __getattr__(self, command: str) -> Callable[..., Any]:
        return partial(self._ask, command)

    def _ask(self, command: str, *args: Any, **options: Any) -> Any:
        deadline_s = time.monotonic() + FAILOVER_WITHIN_S
        while True:
            try:
                self._client = self._client or connect_sync(self._url)
                return getattr(self._client, command)(*args, **options)
            except (JobsError, *REDIS_ERRORS):
                if time.monotonic() > deadline_s:
                    raise
                self.close()
                time.sleep(0.1)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


class QueueReader:
    """One queue, read past our own client: a fault there cannot hide itself."""

    def __init__(self, url: str, name: str) -> None:
        # A server that is away for a moment is waited for.
        if url.startswith("redis+"):
            self.redis: Any = Patient(url)
        else:
            self.redis = redis.Redis.from_url(
                url,
                retry=Retry(ConstantBackoff(0.1), 300),
                retry_on_error=[ConnectionError, redis.ConnectionError, redis.BusyLoadingError],
            )
        self.name = name
        self.prefix = f"{{{name}}}:"

    def close(self) -> None:
        self.redis.close()

    def push(self, *payloads: str | bytes | dict[str, Any]) -> None:
        """What `redis-cli lpush <queue>` does."""
        texts = [json.dumps(p) if isinstance(p, dict) else p for p in payloads]
        self.redis.lpush(self.name, *texts)

    def fields(self, job_id: str, *names: str) -> list[str | None]:
        raw = self.redis.hmget(f"{self.prefix}job:{job_id}", list(names))
        return [None if value is None else value.decode() for value in raw]

    def state(self, job_id: str) -> str | None:
        return self.fields(job_id, "state")[0]

    def has_ended(self, job_id: str) -> bool:
        return self.state(job_id) in ("completed", "failed", "cancelled")

    def counts(self, job_id: str) -> dict[str, int]:
        values = self.fields(job_id, *COUNTS)
        return {name: int(value or 0) for name, value in zip(COUNTS, values, strict=True)}

    def done(self, job_id: str) -> int:
        return int(self.fields(job_id, "done")[0] or 0)

    def has_done(self, job_id: str, pages: float) -> bool:
        return self.done(job_id) >= pages

    def recorded(self, job_id: str) -> list[str]:
        raw = self.redis.lrange(f"{self.prefix}job:{job_id}:recorded", 0, -1)
        return [url.decode() for url in raw]

    def errors(self, job_id: str) -> dict[str, dict[str, Any]]:
        """URL -> its last error."""
        raw = self.redis.lrange(f"{self.prefix}job:{job_id}:errors", 0, -1)
        return {error["url"]: error for error in map(json.loads, raw)}

    def jobs(self, state: str) -> list[str]:
        return [job.decode() for job in self.redis.zrange(f"{self.prefix}jobs:{state}", 0, -1)]

    def events(self) -> list[str]:
        """The names of the queue's events, oldest first."""
        return [event[b"t"].decode() for _, event in self.redis.xrange(f"{self.prefix}events")]

    def workers(self) -> list[str]:
        """The worker instances that are known: alive, or dead with pages in hand."""
        return [name.decode() for name in self.redis.zrange(f"{self.prefix}workers", 0, -1)]

    def instance_of(self, pid: int) -> str:
        """The worker instance of a process that no supervisor started; "" when it is not known."""
        return next((name for name in self.workers() if f"/scrapy-{pid}#" in name), "")

    def leases(self, instance: str) -> list[str]:
        """The tokens that a worker holds."""
        return [token.decode() for token in self.redis.hkeys(f"{self.prefix}leases:{instance}")]

    def idle_workers(self, pool: str) -> set[str]:
        """Workers that wait for jobs of a type."""
        return {name.decode() for name in self.redis.smembers(f"{self.prefix}idle:{pool}")}

    def rejected(self) -> int:
        return int(self.redis.llen(f"{self.prefix}rejected"))

    def assert_conserved(self, job_id: str) -> None:
        """known = queued + delayed + leased + done + failed + skipped."""
        counts = self.counts(job_id)
        assert counts["known"] == sum(v for name, v in counts.items() if name != "known"), counts

    def assert_exactly_once(self, job_id: str) -> None:
        """No URL is recorded twice, and each record is there."""
        recorded = self.recorded(job_id)
        assert len(recorded) == len(set(recorded))
        assert len(recorded) == self.redis.llen(f"{self.prefix}job:{job_id}:records")
        assert len(recorded) == self.done(job_id)

    def assert_whole(self, job_id: str, base: str, pages: int, told: str = "") -> None:
        """A crawl of all of `tree(pages)` at that address completed: each page is recorded once,
        and nothing else. `told` goes with a failure."""
        assert self.state(job_id) == "completed", (job_id, told)
        self.assert_exactly_once(job_id)
        self.assert_conserved(job_id)
        expected = {f"{base}/{number}" for number in range(pages)}
        assert set(self.recorded(job_id)) == expected, (job_id, told)
