"""A real server for the integration tests, and a queue of its own for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scraper.jobs import EmbeddedServer
from tests.support.processes import environment

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
