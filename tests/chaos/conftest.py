"""Fixtures of the chaos tests: the integration tests' server and a reader of the queue."""

from __future__ import annotations

from tests.integration.conftest import place, queue_reader, redis_url

__all__ = ["place", "queue", "redis_url"]

queue = queue_reader
