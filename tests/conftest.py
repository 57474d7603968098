"""A real server a session, and an empty queue for each test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import redis.asyncio

from tests.support.queue_driver import QueueDriver, strict_client
from tests.support.queue_snapshot import QueueProbe
from tests.support.redis_server import running_server

QUEUE = "scrape-test"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests marked `anyio` run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A server of this session's own, or a database of the one that REDIS_TEST_URL names.

    That database is emptied before and after each test.
    """
    given = os.environ.get("REDIS_TEST_URL")
    if given:
        number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        yield f"{given}{'&' if '?' in given else '?'}db={number}"
        return
    with running_server() as url:
        yield url


@pytest.fixture
def probe(redis_url: str) -> Iterator[QueueProbe]:
    """Looks into the test's queue, which is empty at first."""
    probe = QueueProbe(redis_url, QUEUE)
    probe.flush()
    yield probe
    probe.flush()
    probe.close()


@pytest.fixture
async def redis_client(probe: QueueProbe, redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client that repeats no command."""
    client = strict_client(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def queue(redis_client: redis.asyncio.Redis) -> QueueDriver:
    """The test's queue, by its transitions."""
    return QueueDriver(redis_client, QUEUE)
