"""A real server for the integration tests, and a queue of its own for each test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scraper.jobs import EmbeddedServer
from tests.chaos.queue_reader import QueueReader
from tests.support.http_api import OPERATOR, Api, http_server
from tests.support.processes import environment
from tests.support.queue_driver import QueueDriver, strict_client

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One embedded server for the whole session, on a folder of its own."""
    with EmbeddedServer.acquire(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Where a test's queue is."""

    url: str
    name: str

    def env(self, **more: str) -> dict[str, str]:
        """The environment of a command on this queue."""
        return environment(self.url, QUEUE_NAME=self.name, **more)


@pytest.fixture
def place(redis_url: str, tmp_path: Path) -> QueuePlace:
    """A queue that no other test uses."""
    return QueuePlace(redis_url, f"test-{tmp_path.name}-{next(_numbers)}")


@pytest.fixture
def queue_reader(place: QueuePlace) -> Iterator[QueueReader]:
    """Reads the keys of the test's own queue. Modules that look at it a lot call it `queue`."""
    reader = QueueReader(place.url, place.name)
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def where(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> QueuePlace:
    """One queue for a module, so that it needs one HTTP server."""
    return QueuePlace(redis_url, f"module-{tmp_path_factory.mktemp('where').name}")


@pytest.fixture(scope="module")
def operator(where: QueuePlace) -> Iterator[Api]:
    """The module's HTTP server, which asks for a token; a client that has the operator's."""
    with http_server(where.url, where.name, API_TOKEN=OPERATOR) as api:
        yield api


@pytest.fixture
async def queue(where: QueuePlace) -> AsyncIterator[QueueDriver]:
    """The module's queue, empty, from behind."""
    client = strict_client(where.url)
    driver = QueueDriver(client, where.name)
    async for key in client.scan_iter(match=f"{driver.keys.prefix}*", count=1000):
        await client.delete(key)
    yield driver
    await client.aclose()
