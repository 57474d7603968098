"""Opens queues: on the server that REDIS_URL names, or on the embedded one."""

from __future__ import annotations

import asyncio
from typing import Any

from scraper.jobs.client import JobQueue
from scraper.jobs.config import Config
from scraper.jobs.config_loading import load_config
from scraper.jobs.connection import REDIS_ERRORS, RedisUnreachableError, blocking_client, connect
from scraper.jobs.embedded import EmbeddedServer
from scraper.jobs.job_types import job_types
from scraper.jobs.presets import load_presets

LONGEST_BLOCK_S = 10.0


class OpenedQueue(JobQueue):
    """A queue that closes what was opened for it: connections and its share of the server."""

    embedded: EmbeddedServer | None = None

    async def shutdown(self) -> None:
        await super().shutdown()
        if self.embedded is not None:
            await asyncio.to_thread(self.embedded.release)
            self.embedded = None


def queue_at(url: str, config: Config, *, client_name: str | None = None) -> OpenedQueue:
    """A queue on a server that need not be there yet: nothing is sent before its first use, and
    somebody else has opened it with `open_queue`. Raises ConfigError."""
    presets = load_presets(config.presets_file)
    queue = OpenedQueue(
        connect(url, client_name=client_name),
        config,
        job_types=job_types(),
        blocking=blocking_client(url, longest_block_s=LONGEST_BLOCK_S, client_name=client_name),
        presets=presets,
    )
    queue.url = url
    return queue


async def open_queue(
    config: Config | None = None, *, client_name: str | None = None
) -> OpenedQueue:
    """A ready queue. Close it with `shutdown()`.

    Raises RedisUnreachableError, EmbeddedUnavailableError, ConfigError.
    """
    config = config or load_config()
    load_presets(config.presets_file)  # a fault of theirs, before a server is started
    embedded = None
    url = config.server_url
    if not url:
        embedded = await asyncio.to_thread(EmbeddedServer.acquire, config.data_dir)
        url = embedded.url
    queue = queue_at(url, config, client_name=client_name)
    queue.embedded = embedded
    try:
        await queue.initialize()
    except BaseException:
        await queue.shutdown()
        raise
    return queue


class QueueManager:
    """The queue as the Node service named it: `initialize`, `add_job`, `shutdown`."""

    def __init__(self, config: Config | None = None) -> None:
        self._config = config
        self._queue: OpenedQueue | None = None

    async def initialize(self) -> None:
        """Open the queue; again is harmless."""
        if self._queue is None:
            self._queue = await open_queue(self._config)

    async def shutdown(self) -> None:
        """Close it; jobs go on."""
        if self._queue is not None:
            await self._queue.shutdown()
            self._queue = None

    def __getattr__(self, name: str) -> Any:
        """All that JobQueue has."""
        if name.startswith("_"):
            raise AttributeError(name)
        if self._queue is None:
            raise RuntimeError("call `await queue.initialize()` first")
        return getattr(self._queue, name)


def get_queue_manager(config: Config | None = None) -> QueueManager:
    """A queue by the settings of the environment; `await initialize()` opens it."""
    return QueueManager(config)


class RedisClient:
    """A plain client of the queue's server, for what this package has no name for."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._embedded: EmbeddedServer | None = None
        self._client: Any = None

    async def ping(self) -> bool:
        """True when the server answers. Raises RedisUnreachableError."""
        client = await self.connect()
        try:
            return bool(await client.ping())
        except REDIS_ERRORS as error:
            raise RedisUnreachableError(self._config.redis_url or "", str(error)) from error

    async def connect(self) -> Any:
        """redis-py's asyncio client."""
        if self._client is None:
            url = self._config.server_url
            if not url:
                self._embedded = await asyncio.to_thread(
                    EmbeddedServer.acquire, self._config.data_dir
                )
                url = self._embedded.url
            self._client = connect(url)
        return self._client

    async def aclose(self) -> None:
        """Close the connection and the share of the embedded server."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None
        if self._embedded is not None:
            await asyncio.to_thread(self._embedded.release)
            self._embedded = None


def get_redis_client(config: Config | None = None) -> RedisClient:
    """A client of the server that the settings name."""
    return RedisClient(config or load_config())
