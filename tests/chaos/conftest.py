"""Fixtures of the chaos tests: the integration tests' server and a reader of the queue."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace, place, redis_url

__all__ = ["place", "redis_url"]


@pytest.fixture
def queue(place: QueuePlace) -> Iterator[QueueReader]:
    """Reads the keys of the test's own queue."""
    reader = QueueReader(place.url, place.name)
    yield reader
    reader.close()
