"""What a worker needs of a frontier; `scraper.jobs.Transitions` is the real one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from scraper.jobs.leases import (
    CommitOutcome,
    Extension,
    LeaseReply,
    LeaseRequest,
    PageCommit,
    Start,
)


class Frontier(Protocol):
    """Where a worker leases pages and commits them. All calls are safe to repeat."""

    async def lease_pages(
        self, worker: str, request: LeaseRequest, lease_ms: int
    ) -> LeaseReply: ...

    async def commit_pages(
        self, worker: str, memory: str, pages: Sequence[PageCommit]
    ) -> list[CommitOutcome]: ...

    async def release_pages(self, worker: str, tokens: Sequence[str]) -> int: ...

    async def keep_leases(self, worker: str, tokens: Sequence[str]) -> int: ...

    async def take_start(self, worker: str, token: str, number: int, url: str) -> Start: ...

    async def extend_leases(self, worker: str, lease_ms: int, held: Sequence[str]) -> Extension: ...

    async def reclaim_worker(self, instances: Iterable[str]) -> int: ...
